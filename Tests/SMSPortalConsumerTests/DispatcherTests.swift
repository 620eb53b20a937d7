import SMSBridgeTelemetry
import SMSPortalEvents
import Synchronization
import Testing

@testable import SMSPortalConsumer

struct DispatcherTests {
    /// Works on key 1 until it is cancelled, and notes what it has done of others.
    private final class Stubborn: WorkProcessor {
        let begun = Mutex(false)
        let done = Mutex<[Int64]>([])

        func process(_ work: Work) async -> WorkResult {
            if work.record.key == Array("1".utf8) {
                begun.withLock { $0 = true }
                while !Task.isCancelled { try? await Task.sleep(for: .seconds(1)) }
                return .abandoned
            }
            done.withLock { $0.append(work.record.offset) }
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
    private final class Gated: WorkProcessor {
        let open = Mutex<Set<String>>([])
        let begun = Mutex<Set<String>>([])
        let done = Mutex(0)

        func process(_ work: Work) async -> WorkResult {
            defer { done.withLock { $0 += 1 } }
            let key = String(decoding: work.record.key ?? [], as: UTF8.self)
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
        func look() {
            now += 3_000_000
            _ = dispatcher.serve(now: now)
        }
        // Three workers stand at their first records; behind the first of them there is another.
        add([9_000, 1, 9_003, 9_004])
        #expect(await eventually { [9_000, 9_003, 9_004].allSatisfy(processor.hasBegun) })
        look()
        // The fourth takes four: it waits at the first of them, and stands at the last.
        add([9_001, 11, 12, 9_002, 13, 14, 15, 16])
        #expect(await eventually { processor.hasBegun(9_001) })
        look()
        processor.open.withLock { _ = $0.insert("9001") }
        #expect(await eventually { processor.hasBegun(9_002) })
        for _ in 0..<4 { look() }
        #expect(dispatcher.read { $0.records } == Int(offset) - processor.done.withLock { $0 })
        dispatcher.stop()
        dispatcher.fence([assignment], givingBack: true)
        dispatcher.cancel([assignment])
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
            event.envelope, record(0, key: 0), group: "g", attempt: 1, replayName: nil, log: EventLog.none.sink)
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
