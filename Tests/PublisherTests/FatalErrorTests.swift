import Foundation
import SMSBridgeEventLoop
import SMSBridgeKafka
import SMSBridgePublisher
import SMSBridgeSpool
import SMSBridgeTestSupport
import SMSPortalEvents
import Testing

private let realBootstrapServers = ProcessInfo.processInfo.environment["KAFKA_BOOTSTRAP_SERVERS"]

/// Fatal errors of the producer under load, on a real cluster. No mock has what makes them hard: records that the broker
/// has stored and whose acknowledgement is lost with the producer.
@Suite(.serialized, .enabled(if: realBootstrapServers != nil, "KAFKA_BOOTSTRAP_SERVERS is not set"))
struct FatalErrorTests {
    private static let injections = 16
    private static let partitions = 3

    @Test func manyUnderLoadLoseNothingAndRefuseNobody() throws {
        let client = ClientConfiguration(bootstrapServers: realBootstrapServers ?? "")
        let prefix = "fatal-\(UUID().uuidString)"
        let admin = try Admin(client)
        defer { admin.close() }
        // The records' timestamps are years old: an ordinary retention would let the broker delete them during the test.
        let plan = TopicPlan(
            prefix: prefix, partitions: Self.partitions, replication: 1, retention: .seconds(20 * 365 * 86_400),
            maxRecordBytes: 10_000)
        _ = try TopicSetup(admin).run(plan, creates: true)
        defer { _ = try? admin.delete(plan.names, timeout: 15_000) }
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(prefix).path
        defer { try? FileManager.default.removeItem(atPath: folder) }

        var configuration = PublisherConfiguration(kafka: client)
        configuration.topicPrefix = prefix
        configuration.deadline = .seconds(60)
        var spool = SpoolConfiguration(path: folder, lanes: EventTopic.allCases.map(\.suffix))
        spool.allowsAnyFileSystem = true
        configuration.spool = spool
        let rig = try Rig(configuration)
        defer { rig.close() }
        var isSettled = false
        rig.publisher.onSpoolSettled = { isSettled = true }
        try rig.run { isSettled }

        var published: Set<UInt64> = []
        let load = try rig.loop.timer(after: 0, repeating: 2_000_000) {
            for key in 0..<4 { published.insert(rig.publish(msisdn: "2712345678\(key)")) }
        }
        // Every second time as soon as there is a producer again, mostly in the drain; a producer that delivers nothing
        // is replaced ever later, so the others wait for open lanes, and records are on their way to Kafka.
        var random = SeededRandom(seed: 7)
        for round in 1...Self.injections {
            if round % 2 == 1 { try rig.run(atMost: 60) { rig.publisher.spoolingTopics.isEmpty } }
            let pause = 1 + random.next() % 100
            var isOver = false
            let timer = try rig.loop.timer(after: pause * 1_000_000) { isOver = true }
            try rig.run { isOver }
            timer.cancel()
            var isHit = false
            try rig.run(atMost: 60) {
                isHit = isHit || rig.publisher.injectFatalError()
                return isHit
            }
            #expect(isHit, "injection \(round)")
            // Service goes on: what comes after the injection becomes durable, too.
            let next = rig.publish()
            published.insert(next)
            try rig.run(atMost: 60) { rig.outcomes[next] != nil }
            #expect(rig.outcomes[next] == .durable, "after injection \(round)")
        }
        load.cancel()
        try rig.run(atMost: 120) { rig.publisher.isIdle && rig.outcomes.count == published.count }
        #expect(rig.publisher.isIdle, "everything is in Kafka")
        #expect(published.allSatisfy { rig.outcomes[$0] == .durable }, "nobody was refused")
        #expect(rig.answeredTwice.isEmpty)
        let replaced = String(decoding: rig.metrics(), as: UTF8.self).split(separator: "\n")
            .first { $0.hasPrefix("smsbridge_producer_recreations_total ") }?.split(separator: " ").last
        // One may hit a producer whose error is not told yet.
        #expect(replaced.flatMap { Int($0) } ?? 0 >= Self.injections / 2, "\(replaced ?? "none") replacements")

        let (stored, disorder) = try read(prefix: prefix, client)
        #expect(published.subtracting(stored).count == 0, "acknowledged and not in Kafka")
        #expect(stored.subtracting(published).count == 0, "in Kafka and never published")
        #expect(disorder == 0, "first copies of a number's events are in the order accepted")
    }

    /// The tokens of all records, and how many first copies come after a later event of their number.
    private func read(prefix: String, _ client: ClientConfiguration) throws -> (Set<UInt64>, disorder: Int) {
        var settings = ConsumerConfiguration(client: client, group: prefix)
        settings.reportsPartitionEnd = true
        let consumer = try Consumer(settings)
        defer { consumer.close() }
        let topic = EventTopic.deliveryStatus.name(prefix: prefix)
        try consumer.assign(
            (0..<Int32(Self.partitions)).map { TopicPartition(topic, $0, offset: TopicPartition.beginning) })
        var stored: Set<UInt64> = []
        var last: [[UInt8]: UInt64] = [:]
        var disorder = 0
        var ended: Set<Int32> = []
        for _ in 0..<10_000_000 where ended.count < Self.partitions {
            switch consumer.poll(timeout: 30_000) {
            case .message(let message):
                let text = String(decoding: message.value ?? [], as: UTF8.self)
                let digits = text.range(of: "\"ref-").map { text[$0.upperBound...].prefix { $0 != "\"" } }
                let token = try #require(digits.flatMap { UInt64($0) })
                guard stored.insert(token).inserted else { continue }
                let key = message.key ?? []
                if token < last[key] ?? 0 { disorder += 1 }
                last[key] = max(token, last[key] ?? 0)
            case .partitionEnd(let partition): ended.insert(partition.partition)
            case nil: throw CancellationError()
            default: continue
            }
        }
        return (stored, disorder)
    }
}
