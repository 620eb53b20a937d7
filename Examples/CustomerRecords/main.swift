// Updates customer records from delivery statuses, in the SQLite database that DATABASE names.
import SMSBridgeExampleSupport

let records = try CustomerRecords(Service.environment("DATABASE", default: "customers.sqlite"))
await Service.run(records.consumer(Service.configuration(group: "customer-records")))
