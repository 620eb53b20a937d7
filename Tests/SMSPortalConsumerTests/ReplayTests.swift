import SMSBridgeKafka
import SMSBridgeTelemetry
import SMSPortalConsumer
import SMSPortalEvents
import Synchronization
import Testing

/// Replays on a real cluster: its time index and its group offsets decide.
@Suite(.enabled(if: realBootstrapServers != nil))
struct ReplayTests {
    /// What handlers have seen: event ids, in order.
    private final class Seen: Sendable {
        let ids = Mutex<[String]>([])
        let replays = Mutex<Set<String>>([])
        /// What happens, by the handler that gets there, at so many events.
        let act = Mutex<(count: Int, body: @Sendable () -> Void)?>(nil)

        func note(_ context: EventContext) {
            let count = ids.withLock { ids in
                ids.append(context.eventID)
                return ids.count
            }
            replays.withLock { _ = $0.insert(context.isReplay ? context.replayName ?? "?" : "live") }
            let act = act.withLock { $0?.count == count ? $0?.body : nil }
            act?()
        }

        var count: Int { ids.withLock { $0.count } }
        var set: Set<String> { ids.withLock { Set($0) } }
    }

    private func withTopics(_ body: (EventConsumer.Configuration) async throws -> Void) async throws {
        let servers = realBootstrapServers!
        let prefix = uniqueName("replay")
        let admin = try Admin(ClientConfiguration(bootstrapServers: servers))
        defer { admin.close() }
        let made = try admin.create(
            EventTopic.allCases.map { NewTopic(name: $0.name(prefix: prefix), partitions: 6, replication: 1) },
            timeout: 20_000)
        #expect(made.values.allSatisfy { $0 == nil })
        // The broker answers before its own metadata has the topics.
        var isKnown = false
        let end = ContinuousClock.now + .seconds(120)
        while !isKnown, ContinuousClock.now < end {
            let known = try admin.describe(timeout: 10_000).topics.filter { $0.name.hasPrefix("\(prefix).") }
            isKnown = known.count == made.count && known.allSatisfy { $0.partitions.count == 6 }
            if !isKnown { try await Task.sleep(for: .milliseconds(50)) }
        }
        #expect(isKnown)
        var configuration = EventConsumer.Configuration(bootstrapServers: servers, group: prefix)
        configuration.topicPrefix = prefix
        configuration.log = .none
        configuration.failure.backoff.initial = .milliseconds(5)
        configuration.commitInterval = .milliseconds(50)
        try await body(configuration)
    }

    private func consumer(_ configuration: EventConsumer.Configuration, _ seen: Seen) -> EventConsumer {
        EventConsumer(configuration: configuration).onDeliveryStatus { _, context in seen.note(context) }
    }

    /// A live group that has handled everything there is.
    private func handleLive(_ configuration: EventConsumer.Configuration, _ count: Int) async throws {
        let seen = Seen()
        let live = consumer(configuration, seen)
        let run = Task { try await live.run() }
        #expect(await eventually { seen.count >= count })
        live.shutdown()
        try await run.value
    }

    private func committed(_ configuration: EventConsumer.Configuration, _ group: String) throws -> [Int64?] {
        let consumer = try Consumer(
            ConsumerConfiguration(
                client: ClientConfiguration(bootstrapServers: configuration.bootstrapServers), group: group))
        defer { consumer.close() }
        let topic = EventTopic.deliveryStatus.name(prefix: configuration.topicPrefix)
        return try consumer.committed((0..<6).map { TopicPartition(topic, $0) }, timeout: 10_000).map(\.offset)
    }

    @Test func itHandlesAWindowAgainAndTheGroupNoticesNothing() async throws {
        try await withTopics { configuration in
            let events = (0..<40).flatMap { message in (100..<150).map { status($0, message * 1_000) } }
            // What a spool has published late stands behind what is newer.
            let late = events.filter { $0.receivedAt.millisecondsSinceEpoch % 7_000 < 1_000 }
            let lateIDs = Set(late.map(\.id))
            try await publish(
                events.filter { !lateIDs.contains($0.id) } + late, prefix: configuration.topicPrefix,
                to: configuration.bootstrapServers)
            try await handleLive(configuration, events.count)
            let before = try committed(configuration, configuration.group)

            let first = events.map(\.receivedAt).min()!.millisecondsSinceEpoch
            let from = EventTime(millisecondsSinceEpoch: first + 10_000)
            let to = EventTime(millisecondsSinceEpoch: first + 20_000)
            let wanted = Set(events.filter { $0.receivedAt >= from && $0.receivedAt < to }.map(\.id))
            let seen = Seen()
            let replay = Replay("window", of: consumer(configuration, seen), from: .time(from), to: .time(to))
            let steps = Task { await replay.progress.reduce(into: [ReplayProgress]()) { $0.append($1) } }
            let result = try await replay.run()
            #expect(seen.set == wanted && seen.count == wanted.count)
            #expect(seen.replays.withLock { $0 } == ["window"])
            #expect(result.isComplete && result.handled == wanted.count && result.recordsDone == result.recordsTotal)
            #expect(await steps.value.last == result)
            #expect(try committed(configuration, configuration.group) == before)

            let counted = try await Replay("other", of: consumer(configuration, seen), from: .time(from), to: .time(to))
                .count()
            #expect(counted.handled == wanted.count && seen.count == wanted.count)
            let again = try await Replay("window", of: consumer(configuration, seen), from: .time(from), to: .time(to))
                .run()
            #expect(again.isResumed && again.isComplete && again.handled == 0, "a name is replayed once")
        }
    }

    @Test func itSelectsByNumberAndByWhatTheEventSays() async throws {
        try await withTopics { configuration in
            let events = (0..<20).flatMap { message in
                (0..<20).map { status($0, message, status: message % 4 == 0 ? "UNDELIV" : "DELIVRD") }
            }
            try await publish(events, prefix: configuration.topicPrefix, to: configuration.bootstrapServers)
            let number = "27821000003"
            var selection = Replay.Selection(from: .ago(.seconds(3_600)))
            selection.msisdns = [number]
            selection.isIncluded = { event in
                if case .deliveryStatus(let status) = event { status.state != .delivered } else { false }
            }
            let seen = Seen()
            try await Replay("some", of: consumer(configuration, seen), selection).run()
            let wanted = events.filter { event in
                guard case .deliveryStatus(let status) = event else { return false }
                return status.msisdn == number && status.state != .delivered
            }
            #expect(seen.set == Set(wanted.map(\.id)) && seen.count == 5)
        }
    }

    @Test func whatWasStoppedGoesOnWithTheSameEnds() async throws {
        try await withTopics { configuration in
            let events = (0..<30).flatMap { message in (0..<40).map { status($0, message) } }
            try await publish(events, prefix: configuration.topicPrefix, to: configuration.bootstrapServers)
            let seen = Seen()
            var selection = Replay.Selection(from: .earliest)
            selection.eventsPerSecond = 2_000
            let first = Replay("stopped", of: consumer(configuration, seen), selection)
            seen.act.withLock { $0 = (200, { first.stop() }) }
            let progress = try await first.run()
            #expect(!progress.isComplete && progress.handled < events.count)
            // Not of a replay that has begun.
            try await publish(
                (0..<40).map { status($0, 99) }, prefix: configuration.topicPrefix, to: configuration.bootstrapServers)
            let rest = try await Replay("stopped", of: consumer(configuration, seen), selection).run()
            #expect(rest.isResumed && rest.isComplete)
            // One number may be far behind the others at the stop: what lies between comes again.
            #expect(seen.set == Set(events.map(\.id)))
            selection.msisdns = ["27821000001"]
            await #expect {
                try await Replay("stopped", of: consumer(configuration, seen), selection).run()
            } throws: { ($0 as? EventConsumerError)?.code == .configuration }
        }
    }

    @Test func withAStoreOfProcessedEventsItHandlesWhatWasHandledLiveOnce() async throws {
        try await withTopics { given in
            var configuration = given
            configuration.processedEvents = InMemoryProcessedEvents()
            let events = (0..<100).map { status($0, 0) }
            try await publish(events + events, prefix: given.topicPrefix, to: given.bootstrapServers)
            try await handleLive(configuration, events.count)
            let seen = Seen()
            let result = try await Replay("again", of: consumer(configuration, seen), from: .earliest).run()
            #expect(seen.count == events.count && seen.set == Set(events.map(\.id)))
            #expect(result.handled == events.count && result.recordsDone == 200)
        }
    }

    @Test func nothingToReplayIsNoFailureAndAMissingTopicIs() async throws {
        try await withTopics { configuration in
            let seen = Seen()
            let result = try await Replay("nothing", of: consumer(configuration, seen), from: .ago(.seconds(60))).run()
            #expect(result.isComplete && result.recordsTotal == 0 && seen.count == 0)
            var wrong = configuration
            wrong.topicPrefix = uniqueName("no-such")
            await #expect {
                try await Replay("missing", of: consumer(wrong, seen), from: .earliest).run()
            } throws: { ($0 as? EventConsumerError)?.code == .topics }
            for (name, selection) in [
                ("live", Replay.Selection(from: .earliest)), ("a b", Replay.Selection(from: .earliest)),
                ("x", Replay.Selection(from: .now)),
            ] {
                await #expect {
                    try await Replay(name, of: consumer(configuration, seen), selection).run()
                } throws: { ($0 as? EventConsumerError)?.code == .configuration }
            }
        }
    }

    @Test func whatFailsInAReplayIsADeadLetter() async throws {
        try await withTopics { configuration in
            try await publish(
                (0..<20).map { status($0, 0) }, prefix: configuration.topicPrefix, to: configuration.bootstrapServers)
            struct Broken: Error {}
            let consumer = EventConsumer(configuration: configuration).onDeliveryStatus { status, _ in
                if status.msisdn == "27821000007" { throw Broken() }
            }
            let result = try await Replay("failing", of: consumer, from: .earliest).run()
            #expect(result.handled == 19 && result.failed == 1 && result.isComplete)
        }
    }
}
