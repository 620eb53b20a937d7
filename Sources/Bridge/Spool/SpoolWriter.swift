#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// The thread of a spool: applies batches, tells what came of them, and mends the file when it fails.
final class SpoolWriter {
    let configuration: SpoolConfiguration
    private let tell: @Sendable ([SpoolEvent]) -> Void
    private var directory: SpoolDirectory?
    private var store: SpoolStore?
    /// A file that was deleted, and is still open: it has what was answered for until that is in a new one.
    private var orphan: SpoolStore?
    /// What has stood in the place of the orphan's copy.
    var leftover: String?
    private var failure: SpoolError?
    /// Whether the disk has failed, and the file has not been looked at since.
    private(set) var isDoubtful = false
    var suspicion = DamageSuspicion()
    /// When a new file was made in the place of a damaged one.
    var renewed: ContinuousClock.Instant?
    /// Reads that meet damage which is not believed yet.
    private var held: [SpoolCommand] = []
    /// Deletes of a batch that failed: rows that nobody needs any more must not stay for ever.
    private var owed: [(lane: Int, number: Int64)] = []
    var events: [SpoolEvent] = []
    private var lastReport = ContinuousClock.now

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
    }

    /// - Parameter next: the next batch after waiting at most so many milliseconds; empty when none came, nil at the end.
    func run(next: (_ milliseconds: Int32) -> [SpoolCommand]?) {
        open()
        // While pages are given back whoever comes waits for one part of them at most.
        while let batch = next(store?.isShrinkDue == true ? 0 : 1_000) {
            if store == nil { open() }
            if !batch.isEmpty { apply(batch) }
            if !held.isEmpty {
                let reads = held[...]
                held = []
                readAgain(reads)
            }
            if batch.isEmpty { store?.tidy() }
            if lastReport.duration(to: .now) >= .seconds(1) { report() }
            flush()
        }
        store?.tidy()
        store = nil
        server?.stop()
        directory = nil
    }

    private func flush() {
        guard !events.isEmpty else { return }
        tell(events)
        events = []
    }

    // MARK: - Opening and mending

    private func open() {
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
            directory.loadBallast(reserve: reserve)
            events.append(.opened(nextNumber: store.nextNumber, totals: store.totals))
            report()
        } catch {
            if error.code == .full { _ = directory?.dropBallast() }
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

    var reserve: Int64 { min(configuration.reserveBytes, (directory?.space.total ?? 0) / 20) }

    // MARK: - A batch

    /// At most so many changes share a transaction: its pages go to the log before the log can be carried over, and must
    /// find room there even when the disk has none left.
    private static let transactionChanges = 512

    private func apply(_ batch: [SpoolCommand]) {
        var rest = batch[...]
        while !rest.isEmpty {
            guard let store else {
                owe(rest)
                return reject(rest, failure ?? SpoolError(.io, "the spool is not open"))
            }
            let part = rest.prefix(Self.transactionChanges)
            let hasRoom = (directory?.space.free ?? 0) + store.spareBytes > reserve
            do throws(SpoolError) {
                try payDebts(store)
                try write(part, to: store, inserts: hasRoom)
            } catch {
                store.rollback()
                return mend(after: error, while: .writing, rest)
            }
            if part.contains(where: \.writes) { suspicion.clear(.writing) }
            answer(part, inserts: hasRoom)
            flush()
            for command in part {
                switch command {
                case .read(let lane, let number, let count, let bytes): read(lane, number, count, bytes)
                case .inspect(let inquiry): inspect(inquiry)
                default: continue
                }
            }
            flush()
            self.store?.tidy()
            rest = rest.dropFirst(part.count)
        }
    }

    /// Deletes what earlier batches should have.
    private func payDebts(_ store: SpoolStore) throws(SpoolError) {
        while !owed.isEmpty {
            let part = owed.prefix(Self.transactionChanges)
            try store.beginTransaction()
            for (lane, number) in part { try store.delete(lane: lane, number: number) }
            try store.commit()
            owed.removeFirst(part.count)
            store.tidy()
        }
    }

    private func write(_ batch: ArraySlice<SpoolCommand>, to store: SpoolStore, inserts: Bool) throws(SpoolError) {
        guard batch.contains(where: \.writes) else { return }
        try store.beginTransaction()
        for command in batch {
            switch command {
            case .insert(let record, let number, _): if inserts { try store.insert(record, number: number) }
            case .delete(let lane, let number): try store.delete(lane: lane, number: number)
            case .park(let record, let number, let reason):
                try store.park(record, number: number, reason: reason)
                try store.delete(lane: record.lane, number: number)
            case .move(let record, let number, let lane, let old):
                try store.insert(record, number: number)
                try store.delete(lane: lane, number: old)
            case .read, .inspect: break
            }
        }
        try store.commit()
    }

    private func answer(_ batch: ArraySlice<SpoolCommand>, inserts: Bool) {
        let tokens = batch.compactMap { command -> UInt64? in
            if case .insert(_, _, let token) = command { token } else { nil }
        }
        guard !tokens.isEmpty else { return }
        if inserts {
            events.append(.durable(tokens: tokens))
        } else {
            events.append(.rejected(tokens: tokens, SpoolError(.full, "\(configuration.path): the disk is full")))
        }
    }

    private func read(_ lane: Int, _ number: Int64, _ count: Int, _ bytes: Int) {
        guard let store else { return events.append(.rows(lane: lane, [])) }
        do throws(SpoolError) {
            events.append(.rows(lane: lane, try store.read(lane: lane, after: number, count: count, bytes: bytes)))
            suspicion.clear(.reading)
        } catch {
            mend(after: error, while: .reading, [.read(lane: lane, after: number, count: count, bytes: bytes)])
        }
    }

    private func inspect(_ inquiry: SpoolInquiry) {
        guard let store else {
            return inquiry.reply(.failure(failure ?? SpoolError(.io, "the spool is not open")))
        }
        do throws(SpoolError) {
            inquiry.reply(try store.inspection.answer(to: inquiry.question))
        } catch {
            inquiry.reply(.failure(error))
            // Who looks must not be what brings the file down; damage is met by those whose rows it has.
            if error.code != .damaged { mend(after: error, while: .reading, []) }
        }
    }

    /// A failed commit has answered nobody. Its file is closed, opened again and looked at before anything else is
    /// stored; what could not be stored is told, and what was to be read is read from the new store.
    private func mend(
        after error: SpoolError, while work: DamageSuspicion.Work, _ batch: ArraySlice<SpoolCommand>
    ) {
        owe(batch)
        letGo(after: error, while: work)
        refuse(batch, error)
        open()
        readAgain(batch)
    }

    private func letGo(after error: SpoolError, while work: DamageSuspicion.Work) {
        let old = store
        store = nil
        if error.code == .io { isDoubtful = true }
        if error.code == .damaged { suspicion.meet(error, while: work) }
        // With this room the deletes come through at the next batch.
        if error.code == .full { _ = directory?.dropBallast() }
        if error.code == .moved { orphan = old } else { old?.close() }
    }

    /// Carries out the reads of a batch that has failed: "no rows" would let a lane go on past those that the file has.
    ///
    /// Damage that is met again is set aside by the next attempt, which reads what is sound of it.
    private func readAgain(_ batch: ArraySlice<SpoolCommand>, attempt: Int = 1) {
        var reads = batch.filter { if case .read = $0 { true } else { false } }[...]
        guard !reads.isEmpty else { return }
        do throws(SpoolError) {
            // What is owed is not to be read.
            if let store { try payDebts(store) }
            while let store, case .read(let lane, let number, let count, let bytes)? = reads.first {
                events.append(.rows(lane: lane, try store.read(lane: lane, after: number, count: count, bytes: bytes)))
                reads.removeFirst()
                suspicion.clear(.reading)
            }
            answerWithoutRows(reads)
        } catch {
            store?.rollback()
            letGo(after: error, while: .reading)
            open()
            if attempt < 3 {
                readAgain(reads, attempt: attempt + 1)
            } else if store != nil {
                held += reads
            } else {
                answerWithoutRows(reads)
            }
        }
        flush()
    }

    private func owe(_ batch: ArraySlice<SpoolCommand>) {
        for command in batch { if case .delete(let lane, let number) = command { owed.append((lane, number)) } }
    }

    /// Answers a batch for which there is no file.
    private func reject(_ batch: ArraySlice<SpoolCommand>, _ error: SpoolError) {
        answerWithoutRows(batch)
        refuse(batch, error)
    }

    private func answerWithoutRows(_ batch: ArraySlice<SpoolCommand>) {
        for case .read(let lane, _, _, _) in batch { events.append(.rows(lane: lane, [])) }
    }

    private func refuse(_ batch: ArraySlice<SpoolCommand>, _ error: SpoolError) {
        let tokens = batch.compactMap { command -> UInt64? in
            if case .insert(_, _, let token) = command { token } else { nil }
        }
        if !tokens.isEmpty { events.append(.rejected(tokens: tokens, error)) }
        for case .inspect(let inquiry) in batch { inquiry.reply(.failure(error)) }
        flush()
    }

    // MARK: - Figures

    private func report() {
        lastReport = .now
        guard let store, let directory else { return }
        do throws(SpoolError) {
            var oldest: [Int64?] = []
            for lane in configuration.lanes.indices { oldest.append(try store.oldest(lane: lane)) }
            let free = directory.space.free
            let disk = SpoolDisk(
                freeBytes: free, hasRoom: free + store.spareBytes > reserve && directory.isWritable,
                setAsideFiles: SpoolPlace.setAside(in: directory.path).count)
            events.append(.totals(store.totals, oldest: oldest, parked: try store.parkedCount(), disk: disk))
        } catch {
            mend(after: error, while: .reading, [])
        }
    }
}
