/// Copies all rows of a file into another, the parked ones with their reasons, under the numbers that they have: in parts, each
/// a transaction.
final class RowCopy {
    let source: SpoolFile
    let target: SpoolStore
    private let lanes: [String]
    private var tables: ArraySlice<SpoolTable>
    private var last = Int64.min
    private(set) var outcome = SpoolCopy.Outcome()

    static let partRows = 1_000
    static let partBytes = 8 << 20

    /// - Parameter lanes: the lanes' names in the target; rows of others are left out and counted.
    init(from source: SpoolFile, to target: SpoolStore, lanes: [String]) {
        self.source = source
        self.target = target
        self.lanes = lanes
        tables = source.lanes.map { SpoolTable.lane($0.id) } + [.parked]
    }

    /// Copies the next part.
    ///
    /// - Returns: whether there may be more.
    /// - Throws: `SpoolError`; the next call tries the same part again.
    func copyPart() throws(SpoolError) -> Bool {
        while let table = tables.first {
            let rows = try source.rows(of: table, after: last, count: Self.partRows)
            guard let end = rows.last else {
                tables.removeFirst()
                last = .min
                continue
            }
            var next = outcome
            next.read[table, default: 0] += Int64(rows.count)
            do throws(SpoolError) {
                try target.beginTransaction()
                for row in rows { try copy(row, &next) }
                try target.commit()
            } catch {
                target.rollback()
                throw error
            }
            outcome = next
            last = end.number
            try target.tidy()
            return true
        }
        return false
    }

    private func copy(_ row: InspectedRow, _ outcome: inout SpoolCopy.Outcome) throws(SpoolError) {
        let name = source.lanes.first { $0.id == row.lane }?.name ?? "lane_\(row.lane)"
        guard let lane = lanes.firstIndex(of: name) else {
            outcome.unknown[name, default: 0] += 1
            return
        }
        let record = row.record.inLane(lane)
        if let reason = row.reason {
            try target.park(record, number: row.number, reason: reason)
        } else {
            try target.insert(record, number: row.number)
        }
        outcome.rows += 1
    }
}
