import SMSBridgeTelemetry
import SMSBridgeTestSupport
import Synchronization
import Testing

@testable import SMSPortalConsumer

/// Who is next, and how much of it a worker takes: the state machines alone, and the dispatcher with tasks.
@Suite struct DispatchTests {
    private let limits = DispatchCore.Limits(concurrency: 8, maxRecords: 10_000, maxBytes: 1 << 30, maxSpan: 1 << 30)

    // MARK: The core

    /// Whatever becomes of pieces of work, and in whatever order: records of a key are begun in their order, one at a time,
    /// none is lost, none is done twice, and the watermark is the first that is not done.
    @Test(arguments: 1...40) func everyRecordIsDoneOnceInTheOrderOfItsKey(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let core = TestCore(limits: limits)
        let assignment = core.open()
        let keys = Int.random(in: 1...12, using: &random)
        var added: Int64 = 0
        var waiting: [String: [Int64]] = [:]
        var unfinished: Set<Int64> = []
        var held: [TestWork] = []
        var now: UInt64 = 1
        for step in 0..<4_000 {
            now += 1_000
            switch Int.random(in: 0..<10, using: &random) {
            case 0...3 where step < 3_000:
                let key = Int.random(in: 0..<keys, using: &random)
                let isTaken = core.add(record(added, key: key), to: assignment)
                #expect(isTaken)
                waiting["\(key)", default: []].append(added)
                unfinished.insert(added)
                added += 1
            case 4...6:
                guard let work = core.next() else { continue }
                #expect(!held.contains { $0.name == work.name }, "two of one key at once, seed \(seed)")
                #expect(waiting[work.name]?.first == work.offset, "out of order, seed \(seed)")
                held.append(work)
            default:
                guard let index = held.indices.randomElement(using: &random) else { continue }
                let work = held.remove(at: index)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: core.giveBack(work)
                case 1: _ = core.finish(work, .later(.init(delay: .nanoseconds(1_500))), now: now)
                default:
                    _ = core.finish(work, .done, now: now)
                    waiting[work.name]?.removeFirst()
                    unfinished.remove(work.offset)
                }
            }
            _ = core.standing(now: now)
            #expect(core.records == unfinished.count && core.runningCount == held.count, "seed \(seed)")
            if added > 0 { #expect(core.watermark(of: assignment) == unfinished.min() ?? added, "seed \(seed)") }
        }
        for work in held { core.giveBack(work) }
        _ = core.standing(now: now + 1_000_000)
        while let work = core.next() {
            let first = waiting[work.name]?.removeFirst()
            #expect(first == work.offset, "seed \(seed)")
            unfinished.remove(work.offset)
            _ = core.finish(work, .done, now: now)
        }
        #expect(unfinished.isEmpty && core.records == 0 && core.bytes == 0, "seed \(seed)")
    }

    @Test func whatIsFencedIsNotBegunAndNotBegunAgain() throws {
        let core = TestCore(limits: limits)
        let assignment = core.open()
        let other = core.open()
        for offset in 0..<4 { core.add(record(Int64(offset), key: offset), to: assignment) }
        core.add(record(0, key: 9), to: other)
        let begun = [core.next(), core.next()].compactMap(\.self)
        try #require(begun.count == 2)
        let (first, second) = (begun[0], begun[1])
        core.fence([assignment])
        #expect(core.running(in: [assignment]) == 2)
        core.giveBack(first)
        let wakesLoop = core.finish(second, .done, now: 1)
        #expect(wakesLoop, "the polling thread waits for the last one")
        #expect(core.running(in: [assignment]) == 0)
        let next = core.next()
        #expect(next?.assignment == other)
        let none = core.next()
        #expect(none?.offset == nil)
        core.close(assignment)
        #expect(core.records == 1)
        // What is left of a partition that has gone does not reach the next one.
        let again = core.open()
        core.add(record(7, key: 0), to: again)
        #expect(core.running(in: [again]) == 0)
        let last = core.next()
        #expect(last?.offset == 7)
    }

    // MARK: Batches

    @Test func aBatchGrowsWhileHandlersAreQuickAndFallsBackWhenTheyAreNot() {
        var limit = BatchLimit()
        #expect(limit.value == 1)
        for _ in 0..<63 { limit.finished(1, in: BatchLimit.quick) }
        #expect(limit.value == 1, "on probation")
        limit.finished(1, in: BatchLimit.quick)
        #expect(limit.value == 2)
        for _ in 0..<12 { limit.finished(limit.value, in: 1_000) }
        #expect(limit.value == BatchLimit.most)
        limit.finished(10, in: BatchLimit.pardon)
        #expect(limit.value == BatchLimit.most, "a worker that the system has stopped for a while")
        for _ in 0..<40 { limit.finished(32, in: 32 * BatchLimit.quick + BatchLimit.pardon / 4) }
        #expect(limit.value == 1, "again and again")
        limit = BatchLimit()
        for _ in 0..<10 { limit.finished(64, in: 64) }
        limit.finished(1, in: 2 * UInt64(BatchLimit.window) * BatchLimit.quick)
        #expect(limit.value == 1, "one that is slow")
        for _ in 0..<10 { limit.finished(64, in: 64) }
        #expect(limit.value == BatchLimit.most)
        for _ in 0..<5 { limit.stuck() }
        #expect(limit.value == 2)
        for _ in 0..<2 { limit.stuck() }
        #expect(limit.value == 1)
    }

    // MARK: The dispatcher

    /// A processor in which one key never ends until it is let go.
    private final class Processor: TestProcessor {
        let done = Mutex<[Int64]>([])
        let slowKeys: Set<[UInt8]>
        private let gate = Mutex<(isOpen: Bool, waiting: [CheckedContinuation<Void, Never>])>((false, []))

        init(slowKey: Int, others: [Int] = []) { slowKeys = Set(([slowKey] + others).map { Array("\($0)".utf8) }) }

        func process(_ work: TestWork) async -> WorkResult {
            if slowKeys.contains(work.key) {
                await withCheckedContinuation { continuation in
                    let isOpen = gate.withLock { gate in
                        if !gate.isOpen { gate.waiting.append(continuation) }
                        return gate.isOpen
                    }
                    if isOpen { continuation.resume() }
                }
            }
            done.withLock { $0.append(work.offset) }
            return .done
        }

        func letGo() {
            let waiting = gate.withLock { gate in
                gate.isOpen = true
                defer { gate.waiting = [] }
                return gate.waiting
            }
            for continuation in waiting { continuation.resume() }
        }

        var count: Int { done.withLock { $0.count } }
    }

    /// After thousands of quick handlers, when workers take many records at once, one handler never returns: every other
    /// key goes on, and so does everything that the same worker had done.
    @Test func aSlowHandlerHoldsBackItsOwnKeyOnly() async throws {
        let processor = Processor(slowKey: -1)
        let dispatcher = Dispatcher(limits: limits, wakeLoop: {}, processor: processor)
        let assignment = dispatcher.update { $0.open() }
        var offset: Int64 = 0
        func add(_ keys: some Sequence<Int>) {
            let records = keys.map { key in
                defer { offset += 1 }
                return record(offset, key: key)
            }
            dispatcher.update { core in
                for record in records { core.add(record, to: assignment) }
            }
        }
        func serveUntil(_ condition: () -> Bool) async throws {
            let end = ContinuousClock.now + .seconds(600)
            while !condition(), ContinuousClock.now < end {
                _ = dispatcher.serve(now: monotonicNow())
                try await Task.sleep(for: .milliseconds(1))
            }
            #expect(condition())
        }
        for _ in 0..<40 {
            add(0..<100)
            try await serveUntil { processor.count == Int(offset) }
        }
        let slow = offset + 50
        add(Array(1...50) + [-1] + Array(100..<400))
        try await serveUntil { processor.count == Int(offset) - 1 }
        try await serveUntil { dispatcher.read { $0.watermark(of: assignment) == slow && $0.records == 1 } }
        processor.letGo()
        try await serveUntil { dispatcher.read { $0.records == 0 && $0.running == 0 } }
        #expect(Set(processor.done.withLock { $0 }).count == Int(offset))
        dispatcher.stop()
    }

    /// Handlers that never return are not among the few workers that quick handlers need.
    @Test func severalHandlersThatNeverReturnHoldBackTheirOwnKeysOnly() async throws {
        let processor = Processor(slowKey: -1, others: [-2, -3, -4, -5])
        let dispatcher = Dispatcher(
            limits: limits, batchLimit: BatchLimit(BatchLimit.most), wakeLoop: {}, processor: processor)
        let assignment = dispatcher.update { $0.open() }
        dispatcher.update { core in
            for offset in 0..<2_000 {
                core.add(
                    record(Int64(offset), key: offset < 500 && offset % 100 == 7 ? -1 - offset / 100 : offset),
                    to: assignment)
            }
        }
        let end = ContinuousClock.now + .seconds(600)
        while processor.count < 1_995, ContinuousClock.now < end {
            _ = dispatcher.serve(now: monotonicNow())
            try await Task.sleep(for: .milliseconds(1))
        }
        #expect(processor.count == 1_995)
        processor.letGo()
        #expect(await eventually { dispatcher.read { $0.records == 0 && $0.running == 0 } })
    }

    /// Records that are counted, each once, and per key in their order.
    private final class Counting: TestProcessor {
        let handled = Mutex<[(key: Int, offset: Int64)]>([])

        func process(_ work: TestWork) async -> WorkResult {
            // Now and then one that is slow, and one that is handled at the second attempt.
            if work.offset % 97 == 0 { try? await Task.sleep(for: .milliseconds(6)) }
            if work.offset % 101 == 0, work.attempt == 1 { return .later(.init(delay: .milliseconds(1))) }
            handled.withLock { $0.append((work.number, work.offset)) }
            return .done
        }
    }

    /// While the polling thread takes back at random what workers have not begun, nothing is lost and nothing handled twice.
    @Test func everythingIsHandledOnceThoughWorkIsTakenBack() async throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededRandom(seed: seed)
        let processor = Counting()
        let dispatcher = Dispatcher(
            limits: limits, batchLimit: BatchLimit(BatchLimit.most), wakeLoop: {}, processor: processor)
        let (assignment, other) = dispatcher.update { ($0.open(), $0.open()) }
        let count = 20_000
        var next = 0
        let end = ContinuousClock.now + .seconds(600)
        while ContinuousClock.now < end {
            let burst = min(Int.random(in: 0...300, using: &random), count - next)
            dispatcher.update { [next] core in
                for offset in next..<next + burst { core.add(record(Int64(offset), key: offset % 331), to: assignment) }
            }
            next += burst
            _ = dispatcher.serve(now: monotonicNow())
            // Takes back what every worker has not begun; the partition has nothing in it.
            if Int.random(in: 0..<3, using: &random) == 0 { dispatcher.fence([other], givingBack: true) }
            if next == count, dispatcher.read({ $0.records }) == 0 { break }
            try await Task.sleep(for: .microseconds(200))
        }
        let handled = processor.handled.withLock { $0 }
        #expect(handled.count == count, "seed \(seed)")
        #expect(Set(handled.map(\.offset)).count == count, "seed \(seed)")
        var last: [Int: Int64] = [:]
        for one in handled {
            #expect(last[one.key] ?? -1 < one.offset, "seed \(seed): \(one)")
            last[one.key] = one.offset
        }
        #expect(dispatcher.read { $0.watermark(of: assignment) } == Int64(count))
        #expect(dispatcher.read { $0.running } == 0)
    }

    /// What a worker has taken and not begun is not begun after its partition was fenced.
    @Test func fencingTakesBackWhatHasNotBeenBegun() async throws {
        let processor = Processor(slowKey: -1)
        let dispatcher = Dispatcher(
            limits: DispatchCore.Limits(concurrency: 1, maxRecords: 1_000, maxBytes: 1 << 30, maxSpan: 1 << 30),
            wakeLoop: {}, processor: processor)
        let assignment = dispatcher.update { $0.open() }
        for round in 0..<20 {
            dispatcher.update { core in
                for key in 0..<100 { core.add(record(Int64(round * 100 + key), key: key), to: assignment) }
            }
            #expect(await eventually { processor.count == (round + 1) * 100 })
        }
        let before = processor.count
        dispatcher.update { core in
            for key in -1..<100 { core.add(record(Int64(2_001 + key), key: key), to: assignment) }
        }
        #expect(await eventually { dispatcher.read { $0.running > 0 } })
        #expect(dispatcher.handlers <= 1, "there is one worker")
        dispatcher.fence([assignment], givingBack: true)
        #expect(dispatcher.read { $0.running(in: [assignment]) } <= 1, "the one that the worker is at")
        processor.letGo()
        #expect(await eventually { dispatcher.read { $0.running(in: [assignment]) } == 0 })
        #expect(processor.count - before <= 1)
        dispatcher.update { $0.close(assignment) }
        #expect(dispatcher.read { $0.records } == 0)
    }
}
