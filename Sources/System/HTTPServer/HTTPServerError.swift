/// Why a server cannot listen.
package struct HTTPServerError: Error, Sendable, CustomStringConvertible {
    /// What was being done, with the address.
    package let operation: String
    /// The system's reason.
    package let reason: String

    package init(operation: String, reason: String) {
        self.operation = operation
        self.reason = reason
    }

    package var description: String { "\(operation): \(reason)" }
}
