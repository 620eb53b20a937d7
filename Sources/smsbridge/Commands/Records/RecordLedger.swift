import Kafka
import Replaying
import Threads

/// The records of a topic that wait for somebody: those that no earlier command has dealt with.
///
/// Kafka cannot take one record out of a topic. So what is done with is kept as the committed offsets of a consumer group
/// that has no members, and their metadata. One command at a time.
final class RecordLedger {
    private let client: ClientConfiguration
    private let topic: String
    private let group: String
    private let consumer: Consumer
    private var done: [Int32: DoneOffsets] = [:]
    private var changed: Set<Int32> = []

    init(_ client: ClientConfiguration, topic: String, group: String) throws(ReplayFailure) {
        self.client = client
        self.topic = topic
        self.group = group
        do throws(KafkaError) { consumer = try Consumer(ConsumerConfiguration(client: client, group: group)) } catch {
            throw ReplayFailure(message: error.message)
        }
    }

    func close() { consumer.close() }

    /// Visits the records that are open, in order of partition and offset within each; with `all`, the others too.
    ///
    /// - Parameter body: false ends it.
    func forEach(
        all: Bool = false, until interrupted: StopSignal,
        _ body: (ArchiveRecord, _ isOpen: Bool) throws(ReplayFailure) -> Bool
    ) throws(ReplayFailure) {
        let reader: RangeReader
        do throws(ReplayError) { reader = try RangeReader(client, topics: [topic], window: ReplayWindow()) } catch {
            throw ReplayFailure(message: error.message)
        }
        defer { reader.close() }
        try load(reader.plan)
        var told = false
        while !reader.isDone, !interrupted.wait(milliseconds: 0) {
            let record: ArchiveRecord?
            do throws(ReplayError) {
                let message = try reader.next(timeout: 100) { error in
                    if !told { Output.error("smsbridge: Kafka: \(error.message)\n") }
                    told = true
                }
                if let message { record = ArchiveRecord(message) } else { record = nil }
            } catch {
                throw ReplayFailure(message: error.message)
            }
            guard let record else { continue }
            let isOpen = !(done[record.partition]?.contains(record.offset) ?? false)
            guard isOpen || all else { continue }
            guard try body(record, isOpen) else { return }
        }
    }

    private func load(_ plan: ReplayPlan) throws(ReplayFailure) {
        guard done.isEmpty else { return }
        do throws(KafkaError) {
            let places = try consumer.committed(
                plan.partitions.map { TopicPartition($0.topic, $0.partition) }, timeout: 10_000)
            for (partition, place) in zip(plan.partitions, places) {
                var offsets = DoneOffsets()
                // An offset beyond the end is of a topic that was deleted and made again.
                if let low = place.offset, low <= partition.offsets.upperBound {
                    guard let known = DoneOffsets(low: low, text: place.metadata ?? "1") else {
                        throw KafkaError(
                            .invalidArgument,
                            "the consumer group \(group) has offsets that this command has not written")
                    }
                    offsets = known
                }
                offsets.begin(at: partition.offsets.lowerBound)
                done[partition.partition] = offsets
            }
        } catch {
            throw ReplayFailure(message: "what is done with, in the group \(group): \(error.message)")
        }
    }

    /// Notes that a record is done with; `keep()` makes it last.
    ///
    /// - Returns: false when that cannot be kept: too many open ones lie between what is done.
    func finish(_ record: ArchiveRecord) -> Bool {
        var offsets = done[record.partition] ?? DoneOffsets()
        offsets.insert(record.offset)
        guard offsets.text.utf8.count <= DoneOffsets.longestText else { return false }
        done[record.partition] = offsets
        changed.insert(record.partition)
        return true
    }

    /// Writes down what was finished; blocks until Kafka has it.
    func keep() throws(ReplayFailure) {
        guard !changed.isEmpty else { return }
        let places = changed.sorted().map { partition in
            TopicPartition(topic, partition, offset: done[partition]?.low, metadata: done[partition]?.text)
        }
        do throws(KafkaError) { try consumer.commit(places) } catch {
            throw ReplayFailure(
                message: "what is done with could not be kept in the group \(group): \(error.message)")
        }
        changed.removeAll()
    }
}
