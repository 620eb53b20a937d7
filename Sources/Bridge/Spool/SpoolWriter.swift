#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// The thread of a spool: applies batches, reports the results, and recovers the file when it fails.
///
/// Reads do not depend on writes: while changes cannot be committed, inserts are rejected, deletes are remembered, and rows
/// are read without those that are to be deleted.
final class SpoolWriter {
    let configuration: SpoolConfiguration
    private let tell: @Sendable ([SpoolEvent]) -> Void
    var directory: SpoolDirectory?
    private(set) var store: SpoolStore?
    /// A file that was deleted, and is still open: it has what was answered for until that is in a new one.
    private var orphan: SpoolStore?
    /// What has stood in the place of the orphan's copy.
    var leftover: String?
    /// Why the file is not open.
    private var failure: SpoolError?
    private var reopenAt = ContinuousClock.now
    /// Whether the file could not be opened because the disk failed, and has not been looked at since.
    private(set) var isDoubtful = false
    var suspicion = DamageSuspicion()
    /// When a new file was made in the place of a damaged one.
    var renewed: ContinuousClock.Instant?
    private var health = WriteHealth()
    private var pending: PendingChanges
    var events: [SpoolEvent] = []
    private var lastReport = ContinuousClock.now
    private var oldest: [Int64?]
    private var parked: Int64 = 0

    private let ask: SpoolServer.Ask
    /// There as long as the folder's lock is held.
    private var server: SpoolServer?

    init(
        _ configuration: SpoolConfiguration, tell: @escaping @Sendable ([SpoolEvent]) -> Void,
        ask: @escaping SpoolServer.Ask
    ) {
        self.configuration = configuration
        self.tell = tell
        self.ask = ask
        pending = PendingChanges(lanes: configuration.lanes.count)
        oldest = Array(repeating: nil, count: configuration.lanes.count)
    }

    /// - Parameter next: the next batch after waiting at most so many milliseconds; empty when none came, nil at the end.
    func run(next: (_ milliseconds: Int32) -> [SpoolCommand]?) {
        open()
        while let batch = next(hasWork ? 0 : 1_000) {
            if store == nil, .now >= reopenAt { open() }
            if !batch.isEmpty { apply(batch) }
            maintain(isIdle: batch.isEmpty)
            if lastReport.duration(to: .now) >= .seconds(1) { report() }
            flush()
        }
        while store != nil, !health.isFailing, hasPendingWork { commitPending() }
        if !health.isFailing { try? store?.tidy() }
        store = nil
        server?.stop()
        directory = nil
    }

    /// Whether there is something to do in small parts: others wait for one part at most.
    private var hasWork: Bool {
        guard let store else { return false }
        return health.isRetryDue(.now) || !health.isFailing && (store.isShrinkDue || hasPendingWork)
    }

    private var hasPendingWork: Bool { !pending.deletes.isEmpty || health.takesInserts && !pending.isEmpty }

    private func flush() {
        guard !events.isEmpty else { return }
        tell(events)
        events = []
    }

    // MARK: - Opening and mending

    private func open() {
        reopenAt = .now + .seconds(1)
        do throws(SpoolError) {
            let directory: SpoolDirectory
            if let held = self.directory {
                directory = held
            } else {
                directory = try SpoolDirectory(
                    configuration.path, allowsAnyFileSystem: configuration.allowsAnyFileSystem)
                if directory.isInContainerLayer { events.append(.inContainerLayer(directory.path)) }
            }
            self.directory = directory
            listen(in: directory)
            if let orphan {
                try rescue(orphan, in: directory)
                orphan.close()
                self.orphan = nil
            }
            let store = try openStore(in: directory)
            self.store = store
            failure = nil
            isDoubtful = false
            _ = directory.reserveSpace(leaving: reserve + 3 * SpoolDirectory.ballastBytes)
            health.opened()
            measurePending(store)
            events.append(.opened(nextNumber: store.nextNumber, totals: live(store)))
            if let error = store.checkpointFailure { writesFailed(error, copiesLog: true) }
            report()
        } catch {
            if error.code == .full { directory?.releaseSpace() }
            if failure?.message != error.message { events.append(.failed(error)) }
            failure = error
        }
        flush()
    }

    /// Lets other processes ask. Without it the spool is as good as with it.
    private func listen(in directory: SpoolDirectory) {
        guard server == nil else { return }
        do throws(SpoolError) {
            server = try SpoolServer(folder: directory.path, ask: ask)
        } catch {
            if failure == nil { events.append(.notInspectable(error)) }
        }
    }

    /// Closes the file after it has failed, and opens it again at once: it is looked at, and replaced where it is damaged.
    private func reopen(after error: SpoolError, while work: DamageSuspicion.Work) {
        let old = store
        store = nil
        if error.code == .damaged { suspicion.meet(error, while: work) }
        if error.code == .moved { orphan = old } else { old?.close() }
        open()
    }

    var reserve: Int64 { min(configuration.reserveBytes, (directory?.space.total ?? 0) / 20) }

    // MARK: - A batch

    /// At most so many changes share a transaction: its pages go to the log before the log can be copied into the file, and
    /// must find room there even when the disk has none left.
    private static let transactionChanges = 512
    /// Deletes of a transaction on a full disk: its pages find room in the log that was there before.
    private static let smallTransactionChanges = 32

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

    private func write(_ part: ArraySlice<SpoolCommand>) {
        guard part.contains(where: \.writes) else { return }
        // While the disk is full, deletes are committed in small transactions, from the pending ones.
        guard let store, health.takesInserts else {
            remember(part)
            return reject(part, (store == nil ? failure : health.error) ?? notOpen)
        }
        let takesInserts = hasRoom(store)
        do throws(SpoolError) {
            try store.beginTransaction()
            for command in part { try carryOut(command, in: store, takesInserts: takesInserts) }
            try store.commit()
        } catch {
            store.rollback()
            remember(part)
            reject(part, error)
            return writesFailed(error)
        }
        suspicion.clear(.writing)
        remember(movesOf: part, areCarriedOut: true)
        guard takesInserts else {
            return reject(
                part,
                health.error ?? SpoolError(.full, "\(configuration.path): the disk is full, but for what is reserved"))
        }
        var tokens: [UInt64] = []
        for case .insert(let record, let number, let token) in part {
            tokens.append(token)
            pending.deletes.keep(number, lane: record.lane)
        }
        guard !tokens.isEmpty else { return }
        events.append(.durable(tokens: tokens))
        if health.committedInserts() { writesRecovered() }
    }

    private func carryOut(_ command: SpoolCommand, in store: SpoolStore, takesInserts: Bool) throws(SpoolError) {
        switch command {
        case .insert(let record, let number, _): if takesInserts { try store.insert(record, number: number) }
        case .delete(let lane, let number):
            if let source = pending.source(ofMoveTo: lane, number) {
                try store.delete(lane: source.lane, number: source.number)
            }
            try store.delete(lane: lane, number: number)
        case .park, .move: try move(command, in: store)
        case .read, .inspect: break
        }
    }

    private func move(_ command: SpoolCommand, in store: SpoolStore) throws(SpoolError) {
        switch command {
        case .park(let record, let number, let reason):
            try store.park(record, number: number, reason: reason)
            try store.delete(lane: record.lane, number: number)
        case .move(let record, let number, let lane, let old):
            try store.insert(record, number: number)
            try store.delete(lane: lane, number: old)
        default: break
        }
    }

    private var notOpen: SpoolError { SpoolError(.io, "the spool is not open") }

    private func hasRoom(_ store: SpoolStore) -> Bool {
        (directory?.space.free ?? 0) + store.spareBytes > reserve
    }

    private func reject(_ batch: ArraySlice<SpoolCommand>, _ error: SpoolError) {
        let tokens = batch.compactMap { command -> UInt64? in
            if case .insert(_, _, let token) = command { token } else { nil }
        }
        if !tokens.isEmpty { events.append(.rejected(tokens: tokens, error)) }
    }

    // MARK: - Changes that are not committed

    /// Remembers what a batch was to take away.
    private func remember(_ part: ArraySlice<SpoolCommand>) {
        for command in part { if case .delete(let lane, let number) = command { remember(delete: number, lane: lane) } }
        remember(movesOf: part, areCarriedOut: false)
    }

    private func remember(movesOf part: ArraySlice<SpoolCommand>, areCarriedOut: Bool) {
        for command in part {
            switch command {
            case .park, .move: if !areCarriedOut { pending.add(move: command) }
            case .delete(let lane, let number):
                guard let source = pending.source(ofMoveTo: lane, number) else { continue }
                pending.removeMove(to: lane, number)
                remember(delete: source.number, lane: source.lane)
            case .insert, .read, .inspect: break
            }
        }
    }

    private func remember(delete number: Int64, lane: Int) {
        var bytes: Int64?
        if let store {
            do throws(SpoolError) {
                bytes = try store.bytes(lane: lane, number)
                // Its insert was rejected, or it is gone.
                if bytes == nil { return }
            } catch { bytes = nil }
        }
        pending.deletes.add(number, lane: lane, bytes: bytes) { lower, upper in
            guard let store else { return false }
            do throws(SpoolError) { return try !store.hasRows(lane: lane, after: lower, before: upper) } catch {
                return false
            }
        }
    }

    private func measurePending(_ store: SpoolStore) {
        pending.deletes.measure { lane, range in try? store.totals(lane: lane, range) }
    }

    /// Commits a part of what is pending: deletes first, for they make room.
    private func commitPending() {
        guard let store else { return }
        do throws(SpoolError) {
            if let (lane, range) = pending.deletes.first {
                let limit = health.error == nil ? Self.transactionChanges : Self.smallTransactionChanges
                try store.beginTransaction()
                let (deleted, end) = try store.delete(lane: lane, range, atMost: limit)
                try store.commit()
                pending.deletes.committed(through: end, lane: lane, deleted)
            } else if let command = pending.moves.first, health.takesInserts {
                try store.beginTransaction()
                try move(command, in: store)
                try store.commit()
                pending.removeFirstMove()
            } else {
                try store.probe()
            }
            health.succeeded(now: .now)
        } catch {
            store.rollback()
            // Another row has the number of the copy: it cannot be stored, and is rejected again when it is read.
            if error.code == .conflict { pending.removeFirstMove() }
            writesFailed(error)
        }
    }

    /// - Parameter copiesLog: whether the log must be copied into the file before anything counts as durable.
    private func writesFailed(_ error: SpoolError, copiesLog: Bool = false) {
        switch error.code {
        case .conflict: return
        case .damaged, .moved: return reopen(after: error, while: .writing)
        default: break
        }
        if error.code == .full { directory?.releaseSpace() }
        guard health.failed(error, copiesLog: copiesLog, now: .now) else { return }
        events.append(.writesFailing(error))
        report()
    }

    private func writesRecovered() {
        events.append(.writesRecovered)
        report()
    }

    /// What is to be done between two batches.
    private func maintain(isIdle: Bool) {
        guard let store else { return }
        if health.isRetryDue(.now) { retry(store) }
        if !health.isFailing {
            if hasPendingWork { commitPending() }
            if isIdle { tidy() }
        }
        if health.calmed(now: .now) { writesRecovered() }
    }

    private func retry(_ store: SpoolStore) {
        switch health.state {
        case .working: break
        case .full:
            // The log first, so that deletes find room in it when other processes take the rest of the disk.
            let isCopied = (try? store.copyLog(truncates: false)) != nil
            let hasRoom = isCopied && hasRoom(store) && directory?.reserveSpace(leaving: reserve) == true
            health.foundRoom(hasRoom, now: .now)
        case .failing(let copiesLog):
            do throws(SpoolError) {
                if copiesLog { try store.copyLog(truncates: true) }
            } catch { return writesFailed(error) }
            // Then the log begins again in the room that it has; on a full disk there may be no other.
            if !copiesLog { try? store.copyLog(truncates: false) }
            commitPending()
        }
    }

    private func tidy() {
        guard let store, !health.isFailing else { return }
        do throws(SpoolError) { try store.tidy() } catch { writesFailed(error) }
    }

    // MARK: - Reading

    private func read(_ lane: Int, _ number: Int64, _ count: Int, _ bytes: Int) {
        guard let store else { return events.append(.readFailed(lane: lane, failure ?? notOpen)) }
        do throws(SpoolError) {
            let rows = try store.read(lane: lane, after: number, count: count, bytes: bytes, without: pending)
            events.append(.rows(lane: lane, rows))
            suspicion.clear(.reading)
        } catch {
            store.rollback()
            events.append(.readFailed(lane: lane, error))
            if error.code == .damaged { reopen(after: error, while: .reading) }
        }
    }

    private func inspect(_ inquiry: SpoolInquiry) {
        guard let store else { return inquiry.reply(.failure(failure ?? notOpen)) }
        do throws(SpoolError) {
            inquiry.reply(try answer(inquiry.question, from: store))
        } catch {
            // Who looks must not be what brings the file down; damage is met by those whose rows it has.
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

    private func live(_ store: SpoolStore) -> [SpoolTotals] {
        configuration.lanes.indices.map { pending.live(store.totals[$0], lane: $0) }
    }

    private func report() {
        lastReport = .now
        guard let store, let directory else { return }
        if pending.deletes.isExact.contains(false) { measurePending(store) }
        // What cannot be read now is as it was.
        do throws(SpoolError) {
            for lane in configuration.lanes.indices { oldest[lane] = try store.oldest(lane: lane, without: pending) }
            parked = try store.parkedCount()
        } catch { store.rollback() }
        let disk = SpoolDisk(
            freeBytes: directory.space.free,
            hasRoom: health.takesInserts && hasRoom(store) && directory.isWritable,
            setAsideFiles: SpoolPlace.setAside(in: directory.path).count, pendingDeletes: pending.deletes.rows,
            writeError: health.error)
        events.append(.totals(live(store), oldest: oldest, parked: parked + pending.parked, disk: disk))
    }
}
