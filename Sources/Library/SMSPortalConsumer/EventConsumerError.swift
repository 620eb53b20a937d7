/// Why a consumer could not run, or ended.
public struct EventConsumerError: Error, Sendable, CustomStringConvertible {
    /// The kind of failure. More may be added.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Kind: String {
            case configuration, topics, offsetOutOfRange = "offset-out-of-range", handler, kafka, used
        }

        private let kind: Kind

        private init(_ kind: Kind) { self.kind = kind }

        /// The configuration is wrong, or no handler is registered.
        public static let configuration = Code(.configuration)
        /// The dead-letter or the redrive topic is missing.
        public static let topics = Code(.topics)
        /// A committed offset is out of range, and ``EventConsumer/Configuration/offsetOutOfRange`` says to stop.
        public static let offsetOutOfRange = Code(.offsetOutOfRange)
        /// An event has failed for good, and its policy says to stop.
        public static let handler = Code(.handler)
        /// Kafka's client cannot go on.
        public static let kafka = Code(.kafka)
        /// The consumer has run before: it runs once.
        public static let used = Code(.used)

        /// A short name with a bounded set of values.
        public var description: String { kind.rawValue }
    }

    /// The kind of failure.
    public let code: Code
    /// The problem and the action, for people.
    public let message: String
    /// With ``Code/configuration``: every problem, each by the name of its property. Empty otherwise.
    public let problems: [String]
    /// The handler's error, when the code is ``Code/handler``.
    public let underlying: (any Error)?

    init(_ code: Code, _ message: String, underlying: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.underlying = underlying
        problems = []
    }

    init(problems: [String]) {
        code = .configuration
        message = problems.joined(separator: "; ")
        underlying = nil
        self.problems = problems
    }

    /// The message.
    public var description: String { message }
}
