import SMSBridgeKafka
import Testing

@testable import smsbridge

struct RecordSenderTests {
    /// Sent faster than a broker takes them, they come to more than librdkafka's queue holds (128 MiB as it comes).
    @Test func largeRecordsWaitForRoom() throws {
        let cluster = try MockCluster()
        defer { cluster.close() }
        try cluster.createTopic("large", partitions: 2)
        // The acknowledgement of everything takes a while.
        try cluster.setRoundTripTime(100, of: 1)
        let sender = try RecordSender(
            ClientConfiguration(bootstrapServers: cluster.bootstrapServers), topics: ["large"])
        defer { sender.close() }
        let value = [UInt8](repeating: 120, count: 64 << 10)
        for number in 0..<2_400 {
            try sender.send(
                topic: "large", key: Array("\(number % 10)".utf8), value: value, timestamp: 0,
                headers: [.init(name: "number", value: Array("\(number)".utf8))])
        }
        try sender.flush()
    }
}
