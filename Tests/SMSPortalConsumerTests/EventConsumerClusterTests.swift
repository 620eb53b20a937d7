import Kafka
import SMSPortalConsumer
import SMSPortalEvents
import Synchronization
import Testing

/// The whole consumer against a real cluster, where there is one: what only a broker's own group protocol, retention and
/// fetches can show.
@Suite(.enabled(if: realBootstrapServers != nil))
struct EventConsumerClusterTests {
    /// Topics of one test, with the configuration of a group that reads them.
    private func withTopics(
        partitions: Int32 = 12, _ body: (EventConsumer.Configuration) async throws -> Void
    ) async throws {
        let servers = realBootstrapServers!
        let prefix = uniqueName("consumer")
        let admin = try Admin(ClientConfiguration(bootstrapServers: servers))
        defer { admin.close() }
        let topics = EventTopic.allCases.map { $0.name(prefix: prefix) }
        let made = try admin.create(
            topics.map { NewTopic(name: $0, partitions: partitions, replication: 1) }, timeout: 20_000)
        #expect(made.values.allSatisfy { $0 == nil })
        var configuration = EventConsumer.Configuration(bootstrapServers: servers, group: prefix)
        configuration.topicPrefix = prefix
        configuration.log = .none
        configuration.failure.backoff.initial = .milliseconds(5)
        configuration.commitInterval = .milliseconds(200)
        try await body(configuration)
    }

    /// Reading is stopped while what was fetched of other partitions has not been seen yet: it must come later.
    @Test func pausesLoseNothing() async throws {
        try await withTopics { given in
            let numbers = 240
            let messages = 10
            try await publish(
                (0..<messages).flatMap { message in (0..<numbers).map { status($0, message) } },
                prefix: given.topicPrefix, to: given.bootstrapServers)
            var configuration = given
            configuration.maxBufferedEvents = 8
            let handled = Mutex<Set<String>>([])
            let consumer = EventConsumer(configuration: configuration)
                .onDeliveryStatus { status, context in
                    try? await Task.sleep(for: .milliseconds(context.offset < 20 ? 60 : 1))
                    handled.withLock { _ = $0.insert(context.eventID) }
                }
            let run = Task { try await consumer.run() }
            #expect(await eventually { handled.withLock { $0.count } >= numbers * messages })
            consumer.shutdown()
            try await run.value
            #expect(handled.withLock { $0.count } == numbers * messages)
        }
    }
}
