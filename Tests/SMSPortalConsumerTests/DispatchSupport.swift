import SMSPortalEvents

@testable import SMSPortalConsumer

/// A record of a key that is a number.
func record(_ offset: Int64, key: Int, partition: Int32 = 0) -> ConsumedRecord {
    ConsumedRecord(
        topic: "t", partition: partition, offset: offset, key: Array("\(key)".utf8), value: Array("v\(offset)".utf8))
}

/// A record that was taken, as a test looks at it.
struct TestWork: Sendable {
    let index: Int32
    let offset: Int64
    let attempt: Int
    let assignment: AssignmentID
    let key: [UInt8]

    init(_ taken: Taken) {
        index = taken.index
        offset = taken.offset
        attempt = Int(taken.attempt)
        assignment = taken.assignment
        key = taken.record?.takeUnretainedValue().key ?? []
    }

    var name: String { String(decoding: key, as: UTF8.self) }
    var number: Int { Int(name) ?? -1 }
}

extension IncomingRecord {
    /// - Parameter domain: keys of different ones have nothing to do with each other.
    init(_ record: ConsumedRecord, domain: UInt64 = 0) {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325 ^ domain
        for byte in record.key ?? [] { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        self.init(
            message: nil, record: Unmanaged.passRetained(record), hash: hash, offset: record.offset,
            timestamp: record.timestamp ?? 0, size: Int32(record.size), topic: 0)
    }
}

extension DispatchCore {
    /// - Returns: whether the record is held.
    @discardableResult
    mutating func add(_ record: ConsumedRecord, to assignment: AssignmentID, domain: UInt64 = 0) -> Bool {
        let incoming = IncomingRecord(record, domain: domain)
        if case .held = add(incoming, to: assignment) { return true }
        incoming.record?.release()
        return false
    }

    /// - Returns: whether the record is held.
    mutating func addAgain(_ record: ConsumedRecord, in pass: Pass, domain: UInt64 = 0) -> Bool {
        let incoming = IncomingRecord(record, domain: domain)
        if case .held = addAgain(incoming, in: pass) { return true }
        incoming.record?.release()
        return false
    }

    mutating func next() -> TestWork? {
        let taken = UnsafeMutablePointer<Taken>.allocate(capacity: 1)
        defer { taken.deallocate() }
        return take(into: taken, limit: 1) == 1 ? TestWork(taken.pointee) : nil
    }

    /// - Parameter record: what its worker has of it.
    mutating func finish(_ work: TestWork, _ result: WorkResult, record: ConsumedRecord, now: UInt64) -> Bool {
        // The slot's reference goes with a record that is done; in all other cases the slot keeps it.
        let reference = Unmanaged.passUnretained(record)
        switch result {
        case .done:
            reference.release()
            return finish(work.index)
        case .later(let later): return retry(work.index, later, record: reference, now: now)
        case .abandoned: return abandon(work.index, record: reference, now: now)
        }
    }
}

/// A core whose records are copies, behind a reference: `#expect` does not look into what cannot be copied.
final class TestCore {
    private var core: DispatchCore
    /// The records that are held by workers, by slot.
    private var running: [Int32: ConsumedRecord] = [:]

    init(limits: DispatchCore.Limits) { core = DispatchCore(limits: limits) }

    func open() -> AssignmentID { core.open() }
    func close(_ assignment: AssignmentID) { core.close(assignment) }
    func fence(_ assignments: [AssignmentID]) { core.fence(assignments) }
    func pass(_ offset: Int64, of assignment: AssignmentID) { core.pass(offset, of: assignment) }
    func throttle() -> Bool { core.throttle() }
    func release() -> DispatchCore.Released { core.release() }
    func nextPass() -> DispatchCore.Pass? { core.nextPass() }
    func isComplete(_ pass: DispatchCore.Pass, at offset: Int64) -> Bool { core.isComplete(pass, at: offset) }
    func loseReleased(below offset: Int64, of assignment: AssignmentID) -> Int {
        core.loseReleased(below: offset, of: assignment)
    }
    func standing(now: UInt64) -> DispatchCore.Standing { core.standing(now: now) }
    func fireRetries(now: UInt64) -> UInt64? { core.fireRetries(now: now) }
    func watermark(of assignment: AssignmentID) -> Int64? { core.watermark(of: assignment) }
    func span(of assignment: AssignmentID) -> Int64 { core.span(of: assignment) }
    func isSpanFull(of assignment: AssignmentID) -> Bool { core.isSpanFull(of: assignment) }
    func running(in assignments: [AssignmentID]) -> Int { core.running(in: assignments) }
    var records: Int { core.records }
    var bytes: Int { core.bytes }
    var runningCount: Int { core.running }
    var isFull: Bool { core.isFull }
    var released: (records: Int, keys: Int) { core.released }

    @discardableResult
    func add(_ record: ConsumedRecord, to assignment: AssignmentID, domain: UInt64 = 0) -> Bool {
        core.add(record, to: assignment, domain: domain)
    }

    func addAgain(_ record: ConsumedRecord, in pass: DispatchCore.Pass, domain: UInt64 = 0) -> Bool {
        core.addAgain(record, in: pass, domain: domain)
    }

    func next() -> TestWork? {
        let taken = UnsafeMutablePointer<Taken>.allocate(capacity: 1)
        defer { taken.deallocate() }
        guard core.take(into: taken, limit: 1) == 1 else { return nil }
        let work = TestWork(taken.pointee)
        running[work.index] = taken.pointee.record?.takeUnretainedValue()
        return work
    }

    @discardableResult
    func finish(_ work: TestWork, _ result: WorkResult, now: UInt64) -> Bool {
        guard let record = running.removeValue(forKey: work.index) else { return false }
        return core.finish(work, result, record: record, now: now)
    }

    func giveBack(_ work: TestWork) {
        running[work.index] = nil
        core.giveBack(work.index)
    }
}

/// A processor that sees copies of records.
protocol TestProcessor: WorkProcessor where Tools == Int {
    func process(_ work: TestWork) async -> WorkResult
}

extension TestProcessor {
    func makeTools() -> Int { 0 }
    func batchEnded(_ tools: Int, count: Int, nanoseconds: UInt64) {}
    func copyMessage(_ tools: Int) {}

    nonisolated(nonsending) func process(_ taken: UnsafeMutablePointer<Taken>, _ worker: Worker<Int>) async
        -> WorkResult
    {
        let result = await process(TestWork(taken.pointee))
        if case .done = result {
            taken.pointee.record?.release()
            taken.pointee.record = nil
        }
        return result
    }
}
