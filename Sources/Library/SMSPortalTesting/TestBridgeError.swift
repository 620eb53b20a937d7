/// Why a test with a ``TestBridge`` cannot go on.
public struct TestBridgeError: Error, Sendable, CustomStringConvertible {
    /// The kind of failure. More may be added.
    public struct Code: Sendable, Hashable {
        private let name: String

        /// What was awaited did not come in time.
        public static let timedOut = Code(name: "timedOut")
        /// The consumer ended, in good order, before it had handled everything.
        public static let ended = Code(name: "ended")
        /// The mock cluster could not be made, or refused what was asked of it.
        public static let cluster = Code(name: "cluster")
    }

    /// The kind of failure.
    public let code: Code
    /// What was awaited and how far it came, or what went wrong.
    public let message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// The message.
    public var description: String { message }
}
