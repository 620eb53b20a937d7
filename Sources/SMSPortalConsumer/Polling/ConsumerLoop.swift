internal import Kafka
internal import Telemetry
internal import Threads

/// The thread that reads: it polls without end, whatever the handlers do, so that the group never takes this member for
/// dead. It feeds the dispatcher, commits what is done, and answers the group when partitions come and go.
final class ConsumerLoop {
    private let configuration: EventConsumer.Configuration
    private let consumer: Consumer
    private let dispatcher: Dispatcher<EventProcessor>
    private let control: ConsumerControl
    private let observers: PartitionObservers
    private let metrics: ConsumerMetrics
    private let log: Logger
    private let repeats = RepeatGuard()

    /// What is assigned, in no order; a few dozen at most.
    private var partitions: [AssignedPartition] = []
    /// Where the last record belonged: the next one mostly does, too.
    private var lastIndex = 0
    private var pendingAssignment: [TopicPartition]?
    private var revocation: Revocation?
    /// Whether all partitions are paused, because there is no room for more records.
    private var isPaused = false
    /// Whether the span of a partition has become full, or has got room.
    private var spansHaveChanged = false
    private var nextCommit: UInt64
    private var nextLook: UInt64

    /// Partitions that are to be given up once their handlers have finished.
    private struct Revocation {
        var partitions: [TopicPartition]
        var assignments: [AssignmentID]
        var deadline: UInt64
        var isCancelled = false
    }

    /// At most so many records are taken in at once; handlers begin in between.
    private static let batch = 128
    /// How long handlers that were cancelled may take to notice.
    private static let cancelGrace = Duration.seconds(1)
    /// How often lag is measured.
    private static let lookInterval = Duration.seconds(5)
    /// How long the thread waits for room before it pauses the partitions: most often there soon is some, and a pause
    /// throws away what has been fetched ahead.
    private static let roomPatience = Duration.milliseconds(50)

    init(
        _ configuration: EventConsumer.Configuration, dispatcher: Dispatcher<EventProcessor>, control: ConsumerControl,
        observers: PartitionObservers, metrics: ConsumerMetrics, log: Logger
    ) throws(EventConsumerError) {
        var consumer = ConsumerConfiguration(client: configuration.kafkaClient, group: configuration.group)
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
        if configuration.joinsGroup {
            do { try consumer.subscribe(to: topics) } catch { throw EventConsumerError(.kafka, error.description) }
        } else {
            takeAll(of: topics)
        }
        log.info("consumer started", ["group": configuration.group, "topics": topics])
        var failure: EventConsumerError?
        do throws(EventConsumerError) {
            while control.stopWanted == nil { try turn() }
        } catch {
            failure = error
        }
        finish(isCancelled: failure != nil)
        if case .failed(let error) = control.stopWanted { failure = failure ?? error }
        log.info("consumer stopped", ["group": configuration.group])
        if let failure { throw failure }
    }

    // MARK: Reading

    private func turn() throws(EventConsumerError) {
        try answer()
        let now = monotonicNow()
        let (isFull, due) = serveDispatcher(now: now)
        let timeout = serveTimers(now: now, due: due)
        makeRoom(isFull: isFull)
        guard let event = consumer.poll(timeout: timeout) else { return }
        try take(event)
    }

    /// Retries that are due, and workers that do not get on.
    ///
    /// - Returns: whether there is room for more records, and when the dispatcher is to be served again.
    private func serveDispatcher(now: UInt64) -> (isFull: Bool, due: UInt64?) {
        let (standing, nextLook) = dispatcher.serve(now: now)
        if standing.spansHaveChanged { spansHaveChanged = true }
        return (standing.isFull, [standing.nextTimer, nextLook].compactMap(\.self).min())
    }

    /// What is due: commits, a look at the lag.
    ///
    /// - Returns: how long the next poll may take, in milliseconds.
    private func serveTimers(now: UInt64, due: UInt64?) -> Int32 {
        if now >= nextCommit {
            nextCommit = now + configuration.commitInterval.nanoseconds
            commitLater()
        }
        if now >= nextLook {
            nextLook = now + Self.lookInterval.nanoseconds
            look()
        }
        var next = min(nextCommit, nextLook)
        if let due { next = min(next, due) }
        if let revocation { next = min(next, revocation.deadline) }
        if pendingAssignment != nil { next = min(next, now + 100_000_000) }
        return Int32(clamping: next > now ? (next - now + 999_999) / 1_000_000 : 0)
    }

    private func take(_ event: consuming ConsumerEvent) throws(EventConsumerError) {
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
        case .partitionEnd: return
        }
    }

    /// Takes in a record and what has come with it, and hands all of it to the dispatcher at once.
    private func takeRecords(_ first: consuming Message) throws(EventConsumerError) {
        var records: [(AssignmentID, ConsumedRecord)] = []
        records.reserveCapacity(Self.batch)
        note(first, &records)
        // What is no record is looked at once these are on their way.
        var other: ConsumerEvent?
        reading: while records.count < Self.batch {
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
            default: continue
            }
        }
        let batch = records
        dispatcher.update { core in
            for (assignment, record) in batch { core.add(record, to: assignment) }
        }
        if let other { try take(other) }
    }

    private func note(_ message: borrowing Message, _ records: inout [(AssignmentID, ConsumedRecord)]) {
        guard let index = index(of: message) else { return }
        records.append((partitions[index].assignment, ConsumedRecord(message, topic: partitions[index].topic)))
    }

    private func index(of message: borrowing Message) -> Int? {
        func isIt(_ index: Int) -> Bool {
            partitions[index].partition == message.partition && message.isOfTopic(partitions[index].topic)
        }
        if lastIndex < partitions.count, isIt(lastIndex) { return lastIndex }
        guard let index = partitions.indices.first(where: isIt) else { return nil }
        lastIndex = index
        return index
    }

    // MARK: Room

    /// Reads no more while too much is held, and goes on when half of it is done.
    private func makeRoom(isFull: Bool) {
        if isPaused {
            guard dispatcher.update({ !$0.throttle() }) else { return }
            isPaused = false
            resume(partitions.filter { !$0.isPausedForSpan })
        } else if isFull {
            let deadline = monotonicNow() + Self.roomPatience.nanoseconds
            while dispatcher.update({ $0.throttle() }) {
                let now = monotonicNow()
                guard now < deadline, control.stopWanted == nil else { break }
                let next = min(deadline, serveDispatcher(now: now).due ?? deadline)
                control.waitForRoom(milliseconds: Int32((next - min(now, next)) / 1_000_000 + 1))
            }
            guard dispatcher.read({ $0.isFull }) else { return }
            isPaused = true
            pause(partitions)
        }
        guard spansHaveChanged else { return }
        spansHaveChanged = false
        for index in partitions.indices {
            let assignment = partitions[index].assignment
            let isFull = dispatcher.read { $0.isSpanFull(of: assignment) }
            guard isFull != partitions[index].isPausedForSpan else { continue }
            partitions[index].isPausedForSpan = isFull
            if isFull {
                log.error(
                    "partition paused: its first unfinished event is too far behind",
                    [
                        "topic": partitions[index].topic, "partition": partitions[index].partition,
                        "limit": configuration.maxSpan,
                    ])
                if !isPaused { pause([partitions[index]]) }
            } else if !isPaused {
                resume([partitions[index]])
            }
        }
    }

    private func pause(_ partitions: [AssignedPartition]) {
        guard !partitions.isEmpty else { return }
        do { try consumer.pause(partitions.map(\.topicPartition)) } catch {
            log.warning("partitions could not be paused", ["error": error.message])
        }
    }

    private func resume(_ partitions: [AssignedPartition]) {
        guard !partitions.isEmpty else { return }
        do { try consumer.resume(partitions.map(\.topicPartition)) } catch {
            log.warning("partitions could not be resumed", ["error": error.message])
        }
    }

    // MARK: The group

    private func begin(_ rebalance: Rebalance) {
        metrics.rebalances.increment()
        switch rebalance {
        case .assigned(let partitions): pendingAssignment = partitions
        case .revoked(let partitions):
            let assignments = assignments(of: partitions)
            dispatcher.fence(assignments)
            revocation = Revocation(
                partitions: partitions, assignments: assignments,
                deadline: monotonicNow() + configuration.revokeTimeout.nanoseconds)
        case .lost(let partitions):
            let assignments = assignments(of: partitions)
            log.warning("partitions lost", ["count": partitions.count])
            revocation = nil
            pendingAssignment = nil
            dispatcher.fence(assignments)
            dispatcher.cancel(assignments)
            giveUp(partitions)
            observers.lost?(partitions.map(\.eventPartition))
        }
    }

    /// Answers the group as soon as it can be answered; polling goes on until then.
    private func answer() throws(EventConsumerError) {
        if pendingAssignment != nil { try takeOver() }
        guard var revocation = self.revocation else { return }
        let running = dispatcher.read { $0.running(in: revocation.assignments) }
        let now = monotonicNow()
        if running > 0, !consumer.isAssignmentLost {
            guard now >= revocation.deadline else { return }
            if !revocation.isCancelled {
                log.warning("handlers cancelled: their partitions go to other members", ["count": running])
                dispatcher.cancel(revocation.assignments)
                revocation.isCancelled = true
                revocation.deadline = now + Self.cancelGrace.nanoseconds
                self.revocation = revocation
                return
            }
        }
        self.revocation = nil
        if !consumer.isAssignmentLost { commitNow(revocation.partitions) }
        giveUp(revocation.partitions)
        log.info("partitions revoked", ["count": revocation.partitions.count])
        observers.revoked?(revocation.partitions.map(\.eventPartition))
    }

    /// Begins with partitions that the group has given: at their committed offsets, else where the configuration says.
    private func takeOver() throws(EventConsumerError) {
        guard let given = pendingAssignment else { return }
        let start = configuration.startAt == .earliest ? TopicPartition.beginning : TopicPartition.end
        let places: [TopicPartition]
        do {
            places = try consumer.committed(given, timeout: 5_000).map {
                TopicPartition($0.topic, $0.partition, offset: $0.offset ?? start)
            }
        } catch {
            // Without it the group's place is not known, and the partitions wait.
            log.log(
                .warning, onceIn: repeats, key: "committed", "the committed offsets cannot be had",
                ["error": error.message])
            return
        }
        pendingAssignment = nil
        for place in places {
            let assignment = dispatcher.update { $0.open() }
            partitions.append(AssignedPartition(place, assignment: assignment))
        }
        do {
            try consumer.assign(incrementally: places)
            // A partition that comes back may still be paused from the last time.
            if isPaused { try consumer.pause(places) } else { try consumer.resume(places) }
        } catch {
            log.warning("partitions could not be assigned", ["error": error.message])
        }
        log.info("partitions assigned", ["count": places.count])
        observers.assigned?(places.map(\.eventPartition))
    }

    /// Without the group's protocol: every partition there is, as soon as Kafka tells which.
    private func takeAll(of topics: [String]) {
        while control.stopWanted == nil {
            guard let metadata = try? consumer.client.metadata(timeout: 500) else { continue }
            pendingAssignment = metadata.topics.filter { topics.contains($0.name) }.flatMap { topic in
                topic.partitions.map { TopicPartition(topic.name, $0.id) }
            }
            // A partition whose broker is not connected yet would ask for its first offset half a second later.
            if let first = pendingAssignment?.first {
                _ = try? consumer.client.watermarks(topic: first.topic, partition: first.partition, timeout: 500)
            }
            return
        }
    }

    private func giveUp(_ given: [TopicPartition]) {
        let assignments = assignments(of: given)
        dispatcher.update { core in
            for assignment in assignments { core.close(assignment) }
        }
        for partition in partitions where assignments.contains(partition.assignment) {
            metrics.forget(topic: partition.topic, partition: partition.partition)
        }
        partitions.removeAll { assignments.contains($0.assignment) }
        do { try consumer.unassign(incrementally: given) } catch {
            log.warning("partitions could not be given up", ["error": error.message])
        }
    }

    private func assignments(of given: [TopicPartition]) -> [AssignmentID] {
        partitions.filter { one in given.contains { $0.topic == one.topic && $0.partition == one.partition } }
            .map(\.assignment)
    }

    private func partitionFailed(_ place: TopicPartition, _ error: KafkaError) throws(EventConsumerError) {
        guard error.code == .offsetReset,
            let index = partitions.firstIndex(where: { $0.topic == place.topic && $0.partition == place.partition })
        else {
            log.log(
                .warning, onceIn: repeats, key: "partition \(place.topic) \(error.code)", "a topic cannot be read",
                ["topic": place.topic, "partition": place.partition, "error": error.message])
            return
        }
        // A partition that is being given up is the next member's, who meets the same.
        if let revocation, revocation.assignments.contains(partitions[index].assignment) { return }
        metrics.offsetsOutOfRange.increment()
        log.error(
            "offset out of range: events may have been missed",
            [
                "topic": place.topic, "partition": place.partition, "policy": "\(configuration.offsetOutOfRange)",
                "error": error.message,
            ])
        let offset: Int64
        switch configuration.offsetOutOfRange {
        case .earliest: offset = TopicPartition.beginning
        case .latest: offset = TopicPartition.end
        case .stop:
            throw EventConsumerError(
                .offsetOutOfRange,
                "\(place.topic)[\(place.partition)]: the group's offset is out of range: \(error.message)")
        }
        // Another place in the partition is another assignment: what was read at the old one is not counted at the new.
        let old = partitions[index].assignment
        // What workers have taken and not begun must not run beside the same key's records from the new place.
        dispatcher.fence([old])
        dispatcher.update { $0.close(old) }
        let place = TopicPartition(place.topic, place.partition, offset: offset)
        let assignment = dispatcher.update { $0.open() }
        partitions[index] = AssignedPartition(place, assignment: assignment)
        do {
            try consumer.unassign(incrementally: [place])
            try consumer.assign(incrementally: [place])
            if isPaused { try consumer.pause([place]) }
        } catch {
            throw EventConsumerError(.kafka, "\(place.topic)[\(place.partition)] cannot be sought: \(error)")
        }
    }

    // MARK: Committing

    /// What can be committed and has not been.
    private func offsets(of places: [AssignedPartition]) -> [TopicPartition] {
        dispatcher.read { core in
            places.compactMap { place in
                guard let watermark = core.watermark(of: place.assignment), watermark != place.committed else {
                    return nil
                }
                return TopicPartition(place.topic, place.partition, offset: watermark)
            }
        }
    }

    private func commitLater() {
        // In the middle of a rebalance the group's generation is not certain; what is given up is committed once, below.
        guard revocation == nil, pendingAssignment == nil else { return }
        let offsets = offsets(of: partitions)
        guard !offsets.isEmpty else { return }
        do { try consumer.commitLater(offsets) } catch { committed(offsets, error) }
    }

    private func commitNow(_ given: [TopicPartition]) {
        let assignments = assignments(of: given)
        let offsets = offsets(of: partitions.filter { assignments.contains($0.assignment) })
        guard !offsets.isEmpty else { return }
        do {
            try consumer.commit(offsets)
            committed(offsets, nil)
        } catch {
            committed(offsets, error)
        }
    }

    private func committed(_ offsets: [TopicPartition], _ error: KafkaError?) {
        if let error {
            metrics.commitFailures.increment()
            log.log(
                .warning, onceIn: repeats, key: "commit \(error.code)",
                "offsets could not be committed; what was handled since may be handled again", ["error": error.message])
            return
        }
        for offset in offsets {
            guard
                let index = partitions.firstIndex(where: {
                    $0.topic == offset.topic && $0.partition == offset.partition
                })
            else { continue }
            partitions[index].committed = offset.offset
        }
    }

    // MARK: Looking

    private func look() {
        let state = dispatcher.read { ($0.records, $0.bytes) }
        metrics.running.set(Double(dispatcher.handlers))
        metrics.bufferedEvents.set(Double(state.0))
        metrics.bufferedBytes.set(Double(state.1))
        metrics.pausedPartitions.set(
            Double(isPaused ? partitions.count : partitions.count { $0.isPausedForSpan }))
        var isAnswering = true
        for partition in partitions {
            let (watermark, span) = dispatcher.read {
                ($0.watermark(of: partition.assignment), $0.span(of: partition.assignment))
            }
            var ends = consumer.fetchedWatermarks(topic: partition.topic, partition: partition.partition)
            if ends == nil || isPaused || partition.isPausedForSpan, isAnswering {
                // Nothing is fetched, so nothing is told: ask. A cluster that does not answer is not asked again.
                let asked = try? consumer.client.watermarks(
                    topic: partition.topic, partition: partition.partition, timeout: 250)
                isAnswering = asked != nil
                ends = asked ?? ends
            }
            guard let ends else { continue }
            let place = watermark ?? partition.start ?? ends.lowerBound
            metrics.setLag(
                max(0, ends.upperBound - max(place, ends.lowerBound)), span: span, topic: partition.topic,
                partition: partition.partition)
        }
    }

    // MARK: Ending

    /// Lets handlers finish, within their time, and commits what is done.
    private func finish(isCancelled: Bool) {
        dispatcher.stop()
        var isCancelled = isCancelled || control.isCancelled
        let all = partitions.map(\.assignment)
        if isCancelled { dispatcher.cancel(all) }
        var deadline =
            monotonicNow() + (isCancelled ? Self.cancelGrace : configuration.shutdownTimeout).nanoseconds
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
                dispatcher.cancel(all)
                deadline = now + Self.cancelGrace.nanoseconds
            }
            // What comes is dropped: it has not been begun.
            _ = consumer.poll(timeout: 50)
        }
        if !consumer.isAssignmentLost { commitNow(partitions.map(\.topicPartition)) }
        look()
        dispatcher.update { core in
            for assignment in all { core.close(assignment) }
        }
        for partition in partitions { metrics.forget(topic: partition.topic, partition: partition.partition) }
    }
}

/// A partition that this member reads.
private struct AssignedPartition {
    let topic: String
    let partition: Int32
    let assignment: AssignmentID
    /// The offset that reading began at, where it was one.
    let start: Int64?
    var committed: Int64?
    var isPausedForSpan = false

    init(_ place: TopicPartition, assignment: AssignmentID) {
        topic = place.topic
        partition = place.partition
        self.assignment = assignment
        start = place.offset.flatMap { $0 >= 0 ? $0 : nil }
        committed = start
    }

    var topicPartition: TopicPartition { TopicPartition(topic, partition) }
}

extension TopicPartition {
    fileprivate var eventPartition: EventPartition { EventPartition(topic: topic, partition: partition) }
}
