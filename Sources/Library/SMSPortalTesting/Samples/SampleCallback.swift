internal import SMSPortalEvents
internal import Synchronization

/// The parameters of any sample; nil leaves the parameter out of the callback.
struct SampleFields {
    var msisdn: String?
    var messageID: String?
    var batchID: String?
    var reference: String?
    var account: String
    var occurredAt: EventTime?
    var receivedAt: EventTime?
}

/// A callback as the vendor would send it, made from what a test cares about. The sample is what the bridge's own
/// decoder makes of it: so it has the id, the opt-out mark and the `raw` that the real event would have.
struct SampleCallback {
    private let type: EventType
    private let fields: SampleFields
    private let number: Int64
    private let receivedAt: EventTime
    private let occurredAt: EventTime
    private var query = ""

    private static let counter = Atomic<Int64>(0)
    /// 2026-01-01T08:00:00Z: samples are received from here on, one a second.
    private static let firstReception: Int64 = 1_767_254_400_000

    init(_ type: EventType, _ fields: SampleFields) {
        self.type = type
        self.fields = fields
        number = Self.counter.add(1, ordering: .relaxed).newValue
        let next = EventTime(millisecondsSinceEpoch: Self.firstReception + number * 1_000)
        occurredAt = fields.occurredAt ?? fields.receivedAt ?? next
        receivedAt = fields.receivedAt ?? max(occurredAt, next)
    }

    /// Ten digits that no other sample has.
    private var distinctID: String { String(9_000_000_000 + number) }

    mutating func add(_ name: String, _ value: String?) {
        guard let value else { return }
        if !query.isEmpty { query += "&" }
        query += "\(name)="
        for byte in value.utf8 {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "a")...UInt8(ascii: "z"):
                query.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                query += byte < 16 ? "%0" : "%"
                query += String(byte, radix: 16, uppercase: true)
            }
        }
    }

    mutating func add(_ name: String, _ time: EventTime?) {
        guard let milliseconds = time?.millisecondsSinceEpoch else { return }
        add(name, String(milliseconds >= 0 ? milliseconds / 1_000 : (milliseconds - 999) / 1_000))
    }

    /// The event of the callback.
    ///
    /// - Parameters:
    ///   - id: what the vendor calls the id in callbacks of this type; nil where there is none, and the reference tells
    ///     samples apart.
    ///   - time: what it calls the time.
    ///   - else: the event where the callback cannot be understood: one with more than 64 KiB of text, or an account
    ///     with an impossible name.
    func event<Payload: Sampled>(id: String?, time: String, else make: (Envelope) -> Payload) -> Payload {
        let messageID = fields.messageID ?? (id == nil ? nil : distinctID)
        let reference = fields.reference ?? (id == nil ? "sample-\(distinctID)" : nil)
        var callback = self
        callback.add("phoneNumber", fields.msisdn)
        callback.add(id ?? "id", messageID)
        callback.add("eventId", fields.batchID)
        callback.add("customerId", reference)
        callback.add(time, occurredAt)
        let raw = Callback(method: .get, route: type, query: Array(callback.query.utf8))
        let configuration = DecoderConfiguration(accounts: [fields.account])
        if let event = try? Event(callback: raw, receivedAt: receivedAt, configuration: configuration),
            var payload = Payload(sample: event)
        {
            // The vendor tells whole seconds; a test may want more.
            payload.envelope.occurredAt = occurredAt
            return payload
        }
        var envelope = envelope(of: raw)
        envelope.occurredAt = occurredAt
        envelope.msisdn = fields.msisdn
        envelope.batchID = fields.batchID
        envelope.messageID = messageID
        envelope.reference = reference
        return make(envelope)
    }
}

extension SampleCallback {
    static func unrecognised(body: String, account: String, receivedAt: EventTime?) -> Unrecognised {
        let callback = SampleCallback(
            .unrecognised,
            SampleFields(account: account, occurredAt: receivedAt, receivedAt: receivedAt))
        let raw = Callback(method: .post, route: nil, contentType: "application/json", body: body)
        let event = try? Event(
            callback: raw, receivedAt: callback.receivedAt, configuration: DecoderConfiguration(accounts: [account]))
        if let event, let unrecognised = Unrecognised(sample: event) { return unrecognised }
        return Unrecognised(envelope: callback.envelope(of: raw), reason: .unknownShape)
    }

    /// Where the bridge's decoder has made none.
    private func envelope(of raw: Callback) -> Envelope {
        let digits = String(number, radix: 16)
        return Envelope(
            id: String(repeating: "0", count: 32 - digits.count) + digits, idBasis: .reception,
            account: fields.account, receivedAt: receivedAt, raw: raw)
    }
}

/// A type of event that samples are made of.
protocol Sampled {
    var envelope: Envelope { get set }
    /// - Returns: nil when the event is of another type.
    init?(sample event: Event)
}
