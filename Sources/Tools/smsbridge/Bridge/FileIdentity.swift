#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Identifies a file and its content: it differs from an earlier one when the file was replaced or written. Links are followed.
struct FileIdentity: Sendable, Equatable {
    private let parts: [Int64]

    /// Nil for a file that is not there.
    init?(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        #if os(Linux)
        let (modified, changed) = (status.st_mtim, status.st_ctim)
        #else
        let (modified, changed) = (status.st_mtimespec, status.st_ctimespec)
        #endif
        parts = [
            Int64(truncatingIfNeeded: status.st_dev), Int64(truncatingIfNeeded: status.st_ino),
            Int64(truncatingIfNeeded: status.st_size), Int64(modified.tv_sec), Int64(modified.tv_nsec),
            Int64(changed.tv_sec), Int64(changed.tv_nsec),
        ]
    }
}

/// Decides, look by look, when changed files are read: once two looks agree, for a file that is being written is left alone,
/// and again at each look until the reader has made use of them.
struct FileChanges {
    private var inUse: [FileIdentity?]
    private var last: [FileIdentity?]

    init(inUse: [FileIdentity?]) {
        self.inUse = inUse
        last = inUse
    }

    /// Whether the files are to be read now.
    ///
    /// - Parameters:
    ///   - isChanged: whether they are to be read though they are the same, because what is made of them has changed.
    ///   - isRequested: whether a reload was requested: then changed files are read at once.
    mutating func isDue(_ now: [FileIdentity?], isChanged: Bool = false, isRequested: Bool = false) -> Bool {
        defer { last = now }
        return (now != inUse || isChanged) && (now == last || isRequested)
    }

    /// Whether these are the files in use.
    func areInUse(_ now: [FileIdentity?]) -> Bool { now == inUse }

    /// These have been read. They are not read again until they change.
    mutating func use(_ now: [FileIdentity?]) { inUse = now }
}
