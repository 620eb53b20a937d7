internal import SMSBridgeKafka
internal import SMSBridgeThreads
public import SMSPortalConsumer
public import SMSPortalEvents
internal import Synchronization

/// Replaces the bridge and Kafka, so that reactions to events can be tested within milliseconds and without
/// either: events are published as the bridge would write them, to a cluster inside this process.
///
/// ```swift
/// @Test func aYesIsCalledBack() async throws {
///     let bridge = try await TestBridge()
///     let called = Mutex<[String]>([])
///     try await bridge.publish(.reply(.sample(text: "Yes please", msisdn: "27821234567")), .reply(.sample(text: "No")))
///     try await bridge.run(
///         makeConsumer(bridge.configuration(group: "call-backs")) { msisdn in called.withLock { $0.append(msisdn) } })
///     #expect(called.withLock { $0 } == ["27821234567"])
/// }
/// ```
///
/// Every bridge has a cluster of its own, so tests can run side by side and choose their groups freely. It ends with
/// the last reference to it. The code under test is the real one: client, protocol, decoding, retries and dead letters;
/// only the cluster is librdkafka's mock, and partitions are assigned without the group's protocol (see
/// ``configuration(group:)``).
public final class TestBridge: Sendable {
    /// The topic name prefix: `smsportal`.
    public static let topicPrefix = "smsportal"

    let kafka: MockKafka
    let lines = Mutex<[String]>([])
    /// What ``run(_:timeout:)`` runs at present.
    let runs = Mutex<[ObjectIdentifier: RunningConsumer]>([:])
    /// So many lines of the log are kept.
    private static let keptLines = 500

    /// Starts a cluster with the topics of the bridge.
    ///
    /// - Parameter partitions: Of each topic, 1 to 100.
    /// - Throws: ``TestBridgeError`` when the system has no port, descriptor or thread left.
    public init(partitions: Int = 4) async throws(TestBridgeError) {
        guard (1...100).contains(partitions) else {
            throw TestBridgeError(.cluster, "partitions: \(partitions) is not within 1 to 100")
        }
        let topics = EventTopic.allCases.map { $0.name(prefix: Self.topicPrefix) }
        kafka = try await onThread("test-bridge") { () throws(TestBridgeError) in
            do { return try MockKafka(topics: topics, partitions: Int32(partitions)) } catch {
                throw TestBridgeError(.cluster, "the mock cluster cannot be made: \(error)")
            }
        }
    }

    deinit {
        // It takes librdkafka some time, and a deinit may run anywhere.
        let kafka = self.kafka
        do { _ = try NamedThread("test-bridge-end") { kafka.close() } } catch { kafka.close() }
    }

    /// Where the cluster is: `host:port` on the loopback interface.
    public var bootstrapServers: String { kafka.bootstrapServers }

    // MARK: Configuring

    /// A configuration for a consumer of this bridge: with short waits, a log that goes to ``logLines``, and everything
    /// else as in production. Change what the test is about.
    ///
    /// The dead-letter and the redrive topic of the group are made.
    ///
    /// The consumer takes all partitions of its topics at once, and commits for its group, without joining it by
    /// Kafka's protocol: how members of a group share partitions is for a test against a real Kafka. (librdkafka's mock
    /// takes 3 s to let a member in, and ends the process when members come and go in certain orders.)
    ///
    /// - Parameter group: The consumer group. A second consumer of the group, after the first, goes on where that left
    ///   off; two at once both get everything.
    public func configuration(group: String) -> EventConsumer.Configuration {
        var configuration = EventConsumer.Configuration(bootstrapServers: bootstrapServers, group: group)
        configuration.topicPrefix = Self.topicPrefix
        configuration.joinsGroup = false
        // The mock cluster answers a fetch without records at the end of its wait, even if a record has come.
        configuration.kafkaProperties = MockKafka.clientProperties.merging(["fetch.wait.max.ms": "5"]) { $1 }
        configuration.commitInterval = .milliseconds(10)
        configuration.failure.backoff = RetryBackoff(initial: .milliseconds(1), maximum: .milliseconds(5))
        configuration.revokeTimeout = .seconds(2)
        configuration.shutdownTimeout = .seconds(2)
        configuration.log = .lines { [weak self] in self?.keep($0) }
        // One partition, so that dead letters come in the order in which they were written.
        kafka.makeTopic(configuration.deadLetterTopic, partitions: 1)
        kafka.makeTopic(configuration.redriveTopic, partitions: 1)
        return configuration
    }

    /// The last lines that consumers with a ``configuration(group:)`` have logged, 500 at most.
    public var logLines: [String] { lines.withLock { $0 } }

    private func keep(_ line: String) {
        lines.withLock { lines in
            lines.append(line)
            if lines.count > Self.keptLines { lines.removeFirst(lines.count - Self.keptLines) }
        }
    }

    // MARK: Publishing

    /// Writes events to the topics of their types, in this order, as the bridge would; returns when the cluster has
    /// them.
    ///
    /// An event that is given twice is a repeat with the same id, as when the vendor calls twice.
    ///
    /// - Throws: ``TestBridgeError`` when the cluster did not take them within 10 s.
    public func publish(_ events: Event...) async throws(TestBridgeError) {
        try await publish(events)
    }

    /// Writes events to the topics of their types, in this order, as the bridge would; returns when the cluster has
    /// them.
    ///
    /// - Throws: ``TestBridgeError`` when the cluster did not take them within 10 s.
    public func publish(_ events: [Event]) async throws(TestBridgeError) {
        try await kafka.write(
            events.map { event in
                let record = event.record()
                return MockKafka.Record(
                    topic: record.topic.name(prefix: Self.topicPrefix), key: record.key, value: record.value,
                    headers: record.headers, timestamp: record.timestamp.millisecondsSinceEpoch)
            })
    }

    /// Writes a record that the bridge would never write: one that is no event, or a tombstone.
    ///
    /// - Parameters:
    ///   - value: The value; nil for a tombstone.
    ///   - topic: Where to.
    ///   - key: The number of a subscriber; nil for a record without a key.
    /// - Throws: ``TestBridgeError`` when the cluster did not take it within 10 s.
    public func publish(value: String?, to topic: EventTopic, key: String? = nil) async throws(TestBridgeError) {
        try await kafka.write([
            MockKafka.Record(
                topic: topic.name(prefix: Self.topicPrefix), key: key.map { Array($0.utf8) },
                value: value.map { Array($0.utf8) }, timestamp: 1_767_254_400_000)
        ])
    }
}

/// Runs what blocks on a thread of its own.
func onThread<R: Sendable>(
    _ name: String, _ body: @escaping @Sendable () throws(TestBridgeError) -> R
) async throws(TestBridgeError) -> R {
    let result: Result<R, TestBridgeError> = await withCheckedContinuation { continuation in
        do {
            _ = try NamedThread(name) {
                continuation.resume(returning: Result { () throws(TestBridgeError) in try body() })
            }
        } catch {
            continuation.resume(returning: .failure(TestBridgeError(.cluster, "\(error)")))
        }
    }
    return try result.get()
}
