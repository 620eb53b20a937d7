#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// What one queue of the spool holds.
package struct SpoolTotals: Sendable, Equatable {
    package var rows: Int64 = 0
    package var bytes: Int64 = 0

    package init(rows: Int64 = 0, bytes: Int64 = 0) {
        self.rows = rows
        self.bytes = bytes
    }
}

/// A record in the spool, with its place in the order of acceptance.
package struct SpoolRow: Sendable {
    package let number: Int64
    package let record: SpoolRecord

    package init(number: Int64, record: SpoolRecord) {
        self.number = number
        self.record = record
    }
}

/// The spool's file: one table per lane, ordered by number, and one for records that are parked.
///
/// It has transactions but no threads: its owner calls it. SQLite in WAL mode with `synchronous=FULL`
/// syncs the log at each commit, before `commit` returns.
final class SpoolStore {
    static let formatVersion: Int64 = 2
    /// Numbers are given one by one; one that no bridge can have reached would leave none for the rows to come.
    static let endOfNumbers = Int64.max / 2
    private static let olderFormats: Range<Int64> = 1..<formatVersion
    /// "SMSP", by which `file` and people identify the database.
    private static let applicationID = 0x534D_5350
    static let pageBytes = 4_096
    /// Pages of the log after which it is carried over into the file, between two batches: 4 MiB. A transaction writes
    /// whole pages, many times what its records have, so pages are counted and not records.
    private static let checkpointPages = 1_024

    let path: String
    private let database: Database
    private let lanes: [Lane]
    private let park: Statement
    private let begin: Statement
    private let commitStatement: Statement
    private(set) var totals: [SpoolTotals]
    private var touched: Set<Int> = []
    private let setTotals: Statement
    /// Those before the transaction.
    private var totalsBefore: [SpoolTotals]
    /// The lowest number that no row has.
    private(set) var nextNumber: Int64
    /// Why the log that was there at the opening is not copied into the file: nothing may count as durable before it
    /// is.
    private(set) var checkpointFailure: SpoolError?

    private struct Lane {
        let id: Int64
        let insert: Statement
        let delete: Statement
        let size: Statement
        let read: Statement
        let oldest: Statement
        let hasRows: Statement
        let sizes: Statement
        let sum: Statement
    }

    private static let sizeOfRow =
        "ifnull(length(key), 0) + length(headers) + length(value) + \(SpoolRecord.overhead)"

    /// Opens the file or makes it.
    ///
    /// - Parameter laneNames: names that last: a lane keeps its rows by its name from one start to the next.
    /// - Throws: `SpoolError` when the file is corrupt, of another version, or cannot be made durable.
    init(path: String, laneNames: [String]) throws(SpoolError) {
        self.path = path
        try Self.refuseEmptyFileWithLog(path)
        let database = try Database(path)
        self.database = database
        // Before anything is read. No other connection: the log's index stays in memory, and a second process is
        // refused by SQLite, too.
        try database.execute("PRAGMA locking_mode=EXCLUSIVE")
        // Of use only before the first table is made; later it would be a write, which a full disk refuses.
        if Self.size(of: path) == 0 {
            try database.execute("PRAGMA page_size=\(Self.pageBytes); PRAGMA auto_vacuum=INCREMENTAL")
        }
        guard try database.text("PRAGMA journal_mode=WAL") == "wal" else {
            throw SpoolError(.io, "\(path): SQLite cannot use a write-ahead log here")
        }
        try database.execute("PRAGMA temp_store=MEMORY; PRAGMA cache_size=-4096")
        database.countLogPages()
        var version = try database.integer("PRAGMA user_version") ?? 0
        if Self.olderFormats ~= version, try Self.isEmpty(database) {
            // Nothing is lost with a file that holds nothing: an upgrade over a drained spool needs no hand.
            try Self.dropTables(database)
            version = 0
        }
        if version == 0, try database.integer("SELECT count(*) FROM sqlite_schema") == 0 {
            try database.execute(
                """
                BEGIN IMMEDIATE;
                CREATE TABLE lane (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, rows INTEGER NOT NULL,
                                   bytes INTEGER NOT NULL);
                CREATE TABLE parked (number INTEGER PRIMARY KEY, lane INTEGER NOT NULL, timestamp INTEGER NOT NULL,
                                     digest INTEGER NOT NULL, key BLOB, headers BLOB NOT NULL, value BLOB NOT NULL,
                                     reason TEXT NOT NULL);
                PRAGMA application_id=\(Self.applicationID);
                PRAGMA user_version=\(Self.formatVersion);
                COMMIT;
                """)
        } else if version != Self.formatVersion {
            throw SpoolError(
                .version,
                "\(path): the spool is of format \(version), this program writes format \(Self.formatVersion): let the "
                    + "version that wrote it drain it, or move spool.db* out of the folder")
        }
        // Last, and read back: everything that is promised hangs on it.
        try database.execute("PRAGMA synchronous=FULL")
        guard try database.integer("PRAGMA synchronous") == 2 else {
            throw SpoolError(.io, "\(path): SQLite does not take synchronous=FULL")
        }
        var lanes: [Lane] = []
        var totals: [SpoolTotals] = []
        var highest = try database.integer("SELECT max(number) FROM parked") ?? 0
        // One transaction, one sync: a new spool is open in a moment.
        try database.execute("BEGIN IMMEDIATE")
        for name in laneNames {
            let add = try database.prepare(
                "INSERT INTO lane (name, rows, bytes) VALUES (?, 0, 0) ON CONFLICT DO NOTHING")
            add.bind(1, name)
            try add.run()
            let find = try database.prepare("SELECT id, rows, bytes FROM lane WHERE name = ?")
            find.bind(1, name)
            guard try find.step() else { throw SpoolError(.corrupt, "\(path): the lane \(name) cannot be made") }
            let id = find.integer(0)
            let total = SpoolTotals(rows: find.integer(1), bytes: find.integer(2))
            find.reset()
            let table = "lane_\(id)"
            try database.execute(
                "CREATE TABLE IF NOT EXISTS \(table) (number INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL, "
                    + "digest INTEGER NOT NULL, key BLOB, headers BLOB NOT NULL, value BLOB NOT NULL)")
            // Numbers begin at 1.
            let last = try database.integer("SELECT max(number) FROM \(table)") ?? 0
            highest = max(highest, last)
            guard (last > 0) == (total.rows > 0), 0..<Self.endOfNumbers ~= total.rows,
                0..<Self.endOfNumbers ~= total.bytes
            else {
                throw SpoolError(.corrupt, "\(path): \(table) has other sums than are kept of it")
            }
            totals.append(total)
            lanes.append(
                Lane(
                    id: id,
                    insert: try database.prepare(
                        "INSERT INTO \(table) (number, timestamp, digest, key, headers, value) VALUES (?, ?, ?, ?, ?, ?)"
                    ),
                    delete: try database.prepare("DELETE FROM \(table) WHERE number = ?"),
                    size: try database.prepare("SELECT \(Self.sizeOfRow) FROM \(table) WHERE number = ?"),
                    read: try database.prepare(
                        "SELECT number, timestamp, digest, key, headers, value FROM \(table) WHERE number > ? "
                            + "ORDER BY number"),
                    oldest: try database.prepare(
                        "SELECT number, timestamp FROM \(table) WHERE number > ? ORDER BY number LIMIT 1"),
                    hasRows: try database.prepare(
                        "SELECT 1 FROM \(table) WHERE number > ? AND number < ? LIMIT 1"),
                    sizes: try database.prepare(
                        "SELECT number, \(Self.sizeOfRow) FROM \(table) WHERE number BETWEEN ? AND ? ORDER BY number "
                            + "LIMIT ?"),
                    sum: try database.prepare(
                        "SELECT count(*), ifnull(sum(\(Self.sizeOfRow)), 0) FROM \(table) WHERE number BETWEEN ? AND ?"
                    )))
        }
        try database.execute("COMMIT")
        guard highest < Self.endOfNumbers else { throw Self.changed("a table", highest, path) }
        self.lanes = lanes
        self.totals = totals
        totalsBefore = totals
        nextNumber = highest + 1
        park = try database.prepare(
            "INSERT INTO parked (number, lane, timestamp, digest, key, headers, value, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        )
        setTotals = try database.prepare("UPDATE lane SET rows = ?, bytes = ? WHERE id = ?")
        begin = try database.prepare("BEGIN IMMEDIATE")
        commitStatement = try database.prepare("COMMIT")
        // What the log holds may be there only for this system, not on the disk: its sync may have failed before the
        // process ended. Copied into the file and synced, it is. And the log begins again in the room that it has.
        if Self.size(of: path + "-wal") > 0 {
            do throws(SpoolError) { try database.checkpoint(truncates: false) } catch { checkpointFailure = error }
        }
    }

    /// Beside an empty file SQLite takes a log for another one's and deletes it, whatever it holds.
    static func refuseEmptyFileWithLog(_ path: String) throws(SpoolError) {
        guard size(of: path) == 0, size(of: path + "-wal") > 0 else { return }
        throw SpoolError(.corrupt, "\(path): the file is empty, and its log is not")
    }

    private static func tables(_ database: Database) throws(SpoolError) -> [String] {
        try SpoolReader(database: database, path: "").laneTables().map { SpoolTable.lane($0).name } + ["parked"]
    }

    private static func isEmpty(_ database: Database) throws(SpoolError) -> Bool {
        for table in try tables(database) where try database.integer("SELECT 1 FROM \(table) LIMIT 1") != nil {
            return false
        }
        return true
    }

    private static func dropTables(_ database: Database) throws(SpoolError) {
        let drops = try tables(database).map { "DROP TABLE \($0);" }.joined()
        try database.execute("BEGIN IMMEDIATE;\(drops) DROP TABLE lane; PRAGMA user_version=0; COMMIT")
    }

    /// 0 for a file that is not there.
    static func size(of path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : 0
    }

    /// A look at the whole file. Reads all of it, so only when there is reason to.
    func verify() throws(SpoolError) {
        // What SQLite cannot read it reports as it does what is corrupt: only what it finds in a readable file twice
        // counts.
        if try checkIntegrity() != nil {
            try database.readAll()
            if let fault = try checkIntegrity() { throw SpoolError(.corrupt, "\(path): \(fault)") }
        }
        try inspection.verifyRows()
    }

    private func checkIntegrity() throws(SpoolError) -> String? {
        let result = try database.text("PRAGMA integrity_check(1)")
        return result == "ok" ? nil : result ?? "no answer to integrity_check"
    }

    static func changed(_ table: String, _ number: Int64, _ path: String) -> SpoolError {
        SpoolError(.corrupt, "\(path): row \(number) of \(table) is not what was stored")
    }

    // MARK: - One transaction

    func beginTransaction() throws(SpoolError) {
        touched.removeAll(keepingCapacity: true)
        totalsBefore = totals
        try begin.run()
    }

    /// Inserts a row; one that is there already, with all that it holds, is no error.
    ///
    /// - Throws: `SpoolError`, `.conflict` when another row has the number.
    func insert(_ record: SpoolRecord, number: Int64) throws(SpoolError) {
        do throws(SpoolError) {
            try insertNew(record, number: number)
        } catch {
            // Of a transaction that failed, and that the log has all the same.
            guard error.code == .conflict,
                try digest(lane: record.lane, number) == record.digest(number: number, lane: lanes[record.lane].id)
            else { throw error }
        }
    }

    private func digest(lane: Int, _ number: Int64) throws(SpoolError) -> Int64? {
        let statement = lanes[lane].read
        statement.bind(1, number - 1)
        defer { statement.reset() }
        guard try statement.step(), statement.integer(0) == number else { return nil }
        return statement.integer(2)
    }

    private func insertNew(_ record: SpoolRecord, number: Int64) throws(SpoolError) {
        let statement = lanes[record.lane].insert
        statement.bind(1, number)
        statement.bind(2, record.timestamp)
        statement.bind(3, record.digest(number: number, lane: lanes[record.lane].id))
        statement.bind(4, record.key)
        statement.bind(5, record.headers)
        statement.bind(6, record.value)
        defer { statement.reset() }
        while try statement.step() {}
        count(record.lane, rows: 1, bytes: Int64(record.size))
        nextNumber = max(nextNumber, number + 1)
    }

    /// Deletes a row; one that is not there is no error.
    func delete(lane: Int, number: Int64) throws(SpoolError) {
        guard let bytes = try bytes(lane: lane, number) else { return }
        try delete(lane: lane, number, bytes: bytes)
    }

    private func delete(lane: Int, _ number: Int64, bytes: Int64) throws(SpoolError) {
        lanes[lane].delete.bind(1, number)
        try lanes[lane].delete.run()
        count(lane, rows: -1, bytes: -bytes)
    }

    /// Deletes rows of a range, at most so many.
    ///
    /// - Returns: what was deleted, and the number up to which no row of the range is left.
    func delete(
        lane: Int, _ range: ClosedRange<Int64>, atMost limit: Int
    ) throws(SpoolError) -> (SpoolTotals, through: Int64) {
        let sizes = lanes[lane].sizes
        sizes.bind(1, range.lowerBound)
        sizes.bind(2, range.upperBound)
        sizes.bind(3, Int64(limit))
        defer { sizes.reset() }
        var rows: [(number: Int64, bytes: Int64)] = []
        while try sizes.step() { rows.append((sizes.integer(0), sizes.integer(1))) }
        sizes.reset()
        var deleted = SpoolTotals()
        for row in rows {
            try delete(lane: lane, row.number, bytes: row.bytes)
            deleted.rows += 1
            deleted.bytes += row.bytes
        }
        return (deleted, rows.count < limit ? range.upperBound : rows.last?.number ?? range.upperBound)
    }

    /// What a row counts in the totals; nil when there is no such row.
    func bytes(lane: Int, _ number: Int64) throws(SpoolError) -> Int64? {
        let size = lanes[lane].size
        size.bind(1, number)
        defer { size.reset() }
        return try size.step() ? size.integer(0) : nil
    }

    /// Whether a lane has rows between two numbers, both excluded.
    func hasRows(lane: Int, after lower: Int64, before upper: Int64) throws(SpoolError) -> Bool {
        let statement = lanes[lane].hasRows
        statement.bind(1, lower)
        statement.bind(2, upper)
        defer { statement.reset() }
        return try statement.step()
    }

    /// What a lane holds in a range.
    func totals(lane: Int, _ range: ClosedRange<Int64>) throws(SpoolError) -> SpoolTotals {
        let statement = lanes[lane].sum
        statement.bind(1, range.lowerBound)
        statement.bind(2, range.upperBound)
        defer { statement.reset() }
        guard try statement.step() else { return SpoolTotals() }
        return SpoolTotals(rows: statement.integer(0), bytes: statement.integer(1))
    }

    /// Parks a record that Kafka rejects for good.
    func park(_ record: SpoolRecord, number: Int64, reason: String) throws(SpoolError) {
        park.bind(1, number)
        park.bind(2, lanes[record.lane].id)
        park.bind(3, record.timestamp)
        park.bind(4, record.digest(number: number, lane: lanes[record.lane].id, reason: reason))
        park.bind(5, record.key)
        park.bind(6, record.headers)
        park.bind(7, record.value)
        park.bind(8, reason)
        defer { park.reset() }
        while try park.step() {}
    }

    /// - Returns: how many there were.
    func discardParked() throws(SpoolError) -> Int64 {
        let count = try parkedCount()
        try beginTransaction()
        try database.execute("DELETE FROM parked")
        try commit()
        return count
    }

    /// Takes a row from the parked ones.
    func deleteParked(number: Int64) throws(SpoolError) {
        let delete = try database.prepare("DELETE FROM parked WHERE number = ?")
        delete.bind(1, number)
        try delete.run()
    }

    /// Makes it durable.
    func commit() throws(SpoolError) {
        try commitChanges()
        // What was committed to a deleted file is lost with the process: it is not durable.
        try checkPlace()
    }

    /// - Throws: `SpoolError`, `.moved` when the file or its log is not the one at the path any more.
    func checkPlace() throws(SpoolError) {
        if database.hasMoved || logHasMoved {
            throw SpoolError(.moved, "\(path): the file was deleted or replaced while it was open")
        }
    }

    /// Commits an empty change: whether the disk takes writes and syncs.
    func probe() throws(SpoolError) {
        try beginTransaction()
        touched.formUnion(lanes.indices.prefix(1))
        try commit()
    }

    private func commitChanges() throws(SpoolError) {
        for lane in touched {
            setTotals.bind(1, totals[lane].rows)
            setTotals.bind(2, totals[lane].bytes)
            setTotals.bind(3, lanes[lane].id)
            try setTotals.run()
        }
        try commitStatement.run()
        totalsBefore = totals
    }

    /// Copies the whole log into the file, from what was synced.
    ///
    /// - Parameter truncates: also empties it: of a transaction whose sync failed nothing is left then.
    func copyLog(truncates: Bool) throws(SpoolError) {
        try database.checkpoint(truncates: truncates)
        checkpointFailure = nil
    }

    /// The identity of the log's file, once there is one.
    private var log: (device: dev_t, inode: ino_t)?

    /// Whether the write-ahead log is no longer the one that is open: what is committed stands only there at first.
    private var logHasMoved: Bool {
        var status = stat()
        let isThere = stat(path + "-wal", &status) == 0
        guard let log else {
            if isThere { log = (status.st_dev, status.st_ino) }
            return !isThere
        }
        return !isThere || log.device != status.st_dev || log.inode != status.st_ino
    }

    /// Ends the use of the file. Nothing else may be called afterwards.
    func close() { database.close() }

    /// Whether the file at the path is another one, or there is none.
    var hasMoved: Bool { database.hasMoved }

    /// Forgets the transaction that has begun, whether or not it has failed. Rows can be read as before.
    func rollback() {
        database.rollback()
        totals = totalsBefore
    }

    private func count(_ lane: Int, rows: Int64, bytes: Int64) {
        totals[lane].rows += rows
        totals[lane].bytes += bytes
        touched.insert(lane)
    }

    // MARK: - Reading

    /// The rows of a lane behind a number, in order.
    ///
    /// - Throws: `SpoolError`, `.corrupt` also for a row that is not what was stored.
    /// - Parameters:
    ///   - count: at most so many.
    ///   - bytes: no further row once these are reached, but always one.
    ///   - pending: what is to be deleted: its rows are left out.
    func read(
        lane: Int, after: Int64, count: Int, bytes: Int, without pending: PendingChanges? = nil
    ) throws(SpoolError) -> [SpoolRow] {
        let statement = lanes[lane].read
        statement.bind(1, after)
        defer { statement.reset() }
        var rows: [SpoolRow] = []
        var size = 0
        var last = after
        while rows.count < count, size < bytes, try statement.step() {
            let number = statement.integer(0)
            guard number > last else { throw Self.changed("lane_\(lanes[lane].id)", number, path) }
            last = number
            if let end = pending?.end(ofHidden: number, lane: lane) {
                last = end
                statement.reset()
                statement.bind(1, end)
                continue
            }
            let record = SpoolRecord(
                lane: lane, timestamp: statement.integer(1), key: statement.isNull(3) ? nil : statement.bytes(3),
                value: statement.bytes(5), headers: statement.bytes(4))
            guard record.digest(number: number, lane: lanes[lane].id) == statement.integer(2) else {
                throw Self.changed("lane_\(lanes[lane].id)", number, path)
            }
            size += record.size
            rows.append(SpoolRow(number: number, record: record))
        }
        // From the beginning on there are as many as are counted.
        if rows.isEmpty, after <= 0, last <= 0, totals[lane].rows > 0 {
            throw SpoolError(
                .corrupt, "\(path): lane_\(lanes[lane].id) has \(totals[lane].rows) rows, and none is there")
        }
        return rows
    }

    /// When the oldest row of a lane was received, in milliseconds since 1970; nil when it is empty.
    func oldest(lane: Int, without pending: PendingChanges? = nil) throws(SpoolError) -> Int64? {
        let statement = lanes[lane].oldest
        defer { statement.reset() }
        var last = Int64.min
        while true {
            statement.bind(1, last)
            guard try statement.step() else { return nil }
            let (number, timestamp) = (statement.integer(0), statement.integer(1))
            guard let end = pending?.end(ofHidden: number, lane: lane), end > last else { return timestamp }
            statement.reset()
            last = end
        }
    }

    /// The number that the file gives a lane.
    func id(ofLane lane: Int) -> Int64 { lanes[lane].id }

    /// For questions that are not of an event's path.
    var inspection: SpoolReader { SpoolReader(database: database, path: path) }

    func parkedCount() throws(SpoolError) -> Int64 { try database.integer("SELECT count(*) FROM parked") ?? 0 }

    // MARK: - Housekeeping, between two batches

    /// Copies the log into the file when it has grown, and gives some pages back once nothing is left.
    ///
    /// - Throws: `SpoolError` when the disk does not take it.
    func tidy() throws(SpoolError) {
        if database.logPages > Self.checkpointPages { try database.checkpoint(truncates: false) }
        if !isEmpty { shrinkAt = .now } else if isShrinkDue { try shrink() }
    }

    /// Whether `tidy` has pages to give back.
    var isShrinkDue: Bool { isEmpty && shrinkAt.map { $0 <= .now } ?? false }

    /// When pages are given back, should the spool then be empty; nil when there is none to give.
    private var shrinkAt: ContinuousClock.Instant? = .now
    static let shrinkPages = 512

    /// Gives a part of the free pages back, because they go through the log while other work waits. On a full disk it
    /// may take more than one attempt.
    private func shrink() throws(SpoolError) {
        do throws(SpoolError) {
            let free = try freePages()
            if free > 0 {
                try database.execute("PRAGMA incremental_vacuum(\(Self.shrinkPages))")
                if database.logPages > Self.checkpointPages { try database.checkpoint(truncates: false) }
                // A file that was made otherwise gives none.
                if try 1..<free ~= freePages() { return }
            }
            try database.checkpoint(truncates: true)
            shrinkAt = nil
        } catch {
            database.rollback()
            shrinkAt = .now + .seconds(1)
            if error.code != .full { throw error }
        }
    }

    func freePages() throws(SpoolError) -> Int64 { try database.integer("PRAGMA freelist_count") ?? 0 }

    /// Bytes of the file that new rows can take before it grows, less what carrying the log over will take.
    var spareBytes: Int64 {
        ((try? freePages()) ?? 0) * Int64(Self.pageBytes) - Int64(database.logPages * Self.pageBytes)
    }

    var isEmpty: Bool { totals.allSatisfy { $0.rows == 0 } }
}
