internal import SMSBridgeTelemetry
internal import SMSBridgeThreads
public import SMSPortalConsumer
internal import Synchronization

/// Remembers processed events in a SQLite file, which outlives the process and may be shared by the members of a group
/// on one machine.
///
/// Claims of many handlers become one transaction. Expiry goes by the clock of the machine. After a power failure the
/// last completions may be forgotten, and their events are handled again; nothing is ever remembered that was not
/// completed.
///
/// The file must lie on a local disk: SQLite's locks do not hold on network file systems.
public final class SQLiteProcessedEvents: ProcessedEvents {
    private let inbox: Inbox
    private let thread: Mutex<NamedThread?>

    /// Opens or makes the file; blocks, as a disk does.
    ///
    /// - Parameters:
    ///   - path: The file. Two more lie beside it while it is open (`-wal`, `-shm`).
    ///   - retention: For how long processed events are remembered: longer than a repeat may be late. The vendor gives
    ///     up after some minutes; a consumer that was away for days sees again what it had not committed.
    /// - Throws: ``SQLiteProcessedEventsError``.
    public convenience init(
        path: String, retention: Duration = .seconds(7 * 24 * 3_600)
    ) throws(SQLiteProcessedEventsError) {
        try self.init(path: path, retention: retention, now: wallClockMilliseconds)
    }

    /// - Parameter now: milliseconds since 1970.
    package init(
        path: String, retention: Duration, now: @escaping @Sendable () -> Int64
    ) throws(SQLiteProcessedEventsError) {
        let inbox: Inbox
        do { inbox = Inbox(bell: try Doorbell()) } catch { throw SQLiteProcessedEventsError(.io, "\(error)") }
        self.inbox = inbox
        // Opened here so that the caller hears of it, and again by the thread, which must be the one to use it.
        try ClaimTable(path: path, retention: retention, now: now).close()
        do {
            thread = Mutex(
                try NamedThread("processed-ev") {
                    inbox.serve { () throws(SQLiteProcessedEventsError) in
                        try ClaimTable(path: path, retention: retention, now: now)
                    }
                })
        } catch {
            throw SQLiteProcessedEventsError(.io, "\(error)")
        }
    }

    deinit { close() }

    /// Finishes what has been asked, and closes the file; blocks. Later calls throw.
    public func close() {
        inbox.close()
        let thread = self.thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        thread?.join()
    }

    /// See ``ProcessedEvents/claim(_:expiry:)``.
    public func claim(_ key: EventClaimKey, expiry: Duration) async throws -> EventClaimOutcome {
        guard case .claim(let outcome) = try await inbox.ask(.claim(key, expiry: expiry)) else { return .processed }
        return outcome
    }

    /// See ``ProcessedEvents/complete(_:)``.
    @discardableResult
    public func complete(_ claim: EventClaim) async throws -> Bool {
        guard case .isDone(let isDone) = try await inbox.ask(.complete(claim)) else { return false }
        return isDone
    }

    /// See ``ProcessedEvents/release(_:)``.
    public func release(_ claim: EventClaim) async throws {
        _ = try await inbox.ask(.release(claim))
    }
}

/// Why a store of processed events does not answer.
public struct SQLiteProcessedEventsError: Error, Sendable, CustomStringConvertible {
    /// The kind of failure. More may be added.
    public struct Code: Sendable, Hashable {
        private enum Kind { case busy, damaged, full, version, io, closed }
        private let kind: Kind
        private init(_ kind: Kind) { self.kind = kind }

        /// Another process holds the file for longer than 5 s.
        public static let busy = Code(.busy)
        /// The file is no database, or is damaged.
        public static let damaged = Code(.damaged)
        /// The disk is full.
        public static let full = Code(.full)
        /// The file was made by another version of this library, and is left as it is.
        public static let version = Code(.version)
        /// The file cannot be opened, read or written.
        public static let io = Code(.io)
        /// The store has been closed.
        public static let closed = Code(.closed)
    }

    /// The kind of failure.
    public let code: Code
    /// A description for people.
    public let description: String

    init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}
