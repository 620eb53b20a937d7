/// Changes that were asked for and are not committed, because the disk does not take them: deletes, and moves of records
/// that Kafka rejects. The rows that they take away are left out of reads and totals.
struct PendingChanges {
    private struct Position: Hashable {
        let lane: Int
        let number: Int64
    }

    /// At most so many bytes of records are remembered. A move beyond that is forgotten: its row is read, and rejected, again.
    static let maxMoveBytes = 16 << 20

    var deletes: PendingDeletes
    /// In the order in which they were asked for: `park` and `move`.
    private(set) var moves: [SpoolCommand] = []
    private var moveBytes = 0
    private var moved: Set<Position> = []
    /// What moves take from a queue's totals, and add to them.
    private var moveTotals: [SpoolTotals]

    init(lanes: Int) {
        deletes = PendingDeletes(lanes: lanes)
        moveTotals = Array(repeating: SpoolTotals(), count: lanes)
    }

    var isEmpty: Bool { deletes.isEmpty && moves.isEmpty }
    var rows: Int64 { deletes.rows + Int64(moves.count) }
    var parked: Int64 { Int64(moves.count { if case .park = $0 { true } else { false } }) }

    /// The last number of the rows from this one on that are not to be read; nil when this one is.
    func end(ofHidden number: Int64, lane: Int) -> Int64? {
        if let range = deletes.range(holding: number, lane: lane) { return range.upperBound }
        if !moved.isEmpty, moved.contains(Position(lane: lane, number: number)) { return number }
        return nil
    }

    /// What a queue holds without the rows that are to go.
    func live(_ totals: SpoolTotals, lane: Int) -> SpoolTotals {
        SpoolTotals(
            rows: max(0, totals.rows - deletes.totals[lane].rows + moveTotals[lane].rows),
            bytes: max(0, totals.bytes - deletes.totals[lane].bytes + moveTotals[lane].bytes))
    }

    /// Remembers a `park` or a `move`.
    mutating func add(move command: SpoolCommand) {
        guard let (source, record, target) = command.parts, moveBytes + record.size <= Self.maxMoveBytes,
            moved.insert(Position(lane: source.lane, number: source.number)).inserted
        else { return }
        moves.append(command)
        moveBytes += record.size
        count(source.lane, -1, record)
        if let target { count(target.lane, 1, record) }
    }

    /// The row that a copy, which waits to be stored, replaces; nil when this is no such copy.
    func source(ofMoveTo lane: Int, _ number: Int64) -> (lane: Int, number: Int64)? {
        index(ofMoveTo: lane, number).flatMap { moves[$0].parts?.source }
    }

    private func index(ofMoveTo lane: Int, _ number: Int64) -> Int? {
        if moves.isEmpty { return nil }
        return moves.firstIndex {
            guard let target = $0.parts?.target else { return false }
            return target.lane == lane && target.number == number
        }
    }

    /// The copy is not needed any more.
    mutating func removeMove(to lane: Int, _ number: Int64) {
        if let index = index(ofMoveTo: lane, number) { remove(at: index) }
    }

    /// The first move is committed.
    mutating func removeFirstMove() { if !moves.isEmpty { remove(at: 0) } }

    private mutating func remove(at index: Int) {
        guard let (source, record, target) = moves.remove(at: index).parts else { return }
        moveBytes -= record.size
        moved.remove(Position(lane: source.lane, number: source.number))
        count(source.lane, 1, record)
        if let target { count(target.lane, -1, record) }
    }

    private mutating func count(_ lane: Int, _ sign: Int64, _ record: SpoolRecord) {
        moveTotals[lane].rows += sign
        moveTotals[lane].bytes += sign * Int64(record.size)
    }
}

extension SpoolCommand {
    fileprivate typealias Row = (lane: Int, number: Int64)

    /// Of a `park` or a `move`: the row that goes, the record, and the row that comes for it.
    fileprivate var parts: (source: Row, record: SpoolRecord, target: Row?)? {
        switch self {
        case .park(let record, let number, _): return ((record.lane, number), record, nil)
        case .move(let record, let number, let lane, let old): return ((lane, old), record, (record.lane, number))
        case .insert, .delete, .read, .inspect: return nil
        }
    }
}
