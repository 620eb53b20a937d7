import SMSBridgeTestSupport
import Testing

@testable import SMSPortalConsumer

/// A key that holds too many records releases some, so that others can be read; what it has released is read again.
@Suite struct KeyShareTests {
    @Test func aKeyThatDoesNotComeOnKeepsNoOtherFromBeingRead() throws {
        let core = TestCore(limits: .init(concurrency: 4, maxRecords: 100, maxBytes: 1 << 20, maxSpan: 1_000_000))
        let partition = core.open()
        for offset in 0..<100 { core.add(record(Int64(offset), key: 1), to: partition) }
        let stuck = try #require(core.next())
        #expect(core.isFull)
        let released = core.release()
        #expect(released.records == 50 && released.keys == 1 && core.records == 50 && !core.isFull)
        // Nothing more of it is held, and everything of others is.
        let isHeld = core.add(record(100, key: 1), to: partition)
        #expect(!isHeld && core.released.records == 51)
        for offset in 101..<140 {
            core.add(record(Int64(offset), key: offset), to: partition)
            let work = try #require(core.next())
            #expect(work.offset == Int64(offset))
            core.finish(work, .done, now: 0)
        }
        #expect(core.watermark(of: partition) == 0 && core.span(of: partition) == 140)
        #expect(core.nextPass() == nil, "it has not come on")
        core.finish(stuck, .done, now: 0)
        for offset in 1..<26 {
            let work = try #require(core.next())
            #expect(work.offset == Int64(offset))
            core.finish(work, .done, now: 0)
        }
        let pass = try #require(core.nextPass())
        #expect(pass.start == 50 && pass.end == 101)
        for offset in 50..<140 { _ = core.addAgain(record(Int64(offset), key: offset <= 100 ? 1 : offset), in: pass) }
        #expect(core.released.records < 51)
        for _ in 0..<10 {
            while let work = core.next() { core.finish(work, .done, now: 0) }
            guard let pass = core.nextPass() else { break }
            for offset in pass.start..<140 {
                _ = core.addAgain(record(offset, key: offset <= 100 ? 1 : Int(offset)), in: pass)
            }
        }
        #expect(core.watermark(of: partition) == 140 && core.released.records == 0 && core.released.keys == 0)
    }

    /// A pause is better than reading again: there is enough to do for the room that there is.
    @Test func aSmallBufferWithEnoughToDoReleasesNothing() {
        let core = TestCore(limits: .init(concurrency: 64, maxRecords: 8, maxBytes: 1 << 20, maxSpan: 1_000))
        let partition = core.open()
        for offset in 0..<8 { core.add(record(Int64(offset), key: offset / 2), to: partition) }
        let none = core.release()
        #expect(core.isFull && none.records == 0)
        let other = TestCore(limits: .init(concurrency: 64, maxRecords: 8, maxBytes: 1 << 20, maxSpan: 1_000))
        let one = other.open()
        for offset in 0..<8 { other.add(record(Int64(offset), key: 1), to: one) }
        let released = other.release()
        #expect(released.records == 4)
    }

    @Test func whatKafkaHasDeletedMeanwhileCountsAsDone() {
        let core = TestCore(limits: .init(concurrency: 4, maxRecords: 10, maxBytes: 1 << 20, maxSpan: 1_000))
        let partition = core.open()
        for offset in 0..<10 { core.add(record(Int64(offset), key: 1), to: partition) }
        let released = core.release()
        #expect(released.records == 5)
        let lost = core.loseReleased(below: 8, of: partition)
        #expect(lost == 3 && core.released.records == 2)
        while let work = core.next() { core.finish(work, .done, now: 0) }
        #expect(core.watermark(of: partition) == 8)
        let rest = core.loseReleased(below: 20, of: partition)
        #expect(rest == 2 && core.watermark(of: partition) == 10 && core.released.keys == 0)
    }

    @Test(arguments: 0..<12) func keepsItsPromisesInRandomRuns(_ run: Int) {
        let seed = UInt64.random(in: 0...UInt64.max)
        var model = KeyShareModel(seed: seed)
        for _ in 0..<1_500 where model.broken == nil { model.step() }
        model.drain()
        if let broken = model.broken { Issue.record("seed \(seed): \(broken)") }
    }
}

/// Topics, a reader that is ahead, a second one that reads again, and handlers, all at random.
private struct KeyShareModel {
    private struct Partition {
        var id: AssignmentID
        /// Offsets and keys, as Kafka has them.
        var log: [(offset: Int64, key: Int)] = []
        /// How many of the log the first reader has read.
        var read = 0
        var done: Set<Int64> = []
        var isFenced = false

        func firstOpen(of key: Int) -> Int64? { log.first { $0.key == key && !done.contains($0.offset) }?.offset }
    }

    private var random: SeededRandom
    private let core = TestCore(limits: .init(concurrency: 4, maxRecords: 24, maxBytes: 1 << 20, maxSpan: 1_000_000))
    private var partitions: [Partition] = []
    private var running: [(work: TestWork, partition: Int, isCurrent: Bool)] = []
    private var pass: (pass: DispatchCore.Pass, position: Int64)?
    private var now: UInt64 = 0
    private(set) var broken: String?

    init(seed: UInt64) {
        random = SeededRandom(seed: seed)
        for _ in 0..<2 { partitions.append(Partition(id: core.open())) }
    }

    private mutating func require(_ isRight: Bool, _ what: String) {
        if !isRight, broken == nil { broken = what }
    }

    mutating func step() {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<25: append()
        case 25..<45: read()
        case 45..<60: begin()
        case 60..<75: end()
        case 75..<80:
            now += UInt64.random(in: 0..<40, using: &random)
            _ = core.fireRetries(now: now)
        case 80..<98: readAgain(Int.random(in: 1..<6, using: &random))
        case 98 where Int.random(in: 0..<8, using: &random) == 0: reassign()
        default: _ = core.release()
        }
    }

    private mutating func append() {
        let index = Int.random(in: 0..<2, using: &random)
        let gap = Int.random(in: 0..<10, using: &random) == 0 ? 3 : 1
        let offset = (partitions[index].log.last?.offset ?? -1) + Int64(gap)
        // One key has most of the records.
        let key = Bool.random(using: &random) ? 0 : Int.random(in: 1..<9, using: &random)
        partitions[index].log.append((offset, key))
    }

    private mutating func read() {
        let index = Int.random(in: 0..<2, using: &random)
        if core.isFull { _ = core.release() }
        guard !core.isFull, partitions[index].read < partitions[index].log.count else { return }
        let next = partitions[index].log[partitions[index].read]
        partitions[index].read += 1
        let before = core.records + core.released.records
        core.add(record(next.offset, key: next.key), to: partitions[index].id, domain: UInt64(index) << 40)
        require(core.records + core.released.records == before + 1, "a record was neither held nor released")
    }

    private mutating func readAgain(_ count: Int) {
        if pass == nil { pass = core.nextPass().map { ($0, $0.start) } }
        guard let (current, position) = pass else { return }
        guard let index = partitions.firstIndex(where: { $0.id == current.assignment }) else { return pass = nil }
        var next = position
        for one in partitions[index].log.filter({ $0.offset >= position }).prefix(count) {
            _ = core.addAgain(record(one.offset, key: one.key), in: current, domain: UInt64(index) << 40)
            next = one.offset + 1
        }
        pass = core.isComplete(current, at: next) || next == position ? nil : (current, next)
    }

    private mutating func begin() {
        guard let work = core.next() else { return }
        guard let index = partitions.firstIndex(where: { $0.id == work.assignment }) else {
            return require(false, "work of an assignment that is no more")
        }
        let first = partitions[index].firstOpen(of: work.number)
        require(first == work.offset, "\(work.offset) of key \(work.number) before \(first ?? -1)")
        require(
            !running.contains { $0.partition == index && $0.work.number == work.number }, "two of a key at once")
        running.append((work, index, true))
    }

    private mutating func end(mustBeDone: Bool = false) {
        guard let at = running.indices.randomElement(using: &random) else { return }
        let one = running.remove(at: at)
        if !mustBeDone, Int.random(in: 0..<3, using: &random) == 0 {
            let delay = Int64.random(in: 0..<200, using: &random)
            core.finish(one.work, .later(.init(delay: .nanoseconds(delay))), now: now)
        } else {
            core.finish(one.work, .done, now: now)
            if one.isCurrent { partitions[one.partition].done.insert(one.work.offset) }
        }
    }

    /// The partition comes back from another member at once: it is read from its watermark.
    private mutating func reassign() {
        let index = Int.random(in: 0..<2, using: &random)
        let watermark = core.watermark(of: partitions[index].id) ?? 0
        core.close(partitions[index].id)
        partitions[index].id = core.open()
        core.pass(watermark, of: partitions[index].id)
        partitions[index].read =
            partitions[index].log.firstIndex { $0.offset >= watermark } ?? partitions[index].log.count
        partitions[index].done = Set(partitions[index].log.map(\.offset).filter { $0 < watermark })
        for at in running.indices where running[at].partition == index { running[at].isCurrent = false }
    }

    /// Everything gets done, whatever was released.
    mutating func drain() {
        for _ in 0..<100_000 where broken == nil {
            now += 1_000
            _ = core.fireRetries(now: now)
            for _ in 0..<4 { read() }
            readAgain(20)
            for _ in 0..<4 { begin() }
            for _ in 0..<4 { end(mustBeDone: true) }
            let isRead = partitions.allSatisfy { $0.read == $0.log.count }
            if isRead, core.records == 0, core.released.records == 0, running.isEmpty { break }
        }
        for partition in partitions where !partition.log.isEmpty {
            let open = partition.log.count { !partition.done.contains($0.offset) }
            require(open == 0, "\(open) records were never handled")
            require(
                core.watermark(of: partition.id) == partition.log[partition.log.count - 1].offset + 1,
                "a wrong watermark")
        }
        require(core.records == 0 && core.bytes == 0 && core.released.keys == 0, "something is left")
    }
}
