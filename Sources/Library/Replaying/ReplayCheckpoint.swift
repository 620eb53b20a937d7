package import SMSBridgeKafka

/// The position of a replay with a name, kept in Kafka as the committed offsets of a consumer group that has no members.
///
/// Beside each offset its metadata has the end that was fixed at the start, the window, the selection and the number of
/// partitions, so that a replay that goes on is the replay that began, or says that it cannot be.
package struct ReplayCheckpoint: Sendable {
    package let group: String
    /// Distinguishes replays of different things: a hash of what was selected.
    private let selection: String

    /// - Parameters:
    ///   - group: a consumer group that is used for nothing else.
    ///   - selection: what is selected besides the times, as text; a name that was used for something else is rejected.
    package init(group: String, selection: String) {
        self.group = group
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in selection.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        self.selection = String(hash, radix: 16)
    }

    /// What a resumed replay has done before.
    package struct Resumption: Sendable, Hashable {
        /// Records that earlier runs have matched, per partition of the plan.
        package var matched: [Int64]
    }

    /// The plan of the replay that has this name: the one that was begun, at its positions, or the given one, which is then
    /// committed before anything of it is read.
    ///
    /// - Returns: what earlier runs have done; nil when it begins now.
    /// - Throws: `ReplayError` when the name belongs to another selection, a position has expired, or Kafka does not answer.
    package func take(
        _ plan: inout ReplayPlan, _ consumer: Consumer, timeout: Int32 = 10_000
    ) throws(ReplayError) -> Resumption? {
        if let resumption = try resume(&plan, consumer, timeout: timeout) { return resumption }
        try commit(plan.partitions.map(\.offsets.lowerBound), of: plan, consumer, timeout: timeout)
        return nil
    }

    /// Commits that everything below these offsets is done. All positions are committed each time: Kafka forgets those of a
    /// group without members one by one, a week after each was last committed.
    ///
    /// - Parameters:
    ///   - matched: records matched so far, per partition; for the total over all runs.
    ///   - timeout: how long to wait for Kafka, in milliseconds.
    package func commit(
        _ positions: [Int64], matched: [Int64] = [], of plan: ReplayPlan, _ consumer: Consumer, timeout: Int32 = 10_000
    ) throws(ReplayError) {
        let places = plan.partitions.indices.map { index in
            place(
                of: plan.partitions[index], in: plan, at: positions[index],
                matched: matched.isEmpty ? 0 : matched[index])
        }
        do throws(KafkaError) { try consumer.commit(places, timeout: timeout) } catch {
            throw ReplayError(
                .kafka, "the replay's position in the group \(group) could not be committed: \(error)",
                cause: error.code)
        }
    }

    /// Makes the plan the one that was begun under this name, at its positions; leaves it unchanged where none was.
    ///
    /// - Returns: what earlier runs have done; nil where there was none.
    /// - Throws: `ReplayError` when the name belongs to another selection, a position has expired, or Kafka does not answer.
    package func resume(
        _ plan: inout ReplayPlan, _ consumer: Consumer, timeout: Int32 = 10_000
    ) throws(ReplayError) -> Resumption? {
        let known: [TopicPartition]
        do throws(KafkaError) {
            known = try consumer.committed(plan.partitions.map(\.topicPartition), timeout: timeout)
        } catch {
            throw ReplayError(.kafka, "the replay's position in the group \(group): \(error)")
        }
        let found: [(offset: Int64, mark: Mark)?] = plan.partitions.map { partition in
            guard
                let place = known.first(where: { $0.topic == partition.topic && $0.partition == partition.partition }),
                let offset = place.offset, let mark = place.metadata.flatMap(Mark.init)
            else { return nil }
            return (offset, mark)
        }
        guard let first = found.lazy.compactMap(\.self).first else {
            guard known.allSatisfy({ $0.offset == nil }) else {
                throw ReplayError(
                    .nameTaken, "the consumer group \(group) has offsets that no replay has committed")
            }
            return nil
        }
        let marks = found.compactMap(\.self)
        guard marks.allSatisfy({ $0.mark.selection == selection }) else {
            throw ReplayError(
                .nameTaken,
                "another replay has this name, of other topics or keys: choose another name, or delete the consumer group \(group)"
            )
        }
        guard marks.count >= first.mark.partitions else {
            let names = zip(plan.partitions, found).filter { $0.1 == nil }.map(\.0.description)
            let which = names.isEmpty ? "" : ", of " + names.joined(separator: ", ")
            throw ReplayError(
                .positionExpired,
                "\(first.mark.partitions - marks.count) of \(first.mark.partitions) positions of this name have expired"
                    + "\(which) (offsets.retention.minutes; or its topic was created again): what was left to read there "
                    + "is not known. Begin again under another name")
        }
        plan.window.from = first.mark.window.from
        plan.window.to = first.mark.window.to
        for index in plan.partitions.indices {
            // A partition that was added after the replay began is not part of it.
            plan.partitions[index].offsets =
                found[index].map { $0.offset..<max($0.offset, $0.mark.end) } ?? 0..<0
        }
        return Resumption(matched: found.map { $0?.mark.matched ?? 0 })
    }

    /// What is to be committed when a partition has been replayed below this offset.
    package func place(
        of partition: ReplayPlan.Partition, in plan: ReplayPlan, at offset: Int64, matched: Int64 = 0
    ) -> TopicPartition {
        let mark = Mark(
            end: partition.offsets.upperBound, window: plan.window, selection: selection,
            partitions: plan.partitions.count, matched: matched)
        return TopicPartition(partition.topic, partition.partition, offset: offset, metadata: mark.text)
    }

    /// `2 END FROM TO SELECTION PARTITIONS MATCHED`: the version of this format, the end, two points, the hash, and counts.
    struct Mark: Equatable {
        var end: Int64
        var window: ReplayWindow
        var selection: String
        /// How many partitions the replay has.
        var partitions: Int
        /// How many records of this partition have been matched.
        var matched: Int64

        init(end: Int64, window: ReplayWindow, selection: String, partitions: Int, matched: Int64) {
            self.end = end
            self.window = window
            self.selection = selection
            self.partitions = partitions
            self.matched = matched
        }

        init?(_ text: String) {
            // Some clients commit the NUL at the end of a C string with it.
            let words = text.prefix { $0 != "\0" }.split(separator: " ", omittingEmptySubsequences: false)
            // Larger numbers were written by something else, and sums of such overflow.
            func number(_ word: Substring) -> Int64? { Int64(word).flatMap { 0..<1 << 48 ~= $0 ? $0 : nil } }
            guard words.count == 7, words[0] == "2", let end = number(words[1]),
                let from = ReplayPoint(checkpoint: words[2]), let to = ReplayPoint(checkpoint: words[3]),
                let partitions = number(words[5]), let matched = number(words[6])
            else { return nil }
            self.end = end
            window = ReplayWindow(from: from, to: to)
            selection = String(words[4])
            self.partitions = Int(partitions)
            self.matched = matched
        }

        var text: String {
            "2 \(end) \(window.from.checkpoint) \(window.to.checkpoint) \(selection) \(partitions) \(matched)"
        }
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
