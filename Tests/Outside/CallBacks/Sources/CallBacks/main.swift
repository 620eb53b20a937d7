import SMSPortalConsumer

let consumer = makeConsumer(.fromEnvironment(group: "call-backs")) { print("call back …\($0.suffix(3))") }
await consumer.runOrExit()
