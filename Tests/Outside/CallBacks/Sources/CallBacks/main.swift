struct PrintingDesk: Desk {
    func callBack(_ msisdn: String) async throws { print("call back …\(msisdn.suffix(3))") }
}

let consumer = makeConsumer(.init(bootstrapServers: "kafka:9092", group: "call-backs"), desk: PrintingDesk())
try await consumer.run()
