#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// Copies what can be read of a file into a spool of its own, from where it can be drained as any other.
package enum SpoolCopy {
    package struct Outcome: Sendable {
        package var rows: Int64 = 0
        /// Rows of topics that this program does not know, by name; they stay where they are.
        package var unknown: [String: Int64] = [:]
        /// Rows read, by table.
        var read: [SpoolTable: Int64] = [:]
    }

    /// Fills a folder that exists only when it is complete and synced. The file stays as it is.
    ///
    /// - Parameters:
    ///   - folder: on the same disk; needs room for the rows.
    ///   - lanes: the lanes' names; rows of others are left out and counted.
    ///   - progress: called after each part with the rows copied.
    package static func copy(
        _ file: SpoolFile, to folder: String, lanes: [String], progress: (Int64) -> Void
    ) throws(SpoolError) -> Outcome {
        let part = folder + ".part"
        // What an interrupted attempt has left is begun again.
        for name in ["/spool.db", "/spool.db-wal", "/lock"] { unlink(part + name) }
        let directory = try SpoolDirectory(part, allowsAnyFileSystem: true)
        let store = try SpoolStore(path: directory.file, laneNames: lanes)
        let copy = RowCopy(from: file, to: store, lanes: lanes)
        while try copy.copyPart() { progress(copy.outcome.rows) }
        store.close()
        guard rename(part, folder) == 0 else {
            throw SpoolError(.io, "cannot rename \(part): \(String(cString: strerror(errno)))")
        }
        let parent = open(folder.lastIndex(of: "/").map { String(folder[...$0]) } ?? ".", O_RDONLY | O_CLOEXEC)
        if parent >= 0 {
            fsync(parent)
            close(parent)
        }
        return copy.outcome
    }

    /// Renames the corrupt file of a folder, as a bridge does.
    ///
    /// - Returns: the new path.
    package static func quarantine(in folder: String) throws(SpoolError) -> String {
        guard let path = try SpoolDirectory(folder, allowsAnyFileSystem: true).quarantine() else {
            throw SpoolError(.io, "\(folder): there is no file to quarantine")
        }
        return path
    }
}
