public import SMSPortalEvents
internal import Synchronization

/// What a consumer is doing, at the moment of the question: for a readiness check, a status page, a person.
///
/// It holds no numbers and texts of subscribers. Lag and handlers are measured every 5 seconds, everything else changes at once.
public struct ConsumerHealth: Sendable, Hashable {
    /// A phase of a run.
    public enum State: String, Sendable, Hashable {
        /// ``EventConsumer/run()`` was not called yet.
        case notStarted = "not-started"
        /// Topics are checked, and the group is joined.
        case starting
        /// Events are read and handled.
        case running
        /// Handlers finish, and offsets are committed.
        case shuttingDown = "shutting-down"
        /// ``EventConsumer/run()`` has returned or thrown.
        case ended
    }

    /// An assigned partition.
    public struct Partition: Sendable, Hashable {
        /// The topic's whole name.
        public let topic: String
        /// The partition's number.
        public let partition: Int32
        /// Events that are not handled yet, running ones included; nil while it is not known.
        public let lag: Int64?
        /// Whether it is not read at present: too many events are held, or its first unfinished event is too far behind.
        public let isPaused: Bool
    }

    /// A handler that has been running for ``EventConsumer/Configuration/blockedHandlerTime`` or longer.
    public struct BlockedHandler: Sendable, Hashable {
        /// The topic of its event.
        public let topic: String
        /// The partition of its event.
        public let partition: Int32
        /// The offset of its event.
        public let offset: Int64
        /// For how long it has been running, in seconds; at most 5 s less than in truth.
        public let seconds: Int
    }

    /// A problem that the consumer has logged at level warning or error.
    public struct LastError: Sendable, Hashable {
        /// The message of the log line, with its `error` field.
        public let message: String
        /// When it was logged.
        public let time: EventTime
    }

    /// The consumer group.
    public internal(set) var group: String
    /// The phase of the run.
    public internal(set) var state = State.notStarted
    /// Whether this member is in its group, and no rebalance is under way.
    public internal(set) var isJoined = false
    /// Whether Kafka answers. False after all connections have failed, until an answer comes.
    public internal(set) var isKafkaReachable = true
    /// The assigned partitions that are read, by topic and number.
    public internal(set) var partitions: [Partition] = []
    /// Assigned partitions that are not read yet, because Kafka does not tell where to begin.
    public internal(set) var waitingPartitions = 0
    /// Handlers that are running.
    public internal(set) var runningHandlers = 0
    /// Events in memory, waiting or being handled.
    public internal(set) var bufferedEvents = 0
    /// Handlers that have been running for too long, longest first; 100 at most.
    public internal(set) var blockedHandlers: [BlockedHandler] = []
    /// The last problem, whether or not it still exists; nil when there was none.
    public internal(set) var lastError: LastError?

    init(group: String) { self.group = group }

    /// The lag of all partitions together; nil while one of them is not known, or none is assigned.
    public var lag: Int64? {
        guard !partitions.isEmpty else { return nil }
        var sum: Int64 = 0
        for partition in partitions {
            guard let lag = partition.lag else { return nil }
            sum += lag
        }
        return sum
    }

    /// How many partitions are paused.
    public var pausedPartitions: Int { partitions.count { $0.isPaused } }

    /// Whether events are handled as they arrive: it runs, has joined its group, reads all partitions that it was given, and
    /// Kafka answers. A member that the group gives no partition is ready, too. Lag, paused partitions and blocked handlers
    /// do not change it: another member would not be faster.
    public var isReady: Bool { reasons.isEmpty }

    /// Why it is not ready, a phrase each; empty when it is.
    public var reasons: [String] {
        guard state == .running else { return ["the consumer is \(state.rawValue)"] }
        var reasons: [String] = []
        if !isKafkaReachable { reasons.append("Kafka does not answer") }
        if !isJoined { reasons.append("the group is not joined") }
        if waitingPartitions > 0 { reasons.append("\(waitingPartitions) assigned partitions are not read yet") }
        return reasons
    }

    /// The status code of a readiness check: 200 when ready, otherwise 503.
    public var httpStatus: Int { isReady ? 200 : 503 }

    /// One line of JSON, the body of a readiness check: `{"ready":true,"state":"running",…}`. Serve it as `application/json`.
    /// Members may be added.
    public var json: String {
        var json = JSONLine()
        json.add("ready", isReady)
        json.add("state", state.rawValue)
        json.add("reasons", reasons)
        json.add("group", group)
        json.add("joined", isJoined)
        json.add("kafkaReachable", isKafkaReachable)
        json.add("assignedPartitions", partitions.count + waitingPartitions)
        json.add("waitingPartitions", waitingPartitions)
        json.add("pausedPartitions", pausedPartitions)
        json.add("lag", lag)
        json.add("runningHandlers", runningHandlers)
        json.add("bufferedEvents", bufferedEvents)
        json.add(
            "blockedHandlers",
            blockedHandlers.map { handler in
                var one = JSONLine()
                one.add("topic", handler.topic)
                one.add("partition", Int(handler.partition))
                one.add("offset", handler.offset)
                one.add("seconds", handler.seconds)
                return one
            })
        if let lastError {
            var one = JSONLine()
            one.add("message", lastError.message)
            one.add("time", lastError.time.rfc3339)
            json.add("lastError", one)
        } else {
            json.add("lastError", nil as Int64?)
        }
        json.add(
            "partitions",
            partitions.map { partition in
                var one = JSONLine()
                one.add("topic", partition.topic)
                one.add("partition", Int(partition.partition))
                one.add("lag", partition.lag)
                one.add("paused", partition.isPaused)
                return one
            })
        return json.text
    }
}

extension EventConsumer {
    /// What the consumer is doing now. May be read from anywhere and at any time; it does not block.
    public var health: ConsumerHealth { monitor.health }
}

/// The health of a consumer, written by its threads.
final class HealthMonitor: Sendable {
    private let state: Mutex<ConsumerHealth>

    init(group: String) { state = Mutex(ConsumerHealth(group: group)) }

    var health: ConsumerHealth { state.withLock { $0 } }

    func update(_ body: (inout ConsumerHealth) -> Void) { state.withLock { body(&$0) } }
}

/// A JSON object on one line.
private struct JSONLine {
    private var members: [String] = []

    var text: String { "{\(members.joined(separator: ","))}" }

    mutating func add(_ name: String, _ value: Bool) { members.append("\"\(name)\":\(value)") }
    mutating func add(_ name: String, _ value: Int) { members.append("\"\(name)\":\(value)") }
    mutating func add(_ name: String, _ value: Int64?) {
        members.append("\"\(name)\":\(value.map(String.init) ?? "null")")
    }
    mutating func add(_ name: String, _ value: String) { members.append("\"\(name)\":\(Self.quoted(value))") }
    mutating func add(_ name: String, _ values: [String]) {
        members.append("\"\(name)\":[\(values.map(Self.quoted).joined(separator: ","))]")
    }
    mutating func add(_ name: String, _ object: JSONLine) { members.append("\"\(name)\":\(object.text)") }
    mutating func add(_ name: String, _ objects: [JSONLine]) {
        members.append("\"\(name)\":[\(objects.map(\.text).joined(separator: ","))]")
    }

    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": quoted += "\\\(scalar)"
            case "\n": quoted += "\\n"
            case _ where scalar.value < 0x20:
                let hex = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
