internal import CSMSBridgeSQLite
internal import Dispatch

/// A SQLite database, reached from one queue of its own: SQLite blocks, and Swift's cooperative threads must not.
package actor Database {
    /// What a statement is given and what it gives.
    package enum Value: Sendable, Hashable {
        case text(String)
        case integer(Int64)
        case null

        package init(_ text: String?) { self = text.map(Value.text) ?? .null }

        package var text: String? { if case .text(let text) = self { text } else { nil } }
        package var integer: Int64? { if case .integer(let integer) = self { integer } else { nil } }
    }

    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    private let executor = Executor()
    private nonisolated let handle: Handle

    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// Opens or makes a database; `:memory:` is one that goes with the actor.
    ///
    /// - Parameter schema: Statements to begin with, such as `CREATE TABLE IF NOT EXISTS …`.
    package init(_ path: String, schema: String) throws {
        handle = try Handle(path)
        try handle.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \(schema)")
    }

    /// Runs one statement.
    ///
    /// - Returns: how many rows it has changed.
    @discardableResult
    package func run(_ statement: String, _ values: Value...) throws -> Int {
        _ = try handle.rows(statement, values)
        return handle.changes
    }

    /// Runs one query.
    package func rows(_ query: String, _ values: Value...) throws -> [[Value]] {
        try handle.rows(query, values)
    }
}

/// Runs an actor on a queue.
private final class Executor: SerialExecutor {
    private let queue = DispatchQueue(label: "database")

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }
}

/// The connection.
///
/// `@unchecked Sendable`: after its `init` only the actor's queue uses it, and its `deinit` comes when nobody does.
private final class Handle: @unchecked Sendable {
    private let pointer: OpaquePointer

    init(_ path: String) throws {
        var pointer: OpaquePointer?
        guard sqlite3_open(path, &pointer) == SQLITE_OK, let pointer else {
            defer { sqlite3_close(pointer) }
            throw Database.Failure(description: "\(path) cannot be opened: \(String(cString: sqlite3_errmsg(pointer)))")
        }
        self.pointer = pointer
        sqlite3_busy_timeout(pointer, 5_000)
    }

    deinit { sqlite3_close(pointer) }

    var changes: Int { Int(sqlite3_changes(pointer)) }

    private var failure: Database.Failure {
        Database.Failure(description: String(cString: sqlite3_errmsg(pointer)))
    }

    func execute(_ statements: String) throws {
        guard sqlite3_exec(pointer, statements, nil, nil, nil) == SQLITE_OK else { throw failure }
    }

    func rows(_ sql: String, _ values: [Database.Value]) throws -> [[Database.Value]] {
        var statement: OpaquePointer?
        guard sqlite3_prepare_v2(pointer, sql, -1, &statement, nil) == SQLITE_OK else { throw failure }
        defer { sqlite3_finalize(statement) }
        for (index, value) in values.enumerated() {
            let place = Int32(index + 1)
            let result =
                switch value {
                case .text(let text): csqlite_bind_text(statement, place, text)
                case .integer(let integer): sqlite3_bind_int64(statement, place, integer)
                case .null: sqlite3_bind_null(statement, place)
                }
            guard result == SQLITE_OK else { throw failure }
        }
        var rows: [[Database.Value]] = []
        while true {
            switch sqlite3_step(statement) {
            case SQLITE_DONE: return rows
            case SQLITE_ROW:
                rows.append(
                    (0..<sqlite3_column_count(statement)).map { column in
                        switch sqlite3_column_type(statement, column) {
                        case SQLITE_INTEGER: .integer(sqlite3_column_int64(statement, column))
                        case SQLITE_NULL: .null
                        default: .text(sqlite3_column_text(statement, column).map { String(cString: $0) } ?? "")
                        }
                    })
            default: throw failure
            }
        }
    }
}
