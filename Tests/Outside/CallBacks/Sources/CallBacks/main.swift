import SMSPortalConsumer

struct PrintingDesk: Desk {
    func callBack(_ msisdn: String) async throws { print("call back …\(msisdn.suffix(3))") }
}

let consumer = makeConsumer(.fromEnvironment(group: "call-backs"), desk: PrintingDesk())
await consumer.runOrExit()
