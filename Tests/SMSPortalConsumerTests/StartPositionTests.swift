import SMSBridgeKafka
import SMSPortalConsumer
import Synchronization
import Testing

/// Where handlers begin that have no position, on a real cluster: only that finds offsets of times and lets members come and go.
@Suite(.enabled(if: realBootstrapServers != nil))
struct StartPositionTests {
    /// What a handler has seen.
    private final class Seen: Sendable {
        private let state = Mutex<[String]>([])
        var all: [String] { state.withLock { $0 } }
        func add(_ text: String) { state.withLock { $0.append(text) } }
    }

    private let configuration: EventConsumer.Configuration
    private let start: Int64

    init() throws {
        let prefix = uniqueName("start")
        var configuration = EventConsumer.Configuration(bootstrapServers: realBootstrapServers!, group: prefix)
        configuration.topicPrefix = prefix
        configuration.log = .none
        configuration.commitInterval = .milliseconds(100)
        configuration.kafkaProperties = ["topic.metadata.refresh.interval.ms": "500"]
        self.configuration = configuration
        start = status(0, 0).receivedAt.millisecondsSinceEpoch
    }

    private func create(_ topics: EventTopic...) throws {
        let admin = try Admin(ClientConfiguration(bootstrapServers: configuration.bootstrapServers))
        defer { admin.close() }
        let made = try admin.create(
            topics.map { NewTopic(name: $0.name(prefix: configuration.topicPrefix), partitions: 2, replication: 1) },
            timeout: 20_000)
        #expect(made.values.allSatisfy { $0 == nil })
    }

    /// The nth reply, so many milliseconds after the start.
    private func reply(_ index: Int) throws -> Event {
        let query = "Id=77\(1000 + index)&Msisdn=2782\(1_000_000 + index % 8)&Message=\(index)"
        return try Event(
            callback: Callback(method: .get, route: .reply, query: Array(query.utf8)),
            receivedAt: EventTime(millisecondsSinceEpoch: start + Int64(index)))
    }

    private func publish(_ events: [Event]) async throws {
        try await SMSPortalConsumerTests.publish(
            events, prefix: configuration.topicPrefix, to: configuration.bootstrapServers)
    }

    /// Runs a consumer, does something once it reads, and shuts it down when a condition holds.
    private func run(
        _ consumer: EventConsumer, _ body: () async throws -> Void = {}, until condition: @Sendable () -> Bool
    ) async throws {
        let run = Task { try await consumer.run() }
        #expect(await eventually { consumer.health.isReady && consumer.health.partitions.count > 2 })
        try await body()
        #expect(await eventually(condition))
        // What must not come would have come by now: everything that was published is done.
        #expect(await eventually { consumer.health.lag == 0 })
        consumer.shutdown()
        try await run.value
    }

    /// An old service: it handles delivery statuses, and replies are there that it never read.
    private func makeOldService() async throws {
        try create(.deliveryStatus, .reply)
        try await publish((0..<5).map { status($0, 0) } + (0..<10).map { try reply($0) })
        let seen = Seen()
        let consumer = EventConsumer(configuration: configuration).onDeliveryStatus { _, _ in seen.add("status") }
        try await run(consumer, until: { seen.all.count == 5 })
    }

    private func texts(_ range: Range<Int>) -> Set<String> { Set(range.map(String.init)) }

    @Test func aNewHandlerInAnOldGroupGetsNoOldEvents() async throws {
        try await makeOldService()
        let seen = Seen()
        func service() -> EventConsumer {
            EventConsumer(configuration: configuration)
                .onDeliveryStatus { _, _ in seen.add("status again") }
                .onReply { reply, _ in seen.add(reply.text) }
        }
        try await run(service()) {
            try await publish((10..<15).map { try reply($0) })
        } until: {
            seen.all.count >= 5
        }
        #expect(Set(seen.all) == texts(10..<15) && seen.all.count == 5)
        // It is an old handler now: events that arrive while the service is away are handled.
        try await publish((15..<20).map { try reply($0) })
        try await run(service(), until: { seen.all.count >= 10 })
        #expect(Set(seen.all) == texts(10..<20) && seen.all.count == 10)
    }

    @Test func aNewHandlerGetsOldEventsWhenAsked() async throws {
        try await makeOldService()
        let seen = Seen()
        let consumer = EventConsumer(configuration: configuration)
            .onDeliveryStatus { _, _ in seen.add("status again") }
            .onReply(startAt: .earliest) { reply, _ in seen.add(reply.text) }
        try await run(consumer, until: { seen.all.count >= 10 })
        #expect(Set(seen.all) == texts(0..<10) && seen.all.count == 10)
    }

    @Test func aNewHandlerGetsEventsSinceATime() async throws {
        try await makeOldService()
        let seen = Seen()
        let time = EventTime(millisecondsSinceEpoch: start + 6)
        let consumer = EventConsumer(configuration: configuration)
            .onDeliveryStatus { _, _ in seen.add("status again") }
            .onReply(startAt: .at(time)) { reply, _ in seen.add(reply.text) }
        try await run(consumer, until: { seen.all.count >= 4 })
        // Of a partition, everything from the first record of that time on; the records are in the order of their times.
        #expect(Set(seen.all) == texts(6..<10) && seen.all.count == 4)
    }

    /// Kafka looks a time up in the file that has it, which may still be there when its records have been deleted.
    @Test func aTimeBeforeDeletedRecordsBeginsAtTheFirstRecordThatIsLeft() async throws {
        try create(.deliveryStatus)
        let admin = try Admin(ClientConfiguration(bootstrapServers: configuration.bootstrapServers))
        defer { admin.close() }
        let topic = EventTopic.reply.name(prefix: configuration.topicPrefix)
        let made = try admin.create(
            [NewTopic(name: topic, partitions: 1, replication: 1, configuration: ["segment.ms": "1"])], timeout: 20_000)
        #expect(made[topic]! == nil)
        // One file each.
        for index in 0..<10 { try await publish([try reply(index * 8)]) }
        _ = try admin.deleteRecords(before: [TopicPartition(topic, 0, offset: 6)], timeout: 20_000)
        let seen = Seen()
        let time = EventTime(millisecondsSinceEpoch: start + 8)
        let consumer = EventConsumer(configuration: configuration)
            .onDeliveryStatus { _, _ in seen.add("status") }
            .onReply(startAt: .at(time)) { reply, _ in seen.add(reply.text) }
        try await run(consumer, until: { seen.all.count >= 4 })
        #expect(seen.all == (6..<10).map { "\($0 * 8)" })
    }

    @Test func aNewGroupBeginsAtTheBeginningUnlessAHandlerSaysOtherwise() async throws {
        try create(.deliveryStatus, .reply)
        try await publish((0..<5).map { status($0, 0) } + (0..<10).map { try reply($0) })
        let seen = Seen()
        let consumer = EventConsumer(configuration: configuration)
            .onDeliveryStatus { _, _ in seen.add("status") }
            .onReply(startAt: .latest) { reply, _ in seen.add(reply.text) }
        try await run(consumer) {
            try await publish([try reply(10)])
        } until: {
            seen.all.count >= 6
        }
        #expect(seen.all.filter { $0 == "status" }.count == 5 && seen.all.filter { $0 != "status" } == ["10"])
    }

    /// A topic that is created while the service runs: its events were published since the handler exists.
    @Test func aNewTopicIsReadFromItsBeginning() async throws {
        try create(.deliveryStatus)
        try await publish((0..<5).map { status($0, 0) })
        let seen = Seen()
        let consumer = EventConsumer(configuration: configuration)
            .onDeliveryStatus { _, _ in seen.add("status") }
            .onReply { reply, _ in seen.add(reply.text) }
        try await run(consumer) {
            #expect(await eventually { seen.all.count == 5 })
            // Positions of the other topic are committed.
            #expect(await eventually { consumer.health.lag == 0 })
            try await Task.sleep(for: .milliseconds(500))
            try create(.reply)
            try await publish((0..<10).map { try reply($0) })
        } until: {
            seen.all.count >= 15
        }
        #expect(Set(seen.all).subtracting(["status"]) == texts(0..<10) && seen.all.count == 15)
    }
}
