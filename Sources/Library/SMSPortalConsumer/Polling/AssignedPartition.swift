internal import SMSBridgeKafka
internal import SMSBridgeReplaying

/// A partition that this member reads.
struct AssignedPartition {
    let topic: String
    let partition: Int32
    let assignment: AssignmentID
    /// The topic's position among those of the consumer.
    let topicPosition: Int32
    /// The offset that reading began at, where it was one.
    let start: Int64?
    /// The committed offset as far as this member knows it; nil where there is none.
    var committed: Int64?
    /// What its commits keep beside the offset.
    var mark: PositionMark
    var isPausedForSpan = false
    /// Events that are not done, as measured last; nil before.
    var lag: Int64?
    /// First and next offset as Kafka answered when it was asked, because nothing is fetched that would tell.
    var askedEnds: Range<Int64>?
    /// Of a replay: how far it has been read.
    var range: RangeProgress?

    /// Whether a replay has read all that it wants of it.
    var isRead: Bool { range?.isRead ?? false }

    /// - Parameter isCommitted: whether it begins at the group's committed offset.
    init(
        _ place: TopicPartition, assignment: AssignmentID, topicPosition: Int32, isCommitted: Bool = true,
        mark: PositionMark = PositionMark()
    ) {
        topic = place.topic
        partition = place.partition
        self.assignment = assignment
        self.topicPosition = topicPosition
        start = place.offset.flatMap { $0 >= 0 ? $0 : nil }
        committed = isCommitted ? start : nil
        self.mark = mark
    }

    init(_ planned: ReplayPlan.Partition, assignment: AssignmentID, topicPosition: Int32) {
        self.init(
            TopicPartition(planned.topic, planned.partition, offset: planned.offsets.lowerBound),
            assignment: assignment,
            topicPosition: topicPosition)
        range = RangeProgress(planned)
    }

    var topicPartition: TopicPartition { TopicPartition(topic, partition) }
}

extension TopicPartition {
    var eventPartition: EventPartition { EventPartition(topic: topic, partition: partition) }
}
