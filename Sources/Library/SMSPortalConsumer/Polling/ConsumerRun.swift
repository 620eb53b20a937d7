internal import SMSBridgeKafka
internal import SMSBridgeTelemetry
internal import SMSBridgeThreads
internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// Who hears of changes of the assignment.
struct PartitionObservers: Sendable {
    var assigned: (@Sendable ([EventPartition]) -> Void)?
    var revoked: (@Sendable ([EventPartition]) -> Void)?
    var lost: (@Sendable ([EventPartition]) -> Void)?
}

/// One run of a consumer: a thread that owns Kafka's client and blocks there, so that Swift's cooperative pool never
/// does.
struct ConsumerRun: Sendable {
    private let configuration: EventConsumer.Configuration
    private let handlers: EventHandlers
    private let observers: PartitionObservers
    private let control: ConsumerControl
    private let replay: ReplayTask?
    private let monitor: HealthMonitor

    init(
        _ configuration: EventConsumer.Configuration, handlers: EventHandlers, observers: PartitionObservers,
        control: ConsumerControl, replay: ReplayTask? = nil, monitor: HealthMonitor = HealthMonitor(group: "")
    ) {
        self.monitor = monitor
        self.configuration = configuration
        self.handlers = handlers
        self.observers = observers
        self.control = control
        self.replay = replay
    }

    /// Ends when the thread has ended; after a shutdown within ``EventConsumer/Configuration/shutdownTimeout`` and a second
    /// in any case. A thread that is still blocked in Kafka's client then ends by itself later.
    nonisolated(nonsending) func untilEnd() async throws {
        let end = RunEnd()
        let result: Result<Void, EventConsumerError> = await withCheckedContinuation { continuation in
            end.set(continuation)
            do {
                _ = try NamedThread("sms-consumer") { end.resume(self.live()) }
            } catch {
                return end.resume(.failure(EventConsumerError(.kafka, "\(error)")))
            }
            control.whenStopped { stoppedAt in
                let limit = stoppedAt + configuration.shutdownTimeout.nanoseconds + Self.grace
                _ = try? NamedThread("sms-shutdown") {
                    guard !end.wait(until: limit) else { return }
                    Logger(label: "consumer", sink: configuration.log.sink).warning(
                        "shutdown timed out: threads that are blocked in Kafka's client end later")
                    end.resume(control.failure.map { .failure($0) } ?? .success(()))
                }
            }
        }
        try result.get()
    }

    /// How long after the shutdown timeout a run ends whatever happens, in nanoseconds. All steps of an orderly end are over
    /// before.
    private static let grace: UInt64 = 950_000_000

    private func live() -> Result<Void, EventConsumerError> {
        do throws(EventConsumerError) {
            let log = Logger(label: "consumer", sink: configuration.log.sink)
            let group = replay?.group(of: configuration) ?? configuration.group
            let metrics = ConsumerMetrics(configuration.metrics, group: group)
            // A group is still there when its consumer has ended, a replay is not.
            defer { if replay != nil { metrics.remove() } }
            var topics =
                handlers.topics(prefix: configuration.topicPrefix, includesTest: configuration.includesTestEvents)
            let starts = StartPositions(
                handlers: handlers.starts(prefix: configuration.topicPrefix),
                newGroup: StartPosition(configuration.startAt), topics: topics)
            var deadLetters: DeadLetterQueue?
            var groupTopics: GroupTopics?
            defer { groupTopics?.stop() }
            if configuration.usesDeadLetters, replay?.isDryRun != true {
                let own = try GroupTopics(configuration, eventTopics: topics, log: log, control: control)
                groupTopics = own
                guard try own.start() else { return .success(()) }
                deadLetters = try DeadLetterQueue(configuration, log: log) { own.checkSoon() }
            }
            defer {
                // What is on its way has been waited for already, as long as there was time.
                deadLetters?.close(timeout: 100)
            }
            // What is in the redrive topic was sent to this group: it begins at its beginning in any case.
            if deadLetters != nil, replay == nil { topics.append(configuration.redriveTopic) }
            let processor = EventProcessor(
                configuration, handlers: handlers, deadLetters: deadLetters, metrics: metrics, control: control,
                topics: topics, replay: replay)
            let dispatcher = Dispatcher(
                limits: configuration.limits, executor: configuration.executor,
                attemptTimeout: configuration.attemptTimeout?.nanoseconds ?? .max,
                overdueAfter: configuration.blockedHandlerTime.nanoseconds, wakeLoop: { control.wake() },
                processor: processor)
            let loop = try ConsumerLoop(
                configuration, dispatcher: dispatcher, control: control, observers: observers, metrics: metrics,
                log: log, topics: topics, startPositions: starts, replay: replay)
            loop.monitor = monitor
            loop.abandonDeadLetters = { deadLetters?.abandon() }
            try loop.run(topics: topics)
            return .success(())
        } catch {
            return .failure(error)
        }
    }
}

/// The end of a run, reported once, by whichever comes first.
private final class RunEnd: Sendable {
    typealias Outcome = Result<Void, EventConsumerError>

    private struct State {
        var continuation: CheckedContinuation<Outcome, Never>?
        var hasEnded = false
    }

    private let state = Mutex(State())
    private let signal = try? StopSignal()

    func set(_ continuation: CheckedContinuation<Outcome, Never>) {
        state.withLock { $0.continuation = continuation }
    }

    /// The first call counts.
    func resume(_ outcome: Outcome) {
        let continuation = state.withLock { state in
            state.hasEnded = true
            defer { state.continuation = nil }
            return state.continuation
        }
        continuation?.resume(returning: outcome)
        signal?.set()
    }

    /// Blocks until the run has ended, or until a time of the monotonic clock.
    ///
    /// - Returns: whether it has ended.
    func wait(until limit: UInt64) -> Bool {
        while true {
            if state.withLock({ $0.hasEnded }) { return true }
            let now = monotonicNow()
            guard now < limit else { return false }
            let milliseconds = Int32(clamping: (limit - now) / 1_000_000 + 1)
            if let signal { _ = signal.wait(milliseconds: milliseconds) } else { usleep(10_000) }
        }
    }
}

extension EventConsumer.Configuration {
    fileprivate var limits: DispatchCore.Limits {
        DispatchCore.Limits(
            concurrency: concurrency, maxRecords: maxBufferedEvents, maxBytes: maxBufferedBytes, maxSpan: Int64(maxSpan)
        )
    }
}
