import SMSBridgeKafka
import SMSBridgeThreads
import SMSPortalEvents
import Testing

@testable import SMSBridgePublisher

/// A producer that is replaced when the machine has no thread to spare.
@Suite(.serialized) struct ReplacementTests {
    @Test func withoutAThreadTheOldProducerIsKeptUntilThereIsOne() throws {
        let rig = try Rig()
        defer { rig.close() }
        let first = rig.publish()
        try rig.run { rig.outcomes[first] != nil }
        var failures = 0
        rig.publisher.startThread = { name, body in
            guard failures >= 2 else {
                failures += 1
                throw CancellationError()
            }
            _ = try NamedThread(name, body)
        }
        #expect(rig.publisher.injectFatalError())
        try rig.run { failures == 1 }
        #expect(rig.publisher.remains.count == 1, "librdkafka's threads live, and may read the records")
        try rig.run { rig.publisher.remains.isEmpty && rig.publisher.kafkaTrouble == nil }
        #expect(failures == 2 && rig.publisher.remains.isEmpty)
        let next = rig.publish()
        try rig.run { rig.outcomes[next] != nil }
        #expect(rig.outcomes[next] == .durable, "and service goes on")
    }

    /// Each cluster has what was published while its configuration was in use.
    @Test func recreatedFromAnotherConfigurationItUsesThatOne() throws {
        let rig = try Rig()
        defer { rig.close() }
        let others = try (0..<2).map { _ in try MockCluster(brokers: 1) }
        defer { for other in others { other.close() } }
        for other in others {
            for topic in EventTopic.allCases {
                try other.createTopic("smsportal.\(topic.suffix)", partitions: 3, replication: 1)
            }
        }
        let first = rig.publish()
        try rig.run { rig.outcomes[first] != nil }
        let configurations = others.map { ClientConfiguration(bootstrapServers: $0.bootstrapServers) }
        rig.publisher.recreateProducer(with: configurations[0])
        try rig.run { rig.publisher.kafkaTrouble == nil }
        let second = rig.publish()
        try rig.run { rig.outcomes[second] != nil }
        // The second change comes while the producer of the first is being made.
        var threads = 0
        rig.publisher.startThread = { [unowned rig] name, body in
            threads += 1
            if threads == 1 { rig.publisher.recreateProducer(with: configurations[1]) }
            _ = try NamedThread(name, body)
        }
        rig.publisher.recreateProducer(with: configurations[0])
        try rig.run { rig.publisher.kafkaTrouble == nil }
        let third = (0..<2).map { _ in rig.publish() }
        try rig.run { third.allSatisfy { rig.outcomes[$0] != nil } }
        #expect(rig.outcomes.values.allSatisfy { $0 == .durable })
        #expect(
            try [rig.cluster.bootstrapServers, configurations[0].bootstrapServers, configurations[1].bootstrapServers]
                .map(stored) == [1, 1, 2])
    }

    private func stored(_ bootstrapServers: String) throws -> Int64 {
        let client = try Client.silent(ClientConfiguration(bootstrapServers: bootstrapServers))
        defer { client.destroy() }
        return try (0..<Int32(3)).reduce(0) {
            $0 + Int64(try client.watermarks(topic: "smsportal.delivery-status", partition: $1, timeout: 10_000).count)
        }
    }
}
