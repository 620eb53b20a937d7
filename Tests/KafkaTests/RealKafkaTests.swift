import SMSBridgeKafka
import Testing

#if canImport(Glibc)
import Glibc
#endif

/// What only a real broker can prove; `KAFKA_BOOTSTRAP_SERVERS` names it.
@Suite(.serialized, .enabled(if: realBootstrapServers != nil, "KAFKA_BOOTSTRAP_SERVERS is not set"))
struct RealKafkaTests {
    private let bootstrapServers = realBootstrapServers ?? ""
    private var client: ClientConfiguration { ClientConfiguration(bootstrapServers: bootstrapServers) }

    private func withTopic(
        partitions: Int32 = 1, configuration: [String: String] = [:], _ body: (Admin, String) throws -> Void
    ) throws {
        let admin = try Admin(client)
        defer { admin.close() }
        let topic = uniqueName("kafka-tests")
        let made = try admin.create(
            [
                NewTopic(
                    name: topic, partitions: partitions, replication: 1,
                    // The records' times are long past.
                    configuration: configuration.merging(["retention.ms": "-1"]) { given, _ in given })
            ],
            timeout: 15_000)
        #expect(made[topic]! == nil)
        // A broker answers a question about a topic a moment after the controller has made it.
        let deadline = monotonicMilliseconds() + 15_000
        while try !admin.describe(timeout: 15_000).topics.contains(where: { $0.name == topic && $0.error == nil }),
            monotonicMilliseconds() < deadline
        { usleep(20_000) }
        defer { _ = try? admin.delete([topic], timeout: 15_000) }
        try body(admin, topic)
    }

    private func withProducer(
        _ adjust: (inout ProducerConfiguration) -> Void = { _ in }, _ body: (Producer) throws -> Void
    ) throws {
        var configuration = ProducerConfiguration(client: client)
        configuration.messageTimeoutMilliseconds = 20_000
        adjust(&configuration)
        let producer = try Producer(configuration)
        defer { producer.close().destroy() }
        try body(producer)
    }

    @Test func topicsAreMadeDescribedAndMadeOnlyOnce() throws {
        try withTopic(partitions: 3, configuration: ["retention.ms": "123456", "max.message.bytes": "2000000"]) {
            admin, topic in
            let again = try admin.create([NewTopic(name: topic, partitions: 3, replication: 1)], timeout: 15_000)
            #expect(again[topic]??.code == .topicExists)
            let tooMany = uniqueName("kafka-tests")
            let refused = try admin.create([NewTopic(name: tooMany, partitions: 1, replication: 99)], timeout: 15_000)
            #expect(refused[tooMany]??.code == .invalidReplicationFactor)
            let metadata = try admin.describe(timeout: 15_000)
            #expect(metadata.topics.first { $0.name == topic }?.partitions.count == 3)
            #expect(!metadata.brokers.isEmpty)
            let values = try admin.configuration(of: .topic(topic), timeout: 15_000)
            #expect(values["retention.ms"] == "123456")
            #expect(values["max.message.bytes"] == "2000000")
            let broker = try admin.configuration(of: .broker(try #require(metadata.brokers.first).id), timeout: 15_000)
            #expect(broker["min.insync.replicas"] != nil)
            let missing = try admin.describe(topic: uniqueName("missing"), timeout: 15_000)
            #expect(missing.topics.first?.error == .unknownTopicOrPartition)
            #expect(throws: KafkaError.self) {
                try admin.configuration(of: .topic(uniqueName("missing")), timeout: 15_000)
            }
        }
    }

    @Test func nullAndEmptyStayApartAndTimesAreTheProducers() throws {
        try withTopic { _, topic in
            try withProducer { producer in
                let handle = try producer.topic(topic)
                let cases: [(key: [UInt8]?, value: [UInt8]?)] = [
                    (nil, nil), ([], []), (bytes("k"), bytes("v")), (bytes("k"), nil),
                ]
                let headers: [(name: String, value: [UInt8]?)] = [("null", nil), ("empty", []), ("x", [0, 255])]
                for (index, one) in cases.enumerated() {
                    // Times that go back are legal: an outage's records come late.
                    #expect(
                        producer.produce(
                            to: handle, key: one.key, value: one.value, timestamp: 1_700_000_000_000 - Int64(index),
                            headers: headers, opaque: UInt64(index)) == nil)
                }
                #expect(producer.reports(cases.count).reports.allSatisfy { $0.error == nil })
                let records = try readAll(topic, bootstrapServers: bootstrapServers)
                #expect(records.map(\.key) == cases.map(\.key))
                #expect(records.map(\.value) == cases.map(\.value))
                #expect(records.map(\.timestamp) == cases.indices.map { 1_700_000_000_000 - Int64($0) })
                #expect(records.allSatisfy { $0.isCreateTime && $0.headers.map(\.value) == headers.map(\.value) })
                let range = try producer.sharedClient.watermarks(topic: topic, partition: 0, timeout: 10_000)
                #expect(range == 0..<Int64(cases.count))
            }
        }
    }

    @Test func offsetsForTimesFindTheFirstRecordAtOrAfter() throws {
        try withTopic { _, topic in
            try withProducer { producer in
                let handle = try producer.topic(topic)
                for index in 0..<10 {
                    #expect(
                        producer.produce(
                            to: handle, key: nil, value: [1], timestamp: 1_700_000_000_000 + Int64(index) * 1_000,
                            opaque: 0) == nil)
                    _ = producer.reports(1)
                }
                let found = try producer.sharedClient.offsets(
                    forTimes: [TopicPartition(topic, 0, offset: 1_700_000_003_500)], timeout: 10_000)
                #expect(found.first?.offset == 4)
                let none = try producer.sharedClient.offsets(
                    forTimes: [TopicPartition(topic, 0, offset: 1_800_000_000_000)], timeout: 10_000)
                #expect(none.first?.offset == nil)
            }
        }
    }

    @Test func aMissingTopicFailsItsRecordsOnly() throws {
        try withTopic { _, topic in
            try withProducer({ $0.messageTimeoutMilliseconds = 4_000 }) { producer in
                let good = try producer.topic(topic)
                let bad = try producer.topic(uniqueName("missing"))
                #expect(producer.produce(to: bad, key: nil, value: [1], opaque: 1) == nil)
                #expect(producer.produce(to: good, key: nil, value: [1], opaque: 2) == nil)
                let reports = producer.reports(2).reports
                #expect(reports.first { $0.opaque == 2 }?.error == nil)
                #expect(reports.first { $0.opaque == 1 }?.error != nil)
            }
        }
    }

    @Test func aRecordBeyondTheTopicsLimitIsRefusedByTheBroker() throws {
        try withTopic(configuration: ["max.message.bytes": "2000"]) { _, topic in
            try withProducer { producer in
                let handle = try producer.topic(topic)
                #expect(
                    producer.produce(to: handle, key: nil, value: Array(repeating: 7, count: 5_000), opaque: 1) == nil)
                #expect(producer.reports(1).reports.first?.error == .messageTooLarge)
                #expect(producer.produce(to: handle, key: nil, value: [1], opaque: 2) == nil)
                #expect(producer.reports(1).reports.first?.error == nil)
            }
        }
    }

    @Test func aGroupGoesOnWhereItWas() throws {
        try withTopic(partitions: 2) { _, topic in
            try fill(topic, 100, bootstrapServers: bootstrapServers)
            let group = uniqueName("group")
            let first = try readAsGroup(group, topic, 60, bootstrapServers: bootstrapServers)
            let second = try readAsGroup(group, topic, 40, bootstrapServers: bootstrapServers)
            #expect(Set(first).union(second) == Set((0..<100).map(String.init)))
            #expect(Set(first).isDisjoint(with: second))
        }
    }
}
