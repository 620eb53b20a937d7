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
    /// Whether everything has been read, and done.
    fileprivate(set) var isComplete = false
    private var pacer: Pacer
    private var began: UInt64 = 0
    private var nextReport: UInt64 = 0

    /// How often progress is told.
    private static let reportInterval: UInt64 = 1_000_000_000

    init(_ task: ReplayTask) {
        self.task = task
        pacer = Pacer(eventsPerSecond: task.isDryRun ? nil : task.selection.eventsPerSecond)
    }

    var burst: Int { pacer.burst(ConsumerLoop.batch) }

    func took(_ count: Int) { pacer.took(count, now: monotonicNow()) }

    func wait(now: UInt64) -> UInt64? { pacer.wait(now: now) }

    /// Notes that a record has come.
    func wants(_ message: borrowing Message, of partition: inout AssignedPartition) -> Bool {
        guard let plan, let planned = partition.planned, message.offset < planned.offsets.upperBound else {
            // What came behind the end since the replay began is not of it.
            partition.place = max(partition.place, partition.planned?.offsets.upperBound ?? 0)
            return false
        }
        partition.place = max(partition.place, message.offset + 1)
        return task.mayInclude(message, plan.window)
    }

    /// Tells how far it is, where it is time to.
    func report(done: Int64, force: Bool = false) {
        let now = monotonicNow()
        if began == 0 { began = now }
        guard force || now >= nextReport else { return }
        nextReport = now + Self.reportInterval
        let seconds = Double(now - began) / 1e9
        task.tally.update {
            $0.recordsDone = done
            if seconds > 0 { $0.recordsPerSecond = Double(done) / seconds }
            $0.isComplete = isComplete
        }
        task.report(task.tally.progress)
    }
}

/// A replay: stretches of partitions in place of what a group gives.
extension ConsumerLoop {
    /// Plans the replay, or takes up where it was left, and begins to read.
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
        do throws(ReplayError) {
            plan = try ReplayPlan(task.window, topics: wanted, client: consumer.client)
            if !task.isDryRun {
                let checkpoint = task.checkpoint(configuration, topics: wanted)
                isResumed = try checkpoint.take(&plan, consumer)
                replay.checkpoint = checkpoint
            }
        } catch {
            throw EventConsumerError(error)
        }
        replay.plan = plan
        let total = plan.count
        let missing = plan.missingTopics
        let behind = plan.partitions.count { $0.beginsBehindDeleted }
        task.tally.update {
            $0.recordsTotal = total
            $0.isResumed = isResumed
            $0.missingTopics = missing
            $0.partitionsBehindDeleted = behind
        }
        log.info(
            isResumed ? "replay goes on" : "replay begins", ["replay": task.name, "topics": wanted, "records": total])
        if !missing.isEmpty { log.warning("topics of the replay are missing", ["topics": missing]) }
        if behind > 0 {
            log.warning(
                "older records have been deleted: some of the replay's window may be gone", ["partitions": behind])
        }
        for planned in plan.partitions where !planned.offsets.isEmpty {
            partitions.append(AssignedPartition(planned, assignment: dispatcher.update { $0.open() }))
        }
        do throws(KafkaError) {
            try consumer.assign(
                partitions.map { TopicPartition($0.topic, $0.partition, offset: $0.place) })
        } catch {
            throw EventConsumerError(.kafka, error.description)
        }
        replay.report(done: 0, force: true)
        return true
    }

    /// Looks whether everything is done, and keeps the rate.
    ///
    /// - Returns: how long to wait for what comes next, in milliseconds; nil when nothing may be read now.
    func pace(_ replay: ReplayRun, timeout: Int32) -> Int32? {
        replay.report(done: replayed)
        let now = monotonicNow()
        let isRead = partitions.allSatisfy(\.isRead)
        if isRead, dispatcher.read({ $0.records }) == 0 {
            replay.isComplete = true
            return nil
        }
        if let next = replay.wait(now: now) {
            control.waitForRoom(milliseconds: min(max(timeout, 1), Int32((next - now) / 1_000_000 + 1)))
            return nil
        }
        // The last handlers end without a record that comes.
        return isRead ? min(timeout, 20) : timeout
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

    /// The last offsets of a partition may be markers of transactions, or compacted away: no record brings them.
    func passEnd(_ place: TopicPartition) {
        guard replay != nil, let offset = place.offset,
            let index = partitions.firstIndex(where: { $0.topic == place.topic && $0.partition == place.partition }),
            let end = partitions[index].planned?.offsets.upperBound
        else { return }
        partitions[index].place = max(partitions[index].place, min(offset, end))
        passUnwanted()
    }

    /// Records that are not of the selection are done, so that the place of the replay moves on.
    func passUnwanted() {
        guard replay != nil else { return }
        dispatcher.update { [partitions] core in
            for partition in partitions { core.pass(partition.place, of: partition.assignment) }
        }
    }

    /// Tells for the last time.
    func end(_ replay: ReplayRun) {
        replay.report(done: replayed, force: true)
    }
}

extension EventConsumerError {
    fileprivate init(_ error: ReplayError) {
        let code: Code =
            switch error.code {
            case .window, .nameTaken: .configuration
            case .noTopic: .topics
            case .deleted: .offsetOutOfRange
            case .kafka: .kafka
            }
        self.init(code, error.message)
    }
}
