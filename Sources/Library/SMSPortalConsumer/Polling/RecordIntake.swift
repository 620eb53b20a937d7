internal import SMSBridgeKafka

/// Turns messages into records for the dispatcher: for the polling thread and for the one that reads again.
struct RecordIntake: Sendable {
    /// The topics that are read, by the position that records carry.
    let topics: [String]
    /// The position of the redrive topic; -1 for none.
    let redriveTopic: Int32
    private let hash = KeyHash()

    /// What holding a record costs beside its bytes.
    private static let overhead = 192

    init(topics: [String], redriveTopic: String) {
        self.topics = topics
        self.redriveTopic = Int32(topics.firstIndex(of: redriveTopic) ?? -1)
    }

    func position(of topic: String) -> Int32 { Int32(topics.firstIndex(of: topic) ?? 0) }

    @inline(__always)
    func record(_ message: PolledMessage, topic: Int32) -> IncomingRecord {
        IncomingRecord(
            message: message.address, record: nil,
            hash: hash(
                message.key, domain: topic == redriveTopic ? domain(of: message) : topic, partition: message.partition,
                offset: message.offset),
            offset: message.offset, timestamp: message.timestamp ?? 0,
            size: Int32(truncatingIfNeeded: message.size &+ Self.overhead), topic: topic)
    }

    /// A redriven event and a live one of its number and type are handled one after the other, so it belongs to the topic that
    /// it came from.
    @inline(never)
    private func domain(of message: PolledMessage) -> Int32 {
        let name = message.withRawHeaders { headers in
            headers.first { $0.name.isEqual(to: DeadLetterHeaders.originalTopic) }?.value
                .map { String(decoding: $0, as: UTF8.self) }
        }
        return name.flatMap { topics.firstIndex(of: $0) }.map { Int32($0) } ?? redriveTopic
    }
}
