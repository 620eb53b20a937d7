internal import SMSBridgeKafka
internal import SMSBridgeTelemetry
internal import SMSBridgeThreads
internal import Synchronization

/// Reads records again that the dispatcher has released, because their keys held too many. With a client and a thread of its
/// own, made when they are needed first: new records are read at the same time.
final class Rereader: Sendable {
    private let configuration: EventConsumer.Configuration
    private let dispatcher: Dispatcher<EventProcessor>
    private let intake: RecordIntake
    private let metrics: ConsumerMetrics
    private let log: Logger
    private let repeats = RepeatGuard()
    private let signal: StopSignal
    private let hasBegun = Atomic<Bool>(false)

    private static let burst = 128
    /// Between two passes, in milliseconds.
    private static let pause: Int32 = 20
    /// After a pass of which no record could be used.
    private static let emptyPause: Int32 = 1_000
    /// When there is nothing to read again.
    private static let idlePause: Int32 = 100
    /// How long a pass waits for Kafka, in nanoseconds.
    private static let patience: UInt64 = 10_000_000_000

    init(
        _ configuration: EventConsumer.Configuration, dispatcher: Dispatcher<EventProcessor>, intake: RecordIntake,
        metrics: ConsumerMetrics, log: Logger
    ) throws(EventConsumerError) {
        self.configuration = configuration
        self.dispatcher = dispatcher
        self.intake = intake
        self.metrics = metrics
        self.log = log
        do { signal = try StopSignal() } catch { throw EventConsumerError(.kafka, "\(error)") }
    }

    /// Begins, unless it has begun: records have been released.
    func begin() {
        guard hasBegun.compareExchange(expected: false, desired: true, ordering: .relaxed).exchanged else { return }
        do { _ = try NamedThread("sms-reread") { self.run() } } catch {
            hasBegun.store(false, ordering: .relaxed)
            log.log(
                .warning, onceIn: repeats, key: "thread", "records that were released cannot be read again yet",
                ["error": "\(error)"])
        }
    }

    func stop() { signal.set() }

    private func run() {
        var configuration = ConsumerConfiguration(
            client: self.configuration.kafkaClient, group: self.configuration.group)
        configuration.offsetReset = .error
        configuration.reportsPartitionEnd = true
        // A pass ends at any record: what is read ahead is thrown away.
        configuration.client.properties["queued.max.messages.kbytes"] = "2048"
        configuration.client.properties["queued.min.messages"] = "2000"
        let consumer: Consumer
        do { consumer = try Consumer(configuration) } catch {
            log.error("records that were released cannot be read again", ["error": error.message])
            return
        }
        defer { consumer.close(timeout: 1_000) }
        let messages = UnsafeMutableBufferPointer<PolledMessage>.allocate(capacity: Self.burst)
        defer { messages.deallocate() }
        var isOver = false
        while !isOver {
            if let pass = dispatcher.update({ $0.nextPass() }) {
                // A pass that finds nothing is not repeated at once: records may be gone from the topic.
                let pause = run(pass, consumer, messages) > 0 ? Self.pause : Self.emptyPause
                isOver = signal.wait(milliseconds: pause)
            } else {
                // The client has to be polled in any case.
                if case .message? = consumer.poll(timeout: 0) {}
                isOver = signal.wait(milliseconds: Self.idlePause)
            }
        }
    }

    /// - Returns: How many records were taken in.
    private func run(
        _ pass: DispatchCore.Pass, _ consumer: Consumer, _ messages: UnsafeMutableBufferPointer<PolledMessage>
    ) -> Int {
        let place = TopicPartition(pass.topic, pass.partition, offset: pass.start)
        do { try consumer.assign([place]) } catch {
            log.log(
                .warning, onceIn: repeats, key: "assign", "a partition cannot be read again",
                ["topic": pass.topic, "partition": pass.partition, "error": error.message])
            return 0
        }
        var taken = 0
        let topic = intake.position(of: pass.topic)
        var position = pass.start
        var last = monotonicNow()
        while !signal.wait(milliseconds: 0) {
            var count = 0
            let event = consumer.poll(into: messages, timeout: 50, count: &count)
            let now = monotonicNow()
            if count > 0 {
                taken += take(messages, count, pass, topic, &position)
                last = now
            }
            if let event { heard(event, pass, consumer, &position) }
            let (current, isComplete) = (position, now - last > Self.patience)
            if isComplete || dispatcher.read({ $0.isComplete(pass, at: current) }) { break }
        }
        try? consumer.assign([])
        return taken
    }

    private func heard(
        _ event: consuming ConsumerEvent, _ pass: DispatchCore.Pass, _ consumer: Consumer, _ position: inout Int64
    ) {
        switch consume event {
        case .partitionEnd(let end): position = max(position, end.offset ?? 0)
        case .partitionError(_, let error):
            if error.code == .offsetReset { deleted(pass, consumer) } else { failed(pass, error) }
        case .error(let error): failed(pass, error)
        default: break
        }
    }

    private func failed(_ pass: DispatchCore.Pass, _ error: KafkaError) {
        log.log(
            .warning, onceIn: repeats, key: "\(error.code)", "a partition cannot be read again",
            ["topic": pass.topic, "partition": pass.partition, "error": error.message])
    }

    private func take(
        _ messages: UnsafeMutableBufferPointer<PolledMessage>, _ count: Int, _ pass: DispatchCore.Pass, _ topic: Int32,
        _ position: inout Int64
    ) -> Int {
        // Records of the pass before may still come.
        let records = (0..<count).map { intake.record(messages[$0], topic: topic) }
        let dropped = dispatcher.update { core in
            var dropped: [Int] = []
            for (index, record) in records.enumerated() {
                if case .dropped = core.addAgain(record, in: pass) { dropped.append(index) }
            }
            return dropped
        }
        for index in 0..<count { position = max(position, records[index].offset + 1) }
        for index in dropped { messages[index].destroy() }
        return count - dropped.count
    }

    /// Kafka has deleted what was to be read again.
    private func deleted(_ pass: DispatchCore.Pass, _ consumer: Consumer) {
        guard
            let ends = try? consumer.client.watermarks(topic: pass.topic, partition: pass.partition, timeout: 2_000)
        else { return }
        let count = dispatcher.update { $0.loseReleased(below: ends.lowerBound, of: pass.assignment) }
        guard count > 0 else { return }
        metrics.offsetsOutOfRange.increment()
        log.error(
            "events were deleted before their turn came: their numbers have been failing for longer than the topic keeps them",
            ["topic": pass.topic, "partition": pass.partition, "count": count])
        try? consumer.assign([TopicPartition(pass.topic, pass.partition, offset: max(pass.start, ends.lowerBound))])
    }
}
