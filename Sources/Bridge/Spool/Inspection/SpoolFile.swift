#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// The file of a spool that no bridge has open: of a stopped one, of an orphaned volume, or a quarantined one.
///
/// Nothing is written to it. SQLite's exclusive lock keeps other processes out while it is open; rows that are still in
/// the write-ahead log are seen and stay there. What cannot be read because it is corrupt is skipped and counted.
package final class SpoolFile: SpoolSource {
    package let path: String
    /// Whether what is not read here is lost: then only corruption that is found several times is skipped.
    private let isOnlyCopy: Bool
    /// Whether rows that the disk fails to read are left out, like corrupt ones.
    private let skipsUnreadable: Bool
    private let database: Database
    private let reader: SpoolReader
    private var names: [(id: Int64, name: String)] = []
    /// Whether the file tells which topics its lanes are of.
    private(set) var hasNames = true

    private var faults: [String] = []
    /// Rows that are not what was stored, by table.
    private var changed: [SpoolTable: Set<Int64>] = [:]

    /// What could not be read.
    package var corruption: [String] {
        faults
            + changed.map { table, numbers in
                "\(name(of: table)): \(numbers.count) rows are not what was stored, the first is row \(numbers.min() ?? 0)"
            }.sorted()
    }

    /// - Parameter skipsUnreadable: whether rows that the disk fails to read are left out, like corrupt ones.
    /// - Throws: `SpoolError`, `.corrupt` when not even the list of tables can be read.
    package init(_ path: String, skipsUnreadable: Bool = true) throws(SpoolError) {
        isOnlyCopy = false
        self.skipsUnreadable = skipsUnreadable
        self.path = path
        guard access(path, R_OK) == 0 else {
            throw SpoolError(.io, "cannot read \(path): \(String(cString: strerror(errno)))")
        }
        try SpoolStore.refuseEmptyFileWithLog(path)
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
        do throws(SpoolError) {
            if let error = try WriteAheadLog.corruption(of: path) { faults.append(error.message) }
        } catch {
            guard skipsUnreadable else { throw error }
            faults.append(error.message)
        }
    }

    /// What can be read of a store that is open, whose file may have no name any more.
    init(_ store: SpoolStore) throws(SpoolError) {
        isOnlyCopy = true
        skipsUnreadable = false
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
        // Not ours to write, or a volume that is mounted read-only: possible as long as everything is in the file
        // itself.
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
            for id in tables where !known.contains(where: { $0.id == id }) {
                hasNames = false
                faults.append("the topic of lane_\(id) is unknown")
            }
            return tables.map { id in known.first { $0.id == id } ?? (id, "lane_\(id)") }
        } catch {
            guard error.code != .unreadable || skipsUnreadable else { throw error }
            hasNames = false
            faults.append("the topic names cannot be read; lane_N is shown instead")
            return tables.map { ($0, "lane_\($0)") }
        }
    }

    package var lanes: [(id: Int64, name: String)] { names }

    /// Whether the whole file is sound. Reads all of it.
    package var isSound: Bool {
        guard (try? database.text("PRAGMA integrity_check(1)")) == "ok" else { return false }
        return corruption.isEmpty && (try? reader.verifyRows()) != nil
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

    /// The status by what can be read, and with it all of the corruption. Reads the whole file.
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
        noteLost(Dictionary(status.lanes.map { (.lane($0.id), $0.totals.rows) }, uniquingKeysWith: +))
        return status
    }

    /// Holds what was read against the sums that are kept.
    func noteLost(_ found: [SpoolTable: Int64]) {
        for lane in (try? reader.lanesStatus()) ?? [] {
            let lost = lane.totals.rows - (found[.lane(lane.id)] ?? 0)
            if lost > 0 { note(lane.name, "\(lost) of \(lane.totals.rows) rows are lost") }
        }
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

    /// The rows behind a number; rows that are corrupt or cannot be reached are left out, and `corruption` says where.
    package func rows(of table: SpoolTable, after number: Int64, count: Int) throws(SpoolError) -> [InspectedRow] {
        var attempt = 1
        while true {
            var rows: [InspectedRow] = []
            do {
                try read(table, after: number, count: count, into: &rows)
                return rows
            } catch {
                guard isSkipped(error) else { throw error }
                // What came before the fault first; the next call meets it again.
                guard rows.isEmpty else { return rows }
                guard isOnlyCopy, attempt < 3 else { return try skip(table, after: number, count: count) }
                attempt += 1
                usleep(100_000)
            }
        }
    }

    private func isSkipped(_ error: SpoolError) -> Bool {
        switch error.code {
        case .corrupt: true
        case .unreadable: skipsUnreadable
        case .io: !isOnlyCopy
        default: false
        }
    }

    /// A batch ends when its rows have so many bytes.
    private static let batchBytes = 8 << 20
    /// So many rows behind a batch are looked at, too: more than a page holds.
    private static let lookahead = 128

    /// Reads rows in their order.
    ///
    /// A misplaced page has rows that are sound. If they belong elsewhere they come again there, or have
    /// come; if they are old, the table does not know them where it would look. Either shows with the next page, so a
    /// batch is looked at beyond its end.
    private func read(
        _ table: SpoolTable, after number: Int64, count: Int, into rows: inout [InspectedRow]
    ) throws(SpoolError) {
        let statement = try reader.statement(table)
        statement.bind(1, number)
        defer { statement.reset() }
        var size = 0
        var end: Int?
        defer { if let end { rows.removeLast(rows.count - end) } }
        while try statement.step() {
            guard let row = sound(statement, of: table, behind: number) else { continue }
            if let last = rows.last, last.number >= row.number {
                // It has come before, or it is old.
                guard !Self.has(row.number, rows), try reader.isInPlace(row.number, in: table) else {
                    changed[table, default: []].insert(row.number)
                    continue
                }
                while let last = rows.last, last.number >= row.number {
                    changed[table, default: []].insert(last.number)
                    rows.removeLast()
                }
                if let reached = end, rows.count < reached { end = nil }
            }
            if let end, rows.count >= end + Self.lookahead { return }
            size += row.record.size
            rows.append(row)
            if end == nil, rows.count >= count || size >= Self.batchBytes { end = rows.count }
        }
    }

    private static func has(_ number: Int64, _ rows: [InspectedRow]) -> Bool {
        var range = rows.indices
        while !range.isEmpty {
            let middle = range.lowerBound + range.count / 2
            if rows[middle].number == number { return true }
            range = rows[middle].number < number ? middle + 1..<range.upperBound : range.lowerBound..<middle
        }
        return false
    }

    /// The row at which a statement stands; nil, and noted, when it is not what was stored.
    private func sound(_ statement: Statement, of table: SpoolTable, behind last: Int64) -> InspectedRow? {
        let (row, isSound) = SpoolReader.row(statement, behind: last)
        if !isSound { changed[table, default: []].insert(row.number) }
        return isSound ? row : nil
    }

    /// Looks for the first readable row behind a fault: ever further on, and from there back to the fault.
    private func skip(_ table: SpoolTable, after number: Int64, count: Int) throws(SpoolError) -> [InspectedRow] {
        func works(_ probe: Int64) throws(SpoolError) -> Bool {
            var rows: [InspectedRow] = []
            do throws(SpoolError) { try read(table, after: probe, count: 1, into: &rows) } catch {
                guard isSkipped(error) else { throw error }
                return !rows.isEmpty
            }
            return true
        }
        var bad = max(number, 0)
        var step: Int64 = 1
        while bad + step < SpoolStore.endOfNumbers, try !works(bad + step) {
            bad += step
            step *= 2
        }
        var good = min(bad + step, SpoolStore.endOfNumbers)
        while good - bad > 1 {
            let middle = bad + (good - bad) / 2
            if try works(middle) { good = middle } else { bad = middle }
        }
        var rows: [InspectedRow] = []
        do throws(SpoolError) { try read(table, after: good, count: count, into: &rows) } catch {
            // The next fault, behind these.
            if !isSkipped(error) || rows.isEmpty && good < SpoolStore.endOfNumbers { throw error }
        }
        note(table, from: number, to: rows.first?.number)
        return rows
    }

    private func note(_ name: String, _ text: String) {
        let fault = "\(name): \(text)"
        if !faults.contains(fault) { faults.append(fault) }
    }

    private func note(_ table: SpoolTable, from lower: Int64, to upper: Int64?) {
        let start = lower == .min ? "from the first row on" : "behind row \(lower)"
        note(name(of: table), "corrupt \(start), " + (upper.map { "until row \($0)" } ?? "to the end"))
    }

    /// The topic's name, where the file tells it.
    private func name(of table: SpoolTable) -> String {
        if case .lane(let id) = table, let known = names.first(where: { $0.id == id }) { return known.name }
        return table.name
    }
}
