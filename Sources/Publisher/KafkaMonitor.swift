package import Kafka
internal import Synchronization
package import Telemetry
internal import Threads

/// Asks the cluster from time to time whether it answers, on a thread of its own.
///
/// The producer alone cannot tell: when no events come, nothing fails.
package final class KafkaMonitor: Sendable {
    private let isAnswering = Atomic<Bool>(true)
    private let stopSignal: StopSignal
    private let thread: Mutex<NamedThread?>

    /// How long an answer may take, and how long to wait between two questions, in milliseconds.
    private static let timeout: Int32 = 2_000
    private static let interval: Int32 = 5_000
    private static let intervalWhileDown: Int32 = 500

    /// - Throws: `KafkaError` when the configuration is wrong, `ThreadError` when there is no room for a thread.
    /// - Parameter topic: a topic of ours: the answer about all topics of a large cluster is large.
    package init(
        _ configuration: ClientConfiguration, topic: String, registry: MetricRegistry, logger: Logger
    ) throws {
        let stop = try StopSignal()
        stopSignal = stop
        thread = Mutex(nil)
        let up = registry.gauge(
            "smsbridge_kafka_up", help: "Whether the cluster answered when it was last asked (every 5 s): 1 or 0.")
        up.set(1)
        let client = try Client.silent(configuration)
        do {
            let started = try NamedThread("kafka-monitor") { [self] in
                while !stop.wait(milliseconds: isKafkaAnswering ? Self.interval : Self.intervalWhileDown) {
                    let answered = (try? client.metadata(topic: topic, timeout: Self.timeout)) != nil
                    up.set(answered ? 1 : 0)
                    let before = isAnswering.exchange(answered, ordering: .relaxed)
                    if before, !answered { logger.error("Kafka does not answer") }
                    if !before, answered { logger.info("Kafka answers again") }
                }
                client.destroy()
            }
            thread.withLock { $0 = started }
        } catch {
            client.destroy()
            throw error
        }
    }

    /// Whether the cluster answered when it was last asked.
    package var isKafkaAnswering: Bool { isAnswering.load(ordering: .relaxed) }

    /// Ends the thread; blocks up to the time of one question.
    package func stop() {
        stopSignal.set()
        thread.withLock { $0 }?.join()
    }
}
