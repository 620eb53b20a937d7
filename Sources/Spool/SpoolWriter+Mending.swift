#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// A new file in the place of one that is damaged or gone, with what can be had of the old one.
extension SpoolWriter {
    /// A damaged file is set aside: yesterday's trouble must not keep today's events out.
    ///
    /// A small file is looked at whole before it is used. A large one is only after a failure that may come of damage:
    /// nothing is taken meanwhile, and reading gigabytes takes minutes. Damage in it is met when its rows are read, which
    /// all of them are.
    ///
    /// What is sound goes on in a new file by itself: every row has a digest, so that nothing is published that was never
    /// stored. Of a large file that is left to a person (`spool drain`), for copying gigabytes takes minutes in which nobody
    /// would be served; of a damaged log it is not, for all that its file holds is sound.
    func openStore(in directory: SpoolDirectory) throws(SpoolError) -> SpoolStore {
        do throws(SpoolError) {
            if let damage = try LogCheck.damage(of: directory.file) {
                return try newStore(in: directory, because: damage, copying: true)
            }
            let isSmall = SpoolStore.size(of: directory.file) <= configuration.checkedFileBytes
            let store = try SpoolStore(path: directory.file, laneNames: configuration.lanes)
            guard isSmall || isDoubtful else { return store }
            do throws(SpoolError) { try store.verify() } catch {
                // SQLite goes by names: closed later, it would delete the log of the new file.
                store.close()
                throw error
            }
            return store
        } catch {
            guard error.code == .damaged else { throw error }
            let isCopied = SpoolStore.size(of: directory.file) <= configuration.mendedFileBytes
            return try newStore(in: directory, because: error, copying: isCopied)
        }
    }

    /// A new file, with what is sound of the old one in it: complete and synced before the old one loses its name, so that a
    /// crash leaves one or the other. What was delivered since the damage is delivered once more.
    private func newStore(
        in directory: SpoolDirectory, because error: SpoolError, copying: Bool
    ) throws(SpoolError) -> SpoolStore {
        let rows = copying ? try? copySoundRows(in: directory) : nil
        let aside = try directory.setAside()
        if rows != nil { try directory.install(directory.copy) } else { directory.discard(directory.copy) }
        if let aside { events.append(.setAside(aside, error, copied: rows)) }
        return try freshStore(in: directory, lanes: configuration.lanes)
    }

    /// - Returns: how many there were.
    private func copySoundRows(in directory: SpoolDirectory) throws(SpoolError) -> Int64 {
        directory.discard(directory.copy)
        let file = try SpoolFile(directory.file)
        defer { file.close() }
        try directory.makeFile(directory.copy)
        let store = try SpoolStore(path: directory.copy, laneNames: configuration.lanes)
        defer { store.close() }
        let outcome = try SpoolSalvage.fill(store, lanes: configuration.lanes, names: file.lanes) {
            table, last throws(SpoolError) in try file.rows(of: table, after: last, count: SpoolSalvage.batchRows)
        }
        store.close()
        // Everything must be in the file itself, for only that gets the name.
        guard SpoolStore.size(of: directory.copy + "-wal") == 0 else {
            throw SpoolError(.full, "\(directory.copy): its log could not be carried over")
        }
        return outcome.rows
    }

    private func freshStore(in directory: SpoolDirectory, lanes: [String]) throws(SpoolError) -> SpoolStore {
        try directory.makeFile()
        return try SpoolStore(path: directory.file, laneNames: lanes)
    }

    /// The file is gone from its folder, but it is still open here, and everything that was answered for is in it: it is
    /// copied into a new one. Whoever deletes files may be at it still, so it is tried more than once; what fails all the
    /// same is tried again every second, and nothing is stored until then.
    func rescue(_ old: SpoolStore, in directory: SpoolDirectory) throws(SpoolError) {
        let reader = old.inspection
        let names = try reader.lanes()
        // Those of another version, too: their rows wait for it.
        let lanes = configuration.lanes + names.map(\.name).filter { !configuration.lanes.contains($0) }
        for attempt in 1... {
            do throws(SpoolError) {
                // Only the log may be gone: what is left of the old file makes room for the new one. What comes after it
                // is a copy of our own that was not completed.
                if let aside = try directory.setAside() {
                    if leftover == nil { leftover = aside } else { directory.discard(aside) }
                }
                let fresh = try freshStore(in: directory, lanes: lanes)
                defer { fresh.close() }
                try SpoolSalvage.fill(fresh, lanes: lanes, names: names) { table, last throws(SpoolError) in
                    try reader.rows(
                        of: table, after: last, count: SpoolSalvage.batchRows, bytes: SpoolSalvage.batchBytes)
                }
                if let leftover { directory.discard(leftover) }
                leftover = nil
                return
            } catch {
                if error.code == .full { _ = directory.dropBallast() }
                if attempt == 10 { throw error }
                usleep(20_000)
            }
        }
    }
}
