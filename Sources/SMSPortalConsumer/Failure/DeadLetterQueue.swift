internal import Kafka
internal import Telemetry

/// Writes dead letters, and waits for Kafka's acknowledgement of each.
struct DeadLetterQueue: Sendable {
    private let producer: ProducerThread
    private let topic: String
    private let group: String

    init(_ configuration: EventConsumer.Configuration, log: Logger) throws(EventConsumerError) {
        var producer = ProducerConfiguration(client: configuration.kafkaClient)
        producer.messageTimeoutMilliseconds = 30_000
        // A record that came from a topic may be as large as any topic's records; the broker judges.
        producer.maxMessageBytes = 100 << 20
        producer.client.properties = producer.client.properties.filter { !Self.consumerOnly.contains($0.key) }
        topic = configuration.deadLetterTopic
        group = configuration.group
        let repeats = RepeatGuard()
        do {
            self.producer = try ProducerThread(producer, name: "sms-dead-letter") { event in
                guard case .error(let error) = event else { return }
                log.log(
                    .warning, onceIn: repeats, key: error.code.description, "dead letters: Kafka's client",
                    ["error": error.message])
            }
        } catch {
            throw EventConsumerError(.kafka, error.description)
        }
    }

    /// - Throws: `KafkaError` when Kafka did not acknowledge it; it may have arrived nevertheless.
    func write(_ record: ConsumedRecord, _ failure: Failure) async throws(KafkaError) {
        let report = try await producer.send(
            topic: topic, key: record.key, value: record.value, timestamp: wallClockMilliseconds(),
            headers: DeadLetterHeaders.headers(of: record, failure, group: group))
        if let error = report.error { throw KafkaError(error) }
    }

    func close() { producer.close() }

    /// Properties that a producer warns about.
    private static let consumerOnly: Set<String> = ["queued.min.messages", "queued.max.messages.kbytes"]
}
