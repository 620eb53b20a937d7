package import SMSBridgeKafka
internal import SMSBridgeTelemetry

/// Reads the records of a plan, and ends by itself. It joins no group, so it does not disturb other consumers.
///
/// One thread owns it and blocks there.
package final class RangeReader {
    package let consumer: Consumer
    /// Answers requests for offsets, those of open transactions included.
    private let offsetClient: Client
    package private(set) var plan: ReplayPlan
    /// How far each partition of the plan has been read.
    package private(set) var progress: [RangeProgress] = []
    /// What earlier runs of the checkpoint's name have done; nil for one that begins.
    package private(set) var resumption: ReplayCheckpoint.Resumption?
    private let skipsDeleted: Bool
    private let timeout: Int32
    /// The position in the plan of the partition that the last record was read from.
    package private(set) var lastIndex = 0
    /// Partitions that have not been read to their planned end.
    private var unfinished = 0

    /// How long reading waits for an open transaction once everything else has been read, in nanoseconds.
    package static let transactionPatience: UInt64 = 5_000_000_000

    /// - Parameters:
    ///   - window: which records.
    ///   - checkpoint: goes on where the replay of this name left off; nil begins at the beginning. A replay that
    ///     begins is recorded by the first `commit`.
    ///   - skipsDeleted: goes on after records that were deleted before they could be read, and counts them as missed.
    /// - Throws: `ReplayError`, as ``ReplayPlan`` and ``ReplayCheckpoint`` do.
    package init(
        _ client: ClientConfiguration, topics: [String], window: ReplayWindow, checkpoint: ReplayCheckpoint? = nil,
        skipsDeleted: Bool = false, timeout: Int32 = 10_000
    ) throws(ReplayError) {
        self.skipsDeleted = skipsDeleted
        self.timeout = timeout
        do throws(KafkaError) {
            offsetClient = try ReplayPlan.offsetClient(client)
        } catch {
            throw ReplayError(.kafka, "\(error)")
        }
        do throws(KafkaError) {
            consumer = try Consumer(.range(client, group: checkpoint?.group ?? "smsbridge-replay"))
        } catch {
            offsetClient.destroy()
            throw ReplayError(.kafka, "\(error)")
        }
        do throws(ReplayError) {
            plan = try ReplayPlan(window, topics: topics, client: offsetClient, timeout: timeout)
            resumption = try checkpoint?.resume(&plan, consumer, timeout: timeout)
            progress = plan.partitions.map(RangeProgress.init)
            unfinished = progress.count { !$0.isRead }
            do throws(KafkaError) { try assign() } catch { throw ReplayError(.kafka, "\(error)") }
        } catch {
            consumer.close()
            offsetClient.destroy()
            throw error
        }
    }

    /// Whether the checkpoint's replay had begun before.
    package var isResumed: Bool { resumption != nil }

    /// Whether everything has been read.
    package var isComplete: Bool { unfinished == 0 }

    /// How many offsets of the plan have been passed.
    package var passed: Int64 { progress.reduce(0) { $0 + $1.next - $1.planned.offsets.lowerBound } }

    /// What lies behind open transactions, once nothing else is left to read.
    package var blocked: [BlockedRange] {
        progress.filter { $0.blockedSince != nil }.map {
            BlockedRange(topic: $0.planned.topic, partition: $0.planned.partition, offsets: $0.remaining)
        }
    }

    /// Whether there is nothing more to read now: everything has been read, or the rest has been behind open
    /// transactions for a while.
    package var hasEnded: Bool {
        guard unfinished > 0 else { return true }
        let now = monotonicNow()
        return progress.allSatisfy { one in
            one.isRead || one.blockedSince.map { now - min(now, $0) >= Self.transactionPatience } ?? false
        }
    }

    /// The next record of the window; nil when none arrived in `timeout` milliseconds, or reading has ended. Records
    /// outside the window are passed; at most a few thousand at a time, so that the caller can act in between.
    ///
    /// - Parameter onError: called with errors from which librdkafka recovers by itself.
    /// - Throws: `ReplayError` when records have been deleted before they could be read, or the client cannot go on.
    package func next(timeout: Int32, onError: (KafkaError) -> Void = { _ in }) throws(ReplayError) -> Message? {
        var unwanted = 0
        while unfinished > 0, unwanted < 1_000 {
            guard let event = consumer.poll(timeout: timeout) else { return nil }
            switch consume event {
            case .message(let message):
                guard let index = index(topic: message.topic, partition: message.partition) else { continue }
                let (offset, timestamp) = (message.offset, message.timestamp)
                let isWanted = update(index) { $0.receive(offset: offset, timestamp: timestamp, window: plan.window) }
                if isWanted { return message }
                unwanted += 1
            case .partitionEnd(let place):
                guard let index = index(topic: place.topic, partition: place.partition) else { continue }
                let offset = place.offset ?? 0
                update(index) { $0.reachEnd(at: offset, now: monotonicNow()) }
                if !progress[index].isRead { try checkEnd(index) }
            case .partitionError(let place, let error):
                if error.code == .offsetReset {
                    try skipDeleted(place)
                    continue
                }
                onError(error)
            case .error(let error):
                if error.isFatal { throw ReplayError(.kafka, "Kafka's client cannot go on: \(error)") }
                onError(error)
            default: continue
            }
            if hasEnded { return nil }
        }
        return nil
    }

    /// The partitions of which records before a time are to be read, by Kafka's time index.
    ///
    /// - Parameter time: milliseconds since 1970.
    package func partitions(withRecordsBefore time: Int64) throws(ReplayError) -> [ReplayPlan.Partition] {
        let open = progress.filter { !$0.isRead }
        guard !open.isEmpty else { return [] }
        do throws(KafkaError) {
            let found = try offsetClient.offsets(
                forTimes: open.map { TopicPartition($0.planned.topic, $0.planned.partition, offset: max(0, time)) },
                timeout: timeout)
            return open.filter { one in
                let answer = found.first { $0.topic == one.planned.topic && $0.partition == one.planned.partition }
                return answer?.error == nil && (answer?.offset ?? .max) > one.next
            }.map(\.planned)
        } catch {
            throw ReplayError(.kafka, "Kafka: \(error)", cause: error.code)
        }
    }

    /// Reads what is not finished from its positions on.
    private func assign() throws(KafkaError) {
        try consumer.assign(
            progress.filter { !$0.isRead }.map {
                TopicPartition($0.planned.topic, $0.planned.partition, offset: $0.next)
            })
    }

    /// The partition stops at an offset that it does not have.
    private func skipDeleted(_ place: TopicPartition) throws(ReplayError) {
        guard let index = index(topic: place.topic, partition: place.partition), !progress[index].isRead else { return }
        let bounds = try watermarks(index)
        let gap = max(0, min(bounds.lowerBound, progress[index].planned.offsets.upperBound) - progress[index].next)
        guard skipsDeleted else {
            throw ReplayError(
                .deleted,
                "\(place.topic)[\(place.partition)]: \(gap) offsets were deleted before they could be read; what is left "
                    + "begins at offset \(bounds.lowerBound)")
        }
        update(index) { $0.skipDeleted(before: bounds.lowerBound) }
        // librdkafka does not seek a partition that has stopped.
        do throws(KafkaError) { try assign() } catch { throw ReplayError(.kafka, "\(place): \(error.message)") }
    }

    /// The readable end of a partition was reached before the planned one: a transaction is open, or the topic is not
    /// the one that was planned.
    private func checkEnd(_ index: Int) throws(ReplayError) { _ = try watermarks(index) }

    private func watermarks(_ index: Int) throws(ReplayError) -> Range<Int64> {
        let partition = progress[index].planned
        let bounds: Range<Int64>
        do throws(KafkaError) {
            bounds = try offsetClient.watermarks(
                topic: partition.topic, partition: partition.partition, timeout: timeout)
        } catch {
            throw ReplayError(.kafka, "\(partition.description): \(error.message)")
        }
        guard progress[index].next <= bounds.upperBound, partition.offsets.upperBound <= bounds.upperBound else {
            throw ReplayError(
                .kafka,
                "\(partition.description) ends at \(bounds.upperBound), before \(partition.offsets.upperBound), where it ended "
                    + "when this replay began: the topic was created again, or has lost records")
        }
        return bounds
    }

    /// Changes a partition's progress; one that has been read is not fetched any more.
    @discardableResult
    private func update<R>(_ index: Int, _ change: (inout RangeProgress) -> R) -> R {
        let wasRead = progress[index].isRead
        defer {
            if !wasRead, progress[index].isRead {
                unfinished -= 1
                try? consumer.pause([progress[index].planned.topicPartition])
            }
        }
        return change(&progress[index])
    }

    private func index(topic: String, partition: Int32) -> Int? {
        func isIt(_ index: Int) -> Bool {
            plan.partitions[index].partition == partition && plan.partitions[index].topic == topic
        }
        if lastIndex < plan.partitions.count, isIt(lastIndex) { return lastIndex }
        guard let index = plan.partitions.indices.first(where: isIt) else { return nil }
        lastIndex = index
        return index
    }

    /// The next offset of each partition: everything below has been delivered or passed.
    package var positions: [Int64] { progress.map(\.next) }

    /// Commits that everything below these offsets is done; blocks up to `timeout` milliseconds.
    package func commit(
        _ positions: [Int64], matched: [Int64] = [], to checkpoint: ReplayCheckpoint, timeout: Int32 = 10_000
    ) throws(ReplayError) {
        try checkpoint.commit(positions, matched: matched, of: plan, consumer, timeout: timeout)
    }

    /// - Parameter timeout: how long this may block, in milliseconds.
    package func close(timeout: Int32 = 10_000) {
        consumer.close(timeout: timeout)
        offsetClient.destroy()
    }
}

extension ConsumerConfiguration {
    /// A reader of ranges, not a member of its group.
    package static func range(_ client: ClientConfiguration, group: String) -> ConsumerConfiguration {
        var configuration = ConsumerConfiguration(client: client, group: group)
        configuration.client.properties["fetch.wait.max.ms"] = "100"
        configuration.offsetReset = .error
        configuration.reportsPartitionEnd = true
        return configuration
    }
}
