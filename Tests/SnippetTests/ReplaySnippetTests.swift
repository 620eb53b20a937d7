import Foundation
import SMSBridgeKafka
import SMSPortalConsumer
import SMSPortalTesting
import Synchronization
import Testing

private let realServers = ProcessInfo.processInfo.environment["KAFKA_BOOTSTRAP_SERVERS"]

/// The mock cluster does not know offsets of times.
@Suite(.enabled(if: realServers != nil))
struct ReplaySnippetTests {
    @Test(arguments: ["SMSBridgeSnippetMainFile", "SMSBridgeSnippetMainType"])
    func aReplayEndsByItself(_ name: String) async throws {
        let servers = try #require(realServers)
        let prefix = "snippet-\(UInt32.random(in: 0...UInt32.max))"
        let admin = try Admin(ClientConfiguration(bootstrapServers: servers))
        let topics = EventTopic.allCases.map { $0.name(prefix: prefix) } + ["\(prefix)-dlt", "\(prefix)-redrive"]
        let made = try admin.create(
            topics.map { NewTopic(name: $0, partitions: 2, replication: 1) }, timeout: 20_000)
        #expect(made.values.allSatisfy { $0 == nil })
        admin.close()
        let now = Int64(Date().timeIntervalSince1970 * 1_000)
        var client = ProducerConfiguration(client: ClientConfiguration(bootstrapServers: servers))
        client.messageTimeoutMilliseconds = 60_000
        let producer = try ProducerThread(client)
        let failures = Mutex<[String]>([])
        for index in 0..<10 {
            let time = EventTime(millisecondsSinceEpoch: now - 60_000 + Int64(index))
            let record = Event.deliveryStatus(
                .sample(msisdn: "2782100\(1000 + index)", reference: "order-\(index)", receivedAt: time)
            ).record()
            try producer.send(
                topic: record.topic.name(prefix: prefix), key: record.key, value: record.value,
                timestamp: record.timestamp.millisecondsSinceEpoch,
                headers: record.headers.map { ($0.name, $0.value) }
            ) { report in
                if let error = report.error { failures.withLock { $0.append("\(error)") } }
            }
        }
        producer.close()
        #expect(failures.withLock { $0 }.isEmpty)
        // A fresh cluster has no coordinator for the group at first, and a replay does not wait for one.
        let reader = try Consumer(
            ConsumerConfiguration(
                client: ClientConfiguration(bootstrapServers: servers), group: "\(prefix)-replay-lost-database"))
        let deadline = ContinuousClock.now + .seconds(60)
        while (try? reader.committed([TopicPartition(topics[0], 0)], timeout: 1_000)) == nil {
            try #require(ContinuousClock.now < deadline)
            try await Task.sleep(for: .milliseconds(50))
        }
        reader.close()
        let program = try Program(
            name, ["replay"],
            environment: [
                "KAFKA_BOOTSTRAP_SERVERS": servers, "KAFKA_GROUP": prefix, "KAFKA_TOPIC_PREFIX": prefix,
            ])
        #expect(try await program.untilExit() == 0, "\(program.output)")
        #expect(program.output.contains("handled again: 10"), "\(program.output)")
    }
}
