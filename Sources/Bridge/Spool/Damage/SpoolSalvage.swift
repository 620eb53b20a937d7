#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// Copies what can be read of a file into a spool of its own, from where it can be drained as any other.
package enum SpoolSalvage {
    package struct Outcome: Sendable {
        package var rows: Int64 = 0
        /// Rows of topics that this program does not know, by name; they stay where they are.
        package var unknown: [String: Int64] = [:]
        /// Rows read, by table.
        var read: [SpoolTable: Int64] = [:]
    }

    /// Fills a folder that is there only when it is complete and synced. The file stays as it is.
    ///
    /// - Parameters:
    ///   - folder: on the same disk; needs room for the rows.
    ///   - lanes: the lanes' names; rows of others are left out and counted.
    ///   - progress: called now and then with the rows copied.
    package static func copy(
        _ file: SpoolFile, to folder: String, lanes: [String], progress: (Int64) -> Void
    ) throws(SpoolError) -> Outcome {
        let part = folder + ".part"
        // What an interrupted attempt has left begins anew.
        for name in ["/spool.db", "/spool.db-wal", "/lock"] { unlink(part + name) }
        let directory = try SpoolDirectory(part, allowsAnyFileSystem: true)
        let store = try SpoolStore(path: directory.file, laneNames: lanes)
        let outcome = try fill(store, lanes: lanes, names: file.lanes, progress: progress) {
            table, last throws(SpoolError) in try file.rows(of: table, after: last, count: batchRows)
        }
        store.close()
        guard rename(part, folder) == 0 else {
            throw SpoolError(.io, "cannot rename \(part): \(String(cString: strerror(errno)))")
        }
        let parent = open(folder.lastIndex(of: "/").map { String(folder[...$0]) } ?? ".", O_RDONLY | O_CLOEXEC)
        if parent >= 0 {
            fsync(parent)
            close(parent)
        }
        return outcome
    }

    /// Copies all rows, the parked ones with their reasons, under the numbers that they have; a batch is a transaction.
    ///
    /// - Parameters:
    ///   - lanes: the lanes' names in the store; rows of others are left out and counted.
    ///   - names: the lanes of the source.
    ///   - rows: the next rows of a table behind a number, empty at its end.
    @discardableResult
    static func fill(
        _ store: SpoolStore, lanes: [String], names: [(id: Int64, name: String)],
        progress: (Int64) -> Void = { _ in },
        from rows: (SpoolTable, _ last: Int64) throws(SpoolError) -> [InspectedRow]
    ) throws(SpoolError) -> Outcome {
        var outcome = Outcome()
        for table in names.map({ SpoolTable.lane($0.id) }) + [.parked] {
            var last = Int64.min
            while true {
                let batch = try rows(table, last)
                guard let end = batch.last else { break }
                last = end.number
                outcome.read[table, default: 0] += Int64(batch.count)
                try store.beginTransaction()
                for row in batch {
                    let name = names.first { $0.id == row.lane }?.name ?? "lane_\(row.lane)"
                    guard let lane = lanes.firstIndex(of: name) else {
                        outcome.unknown[name, default: 0] += 1
                        continue
                    }
                    let record = row.record.inLane(lane)
                    if let reason = row.reason {
                        try store.park(record, number: row.number, reason: reason)
                    } else {
                        try store.insert(record, number: row.number)
                    }
                    outcome.rows += 1
                }
                try store.commit()
                try store.tidy()
                progress(outcome.rows)
            }
        }
        return outcome
    }

    static let batchRows = 1_000
    static let batchBytes = 8 << 20

    /// Gives the damaged file of a folder another name, as a bridge does at its start.
    ///
    /// - Returns: the new path.
    package static func setAside(in folder: String) throws(SpoolError) -> String {
        guard let aside = try SpoolDirectory(folder, allowsAnyFileSystem: true).setAside() else {
            throw SpoolError(.io, "\(folder): there is no file to set aside")
        }
        return aside
    }
}
