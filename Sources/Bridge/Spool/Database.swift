internal import CSMSBridgeSQLite

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// A connection to SQLite, confined to the thread that made it.
final class Database {
    private var handle: OpaquePointer?
    private let path: String
    /// Pages in the write-ahead log that are not in the file yet, as of the last commit. Its address must not change.
    private let logPagesPlace = UnsafeMutablePointer<Int32>.allocate(capacity: 1)

    var logPages: Int { Int(logPagesPlace.pointee) }

    /// Opens or makes a database file.
    init(_ path: String, readOnly: Bool = false) throws(SpoolError) {
        self.path = path
        logPagesPlace.initialize(to: 0)
        let access = readOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
        let code = sqlite3_open_v2(path, &handle, access | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nil)
        guard code == SQLITE_OK else {
            let error = error(code, "open")
            sqlite3_close_v2(handle)
            handle = nil
            throw error
        }
        sqlite3_busy_timeout(handle, 2_000)
    }

    /// Opens a file that does not change, without a lock and without its log: for media that cannot be written.
    init(immutable path: String) throws(SpoolError) {
        self.path = path
        logPagesPlace.initialize(to: 0)
        let escaped = path.replacing("%", with: "%25").replacing("?", with: "%3f").replacing("#", with: "%23")
        let flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
        let code = sqlite3_open_v2("file:\(escaped)?immutable=1", &handle, flags, nil)
        guard code == SQLITE_OK else {
            let error = error(code, "open")
            sqlite3_close_v2(handle)
            handle = nil
            throw error
        }
    }

    /// The end of the connection carries nothing over into the file and removes no log: what was there stays as it is.
    func leavesLogAlone() { csqlite_no_checkpoint_on_close(handle) }

    deinit {
        close()
        logPagesPlace.deallocate()
    }

    /// Counts the pages of the log from now on. Takes the place of SQLite's own checkpoints.
    func countLogPages() {
        sqlite3_wal_hook(
            handle,
            { place, _, _, pages in
                place?.assumingMemoryBound(to: Int32.self).pointee = pages
                return SQLITE_OK
            }, logPagesPlace)
    }

    /// Closes now, and with it every statement: an exclusive lock must not outlive the decision to reopen the file.
    func close() {
        guard let handle else { return }
        while let statement = sqlite3_next_stmt(handle, nil) { sqlite3_finalize(statement) }
        sqlite3_close_v2(handle)
        self.handle = nil
    }

    fileprivate var isClosed: Bool { handle == nil }

    func execute(_ sql: String) throws(SpoolError) {
        var number: Int32 = 0
        let code = csqlite_exec(handle, sql, &number)
        guard code == SQLITE_OK else { throw error(code, sql, errno: number) }
    }

    /// The first column of the first row, as text; nil without a row.
    func text(_ sql: String) throws(SpoolError) -> String? {
        let statement = try prepare(sql)
        guard try statement.step() else { return nil }
        return statement.text(0)
    }

    func integer(_ sql: String) throws(SpoolError) -> Int64? {
        let statement = try prepare(sql)
        guard try statement.step() else { return nil }
        return statement.integer(0)
    }

    func prepare(_ sql: String) throws(SpoolError) -> Statement {
        var statement: OpaquePointer?
        var number: Int32 = 0
        let code = csqlite_prepare(handle, sql, &statement, &number)
        guard code == SQLITE_OK, let statement else { throw error(code, sql, errno: number) }
        return Statement(statement, self)
    }

    /// Whether the file at the path is no longer the one that is open.
    var hasMoved: Bool {
        var moved: Int32 = 0
        let code = sqlite3_file_control(handle, "main", SQLITE_FCNTL_HAS_MOVED, &moved)
        return code == SQLITE_OK && moved != 0
    }

    /// Copies pages of the log into the file and syncs it. A failure loses nothing: the log has everything.
    ///
    /// - Parameter truncates: also cuts the log to nothing, once all of it is copied.
    func checkpoint(truncates: Bool) throws(SpoolError) {
        var pages: Int32 = 0
        var copied: Int32 = 0
        let mode = truncates ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE
        var number: Int32 = 0
        let code = csqlite_checkpoint(handle, mode, &pages, &copied, &number)
        guard code == SQLITE_OK else { throw error(code, "checkpoint", errno: number) }
        logPagesPlace.pointee = max(0, pages - copied)
    }

    /// Reads every byte of the file and of its log, past SQLite's cache.
    ///
    /// - Throws: `SpoolError`, `.unreadable` when the disk fails to.
    func readAll() throws(SpoolError) {
        var number: Int32 = 0
        let code = csqlite_read_all(handle, &number)
        guard code == SQLITE_OK else { throw error(code, "read all", errno: number) }
    }

    /// Ends every statement's use of the file, and the transaction.
    func rollback() {
        var statement = sqlite3_next_stmt(handle, nil)
        while let current = statement {
            sqlite3_reset(current)
            statement = sqlite3_next_stmt(handle, current)
        }
        if isInTransaction { try? execute("ROLLBACK") }
    }

    var isInTransaction: Bool { sqlite3_get_autocommit(handle) == 0 }

    func error(_ code: Int32, _ what: String, errno number: Int32 = 0) -> SpoolError {
        let kind = Self.kind(code, errno: number)
        let isOfSystem = (code & 0xff == SQLITE_IOERR || kind == .unreadable) && number != 0
        let cause = isOfSystem ? ", \(String(cString: strerror(number)))" : ""
        let message = handle.map { String(cString: sqlite3_errmsg($0)) } ?? String(cString: sqlite3_errstr(code))
        // SQLite says that the file is malformed.
        let reason = kind == .unreadable ? "the disk failed to read" : message
        return SpoolError(
            kind, "\(path): \(reason) (SQLite \(code)\(cause)) in: \(what.prefix(60))",
            isFailedSync: code == csqlite_ioerr_fsync || code == csqlite_ioerr_dir_fsync)
    }

    /// - Parameter number: the system's error for an I/O error of SQLite.
    static func kind(_ code: Int32, errno number: Int32) -> SpoolError.Code {
        switch code & 0xff {
        case SQLITE_FULL: .full
        // SQLite turns EIO, ENXIO and ERANGE of a read first into SQLITE_IOERR_CORRUPTFS, then into SQLITE_CORRUPT.
        case SQLITE_CORRUPT where [EIO, ENXIO, ERANGE].contains(number): .unreadable
        case SQLITE_CORRUPT, SQLITE_NOTADB: .corrupt
        case SQLITE_BUSY, SQLITE_LOCKED: .locked
        case SQLITE_CONSTRAINT: .conflict
        // The file is shorter than it says.
        case SQLITE_IOERR where code == csqlite_ioerr_short_read: .corrupt
        case SQLITE_IOERR where code == csqlite_ioerr_corruptfs || code == csqlite_ioerr_read: .unreadable
        // SQLite knows ENOSPC of a write alone; a quota and the largest size of a file are no different.
        case SQLITE_IOERR where [ENOSPC, EDQUOT, EFBIG].contains(number): .full
        default: .io
        }
    }
}

/// A prepared statement. It ends with its database, and is not used after `Database.close`.
final class Statement {
    private let handle: OpaquePointer
    private let database: Database

    fileprivate init(_ handle: OpaquePointer, _ database: Database) {
        self.handle = handle
        self.database = database
    }

    deinit {
        if !database.isClosed { sqlite3_finalize(handle) }
    }

    func bind(_ index: Int32, _ value: Int64) { sqlite3_bind_int64(handle, index, value) }

    func bind(_ index: Int32, _ text: String) { _ = csqlite_bind_text(handle, index, text) }

    /// The bytes stay where they are until `reset`. nil is SQL's NULL.
    func bind(_ index: Int32, _ bytes: UnsafeRawBufferPointer?) {
        guard let bytes else {
            sqlite3_bind_null(handle, index)
            return
        }
        _ = csqlite_bind_static_blob(handle, index, bytes.baseAddress, UInt64(bytes.count))
    }

    /// - Returns: whether there is a row.
    func step() throws(SpoolError) -> Bool {
        var number: Int32 = 0
        let code = csqlite_step(handle, &number)
        if code == SQLITE_ROW { return true }
        if code == SQLITE_DONE { return false }
        let error = database.error(code, String(cString: sqlite3_sql(handle)), errno: number)
        sqlite3_reset(handle)
        throw error
    }

    /// Runs a statement that yields no rows, and makes it ready for the next time.
    func run() throws(SpoolError) {
        while try step() {}
        reset()
    }

    func reset() {
        sqlite3_reset(handle)
        sqlite3_clear_bindings(handle)
    }

    func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }

    func text(_ column: Int32) -> String? { sqlite3_column_text(handle, column).map { String(cString: $0) } }

    func isNull(_ column: Int32) -> Bool { sqlite3_column_type(handle, column) == SQLITE_NULL }

    /// The column's bytes, valid until the next step.
    func bytes(_ column: Int32) -> UnsafeRawBufferPointer {
        let bytes = sqlite3_column_blob(handle, column)
        return UnsafeRawBufferPointer(start: bytes, count: Int(sqlite3_column_bytes(handle, column)))
    }
}
