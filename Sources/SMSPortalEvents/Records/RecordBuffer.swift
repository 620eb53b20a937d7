/// A Kafka record in memory that is used again for the next one: key, value, headers, topic and timestamp.
package final class RecordBuffer {
    /// The topic's place among ``EventTopic/allCases``.
    package private(set) var topic = EventTopic.quarantine
    /// What the record tells.
    package private(set) var type = EventType.unrecognised
    /// The time of reception, in milliseconds since the epoch.
    package private(set) var timestamp: Int64 = 0

    private var writer = ByteWriter(capacity: 8192)
    private var value = 0..<0
    private var key = 0..<0
    private var headers: [Range<Int>] = Array(repeating: 0..<0, count: RecordBuffer.headerNames.count)

    /// In the order in which they are written; the last two only when the caller of the bridge sent them.
    private static let headerNames: [StaticString] = [
        "ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "ce_idbasis", "content-type", "traceparent",
        "tracestate",
    ]

    /// What is kept for the next event after a large one, in bytes.
    private static let keptCapacity = 1 << 18

    /// An empty buffer.
    package init() {}

    /// The sample number's callbacks go to a topic of their own.
    package var isTest: Bool { topic == .test }

    /// The value; the bytes are valid until the body returns.
    @inline(__always)
    package func withValue<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try body(raw(value))
    }

    /// The key, nil when the record has none; the bytes are valid until the body returns.
    @inline(__always)
    package func withKey<Result>(_ body: (UnsafeRawBufferPointer?) throws -> Result) rethrows -> Result {
        try body(key.isEmpty ? nil : raw(key))
    }

    /// Seven to nine headers; the bytes are valid until each call returns.
    @inline(__always)
    package func forEachHeader(
        _ body: (_ name: StaticString, _ value: UnsafeRawBufferPointer) throws -> Void
    ) rethrows {
        for index in 0..<Self.headerNames.count where !headers[index].isEmpty {
            try body(Self.headerNames[index], raw(headers[index]))
        }
    }

    /// The event id, 32 hexadecimal digits.
    package var id: String { writer.bytes[headers[1]].string }

    private func raw(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(writer.bytes[range].buffer)
    }

    /// Replaces everything with the record of an event.
    func fill(from draft: borrowing Draft) {
        topic = draft.topic
        type = draft.type
        timestamp = draft.receivedAt
        writer.removeAll(keepingAtMost: Self.keptCapacity)
        let time = writer.appendValue(of: draft)
        value = 0..<writer.count
        key = appended(draft.key)
        headers[0] = appended(Bytes("1.0"))
        headers[1] = appended(draft.id)
        headers[2] = appended(Bytes(draft.type.cloudEventsType))
        let source = writer.count
        writer.append("/smsportal/")
        writer.appendPathSegment(draft.account)
        headers[3] = source..<writer.count
        headers[4] = time
        headers[5] = appended(Bytes(draft.idBasis.name))
        headers[6] = appended(Bytes("application/json"))
        headers[7] = appended(draft.traceparent)
        headers[8] = appended(draft.tracestate)
    }

    @inline(__always)
    private func appended(_ bytes: Bytes) -> Range<Int> {
        let start = writer.count
        writer.append(bytes)
        return start..<writer.count
    }
}

extension ByteWriter {
    /// A path segment of a URI (RFC 3986): unreserved characters as they are, anything else as percent escapes.
    fileprivate mutating func appendPathSegment(_ text: Bytes) {
        for index in 0..<text.count {
            let byte = text[index]
            if isDigit(byte) || asciiLowercase(byte) &- 0x61 < 26 || byte == 0x2D || byte == 0x2E || byte == 0x5F
                || byte == 0x7E
            {
                append(byte)
            } else {
                append(0x25)
                let digits = Bytes("0123456789ABCDEF")
                append(digits[Int(byte >> 4)])
                append(digits[Int(byte & 15)])
            }
        }
    }
}
