internal import CSMSBridgeUV

/// What libuv or the system refused to the event loop.
package struct EventLoopError: Error, Sendable, CustomStringConvertible {
    /// libuv's error code: a negated `errno`.
    package let code: Int32
    /// What was being done, in a few words.
    package let operation: String

    package init(code: Int32, operation: String) {
        self.code = code
        self.operation = operation
    }

    package var description: String {
        "\(operation): \(String(cString: uv_strerror(code)))"
    }

    /// Throws when `code` is an error of libuv's.
    static func check(_ code: Int32, _ operation: @autoclosure () -> String) throws(EventLoopError) {
        if code < 0 { throw EventLoopError(code: code, operation: operation()) }
    }
}
