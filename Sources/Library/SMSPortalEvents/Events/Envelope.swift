/// What every event has, whatever its type.
public struct Envelope: Sendable {
    /// The event's own: an envelope is a view of it.
    package var storage: EventStorage

    package init(_ storage: EventStorage) { self.storage = storage }

    /// The event id: 32 hexadecimal digits. A repeat of the same callback has the same id, as far as ``idBasis``
    /// allows.
    public var id: String {
        get { storage.read({ $0.required(.id) }, fields: { $0.envelope.id }) }
        set { storage.edit { $0.envelope.id = newValue } }
    }
    /// What the id was made from, and so how far a repeat is recognised.
    public var idBasis: EventIDBasis {
        get { storage.read({ $0.head.pointee.idBasis }, fields: { $0.envelope.idBasis }) }
        set { storage.edit { $0.envelope.idBasis = newValue } }
    }
    /// The account whose callback it was; `default` where there is one only.
    public var account: String {
        get { storage.read({ $0.required(.account) }, fields: { $0.envelope.account }) }
        set { storage.edit { $0.envelope.account = newValue } }
    }
    /// When the bridge received the callback. Also the timestamp of the record.
    public var receivedAt: EventTime {
        get { storage.read({ $0.receivedAt }, fields: { $0.envelope.receivedAt }) }
        set { storage.edit { $0.envelope.receivedAt = newValue } }
    }
    /// When it happened, as the vendor says: the status was set, the message came in, the link was touched. Nil when
    /// the callback does not say.
    public var occurredAt: EventTime? {
        get { storage.read({ $0.occurredAt }, fields: { $0.envelope.occurredAt }) }
        set { storage.edit { $0.envelope.occurredAt = newValue } }
    }
    /// The number of the subscriber: 5 to 15 digits in international form, and the key of the record. What is no number
    /// stands here unchanged, and the record has no key. Nil when the callback names none.
    public var msisdn: String? {
        get { storage.read({ $0.text(.msisdn) }, fields: { $0.envelope.msisdn }) }
        set { storage.edit { $0.envelope.msisdn = newValue } }
    }
    /// The vendor's id of the batch that was sent (`EventId`). One id for many messages.
    public var batchID: String? {
        get { storage.read({ $0.text(.batchId) }, fields: { $0.envelope.batchID }) }
        set { storage.edit { $0.envelope.batchID = newValue } }
    }
    /// The vendor's id: of the message sent (delivery statuses, previews and clicks), of the reply, of the message to a
    /// short code. Digits; text because it may pass 2^53.
    public var messageID: String? {
        get { storage.read({ $0.text(.messageId) }, fields: { $0.envelope.messageID }) }
        set { storage.edit { $0.envelope.messageID = newValue } }
    }
    /// What the sender gave along when sending (`UserReference`, `customerId`).
    public var reference: String? {
        get { storage.read({ $0.text(.reference) }, fields: { $0.envelope.reference }) }
        set { storage.edit { $0.envelope.reference = newValue } }
    }
    /// The subscriber's network.
    public var network: Network? {
        get { storage.read({ $0.network }, fields: { $0.envelope.network }) }
        set { storage.edit { $0.envelope.network = newValue } }
    }
    /// The original callback, complete.
    public var raw: Callback {
        get { storage.read({ $0.callback }, fields: { $0.envelope.raw }) }
        set { storage.edit { $0.envelope.raw = newValue } }
    }
    /// Whether the text of one field had broken the JSON of ``raw``, as template engines do that do not escape it, and
    /// was recovered. In the value it is `raw.recovered`.
    public var isRecovered: Bool {
        // The complete reader reads such values.
        get {
            storage.read { _ in
                false
            } fields: {
                $0.envelope.isRecovered
            }
        }
        set { storage.edit { $0.envelope.isRecovered = newValue } }
    }
    /// Whether the callback was imported from a file, and did not come through the webhook. In the value it is `raw.imported`.
    public var isImported: Bool {
        // The complete reader reads such values.
        get {
            storage.read { _ in
                false
            } fields: {
                $0.envelope.isImported
            }
        }
        set { storage.edit { $0.envelope.isImported = newValue } }
    }
    /// W3C Trace Context of the vendor's request, when it had one. In the record's headers, not in its value.
    public var traceparent: String? {
        get { storage.read({ $0.traceparent }, fields: { $0.envelope.traceparent }) }
        set { storage.edit { $0.envelope.traceparent = newValue } }
    }
    /// The state that belongs to ``traceparent``.
    public var tracestate: String? {
        get { storage.read({ $0.tracestate }, fields: { $0.envelope.tracestate }) }
        set { storage.edit { $0.envelope.tracestate = newValue } }
    }

    /// A mobile network.
    public struct Network: Sendable, Hashable {
        /// Mobile country code, three digits.
        public var mcc: String?
        /// Mobile network code, two or three digits; leading zeros count.
        public var mnc: String?

        /// - Parameters:
        ///   - mcc: Mobile country code.
        ///   - mnc: Mobile network code.
        public init(mcc: String? = nil, mnc: String? = nil) {
            self.mcc = mcc
            self.mnc = mnc
        }
    }

    /// - Parameters:
    ///   - id: The event id.
    ///   - idBasis: What the id was made from.
    ///   - account: The account.
    ///   - receivedAt: When the bridge received the callback.
    ///   - occurredAt: When it happened.
    ///   - msisdn: The number of the subscriber.
    ///   - batchID: The vendor's id of the batch.
    ///   - messageID: The vendor's id of the message or reply.
    ///   - reference: What the sender gave along.
    ///   - network: The subscriber's network.
    ///   - raw: The original callback.
    ///   - isRecovered: Whether a text that had broken its JSON was recovered.
    ///   - isImported: Whether the callback was imported from a file.
    ///   - traceparent: W3C Trace Context; written only when well formed.
    ///   - tracestate: Its state; written only when well formed and `traceparent` is, too.
    public init(
        id: String, idBasis: EventIDBasis, account: String = "default", receivedAt: EventTime,
        occurredAt: EventTime? = nil, msisdn: String? = nil, batchID: String? = nil, messageID: String? = nil,
        reference: String? = nil, network: Network? = nil, raw: Callback, isRecovered: Bool = false,
        isImported: Bool = false, traceparent: String? = nil, tracestate: String? = nil
    ) {
        let fields = EnvelopeFields(
            id: id, idBasis: idBasis, account: account, receivedAt: receivedAt, occurredAt: occurredAt, msisdn: msisdn,
            batchID: batchID, messageID: messageID, reference: reference, network: network, raw: raw,
            isRecovered: isRecovered, isImported: isImported, traceparent: traceparent, tracestate: tracestate)
        storage = EventStorage(EventFields(fields))
    }

    var fields: EnvelopeFields { storage.read(EnvelopeFields.init, fields: \.envelope) }
}

extension Envelope: Hashable {
    /// Whether two envelopes are alike in everything.
    public static func == (left: Envelope, right: Envelope) -> Bool { left.fields == right.fields }

    /// Feeds everything that `==` compares to a hasher.
    public func hash(into hasher: inout Hasher) { hasher.combine(fields) }
}

/// One of the event types. Everything in its ``envelope`` can be read from the event itself: `reply.msisdn`.
public protocol EventPayload: Sendable, Hashable {
    /// What the event tells.
    var type: EventType { get }
    /// What every event has.
    var envelope: Envelope { get }
}

extension EventPayload {
    /// See ``Envelope/id``.
    public var id: String { envelope.id }
    /// See ``Envelope/idBasis``.
    public var idBasis: EventIDBasis { envelope.idBasis }
    /// See ``Envelope/account``.
    public var account: String { envelope.account }
    /// See ``Envelope/receivedAt``.
    public var receivedAt: EventTime { envelope.receivedAt }
    /// See ``Envelope/occurredAt``.
    public var occurredAt: EventTime? { envelope.occurredAt }
    /// See ``Envelope/msisdn``.
    public var msisdn: String? { envelope.msisdn }
    /// See ``Envelope/batchID``.
    public var batchID: String? { envelope.batchID }
    /// See ``Envelope/messageID``.
    public var messageID: String? { envelope.messageID }
    /// See ``Envelope/reference``.
    public var reference: String? { envelope.reference }
    /// See ``Envelope/network``.
    public var network: Envelope.Network? { envelope.network }
    /// See ``Envelope/raw``.
    public var raw: Callback { envelope.raw }
    /// Every parameter of the callback, unknown and repeated ones included. See ``Callback/parameters``.
    public var parameters: [Callback.Parameter]? { envelope.raw.parameters }

    /// Whether this is a callback about the vendor's sample number 27000000001, as the Control Panel's test sends.
    public var isTest: Bool { type != .unrecognised && envelope.key == "\(MSISDN.sample)" }

    /// The topic of the event's record.
    public var topic: EventTopic { isTest ? .test : type.topic }
}

extension Envelope {
    /// The digits of ``msisdn``, which are the key of the record; nil where it is no number.
    public var key: String? {
        guard var number = msisdn else { return nil }
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: MSISDN.room) { room in
            guard let room = room.baseAddress else { return nil }
            return number.withUTF8 {
                MSISDN.normalised(Bytes(UnsafeRawBufferPointer($0)).trimmed, room: room)?.string
            }
        }
    }
}
