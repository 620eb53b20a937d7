internal import SMSBridgeKafka
internal import SMSBridgeReplaying
internal import SMSBridgeTelemetry
internal import SMSBridgeThreads
internal import SMSPortalEvents

/// What the polling thread knows of a replay.
final class ReplayRun {
    let task: ReplayTask
    fileprivate(set) var plan: ReplayPlan?
    fileprivate(set) var checkpoint: ReplayCheckpoint?
    /// Whether there is nothing more to read, and everything that was read is done.
    fileprivate(set) var hasEnded = false
    /// Answers requests for offsets, those of open transactions included.
    fileprivate var offsetClient: Client?
    private var pacer: Pacer
    private var began: UInt64 = 0
    private var nextReport: UInt64 = 0

    /// How often progress is reported.
    private static let reportInterval: UInt64 = 1_000_000_000
    /// How long a request for offsets may take, in milliseconds.
    fileprivate static let requestTimeout: Int32 = 5_000

    init(_ task: ReplayTask) {
        self.task = task
        pacer = Pacer(eventsPerSecond: task.isDryRun ? nil : task.selection.eventsPerSecond)
    }

    var burst: Int { pacer.burst(ConsumerLoop.batch) }

    func took(_ count: Int) { pacer.took(count, now: monotonicNow()) }

    func wait(now: UInt64) -> UInt64? { pacer.wait(now: now) }

    /// Records that a record has arrived.
    ///
    /// - Returns: whether the replay may include it.
    func wants(_ message: PolledMessage, of partition: inout AssignedPartition) -> Bool {
        guard let plan, partition.range != nil else { return false }
        let isInWindow =
            partition.range?.receive(offset: message.offset, timestamp: message.timestamp, window: plan.window) ?? false
        return isInWindow && task.mayInclude(message)
    }

    /// Ends the client that it has of its own.
    func close() {
        offsetClient?.destroy()
        offsetClient = nil
    }

    /// Reports how far it is, when it is time to.
    func report(done: Int64, _ partitions: [AssignedPartition], force: Bool = false) {
        let now = monotonicNow()
        if began == 0 { began = now }
        guard force || now >= nextReport else { return }
        nextReport = now + Self.reportInterval
        let seconds = Double(now - began) / 1e9
        let ranges = partitions.compactMap(\.range)
        task.tally.update {
            $0.recordsDone = done
            if seconds > 0 { $0.recordsPerSecond = Double(done) / seconds }
            $0.isComplete = hasEnded && ranges.allSatisfy(\.isRead)
            $0.missed = ranges.reduce(0) { $0 + $1.missed }
            $0.unread = ranges.reduce(0) { $0 + $1.unread }
            $0.openTransactions = ranges.filter { $0.blockedSince != nil }.map {
                OpenTransaction(
                    partition: EventPartition(topic: $0.planned.topic, partition: $0.planned.partition),
                    count: Int64($0.remaining.count))
            }
        }
        task.report(task.tally.progress)
    }
}

/// A replay: ranges of partitions in place of what a group assigns.
extension ConsumerLoop {
    /// Plans the replay, or resumes it, and begins to read.
    ///
    /// - Returns: false when there is nothing to do.
    func begin(_ replay: ReplayRun, topics: [String]) throws(EventConsumerError) -> Bool {
        let task = replay.task
        let wanted = topics.filter { topic in
            task.selection.types.map { types in
                types.contains { $0.topic.name(prefix: configuration.topicPrefix) == topic }
            }
                ?? true
        }
        guard !wanted.isEmpty else { throw EventConsumerError(.configuration, "types: none of them has a handler") }
        var plan: ReplayPlan
        var isResumed = false
        do throws(KafkaError) {
            replay.offsetClient = try ReplayPlan.offsetClient(configuration.kafkaClient)
        } catch {
            throw EventConsumerError(.kafka, error.description)
        }
        guard let client = replay.offsetClient else { return false }
        do throws(ReplayError) {
            plan = try ReplayPlan(
                task.window, topics: wanted, client: client, timeout: ReplayRun.requestTimeout)
            if !task.isDryRun {
                let checkpoint = task.checkpoint(configuration, topics: wanted)
                isResumed = try checkpoint.take(&plan, consumer, timeout: ReplayRun.requestTimeout) != nil
                replay.checkpoint = checkpoint
            }
        } catch {
            throw EventConsumerError(error)
        }
        replay.plan = plan
        let total = plan.count
        let missing = plan.missingTopics
        let truncated = plan.partitions.count(where: \.isTruncated)
        task.tally.update {
            $0.recordsTotal = total
            $0.isResumed = isResumed
            $0.missingTopics = missing
            $0.truncatedPartitions = truncated
        }
        log.info(
            isResumed ? "replay resumed" : "replay started", ["replay": task.name, "topics": wanted, "records": total])
        if !missing.isEmpty { log.warning("topics of the replay are missing", ["topics": missing]) }
        if truncated > 0 {
            log.warning(
                "older records have been deleted: events of the replay's window may be missing",
                ["partitions": truncated])
        }
        for planned in plan.partitions where !planned.offsets.isEmpty {
            partitions.append(
                AssignedPartition(
                    planned,
                    assignment: dispatcher.update { $0.open(topic: planned.topic, partition: planned.partition) },
                    topicPosition: intake.position(of: planned.topic)))
        }
        try assign()
        replay.report(done: 0, partitions, force: true)
        return true
    }

    /// Reads what is not finished from its positions on.
    private func assign() throws(EventConsumerError) {
        do throws(KafkaError) {
            try consumer.assign(
                partitions.filter { !$0.isRead }.map { TopicPartition($0.topic, $0.partition, offset: $0.range?.next) })
        } catch {
            throw EventConsumerError(.kafka, error.description)
        }
    }

    /// Ends the replay once everything is done, and keeps the rate.
    ///
    /// - Returns: how long to wait for the next record, in milliseconds; nil when nothing may be read now.
    func pace(_ replay: ReplayRun, timeout: Int32) -> Int32? {
        replay.report(done: replayed, partitions)
        let now = monotonicNow()
        let isRead = partitions.allSatisfy { partition in
            partition.isRead
                || partition.range?.blockedSince.map { now - min(now, $0) >= RangeReader.transactionPatience } ?? false
        }
        if isRead, dispatcher.read({ $0.records + $0.released.records }) == 0 {
            replay.hasEnded = true
            return nil
        }
        if let next = replay.wait(now: now) {
            control.waitForRoom(milliseconds: min(max(timeout, 1), Int32((next - now) / 1_000_000 + 1)))
            return nil
        }
        // The last handlers end without a record that arrives; nor does anything tell that a transaction stays open.
        return isRead ? min(timeout, 20) : min(timeout, 500)
    }

    /// How many offsets of the plan are done.
    var replayed: Int64 {
        dispatcher.read { core in
            partitions.reduce(0) { sum, partition in
                guard let start = partition.start else { return sum }
                return sum + max(0, (core.watermark(of: partition.assignment) ?? start) - start)
            }
        }
    }

    /// The readable end of a partition was reached.
    func passEnd(_ place: TopicPartition) {
        guard replay != nil, let offset = place.offset,
            let index = partitions.firstIndex(where: { $0.topic == place.topic && $0.partition == place.partition })
        else { return }
        partitions[index].range?.reachEnd(at: offset, now: monotonicNow())
        passUnwanted()
    }

    /// Records that are not of the selection are done, so that the position of the replay moves on.
    func passUnwanted() {
        guard replay != nil else { return }
        dispatcher.update { [partitions] core in
            for partition in partitions {
                if let range = partition.range { core.pass(range.next, of: partition.assignment) }
            }
        }
    }

    /// Records of a partition were deleted before they could be read.
    ///
    /// - Throws: unless the selection says to go on after them.
    func skipDeleted(of index: Int, _ replay: ReplayRun) throws(EventConsumerError) {
        let partition = partitions[index]
        let name = "\(partition.topic)[\(partition.partition)]"
        guard let client = replay.offsetClient else { return }
        let first: Int64
        do throws(KafkaError) {
            first = try client.watermarks(
                topic: partition.topic, partition: partition.partition, timeout: ReplayRun.requestTimeout
            ).lowerBound
        } catch {
            throw EventConsumerError(.kafka, "\(name): \(error.message)")
        }
        guard replay.task.selection.skipsDeleted else {
            throw EventConsumerError(
                .offsetOutOfRange,
                "\(name): records were deleted before they could be replayed; what is left begins at offset \(first). "
                    + "Selection.skipsDeleted goes on there, under the same name")
        }
        partitions[index].range?.skipDeleted(before: first)
        log.warning(
            "replay skips deleted records",
            ["topic": partition.topic, "partition": partition.partition, "offset": first])
        passUnwanted()
        // librdkafka does not seek a partition that has stopped.
        try assign()
        if isPaused { pause(partitions.filter { !$0.isRead }) }
    }

    /// The positions of the whole plan, when one of them has moved: Kafka forgets those of a group without members one
    /// by one, a week after each was last committed.
    func offsets(of replay: ReplayRun) -> [TopicPartition] {
        guard let plan = replay.plan, let checkpoint = replay.checkpoint else { return [] }
        let watermarks = dispatcher.read { core in partitions.map { core.watermark(of: $0.assignment) } }
        guard zip(partitions, watermarks).contains(where: { $1 != nil && $1 != $0.committed }) else { return [] }
        return plan.partitions.map { planned in
            let index = partitions.firstIndex { $0.topic == planned.topic && $0.partition == planned.partition }
            let offset = index.flatMap { watermarks[$0] } ?? planned.offsets.lowerBound
            return checkpoint.place(of: planned, in: plan, at: offset)
        }
    }

    /// Reports for the last time.
    func end(_ replay: ReplayRun) {
        replay.report(done: replayed, partitions, force: true)
    }
}

extension EventConsumerError {
    fileprivate init(_ error: ReplayError) {
        let code: Code =
            switch error.code {
            case .window, .nameTaken: .configuration
            case .noTopic: .topics
            case .deleted, .positionExpired: .offsetOutOfRange
            case .kafka: .kafka
            }
        self.init(code, error.message)
    }
}
