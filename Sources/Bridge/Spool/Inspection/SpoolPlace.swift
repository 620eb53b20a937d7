#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// What a path of the command line means: a spool's folder or a file, and whether a bridge has it.
package final class SpoolPlace {
    /// The folder, or the file where another than `spool.db` is named.
    package let path: String
    /// Whether a quarantined file, or any other than a spool's own, is named.
    package let isLoneFile: Bool
    /// Whether a bridge holds the folder.
    package let isHeld: Bool
    private var lock: Int32 = -1

    package var folder: String { isLoneFile ? String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]) : path }
    /// A copy that is complete is the spool, though its bridge has ended before it could take its name.
    package var file: String {
        guard !isLoneFile else { return path }
        let copy = SpoolDirectory.copy(in: path)
        return access(copy, F_OK) == 0 ? copy : path + "/spool.db"
    }

    /// Looks at the path, and keeps bridges out of a folder as long as this is not released.
    ///
    /// - Throws: `SpoolError`, `.directory` when there is no such spool.
    package init(_ path: String) throws(SpoolError) {
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw SpoolError(.directory, "\(path): \(String(cString: strerror(errno)))")
        }
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        if path.hasSuffix("/spool.db") || path == "spool.db" {
            path = path == "spool.db" ? "." : String(path.dropLast("/spool.db".count))
            isLoneFile = false
        } else {
            isLoneFile = status.st_mode & S_IFMT != S_IFDIR
        }
        self.path = path
        guard !isLoneFile else {
            isHeld = false
            return
        }
        guard access(path + "/spool.db", F_OK) == 0 || access(SpoolDirectory.copy(in: path), F_OK) == 0 else {
            throw SpoolError(.directory, "\(path) holds no spool: there is no spool.db")
        }
        lock = open(path + "/lock", O_RDONLY | O_CLOEXEC)
        isHeld = lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK
    }

    deinit { release() }

    /// Lets others have the folder.
    package func release() {
        if lock >= 0 { close(lock) }
        lock = -1
    }

    /// The quarantined files of the folder, by name.
    package var quarantined: [String] { isLoneFile ? [] : Self.quarantined(in: path) }

    /// The quarantined files of a folder, by name.
    static func quarantined(in path: String) -> [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var all: Set<String> = []
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasPrefix("spool-quarantined-") { all.insert(name) }
        }
        // A log alone is what a crash between two renames has left.
        return all.filter { $0.hasSuffix(".db") || $0.hasSuffix(".db-wal") && !all.contains(String($0.dropLast(4))) }
            .sorted()
    }
}
