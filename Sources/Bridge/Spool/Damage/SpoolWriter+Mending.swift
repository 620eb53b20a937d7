#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// A new file in the place of one that is damaged or gone, with what can be had of the old one.
extension SpoolWriter {
    /// A damaged file is set aside: yesterday's trouble must not keep today's events out.
    ///
    /// What is sound goes on in a new file by itself: every row has a digest, so that nothing is published that was never
    /// stored. Of a large file that is left to a person (`spool drain`), so damage in one must last before it is believed.
    func openStore(in directory: SpoolDirectory) throws(SpoolError) -> SpoolStore {
        if let aside = try directory.takeCopy() {
            let reason = SpoolError(.damaged, "what was sound of it had been copied when the process ended, or failed")
            events.append(.setAside(SetAsideFile(path: aside, reason: reason, copied: nil, left: [])))
        }
        try directory.makeFile()
        let isCopied = SpoolStore.size(of: directory.file) <= configuration.mendedFileBytes
        let patience: Duration = isCopied ? .zero : configuration.damagePatience
        if let damage = suspicion.proven(after: patience) { return try newStore(in: directory, because: damage) }
        do throws(SpoolError) {
            let store = try soundStore(in: directory)
            suspicion.clear(.opening)
            return store
        } catch {
            guard error.code == .damaged else { throw error }
            suspicion.meet(error, while: .opening)
            guard let damage = suspicion.proven(after: patience) else { throw SpoolError(.io, error.message) }
            return try newStore(in: directory, because: damage)
        }
    }

    /// A small file is looked at whole before it is used. A large one is only after a failure of the disk, for reading
    /// gigabytes takes minutes in which nobody is served. Damage in it is met when its rows are read, which all of them are.
    private func soundStore(in directory: SpoolDirectory) throws(SpoolError) -> SpoolStore {
        if let damage = try LogCheck.damage(of: directory.file) { throw damage }
        let isSmall = SpoolStore.size(of: directory.file) <= configuration.checkedFileBytes
        let store = try SpoolStore(path: directory.file, laneNames: configuration.lanes)
        guard isSmall || isDoubtful else { return store }
        do throws(SpoolError) { try store.verify() } catch {
            // SQLite goes by names: closed later, it would delete the log of the new file.
            store.close()
            throw error
        }
        suspicion.clear()
        return store
    }

    /// A new file, with what is sound of the old one in it. The copy is complete and synced before the old one loses its name:
    /// whenever the process ends, the next start finds one or the other. What was delivered since the damage is delivered
    /// once more.
    private func newStore(in directory: SpoolDirectory, because error: SpoolError) throws(SpoolError) -> SpoolStore {
        if let renewed, renewed.duration(to: .now) < .seconds(60) {
            throw SpoolError(.io, "the disk does not give back what was written a moment ago: \(error.message)")
        }
        var copied: Int64?
        var left: [String]
        do throws(SpoolError) {
            (copied, left) = try copySoundRows(in: directory)
        } catch {
            directory.discard(directory.unfinishedCopy)
            left = ["all of it: \(error.message)"]
        }
        let aside = copied == nil ? try directory.setAside() : try directory.takeCopy()
        if let aside {
            events.append(.setAside(SetAsideFile(path: aside, reason: error, copied: copied, left: left)))
        }
        let store = try freshStore(in: directory, lanes: configuration.lanes)
        suspicion.clear()
        renewed = .now
        return store
    }

    /// - Returns: how many there were, and what was not sound.
    private func copySoundRows(in directory: SpoolDirectory) throws(SpoolError) -> (Int64, left: [String]) {
        let size = SpoolStore.size(of: directory.file) + SpoolStore.size(of: directory.file + "-wal")
        guard size <= configuration.mendedFileBytes else {
            throw SpoolError(
                .full, "it is larger than what is copied while others wait, \(configuration.mendedFileBytes) bytes")
        }
        // A disk that the copy fills would keep today's events out.
        let room = directory.space.free - Int64(size + size / 4)
        guard room > reserve else { throw SpoolError(.full, "the disk has no room for a copy") }
        let file = try SpoolFile(directory.file)
        defer { file.close() }
        guard file.hasNames else { throw SpoolError(.damaged, file.damage.joined(separator: "; ")) }
        let lanes = lanes(with: file)
        directory.discard(directory.unfinishedCopy)
        try directory.makeFile(directory.unfinishedCopy)
        let store = try SpoolStore(path: directory.unfinishedCopy, laneNames: lanes)
        defer { store.close() }
        // A disk that fails takes seconds for each look at what it cannot read.
        let deadline = ContinuousClock.now + configuration.copyPatience
        let outcome = try SpoolSalvage.fill(store, lanes: lanes, names: file.lanes) {
            table, last throws(SpoolError) in
            guard .now < deadline else { throw SpoolError(.io, "reading it takes too long") }
            return try file.rows(of: table, after: last, count: SpoolSalvage.batchRows)
        }
        store.close()
        // Everything must be in the file itself, for only that gets the name.
        guard SpoolStore.size(of: directory.unfinishedCopy + "-wal") == 0 else {
            throw SpoolError(.full, "the log of the copy could not be carried over")
        }
        file.noteLost(outcome.read)
        try directory.finishCopy()
        return (outcome.rows, file.damage + outcome.unknown.map { "\($0.value) rows of \($0.key)" }.sorted())
    }

    /// The lanes of this version, and those of another one that the file has: their rows wait for it.
    private func lanes(with file: SpoolFile) -> [String] {
        configuration.lanes + file.lanes.map(\.name).filter { !configuration.lanes.contains($0) }
    }

    private func freshStore(in directory: SpoolDirectory, lanes: [String]) throws(SpoolError) -> SpoolStore {
        try directory.makeFile()
        return try SpoolStore(path: directory.file, laneNames: lanes)
    }

    /// The file is gone from its folder, but it is still open here, and everything that was answered for is in it: it is
    /// copied into a new one. Whoever deletes files may be at it still, so it is tried more than once; what fails all the
    /// same is tried again every second, and nothing is stored until then.
    func rescue(_ old: SpoolStore, in directory: SpoolDirectory) throws(SpoolError) {
        // What is damaged in it is left out: it has no name by which a person could get at it.
        let file = try SpoolFile(old)
        let lanes = lanes(with: file)
        for attempt in 1... {
            do throws(SpoolError) {
                // Only the log may be gone: what is left of the old file makes room for the new one. What comes after it
                // is a copy of our own that was not completed.
                if let aside = try directory.setAside() {
                    if leftover == nil { leftover = aside } else { directory.discard(aside) }
                }
                let fresh = try freshStore(in: directory, lanes: lanes)
                defer { fresh.close() }
                let outcome = try SpoolSalvage.fill(fresh, lanes: lanes, names: file.lanes) {
                    table, last throws(SpoolError) in
                    try file.rows(of: table, after: last, count: SpoolSalvage.batchRows)
                }
                file.noteLost(outcome.read)
                if file.damage.isEmpty {
                    if let leftover { directory.discard(leftover) }
                } else {
                    let reason = SpoolError(
                        .damaged, "\(directory.file) was deleted while it was open, and was damaged")
                    events.append(
                        .setAside(
                            SetAsideFile(
                                path: leftover ?? "", reason: reason, copied: outcome.rows, left: file.damage)))
                }
                leftover = nil
                return
            } catch {
                if error.code == .full { directory.releaseSpace() }
                if attempt == 10 { throw error }
                usleep(20_000)
            }
        }
    }
}
