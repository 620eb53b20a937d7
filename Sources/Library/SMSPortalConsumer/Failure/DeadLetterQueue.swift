internal import SMSBridgeKafka
internal import SMSBridgeTelemetry
internal import SMSBridgeThreads
internal import Synchronization

/// Writes dead letters, and waits for Kafka's acknowledgement of each.
final class DeadLetterQueue: Sendable {
    private let configuration: ProducerConfiguration
    private let topic: String
    private let group: String
    private let log: Logger
    private let repeats = RepeatGuard()
    private let state: Mutex<State>
    /// Called when Kafka did not take a letter, for a reason other than the letter itself.
    private let onFailure: @Sendable () -> Void

    private struct State {
        var producer: ProducerThread
        /// Counts the producers, so that of several letters that fail at once only the first replaces one.
        var generation = 0
        var isClosed = false
    }

    init(
        _ configuration: EventConsumer.Configuration, log: Logger, onFailure: @escaping @Sendable () -> Void = {}
    ) throws(EventConsumerError) {
        var producer = ProducerConfiguration(client: configuration.kafkaClient)
        producer.messageTimeoutMilliseconds = 30_000
        // A record that came from a topic may be as large as any topic's records; the broker judges.
        producer.maxMessageBytes = 100 << 20
        producer.client.properties = producer.client.properties.filter { !Self.consumerOnly.contains($0.key) }
        self.configuration = producer
        topic = configuration.deadLetterTopic
        group = configuration.group
        self.log = log
        self.onFailure = onFailure
        do { state = Mutex(State(producer: try Self.makeProducer(producer, log, repeats))) } catch {
            throw EventConsumerError(.kafka, error.description)
        }
    }

    private static func makeProducer(
        _ configuration: ProducerConfiguration, _ log: Logger, _ repeats: RepeatGuard
    ) throws(KafkaError) -> ProducerThread {
        try ProducerThread(configuration, name: "sms-dead-letter") { event in
            guard case .error(let error) = event else { return }
            log.log(
                .warning, onceIn: repeats, key: error.code.description, "dead letters: Kafka's client",
                ["error": error.message])
        }
    }

    /// - Parameter replay: the name of the replay that the record failed in.
    /// - Throws: `KafkaError` when Kafka did not acknowledge it; it may have arrived nevertheless.
    func write(_ record: ConsumedRecord, _ failure: Failure, replay: String? = nil) async throws(KafkaError) {
        do throws(KafkaError) {
            try await send(record, DeadLetterHeaders.headers(of: record, failure, group: group, replay: replay))
        } catch {
            guard error.code.rejectsRecord || error.code == .invalidTimestamp, !failure.message.isEmpty else {
                throw error
            }
            // What the error says may be what makes it too large; the record itself had its place in a topic already.
            try await send(
                record, DeadLetterHeaders.headers(of: record, failure.withoutMessage, group: group, replay: replay))
        }
    }

    private func send(
        _ record: ConsumedRecord, _ headers: [(name: String, value: [UInt8]?)]
    ) async throws(KafkaError) {
        let (producer, generation) = state.withLock { ($0.producer, $0.generation) }
        do throws(KafkaError) {
            let report = try await producer.send(
                topic: topic, key: record.key, value: record.value, timestamp: wallClockMilliseconds(), headers: headers
            )
            if let error = report.error { throw KafkaError(error) }
        } catch {
            if error.isFatal || error.code == .fatal { try replace(generation) }
            if !error.code.rejectsRecord { onFailure() }
            throw error
        }
    }

    /// A fatal error ends an idempotent producer, and is ordinary (librdkafka#3584): the next letter goes to another
    /// one.
    private func replace(_ generation: Int) throws(KafkaError) {
        let result = state.withLock { state -> Result<ProducerThread?, KafkaError> in
            guard state.generation == generation, !state.isClosed else { return .success(nil) }
            do throws(KafkaError) {
                let old = state.producer
                state.producer = try Self.makeProducer(configuration, log, repeats)
                state.generation += 1
                return .success(old)
            } catch {
                return .failure(error)
            }
        }
        guard let old = try result.get() else { return }
        log.warning("dead-letter producer recreated after a fatal error")
        // Closing waits for the reports of what it still holds.
        do { _ = try NamedThread("sms-dead-letter-end") { old.close() } } catch { old.close() }
    }

    /// Waits until every letter has its report, so many milliseconds at most; the others are given up.
    func close(timeout: Int32 = 30_000) {
        let producer = state.withLock { state in
            state.isClosed = true
            return state.producer
        }
        producer.close(timeout: timeout)
    }

    /// Gives up the letters that Kafka has not acknowledged; their events stay uncommitted.
    func abandon() {
        state.withLock { $0.producer }.purge()
    }

    /// As a test would have it.
    func injectFatalError() {
        state.withLock { $0.producer }.injectFatalError(.outOfOrderSequence, "injected")
    }

    /// Properties that a producer warns about.
    private static let consumerOnly: Set<String> = [
        "queued.min.messages", "queued.max.messages.kbytes", "fetch.queue.backoff.ms",
    ]
}
