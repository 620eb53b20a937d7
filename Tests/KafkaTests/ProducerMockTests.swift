import SMSBridgeKafka
import Synchronization
import Testing

#if canImport(Glibc)
import Glibc
#endif

/// What a producer promises, on the in-process mock cluster with its faults.
@Suite(.serialized) struct ProducerMockTests {
    /// Runs a test on a mock cluster of its own and ends both.
    private func withProducer(
        brokers: Int32 = 1, _ adjust: (inout ProducerConfiguration) -> Void = { _ in },
        _ body: (MockCluster, Producer, Producer.Topic) throws -> Void
    ) throws {
        let cluster = try MockCluster(brokers: brokers)
        defer { cluster.close() }
        try cluster.createTopic("t", partitions: 4, replication: brokers)
        var configuration = ProducerConfiguration(
            client: ClientConfiguration(bootstrapServers: cluster.bootstrapServers))
        configuration.messageTimeoutMilliseconds = 20_000
        adjust(&configuration)
        let producer = try Producer(configuration)
        defer { producer.close().destroy() }
        try body(cluster, producer, try producer.topic("t"))
    }

    /// The mock cluster keeps no limit, but it keeps batches: their sizes are told by librdkafka's statistics.
    @Test func aBatchStaysBelowItsLimitAndALargerRecordMakesOneByItself() throws {
        let limit = 64 << 10
        try withProducer {
            $0.batchBytes = limit
            $0.lingerMilliseconds = 200
            $0.maxMessageBytes = 2_000_000
            $0.client.properties["statistics.interval.ms"] = "100"
        } _: { _, producer, topic in
            var sent = 0
            for index in 0..<300 {
                let size = index == 150 ? 300_000 : 4_000
                let value = String(repeating: "x", count: size)
                #expect(
                    producer.produce(
                        to: topic, key: bytes("k"), value: bytes(value), partition: 0, opaque: UInt64(index))
                        == nil)
                sent += 1
            }
            var errors = 0
            var largest: [Int] = []
            var reported = 0
            let begin = ContinuousClock.now
            while reported < sent || largest.max() ?? 0 == 0, begin.duration(to: .now) < .seconds(20) {
                producer.poll(timeout: 100) { report in
                    reported += 1
                    if report.error != nil { errors += 1 }
                } events: { event in
                    guard case .statistics(let text) = event else { return }
                    guard let part = text.ranges(of: "\"batchcnt\"").first.map({ text[$0.upperBound...] }),
                        let max = part.ranges(of: "\"max\":").first.map({ part[$0.upperBound...] }),
                        let count = Int(max.prefix { $0.isNumber })
                    else { return }
                    largest.append(count)
                }
            }
            #expect(reported == sent && errors == 0)
            // 64 KiB hold 16 records of 4,000 bytes; without the limit all of them would share a request.
            #expect(largest.max().map { (2...17).contains($0) } == true, "\(largest)")
        }
    }

    @Test func everyRecordGetsOneReportWithItsOpaque() throws {
        try withProducer { _, producer, topic in
            for index in 0..<500 {
                #expect(
                    producer.produce(to: topic, key: bytes("k\(index)"), value: bytes("v"), opaque: UInt64(index))
                        == nil)
            }
            let (reports, _) = producer.reports(500)
            #expect(reports.count == 500)
            #expect(Set(reports.map(\.opaque)) == Set(0..<500))
            #expect(reports.allSatisfy { $0.error == nil && $0.offset >= 0 })
        }
    }

    @Test func opaqueKeepsAll64Bits() throws {
        try withProducer { _, producer, topic in
            let opaques: [UInt64] = [0, 1, .max, 0x8000_0000_0000_0001, 0xdead_beef_0000_0001]
            for opaque in opaques { #expect(producer.produce(to: topic, key: nil, value: [1], opaque: opaque) == nil) }
            #expect(Set(producer.reports(opaques.count).reports.map(\.opaque)) == Set(opaques))
        }
    }

    @Test func nullAndEmptyKeysValuesAndHeadersStayApart() throws {
        try withProducer { cluster, producer, topic in
            let cases: [(key: [UInt8]?, value: [UInt8]?)] = [
                (nil, nil), (nil, []), ([], nil), ([], []), (bytes("k"), nil), (nil, bytes("v")),
            ]
            let headers: [(name: String, value: [UInt8]?)] = [
                ("null", nil), ("empty", []), ("text", bytes("x")), ("binary", [0, 255, 13, 10]),
                ("text", bytes("again")),
            ]
            for (index, one) in cases.enumerated() {
                #expect(
                    producer.produce(
                        to: topic, key: one.key, value: one.value, timestamp: 1_700_000_000_000 + Int64(index),
                        headers: headers, partition: 0, opaque: UInt64(index)) == nil)
            }
            #expect(producer.reports(cases.count).reports.allSatisfy { $0.error == nil })
            let records = try readAll("t", bootstrapServers: cluster.bootstrapServers, partitions: 4)
            try #require(records.count == cases.count)
            for (record, one) in zip(records, cases) {
                #expect(record.key == one.key)
                #expect(record.value == one.value)
                #expect(record.headers.map(\.name) == headers.map(\.name))
                #expect(record.headers.map(\.value) == headers.map(\.value))
            }
            #expect(records.map(\.timestamp) == cases.indices.map { 1_700_000_000_000 + Int64($0) })
            #expect(records.allSatisfy { $0.isCreateTime })
        }
    }

    /// Hashes of the Java client's own test (org.apache.kafka.common.utils.UtilsTest).
    @Test(arguments: [
        ("21", Int32(-973_932_308)), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536),
    ])
    func keysLandWhereTheJavaClientPutsThem(key: String, hash: Int32) throws {
        try withProducer { _, producer, topic in
            #expect(producer.produce(to: topic, key: bytes(key), value: [1], opaque: 1) == nil)
            #expect(producer.reports(1).reports.first?.partition == (hash & 0x7fff_ffff) % 4)
        }
    }

    @Test func aFullQueueIsToldAtOnceAndHeals() throws {
        try withProducer({ $0.maxQueuedMessages = 10 }) { cluster, producer, topic in
            try cluster.setDown(1)
            var taken = 0
            var refusal: KafkaError.Code?
            while refusal == nil, taken < 100 {
                refusal = producer.produce(to: topic, key: nil, value: [1], opaque: 1)
                if refusal == nil { taken += 1 }
            }
            #expect(refusal == .queueFull)
            #expect(taken == 10)
            try cluster.setUp(1)
            #expect(producer.reports(10).reports.allSatisfy { $0.error == nil })
            #expect(producer.produce(to: topic, key: nil, value: [1], opaque: 2) == nil)
            #expect(producer.reports(1).reports.first?.opaque == 2)
        }
    }

    @Test func aRecordThatIsTooLargeIsRefusedByItself() throws {
        try withProducer({ $0.maxMessageBytes = 2_000 }) { _, producer, topic in
            #expect(
                producer.produce(to: topic, key: nil, value: Array(repeating: 1, count: 3_000), opaque: 1)
                    == .messageTooLarge)
            #expect(producer.produce(to: topic, key: nil, value: [1], opaque: 2) == nil)
            #expect(producer.reports(1).reports.first?.error == nil)
        }
    }

    @Test func aRecordWithoutAcknowledgementFailsAfterItsTimeout() throws {
        try withProducer({ $0.messageTimeoutMilliseconds = 300 }) { cluster, producer, topic in
            try cluster.setDown(1)
            #expect(producer.produce(to: topic, key: nil, value: [1], opaque: 7) == nil)
            let report = try #require(producer.reports(1).reports.first)
            #expect(report.opaque == 7)
            #expect(report.error == .messageTimedOut)
        }
    }

    @Test func passingErrorsAreRetriedWithinLibrdkafka() throws {
        try withProducer { cluster, producer, topic in
            cluster.failNext(.produce, with: [.notEnoughReplicas, .leaderNotAvailable, .requestTimedOut])
            #expect(producer.produce(to: topic, key: nil, value: [1], opaque: 1) == nil)
            #expect(producer.reports(1).reports.first?.error == nil)
        }
    }

    @Test func purgeReportsEveryRecordWithoutBlocking() throws {
        try withProducer { cluster, producer, topic in
            try cluster.setDown(1)
            for index in 0..<50 {
                #expect(producer.produce(to: topic, key: nil, value: [1], opaque: UInt64(index)) == nil)
            }
            producer.purge()
            let (reports, _) = producer.reports(50)
            #expect(reports.count == 50)
            #expect(reports.allSatisfy { $0.error == .purgedInQueue || $0.error == .purgedInFlight })
        }
    }

    @Test func aProducerEndsWithRecordsInFlight() throws {
        let cluster = try MockCluster()
        defer { cluster.close() }
        try cluster.createTopic("t", partitions: 1)
        let producer = try Producer(
            ProducerConfiguration(client: ClientConfiguration(bootstrapServers: cluster.bootstrapServers)))
        let topic = try producer.topic("t")
        try cluster.setRoundTripTime(5_000, of: 1)
        for index in 0..<100 {
            #expect(producer.produce(to: topic, key: nil, value: [1], opaque: UInt64(index)) == nil)
        }
        producer.close().destroy()
    }

    @Test func aFatalErrorIsToldWithItsCauseAndRecordsAreReported() throws {
        try withProducer { _, producer, topic in
            #expect(producer.produce(to: topic, key: nil, value: [1], opaque: 1) == nil)
            #expect(producer.reports(1).reports.first?.error == nil)
            producer.injectFatalError(.outOfOrderSequence, "as a test")
            var fatal: KafkaError?
            let deadline = monotonicMilliseconds() + 10_000
            while fatal == nil, monotonicMilliseconds() < deadline {
                producer.poll(
                    timeout: 100, reports: { _ in },
                    events: {
                        if case .error(let error) = $0, error.isFatal { fatal = error }
                    })
            }
            #expect(fatal?.code == .outOfOrderSequence)
            #expect(producer.fatalError != nil)
            #expect(producer.produce(to: topic, key: nil, value: [1], opaque: 2) == .fatal)
        }
    }

    @Test func wrongPropertiesAreNamedAndTheirValuesAreNot() throws {
        let secret = "not-to-be-seen"
        for (name, value) in [
            ("no.such.property", secret), ("security.protocol", secret), ("socket.timeout.ms", secret),
        ] {
            let configuration = ProducerConfiguration(
                client: ClientConfiguration(bootstrapServers: "127.0.0.1:1", properties: [name: value]))
            do {
                _ = try Producer(configuration)
                Issue.record("\(name) was taken")
            } catch {
                #expect(error.description.contains(name))
                #expect(!error.description.contains(secret))
            }
        }
    }

    @Test func theThreadedProducerReportsToEachCaller() async throws {
        let cluster = try MockCluster()
        defer { cluster.close() }
        try cluster.createTopic("t", partitions: 2)
        let producer = try ProducerThread(
            ProducerConfiguration(client: ClientConfiguration(bootstrapServers: cluster.bootstrapServers)))
        try await withThrowingTaskGroup(of: DeliveryReport.self) { group in
            for index in 0..<200 {
                group.addTask {
                    try await producer.send(topic: "t", key: bytes("\(index)"), value: bytes("v\(index)"), timestamp: 1)
                }
            }
            for try await report in group { #expect(report.error == nil) }
        }
        producer.close()
        #expect(throws: KafkaError.self) {
            try producer.send(topic: "t", key: nil, value: nil, timestamp: 1) { _ in }
        }
        #expect(try readAll("t", bootstrapServers: cluster.bootstrapServers, partitions: 2).count == 200)
    }

    /// Every way a client can come and go, many times: file descriptors must not grow.
    @Test func clientsLeaveNothingBehind() throws {
        func descriptors() -> Int { (0..<4_096).count { fcntl(Int32($0), F_GETFD) != -1 } }
        let cluster = try MockCluster()
        defer { cluster.close() }
        try cluster.createTopic("t", partitions: 1)
        func round() throws {
            let producer = try Producer(
                ProducerConfiguration(client: ClientConfiguration(bootstrapServers: cluster.bootstrapServers)))
            let topic = try producer.topic("t")
            #expect(producer.produce(to: topic, key: nil, value: [1], opaque: 1) == nil)
            _ = producer.reports(1)
            producer.close().destroy()
        }
        try round()
        let before = descriptors()
        for _ in 0..<20 { try round() }
        // The cluster closes its end of a connection a moment after the client has.
        let deadline = monotonicMilliseconds() + 10_000
        while descriptors() > before + 4, monotonicMilliseconds() < deadline { usleep(50_000) }
        #expect(descriptors() <= before + 4)
    }
}
