internal import SMSBridgeKafka
internal import SMSPortalConsumer

/// How far a group has come with what is in its topics.
enum Progress {
    enum Reason: Sendable { case timedOut, ended, cancelled }

    enum Outcome: Sendable {
        case handled
        /// With what is missing, for a person.
        case gaveUp(Reason, missing: String)
    }

    /// Blocks until the group of a consumer has committed everything that is in the consumer's topics now.
    ///
    /// - Parameter giveUp: asked again and again; a reason ends the waiting, after a last look.
    static func wait(
        for consumer: EventConsumer, timeout: Duration, giveUp: () -> Reason?
    ) throws(TestBridgeError) -> Outcome {
        do throws(KafkaError) {
            let configuration = consumer.configuration
            // A reader of the group's offsets, not a member.
            let reader = try Consumer(
                ConsumerConfiguration(
                    client: ClientConfiguration(
                        bootstrapServers: configuration.bootstrapServers, clientID: "test-bridge",
                        properties: MockKafka.clientProperties), group: configuration.group))
            defer { reader.close() }
            let clock = ContinuousClock()
            let deadline = clock.now + timeout
            var ends: [TopicPartition]?
            while true {
                let reason = giveUp() ?? (clock.now >= deadline ? .timedOut : nil)
                if ends == nil { ends = try? Self.ends(of: consumer.topics, reader) }
                let missing = ends.flatMap { try? Self.missing($0, reader) }
                if missing?.isEmpty == true { return .handled }
                if let reason {
                    return .gaveUp(reason, missing: missing?.joined(separator: ", ") ?? "(the broker does not answer)")
                }
                // There is nothing to poll for: this is the pause before the next look.
                _ = reader.poll(timeout: 2)
            }
        } catch {
            throw TestBridgeError(.cluster, "a client of the mock cluster cannot be made: \(error)")
        }
    }

    /// The ends of all partitions that are not empty.
    private static func ends(of topics: [String], _ reader: Consumer) throws(KafkaError) -> [TopicPartition] {
        var ends: [TopicPartition] = []
        for topic in try reader.client.metadata(timeout: 500).topics where topics.contains(topic.name) {
            for partition in topic.partitions {
                let range = try reader.client.watermarks(topic: topic.name, partition: partition.id, timeout: 500)
                if !range.isEmpty { ends.append(TopicPartition(topic.name, partition.id, offset: range.upperBound)) }
            }
        }
        return ends
    }

    private static func missing(_ ends: [TopicPartition], _ reader: Consumer) throws(KafkaError) -> [String] {
        guard !ends.isEmpty else { return [] }
        let committed = try reader.committed(ends, timeout: 500)
        return ends.compactMap { end in
            let done = committed.first { $0.topic == end.topic && $0.partition == end.partition }?.offset ?? 0
            guard let offset = end.offset, done < offset else { return nil }
            return "\(end.topic)[\(end.partition)] from offset \(done) on (\(offset - done) of its \(offset) events)"
        }
    }
}
