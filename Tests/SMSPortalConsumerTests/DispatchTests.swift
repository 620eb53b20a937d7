import SMSBridgeTelemetry
import SMSBridgeTestSupport
import Synchronization
import Testing

@testable import SMSPortalConsumer

/// Who is next, and how much of it a worker takes: the state machines alone, and the dispatcher with tasks.
@Suite struct DispatchTests {
    private let limits = DispatchCore.Limits(concurrency: 8, maxRecords: 10_000, maxBytes: 1 << 30, maxSpan: 1 << 30)

    private func record(_ offset: Int64, key: Int) -> ConsumedRecord {
        ConsumedRecord(topic: "t", partition: 0, offset: offset, key: Array("\(key)".utf8), value: [])
    }

    // MARK: The core

    /// Whatever becomes of pieces of work, and in whatever order: records of a key are begun in their order, one at a time,
    /// none is lost, none is done twice, and the watermark is the first that is not done.
    @Test(arguments: 1...40) func everyRecordIsDoneOnceInTheOrderOfItsKey(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var core = DispatchCore(limits: limits)
        let assignment = core.open()
        let keys = Int.random(in: 1...12, using: &random)
        var added: Int64 = 0
        var waiting: [String: [Int64]] = [:]
        var unfinished: Set<Int64> = []
        var held: [Work] = []
        var now: UInt64 = 1
        func name(_ work: Work) -> String { String(decoding: work.record.key ?? [], as: UTF8.self) }
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
                #expect(!held.contains { name($0) == name(work) }, "two of one key at once, seed \(seed)")
                #expect(waiting[name(work)]?.first == work.record.offset, "out of order, seed \(seed)")
                held.append(work)
            default:
                guard let index = held.indices.randomElement(using: &random) else { continue }
                let work = held.remove(at: index)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: core.giveBack(work)
                case 1: _ = core.finish(work, .later(.init(delay: .nanoseconds(1_500))), now: now)
                default:
                    _ = core.finish(work, .done, now: now)
                    waiting[name(work)]?.removeFirst()
                    unfinished.remove(work.record.offset)
                }
            }
            _ = core.standing(now: now)
            #expect(core.records == unfinished.count && core.running == held.count, "seed \(seed)")
            if added > 0 { #expect(core.watermark(of: assignment) == unfinished.min() ?? added, "seed \(seed)") }
        }
        for work in held { core.giveBack(work) }
        _ = core.standing(now: now + 1_000_000)
        while let work = core.next() {
            let first = waiting[name(work)]?.removeFirst()
            #expect(first == work.record.offset, "seed \(seed)")
            unfinished.remove(work.record.offset)
            _ = core.finish(work, .done, now: now)
        }
        #expect(unfinished.isEmpty && core.records == 0 && core.bytes == 0, "seed \(seed)")
    }

    @Test func whatIsFencedIsNotBegunAndNotBegunAgain() throws {
        var core = DispatchCore(limits: limits)
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
        #expect(none?.record.offset == nil)
        core.close(assignment)
        #expect(core.records == 1)
        // The place has another tenant: what is left of the one before does not reach it.
        let again = core.open()
        core.add(record(7, key: 0), to: again)
        core.giveBack(first)
        #expect(core.running(in: [again]) == 0)
        let last = core.next()
        #expect(last?.record.offset == 7)
    }

    // MARK: Batches

    @Test func aBatchGrowsWhileHandlersAreQuickAndFallsBackWhenTheyAreNot() {
        var limit = BatchLimit()
        #expect(limit.value == 1)
        for _ in 0..<63 { limit.finished(1, in: BatchLimit.quick) }
        #expect(limit.value == 1, "on probation")
        limit.finished(1, in: BatchLimit.quick)
        #expect(limit.value == 2)
        for _ in 0..<10 { limit.finished(limit.value, in: 1_000) }
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
        for _ in 0..<4 { limit.stuck() }
        #expect(limit.value == 2)
        for _ in 0..<2 { limit.stuck() }
        #expect(limit.value == 1)
    }

    /// Whenever somebody takes from a worker what it has not begun: each piece of work is begun or given back, not both,
    /// and what was begun is heard of once.
    @Test(arguments: 1...40) func nothingOfABatchIsLostOrDoneTwice(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var batch = WorkBatch()
        var added: Int64 = 0
        var begun: Set<Int64> = []
        var finished: Set<Int64> = []
        var givenBack: Set<Int64> = []
        for _ in 0..<1_000 {
            switch Int.random(in: 0..<4, using: &random) {
            case 0 where batch.current == nil:
                batch.add(
                    Work(
                        record: record(added, key: Int(added)), attempt: 1, failure: nil,
                        assignment: AssignmentID(index: 0, generation: 0), lane: LaneReference(index: 0, generation: 0))
                )
                added += 1
            case 1:
                let current = batch.current?.record.offset
                batch.settle {
                    #expect(finished.insert($0.record.offset).inserted)
                    if case .done = $1 {} else { Issue.record("seed \(seed)") }
                } giveBack: {
                    #expect(givenBack.insert($0.record.offset).inserted)
                }
                #expect(batch.current?.record.offset == current, "the worker keeps what it is at")
                #expect(batch.waiting == 0 && batch.finished == 0)
            default:
                if let next = batch.next(after: batch.current == nil ? nil : .done) {
                    #expect(begun.insert(next.record.offset).inserted)
                }
            }
        }
        if batch.current != nil, let next = batch.next(after: .done) { begun.insert(next.record.offset) }
        batch.settle { work, _ in
            finished.insert(work.record.offset)
        } giveBack: {
            givenBack.insert($0.record.offset)
        }
        #expect(givenBack.isDisjoint(with: begun), "seed \(seed)")
        if let current = batch.current { finished.insert(current.record.offset) }
        #expect(finished == begun && finished.union(givenBack).count == Int(added), "seed \(seed)")
    }

    @Test func aWorkerIsStuckWhenOthersWaitForItAndItBeginsNothing() {
        var batch = WorkBatch()
        for offset in 0..<3 {
            batch.add(
                Work(
                    record: record(Int64(offset), key: offset), attempt: 1, failure: nil,
                    assignment: AssignmentID(index: 0, generation: 0), lane: LaneReference(index: 0, generation: 0)))
        }
        _ = batch.next(after: nil)
        var answers = [batch.isStuck(), batch.isStuck()]
        #expect(answers == [false, true], "it has begun one before the first look, and none before the second")
        _ = batch.next(after: .done)
        answers = [batch.isStuck(), batch.isStuck()]
        #expect(answers == [false, true])
        batch.settle { _, _ in
        } giveBack: { _ in
        }
        answers = [batch.isStuck(), batch.isStuck()]
        #expect(answers == [false, false], "nobody waits for it")
    }

    // MARK: The dispatcher

    /// A processor in which one key never ends until it is let go.
    private final class Processor: WorkProcessor {
        let done = Mutex<[Int64]>([])
        let slowKey: [UInt8]
        private let gate = Mutex<(isOpen: Bool, waiting: [CheckedContinuation<Void, Never>])>((false, []))

        init(slowKey: Int) { self.slowKey = Array("\(slowKey)".utf8) }

        func process(_ work: Work) async -> WorkResult {
            if work.record.key == slowKey {
                await withCheckedContinuation { continuation in
                    let isOpen = gate.withLock { gate in
                        if !gate.isOpen { gate.waiting.append(continuation) }
                        return gate.isOpen
                    }
                    if isOpen { continuation.resume() }
                }
            }
            done.withLock { $0.append(work.record.offset) }
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
            for _ in 0..<30_000 where !condition() {
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
