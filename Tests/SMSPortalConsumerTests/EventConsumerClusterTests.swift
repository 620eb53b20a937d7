import SMSBridgeKafka
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

    /// A member that comes and goes makes the group rebalance, while another commits all the time: no commit crosses a
    /// rebalance, so no partition is lost and nothing is handled again.
    @Test func commitsDoNotCrossRebalances() async throws {
        try await withTopics(partitions: 4) { given in
            var configuration = given
            configuration.commitInterval = .milliseconds(10)
            configuration.concurrency = 4
            configuration.kafkaProperties["heartbeat.interval.ms"] = "500"
            let count = 20_000
            try await publish(
                (0..<count).map { status($0 % 200, $0 / 200) }, prefix: given.topicPrefix, to: given.bootstrapServers)
            let handled = Mutex<[String: Int]>([:])
            let lost = Atomic(0)
            let assigned = Atomic(0)
            let isOver = Atomic(false)
            func member() -> EventConsumer {
                EventConsumer(configuration: configuration)
                    .onDeliveryStatus { _, context in
                        handled.withLock { $0[context.eventID, default: 0] += 1 }
                        if !isOver.load(ordering: .relaxed) { try? await Task.sleep(for: .milliseconds(4)) }
                    }
                    .onPartitionsLost { lost.add($0.count, ordering: .relaxed) }
                    .onPartitionsAssigned { assigned.add($0.count, ordering: .relaxed) }
            }
            let first = member()
            let run = Task { try await first.run() }
            #expect(await eventually { assigned.load(ordering: .relaxed) > 0 })
            for _ in 0..<5 {
                let before = assigned.load(ordering: .relaxed)
                let second = member()
                let other = Task { try await second.run() }
                #expect(await eventually { assigned.load(ordering: .relaxed) > before })
                try await Task.sleep(for: .milliseconds(1_500))
                second.shutdown()
                try await other.value
                try await Task.sleep(for: .milliseconds(1_500))
            }
            isOver.store(true, ordering: .relaxed)
            #expect(await eventually { handled.withLock { $0.count } == count })
            first.shutdown()
            try await run.value
            #expect(lost.load(ordering: .relaxed) == 0)
            #expect(handled.withLock { $0.values.count { $0 > 1 } } == 0, "events were handled again")
        }
    }

    private func topic(_ configuration: EventConsumer.Configuration) -> String {
        EventTopic.deliveryStatus.name(prefix: configuration.topicPrefix)
    }

    private func plain(_ configuration: EventConsumer.Configuration) throws -> Consumer {
        try Consumer(
            ConsumerConfiguration(
                client: ClientConfiguration(bootstrapServers: configuration.bootstrapServers),
                group: configuration.group))
    }

    private func commit(_ configuration: EventConsumer.Configuration, offset: Int64, partitions: Int32) throws {
        let consumer = try plain(configuration)
        defer { consumer.close() }
        try consumer.commit((0..<partitions).map { TopicPartition(topic(configuration), $0, offset: offset) })
    }

    /// How many records the group has not committed.
    private func uncommitted(_ configuration: EventConsumer.Configuration, partitions: Int32) throws -> Int64 {
        let consumer = try plain(configuration)
        defer { consumer.close() }
        let places = try consumer.committed(
            (0..<partitions).map { TopicPartition(topic(configuration), $0) }, timeout: 10_000)
        return try places.reduce(0) { sum, place in
            let ends = try consumer.client.watermarks(topic: place.topic, partition: place.partition, timeout: 10_000)
            return sum + ends.upperBound - max(place.offset ?? 0, ends.lowerBound)
        }
    }

    @Test(arguments: [EventConsumer.Configuration.OffsetOutOfRange.earliest, .latest, .stop])
    func anOffsetOutOfRangeIsToldAndThePolicyDecides(_ policy: EventConsumer.Configuration.OffsetOutOfRange)
        async throws
    {
        try await withTopics(partitions: 3) { given in
            var configuration = given
            configuration.offsetOutOfRange = policy
            try await publish(
                (0..<30).map { status($0, 0) }, prefix: given.topicPrefix, to: given.bootstrapServers)
            try commit(configuration, offset: 10_000, partitions: 3)
            let seen = Mutex<Set<String>>([])
            let consumer = EventConsumer(configuration: configuration)
                .onDeliveryStatus { _, context in seen.withLock { _ = $0.insert(context.eventID) } }
            let run = Task { try await consumer.run() }
            @Sendable func told() -> Bool {
                let text = consumer.configuration.metrics.prometheusText()
                return text.contains("smsportal_consumer_offsets_out_of_range_total{group=\"\(given.group)\"} ")
                    && !text.contains("smsportal_consumer_offsets_out_of_range_total{group=\"\(given.group)\"} 0")
            }
            #expect(await eventually { told() })
            switch policy {
            case .stop:
                await #expect {
                    try await run.value
                } throws: { ($0 as? EventConsumerError)?.code == .offsetOutOfRange }
                return
            case .earliest:
                #expect(await eventually { seen.withLock { $0.count } == 30 })
            case .latest:
                let text = "smsportal_consumer_offsets_out_of_range_total{group=\"\(given.group)\"} 3"
                #expect(await eventually { consumer.configuration.metrics.prometheusText().contains(text) })
                // What comes while the ends are looked up may lie before them.
                var message = 1
                while seen.withLock({ $0.isEmpty }), message < 60 {
                    try await publish(
                        (0..<30).map { status($0, message) }, prefix: given.topicPrefix, to: given.bootstrapServers)
                    message += 1
                    try await Task.sleep(for: .milliseconds(500))
                }
                let old = Set((0..<30).map { status($0, 0).id })
                #expect(seen.withLock { $0.isDisjoint(with: old) })
            }
            consumer.shutdown()
            try await run.value
        }
    }

    @Test func aHandlerThatOutlivesThePollIntervalCostsNoMembership() async throws {
        try await withTopics(partitions: 3) { given in
            var configuration = given
            configuration.kafkaProperties = [
                "max.poll.interval.ms": "6000", "session.timeout.ms": "6000", "heartbeat.interval.ms": "1000",
            ]
            try await publish((0..<20).map { status($0, 0) }, prefix: given.topicPrefix, to: given.bootstrapServers)
            let seen = Mutex<[String]>([])
            let lost = Mutex(0)
            let consumer = EventConsumer(configuration: configuration)
                .onDeliveryStatus { status, context in
                    if status.msisdn == "27821000007" { try await Task.sleep(for: .seconds(8)) }
                    seen.withLock { $0.append(context.eventID) }
                }
                .onPartitionsLost { _ in lost.withLock { $0 += 1 } }
            let run = Task { try await consumer.run() }
            #expect(await eventually { seen.withLock { $0.count } == 20 })
            consumer.shutdown()
            try await run.value
            #expect(lost.withLock { $0 } == 0)
            #expect(seen.withLock { Set($0).count == 20 && $0.count == 20 })
            #expect(try uncommitted(configuration, partitions: 3) == 0)
        }
    }

    @Test func membersThatComeAndGoHandleEverythingInOrder() async throws {
        try await withTopics { configuration in
            let numbers = 60
            let messages = 40
            try await publish(
                (0..<messages).flatMap { message in (100..<100 + numbers).map { status($0, message) } },
                prefix: configuration.topicPrefix, to: configuration.bootstrapServers)
            let seen = Mutex<[String: [Int64]]>([:])
            func member() -> (EventConsumer, Task<Void, any Error>) {
                let consumer = EventConsumer(configuration: configuration)
                    .onDeliveryStatus { status, _ in
                        try await Task.sleep(for: .milliseconds(20))
                        seen.withLock {
                            $0[status.msisdn ?? "", default: []].append(status.receivedAt.millisecondsSinceEpoch)
                        }
                    }
                return (consumer, Task { try await consumer.run() })
            }
            @Sendable func count() -> Int { seen.withLock { $0.values.reduce(0) { $0 + $1.count } } }
            let (first, firstRun) = member()
            #expect(await eventually { count() > 50 })
            let (_, secondRun) = member()
            let (third, thirdRun) = member()
            // Before its first assignment, perhaps: an older librdkafka would abort the process.
            let (fourth, fourthRun) = member()
            fourth.shutdown()
            try await fourthRun.value
            #expect(await eventually { count() > 600 })
            first.shutdown()
            try await firstRun.value
            #expect(await eventually { count() > 1_200 })
            secondRun.cancel()
            try? await secondRun.value
            #expect(
                await eventually {
                    seen.withLock { $0.values.allSatisfy { Set($0).count == messages } && $0.count == numbers }
                })
            third.shutdown()
            try await thirdRun.value
            for times in seen.withLock({ $0.values.map { $0 } }) {
                var firsts: [Int64] = []
                for time in times where !firsts.contains(time) { firsts.append(time) }
                #expect(firsts == firsts.sorted())
            }
            #expect(try uncommitted(configuration, partitions: 12) == 0)
        }
    }

    @Test func aDeadLetterThatKafkaRefusesHoldsItsEventBack() async throws {
        try await withTopics(partitions: 1) { configuration in
            let admin = try Admin(ClientConfiguration(bootstrapServers: configuration.bootstrapServers))
            defer { admin.close() }
            let name = configuration.deadLetterTopic
            _ = try admin.create(
                [NewTopic(name: name, partitions: 1, replication: 1, configuration: ["max.message.bytes": "100"])],
                timeout: 20_000)
            struct Broken: Error {}
            try await publish(
                [status(1, 0)], prefix: configuration.topicPrefix, to: configuration.bootstrapServers)
            let consumer = EventConsumer(configuration: configuration).onDeliveryStatus { _, _ in throw Broken() }
            let run = Task { try await consumer.run() }
            let failures = "smsportal_consumer_dead_letter_failures_total{group=\"\(configuration.group)\"} "
            #expect(
                await eventually {
                    let text = consumer.configuration.metrics.prometheusText()
                    return text.contains(failures) && !text.contains(failures + "0")
                })
            #expect(try uncommitted(configuration, partitions: 1) == 1)
            _ = try admin.delete([name], timeout: 20_000)
            var made = false
            for _ in 0..<100 where !made {
                let result = try admin.create([NewTopic(name: name, partitions: 1, replication: 1)], timeout: 20_000)
                made = result[name] == .some(nil)
                if !made { try await Task.sleep(for: .milliseconds(100)) }
            }
            #expect(made)
            #expect(
                await eventually {
                    consumer.configuration.metrics.prometheusText().contains("outcome=\"dead-lettered\"} 1")
                })
            consumer.shutdown()
            try await run.value
            #expect(try uncommitted(configuration, partitions: 1) == 0)
        }
    }

    /// "The end" is a place, not a habit: what comes while nobody runs is handled by whoever starts next.
    @Test func aGroupThatBeganAtTheEndMissesNothingOverARestart() async throws {
        try await withTopics(partitions: 3) { given in
            var configuration = given
            configuration.startAt = .latest
            let admin = try Admin(ClientConfiguration(bootstrapServers: given.bootstrapServers))
            defer { admin.close() }
            _ = try admin.create(
                [given.deadLetterTopic, given.redriveTopic].map { NewTopic(name: $0, partitions: 1, replication: 1) },
                timeout: 20_000)
            // Sent again to this group before it has ever run.
            let letter = status(77, 0).record()
            var sending = ProducerConfiguration(
                client: ClientConfiguration(bootstrapServers: given.bootstrapServers))
            sending.messageTimeoutMilliseconds = 30_000
            let producer = try ProducerThread(sending)
            let report = try await producer.send(
                topic: given.redriveTopic, key: letter.key, value: letter.value,
                timestamp: letter.timestamp.millisecondsSinceEpoch, headers: letter.headers.map { ($0.name, $0.value) })
            #expect(report.error == nil)
            producer.close()
            try await publish((0..<20).map { status($0, 0) }, prefix: given.topicPrefix, to: given.bootstrapServers)
            let seen = Mutex<Set<String>>([])
            func member() -> EventConsumer {
                EventConsumer(configuration: configuration)
                    .onDeliveryStatus { _, context in seen.withLock { _ = $0.insert(context.eventID) } }
            }
            let first = member()
            let run = Task { try await first.run() }
            #expect(
                await eventually { seen.withLock { $0.contains(status(77, 0).id) } }, "the redrive topic is read whole")
            first.shutdown()
            try await run.value
            #expect(seen.withLock { $0.count } == 1)
            try await publish((0..<20).map { status($0, 1) }, prefix: given.topicPrefix, to: given.bootstrapServers)
            let second = member()
            let again = Task { try await second.run() }
            let wanted = Set((0..<20).map { status($0, 1).id })
            #expect(await eventually { seen.withLock { $0.isSuperset(of: wanted) } })
            second.shutdown()
            try await again.value
            #expect(seen.withLock { $0.count } == 21)
        }
    }

    /// Kafka deletes what lies behind what has been read: what has been read and waits is all that is left of it.
    @Test(arguments: [EventConsumer.Configuration.OffsetOutOfRange.earliest, .latest])
    func whatWaitsOutlivesItsDeletion(_ policy: EventConsumer.Configuration.OffsetOutOfRange) async throws {
        try await withTopics(partitions: 1) { given in
            var configuration = given
            configuration.offsetOutOfRange = policy
            configuration.maxBufferedEvents = 20
            // Nothing is read ahead, so that the deletion is met.
            configuration.kafkaProperties = ["queued.min.messages": "1", "fetch.message.max.bytes": "4000"]
            try await publish((0..<400).map { status($0, 0) }, prefix: given.topicPrefix, to: given.bootstrapServers)
            let gate = Mutex(false)
            let seen = Mutex<[String]>([])
            let begun = Mutex(0)
            let consumer = EventConsumer(configuration: configuration)
                .onDeliveryStatus { _, context in
                    begun.withLock { $0 += 1 }
                    while gate.withLock({ !$0 }) { try await Task.sleep(for: .milliseconds(10)) }
                    seen.withLock { $0.append(context.eventID) }
                }
            let run = Task { try await consumer.run() }
            #expect(await eventually { begun.withLock { $0 } >= 20 })
            let admin = try Admin(ClientConfiguration(bootstrapServers: given.bootstrapServers))
            defer { admin.close() }
            _ = try admin.deleteRecords(before: [TopicPartition(topic(configuration), 0, offset: 380)], timeout: 20_000)
            gate.withLock { $0 = true }
            try await publish((0..<400).map { status($0, 1) }, prefix: given.topicPrefix, to: given.bootstrapServers)
            let held = Set((0..<20).map { status($0, 0).id })
            #expect(await eventually { seen.withLock { Set($0).isSuperset(of: held) } })
            if policy == .earliest {
                let kept = Set((380..<400).map { status($0, 0).id } + (0..<400).map { status($0, 1).id })
                #expect(await eventually { seen.withLock { Set($0).isSuperset(of: kept) } })
            }
            consumer.shutdown()
            try await run.value
            #expect(seen.withLock { $0.count == Set($0).count }, "nothing is handled twice")
            if policy == .earliest { #expect(try uncommitted(configuration, partitions: 1) == 0) }
        }
    }

    @Test func aGroupThatBeginsAtTheEndHandlesOnlyWhatComes() async throws {
        try await withTopics(partitions: 3) { given in
            var configuration = given
            configuration.startAt = .latest
            try await publish((0..<20).map { status($0, 0) }, prefix: given.topicPrefix, to: given.bootstrapServers)
            let seen = Mutex<Set<String>>([])
            let isAssigned = Mutex(false)
            let consumer = EventConsumer(configuration: configuration)
                .onDeliveryStatus { _, context in seen.withLock { _ = $0.insert(context.eventID) } }
                .onPartitionsAssigned { _ in isAssigned.withLock { $0 = true } }
            let run = Task { try await consumer.run() }
            #expect(await eventually { isAssigned.withLock { $0 } })
            let before = Set((0..<20).map { status($0, 0).id })
            var message = 1
            while seen.withLock({ $0.isEmpty }), message < 60 {
                try await publish(
                    (0..<20).map { status($0, message) }, prefix: given.topicPrefix, to: given.bootstrapServers)
                message += 1
                try await Task.sleep(for: .milliseconds(500))
            }
            #expect(seen.withLock { !$0.isEmpty && $0.isDisjoint(with: before) })
            consumer.shutdown()
            try await run.value
        }
    }
}
