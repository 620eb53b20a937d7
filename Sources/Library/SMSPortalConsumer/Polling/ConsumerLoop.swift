internal import SMSBridgeKafka
internal import SMSBridgeReplaying
internal import SMSBridgeTelemetry
internal import SMSBridgeThreads

/// The thread that reads: it polls without end, whatever the handlers do, so that the group never takes this member for
/// dead. It feeds the dispatcher, commits what is done, and answers the group when partitions come and go.
final class ConsumerLoop {
    let configuration: EventConsumer.Configuration
    let consumer: Consumer
    let dispatcher: Dispatcher<EventProcessor>
    let control: ConsumerControl
    let observers: PartitionObservers
    let metrics: ConsumerMetrics
    let log: Logger
    let repeats = RepeatGuard()
    /// What is replayed, and how fast; nil for a member of the group.
    let replay: ReplayRun?

    /// What is assigned, in no order; a few dozen at most.
    var partitions: [AssignedPartition] = []
    /// Where the last record belonged: the next one mostly does, too.
    var lastIndex = 0
    var pendingAssignment: [TopicPartition]?
    var revocation: Revocation?
    /// Partitions whose offset is out of range, and that are not read from another one yet.
    var relocations: [Relocation] = []
    /// Whether all partitions are paused, because there is no room for more records.
    var isPaused = false
    /// Whether the span of a partition has become full, or has got room.
    var spansHaveChanged = false
    var nextCommit: UInt64
    var nextLook: UInt64

    /// Partitions that are to be given up once their handlers have finished.
    struct Revocation {
        var partitions: [TopicPartition]
        var assignments: [AssignmentID]
        var deadline: UInt64
        var isCancelled = false
    }

    /// At most so many records are taken in at once; handlers begin in between.
    static let batch = 128
    /// How long handlers that were cancelled may take to notice.
    static let cancelGrace = Duration.seconds(1)
    /// How often a commit looks whether the member has joined its group again, in nanoseconds.
    static let joiningPause: UInt64 = 50_000_000
    /// How often lag is measured.
    static let lookInterval = Duration.seconds(5)
    /// How long the thread waits for room before it pauses the partitions: most often there soon is some, and a pause
    /// throws away what has been fetched ahead.
    static let roomPatience = Duration.milliseconds(50)

    init(
        _ configuration: EventConsumer.Configuration, dispatcher: Dispatcher<EventProcessor>, control: ConsumerControl,
        observers: PartitionObservers, metrics: ConsumerMetrics, log: Logger, replay task: ReplayTask? = nil
    ) throws(EventConsumerError) {
        replay = task.map(ReplayRun.init)
        var consumer =
            task.map { .range(configuration.kafkaClient, group: $0.group(of: configuration)) }
            ?? ConsumerConfiguration(client: configuration.kafkaClient, group: configuration.group)
        consumer.offsetReset = .error
        do { self.consumer = try Consumer(consumer) } catch { throw EventConsumerError(.kafka, error.description) }
        self.configuration = configuration
        self.dispatcher = dispatcher
        self.control = control
        self.observers = observers
        self.metrics = metrics
        self.log = log
        let now = monotonicNow()
        nextCommit = now + configuration.commitInterval.nanoseconds
        nextLook = now + 1_000_000_000
        control.setWaker(self.consumer.waker)
    }

    /// Reads until it is told to stop.
    ///
    /// - Throws: Why it cannot go on.
    func run(topics: [String]) throws(EventConsumerError) {
        defer { consumer.close() }
        if let replay {
            guard try begin(replay, topics: topics) else { return }
        } else if configuration.joinsGroup {
            do { try consumer.subscribe(to: topics) } catch { throw EventConsumerError(.kafka, error.description) }
        } else {
            takeAll(of: topics)
        }
        if replay == nil { log.info("consumer started", ["group": configuration.group, "topics": topics]) }
        var failure: EventConsumerError?
        do throws(EventConsumerError) {
            while control.stopWanted == nil, replay?.isComplete != true { try turn() }
        } catch {
            failure = error
        }
        finish(isCancelled: failure != nil)
        if case .failed(let error) = control.stopWanted { failure = failure ?? error }
        log.info(
            replay == nil ? "consumer stopped" : "replay ended", ["group": consumer.group])
        if let failure { throw failure }
    }

    // MARK: Reading

    func turn() throws(EventConsumerError) {
        try answer()
        let now = monotonicNow()
        let (isFull, due) = serveDispatcher(now: now)
        var timeout = serveTimers(now: now, due: due)
        makeRoom(isFull: isFull)
        if let replay {
            guard let paced = pace(replay, timeout: timeout) else { return }
            timeout = paced
        }
        guard let event = consumer.poll(timeout: timeout) else { return }
        try take(event)
    }

    /// Retries that are due, and workers that do not get on.
    ///
    /// - Returns: whether there is room for more records, and when the dispatcher is to be served again.
    func serveDispatcher(now: UInt64) -> (isFull: Bool, due: UInt64?) {
        let (standing, nextLook) = dispatcher.serve(now: now)
        if standing.spansHaveChanged { spansHaveChanged = true }
        return (standing.isFull, [standing.nextTimer, nextLook].compactMap(\.self).min())
    }

    /// What is due: commits, a look at the lag.
    ///
    /// - Returns: how long the next poll may take, in milliseconds.
    func serveTimers(now: UInt64, due: UInt64?) -> Int32 {
        if now >= nextCommit {
            nextCommit = now + (canCommit ? configuration.commitInterval.nanoseconds : Self.joiningPause)
            commitLater()
        }
        if now >= nextLook {
            nextLook = now + Self.lookInterval.nanoseconds
            look()
        }
        var next = min(nextCommit, nextLook)
        if let due { next = min(next, due) }
        if let revocation { next = min(next, revocation.deadline) }
        if pendingAssignment != nil || !relocations.isEmpty { next = min(next, now + 100_000_000) }
        return Int32(clamping: next > now ? (next - now + 999_999) / 1_000_000 : 0)
    }

    func take(_ event: consuming ConsumerEvent) throws(EventConsumerError) {
        switch consume event {
        case .message(let message): try takeRecords(message)
        case .rebalance(let rebalance): begin(rebalance)
        case .committed(let offsets, let error): committed(offsets, error)
        case .partitionError(let partition, let error): try partitionFailed(partition, error)
        case .error(let error):
            if error.isFatal { throw EventConsumerError(.kafka, "Kafka's client cannot go on: \(error)") }
            log.log(
                .warning, onceIn: repeats, key: "kafka \(error.code)", "Kafka's client", ["error": error.message])
        case .log(let level, let facility, let text):
            guard level <= 4 else { return }
            log.log(
                .debug, onceIn: repeats, key: "rdkafka \(facility)", "librdkafka", ["facility": facility, "text": text])
        case .partitionEnd(let place): passEnd(place)
        }
    }

    /// Takes in a record and what has come with it, and hands all of it to the dispatcher at once.
    func takeRecords(_ first: consuming Message) throws(EventConsumerError) {
        var records: [(AssignmentID, ConsumedRecord)] = []
        records.reserveCapacity(Self.batch)
        note(first, &records)
        // What is no record is looked at once these are on their way.
        var other: ConsumerEvent?
        reading: while records.count < (replay?.burst ?? Self.batch) {
            guard let event = consumer.poll(timeout: 0) else { break }
            switch consume event {
            case .message(let message): note(message, &records)
            case .rebalance(let rebalance):
                other = .rebalance(rebalance)
                break reading
            case .committed(let offsets, let error):
                other = .committed(offsets, error)
                break reading
            case .partitionError(let partition, let error):
                other = .partitionError(partition, error)
                break reading
            case .error(let error):
                other = .error(error)
                break reading
            case .partitionEnd(let place):
                other = .partitionEnd(place)
                break reading
            case .log: continue
            }
        }
        let batch = records
        dispatcher.update { core in
            for (assignment, record) in batch { core.add(record, to: assignment) }
        }
        replay?.took(batch.count)
        passUnwanted()
        if let other { try take(other) }
    }

    func note(_ message: borrowing Message, _ records: inout [(AssignmentID, ConsumedRecord)]) {
        guard let index = index(of: message) else { return }
        if let replay, !replay.wants(message, of: &partitions[index]) { return }
        records.append((partitions[index].assignment, ConsumedRecord(message, topic: partitions[index].topic)))
    }

    func index(of message: borrowing Message) -> Int? {
        func isIt(_ index: Int) -> Bool {
            partitions[index].partition == message.partition && message.isOfTopic(partitions[index].topic)
        }
        if lastIndex < partitions.count, isIt(lastIndex) { return lastIndex }
        guard let index = partitions.indices.first(where: isIt) else { return nil }
        lastIndex = index
        return index
    }

    // MARK: Ending

    private func cancel(_ assignments: [AssignmentID]) {
        dispatcher.fence(assignments, givingBack: true)
        dispatcher.cancel(assignments)
    }

    /// Lets handlers finish, within their time, and commits what is done.
    func finish(isCancelled: Bool) {
        dispatcher.stop()
        var isCancelled = isCancelled || control.isCancelled
        let all = partitions.map(\.assignment)
        if isCancelled { cancel(all) }
        var deadline =
            monotonicNow() + (isCancelled ? Self.cancelGrace : configuration.shutdownTimeout).nanoseconds
        let lastCommit = deadline
        while true {
            let running = dispatcher.read { $0.running(in: all) }
            guard running > 0, !consumer.isAssignmentLost else { break }
            let now = monotonicNow()
            if now >= deadline || (!isCancelled && control.isCancelled) {
                guard !isCancelled else {
                    log.warning("handlers did not end in time; their events are handled again", ["count": running])
                    break
                }
                isCancelled = true
                cancel(all)
                deadline = now + Self.cancelGrace.nanoseconds
            }
            // What comes is dropped: it has not been begun.
            _ = consumer.poll(timeout: dispatcher.serve(now: now).nextLook == nil ? 50 : 2)
        }
        while consumer.isJoining, !consumer.isAssignmentLost, monotonicNow() < lastCommit {
            _ = consumer.poll(timeout: 10)
        }
        if !consumer.isAssignmentLost { commitNow(partitions.map(\.topicPartition)) }
        look()
        if let replay { end(replay) }
        dispatcher.update { core in
            for assignment in all { core.close(assignment) }
        }
        for partition in partitions { metrics.forget(topic: partition.topic, partition: partition.partition) }
    }
}
