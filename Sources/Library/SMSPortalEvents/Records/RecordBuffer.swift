/// A Kafka record in memory that is used again for the next one: key, value, headers, topic and timestamp.
package final class RecordBuffer {
    // Unchecked: a buffer belongs to one thread, and no access calls anything that could reach it again, but `withValue`,
    // `withKey` and `withParts`, which only read.
    @exclusivity(unchecked) private var state = RecordState()

    /// An empty buffer.
    package init() {}

    /// The topic that the record goes to.
    package var topic: EventTopic { state.topic }
    /// What the record tells.
    package var type: EventType { state.type }
    /// The time of reception, in milliseconds since the epoch.
    package var timestamp: Int64 { state.timestamp }

    /// Whether the text of one field had broken the callback's JSON and was recovered.
    package var isRecovered: Bool { state.isRecovered }

    /// Whether a field of the callback's body is named `secret`; unknown where the body could not be read.
    package var hasSecretField: Bool { state.hasSecretField }

    /// The sample number's callbacks go to a topic of their own.
    package var isTest: Bool { state.topic == .test }

    /// The event id, 32 hexadecimal digits.
    package var id: String { state.bytes(state.headers[1]).string }

    /// The value; the bytes are valid until the body returns.
    @inline(__always)
    package func withValue<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try body(state.raw(state.value))
    }

    /// The key, nil when the record has none; the bytes are valid until the body returns.
    @inline(__always)
    package func withKey<Result>(_ body: (UnsafeRawBufferPointer?) throws -> Result) rethrows -> Result {
        try body(state.key.count == 0 ? nil : state.raw(state.key))
    }

    /// Value, key and headers, one behind the other; the bytes are valid until the body returns.
    ///
    /// - Parameter body: gets all of them, how many are the value's, how many the key's (0 where there is none), and where the
    ///   headers begin. For each header: the length of its name (1 byte), the name, the length of its value (4 bytes, little
    ///   endian), the value.
    @inline(__always)
    package func withParts<Result>(
        _ body: (_ bytes: UnsafeRawBufferPointer, _ valueCount: Int, _ keyCount: Int) throws -> Result
    ) rethrows -> Result {
        try body(UnsafeRawBufferPointer(state.everything.buffer), state.value.count, state.key.count)
    }

    /// Seven to nine headers; the bytes are valid until each call returns.
    @inline(__always)
    package func forEachHeader(
        _ body: (_ name: StaticString, _ value: UnsafeRawBufferPointer) throws -> Void
    ) rethrows {
        // Copied out, so that the body may do with this buffer what it likes except fill it.
        let headers = state.headers
        let bytes = state.everything
        for index in 0..<RecordState.headerCount where headers[index].count > 0 {
            let cut = headers[index]
            let value = UnsafeRawBufferPointer(bytes[cut.start..<cut.start + cut.count].buffer)
            try body(RecordState.headerName(index), value)
        }
    }

    /// Replaces everything with the record of an event.
    func fill(from draft: borrowing Draft) { state.fill(from: draft) }
}

/// What a ``RecordBuffer`` holds: one run of bytes, and where in it the parts are.
struct RecordState: ~Copyable {
    /// A part of the run.
    struct Cut {
        var start = 0
        var count = 0
    }

    private(set) var topic = EventTopic.quarantine
    private(set) var type = EventType.unrecognised
    private(set) var isRecovered = false
    private(set) var hasSecretField = false
    private(set) var timestamp: Int64 = 0
    private(set) var value = Cut()
    private(set) var key = Cut()
    private(set) var headers = InlineArray<9, Cut>(repeating: Cut())
    private var writer = ByteWriter(capacity: 8192)

    static let headerCount = 9

    /// In the order in which they are written; the last two only when the caller of the bridge sent them.
    @inline(__always)
    static func headerName(_ index: Int) -> StaticString {
        switch index {
        case 0: "ce_specversion"
        case 1: "ce_id"
        case 2: "ce_type"
        case 3: "ce_source"
        case 4: "ce_time"
        case 5: "ce_idbasis"
        case 6: "content-type"
        case 7: "traceparent"
        default: "tracestate"
        }
    }

    /// What is kept for the next event after a large one, in bytes.
    private static let keptCapacity = 1 << 18

    @inline(__always)
    var everything: Bytes { writer.bytes }

    @inline(__always)
    func bytes(_ cut: Cut) -> Bytes { writer.bytes[cut.start..<cut.start + cut.count] }

    @inline(__always)
    func raw(_ cut: Cut) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(bytes(cut).buffer) }

    mutating func fill(from draft: borrowing Draft) {
        topic = draft.topic
        type = draft.type
        isRecovered = draft.isRecovered
        hasSecretField = draft.hasSecretField
        timestamp = draft.receivedAt
        writer.removeAll(keepingAtMost: Self.keptCapacity)
        let time = writer.appendValue(of: draft)
        value = Cut(start: 0, count: writer.count)
        key = append(draft.key)
        // What is the same in each record is one literal: the length of the name, the name, the length of the value.
        writer.append("\u{e}ce_specversion\u{3}\0\0\01.0")
        headers[0] = Cut(start: writer.count - 3, count: 3)
        writer.append("\u{5}ce_id")
        headers[1] = appendSized(draft.id)
        writer.append("\u{7}ce_type")
        headers[2] = appendSized(Bytes(draft.type.cloudEventsType))
        writer.append("\u{9}ce_source")
        let source = writer.count + 4
        writer.append("\0\0\0\0/smsportal/")
        writer.appendPathSegment(draft.account, isPlain: draft.accountIsPlain)
        headers[3] = Cut(start: source, count: writer.count - source)
        writer.setSize(writer.count - source, at: source - 4)
        writer.append("\u{7}ce_time")
        headers[4] = appendSized(bytes(Cut(start: time.lowerBound, count: time.count)))
        writer.append("\u{a}ce_idbasis")
        headers[5] = appendSized(Bytes(draft.idBasis.name))
        writer.append("\u{c}content-type\u{10}\0\0\0application/json")
        headers[6] = Cut(start: writer.count - 16, count: 16)
        headers[7] = Cut()
        headers[8] = Cut()
        if !draft.traceparent.isEmpty {
            writer.append("\u{b}traceparent")
            headers[7] = appendSized(draft.traceparent)
        }
        if !draft.tracestate.isEmpty {
            writer.append("\u{a}tracestate")
            headers[8] = appendSized(draft.tracestate)
        }
    }

    /// A header's value, and before it how long it is.
    @inline(__always)
    private mutating func appendSized(_ bytes: Bytes) -> Cut {
        let start = writer.count + 4
        writer.appendSized(bytes)
        return Cut(start: start, count: bytes.count)
    }

    @inline(__always)
    private mutating func append(_ bytes: Bytes) -> Cut {
        let start = writer.count
        writer.append(bytes)
        return Cut(start: start, count: bytes.count)
    }
}

extension ByteWriter {
    /// A path segment of a URI (RFC 3986): unreserved characters as they are, anything else as percent escapes.
    @inline(__always)
    fileprivate mutating func appendPathSegment(_ text: Bytes, isPlain: Bool) {
        if isPlain { append(text) } else { appendPathSegment(text) }
    }

    private mutating func appendPathSegment(_ text: Bytes) {
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
