internal import SMSPortalEvents

/// The headers of a dead letter: those that Spring for Apache Kafka writes (`KafkaHeaders.DLT_…`), so that its tools and
/// people's habits work. Partition, offsets, times and counts are big-endian integers, as there; the rest is text.
package enum DeadLetterHeaders {
    package static let originalTopic: StaticString = "kafka_dlt-original-topic"
    static let originalPartition: StaticString = "kafka_dlt-original-partition"
    static let originalOffset: StaticString = "kafka_dlt-original-offset"
    static let originalTimestamp: StaticString = "kafka_dlt-original-timestamp"
    static let originalTimestampType: StaticString = "kafka_dlt-original-timestamp-type"
    static let originalGroup: StaticString = "kafka_dlt-original-consumer-group"
    package static let errorKind: StaticString = "kafka_dlt-exception-fqcn"
    package static let errorMessage: StaticString = "kafka_dlt-exception-message"
    /// Ours: how often the event has been handled, over all its redrives.
    package static let attempts: StaticString = "kafka_dlt-attempts"

    /// Ours, and of `smsbridge replay --to-topic`: the record is no live one but of the replay of this name.
    package static let replayName: StaticString = "replay-name"

    /// What a later failure takes the place of.
    private static let replaced = Set([errorKind, errorMessage, attempts].map { "\($0)" })

    /// Of an error's own words at most so many bytes are kept.
    static let maxMessageBytes = 4_096

    static func isRedriven(_ record: ConsumedRecord) -> Bool { record.header(originalTopic) != nil }

    /// How often a redriven event had been handled before.
    static func earlierAttempts(_ record: ConsumedRecord) -> Int {
        guard let bytes = record.header(attempts), bytes.count == 4 else { return 0 }
        return Int(bytes.reduce(UInt32(0)) { $0 << 8 | UInt32($1) })
    }

    /// The replay that a record says it is of; nil for a live one.
    static func replayName(of record: ConsumedRecord) -> String? {
        record.header(replayName).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The record's own headers, and what befell it. One that has been redriven keeps where it came from first; one that
    /// failed in a replay says so, for it is to be handled again as a part of that replay.
    static func headers(of record: ConsumedRecord, _ failure: Failure, group: String, replay: String? = nil) -> [(
        name: String, value: [UInt8]?
    )] {
        var all = record.headers.map { (name: $0.name, value: $0.value) }
        if let replay, replay != replayName(of: record) {
            all.removeAll { $0.name == "\(replayName)" }
            all.append(("\(replayName)", Array(replay.utf8)))
        }
        if isRedriven(record) {
            all.removeAll { replaced.contains($0.name) }
        } else {
            all.append(("\(originalTopic)", Array(record.topic.utf8)))
            all.append(("\(originalPartition)", bigEndian(record.partition)))
            all.append(("\(originalOffset)", bigEndian(record.offset)))
            if let timestamp = record.timestamp {
                all.append(("\(originalTimestamp)", bigEndian(timestamp)))
                all.append(
                    ("\(originalTimestampType)", Array((record.isCreateTime ? "CreateTime" : "LogAppendTime").utf8)))
            }
            all.append(("\(originalGroup)", Array(group.utf8)))
        }
        all.append(("\(errorKind)", Array(failure.kind.utf8)))
        all.append(("\(errorMessage)", cut(failure.message)))
        all.append(("\(attempts)", bigEndian(Int32(clamping: earlierAttempts(record) + failure.attempts))))
        return all
    }

    /// The beginning of a text, cut between characters.
    private static func cut(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8.prefix(maxMessageBytes + 1))
        guard bytes.count > maxMessageBytes else { return bytes }
        // A byte that continues a character has 10 in front.
        var end = maxMessageBytes
        while end > 0, bytes[end] & 0xC0 == 0x80 { end -= 1 }
        return Array(bytes[..<end])
    }

    private static func bigEndian(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.bigEndian) { Array($0) }
    }
}
