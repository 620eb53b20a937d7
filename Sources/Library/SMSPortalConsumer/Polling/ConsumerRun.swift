internal import SMSBridgeKafka
internal import SMSBridgeTelemetry
internal import SMSBridgeThreads

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

    init(
        _ configuration: EventConsumer.Configuration, handlers: EventHandlers, observers: PartitionObservers,
        control: ConsumerControl, replay: ReplayTask? = nil
    ) {
        self.configuration = configuration
        self.handlers = handlers
        self.observers = observers
        self.control = control
        self.replay = replay
    }

    /// Ends when the thread has ended.
    func untilEnd() async throws {
        let result: Result<Void, EventConsumerError> = await withCheckedContinuation { continuation in
            do {
                _ = try NamedThread("sms-consumer") { continuation.resume(returning: self.live()) }
            } catch {
                continuation.resume(returning: .failure(EventConsumerError(.kafka, "\(error)")))
            }
        }
        try result.get()
    }

    private func live() -> Result<Void, EventConsumerError> {
        do throws(EventConsumerError) {
            let log = Logger(label: "consumer", sink: configuration.log.sink)
            let group = replay?.group(of: configuration) ?? configuration.group
            let metrics = ConsumerMetrics(configuration.metrics, group: group)
            var deadLetters: DeadLetterQueue?
            if configuration.usesDeadLetters, replay?.isDryRun != true {
                guard try GroupTopics(configuration, log: log, control: control).prepare() else { return .success(()) }
                deadLetters = try DeadLetterQueue(configuration, log: log)
            }
            defer { deadLetters?.close() }
            let processor = EventProcessor(
                configuration, handlers: handlers, deadLetters: deadLetters, metrics: metrics, control: control,
                replay: replay)
            let dispatcher = Dispatcher(
                limits: configuration.limits, wakeLoop: { control.wake() }, processor: processor)
            var topics =
                handlers.topics(prefix: configuration.topicPrefix, includesTest: configuration.includesTestEvents)
            if deadLetters != nil, replay == nil { topics.append(configuration.redriveTopic) }
            let loop = try ConsumerLoop(
                configuration, dispatcher: dispatcher, control: control, observers: observers, metrics: metrics,
                log: log, replay: replay)
            try loop.run(topics: topics)
            return .success(())
        } catch {
            return .failure(error)
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
