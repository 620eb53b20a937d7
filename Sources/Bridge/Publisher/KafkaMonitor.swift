package import SMSBridgeKafka
package import SMSBridgeTelemetry
internal import SMSBridgeThreads
internal import Synchronization

/// Asks the cluster from time to time whether it answers, on a thread of its own.
///
/// The producer alone cannot tell: when no events come, nothing fails. Until the first answer the cluster counts as one that
/// does not answer: nothing is known of it yet.
package final class KafkaMonitor: Sendable {
    private let isAnswering = Atomic<Bool>(false)
    private let stopSignal: StopSignal
    private let thread: Mutex<NamedThread?>
    /// What is asked with; nil once it is being ended.
    private let client: Mutex<Client?>
    /// What the next client is made from, if there is to be another one.
    private let next = Mutex<ClientConfiguration?>(nil)
    private let logger: Logger

    /// How long an answer may take, and how long to wait between two questions, in milliseconds.
    private static let timeout: Int32 = 2_000
    private static let interval: Int32 = 5_000
    private static let intervalWhileDown: Int32 = 500

    /// - Throws: `KafkaError` when the configuration is wrong, `ThreadError` when there is no room for a thread.
    /// - Parameters:
    ///   - topic: a topic of ours: the answer about all topics of a large cluster is large.
    ///   - onChange: called on the monitor's thread with the first answer and whenever it has become another.
    package init(
        _ configuration: ClientConfiguration, topic: String, registry: MetricRegistry, logger: Logger,
        onChange: @escaping @Sendable () -> Void = {}
    ) throws {
        let stop = try StopSignal()
        stopSignal = stop
        self.logger = logger
        thread = Mutex(nil)
        let up = registry.gauge(
            "smsbridge_kafka_up",
            help: "1 when the cluster answered the last metadata request (every 5 s), else 0.")
        let client = try Client.silent(configuration)
        self.client = Mutex(client)
        do {
            let started = try NamedThread("kafka-monitor") { [self] in
                var before: Bool?
                repeat {
                    let answered = (try? currentClient().metadata(topic: topic, timeout: Self.timeout)) != nil
                    up.set(answered ? 1 : 0)
                    isAnswering.store(answered, ordering: .relaxed)
                    guard answered != before else { continue }
                    if !answered { logger.error("Kafka does not answer") }
                    if answered, before != nil { logger.info("Kafka answers again") }
                    before = answered
                    onChange()
                } while !stop.wait(milliseconds: isKafkaAnswering ? Self.interval : Self.intervalWhileDown)
                let last = self.client.withLock { client in
                    defer { client = nil }
                    return client
                }
                last?.destroy()
            }
            thread.withLock { $0 = started }
        } catch {
            client.destroy()
            throw error
        }
    }

    /// Whether the cluster answered when it was last asked; false before the first answer.
    package var isKafkaAnswering: Bool { isAnswering.load(ordering: .relaxed) }

    /// Logs in as this configuration says from its next connection on.
    package func update(_ configuration: ClientConfiguration) throws(KafkaError) {
        try client.withLock { (client) throws(KafkaError) in try client?.useCredentials(of: configuration) }
    }

    /// Recreates the client from this configuration before the next question: for what a client reads only once, such as
    /// certificate files.
    package func recreateClient(with configuration: ClientConfiguration) {
        next.withLock { $0 = configuration }
    }

    /// The client to ask with. On the monitor's thread, which is the only one to replace and to destroy it.
    private func currentClient() throws(KafkaError) -> Client {
        let configuration = next.withLock { next in
            defer { next = nil }
            return next
        }
        if let configuration {
            do throws(KafkaError) {
                let made = try Client.silent(configuration)
                let old = client.withLock { client in
                    defer { client = made }
                    return client
                }
                old?.destroy()
            } catch {
                logger.error("failed to recreate the monitoring client", ["reason": error.message])
            }
        }
        guard let client = client.withLock(\.self) else { throw KafkaError(.destroyed) }
        return client
    }

    /// Ends the thread; blocks up to the time of one question.
    package func stop() {
        stopSignal.set()
        thread.withLock { $0 }?.join()
    }
}
