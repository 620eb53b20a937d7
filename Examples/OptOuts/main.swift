// Takes opted-out numbers off the list in the SQLite database that DATABASE names.
import SMSBridgeExampleSupport
import SMSPortalConsumer

let optOuts = try OptOuts(Service.environment("DATABASE", default: "subscribers.sqlite"))
await optOuts.consumer(.fromEnvironment(group: "opt-outs")).runOrExit()
