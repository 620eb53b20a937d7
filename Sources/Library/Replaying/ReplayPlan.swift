package import SMSBridgeKafka

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// What a replay reads: of every partition a range of offsets, fixed before the first record is read.
package struct ReplayPlan: Sendable {
    package struct Partition: Sendable, Hashable {
        package let topic: String
        package let partition: Int32
        /// From the first offset to read to the one after the last. Empty where there is nothing. Offsets of open transactions
        /// are included.
        package var offsets: Range<Int64>
        /// Whether reading begins at the first record that the partition still has, after deleted ones: some of the window may
        /// have been deleted.
        package let isTruncated: Bool

        package var topicPartition: TopicPartition { TopicPartition(topic, partition) }
        package var description: String { "\(topic)[\(partition)]" }
    }

    package var window: ReplayWindow
    /// In order of topic and number, those without anything to read as well.
    package var partitions: [Partition]
    /// Topics that do not exist.
    package private(set) var missingTopics: [String]

    /// How many offsets there are to read. As many records at most, and as many events of the window at most.
    package var count: Int64 { partitions.reduce(0) { $0 + Int64($1.offsets.count) } }

    /// Requests the ranges from Kafka. Blocks; up to `timeout` milliseconds a request.
    ///
    /// - Parameter client: made by ``offsetClient(_:)``: one that sees committed records only would plan up to the first open
    ///   transaction, and take what lies behind it for nothing.
    /// - Throws: `ReplayError` when the window is invalid, none of the topics exists, one may not be described, or Kafka does
    ///   not answer.
    package init(
        _ window: ReplayWindow, topics: [String], client: Client, timeout: Int32 = 10_000
    ) throws(ReplayError) {
        if let problem = window.problem { throw ReplayError(.window, problem) }
        self.window = window
        partitions = []
        missingTopics = topics
        var attempt = 0
        while true {
            do throws(KafkaError) {
                (partitions, missingTopics) = try Self.ask(window, topics, client, timeout)
                // One that was just created may not be known to every broker yet.
                if missingTopics.isEmpty || attempt >= 5 { break }
                attempt += 1
                usleep(100_000)
            } catch {
                attempt += 1
                // A topic that was just created, or a leader that has just moved.
                guard error.code.isOfLeadership, attempt < 20 else { throw ReplayError(.kafka, "Kafka: \(error)") }
                usleep(100_000)
            }
        }
        for topic in missingTopics {
            do throws(KafkaError) {
                // A list of all topics leaves out those that the user may not describe.
                let found = try client.metadata(topic: topic, timeout: timeout).topics.first?.error
                guard found != .topicNotAuthorized else { throw KafkaError(.topicNotAuthorized) }
            } catch {
                throw ReplayError(.kafka, "\(topic): \(error)")
            }
        }
        guard missingTopics.count < topics.count else {
            throw ReplayError(.noTopic, "none of these topics exists: \(topics.joined(separator: ", "))")
        }
    }

    /// A client for `init`, with which offsets include those of open transactions. The caller destroys it.
    package static func offsetClient(_ configuration: ClientConfiguration) throws(KafkaError) -> Client {
        var configuration = configuration
        configuration.properties["isolation.level"] = "read_uncommitted"
        // To ask for a topic by its name must not create it.
        configuration.properties["allow.auto.create.topics"] = "false"
        return try Client.silent(configuration)
    }

    private static func ask(
        _ window: ReplayWindow, _ topics: [String], _ client: Client, _ timeout: Int32
    ) throws(KafkaError) -> (partitions: [Partition], missingTopics: [String]) {
        let metadata = try client.metadata(timeout: timeout)
        let found = metadata.topics.filter { topics.contains($0.name) && $0.error == nil }
        let missingTopics = topics.filter { name in !found.contains { $0.name == name } }
        let all = found.flatMap { topic in topic.partitions.map { TopicPartition(topic.name, $0.id) } }
            .sorted { ($0.topic, $0.partition) < ($1.topic, $1.partition) }
        // First the ends: what arrives during the other requests is not part of this replay.
        var bounds: [Range<Int64>] = []
        for one in all {
            bounds.append(try client.watermarks(topic: one.topic, partition: one.partition, timeout: timeout))
        }
        let starts = try Self.offsets(of: window.from, all, bounds, client, timeout)
        var last = window.to
        // Timestamps are not in order, so no time says where a window ends; `RangeProgress` judges a maximum lateness.
        if case .time = window.to { last = .now }
        let ends = try Self.offsets(of: last, all, bounds, client, timeout)
        let partitions = all.indices.map { index in
            let low = bounds[index].lowerBound
            let start = starts[index]
            return Partition(
                topic: all[index].topic, partition: all[index].partition,
                offsets: start..<max(start, ends[index]),
                isTruncated: low > 0 && start == low && window.from != .earliest)
        }
        return (partitions, missingTopics)
    }

    private static func offsets(
        of point: ReplayPoint, _ partitions: [TopicPartition], _ bounds: [Range<Int64>], _ client: Client,
        _ timeout: Int32
    ) throws(KafkaError) -> [Int64] {
        switch point {
        case .earliest: return bounds.map(\.lowerBound)
        case .now: return bounds.map(\.upperBound)
        case .offset(let offset): return bounds.map { min(max(offset, $0.lowerBound), $0.upperBound) }
        case .time(let time):
            var found = try Self.lookup(max(0, time), partitions, client, timeout)
            // Kafka looks a time up in the first segment that has it, and finds nothing where that segment was deleted up to a
            // later offset (DeleteRecords) and its file is still there. Then it does not find the time 0 either: all is read.
            let unsure = partitions.indices.filter {
                found[$0] == nil && !bounds[$0].isEmpty && bounds[$0].lowerBound > 0
            }
            let first = try Self.lookup(0, unsure.map { partitions[$0] }, client, timeout)
            for (index, offset) in zip(unsure, first) where offset == nil { found[index] = bounds[index].lowerBound }
            return zip(found, bounds).map { offset, bounds in
                // No record has this time or a later one: there is nothing to read.
                min(max(offset ?? .max, bounds.lowerBound), bounds.upperBound)
            }
        }
    }

    /// For each partition the first offset with this time or a later one; nil where Kafka finds none.
    private static func lookup(
        _ time: Int64, _ partitions: [TopicPartition], _ client: Client, _ timeout: Int32
    ) throws(KafkaError) -> [Int64?] {
        guard !partitions.isEmpty else { return [] }
        let found = try client.offsets(
            forTimes: partitions.map { TopicPartition($0.topic, $0.partition, offset: time) }, timeout: timeout)
        return try partitions.map { one throws(KafkaError) in
            guard let answer = found.first(where: { $0.topic == one.topic && $0.partition == one.partition }) else {
                return nil
            }
            if let error = answer.error { throw KafkaError(error, "\(one): no offset for a time") }
            return answer.offset
        }
    }
}
