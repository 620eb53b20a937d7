package import SMSBridgeKafka

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// What a replay reads: of every partition a stretch of offsets, fixed before the first record is read.
package struct ReplayPlan: Sendable {
    package struct Partition: Sendable, Hashable {
        package let topic: String
        package let partition: Int32
        /// The first offset to read, and the one behind the last. Empty where there is nothing.
        package var offsets: Range<Int64>
        /// Whether what is read begins at the first record that the partition still has, behind deleted ones: some of the
        /// window may be gone.
        package let beginsBehindDeleted: Bool
    }

    package var window: ReplayWindow
    /// In order of topic and number, those without anything to read as well.
    package var partitions: [Partition]
    /// Topics that do not exist, or that this client may not see.
    package private(set) var missingTopics: [String]

    /// How many offsets there are to read. As many records at most, and as many events of the window at most.
    package var count: Int64 { partitions.reduce(0) { $0 + Int64($1.offsets.count) } }

    /// Asks Kafka for the stretches. Blocks; up to `timeout` milliseconds a question.
    ///
    /// - Throws: `ReplayError` when the window makes no sense, none of the topics exists, or Kafka does not answer.
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
                // One that was just made may not be told everywhere yet.
                if missingTopics.isEmpty || attempt >= 5 { break }
                attempt += 1
                usleep(100_000)
            } catch {
                attempt += 1
                // A topic that was just made, or a leader that has just moved.
                guard error.code.isOfLeadership, attempt < 20 else { throw ReplayError(.kafka, "Kafka: \(error)") }
                usleep(100_000)
            }
        }
        guard missingTopics.count < topics.count else {
            throw ReplayError(
                .noTopic,
                "none of these topics exists, or may be described: \(topics.joined(separator: ", "))")
        }
    }

    private static func ask(
        _ window: ReplayWindow, _ topics: [String], _ client: Client, _ timeout: Int32
    ) throws(KafkaError) -> (partitions: [Partition], missingTopics: [String]) {
        let metadata = try client.metadata(timeout: timeout)
        let found = metadata.topics.filter { topics.contains($0.name) && $0.error == nil }
        let missingTopics = topics.filter { name in !found.contains { $0.name == name } }
        let places = found.flatMap { topic in topic.partitions.map { TopicPartition(topic.name, $0.id) } }
            .sorted { ($0.topic, $0.partition) < ($1.topic, $1.partition) }
        // First the ends: what comes while the rest is asked is not of this replay.
        var bounds: [Range<Int64>] = []
        for place in places {
            bounds.append(
                try client.watermarks(topic: place.topic, partition: place.partition, timeout: timeout))
        }
        let starts = try Self.offsets(of: window.from, places, bounds, client, timeout)
        var last = window.to
        if case .time(let time) = window.to { last = window.late.map { .time(time + $0) } ?? .now }
        let ends = try Self.offsets(of: last, places, bounds, client, timeout)
        let partitions = places.indices.map { index in
            let low = bounds[index].lowerBound
            let start = starts[index]
            return Partition(
                topic: places[index].topic, partition: places[index].partition,
                offsets: start..<max(start, ends[index]),
                beginsBehindDeleted: low > 0 && start == low && window.from != .earliest)
        }
        return (partitions, missingTopics)
    }

    private static func offsets(
        of point: ReplayPoint, _ places: [TopicPartition], _ bounds: [Range<Int64>], _ client: Client, _ timeout: Int32
    ) throws(KafkaError) -> [Int64] {
        switch point {
        case .earliest: return bounds.map(\.lowerBound)
        case .now: return bounds.map(\.upperBound)
        case .offset(let offset): return bounds.map { min(max(offset, $0.lowerBound), $0.upperBound) }
        case .time(let time):
            guard !places.isEmpty else { return [] }
            let found = try client.offsets(
                forTimes: places.map { TopicPartition($0.topic, $0.partition, offset: max(0, time)) }, timeout: timeout)
            return try places.indices.map { index throws(KafkaError) in
                let place = places[index]
                guard let answer = found.first(where: { $0.topic == place.topic && $0.partition == place.partition })
                else { return bounds[index].upperBound }
                if let error = answer.error { throw KafkaError(error, "\(place): no answer to the question of a time") }
                // None so late: nothing to begin with, and nothing behind it.
                return min(max(answer.offset ?? .max, bounds[index].lowerBound), bounds[index].upperBound)
            }
        }
    }
}
