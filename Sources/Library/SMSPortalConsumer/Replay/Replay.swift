internal import SMSBridgeThreads
public import SMSPortalEvents
internal import Synchronization

/// Handles past events again: those of a window of time, through the handlers of a consumer, beside whatever runs live.
///
/// ```swift
/// let replay = Replay("lost-database", of: consumer, from: .ago(.seconds(24 * 3_600)))
/// let result = try await replay.run(until: .standard)
/// print("handled again: \(result.handled)")
/// ```
///
/// It joins no group that anybody else is in, and commits nothing to one. The handlers see that it is a replay
/// (``EventContext/isReplay``), and claims on a store of processed events are made under its name: what was handled live
/// is handled once more, and once only. What fails goes to the group's dead-letter topic, as it does live.
///
/// It ends by itself at the ends that the partitions had when it began. Its name is its place: after a crash, or after
/// ``stop()``, a replay of the same name and selection goes on where the last one left off, with the same ends. What was
/// handled since the last commit (``EventConsumer/Configuration/commitInterval``) is then handled again, with the same
/// ids. A name that has been replayed to its end has nothing left to do. Kafka forgets a position that was not committed for
/// a week (`offsets.retention.minutes`); a replay of which a part was forgotten fails, and is started under another name.
///
/// Only one process at a time may run a replay of one name.
public final class Replay: Sendable {
    /// Kafka keeps its place in the consumer group `<group>-replay-<name>`.
    public let name: String
    /// Which events are handled.
    public let selection: Selection

    private let consumer: EventConsumer
    let tally = ReplayTally()
    private let control = ConsumerControl()
    private let hasBegun = Mutex(false)
    private let stream: AsyncStream<ReplayProgress>
    private let continuation: AsyncStream<ReplayProgress>.Continuation

    /// A place in the past.
    public enum Position: Sendable, Hashable {
        /// The first events that Kafka still has.
        case earliest
        /// The end of the topics at the moment the replay begins.
        case now
        /// When the bridge received the event, or when it occurred, as ``Selection/time`` says.
        case time(EventTime)
        /// So long before the replay begins.
        case ago(Duration)
        /// This offset of every partition.
        case offset(Int64)
    }

    /// Which events a replay handles: those for which all of it is so.
    public struct Selection: Sendable {
        /// Inclusive.
        public var from: Position
        /// Exclusive.
        public var to: Position
        /// Which of an event's times `from` and `to` mean.
        public var time: Time = .received
        /// How long after `to` an event of the window may have been published, for a `to` that is a time. Reading a partition
        /// ends after 1,000 events in a row that the bridge received later than that; events that its spool published later
        /// are missed (``ReplayProgress/unread`` counts what was not read). nil reads to the end, and misses none.
        public var maxLateness: Duration?
        /// Whether to go on after events that Kafka deleted before they could be read, and to count them as
        /// ``ReplayProgress/missed``. Otherwise ``Replay/run()`` throws, and can be called again under the same name with this
        /// set. Default: false.
        public var skipsDeleted = false
        /// Only these types, of those that have a handler; nil for all.
        public var types: Set<EventType>?
        /// Only events about these numbers, as `Event.msisdn` gives them; nil for all.
        public var msisdns: Set<String>?
        /// Only events for which this is true; nil for all.
        public var isIncluded: (@Sendable (Event) -> Bool)?
        /// At most so many events a second; nil for as many as the handlers take. At least 1.
        public var eventsPerSecond: Int?

        /// A time of an event.
        public enum Time: Sendable {
            /// When the bridge received it.
            case received
            /// When it occurred by the vendor's clock; when it was received where the vendor did not say. Reading begins
            /// three hours earlier, for that clock's sake, and goes to the end.
            case occurred
        }

        /// - Parameters:
        ///   - from: Inclusive.
        ///   - to: Exclusive.
        public init(from: Position, to: Position = .now) {
            self.from = from
            self.to = to
        }
    }

    /// A replay that has not begun.
    ///
    /// - Parameters:
    ///   - name: 1 to 100 letters, digits, `.`, `_` and `-`. Not `live`.
    ///   - consumer: Whose handlers and configuration it uses. That it runs live at the same time does not matter.
    ///   - selection: Which events.
    public init(_ name: String, of consumer: EventConsumer, _ selection: Selection) {
        self.name = name
        self.consumer = consumer
        self.selection = selection
        (stream, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// A replay of every event that has a handler.
    ///
    /// - Parameters:
    ///   - name: 1 to 100 letters, digits, `.`, `_` and `-`. Not `live`.
    ///   - consumer: Whose handlers and configuration it uses.
    ///   - from: Inclusive.
    ///   - to: Exclusive.
    public convenience init(_ name: String, of consumer: EventConsumer, from: Position, to: Position = .now) {
        self.init(name, of: consumer, Selection(from: from, to: to))
    }

    /// How far it is, once a second, and a last time at its end. For one reader.
    public var progress: some AsyncSequence<ReplayProgress, Never> & Sendable { stream }

    /// Handles the events. Ends when all are done, ``stop()`` is called, or the task is cancelled.
    ///
    /// - Returns: How far it has come.
    /// - Throws: ``EventConsumerError`` when the name or the selection is wrong, the name belongs to another selection or a
    ///   part of its position has expired, a topic is missing, records were deleted before they could be read, Kafka does not
    ///   answer at the start, or a policy says to stop.
    @discardableResult
    public func run() async throws -> ReplayProgress {
        try await run(counting: false)
    }

    /// Handles the events as ``run()`` does, until all are done or the process receives a signal. The first signal is
    /// ``stop()``; the second one cancels the handlers that are still running.
    ///
    /// - Parameter signals: The signals that end it early.
    /// - Returns: How far it has come; ``ReplayProgress/isComplete`` is false when a signal has ended it.
    /// - Throws: ``EventConsumerError``, as ``run()`` does.
    @discardableResult
    public func run(until signals: ShutdownSignals) async throws -> ReplayProgress {
        let watch = try consumer.watch(signals, control)
        defer { watch?.end() }
        return try await run(counting: false)
    }

    /// Counts the events that ``run()`` would handle, without handling one or keeping its place.
    ///
    /// - Returns: The count, as ``ReplayProgress/handled``.
    /// - Throws: ``EventConsumerError``, as ``run()`` does.
    public func count() async throws -> ReplayProgress {
        try await run(counting: true)
    }

    /// Ends ``run()`` early: running handlers finish, and its place is kept.
    public func stop() { control.stop(.graceful) }

    private func run(counting: Bool) async throws -> ReplayProgress {
        let isFirst = hasBegun.withLock { begun in
            defer { begun = true }
            return !begun
        }
        guard isFirst else { throw EventConsumerError(.used, "a replay runs once: make another one of the same name") }
        let task = ReplayTask(
            name: name, selection: selection, tally: tally, isDryRun: counting,
            report: { [continuation] in continuation.yield($0) })
        defer { continuation.finish() }
        try await consumer.replay(task, control: control)
        let result = tally.progress
        continuation.yield(result)
        return result
    }
}

/// How far a replay is.
public struct ReplayProgress: Sendable, Hashable, CustomStringConvertible {
    /// Events that a handler has handled; of ``Replay/count()``, events that would be.
    public var handled = 0
    /// Events that have failed for good: dead letters, and skipped ones.
    public var failed = 0
    /// Records that are done, whether or not they are of the selection; counted from where this run began.
    public var recordsDone: Int64 = 0
    /// Records that this run has to go through.
    public var recordsTotal: Int64 = 0
    /// Records a second, since it began.
    public var recordsPerSecond = 0.0
    /// Whether everything that Kafka has of the selection is done. See also ``missed``, ``unread`` and
    /// ``truncatedPartitions``.
    public var isComplete = false
    /// Whether it went on where an earlier run of the name had left off.
    public var isResumed = false
    /// Topics that do not exist: nothing of them was replayed.
    public var missingTopics: [String] = []
    /// Partitions whose window begins before the oldest record that Kafka still has: events of it may be missing.
    public var truncatedPartitions = 0
    /// Records that were deleted before they could be read, and skipped (``Replay/Selection/skipsDeleted``).
    public var missed: Int64 = 0
    /// Records that were not read because of ``Replay/Selection/maxLateness``.
    public var unread: Int64 = 0
    /// What could not be read because a transaction is open: run the replay again when it has ended.
    public var openTransactions: [OpenTransaction] = []

    /// How long the rest takes at this rate; nil before there is one.
    public var timeLeft: Duration? {
        recordsPerSecond > 0 ? .seconds(Double(recordsTotal - recordsDone) / recordsPerSecond) : nil
    }

    /// `1200 handled, 3 failed, 5000 of 80000 records (6 %), 950/s`.
    public var description: String {
        let share = recordsTotal > 0 ? Int(100 * recordsDone / recordsTotal) : 100
        var text =
            "\(handled) handled, \(failed) failed, \(recordsDone) of \(recordsTotal) records (\(share) %), "
            + "\(Int(recordsPerSecond))/s"
        if missed > 0 { text += ", \(missed) deleted before they could be read" }
        if unread > 0 { text += ", \(unread) not read" }
        for one in openTransactions { text += ", \(one)" }
        return text
    }
}

/// Records of a partition that cannot be read yet, because a producer's transaction before them is open.
public struct OpenTransaction: Sendable, Hashable, CustomStringConvertible {
    /// Where they are.
    public let partition: EventPartition
    /// How many offsets they take.
    public let count: Int64

    /// `10 offsets of smsportal.reply[0] lie behind an open transaction`.
    public var description: String { "\(count) offsets of \(partition) lie behind an open transaction" }
}
