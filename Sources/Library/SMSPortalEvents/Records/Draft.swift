/// An event on its way into a record: everything that the writer needs, as bytes that the caller keeps alive.
///
/// The one thing that both ways into a record fill, decoding a callback and encoding a typed event, so that there is
/// one writer and one shape.
struct Draft: ~Copyable {
    var type = EventType.unrecognised
    var topic = EventTopic.quarantine
    var id = Bytes.empty
    var idBasis = EventIDBasis.reception
    var account = Bytes.empty
    /// Whether the account is known to need no escape in a URI.
    var accountIsPlain = false
    /// Milliseconds since the epoch.
    var receivedAt: Int64 = 0
    /// Digits; empty for a record without a key.
    var key = Bytes.empty

    var state = DeliveryState.unknown
    var isOptOut = false
    var parts = 0
    var isFlash = false
    var occurredAt: Int64 = 0
    var sentAt: Int64 = 0
    var reason = Bytes.empty
    /// Empty for none.
    var detail = Bytes.empty

    /// Objects of the value that are written even when none of their members is set.
    var hasNetwork = false
    var hasGroup = false
    var hasLandingPage = false

    var method = CallbackMethod.post
    var route: EventType?
    var contentType = Bytes.empty
    /// Empty for none.
    var contentEncoding = Bytes.empty
    /// Whether the text of one field had broken the callback's JSON and was recovered.
    var isRecovered = false
    /// Whether a field of the body is named `secret`.
    var hasSecretField = false
    /// Whether the callback did not come through the webhook.
    var isImported = false
    var query = Bytes.empty
    var body = Bytes.empty
    var queryIsUTF8 = true
    var bodyIsUTF8 = true

    /// Empty for none; checked by the caller.
    var traceparent = Bytes.empty
    var tracestate = Bytes.empty

    private var present: UInt64 = 0
    private let texts: UnsafeMutablePointer<Bytes>

    init() {
        texts = .allocate(capacity: Field.allCases.count)
        texts.initialize(repeating: .empty, count: Field.allCases.count)
    }

    deinit { texts.deallocate() }

    /// Forgets all fields of the event; what describes the request stays.
    mutating func removeFields() {
        present = 0
        isRecovered = false
        hasSecretField = false
        isOptOut = false
        hasNetwork = false
        hasGroup = false
        hasLandingPage = false
        key = .empty
        reason = .empty
        detail = .empty
    }

    @inline(__always)
    func has(_ field: Field) -> Bool { present & (1 << UInt64(field.rawValue)) != 0 }

    @inline(__always)
    mutating func mark(_ field: Field) { present |= 1 << UInt64(field.rawValue) }

    @inline(__always)
    mutating func set(_ field: Field, _ text: Bytes) {
        mark(field)
        texts[Int(field.rawValue)] = text
    }

    /// The text of a field that is set; void otherwise.
    @inline(__always)
    func text(_ field: Field) -> Bytes { texts[Int(field.rawValue)] }

    @inline(__always)
    func hasAny(of mask: UInt64) -> Bool { present & mask != 0 }

    static func mask(_ fields: Field...) -> UInt64 {
        fields.reduce(0) { $0 | 1 << UInt64($1.rawValue) }
    }
}
