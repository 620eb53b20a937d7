// Notes follow-ups on previews and clicks in the SQLite database that DATABASE names.
import SMSBridgeExampleSupport

let followUps = try FollowUps(Service.environment("DATABASE", default: "follow-ups.sqlite"))
await Service.run(followUps.consumer(Service.configuration(group: "follow-ups")))
