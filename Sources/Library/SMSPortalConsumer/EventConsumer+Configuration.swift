internal import SMSBridgeKafka
public import SMSPortalEvents

extension EventConsumer {
    /// How a consumer reads, and what it does when something fails.
    public struct Configuration: Sendable {
        /// Where Kafka is: `host:port`, comma-separated.
        public var bootstrapServers: String
        /// The consumer group. Its members share the events, and each group gets all of them. The names of its
        /// dead-letter and redrive topics are made from it.
        public var group: String
        /// The topic name prefix; as `topics.prefix` of the bridge.
        public var topicPrefix = "smsportal"
        /// Further properties of librdkafka by their names (CONFIGURATION.md), as `kafka.properties` of the bridge:
        /// `security.protocol`, `ssl.ca.location`, `sasl.username` and the like. Those that this library sets itself
        /// (`group.id`, `enable.auto.commit`, `auto.offset.reset` and others) are a problem that names what to set
        /// instead.
        public var kafkaProperties: [String: String] = [:]

        /// How many handlers run at once; 1 to 10,000. Events of one key never do.
        public var concurrency = 64
        /// Where handlers run: on Swift's pool, or on threads of the consumer's own for handlers that block theirs.
        public var executor: HandlerExecutor = .shared
        /// How long one attempt of a handler may take; it is then cancelled, and has failed with ``AttemptTimedOut``.
        /// At least 10 ms; nil for no limit. A handler that ignores its cancellation is waited for all the same: its
        /// number has no other event handled beside it.
        public var attemptTimeout: Duration?
        /// How many events are held at once, waiting or being handled; at least 1. When they are so many, reading
        /// pauses until half of them are done. A number whose events do not finish keeps no other from being read:
        /// what it holds beyond its share is released, and read again later.
        public var maxBufferedEvents = 10_000
        /// How many bytes of events are held at once; at least 1 MiB.
        public var maxBufferedBytes = 64 << 20
        /// How many offsets may lie between the first unfinished event of a partition and the last one that was read;
        /// at least 1. Done events among them cost next to nothing, but after a crash they are handled again. At this
        /// number the partition pauses, with an error in the log.
        public var maxSpan = 1_000_000
        /// How often offsets are committed; 10 ms to 10 min. What was handled since the last commit is handled again
        /// after a crash.
        public var commitInterval: Duration = .seconds(5)
        /// How long handlers may go on with events of a partition that the group gives to another member; they are then
        /// cancelled. At most a day; should be below the group's `max.poll.interval.ms`, 5 minutes.
        public var revokeTimeout: Duration = .seconds(20)
        /// How long handlers may go on after ``EventConsumer/shutdown()``, at most a day; they are then cancelled. The
        /// last commit has what is left of it. ``EventConsumer/run()`` returns at most a second later, whatever Kafka
        /// does.
        public var shutdownTimeout: Duration = .seconds(20)
        /// Where a new group begins: one that has committed no offset in any of its event topics. `.latest` is the end
        /// that a topic has when the group joins for the first time; partitions that are added later are read from
        /// their beginning.
        ///
        /// A handler that is new in an existing group begins at the end of its topic, unless its own `startAt` or a
        /// time here says otherwise: old events are not handled unexpectedly.
        public var startAt: Position = .earliest
        /// What happens when the committed offset is no longer, or not yet, in the partition: events may have been
        /// missed. An error in the log and a metric say so in any case.
        public var offsetOutOfRange: OffsetOutOfRange = .earliest
        /// Whether the events of the vendor's sample number are handled, too: what the Control Panel's test sends.
        public var includesTestEvents = false

        /// What happens to an event whose handler throws.
        public var failure = FailurePolicy()
        /// A policy for certain errors; nil for ``failure``. Called once per failed attempt.
        public var failureForError: (@Sendable (any Error) -> FailurePolicy?)?
        /// What happens to a record that is no event.
        public var undecodable: FailureAction = .deadLetter
        /// Whether the dead-letter and the redrive topic are created when they are missing, as durable as the event
        /// topics and never weaker. Without it, and without the
        /// topics, ``EventConsumer/run()`` throws an error that says how to make them.
        public var createsTopics = true

        /// Remembers which events have been handled, so that a repeat is handled once; nil handles repeats again.
        public var processedEvents: (any ProcessedEvents)?
        /// For how long a claim on an event holds: longer than a handler ever takes.
        public var claimExpiry: Duration = .seconds(15 * 60)

        /// How long a handler may run before ``EventConsumer/health`` lists it as blocked; above zero.
        public var blockedHandlerTime: Duration = .seconds(30)

        /// Where log lines go.
        public var log: EventLog = .standardError()
        /// Whether the group's protocol assigns the partitions. Without it a consumer reads all partitions of its
        /// topics, and commits for its group all the same: for tests on a mock cluster, whose groups are slow and
        /// fragile.
        package var joinsGroup = true

        /// The instruments; several consumers of a process may share them.
        public var metrics = EventMetrics()

        /// What was wrong with the environment that it was read from.
        var environmentProblems: [String] = []

        /// - Parameters:
        ///   - bootstrapServers: Where Kafka is: `host:port`, comma-separated.
        ///   - group: The consumer group.
        public init(bootstrapServers: String, group: String) {
            self.bootstrapServers = bootstrapServers
            self.group = group
        }

        /// Where reading begins in a topic in which the group has committed no offset.
        public enum Position: Sendable, Hashable {
            /// The first event that Kafka still has.
            case earliest
            /// The end that the topic has when the group joins for the first time.
            case latest
            /// The first event that the bridge received at this time or later.
            case at(EventTime)
        }

        /// What happens when a committed offset is out of range.
        public enum OffsetOutOfRange: Sendable {
            /// The partition goes on at its first record.
            case earliest
            /// The partition goes on behind its last record.
            case latest
            /// The consumer ends, and ``EventConsumer/run()`` throws.
            case stop
        }

        /// The topic that takes what has failed for good: `<group>-dlt`.
        public var deadLetterTopic: String { "\(group)-dlt" }
        /// The topic that brings dead letters back to this group: `<group>-redrive`.
        public var redriveTopic: String { "\(group)-redrive" }

        /// Everything that is wrong with the configuration, each by the name of its property; empty when nothing is.
        public func problems() -> [String] {
            var problems = environmentProblems
            func check(_ isRight: Bool, _ problem: @autoclosure () -> String) {
                if !isRight { problems.append(problem()) }
            }
            check(
                !bootstrapServers.isEmpty,
                "bootstrapServers: is empty; `fromEnvironment` reads it from KAFKA_BOOTSTRAP_SERVERS")
            check(!group.isEmpty, "group: is empty")
            check(
                Self.isTopicName(redriveTopic),
                "group: '\(redriveTopic)' is no topic's name (letters, digits, '.', '_', '-'; at most 249)")
            check(
                Self.isTopicName("\(topicPrefix).delivery-status"),
                "topicPrefix: '\(topicPrefix)' makes no topic's name")
            check((1...10_000).contains(concurrency), "concurrency: \(concurrency) is not within 1 to 10000")
            check(maxBufferedEvents >= 1, "maxBufferedEvents: \(maxBufferedEvents) is not at least 1")
            check(maxBufferedBytes >= 1 << 20, "maxBufferedBytes: \(maxBufferedBytes) is not at least 1048576")
            check(maxSpan >= 1, "maxSpan: \(maxSpan) is not at least 1")
            check(
                commitInterval >= .milliseconds(10) && commitInterval <= .seconds(600),
                "commitInterval: \(commitInterval) is not within 10 ms to 10 min")
            for (name, timeout) in [("revokeTimeout", revokeTimeout), ("shutdownTimeout", shutdownTimeout)] {
                check(
                    timeout >= .zero && timeout <= .seconds(86_400), "\(name): \(timeout) is not within 0 to 24 hours")
            }
            check(blockedHandlerTime > .zero, "blockedHandlerTime: \(blockedHandlerTime) is not above zero")
            if let attemptTimeout {
                check(attemptTimeout >= .milliseconds(10), "attemptTimeout: \(attemptTimeout) is not at least 10 ms")
            }
            check(claimExpiry > .zero, "claimExpiry: \(claimExpiry) is not above zero")
            for problem in failure.problems() { problems.append("failure.\(problem)") }
            for name in kafkaProperties.keys.sorted() {
                if let reason = Self.ownProperties[name] { problems.append("kafkaProperties.\(name): \(reason)") }
            }
            for (name, problem) in kafkaClient.propertyProblems() {
                problems.append("kafkaProperties.\(name): \(problem)")
            }
            return problems
        }

        /// Properties that this library sets for its guarantees, and what is set in their place.
        private static let ownProperties: [String: String] = {
            let group = "set `group`"
            let commits = "offsets are committed by this library once events are handled; see `commitInterval`"
            let start = "set `startAt` (a group without positions) or `offsetOutOfRange` (a position that is gone)"
            let servers = "set `bootstrapServers`"
            let strategy =
                "partitions are always assigned by cooperative-sticky, so that a rebalance stops no other member"
            let letters = "dead letters are always written idempotently, with acks=all"
            return [
                "group.id": group, "enable.auto.commit": commits, "auto.commit.interval.ms": commits,
                "enable.auto.offset.store": commits, "auto.offset.reset": start, "bootstrap.servers": servers,
                "metadata.broker.list": servers, "partition.assignment.strategy": strategy, "group.protocol": strategy,
                "enable.partition.eof": "the ends of partitions are always reported", "enable.idempotence": letters,
                "acks": letters, "request.required.acks": letters,
                "partitioner": "dead letters keep the partitioning of the Java client (murmur2_random)",
                "linger.ms": "dead letters are written at once",
                "queue.buffering.max.ms": "dead letters are written at once",
                "message.timeout.ms": "dead letters are tried until Kafka takes them",
                "delivery.timeout.ms": "dead letters are tried until Kafka takes them",
                "log.queue": "librdkafka's log goes to `log`", "transactional.id": letters,
            ]
        }()

        private static func isTopicName(_ name: String) -> Bool {
            name.utf8.count <= 249
                && name.utf8.allSatisfy {
                    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0)
                        || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0)
                        || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || [46, 95, 45].contains($0)
                }
        }

        var kafkaClient: ClientConfiguration {
            var standard = [
                "reconnect.backoff.max.ms": "1000", "socket.timeout.ms": "10000", "socket.keepalive.enable": "true",
                // A topic that does not exist yet is found soon after it does; librdkafka's own 5 minutes are long.
                "topic.metadata.refresh.interval.ms": "30000",
                // What librdkafka reads ahead is beside `maxBufferedBytes`, and thrown away by every pause.
                "queued.min.messages": "100000", "queued.max.messages.kbytes": "65536",
            ]
            // Once so much is read ahead, it fetches nothing for a second, and quick handlers finish much sooner.
            // Releases before 2.2 do not let it be shortened.
            if LibRDKafka.versionNumber >= 0x0202_0000 { standard["fetch.queue.backoff.ms"] = "50" }
            return ClientConfiguration(
                bootstrapServers: bootstrapServers, clientID: "smsportal-consumer",
                properties: standard.merging(kafkaProperties, uniquingKeysWith: { $1 }))
        }

        /// Whether any policy writes dead letters.
        var usesDeadLetters: Bool {
            failureForError != nil || [failure.finally, undecodable].contains { [.deadLetter, .park].contains($0) }
        }
    }
}

extension EventConsumer.Configuration: CustomStringConvertible, CustomReflectable {
    /// The properties' values are not shown: passwords are among them.
    public var description: String {
        "EventConsumer.Configuration(group: \(group), bootstrapServers: \(bootstrapServers))"
    }

    /// Shows what ``description`` shows.
    public var customMirror: Mirror { Mirror(self, children: ["group": group, "bootstrapServers": bootstrapServers]) }
}

extension FailurePolicy {
    /// The problems, by property.
    func problems() -> [String] {
        var problems: [String] = []
        if maxAttempts < 1 { problems.append("maxAttempts: \(maxAttempts) is not at least 1") }
        if backoff.initial < .zero { problems.append("backoff.initial: \(backoff.initial) is negative") }
        if backoff.maximum < backoff.initial { problems.append("backoff.maximum: is below backoff.initial") }
        if !(backoff.multiplier >= 1) { problems.append("backoff.multiplier: \(backoff.multiplier) is not at least 1") }
        if !(0...1).contains(backoff.jitter) {
            problems.append("backoff.jitter: \(backoff.jitter) is not within 0 to 1")
        }
        return problems
    }
}
