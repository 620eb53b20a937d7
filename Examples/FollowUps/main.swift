// Notes follow-ups on previews and clicks in the SQLite database that DATABASE names.
import SMSBridgeExampleSupport
import SMSPortalConsumer

let followUps = try FollowUps(Service.environment("DATABASE", default: "follow-ups.sqlite"))
await followUps.consumer(.fromEnvironment(group: "follow-ups")).runOrExit()
