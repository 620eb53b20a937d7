import Kafka
import Synchronization
import Threads

/// Why records could not be read again, or sent; for a person.
struct ReplayFailure: Error {
    let message: String
}

/// Sends records, and knows when all of them are acknowledged (`acks=all`, idempotent).
final class RecordSender {
    private let producer: ProducerThread
    private let flight: Flight

    /// How many records may wait for their acknowledgement.
    private static let window = 20_000
    /// How long Kafka may be away before a record counts as refused, in milliseconds.
    private static let patience = 120_000

    /// - Throws: `ReplayFailure` when one of the topics does not exist, or Kafka does not answer.
    init(_ client: ClientConfiguration, topics: [String]) throws(ReplayFailure) {
        do {
            let asker = try Client.silent(client)
            defer { asker.destroy() }
            for topic in topics {
                if let error = try asker.metadata(topic: topic, timeout: 10_000).topics.first?.error {
                    throw ReplayFailure(message: "\(topic) does not exist, or may not be written: \(error)")
                }
            }
            var configuration = ProducerConfiguration(client: client)
            configuration.messageTimeoutMilliseconds = Self.patience
            configuration.lingerMilliseconds = 5
            configuration.maxQueuedMessages = Self.window * 2
            // What a topic has let in another one may refuse; the broker judges.
            configuration.maxMessageBytes = 100 << 20
            producer = try ProducerThread(configuration)
            flight = try Flight()
        } catch let failure as ReplayFailure {
            throw failure
        } catch let error as KafkaError {
            throw ReplayFailure(message: "Kafka: \(error.message)")
        } catch {
            throw ReplayFailure(message: "\(error)")
        }
    }

    /// Waits while too many are on their way.
    ///
    /// - Throws: `ReplayFailure` when this record, or one before it, was refused.
    func send(
        topic: String, key: [UInt8]?, value: [UInt8]?, timestamp: Int64, headers: [ArchiveRecord.Header]
    ) throws(ReplayFailure) {
        try wait(below: Self.window)
        flight.begin()
        do throws(KafkaError) {
            try producer.send(
                topic: topic, key: key, value: value, timestamp: timestamp, headers: headers.map { ($0.name, $0.value) }
            ) { [flight] in flight.end($0.error) }
        } catch {
            flight.end(nil)
            throw ReplayFailure(message: "\(topic): \(error.message)")
        }
    }

    /// Waits until all are acknowledged.
    func flush() throws(ReplayFailure) { try wait(below: 1) }

    func close() { producer.close() }

    private func wait(below limit: Int) throws(ReplayFailure) {
        do throws(KafkaError) { try flight.wait(below: limit) } catch {
            throw ReplayFailure(message: "Kafka has refused a record: \(error.message)")
        }
    }

    /// What has been sent and not been acknowledged.
    private final class Flight: Sendable {
        private struct State {
            var count = 0
            var failure: KafkaError?
        }

        private let state = Mutex(State())
        private let bell: Doorbell

        init() throws { bell = try Doorbell() }

        func begin() { state.withLock { $0.count += 1 } }

        func end(_ code: KafkaError.Code?) {
            let isAwaited = state.withLock { state in
                state.count -= 1
                if let code, state.failure == nil { state.failure = KafkaError(code) }
                return state.count == 0 || state.count == RecordSender.window / 2
            }
            if isAwaited { bell.ring() }
        }

        func wait(below limit: Int) throws(KafkaError) {
            while true {
                let (count, failure) = state.withLock { ($0.count, $0.failure) }
                if let failure { throw failure }
                if count < limit { return }
                bell.wait(milliseconds: 100)
            }
        }
    }
}
