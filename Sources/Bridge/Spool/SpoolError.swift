/// Why the spool cannot do what it was asked.
package struct SpoolError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A closed set, fit for a metric's label.
    package enum Code: String, Sendable, CaseIterable {
        /// The directory cannot be made or written.
        case directory
        /// The directory is on a file system that keeps no promise.
        case fileSystem = "file_system"
        /// Another process holds the spool.
        case locked
        /// The file is of another version of the format.
        case version
        /// The file is corrupt.
        case corrupt
        /// The disk fails to read. That says nothing of the bytes, which may be read in a moment.
        case unreadable
        /// The disk, or the quota of the process, is full.
        case full
        /// Another row has the number.
        case conflict
        /// The file was deleted or replaced while it was open.
        case moved
        /// SQLite or the system failed otherwise.
        case io
    }

    package let code: Code
    package let message: String
    /// Whether a sync failed: pages that count as clean from then on may be on no disk.
    let isFailedSync: Bool

    package init(_ code: Code, _ message: String) {
        self.init(code, message, isFailedSync: false)
    }

    init(_ code: Code, _ message: String, isFailedSync: Bool) {
        self.code = code
        self.message = message
        self.isFailedSync = isFailedSync
    }

    /// Whether it is permanent: a setting is wrong, or the file is not this program's.
    package var isLasting: Bool { code == .fileSystem || code == .version }

    package var description: String { message }
}
