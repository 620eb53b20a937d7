import SMSBridgeKafka
import SMSBridgeTelemetry
import SMSPortalEvents
import Synchronization
import Testing

@testable import SMSPortalConsumer

/// The whole consumer against librdkafka's mock cluster.
struct EventConsumerMockTests {
    private func withCluster(_ body: (String) async throws -> Void) async throws {
        let cluster = try MockCluster()
        defer { cluster.close() }
        for topic in EventTopic.allCases { try cluster.createTopic(topic.name(), partitions: 4) }
        for topic in ["g-dlt", "g-redrive"] { try cluster.createTopic(topic, partitions: 2) }
        try await body(cluster.bootstrapServers)
    }

    private func configuration(_ bootstrapServers: String) -> EventConsumer.Configuration {
        var configuration = EventConsumer.Configuration(bootstrapServers: bootstrapServers, group: "g")
        configuration.log = .none
        configuration.failure.backoff.initial = .milliseconds(5)
        configuration.commitInterval = .milliseconds(100)
        return configuration
    }

    @Test func handlesEveryEventInOrderOfItsNumber() async throws {
        try await withCluster { servers in
            let numbers = 40
            let messages = 50
            try await publish(
                (0..<messages).flatMap { message in (0..<numbers).map { status($0, message) } }, to: servers)
            let seen = Mutex<[String: [Int64]]>([:])
            let consumer = EventConsumer(configuration: configuration(servers))
                .onDeliveryStatus { status, context in
                    if Int.random(in: 0..<10) == 0 { await Task.yield() }
                    seen.withLock {
                        $0[status.msisdn ?? "", default: []].append(status.receivedAt.millisecondsSinceEpoch)
                    }
                }
            let run = Task { try await consumer.run() }
            #expect(await eventually { seen.withLock { $0.values.reduce(0) { $0 + $1.count } } >= numbers * messages })
            consumer.shutdown()
            try await run.value
            let all = seen.withLock { $0 }
            #expect(all.count == numbers)
            for (_, times) in all { #expect(times == times.sorted() && times.count == messages) }
        }
    }

    @Test func theSequenceGivesWhatIsAcknowledgedOnce() async throws {
        try await withCluster { servers in
            try await publish((0..<20).map { status($0, 0) }, to: servers)
            var seen: Set<String> = []
            for try await delivery in EventConsumer(configuration: configuration(servers)).events(.deliveryStatus) {
                seen.insert(delivery.context.eventID)
                delivery.acknowledge()
                if seen.count == 20 { break }
            }
            #expect(seen.count == 20)
        }
    }

    @Test func whatFailsForGoodIsADeadLetterAndOthersGoOn() async throws {
        try await withCluster { servers in
            try await publish((0..<30).map { status($0, 0) } + [status(7, 1)], to: servers)
            struct Broken: Error {}
            let handled = Mutex(0)
            let attempts = Mutex(0)
            let bad = "27821000007"
            let consumer = EventConsumer(configuration: configuration(servers))
                .onDeliveryStatus { status, context in
                    if status.msisdn == bad {
                        attempts.withLock { $0 += 1 }
                        throw Broken()
                    }
                    handled.withLock { $0 += 1 }
                }
            let run = Task { try await consumer.run() }
            #expect(await eventually { attempts.withLock { $0 } >= 10 && handled.withLock { $0 } == 29 })
            consumer.shutdown()
            try await run.value
            let text = consumer.configuration.metrics.prometheusText()
            #expect(
                text.contains(
                    #"smsportal_consumer_events_total{group="g",type="delivery-status",outcome="dead-lettered"} 2"#))
        }
    }

    @Test func finishWaitsForTheLastCommit() async throws {
        try await withCluster { servers in
            try await publish((0..<20).map { status($0, 0) }, to: servers)
            var configuration = configuration(servers)
            // Only the end commits.
            configuration.commitInterval = .seconds(600)
            // The mock cluster lets nobody into a group for a while whose only member has left.
            configuration.joinsGroup = false
            var acknowledged: Set<String> = []
            let first = EventConsumer(configuration: configuration).events(.deliveryStatus)
            for try await delivery in first {
                acknowledged.insert(delivery.context.eventID)
                delivery.acknowledge()
                if acknowledged.count == 7 { break }
            }
            try await first.finish()
            var again: Set<String> = []
            let second = EventConsumer(configuration: configuration).events(.deliveryStatus)
            for try await delivery in second {
                again.insert(delivery.context.eventID)
                delivery.acknowledge()
                if acknowledged.union(again).count == 20 { break }
            }
            try await second.finish()
            #expect(again.count < 20, "what was acknowledged at the beginning of a partition was committed")
        }
    }

    /// An idempotent producer may come to its end for good, which is ordinary: the next letters go to another one.
    @Test func deadLettersOutliveAFatalErrorAndAreCutToFit() async throws {
        let cluster = try MockCluster()
        defer { cluster.close() }
        try cluster.createTopic("g-dlt", partitions: 1)
        let letters = try DeadLetterQueue(
            configuration(cluster.bootstrapServers), log: Logger(label: "test", sink: EventLog.none.sink))
        defer { letters.close() }
        let record = ConsumedRecord(topic: "t", partition: 0, offset: 7, key: [1], value: [2])
        let failure = Failure(type: .reply, kind: "Broken", message: "why", attempts: 1)
        try await letters.write(record, failure)
        letters.injectFatalError()
        await #expect(throws: KafkaError.self) { try await letters.write(record, failure) }
        try await letters.write(record, failure)
        cluster.failNext(.produce, with: [.messageTooLarge])
        try await letters.write(record, failure)
        let consumer = try Consumer(
            ConsumerConfiguration(
                client: ClientConfiguration(bootstrapServers: cluster.bootstrapServers), group: "judge"))
        defer { consumer.close() }
        try consumer.assign([TopicPartition("g-dlt", 0, offset: TopicPartition.beginning)])
        var messages: [String] = []
        for _ in 0..<300 where messages.count < 3 {
            guard case .message(let message)? = consumer.poll(timeout: 100) else { continue }
            let error = message.headers.first { $0.name == "\(DeadLetterHeaders.errorMessage)" }?.value
            messages.append(String(decoding: error ?? [], as: UTF8.self))
        }
        #expect(messages == ["why", "why", ""])
    }

    /// Notes whether its caller was cancelled, as a database's driver would by throwing.
    private final class Store: ProcessedEvents {
        let released = Mutex<[Bool]>([])
        private let memory = InMemoryProcessedEvents()

        func claim(_ key: EventClaimKey, expiry: Duration) async throws -> EventClaimOutcome {
            try await memory.claim(key, expiry: expiry)
        }

        func complete(_ claim: EventClaim) async throws -> Bool {
            try Task.checkCancellation()
            return try await memory.complete(claim)
        }

        func release(_ claim: EventClaim) async throws {
            released.withLock { $0.append(Task.isCancelled) }
            try Task.checkCancellation()
            try await memory.release(claim)
        }
    }

    @Test func aCancelledHandlersClaimIsReleased() async throws {
        try await withCluster { servers in
            try await publish([status(1, 0)], to: servers)
            let store = Store()
            let began = Mutex(false)
            var configuration = configuration(servers)
            configuration.processedEvents = store
            let consumer = EventConsumer(configuration: configuration)
                .onDeliveryStatus { _, _ in
                    began.withLock { $0 = true }
                    try await Task.sleep(for: .seconds(3_600))
                }
            let run = Task { try await consumer.run() }
            #expect(await eventually { began.withLock { $0 } })
            run.cancel()
            try? await run.value
            #expect(store.released.withLock { $0 } == [false], "whoever gets the partition would wait for the expiry")
        }
    }
}
