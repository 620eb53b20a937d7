#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// Carries out what `SpoolRecovery` decides.
extension SpoolWriter {
    /// Others wait so long for a part of a copy.
    private static let slice = Duration.milliseconds(50)

    /// Does what is due with the file.
    func recover() {
        let end = clock() + Self.slice
        while let action = recovery.next(now: clock()) {
            let outcome: SpoolRecovery.Outcome
            do throws(SpoolError) {
                outcome = try carryOut(action) ? .more : .done
            } catch {
                if error.code == .full { directory?.releaseSpace() }
                outcome = .failed(error)
            }
            recovery.completed(outcome, now: clock())
            reportFailure()
            if recovery.isServing { opened() }
            if clock() >= end { return }
        }
    }

    /// Completes at the end what must not be left: the rows of a removed file are nowhere else.
    func finish() {
        var progress = copy?.outcome.rows
        var deadline = clock() + .seconds(1)
        while recovery.isRestoring, clock() < deadline {
            recover()
            guard copy?.outcome.rows != progress else {
                usleep(10_000)
                continue
            }
            progress = copy?.outcome.rows
            deadline = clock() + .seconds(1)
        }
        commitAllPending()
        recovery.stop()
    }

    func foundCorruption(_ error: SpoolError, while work: SpoolRecovery.Work) {
        found { $0.foundCorruption(error, while: work, now: $1) }
    }

    func foundUnreadable(_ error: SpoolError, while work: SpoolRecovery.Work) {
        found { $0.foundUnreadable(error, while: work, now: $1) }
    }

    private func found(_ note: (inout SpoolRecovery, SpoolRecovery.Instant) -> Void) {
        // A removed file that is being restored stays open, whatever a read of it gives.
        guard recovery.isServing else { return }
        // A removed file is the only copy of its rows, and stays open.
        if (try? store?.checkPlace()) == nil { return foundRemoved() }
        note(&recovery, clock())
        if !recovery.isServing { closeStore() }
        reportFailure()
    }

    func foundRemoved() {
        guard recovery.isServing else { return }
        recovery.foundRemoved(
            SpoolError(.moved, "\(configuration.path): the files were removed while they were open"), now: clock())
        events.append(.filesRemoved(folder: configuration.path))
        reportFailure()
    }

    private func closeStore() {
        store?.close()
        store = nil
    }

    private func closeCopy() {
        copy?.source.close()
        copy?.target.close()
        copy = nil
    }

    /// - Returns: whether there is more of the same to do.
    private func carryOut(_ action: SpoolRecovery.Action) throws(SpoolError) -> Bool {
        switch action {
        case .open(let verifies): try open(verifies: verifies)
        case .beginRecovery: try beginRecovery()
        case .copyRows: return try copy?.copyPart() ?? false
        case .finishRecovery(let corruption): try finishRecovery(of: corruption)
        case .quarantine(let corruption, let reason): try quarantine(corruption, because: reason)
        case .beginRestoring: try beginRestoring()
        case .finishRestoring: finishRestoring()
        }
        return false
    }

    // MARK: - Opening

    private func open(verifies: Bool) throws(SpoolError) {
        closeStore()
        if copy != nil {
            closeCopy()
            directory.map { $0.discard($0.unfinishedCopy) }
        }
        let directory = try lockedDirectory()
        if let path = try directory.takeCopy() {
            let reason = SpoolError(.corrupt, "its sound rows had been copied when the process ended, or failed")
            events.append(.quarantined(QuarantinedFile(path: path, reason: reason, copied: nil, left: [])))
        }
        try directory.makeFile()
        if let corruption = try WriteAheadLog.corruption(of: directory.file) { throw corruption }
        let isSmall = SpoolStore.size(of: directory.file) <= configuration.verifiedFileBytes
        let store = try SpoolStore(path: directory.file, laneNames: configuration.lanes)
        // Of a large file that takes minutes in which nothing is stored: it is read when its rows are, which all of them are.
        if isSmall || verifies {
            do throws(SpoolError) { try store.verify() } catch {
                // SQLite goes by names: closed later, it would delete the log of the new file.
                store.close()
                throw error
            }
        }
        self.store = store
    }

    /// The folder, made and locked again where it was removed.
    private func lockedDirectory() throws(SpoolError) -> SpoolDirectory {
        let before = directory
        if let before, before.holdsLock { return before }
        let directory = try SpoolDirectory(
            configuration.path, allowsAnyFileSystem: configuration.allowsAnyFileSystem, like: before)
        if before == nil {
            if directory.isInContainerLayer { events.append(.inContainerLayer(directory.path)) }
        } else if store == nil {
            // No file was open: the rows are lost.
            events.append(.filesRemoved(folder: directory.path))
        }
        use(directory)
        return directory
    }

    private func use(_ directory: SpoolDirectory) {
        server?.stop()
        server = nil
        self.directory = directory
        // Without it the spool is as good as with it.
        do throws(SpoolError) { server = try SpoolServer(folder: directory.path, ask: ask) } catch {
            events.append(.notInspectable(error))
        }
    }

    private func opened() {
        guard let store, let directory else { return }
        _ = directory.reserveSpace(leaving: reserve + 3 * SpoolDirectory.ballastBytes)
        health.opened()
        measurePending(store)
        events.append(.opened(nextNumber: store.nextNumber, totals: live(store)))
        if let error = store.checkpointFailure { writesFailed(error, copiesLog: true) }
        report()
    }

    /// Takes the lock again when its file was removed, so that no other process gets the folder.
    func keepLock() {
        guard let directory, !directory.holdsLock else { return }
        // What fails here is tried again with the next report.
        _ = try? lockedDirectory()
    }

    // MARK: - A corrupt file

    /// The lanes of this version, and those of another one that a file has: their rows wait for it.
    private func lanes(with file: SpoolFile) -> [String] {
        configuration.lanes + file.lanes.map(\.name).filter { !configuration.lanes.contains($0) }
    }

    private func beginRecovery() throws(SpoolError) {
        closeStore()
        let directory = try lockedDirectory()
        let size = Int64(SpoolStore.size(of: directory.file) + SpoolStore.size(of: directory.file + "-wal"))
        // A disk that the copy fills would take no new events.
        guard directory.space.free - size - size / 4 > reserve else {
            throw SpoolError(.full, "the disk has no room for a copy")
        }
        let file = try SpoolFile(directory.file, skipsUnreadable: recovery.skipsUnreadable)
        guard file.hasNames else { throw SpoolError(.corrupt, file.corruption.joined(separator: "; ")) }
        directory.discard(directory.unfinishedCopy)
        try directory.makeFile(directory.unfinishedCopy)
        let lanes = lanes(with: file)
        let target = try SpoolStore(path: directory.unfinishedCopy, laneNames: lanes)
        copy = RowCopy(from: file, to: target, lanes: lanes)
    }

    /// The copy is complete and synced before the corrupt file loses its name: whenever the process ends, the next start finds
    /// one or the other. What was delivered since the corruption is delivered once more.
    private func finishRecovery(of corruption: SpoolError) throws(SpoolError) {
        guard let copy, let directory else { return }
        copy.source.noteLost(copy.outcome.read)
        copy.source.close()
        copy.target.close()
        self.copy = nil
        // Only the file itself gets the name.
        guard SpoolStore.size(of: directory.unfinishedCopy + "-wal") == 0 else {
            throw SpoolError(.full, "the log of the copy could not be copied into it")
        }
        try directory.finishCopy()
        guard let path = try directory.takeCopy() else { return }
        let left = copy.source.corruption + copy.outcome.unknown.map { "\($0.value) rows of \($0.key)" }.sorted()
        events.append(
            .quarantined(
                QuarantinedFile(path: path, reason: corruption, copied: copy.outcome.rows, left: left)))
    }

    private func quarantine(_ corruption: SpoolError, because reason: SpoolError) throws(SpoolError) {
        closeCopy()
        let directory = try lockedDirectory()
        directory.discard(directory.unfinishedCopy)
        // Complete, and only its name is missing: the next opening gives it.
        guard !directory.hasCopy, let path = try directory.quarantine() else { return }
        events.append(
            .quarantined(
                QuarantinedFile(
                    path: path, reason: corruption, copied: nil, left: ["all of it: \(reason.message)"])))
    }

    // MARK: - Removed files

    /// The only copy of the rows is a file without a name, which is still open.
    private func beginRestoring() throws(SpoolError) {
        guard let store else { throw unavailable }
        let directory = try lockedDirectory()
        if let failed = copy {
            // A copy that failed is our own.
            failed.target.close()
            copy = nil
            directory.discard(directory.file)
        } else if !store.hasMoved {
            leftover = try directory.quarantine()
        } else if let path = try directory.quarantine() {
            let reason = SpoolError(.moved, "it was put in the place of the file that was open")
            events.append(
                .quarantined(QuarantinedFile(path: path, reason: reason, copied: nil, left: ["all of it"])))
        }
        // What is corrupt in the open file is left out: it has no name by which a person could get at it.
        let file = try SpoolFile(store)
        let lanes = lanes(with: file)
        try directory.makeFile()
        copy = RowCopy(
            from: file, to: try SpoolStore(path: directory.file, laneNames: lanes), lanes: lanes)
    }

    private func finishRestoring() {
        guard let copy, let directory else { return }
        copy.source.noteLost(copy.outcome.read)
        closeStore()
        self.copy = nil
        events.append(.filesRestored(folder: directory.path, rows: copy.outcome.rows))
        if copy.source.corruption.isEmpty {
            if let leftover { directory.discard(leftover) }
        } else {
            let reason = SpoolError(.corrupt, "\(directory.file) was removed while it was open, and was corrupt")
            events.append(
                .quarantined(
                    QuarantinedFile(
                        path: leftover ?? "", reason: reason, copied: copy.outcome.rows, left: copy.source.corruption)))
        }
        leftover = nil
        store = copy.target
    }
}
