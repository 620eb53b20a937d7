import SMSBridgeTestSupport
import Testing

@testable import SMSPortalConsumer

struct DispatchCoreTests {
    private static let limits = DispatchCore.Limits(
        concurrency: 8, maxRecords: 10, maxBytes: 1 << 20, maxSpan: 100)

    @Test func aRetryHoldsBackItsOwnKeyOnly() {
        let core = TestCore(limits: Self.limits)
        let partition = core.open()
        for (offset, key) in [(0, 1), (1, 1), (2, 2)] { core.add(record(Int64(offset), key: key), to: partition) }
        let first = core.next()!
        #expect(first.offset == 0 && first.attempt == 1)
        let wakes = core.finish(first, .later(.init(delay: .nanoseconds(50))), now: 100)
        #expect(wakes, "the timer is the soonest")
        let others = [core.next(), core.next()]
        #expect(others.map { $0?.offset } == [2, nil])
        var due = core.fireRetries(now: 149)
        let early = core.next()
        #expect(due == 150 && early == nil)
        due = core.fireRetries(now: 150)
        #expect(due == nil)
        let again = core.next()!
        #expect(again.offset == 0 && again.attempt == 2)
        _ = core.finish(again, .done, now: 151)
        let successor = core.next()
        #expect(successor?.offset == 1)
        #expect(core.watermark(of: partition) == 1)
    }

    /// What is done beyond the watermark is handled again after a rebalance: so the line is that of arrival, and a key's
    /// second record does not go behind every other key.
    @Test func recordsAreTakenInTheOrderInWhichTheyCame() {
        let core = TestCore(limits: Self.limits)
        let partition = core.open()
        for (offset, key) in [(0, 1), (1, 1), (2, 2), (3, 3), (4, 1), (5, 2)] {
            core.add(record(Int64(offset), key: key), to: partition)
        }
        for offset in 0..<6 {
            let work = core.next()!
            #expect(work.offset == Int64(offset))
            _ = core.finish(work, .done, now: 0)
            #expect(core.watermark(of: partition) == Int64(offset) + 1)
        }
    }

    @Test func reportsRoomOnlyWhenHalfIsDone() {
        let core = TestCore(limits: Self.limits)
        let partition = core.open()
        for offset in 0..<10 { core.add(record(Int64(offset), key: offset), to: partition) }
        let mustWait = core.throttle()
        #expect(core.isFull && mustWait)
        for done in 1...5 {
            let work = core.next()!
            let wakes = core.finish(work, .done, now: 0)
            #expect(wakes == (done == 5))
        }
        let mustStillWait = core.throttle()
        #expect(!mustStillWait)
    }

    @Test func theSpanEndsWhenTheOldestIsDone() {
        let core = TestCore(limits: Self.limits)
        let partition = core.open()
        core.add(record(0, key: 0), to: partition)
        let oldest = core.next()!
        for offset in 1..<100 {
            core.add(record(Int64(offset), key: offset), to: partition)
            let work = core.next()!
            _ = core.finish(work, .done, now: 0)
        }
        #expect(core.isSpanFull(of: partition) && core.records == 1)
        let wakes = core.finish(oldest, .done, now: 0)
        #expect(wakes, "the polling thread hears that it may go on")
        #expect(core.span(of: partition) == 0 && core.watermark(of: partition) == 100)
    }

    @Test func ofAnEarlierAssignmentNothingIsCounted() {
        let core = TestCore(limits: Self.limits)
        let old = core.open()
        core.add(record(5, key: 1), to: old)
        let work = core.next()!
        core.close(old)
        let new = core.open()
        #expect(new.index == old.index && new != old)
        core.add(record(3, key: 1), to: new)
        _ = core.finish(work, .done, now: 0)
        #expect(core.watermark(of: new) == 3 && core.records == 1 && core.runningCount == 0)
        #expect(core.watermark(of: old) == nil)
        let wasAdded = core.add(record(6, key: 1), to: old)
        #expect(!wasAdded)
    }

    @Test(arguments: 0..<8) func keepsItsPromisesInRandomRuns(_ run: Int) {
        let seed = UInt64.random(in: 0...UInt64.max)
        var model = DispatchModel(seed: seed)
        for _ in 0..<1_500 {
            model.step()
            if let broken = model.broken {
                Issue.record("seed \(seed): \(broken)")
                return
            }
        }
        model.drain()
        if let broken = model.broken { Issue.record("seed \(seed): \(broken)") }
    }
}

/// Does things to a DispatchCore at random, and compares what comes of it with what must.
private struct DispatchModel {
    private struct Partition {
        let id: AssignmentID
        var next: Int64
        var isFenced = false
        /// Added and not done, per key in their order.
        var open: [Int: [Int64]] = [:]
        var hasRecords = false
        var done: Set<Int64> = []
    }

    private struct Running {
        let work: TestWork
        let key: Int
    }

    private var random: SeededRandom
    private let sharesKeys: Bool
    private let core = TestCore(
        limits: .init(concurrency: 8, maxRecords: 1_000, maxBytes: 1 << 20, maxSpan: 10_000))
    private var partitions: [Partition] = []
    private var running: [Running] = []
    private var attempts: [String: Int] = [:]
    private var now: UInt64 = 0
    private(set) var broken: String?

    init(seed: UInt64) {
        random = SeededRandom(seed: seed)
        sharesKeys = seed.isMultiple(of: 2)
    }

    /// Half of the runs have keys that several partitions share: their records are handled one after the other as well.
    private func domain(of id: AssignmentID) -> UInt64 {
        sharesKeys ? 0 : UInt64(id.index) << 32 | UInt64(id.generation)
    }

    private mutating func require(_ isRight: Bool, _ what: String) {
        if !isRight, broken == nil { broken = what }
    }

    mutating func step() {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<35: add()
        case 35..<60: begin()
        case 60..<85: end()
        case 85..<95:
            now += UInt64.random(in: 0..<30, using: &random)
            _ = core.fireRetries(now: now)
        case 95: open()
        case 96..<98: fence()
        default: close()
        }
        check()
    }

    private mutating func open() {
        guard partitions.count < 6 else { return }
        let id = core.open()
        require(!partitions.contains { $0.id == id }, "an assignment was given twice")
        partitions.append(Partition(id: id, next: Int64.random(in: 0..<1_000, using: &random)))
    }

    private mutating func fence() {
        guard let index = partitions.indices.randomElement(using: &random) else { return }
        partitions[index].isFenced = true
        core.fence([partitions[index].id])
    }

    private mutating func close() {
        guard let index = partitions.indices.randomElement(using: &random) else { return }
        core.close(partitions.remove(at: index).id)
    }

    private mutating func add() {
        guard let index = partitions.indices.randomElement(using: &random) else { return open() }
        let key = Int.random(in: 0..<5, using: &random)
        let isRepeat = partitions[index].hasRecords && Int.random(in: 0..<20, using: &random) == 0
        let gap = Int64.random(in: 0..<3, using: &random)
        let offset = partitions[index].next + (isRepeat ? -1 : gap)
        let wasAdded = core.add(
            record(offset, key: key, partition: Int32(index)), to: partitions[index].id,
            domain: domain(of: partitions[index].id))
        require(wasAdded == (!isRepeat && !partitions[index].isFenced), "a record was taken, or not, against the rules")
        guard wasAdded else { return }
        partitions[index].hasRecords = true
        partitions[index].next = offset + 1
        partitions[index].open[key, default: []].append(offset)
    }

    private mutating func begin() {
        guard let work = core.next() else { return }
        let key = work.number
        guard let index = partitions.firstIndex(where: { $0.id == work.assignment }) else {
            return require(false, "work of an assignment that is no more")
        }
        require(!partitions[index].isFenced, "work of a fenced partition")
        require(partitions[index].open[key]?.first == work.offset, "out of order within its key")
        require(
            !running.contains { (sharesKeys || $0.work.assignment == work.assignment) && $0.key == key },
            "two of a key at once")
        require(work.attempt == attempts[name(work), default: 0] + 1, "a wrong attempt")
        running.append(Running(work: work, key: key))
    }

    private func name(_ work: TestWork) -> String {
        "\(work.assignment.index) \(work.assignment.generation) \(work.offset)"
    }

    private mutating func end(mustBeDone: Bool = false) {
        guard let at = running.indices.randomElement(using: &random) else { return }
        let one = running.remove(at: at)
        let index = partitions.firstIndex { $0.id == one.work.assignment }
        switch mustBeDone ? 9 : Int.random(in: 0..<10, using: &random) {
        case 0: core.giveBack(one.work)
        case 1..<4:
            let countsAttempt = Bool.random(using: &random)
            if countsAttempt { attempts[name(one.work), default: 0] += 1 }
            let delay = Int64.random(in: 0..<100, using: &random)
            _ = core.finish(
                one.work, .later(.init(delay: .nanoseconds(delay), countsAttempt: countsAttempt)), now: now)
        case 4 where index.map { partitions[$0].isFenced } ?? true: _ = core.finish(one.work, .abandoned, now: now)
        default:
            _ = core.finish(one.work, .done, now: now)
            guard let index else { return }
            partitions[index].open[one.key]?.removeFirst()
            partitions[index].done.insert(one.work.offset)
        }
    }

    private mutating func check() {
        let held = partitions.reduce(0) { $0 + $1.open.values.reduce(0) { $0 + $1.count } }
        require(core.records == held, "\(core.records) records are counted, \(held) are held")
        require(held > 0 || core.bytes == 0, "bytes of nothing: \(core.bytes)")
        require(core.runningCount == running.count, "\(core.runningCount) are counted as running, \(running.count) are")
        for partition in partitions {
            let unfinished = partition.open.values.compactMap(\.first).min()
            let expected = partition.hasRecords ? unfinished ?? partition.next : nil
            require(
                core.watermark(of: partition.id) == expected,
                "watermark \(String(describing: core.watermark(of: partition.id))), not \(String(describing: expected))"
            )
            let mine = running.count { $0.work.assignment == partition.id }
            require(core.running(in: [partition.id]) == mine, "a wrong count of what runs of a partition")
        }
    }

    /// Everything of partitions that are not being given up gets done.
    mutating func drain() {
        while let fenced = partitions.firstIndex(where: \.isFenced) { core.close(partitions.remove(at: fenced).id) }
        while broken == nil, core.records > 0 || !running.isEmpty {
            let before = (core.records, running.count)
            now += 1_000
            _ = core.fireRetries(now: now)
            begin()
            end(mustBeDone: true)
            check()
            require((core.records, running.count) != before || !running.isEmpty, "what is left never begins")
        }
        require(core.records == 0 && core.bytes == 0 && core.runningCount == 0, "something is left")
    }
}
