import SMSBridgeKafka
import SMSBridgeReplaying
import SMSBridgeTelemetry
import SMSPortalEvents

/// Reads the bridge's topics outside of any group: it joins none and commits nothing. Partitions and
/// topics that are added are read from their first record on.
final class TopicReader {
    private let consumer: Consumer
    private let topics: [String]
    private var assigned: [TopicPartition] = []
    private var nextLookup: UInt64 = 0

    /// How often new partitions are looked for, in nanoseconds.
    private static let lookupInterval: UInt64 = 3_000_000_000

    /// - Parameters:
    ///   - topics: those that exist are read, and others once they do.
    ///   - start: The first record of each partition that is there now.
    /// - Throws: `KafkaError` when the cluster does not answer, or has none of the topics.
    init(
        _ client: ClientConfiguration, topics: [String], from start: ReplayPoint, timeout: Int32 = 10_000
    ) throws(KafkaError) {
        self.topics = topics
        var configuration = ConsumerConfiguration(client: client, group: "smsbridge-tail")
        configuration.client.properties["fetch.wait.max.ms"] = "100"
        consumer = try Consumer(configuration)
        do throws(KafkaError) {
            let partitions = try partitions(timeout: timeout)
            guard !partitions.isEmpty else {
                throw KafkaError(.unknownTopic, "none of these topics exists: \(topics.joined(separator: ", "))")
            }
            try consumer.assign(try beginning(partitions, at: start, timeout: timeout))
            assigned = partitions
        } catch {
            consumer.close()
            throw error
        }
        nextLookup = monotonicNow() + Self.lookupInterval
    }

    private func beginning(
        _ partitions: [TopicPartition], at start: ReplayPoint, timeout: Int32
    ) throws(KafkaError) -> [TopicPartition] {
        func all(_ offset: Int64) -> [TopicPartition] {
            partitions.map { TopicPartition($0.topic, $0.partition, offset: offset) }
        }
        switch start {
        case .earliest: return all(TopicPartition.beginning)
        case .now: return all(TopicPartition.end)
        case .offset(let offset): return all(offset)
        case .time(let milliseconds):
            // A partition without a record of that time or later is read from its end.
            return try consumer.client.offsets(forTimes: all(milliseconds), timeout: timeout).map {
                TopicPartition($0.topic, $0.partition, offset: $0.offset ?? TopicPartition.end)
            }
        }
    }

    private func partitions(timeout: Int32) throws(KafkaError) -> [TopicPartition] {
        try consumer.client.metadata(timeout: timeout).topics.filter { topics.contains($0.name) }.flatMap { topic in
            topic.partitions.map { TopicPartition(topic.name, $0.id) }
        }
    }

    /// Reads what was added since the last look. A cluster that does not answer is asked again later.
    private func assignNew() {
        guard monotonicNow() >= nextLookup else { return }
        defer { nextLookup = monotonicNow() + Self.lookupInterval }
        guard let found = try? partitions(timeout: 1_000) else { return }
        let new = found.filter { !assigned.contains($0) }
        guard !new.isEmpty else { return }
        do throws(KafkaError) {
            try consumer.assign(
                incrementally: new.map { TopicPartition($0.topic, $0.partition, offset: TopicPartition.beginning) })
            assigned += new
        } catch {
            Output.error("smsbridge: new partitions cannot be read yet: \(error.message)\n")
        }
    }

    /// Delivers every record until `isOver` returns true; it is called at least ten times a second while the cluster answers.
    func read(until isOver: () -> Bool, _ body: (borrowing Message) -> Void, onError: (KafkaError) -> Void) {
        while !isOver() {
            assignNew()
            switch consumer.poll(timeout: 100) {
            case .message(let message): body(message)
            // Nothing is asked of the group, whose name a consumer needs: it may be one that the user has no right to.
            case .error(let error) where error.code == .groupNotAuthorized: continue
            case .error(let error): onError(error)
            case .partitionError(_, let error): onError(error)
            default: continue
            }
        }
    }

    func close() { consumer.close(timeout: 2_000) }
}
