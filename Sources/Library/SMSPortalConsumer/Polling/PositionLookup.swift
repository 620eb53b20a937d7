internal import SMSBridgeKafka

/// Where a partition begins that the group has no committed offset for.
enum StartPosition: Sendable, Equatable {
    case earliest
    /// The end that the partition had when the group joined for the first time.
    case latest
    /// The first record whose time is this or later, in milliseconds since 1970.
    case time(Int64)
}

extension StartPosition {
    init(_ position: EventConsumer.Configuration.Position) {
        switch position {
        case .earliest: self = .earliest
        case .latest: self = .latest
        case .at(let time): self = .time(time.millisecondsSinceEpoch)
        }
    }
}

extension EventConsumer.Configuration.Position: Comparable {
    /// Whether a position is before another one.
    public static func < (left: Self, right: Self) -> Bool {
        switch (left, right) {
        case (.at(let left), .at(let right)): left.millisecondsSinceEpoch < right.millisecondsSinceEpoch
        case (.earliest, .at), (.earliest, .latest), (.at, .latest): true
        default: false
        }
    }
}

/// Where a group begins in topics in which it has no position.
struct StartPositions: Sendable {
    /// What handlers ask for, by topic.
    var handlers: [String: StartPosition] = [:]
    /// Where a group begins that has no position in any topic.
    var newGroup = StartPosition.earliest
    /// The event topics that are read.
    var topics: [String] = []
}

/// Finds the offsets at which partitions are read. Blocks, so it runs on the consumer's thread for blocking calls.
struct PositionLookup: Sendable {
    /// The partitions in question.
    let partitions: [TopicPartition]
    /// Where a group begins that has no position in a topic.
    let starts: StartPositions
    /// Partitions that this member has read before. One without a committed offset belongs to a topic that was created again,
    /// and begins at the beginning, whatever else is configured.
    let readBefore: Set<TopicPartition>
    /// What is known of a topic from an earlier lookup, in which not every partition could be placed.
    let marks: [String: PositionMark]
    /// When the partitions were assigned, in milliseconds since 1970.
    let assignedAt: Int64

    /// An offset to read a partition from.
    struct Position: Sendable {
        /// With its offset; a logical one (`beginning`) where the partition has no leader that tells its first.
        let partition: TopicPartition
        /// Whether the group had committed it.
        let isCommitted: Bool
    }

    struct Answer: Sendable {
        var positions: [Position] = []
        /// Partitions that cannot be placed yet: they have no leader, or Kafka did not answer.
        var open: [TopicPartition] = []
        /// What commits of a topic keep beside the offset.
        var marks: [String: PositionMark] = [:]
        /// Cluster ids of committed offsets that differ from this cluster's.
        var foreignClusters: Set<String> = []
        /// Why something is open.
        var error: KafkaError?
    }

    /// How long one question may take, in milliseconds.
    private static let timeout: Int32 = 5_000
    /// The clocks of this machine and of the bridge may differ: `.latest` reaches so far back where it is found by time.
    private static let clockTolerance: Int64 = 5_000

    func run(_ client: Client) -> Answer {
        var answer = Answer()
        answer.marks = marks
        do throws(KafkaError) {
            let committed = try client.committed(partitions, timeout: Self.timeout)
            for place in committed where place.offset != nil {
                answer.positions.append(Position(partition: place, isCommitted: true))
                note(place, in: &answer)
            }
            let rest = committed.filter { $0.offset == nil }
            for (topic, places) in Dictionary(grouping: rest, by: \.topic).sorted(by: { $0.key < $1.key }) {
                do throws(KafkaError) {
                    try begin(places, of: topic, client, &answer)
                } catch {
                    // Other topics go on.
                    answer.error = error
                    let placed = Set(
                        answer.positions.map { TopicPartition($0.partition.topic, $0.partition.partition) })
                    answer.open += places.map { TopicPartition($0.topic, $0.partition) }.filter { !placed.contains($0) }
                }
            }
        } catch {
            // Without it the group's positions are not known, and nothing is assumed.
            answer.error = error
            answer.open = partitions
        }
        for partition in partitions where answer.marks[partition.topic] == nil {
            answer.marks[partition.topic] = PositionMark()
        }
        if let cluster = client.clusterID {
            answer.foreignClusters.remove(cluster)
            for partition in partitions { answer.marks[partition.topic]?.cluster = cluster }
        }
        for topic in Set(partitions.map(\.topic)).intersection(starts.topics) {
            answer.marks[topic]?.topics = Set(starts.topics)
        }
        return answer
    }

    /// Takes over what a committed offset tells about the group.
    private func note(_ place: TopicPartition, in answer: inout Answer) {
        guard let mark = PositionMark(place.metadata) else { return }
        if let cluster = mark.cluster { answer.foreignClusters.insert(cluster) }
        if answer.marks[place.topic]?.joinedAt == nil { answer.marks[place.topic] = mark }
    }

    /// Where a group begins in a topic in which this lookup has found no position.
    ///
    /// A group that has positions in other topics, and has not read this one, has a new handler: it begins at the end. A group
    /// that has read the topic before begins as a new group does: the topic, or the partition, is new. Members that start together
    /// may see each other's first commits; those of this topic have the time of the first join.
    private func start(of topic: String, _ client: Client, _ answer: inout Answer) throws(KafkaError) -> StartPosition {
        guard starts.topics.contains(topic) else { return .earliest }
        if let asked = starts.handlers[topic] { return asked }
        guard starts.newGroup == .earliest else { return starts.newGroup }
        if answer.marks[topic]?.isNewHandler == true { return .latest }
        guard starts.topics.count > 1 else { return .earliest }
        let known = try client.metadata(timeout: Self.timeout).topics
        let places = known.filter { starts.topics.contains($0.name) }.flatMap { one in
            one.partitions.map { TopicPartition(one.name, $0.id) }
        }
        var isExisting = false
        var isRead = false
        var beganAtEnd = false
        for place in try client.committed(places, timeout: Self.timeout) where place.offset != nil {
            let mark = PositionMark(place.metadata)
            if place.topic == topic {
                isRead = true
                if mark?.joinedAt != nil { beganAtEnd = true }
            } else if let mark, !mark.topics.isEmpty {
                // Positions of another program say nothing about handlers.
                isExisting = true
                if mark.topics.contains(topic) { isRead = true }
            }
        }
        guard beganAtEnd || isExisting && !isRead else { return .earliest }
        answer.marks[topic, default: PositionMark()].isNewHandler = true
        return .latest
    }

    /// Partitions of a topic without a committed offset.
    private func begin(
        _ places: [TopicPartition], of topic: String, _ client: Client, _ answer: inout Answer
    ) throws(KafkaError) {
        let start = try start(of: topic, client, &answer)
        let metadata = try client.metadata(topic: topic, timeout: Self.timeout)
        guard let known = metadata.topics.first(where: { $0.name == topic }), known.error == nil else {
            throw KafkaError(.unknownTopicOrPartition)
        }
        let led = Set(known.partitions.filter { $0.leader >= 0 }.map(\.id))
        var atBeginning = places
        var atTime: [TopicPartition] = []
        if start != .earliest {
            var hasPositions = answer.marks[topic]?.joinedAt != nil
            if !hasPositions {
                let all = try client.committed(
                    known.partitions.map { TopicPartition(topic, $0.id) }, timeout: Self.timeout)
                for place in all where place.offset != nil {
                    hasPositions = true
                    note(place, in: &answer)
                }
            }
            let count = Int32(clamping: known.partitions.count)
            if !hasPositions {
                answer.marks[topic, default: PositionMark()].joinedAt = assignedAt
                answer.marks[topic]?.partitions = count
            }
            // Positions that another program has committed do not record how many partitions there were.
            let first = answer.marks[topic]?.partitions ?? 0
            func isNew(_ place: TopicPartition) -> Bool {
                place.partition >= first || readBefore.contains(TopicPartition(topic, place.partition))
            }
            atBeginning = places.filter { isNew($0) }
            atTime = places.filter { !isNew($0) }
            answer.open += atTime.filter { !led.contains($0.partition) }.map { TopicPartition(topic, $0.partition) }
            atTime.removeAll { !led.contains($0.partition) }
            if !atTime.isEmpty {
                let isFirst = !hasPositions && start == .latest
                try place(
                    atTime, from: isFirst ? TopicPartition.end : time(start, answer.marks[topic]), client, &answer)
            }
        }
        // A partition without a leader has a beginning nevertheless; which offset that is shows later.
        for one in atBeginning where !led.contains(one.partition) {
            answer.positions.append(
                Position(
                    partition: TopicPartition(topic, one.partition, offset: TopicPartition.beginning),
                    isCommitted: false))
        }
        atBeginning.removeAll { !led.contains($0.partition) }
        if !atBeginning.isEmpty { try place(atBeginning, from: TopicPartition.beginning, client, &answer) }
    }

    private func time(_ start: StartPosition, _ mark: PositionMark?) -> Int64 {
        if case .time(let time) = start { return max(0, time) }
        return max(0, (mark?.joinedAt ?? assignedAt) - Self.clockTolerance)
    }

    /// - Parameter time: milliseconds since 1970, or a logical offset.
    private func place(
        _ places: [TopicPartition], from time: Int64, _ client: Client, _ answer: inout Answer
    ) throws(KafkaError) {
        let found = try TopicPartition.withoutErrors(
            client.offsets(
                forTimes: places.map { TopicPartition($0.topic, $0.partition, offset: time) }, timeout: Self.timeout))
        var isAtEnd = found.filter { $0.offset == nil }
        var ends: [TopicPartition] = []
        if time >= 0, !isAtEnd.isEmpty {
            // Kafka looks a time up in the first segment that has it, and finds nothing where that segment was deleted up to a
            // later offset (DeleteRecords) and its file is still there. Then it does not find the time 0 either: all is read.
            let first = try TopicPartition.withoutErrors(
                client.offsets(
                    forTimes: isAtEnd.map { TopicPartition($0.topic, $0.partition, offset: 0) }, timeout: Self.timeout))
            let unsure = first.filter { $0.offset == nil }.map { TopicPartition($0.topic, $0.partition) }
            isAtEnd.removeAll { unsure.contains(TopicPartition($0.topic, $0.partition)) }
            if !unsure.isEmpty { try place(unsure, from: TopicPartition.beginning, client, &answer) }
        }
        if !isAtEnd.isEmpty {
            // No record is so new.
            ends = try TopicPartition.withoutErrors(
                client.offsets(
                    forTimes: isAtEnd.map { TopicPartition($0.topic, $0.partition, offset: TopicPartition.end) },
                    timeout: Self.timeout))
        }
        for one in found.filter({ $0.offset != nil }) + ends {
            answer.positions.append(
                Position(
                    partition: TopicPartition(
                        one.topic, one.partition, offset: one.offset ?? TopicPartition.beginning),
                    isCommitted: false))
        }
    }
}
