/// Reads the tables of an open file: for the thread that owns the connection, between two transactions.
struct SpoolReader {
    let database: Database
    let path: String

    /// The lanes by number.
    func lanes() throws(SpoolError) -> [(id: Int64, name: String)] {
        let list = try database.prepare("SELECT id, name FROM lane ORDER BY id")
        defer { list.reset() }
        var lanes: [(id: Int64, name: String)] = []
        while try list.step() { lanes.append((list.integer(0), list.text(1) ?? "lane_\(list.integer(0))")) }
        return lanes
    }

    /// The numbers of the tables that hold lanes, by the file's schema.
    func laneTables() throws(SpoolError) -> [Int64] {
        let list = try database.prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB 'lane_[0-9]*'")
        defer { list.reset() }
        var found: [Int64] = []
        while try list.step() { if let id = list.text(0).flatMap({ Int64($0.dropFirst(5)) }) { found.append(id) } }
        return found.sorted()
    }

    /// The lanes with the sums that are kept of them.
    func lanesStatus() throws(SpoolError) -> [SpoolStatus.Lane] {
        let list = try database.prepare("SELECT id, name, rows, bytes FROM lane ORDER BY id")
        defer { list.reset() }
        let tables = try laneTables()
        var lanes: [SpoolStatus.Lane] = []
        while try list.step() {
            let id = list.integer(0)
            lanes.append(
                SpoolStatus.Lane(
                    id: id, name: list.text(1) ?? "lane_\(id)",
                    totals: SpoolTotals(rows: list.integer(2), bytes: list.integer(3)),
                    oldest: tables.contains(id)
                        ? try database.integer("SELECT timestamp FROM lane_\(id) ORDER BY number LIMIT 1") : nil))
        }
        return lanes
    }

    func status() throws(SpoolError) -> SpoolStatus {
        let lanes = try lanesStatus()
        let reasons = try database.prepare("SELECT reason, count(*) FROM parked GROUP BY reason")
        defer { reasons.reset() }
        var parked: [String: Int64] = [:]
        while try reasons.step() { parked[reasons.text(0) ?? "", default: 0] += reasons.integer(1) }
        return SpoolStatus(formatVersion: try formatVersion(), lanes: lanes, parked: parked)
    }

    /// The answer to a question of another process.
    func answer(to question: SpoolProtocol.Question) throws(SpoolError) -> SpoolProtocol.Answer {
        switch question {
        case .status: return .status(try status())
        case .rows(let table, let after, let count):
            if case .lane(let id) = table, try !laneTables().contains(id) { return .rows([]) }
            return .rows(try rows(of: table, after: after, count: count, bytes: SpoolProtocol.maxBytes))
        }
    }

    func formatVersion() throws(SpoolError) -> Int64 { try database.integer("PRAGMA user_version") ?? 0 }

    /// A statement for the rows of a table, bound to nothing yet: the number behind which they are.
    func statement(_ table: SpoolTable) throws(SpoolError) -> Statement {
        let source =
            switch table {
            case .lane(let id): "number, timestamp, digest, key, headers, value, \(id), NULL FROM lane_\(id)"
            case .parked: "number, timestamp, digest, key, headers, value, lane, reason FROM parked"
            }
        return try database.prepare(
            "SELECT \(source) WHERE number > ? ORDER BY number")
    }

    /// Whether a number is found where the table's own order says that it is.
    func isInPlace(_ number: Int64, in table: SpoolTable) throws(SpoolError) -> Bool {
        try database.integer("SELECT number FROM \(table.name) WHERE number = \(number)") == number
    }

    /// The row at which a statement of `statement(_:)` stands, and whether it is what was stored.
    ///
    /// - Parameter last: the number of the row before it: a misplaced page has rows that are sound.
    static func row(_ statement: Statement, behind last: Int64) -> (row: InspectedRow, isSound: Bool) {
        let lane = statement.integer(6)
        let row = InspectedRow(
            number: statement.integer(0), lane: lane,
            record: SpoolRecord(
                lane: Int(clamping: lane), timestamp: statement.integer(1),
                key: statement.isNull(3) ? nil : statement.bytes(3), value: statement.bytes(5),
                headers: statement.bytes(4)),
            reason: statement.text(7))
        let digest = row.record.digest(number: row.number, lane: lane, reason: row.reason)
        let isInPlace = row.number > last && row.number < SpoolStore.endOfNumbers
        return (row, isInPlace && digest == statement.integer(2))
    }

    /// Reads every row of every table, and holds their sums against those that are kept.
    ///
    /// - Throws: `SpoolError`, `.corrupt` for the first that is not what was stored.
    func verifyRows() throws(SpoolError) {
        var kept = Dictionary(
            try status().lanes.map { (SpoolTable.lane($0.id), $0.totals) }, uniquingKeysWith: { first, _ in first })
        for table in try laneTables().map(SpoolTable.lane) + [.parked] {
            let statement = try statement(table)
            statement.bind(1, Int64.min)
            defer { statement.reset() }
            var totals = SpoolTotals()
            var last = Int64.min
            while try statement.step() {
                let (row, isSound) = Self.row(statement, behind: last)
                guard isSound else { throw SpoolStore.changed(table.name, row.number, path) }
                last = row.number
                totals.rows += 1
                totals.bytes += Int64(row.record.size)
            }
            guard table == .parked || kept.removeValue(forKey: table) == totals else {
                throw SpoolError(.corrupt, "\(path): \(table.name) has other sums than are kept of it")
            }
        }
        guard kept.isEmpty else { throw SpoolError(.corrupt, "\(path): a lane has no table") }
    }

    /// Those that are not what was stored are left out: who looks must not be what brings the file down.
    ///
    /// - Parameters:
    ///   - count: at most so many rows.
    ///   - bytes: no further row once these are reached, but always one.
    func rows(of table: SpoolTable, after number: Int64, count: Int, bytes: Int) throws(SpoolError) -> [InspectedRow] {
        let statement = try statement(table)
        statement.bind(1, number)
        defer { statement.reset() }
        var rows: [InspectedRow] = []
        var size = 0
        while rows.count < count, size < bytes, try statement.step() {
            let (row, isSound) = Self.row(statement, behind: rows.last?.number ?? number)
            guard isSound else { continue }
            size += row.record.size
            rows.append(row)
        }
        return rows
    }
}
