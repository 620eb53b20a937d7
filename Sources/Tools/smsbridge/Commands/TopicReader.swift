import SMSBridgeKafka
import SMSPortalEvents

/// Reads the bridge's topics outside of any group: it joins none and commits nothing, so it disturbs nobody.
final class TopicReader {
    private let consumer: Consumer

    /// - Parameters:
    ///   - topics: those that exist are read.
    ///   - fromBeginning: from the first records, or only what comes from now on.
    /// - Throws: `KafkaError` when the cluster does not answer, or has none of the topics.
    init(
        _ client: ClientConfiguration, topics: [String], fromBeginning: Bool, timeout: Int32 = 10_000
    ) throws(KafkaError) {
        var configuration = ConsumerConfiguration(client: client, group: "smsbridge-tail")
        configuration.client.properties["fetch.wait.max.ms"] = "100"
        consumer = try Consumer(configuration)
        do throws(KafkaError) {
            let metadata = try consumer.client.metadata(timeout: timeout)
            let offset = fromBeginning ? TopicPartition.beginning : TopicPartition.end
            let partitions = metadata.topics.filter { topics.contains($0.name) }.flatMap { topic in
                topic.partitions.map { TopicPartition(topic.name, $0.id, offset: offset) }
            }
            guard !partitions.isEmpty else {
                throw KafkaError(.unknownTopic, "none of these topics exists: \(topics.joined(separator: ", "))")
            }
            try consumer.assign(partitions)
        } catch {
            consumer.close()
            throw error
        }
    }

    /// Hands over every record until `isOver` says so; asked at least ten times a second.
    func read(until isOver: () -> Bool, _ body: (borrowing Message) -> Void, onError: (KafkaError) -> Void) {
        while !isOver() {
            switch consumer.poll(timeout: 100) {
            case .message(let message): body(message)
            case .error(let error): onError(error)
            case .partitionError(_, let error): onError(error)
            default: continue
            }
        }
    }

    func close() { consumer.close() }
}
