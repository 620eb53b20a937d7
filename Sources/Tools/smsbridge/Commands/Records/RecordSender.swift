import SMSBridgeKafka
import SMSBridgePublisher
import SMSBridgeThreads
import Synchronization

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Why records could not be read or sent; for a person.
struct ReplayFailure: Error {
    let message: String
    var exitCode = ExitCode.failure
}

/// Sends records, and knows when all of them are acknowledged (`acks=all`, idempotent).
final class RecordSender {
    private let producer: ProducerThread
    private let flight: Flight
    private let topics: [String]
    private let access: KafkaAccess
    private let interrupted: StopSignal?
    /// When waiting for acknowledgements ends, once the command was interrupted.
    private var deadline: ContinuousClock.Instant?
    private var isAbandoned = false

    /// How much may wait for its acknowledgement: half of what librdkafka's queue holds, for headers and the largest
    /// record.
    private static let window = Load(records: 20_000, bytes: 64 << 20)
    /// How much is still on its way when the sender goes on, so that it does not wake for every record.
    private static let half = Load(records: window.records / 2, bytes: window.bytes / 2)
    /// How long Kafka may be away before a record counts as refused, in milliseconds.
    private static let patience = 120_000
    /// How long acknowledgements are waited for after an interruption.
    private static let grace = Duration.seconds(5)

    /// - Parameter interrupted: bounds every wait once it is set.
    /// - Throws: `ReplayFailure` when one of the topics does not exist, or Kafka does not answer.
    init(
        _ client: ClientConfiguration, topics: [String], until interrupted: StopSignal? = nil
    ) throws(ReplayFailure) {
        self.topics = topics
        self.interrupted = interrupted
        access = KafkaAccess(client)
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
            configuration.maxQueuedMessages = Self.window.records * 2
            configuration.maxQueuedKibibytes = Self.window.bytes / 1_024 * 2
            // Another topic may reject a record that one topic accepts; the broker decides.
            configuration.maxMessageBytes = 100 << 20
            producer = try ProducerThread(configuration)
            flight = try Flight()
        } catch let failure as ReplayFailure {
            throw failure
        } catch let error as KafkaError {
            throw ReplayFailure(message: access.explain("Kafka: \(error.message)"))
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
        if !flight.fits(Self.window) { try wait(for: Self.half) }
        let bytes =
            (key?.count ?? 0) + (value?.count ?? 0)
            + headers.reduce(0) { $0 + $1.name.utf8.count + ($1.value?.count ?? 0) }
        var attempt = 0
        while true {
            flight.begin(bytes)
            do throws(KafkaError) {
                return try producer.send(
                    topic: topic, key: key, value: value, timestamp: timestamp,
                    headers: headers.map { ($0.name, $0.value) }
                ) { [flight] in flight.end(bytes, $0.error) }
            } catch {
                flight.end(bytes, nil)
                guard error.code == .queueFull, attempt < 1_000 else {
                    throw ReplayFailure(message: "\(topic): \(error.message)")
                }
            }
            // librdkafka counts otherwise than this does, and a record until its report has been taken.
            try wait(for: .none)
            if attempt > 0 { usleep(10_000) }
            attempt += 1
        }
    }

    /// Waits until all are acknowledged.
    func flush() throws(ReplayFailure) { try wait(for: .none) }

    func close() {
        if isAbandoned { producer.purge() }
        producer.close()
    }

    private func wait(for load: Load) throws(ReplayFailure) {
        do {
            while try !flight.wait(for: load) {
                guard let interrupted, interrupted.wait(milliseconds: 0) else { continue }
                let end = deadline ?? .now + Self.grace
                deadline = end
                guard ContinuousClock.now < end else {
                    isAbandoned = true
                    throw ReplayFailure(
                        message:
                            "interrupted, and Kafka has not acknowledged \(flight.count) records: they may arrive twice",
                        exitCode: ExitCode.incomplete)
                }
            }
        } catch let error as KafkaError {
            let grant = error.code == .topicNotAuthorized ? ": \(access.grant(["Write"], on: topics))" : ""
            throw ReplayFailure(message: "record rejected by Kafka: \(error.message)\(grant)")
        } catch let error as ReplayFailure {
            throw error
        } catch {
            throw ReplayFailure(message: "\(error)")
        }
    }

    /// An amount of records.
    private struct Load: Sendable {
        var records = 0
        var bytes = 0

        static let none = Load()

        func fits(_ limit: Load) -> Bool { records <= limit.records && bytes <= limit.bytes }
    }

    /// What has been sent and not been acknowledged.
    private final class Flight: Sendable {
        private struct State {
            var load = Load()
            var failure: KafkaError?
            /// What a caller waits for.
            var awaited: Load?
        }

        private let state = Mutex(State())
        private let bell: Doorbell

        init() throws { bell = try Doorbell() }

        func begin(_ bytes: Int) {
            state.withLock { state in
                state.load.records += 1
                state.load.bytes += bytes
            }
        }

        func end(_ bytes: Int, _ code: KafkaError.Code?) {
            let isAwaited = state.withLock { state in
                state.load.records -= 1
                state.load.bytes -= bytes
                if let code, state.failure == nil { state.failure = KafkaError(code) }
                guard let awaited = state.awaited, state.failure != nil || state.load.fits(awaited) else {
                    return false
                }
                state.awaited = nil
                return true
            }
            if isAwaited { bell.ring() }
        }

        func fits(_ limit: Load) -> Bool {
            state.withLock { $0.failure == nil && $0.load.fits(limit) }
        }

        var count: Int { state.withLock { $0.load.records } }

        /// Waits up to half a second.
        ///
        /// - Returns: whether no more than this is on its way.
        func wait(for limit: Load) throws(KafkaError) -> Bool {
            for attempt in 0..<2 {
                let (isOver, failure) = state.withLock { state in
                    let isOver = state.failure != nil || state.load.fits(limit)
                    state.awaited = isOver ? nil : limit
                    return (isOver, state.failure)
                }
                if let failure { throw failure }
                if isOver || attempt == 1 { return isOver }
                bell.wait(milliseconds: 500)
            }
            return false
        }
    }
}
