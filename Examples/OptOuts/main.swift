// Takes opted-out numbers off the list in the SQLite database that DATABASE names.
import SMSBridgeExampleSupport

let optOuts = try OptOuts(Service.environment("DATABASE", default: "subscribers.sqlite"))
await Service.run(optOuts.consumer(Service.configuration(group: "opt-outs")))
