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
    /// Of a damaged log what stands before the damage goes on in a new file by itself: each of its frames has a checksum.
    /// Pages of the file have none: what looks like a row may be none that was stored, and publishing that is for a person
    /// to decide.
    func openStore(in directory: SpoolDirectory) throws(SpoolError) -> SpoolStore {
        do throws(SpoolError) {
            if let damage = try LogCheck.damage(of: directory.file) {
                return try salvagedStore(in: directory, because: damage)
            }
            let isSmall = SpoolStore.size(of: directory.file) <= Self.smallFileBytes
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
            _ = try setAside(in: directory, because: error)
            return try freshStore(in: directory, lanes: configuration.lanes)
        }
    }

    /// What is read in a moment from any disk.
    static let smallFileBytes = 16 << 20

    /// What can be read goes on in the new file; what was delivered since the damage is delivered once more.
    private func salvagedStore(
        in directory: SpoolDirectory, because error: SpoolError
    ) throws(SpoolError) -> SpoolStore {
        let aside = try setAside(in: directory, because: error)
        let fresh = try freshStore(in: directory, lanes: configuration.lanes)
        guard let aside else { return fresh }
        do throws(SpoolError) {
            let file = try SpoolFile(aside)
            defer { file.close() }
            try SpoolSalvage.fill(fresh, lanes: configuration.lanes, names: file.lanes) {
                table, last throws(SpoolError) in try file.rows(of: table, after: last, count: SpoolSalvage.batchRows)
            }
            return fresh
        } catch {
            // A part is better than nothing, and all of it is in the file that was set aside.
            fresh.rollback()
            fresh.close()
            return try SpoolStore(path: directory.file, laneNames: configuration.lanes)
        }
    }

    private func freshStore(in directory: SpoolDirectory, lanes: [String]) throws(SpoolError) -> SpoolStore {
        try directory.makeFile()
        return try SpoolStore(path: directory.file, laneNames: lanes)
    }

    private func setAside(in directory: SpoolDirectory, because error: SpoolError) throws(SpoolError) -> String? {
        let aside = try directory.setAside()
        if let aside { events.append(.setAside(aside, error)) }
        return aside
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
