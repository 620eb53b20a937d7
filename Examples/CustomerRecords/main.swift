// Updates customer records from delivery statuses, in the SQLite database that DATABASE names.
import SMSBridgeExampleSupport
import SMSPortalConsumer

let records = try CustomerRecords(Service.environment("DATABASE", default: "customers.sqlite"))
await records.consumer(.fromEnvironment(group: "customer-records")).runOrExit()
