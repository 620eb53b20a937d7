#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// The file of a spool that no bridge has open: of a stopped one, of an orphaned volume, or one that was set aside.
///
/// Nothing is written to it. SQLite's exclusive lock keeps everybody else out while it is open; rows that are still in the
/// write-ahead log are seen and stay there. What cannot be read because of damage is skipped and counted.
package final class SpoolFile: SpoolSource {
    package let path: String
    private let database: Database
    private let reader: SpoolReader
    private var names: [(id: Int64, name: String)] = []
    /// Whether the file tells which topics its lanes are of.
    private(set) var hasNames = true

    private var faults: [String] = []
    /// Rows that are not what was stored, by table.
    private var changed: [SpoolTable: Set<Int64>] = [:]

    /// What could not be read.
    package var damage: [String] {
        faults
            + changed.map { table, numbers in
                "\(name(of: table)): \(numbers.count) rows are not what was stored, the first is row \(numbers.min() ?? 0)"
            }.sorted()
    }

    /// - Throws: `SpoolError`, `.damaged` when not even the list of tables can be read.
    package init(_ path: String) throws(SpoolError) {
        self.path = path
        guard access(path, R_OK) == 0 else {
            throw SpoolError(.io, "cannot read \(path): \(String(cString: strerror(errno)))")
        }
        database = try Self.open(path)
        reader = SpoolReader(database: database, path: path)
        do {
            _ = try database.integer("SELECT count(*) FROM sqlite_schema")
        } catch {
            database.close()
            guard error.code == .locked else { throw error }
            throw SpoolError(.locked, "another process has \(path) open")
        }
        let version = try reader.formatVersion()
        guard version == SpoolStore.formatVersion else {
            throw SpoolError(
                .version,
                version == 0
                    ? "\(path) is not a spool: it has no format version"
                    : "\(path): the spool is of format \(version), this program reads format \(SpoolStore.formatVersion)"
            )
        }
        names = try laneNames()
        if let error = try LogCheck.damage(of: path) { faults.append(error.message) }
    }

    /// What can be read of a store that is open, whose file may have no name any more.
    init(_ store: SpoolStore) throws(SpoolError) {
        path = store.path
        reader = store.inspection
        database = reader.database
        names = try laneNames()
    }

    private static func open(_ path: String) throws(SpoolError) -> Database {
        if access(path, W_OK) == 0 {
            let database = try Database(path)
            database.leavesLogAlone()
            // The log's index is made in memory, so that no file is made beside it.
            try database.execute("PRAGMA locking_mode=EXCLUSIVE")
            return database
        }
        // Not ours to write, or a volume that is mounted read-only: possible as long as everything is in the file itself.
        var log = stat()
        guard stat(path + "-wal", &log) != 0 || log.st_size == 0 else {
            throw SpoolError(
                .io,
                "\(path) cannot be written, and reading its log needs that: copy it and \(path)-wal to where it can")
        }
        return try Database(immutable: path)
    }

    private func laneNames() throws(SpoolError) -> [(id: Int64, name: String)] {
        let tables = try reader.laneTables()
        do {
            let known = try reader.lanes()
            for lane in known where !tables.contains(lane.id) { faults.append("\(lane.name): its table is not there") }
            return tables.map { id in known.first { $0.id == id } ?? (id, "lane_\(id)") }
        } catch {
            hasNames = false
            faults.append("the names of the topics cannot be read, lane_N stands for them")
            return tables.map { ($0, "lane_\($0)") }
        }
    }

    package var lanes: [(id: Int64, name: String)] { names }

    /// Whether the whole file is sound. Reads all of it.
    package var isSound: Bool {
        guard (try? database.text("PRAGMA integrity_check(1)")) == "ok" else { return false }
        return damage.isEmpty && (try? reader.verifyRows()) != nil
    }

    package func close() { database.close() }

    package func status() throws(SpoolError) -> SpoolStatus {
        do {
            return try reader.status()
        } catch {
            // The counts that were kept are gone.
            return try countedStatus()
        }
    }

    /// The status by what can be read, and with it all of the damage. Reads the whole file.
    package func countedStatus() throws(SpoolError) -> SpoolStatus {
        var status = SpoolStatus(formatVersion: try reader.formatVersion(), lanes: [], parked: [:])
        for (id, name) in names {
            var lane = SpoolStatus.Lane(id: id, name: name, totals: SpoolTotals(), oldest: nil)
            try forEach(in: .lane(id)) {
                lane.totals.rows += 1
                lane.totals.bytes += Int64($0.record.size)
                lane.oldest = lane.oldest ?? $0.record.timestamp
            }
            status.lanes.append(lane)
        }
        try forEach(in: .parked) { status.parked[$0.reason ?? "", default: 0] += 1 }
        if let kept = try? reader.lanesStatus() {
            for lane in kept {
                let found = status.lanes.first { $0.id == lane.id }?.totals.rows ?? 0
                if found < lane.totals.rows {
                    note(lane.name, "\(lane.totals.rows - found) of \(lane.totals.rows) rows are lost")
                }
            }
        }
        return status
    }

    private func forEach(in table: SpoolTable, _ body: (InspectedRow) -> Void) throws(SpoolError) {
        var last = Int64.min
        while true {
            let rows = try rows(of: table, after: last, count: 1_000)
            guard let end = rows.last else { return }
            rows.forEach(body)
            last = end.number
        }
    }

    /// The rows behind a number; rows that damage hides are left out, and `damage` says where.
    package func rows(of table: SpoolTable, after number: Int64, count: Int) throws(SpoolError) -> [InspectedRow] {
        var rows: [InspectedRow] = []
        do {
            try read(table, after: number, count: count, into: &rows)
            return rows
        } catch {
            guard error.code == .damaged || error.code == .io else { throw error }
            // What came before the fault first; the next call meets it again.
            guard rows.isEmpty else { return rows }
            return try skip(table, after: number, count: count)
        }
    }

    private func read(
        _ table: SpoolTable, after number: Int64, count: Int, into rows: inout [InspectedRow]
    ) throws(SpoolError) {
        let statement = try reader.statement(table)
        statement.bind(1, number)
        statement.bind(2, Int64.max)
        // Those that are not what was stored do not count.
        statement.bind(3, Int64.max)
        defer { statement.reset() }
        var size = 0
        while rows.count < count, size < Self.batchBytes, try statement.step() {
            guard let row = sound(statement, of: table, behind: number) else { continue }
            // A page stood in another's place; its rows come again in their own.
            while let last = rows.last, last.number >= row.number {
                changed[table, default: []].insert(last.number)
                rows.removeLast()
            }
            size += row.record.size
            rows.append(row)
        }
    }

    /// The row at which a statement stands; nil, and noted, when it is not what was stored.
    private func sound(_ statement: Statement, of table: SpoolTable, behind last: Int64) -> InspectedRow? {
        let (row, isSound) = SpoolReader.row(statement, behind: last)
        if !isSound { changed[table, default: []].insert(row.number) }
        return isSound ? row : nil
    }

    /// A batch ends when its rows have so many bytes.
    private static let batchBytes = 8 << 20
    /// Row numbers that are tried one by one behind a fault; further on, ever larger steps are taken.
    private static let closeProbes = 4_096

    /// Looks for the first readable row behind a fault: damage hits pages, and each holds a few rows.
    private func skip(_ table: SpoolTable, after number: Int64, count: Int) throws(SpoolError) -> [InspectedRow] {
        var probe = max(number, 0)
        var step: Int64 = 1
        var attempts = 0
        while true {
            let (next, overflow) = probe.addingReportingOverflow(step)
            if overflow || next > Int64.max / 4 { break }
            probe = next
            attempts += 1
            if attempts > Self.closeProbes { step *= 2 }
            var rows: [InspectedRow] = []
            do {
                try read(table, after: probe, count: 1, into: &rows)
            } catch {
                continue
            }
            guard let found = rows.first?.number else { break }
            // The steps may have been long: from there back to the fault.
            return try rowsBehindFault(
                table, found: step > 1 ? lowest(table, from: found, to: number) ?? found : found, number, count)
        }
        return try rowsBehindFault(table, found: lowest(table, from: .max, to: number), number, count)
    }

    private func rowsBehindFault(
        _ table: SpoolTable, found: Int64?, _ number: Int64, _ count: Int
    ) throws(SpoolError) -> [InspectedRow] {
        note(table, from: number, to: found)
        var rows: [InspectedRow] = []
        guard let found else { return rows }
        do throws(SpoolError) { try read(table, after: found - 1, count: count, into: &rows) } catch {
            // The next fault. Were there nothing before it, the row that was found could not be read again.
            guard !rows.isEmpty else { throw error }
        }
        return rows
    }

    /// The lowest number that can be reached from above, down to the first fault.
    private func lowest(_ table: SpoolTable, from upper: Int64, to lower: Int64) -> Int64? {
        guard let statement = try? reader.numbers(table) else { return nil }
        statement.bind(1, lower)
        statement.bind(2, upper)
        defer { statement.reset() }
        var lowest: Int64?
        while (try? statement.step()) == true { lowest = statement.integer(0) }
        return lowest
    }

    private func note(_ name: String, _ text: String) {
        let fault = "\(name): \(text)"
        if !faults.contains(fault) { faults.append(fault) }
    }

    private func note(_ table: SpoolTable, from lower: Int64, to upper: Int64?) {
        let start = lower == .min ? "from the first row on" : "behind row \(lower)"
        note(name(of: table), "damaged \(start), " + (upper.map { "until row \($0)" } ?? "to the end"))
    }

    /// The topic's name, where the file tells it.
    private func name(of table: SpoolTable) -> String {
        if case .lane(let id) = table, let known = names.first(where: { $0.id == id }) { return known.name }
        return table.name
    }
}
