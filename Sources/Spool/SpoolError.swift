/// Why the spool cannot do what it was asked.
package struct SpoolError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A closed set, fit for a metric's label.
    package enum Code: String, Sendable, CaseIterable {
        /// The directory cannot be made, written or is on a file system that keeps no promise.
        case directory
        /// Another process holds the spool.
        case locked
        /// The file is of another version of the format.
        case version
        /// The file is damaged.
        case damaged
        /// The disk is full.
        case full
        /// The file was deleted or replaced while it was open.
        case moved
        /// SQLite or the system failed otherwise.
        case io
    }

    package let code: Code
    package let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}
