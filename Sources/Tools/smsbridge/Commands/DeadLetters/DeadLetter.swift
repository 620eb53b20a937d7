import SMSBridgeKafka
import SMSPortalEvents

/// What the headers of a dead letter tell: those that Spring for Apache Kafka writes, too.
struct DeadLetter {
    let record: ArchiveRecord

    init(_ record: ArchiveRecord) { self.record = record }

    private func bytes(_ name: String) -> [UInt8]? {
        record.headers.last { $0.name == "kafka_dlt-\(name)" }?.value
    }

    private func text(_ name: String) -> String? { bytes(name).map { String(decoding: $0, as: UTF8.self) } }

    private func number(_ name: String, bytes count: Int) -> Int64? {
        guard let bytes = bytes(name), bytes.count == count else { return nil }
        let number = bytes.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return count == 4 ? Int64(Int32(truncatingIfNeeded: number)) : Int64(bitPattern: number)
    }

    var originalTopic: String? { text("original-topic") }
    /// `topic[partition]@offset`; `?` for unknown parts.
    var origin: String {
        let partition = number("original-partition", bytes: 4).map(String.init) ?? "?"
        let offset = number("original-offset", bytes: 8).map(String.init) ?? "?"
        return "\(originalTopic ?? "?")[\(partition)]@\(offset)"
    }
    /// The type of the error.
    var cause: String { text("exception-fqcn") ?? "unknown" }
    /// May quote the event.
    var message: String { text("exception-message") ?? "" }
    /// Over all redrives; 0 where it is unknown.
    var attempts: Int64 { number("attempts", bytes: 4) ?? 0 }
    /// When the bridge received the event.
    var receivedAt: Int64? { number("original-timestamp", bytes: 8) }
    var eventID: String? {
        record.headers.last { $0.name == "ce_id" }?.value.map { String(decoding: $0, as: UTF8.self) }
    }
    /// The type, as in the topic's name.
    var type: String? { originalTopic?.split(separator: ".").last.map(String.init) }
    /// `partition:offset` in the dead-letter topic.
    var place: String { record.position }
}
