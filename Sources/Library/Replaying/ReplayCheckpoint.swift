package import SMSBridgeKafka

/// Where a replay with a name stands, kept in Kafka as the committed offsets of a consumer group that has no members:
/// beside each offset its metadata tells the end that was fixed at the start, the window, and what was selected, so that
/// a replay that goes on is the replay that began.
package struct ReplayCheckpoint: Sendable {
    package let group: String
    /// Distinguishes replays of different things: a hash of what was selected.
    private let selection: String

    /// - Parameters:
    ///   - group: the consumer group that nobody else uses.
    ///   - selection: what is selected besides the times, as text; a name that was used for something else is refused.
    package init(group: String, selection: String) {
        self.group = group
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in selection.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        self.selection = String(hash, radix: 16)
    }

    /// The plan of the replay that has this name: the one that was begun, at its places, or the given one, which is then
    /// written down before anything of it is read.
    ///
    /// - Returns: whether it had been begun before.
    /// - Throws: `ReplayError` when the name belongs to another selection, or Kafka does not answer.
    package func take(_ plan: inout ReplayPlan, _ consumer: Consumer, timeout: Int32 = 10_000) throws(ReplayError)
        -> Bool
    {
        if try resume(&plan, consumer, timeout: timeout) { return true }
        try commit(plan.partitions.map(\.offsets.lowerBound), of: plan, consumer)
        return false
    }

    /// Keeps in Kafka that everything below these offsets is done; blocks until Kafka has them.
    package func commit(_ positions: [Int64], of plan: ReplayPlan, _ consumer: Consumer) throws(ReplayError) {
        let places = plan.partitions.indices.map { place(of: plan.partitions[$0], in: plan, at: positions[$0]) }
        do throws(KafkaError) { try consumer.commit(places) } catch {
            throw ReplayError(.kafka, "the replay's checkpoint in the group \(group): \(error)")
        }
    }

    /// Makes the plan the one that was begun under this name, at its places; leaves it where none was.
    ///
    /// - Returns: whether one was.
    /// - Throws: `ReplayError` when the name belongs to another selection, or Kafka does not answer.
    package func resume(_ plan: inout ReplayPlan, _ consumer: Consumer, timeout: Int32 = 10_000) throws(ReplayError)
        -> Bool
    {
        do throws(KafkaError) {
            let known = try consumer.committed(
                plan.partitions.map { TopicPartition($0.topic, $0.partition) }, timeout: timeout)
            let begun = known.compactMap { place in
                place.offset.flatMap { offset in
                    place.metadata.flatMap(Mark.init).map { (place: place, offset: offset, mark: $0) }
                }
            }
            guard let first = begun.first else {
                if known.contains(where: { $0.offset != nil }) {
                    throw KafkaError(
                        .invalidArgument, "the consumer group \(group) has offsets that no replay has written")
                }
                return false
            }
            guard begun.allSatisfy({ $0.mark.selection == selection }) else {
                throw KafkaError(
                    .invalidArgument,
                    "another replay has this name, of other topics or keys: choose another name, or delete the consumer group \(group)"
                )
            }
            plan.window = first.mark.window
            for index in plan.partitions.indices {
                let partition = plan.partitions[index]
                let one = begun.first {
                    $0.place.topic == partition.topic && $0.place.partition == partition.partition
                }
                // A partition that is younger than the replay has no part in it.
                plan.partitions[index].offsets = one.map { $0.offset..<max($0.offset, $0.mark.end) } ?? 0..<0
            }
            return true
        } catch {
            throw error.code == .invalidArgument
                ? ReplayError(.nameTaken, error.message)
                : ReplayError(.kafka, "the replay's checkpoint in the group \(group): \(error)")
        }
    }

    /// What is to be committed when a partition has been replayed below this offset.
    package func place(of partition: ReplayPlan.Partition, in plan: ReplayPlan, at offset: Int64) -> TopicPartition {
        let mark = Mark(end: partition.offsets.upperBound, window: plan.window, selection: selection)
        return TopicPartition(partition.topic, partition.partition, offset: offset, metadata: mark.text)
    }

    /// `1 END FROM TO SELECTION`: the version of this form, the end, two points, and the hash.
    struct Mark: Equatable {
        var end: Int64
        var window: ReplayWindow
        var selection: String

        init(end: Int64, window: ReplayWindow, selection: String) {
            self.end = end
            self.window = window
            self.selection = selection
        }

        init?(_ text: String) {
            let words = text.split(separator: " ", omittingEmptySubsequences: false)
            // An end beyond any that a partition comes to was written by somebody else, and sums of such overflow.
            guard words.count == 5, words[0] == "1", let end = Int64(words[1]), 0..<1 << 48 ~= end,
                let from = ReplayPoint(checkpoint: words[2]), let to = ReplayPoint(checkpoint: words[3])
            else { return nil }
            self.end = end
            window = ReplayWindow(from: from, to: to)
            selection = String(words[4])
        }

        var text: String { "1 \(end) \(window.from.checkpoint) \(window.to.checkpoint) \(selection)" }
    }
}

extension ReplayPoint {
    fileprivate var checkpoint: String {
        switch self {
        case .earliest: "earliest"
        case .now: "now"
        case .time(let time): "t\(time)"
        case .offset(let offset): "o\(offset)"
        }
    }

    fileprivate init?(checkpoint text: Substring) {
        switch (text, text.first, Int64(text.dropFirst())) {
        case ("earliest", _, _): self = .earliest
        case ("now", _, _): self = .now
        case (_, "t", let time?): self = .time(time)
        case (_, "o", let offset?): self = .offset(offset)
        default: return nil
        }
    }
}
