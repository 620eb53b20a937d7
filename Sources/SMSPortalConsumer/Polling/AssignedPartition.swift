internal import Kafka

/// A partition that this member reads.
struct AssignedPartition {
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
    var eventPartition: EventPartition { EventPartition(topic: topic, partition: partition) }
}
