internal import CSMSBridgeSQLite
internal import SMSBridgeThreads
internal import SMSPortalConsumer

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// The table of claims in a SQLite file; belongs to one thread.
///
/// `synchronous=NORMAL`: with a write-ahead log a power failure may cost the last transactions, never the file. A
/// completion that is lost so means a repeat, which is what the promise allows; a sync for each would be dear.
final class ClaimTable {
    private static let version: Int64 = 1
    /// "SMPE", by which `file` and this library identify the database.
    private static let applicationID: Int64 = 0x534D_5045
    private static let schema = """
        CREATE TABLE processed_events (
            consumer_group TEXT NOT NULL, run TEXT NOT NULL, event_id TEXT NOT NULL,
            is_processed INTEGER NOT NULL,  -- 0: claimed until time; 1: processed at time
            token INTEGER NOT NULL, time INTEGER NOT NULL,  -- milliseconds since 1970
            PRIMARY KEY (consumer_group, run, event_id)) WITHOUT ROWID;
        CREATE INDEX processed_events_by_time ON processed_events (time);
        PRAGMA application_id = \(applicationID);
        PRAGMA user_version = \(version);
        """
    /// Rows deleted at a time, at most this often: no caller waits for the whole cleanup.
    private static let pruneRows = 1_000
    private static let pruneInterval: Int64 = 10_000

    private var handle: OpaquePointer?
    private let path: String
    private let retention: Int64
    private let now: () -> Int64
    private var prunedAt: Int64 = 0
    private var statements: [String: OpaquePointer] = [:]

    init(path: String, retention: Duration, now: @escaping () -> Int64) throws(SQLiteProcessedEventsError) {
        self.path = path
        self.retention = Int64(clamping: retention.nanoseconds / 1_000_000)
        self.now = now
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
        let code = sqlite3_open_v2(path, &handle, flags, nil)
        do throws(SQLiteProcessedEventsError) {
            guard code == SQLITE_OK else { throw error(code) }
            sqlite3_busy_timeout(handle, 5_000)
            try useLog()
            try execute("PRAGMA synchronous = NORMAL")
            try execute("BEGIN IMMEDIATE")
            try prepareSchema()
            try execute("COMMIT")
        } catch {
            close()
            throw error
        }
    }

    deinit { close() }

    /// SQLite does not wait for the others while it changes to a write-ahead log: several processes that open a new
    /// file at once have to ask again.
    private func useLog() throws(SQLiteProcessedEventsError) {
        for attempt in 1... {
            do throws(SQLiteProcessedEventsError) {
                let mode = try text("PRAGMA journal_mode = WAL")
                guard mode == "wal" else {
                    throw SQLiteProcessedEventsError(.io, "\(path): SQLite cannot use a write-ahead log here (\(mode))")
                }
                return
            } catch {
                guard error.code == .busy, attempt < 500 else { throw error }
                usleep(10_000)
            }
        }
    }

    private func prepareSchema() throws(SQLiteProcessedEventsError) {
        let application = try integer("PRAGMA application_id")
        let found = try integer("PRAGMA user_version")
        if application == 0, found == 0, try integer("SELECT count(*) FROM sqlite_schema") == 0 {
            return try execute(Self.schema)
        }
        guard application == Self.applicationID else {
            throw SQLiteProcessedEventsError(.version, "\(path): a database of something else; use another file")
        }
        guard found == Self.version else {
            throw SQLiteProcessedEventsError(
                .version, "\(path): format \(found), and this version knows \(Self.version); use another file")
        }
    }

    func close() {
        for statement in statements.values { sqlite3_finalize(statement) }
        statements = [:]
        sqlite3_close_v2(handle)
        handle = nil
    }

    /// Answers all of them, or none.
    func answer(_ questions: [Question]) throws(SQLiteProcessedEventsError) -> [Answer] {
        try execute("BEGIN IMMEDIATE")
        do throws(SQLiteProcessedEventsError) {
            var answers: [Answer] = []
            for question in questions { answers.append(try answer(question)) }
            try execute("COMMIT")
            return answers
        } catch {
            try? execute("ROLLBACK")
            throw error
        }
    }

    private func answer(_ question: Question) throws(SQLiteProcessedEventsError) -> Answer {
        let now = now()
        switch question {
        case .claim(let key, let expiry):
            let held = try rows(
                """
                SELECT is_processed, time FROM processed_events
                WHERE consumer_group = ?1 AND run = ?2 AND event_id = ?3
                """, key)
            if let held {
                if held.0 == 1 { return .claim(.processed) }
                if held.1 > now { return .claim(.processing(remaining: .milliseconds(held.1 - now))) }
            }
            let token = UInt64.random(in: 1...UInt64(Int64.max))
            let (deadline, overflow) = now.addingReportingOverflow(Int64(clamping: expiry.nanoseconds / 1_000_000))
            _ = try rows(
                """
                INSERT OR REPLACE INTO processed_events (consumer_group, run, event_id, is_processed, token, time)
                VALUES (?1, ?2, ?3, 0, ?4, ?5)
                """, key, Int64(token), overflow ? .max : deadline)
            return .claim(.claimed(EventClaim(key: key, token: token)))
        case .complete(let claim):
            // An expired claim is still valid until another owner takes it.
            _ = try rows(
                """
                UPDATE processed_events SET is_processed = 1, time = ?5
                WHERE consumer_group = ?1 AND run = ?2 AND event_id = ?3 AND is_processed = 0 AND token = ?4
                """, claim.key, Int64(bitPattern: claim.token), now)
            return .isDone(sqlite3_changes(handle) == 1)
        case .release(let claim):
            _ = try rows(
                """
                DELETE FROM processed_events
                WHERE consumer_group = ?1 AND run = ?2 AND event_id = ?3 AND is_processed = 0 AND token = ?4
                """, claim.key, Int64(bitPattern: claim.token))
            return .isDone(true)
        }
    }

    /// Forgets some of what has been remembered long enough, and of claims that were left behind so long ago. A failure
    /// is the next transaction's to tell.
    func prune() {
        let now = now()
        guard now - prunedAt >= Self.pruneInterval || now < prunedAt else { return }
        prunedAt = now
        try? execute(
            """
            DELETE FROM processed_events WHERE (consumer_group, run, event_id) IN (
                SELECT consumer_group, run, event_id FROM processed_events
                WHERE time < \(now - retention) ORDER BY time LIMIT \(Self.pruneRows))
            """)
        if sqlite3_changes(handle) == Int32(Self.pruneRows) { prunedAt = 0 }
    }

    // MARK: SQLite

    /// Runs a statement on a key and up to two numbers.
    ///
    /// - Returns: the first two columns of the first row.
    private func rows(
        _ sql: String, _ key: EventClaimKey, _ numbers: Int64...
    ) throws(SQLiteProcessedEventsError) -> (Int64, Int64)? {
        let statement = try prepared(sql)
        defer {
            sqlite3_reset(statement)
            sqlite3_clear_bindings(statement)
        }
        for (index, text) in [key.group, key.run, key.eventID].enumerated() {
            // By its length: a text may have a zero in it, and two texts must never be one.
            _ = csqlite_bind_text_bytes(statement, Int32(index + 1), text, Int32(text.utf8.count))
        }
        // ?4 and ?5; a statement that has only ?5 numbers it the same.
        let first = sql.contains("?4") ? 4 : 5
        for (index, number) in numbers.enumerated() { sqlite3_bind_int64(statement, Int32(first + index), number) }
        switch sqlite3_step(statement) {
        case SQLITE_ROW: return (sqlite3_column_int64(statement, 0), sqlite3_column_int64(statement, 1))
        case SQLITE_DONE: return nil
        case let code: throw error(code)
        }
    }

    private func prepared(_ sql: String) throws(SQLiteProcessedEventsError) -> OpaquePointer {
        if let known = statements[sql] { return known }
        var statement: OpaquePointer?
        let code = sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil)
        guard code == SQLITE_OK, let statement else { throw error(code) }
        statements[sql] = statement
        return statement
    }

    private func integer(_ sql: String) throws(SQLiteProcessedEventsError) -> Int64 {
        let statement = try prepared(sql)
        defer { sqlite3_reset(statement) }
        let code = sqlite3_step(statement)
        guard code == SQLITE_ROW else { throw error(code) }
        return sqlite3_column_int64(statement, 0)
    }

    private func text(_ sql: String) throws(SQLiteProcessedEventsError) -> String {
        var statement: OpaquePointer?
        let code = sqlite3_prepare_v2(handle, sql, -1, &statement, nil)
        guard code == SQLITE_OK else { throw error(code) }
        defer { sqlite3_finalize(statement) }
        let result = sqlite3_step(statement)
        guard result == SQLITE_ROW else { throw error(result) }
        return sqlite3_column_text(statement, 0).map { String(cString: $0) } ?? ""
    }

    private func execute(_ sql: String) throws(SQLiteProcessedEventsError) {
        let code = sqlite3_exec(handle, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw error(code) }
    }

    private func error(_ code: Int32) -> SQLiteProcessedEventsError {
        let reason = handle.map { String(cString: sqlite3_errmsg($0)) } ?? String(cString: sqlite3_errstr(code))
        let kind: SQLiteProcessedEventsError.Code =
            switch code & 0xff {
            case SQLITE_BUSY, SQLITE_LOCKED: .busy
            case SQLITE_CORRUPT, SQLITE_NOTADB: .damaged
            case SQLITE_FULL: .full
            default: .io
            }
        return SQLiteProcessedEventsError(kind, "\(path): \(reason) (SQLite \(code))")
    }
}
