package import SMSBridgeKafka

/// Reads the records of a plan, and ends by itself. It joins no group, so it disturbs nobody.
///
/// One thread owns it and blocks there.
package final class RangeReader {
    package let consumer: Consumer
    package private(set) var plan: ReplayPlan
    /// How many offsets of the plan have been passed.
    package private(set) var passed: Int64 = 0
    /// The next offset of each partition of the plan.
    private var places: [Int64] = []
    private var unfinished = 0
    private let skipsDeleted: Bool
    private let timeout: Int32
    /// How many offsets of the plan were deleted before they could be read, and skipped.
    package private(set) var missed: Int64 = 0
    private var last = 0

    /// - Parameters:
    ///   - window: which records.
    ///   - checkpoint: goes on where the replay of this name left off; nil begins at the beginning. A replay that begins
    ///     is written down by the first `commit`.
    ///   - skipsDeleted: goes on behind records that were deleted before they could be read, and counts them as `missed`.
    /// - Throws: `ReplayError`, as ``ReplayPlan`` and ``ReplayCheckpoint`` do.
    package init(
        _ client: ClientConfiguration, topics: [String], window: ReplayWindow, checkpoint: ReplayCheckpoint? = nil,
        skipsDeleted: Bool = false, timeout: Int32 = 10_000
    ) throws(ReplayError) {
        self.skipsDeleted = skipsDeleted
        self.timeout = timeout
        do throws(KafkaError) {
            consumer = try Consumer(.range(client, group: checkpoint?.group ?? "smsbridge-replay"))
        } catch {
            throw ReplayError(.kafka, "\(error)")
        }
        do throws(ReplayError) {
            plan = try ReplayPlan(window, topics: topics, client: consumer.client, timeout: timeout)
            isResumed = try checkpoint?.resume(&plan, consumer, timeout: timeout) ?? false
            places = plan.partitions.map(\.offsets.lowerBound)
            unfinished = plan.partitions.count { !$0.offsets.isEmpty }
            do throws(KafkaError) { try assign() } catch { throw ReplayError(.kafka, "\(error)") }
        } catch {
            consumer.close()
            throw error
        }
    }

    /// Whether the checkpoint's replay had been begun before.
    package private(set) var isResumed = false

    /// Whether everything has been read.
    package var isDone: Bool { unfinished == 0 }

    /// The next record of the plan, whether or not the window contains it; nil when none came in `timeout` milliseconds,
    /// or everything has been read.
    ///
    /// - Parameter onError: called with what librdkafka goes on from by itself.
    /// - Throws: `ReplayError` when records have been deleted before they could be read, or the client cannot go on.
    package func next(timeout: Int32, onError: (KafkaError) -> Void = { _ in }) throws(ReplayError) -> Message? {
        while !isDone {
            guard let event = consumer.poll(timeout: timeout) else { return nil }
            switch consume event {
            case .message(let message):
                guard let index = index(topic: message.topic, partition: message.partition) else { continue }
                let end = plan.partitions[index].offsets.upperBound
                // What came behind the end, since the plan was made, is not of this replay.
                let isMeant = message.offset < end && places[index] < end
                pass(index, to: message.offset + 1)
                if isMeant { return message }
            case .partitionEnd(let place):
                guard let index = index(topic: place.topic, partition: place.partition) else { continue }
                // The last offsets may be markers of transactions, or compacted away: no record brings them.
                pass(index, to: place.offset ?? 0)
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
        }
        return nil
    }

    /// Reads what is not finished from its places on.
    private func assign() throws(KafkaError) {
        try consumer.assign(
            plan.partitions.indices.filter { places[$0] < plan.partitions[$0].offsets.upperBound }.map {
                TopicPartition(plan.partitions[$0].topic, plan.partitions[$0].partition, offset: places[$0])
            })
    }

    /// The partition stands, at an offset that it does not have.
    private func skipDeleted(_ place: TopicPartition) throws(ReplayError) {
        guard let index = index(topic: place.topic, partition: place.partition) else { return }
        let end = plan.partitions[index].offsets.upperBound
        guard places[index] < end else { return }
        do throws(KafkaError) {
            let bounds = try consumer.client.watermarks(
                topic: place.topic, partition: place.partition, timeout: timeout)
            guard places[index] <= bounds.upperBound else {
                throw KafkaError(
                    .invalidArgument,
                    "it ends at \(bounds.upperBound), before the place \(places[index]) of this replay: the topic was made again"
                )
            }
            let gap = max(0, min(bounds.lowerBound, end) - places[index])
            guard skipsDeleted else {
                throw KafkaError(
                    .offsetReset,
                    "\(gap) offsets were deleted before they could be read; what is left begins behind them")
            }
            missed += gap
            pass(index, to: bounds.lowerBound)
            // librdkafka does not seek a partition that stands.
            try assign()
        } catch {
            throw ReplayError(error.code == .offsetReset ? .deleted : .kafka, "\(place): \(error.message)")
        }
    }

    private func pass(_ index: Int, to offset: Int64) {
        let end = plan.partitions[index].offsets.upperBound
        let place = min(offset, end)
        guard place > places[index] else { return }
        passed += place - places[index]
        places[index] = place
        guard place == end else { return }
        unfinished -= 1
        let partition = plan.partitions[index]
        try? consumer.pause([TopicPartition(partition.topic, partition.partition)])
    }

    private func index(topic: String, partition: Int32) -> Int? {
        func isIt(_ index: Int) -> Bool {
            plan.partitions[index].partition == partition && plan.partitions[index].topic == topic
        }
        if last < plan.partitions.count, isIt(last) { return last }
        guard let index = plan.partitions.indices.first(where: isIt) else { return nil }
        last = index
        return index
    }

    /// The next offset of each partition: everything below has been handed over.
    package var positions: [Int64] { places }

    /// Keeps in Kafka that everything below these offsets is done; blocks until Kafka has them.
    package func commit(_ positions: [Int64], to checkpoint: ReplayCheckpoint) throws(ReplayError) {
        try checkpoint.commit(positions, of: plan, consumer)
    }

    package func close() { consumer.close() }
}

extension ConsumerConfiguration {
    /// A reader of stretches, not a member of its group.
    package static func range(_ client: ClientConfiguration, group: String) -> ConsumerConfiguration {
        var configuration = ConsumerConfiguration(client: client, group: group)
        configuration.client.properties["fetch.wait.max.ms"] = "100"
        configuration.offsetReset = .error
        configuration.reportsPartitionEnd = true
        return configuration
    }
}
