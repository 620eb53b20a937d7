#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// The thread of a spool: applies batches, reports the results, and does what `SpoolRecovery` decides about the file.
///
/// Reads do not depend on writes: while changes cannot be committed, inserts are rejected, deletes are remembered, and rows
/// are read without those that are to be deleted.
final class SpoolWriter {
    let configuration: SpoolConfiguration
    private let tell: @Sendable ([SpoolEvent]) -> Void
    var recovery: SpoolRecovery
    /// Its lock is held.
    var directory: SpoolDirectory?
    /// The open file.
    var store: SpoolStore?
    /// The copy that replaces the file, while it is made.
    var copy: RowCopy?
    /// What the folder still had of a removed file: only its log was gone.
    var leftover: String?
    var health = WriteHealth()
    var pending: PendingChanges
    var events: [SpoolEvent] = []
    private var reportedFailure: SpoolError?
    private var lastReport: ContinuousClock.Instant
    private var oldest: [Int64?]
    private var parked: Int64 = 0

    /// Tests have one of their own.
    let clock: () -> ContinuousClock.Instant
    let ask: SpoolServer.Ask
    /// There as long as the folder's lock is held.
    var server: SpoolServer?

    init(
        _ configuration: SpoolConfiguration, tell: @escaping @Sendable ([SpoolEvent]) -> Void,
        clock: @escaping () -> ContinuousClock.Instant = { .now }, ask: @escaping SpoolServer.Ask
    ) {
        self.configuration = configuration
        self.tell = tell
        self.clock = clock
        self.ask = ask
        lastReport = clock()
        recovery = SpoolRecovery(recoveryLimit: configuration.recoveryLimit, now: lastReport)
        pending = PendingChanges(lanes: configuration.lanes.count)
        oldest = Array(repeating: nil, count: configuration.lanes.count)
    }

    /// - Parameter next: the next batch after waiting at most so many milliseconds; empty when none came, nil at the end.
    func run(next: (_ milliseconds: Int32) -> [SpoolCommand]?) {
        recover()
        flush()
        while let batch = next(waitMilliseconds) {
            if !batch.isEmpty { apply(batch) }
            maintain(isIdle: batch.isEmpty)
            recover()
            if lastReport.duration(to: clock()) >= .seconds(1) { report() }
            flush()
        }
        finish()
        flush()
        store = nil
        copy = nil
        server?.stop()
        directory = nil
    }

    private var waitMilliseconds: Int32 {
        let now = clock()
        if hasWork || recovery.next(now: now) != nil { return 0 }
        guard let time = recovery.nextTime else { return 1_000 }
        return Int32(max(1, min(1_000, (time - now) / .milliseconds(1))))
    }

    func flush() {
        guard !events.isEmpty else { return }
        tell(events)
        events = []
    }

    /// Says once why nothing can be stored or read, and to whom it matters that it has changed.
    func reportFailure() {
        let failure = recovery.failure
        guard failure?.message != reportedFailure?.message else { return }
        reportedFailure = failure
        if let failure { events.append(.failed(failure)) }
    }

    // MARK: - A batch

    /// At most so many changes share a transaction: its pages go to the log before the log can be copied into the file, and
    /// must find room there even when the disk has none left.
    static let transactionChanges = 512

    private func apply(_ batch: [SpoolCommand]) {
        var rest = batch[...]
        while !rest.isEmpty {
            let part = rest.prefix(Self.transactionChanges)
            rest = rest.dropFirst(part.count)
            write(part)
            flush()
            for command in part {
                switch command {
                case .read(let lane, let number, let count, let bytes): read(lane, number, count, bytes)
                case .inspect(let inquiry): inspect(inquiry)
                default: continue
                }
            }
            flush()
            tidy()
        }
    }

    // MARK: - Reading

    var unavailable: SpoolError { recovery.failure ?? SpoolError(.io, "the spool is not open") }

    private func read(_ lane: Int, _ number: Int64, _ count: Int, _ bytes: Int) {
        guard let store else { return events.append(.readFailed(lane: lane, unavailable)) }
        do throws(SpoolError) {
            let rows = try store.read(lane: lane, after: number, count: count, bytes: bytes, without: pending)
            events.append(.rows(lane: lane, rows))
            recovery.foundSound(.reading(lane: lane))
        } catch {
            store.rollback()
            events.append(.readFailed(lane: lane, error))
            if error.code == .corrupt { foundCorruption(error, while: .reading(lane: lane)) }
            if error.code == .unreadable { foundUnreadable(error, while: .reading(lane: lane)) }
        }
    }

    private func inspect(_ inquiry: SpoolInquiry) {
        guard let store else { return inquiry.reply(.failure(unavailable)) }
        do throws(SpoolError) {
            inquiry.reply(try answer(inquiry.question, from: store))
        } catch {
            // An inspection does not start a recovery; corruption is found by those who need the rows.
            store.rollback()
            inquiry.reply(.failure(error))
        }
    }

    private func answer(
        _ question: SpoolProtocol.Question, from store: SpoolStore
    ) throws(SpoolError) -> SpoolProtocol.Answer {
        func lane(_ id: Int64) -> Int? { configuration.lanes.indices.first { store.id(ofLane: $0) == id } }
        var question = question
        while true {
            let answer = try store.inspection.answer(to: question)
            switch (answer, question) {
            case (.status(var status), _):
                for index in status.lanes.indices {
                    guard let lane = lane(status.lanes[index].id) else { continue }
                    status.lanes[index].totals = pending.live(status.lanes[index].totals, lane: lane)
                    status.lanes[index].oldest = try store.oldest(lane: lane, without: pending)
                }
                return .status(status)
            case (.rows(let rows), .rows(.lane(let id), _, let count)):
                guard let lane = lane(id), let last = rows.last else { return answer }
                let live = rows.filter { pending.end(ofHidden: $0.number, lane: lane) == nil }
                if !live.isEmpty { return .rows(live) }
                question = .rows(.lane(id), after: last.number, count: count)
            default: return answer
            }
        }
    }

    // MARK: - Figures

    func live(_ store: SpoolStore) -> [SpoolTotals] {
        configuration.lanes.indices.map { pending.live(store.totals[$0], lane: $0) }
    }

    /// Free space below which nothing is stored.
    var reserve: Int64 { min(configuration.reserveBytes, (directory?.space.total ?? 0) / 20) }

    func hasRoom(_ store: SpoolStore) -> Bool { (directory?.space.free ?? 0) + store.spareBytes > reserve }

    func report() {
        lastReport = clock()
        guard let store, let directory else { return }
        if recovery.isServing {
            do throws(SpoolError) { try store.checkPlace() } catch { return foundRemoved() }
            keepLock()
        }
        if pending.deletes.isExact.contains(false) { measurePending(store) }
        // What cannot be read now is as it was.
        do throws(SpoolError) {
            for lane in configuration.lanes.indices { oldest[lane] = try store.oldest(lane: lane, without: pending) }
            parked = try store.parkedCount()
        } catch { store.rollback() }
        let disk = SpoolDisk(
            freeBytes: directory.space.free,
            hasRoom: recovery.isServing && health.takesInserts && hasRoom(store) && directory.isWritable,
            quarantinedFiles: SpoolPlace.quarantined(in: directory.path).count, pendingDeletes: pending.deletes.rows,
            writeError: health.error)
        events.append(.totals(live(store), oldest: oldest, parked: parked + pending.parked, disk: disk))
    }
}
