/// Why a server cannot listen.
package struct HTTPServerError: Error, Sendable, CustomStringConvertible {
    /// What was being done, with the address.
    package let operation: String
    /// The system's reason.
    package let reason: String
    /// The system's error number; nil where there is none.
    package let code: Int32?

    package init(operation: String, reason: String, code: Int32? = nil) {
        self.operation = operation
        self.reason = reason
        self.code = code
    }

    package var description: String { "\(operation): \(reason)" }
}
