/// What every event has, whatever it tells.
public struct Envelope: Sendable, Hashable {
    /// The event id: 32 hexadecimal digits. A repeat of the same callback has the same id, as far as ``idBasis`` allows.
    public var id: String
    /// What the id was made from, and so how far a repeat is recognised.
    public var idBasis: EventIDBasis
    /// The account whose callback it was; `default` where there is one only.
    public var account: String
    /// When the bridge received the callback. Also the timestamp of the record.
    public var receivedAt: EventTime
    /// When it happened, as the vendor says: the status was set, the message came in, the link was touched. Nil when the
    /// callback does not say.
    public var occurredAt: EventTime?
    /// The number of the subscriber: 5 to 15 digits in international form, and the key of the record. What is no number stands
    /// here as it came, and the record has no key. Nil when the callback names none.
    public var msisdn: String?
    /// The vendor's id of the batch that was sent (`EventId`). One id for many messages.
    public var batchID: String?
    /// The vendor's id: of the message sent (delivery statuses, previews and clicks), of the reply, of the message to a short
    /// code. Digits; text because it may pass 2^53.
    public var messageID: String?
    /// What the sender gave along when sending (`UserReference`, `customerId`).
    public var reference: String?
    /// The subscriber's network.
    public var network: Network?
    /// The callback as it came. Nothing of it is lost.
    public var raw: Callback
    /// W3C Trace Context of the vendor's request, when it had one. In the record's headers, not in its value.
    public var traceparent: String?
    /// The state that belongs to ``traceparent``.
    public var tracestate: String?

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
    ///   - raw: The callback as it came.
    ///   - traceparent: W3C Trace Context; written only when well formed.
    ///   - tracestate: Its state; written only when well formed and `traceparent` is, too.
    public init(
        id: String, idBasis: EventIDBasis, account: String = "default", receivedAt: EventTime,
        occurredAt: EventTime? = nil, msisdn: String? = nil, batchID: String? = nil, messageID: String? = nil,
        reference: String? = nil, network: Network? = nil, raw: Callback, traceparent: String? = nil,
        tracestate: String? = nil
    ) {
        self.id = id
        self.idBasis = idBasis
        self.account = account
        self.receivedAt = receivedAt
        self.occurredAt = occurredAt
        self.msisdn = msisdn
        self.batchID = batchID
        self.messageID = messageID
        self.reference = reference
        self.network = network
        self.raw = raw
        self.traceparent = traceparent
        self.tracestate = tracestate
    }
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
