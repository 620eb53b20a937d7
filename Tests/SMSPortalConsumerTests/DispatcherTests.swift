import SMSBridgeTelemetry
import SMSPortalEvents
import Synchronization
import Testing

@testable import SMSPortalConsumer

#if canImport(Glibc)
import Glibc
#endif

struct DispatcherTests {
    /// Works on key 1 until it is cancelled, and notes what it has done of others.
    private final class Stubborn: TestProcessor {
        let begun = Mutex(false)
        let done = Mutex<[Int64]>([])

        func process(_ work: TestWork) async -> WorkResult {
            if work.name == "1" {
                begun.withLock { $0 = true }
                while !Task.isCancelled { try? await Task.sleep(for: .seconds(1)) }
                return .abandoned
            }
            done.withLock { $0.append(work.offset) }
            return .done
        }
    }

    /// The polling thread may be in a poll of seconds.
    @Test func whatIsReadyIsBegunWhenACancelledWorkerEnds() async {
        let processor = Stubborn()
        let dispatcher = Dispatcher(
            limits: .init(concurrency: 1, maxRecords: 10, maxBytes: 1 << 20, maxSpan: 100), wakeLoop: {},
            processor: processor)
        let (revoked, kept) = dispatcher.update { ($0.open(), $0.open()) }
        dispatcher.update { core in _ = core.add(record(0, key: 1), to: revoked) }
        #expect(await eventually { processor.begun.withLock { $0 } })
        dispatcher.update { core in _ = core.add(record(7, key: 2, partition: 1), to: kept) }
        dispatcher.fence([revoked], givingBack: true)
        dispatcher.cancel([revoked])
        #expect(await eventually { processor.done.withLock { $0 } == [7] })
    }

    /// Stands at some keys until they are let go, at others for ever.
    private final class Gated: TestProcessor {
        let open = Mutex<Set<String>>([])
        let begun = Mutex<Set<String>>([])
        let done = Mutex(0)

        func process(_ work: TestWork) async -> WorkResult {
            defer { done.withLock { $0 += 1 } }
            let key = work.name
            begun.withLock { _ = $0.insert(key) }
            guard key.utf8.count == 4 else { return .done }
            while !Task.isCancelled, open.withLock({ !$0.contains(key) }) {
                try? await Task.sleep(for: .milliseconds(1))
            }
            return .done
        }

        func hasBegun(_ key: Int) -> Bool { begun.withLock { $0.contains("\(key)") } }
    }

    /// One that a worker has done counts as done, however long it is at its last one.
    @Test func whatIsDoneIsHandedInThoughTheWorkerStands() async throws {
        let processor = Gated()
        let dispatcher = Dispatcher(
            limits: .init(concurrency: 4, maxRecords: 10_000, maxBytes: 1 << 24, maxSpan: 100_000),
            batchLimit: BatchLimit(32), wakeLoop: {}, processor: processor)
        let assignment = dispatcher.update { $0.open() }
        var offset: Int64 = 0
        func add(_ keys: [Int]) {
            dispatcher.update { core in
                for key in keys {
                    core.add(record(offset, key: key), to: assignment)
                    offset += 1
                }
            }
        }
        var now = monotonicNow()
        func lookUntil(_ condition: () -> Bool) async {
            let end = ContinuousClock.now + .seconds(600)
            while !condition(), ContinuousClock.now < end {
                now += 3_000_000
                _ = dispatcher.serve(now: now)
                try? await Task.sleep(for: .milliseconds(1))
            }
            #expect(condition())
        }
        // Three workers stand at their first records; behind the first of them there is another.
        add([9_000, 1, 9_003, 9_004])
        await lookUntil { [9_000, 9_003, 9_004].allSatisfy(processor.hasBegun) }
        // The fourth waits at one of its records, does the others, and stands at the last.
        add([9_001, 11, 12, 9_002, 13, 14, 15, 16])
        await lookUntil { processor.hasBegun(9_001) }
        processor.open.withLock { _ = $0.insert("9001") }
        await lookUntil { processor.hasBegun(9_002) }
        await lookUntil { dispatcher.read { $0.records } == Int(offset) - processor.done.withLock { $0 } }
        dispatcher.stop()
        dispatcher.fence([assignment], givingBack: true)
        dispatcher.cancel([assignment])
    }

    /// Handlers that stand until their task is cancelled, or until as many of them as there should be have begun.
    private final class Standing: TestProcessor {
        let begun = Atomic(0)
        let wanted: Int
        let blocks: Bool

        init(wanted: Int, blocks: Bool) {
            self.wanted = wanted
            self.blocks = blocks
        }

        func process(_ work: TestWork) async -> WorkResult {
            begun.wrappingAdd(1, ordering: .relaxed)
            if blocks {
                for _ in 0..<600_000 where begun.load(ordering: .relaxed) < wanted { usleep(1_000) }
                return .done
            }
            while !Task.isCancelled { try? await Task.sleep(for: .seconds(1)) }
            return work.attempt < 2 ? .later(.init(delay: .zero)) : .done
        }
    }

    @Test func anAttemptBeyondItsTimeIsCancelledAndTriedAgain() async {
        let processor = Standing(wanted: 1, blocks: false)
        let dispatcher = Dispatcher(
            limits: .init(concurrency: 4, maxRecords: 10, maxBytes: 1 << 20, maxSpan: 100),
            attemptTimeout: 1_000_000_000, wakeLoop: {}, processor: processor)
        let assignment = dispatcher.update { $0.open() }
        dispatcher.update { core in _ = core.add(record(0, key: 1), to: assignment) }
        var now = monotonicNow() + 3_600_000_000_000
        var cancelled: [OverdueHandler] = []
        for attempt in 1...2 {
            #expect(await eventually { processor.begun.load(ordering: .relaxed) == attempt })
            for _ in 0..<3_000 where cancelled.count < attempt {
                now += 100_000_000
                cancelled += dispatcher.serve(now: now).overdue.filter(\.isCancelled)
            }
            #expect(cancelled.count == attempt)
            // The retry is due by the clock of `now`.
            let end = ContinuousClock.now + .seconds(600)
            while attempt == 1, processor.begun.load(ordering: .relaxed) == 1, ContinuousClock.now < end {
                _ = dispatcher.serve(now: now)
                try? await Task.sleep(for: .milliseconds(5))
            }
        }
        #expect(await eventually { dispatcher.read { $0.records } == 0 })
        #expect(cancelled.map(\.record.offset) == [0, 0] && cancelled.map(\.record.attempt) == [1, 2])
    }

    @Test func handlersThatBlockRunAtOnceOnThreadsOfTheirOwn() async {
        let processor = Standing(wanted: 12, blocks: true)
        let dispatcher = Dispatcher(
            limits: .init(concurrency: 12, maxRecords: 100, maxBytes: 1 << 20, maxSpan: 100), executor: .threads(12),
            wakeLoop: {}, processor: processor)
        let assignment = dispatcher.update { $0.open() }
        dispatcher.update { core in
            for key in 0..<12 { core.add(record(Int64(key), key: key), to: assignment) }
        }
        #expect(await eventually { dispatcher.read { $0.records } == 0 })
        #expect(processor.begun.load(ordering: .relaxed) == 12)
    }

    @Test func workersThatGetNoThreadAreReported() async {
        let processor = Standing(wanted: 2, blocks: true)
        let dispatcher = Dispatcher(
            limits: .init(concurrency: 2, maxRecords: 100, maxBytes: 1 << 20, maxSpan: 100), executor: .threads(1),
            wakeLoop: {}, processor: processor)
        let assignment = dispatcher.update { $0.open() }
        dispatcher.update { core in
            for key in 0..<2 { core.add(record(Int64(key), key: key), to: assignment) }
        }
        #expect(await eventually { processor.begun.load(ordering: .relaxed) == 1 })
        var now = monotonicNow()
        var starved = 0
        for _ in 0..<3_000 where starved == 0 {
            now += 100_000_000
            starved += dispatcher.serve(now: now).overdue.count(where: \.isStarved)
            try? await Task.sleep(for: .milliseconds(1))
        }
        #expect(starved == 1)
        processor.begun.wrappingAdd(1, ordering: .relaxed)
        #expect(await eventually { dispatcher.read { $0.records } == 0 })
    }

    @Test func aCancellationCountsWheneverItComes() {
        let control = ConsumerControl()
        control.stop(.failed(EventConsumerError(.handler, "first")))
        #expect(!control.isCancelled)
        control.stop(.cancelled)
        #expect(control.isCancelled)
        control.stop(.failed(EventConsumerError(.handler, "second")))
        guard case .failed(let error) = control.stopWanted else {
            Issue.record("the failure is forgotten")
            return
        }
        #expect(error.description.contains("first"))
    }

    private func context(_ event: Event) -> EventContext {
        EventContext(
            ConsumedBlock(
                RunFacts(group: "g", topics: ["t"], log: EventLog.none.sink, replayName: nil), record(0, key: 0),
                envelope: event.envelope, attempt: 1, topic: 0))
    }

    @Test func aDeliveryThatWasCancelledIsNotGivenOut() async throws {
        let channel = DeliveryChannel()
        let (first, second) = (status(1, 0), status(2, 0))
        let cancelled = Task { try await channel.deliver(first, context(first)) }
        #expect(await eventually { channel.waitingCount == 1 })
        cancelled.cancel()
        await #expect(throws: CancellationError.self) { try await cancelled.value }
        let good = Task { try await channel.deliver(second, context(second)) }
        let delivered = try await channel.next()
        #expect(delivered?.event == second, "the first one's partition may be another member's by now")
        delivered?.acknowledge()
        // So that a failure does not wait without end.
        channel.abandon()
        try? await good.value
    }

    @Test func aDeliveryThatIsLetGoOfHasFailed() async throws {
        let channel = DeliveryChannel()
        let event = status(1, 0)
        let delivery = Task { try await channel.deliver(event, context(event)) }
        _ = try await channel.next()
        await #expect(throws: DeliveredEvent.NotAcknowledged.self) { try await delivery.value }
    }

    @Test func anAbandonedChannelGivesBackWhatIsWaiting() async throws {
        let channel = DeliveryChannel()
        let event = status(1, 0)
        let delivery = Task { try await channel.deliver(event, context(event)) }
        #expect(await eventually { channel.waitingCount == 1 })
        channel.abandon()
        await #expect(throws: DeliveryAbandoned.self) { try await delivery.value }
        await #expect(throws: DeliveryAbandoned.self) { try await channel.deliver(event, context(event)) }
        #expect(try await channel.next() == nil)
    }

    @Test func theFirstWordOnADeliveryCounts() async throws {
        let receipt = DeliveryReceipt()
        receipt.settle(.success(()))
        receipt.settle(.failure(CancellationError()))
        try await receipt.wait()
    }
}
