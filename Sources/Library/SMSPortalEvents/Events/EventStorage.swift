/// What an event is made of: the bytes of its record, or its fields one by one once it was made or changed.
///
/// One reference, whatever the event has: events are handed around much more often than they are changed.
package enum EventStorage: Sendable {
    /// As it was read from a record; its texts are made when they are read.
    case record(EventBlock)
    /// As it was made or changed.
    case fields(EventFieldsBox)

    init(_ fields: EventFields) { self = .fields(EventFieldsBox(fields)) }

    /// A field, from where the event has it.
    @inline(__always)
    func read<Value>(_ fromRecord: (EventBlock) -> Value, fields fromFields: (EventFields) -> Value) -> Value {
        switch self {
        case .record(let block): fromRecord(block)
        case .fields(let box): fromFields(box.fields)
        }
    }

    /// All fields, of a record those that its type has.
    var allFields: EventFields { read(EventFields.init, fields: { $0 }) }

    /// What every event has: a view of this event.
    var envelope: Envelope {
        get { Envelope(self) }
        set {
            let fields = newValue.fields
            edit { $0.envelope = fields }
        }
    }

    /// Changes fields; other copies of the event keep theirs.
    mutating func edit(_ change: (inout EventFields) -> Void) {
        var fields = allFields
        change(&fields)
        self = EventStorage(fields)
    }
}

extension EventStorage: Hashable {
    /// Whether all fields are alike.
    package static func == (left: EventStorage, right: EventStorage) -> Bool {
        switch (left, right) {
        case (.record(let left), .record(let right)) where left === right: true
        case (.fields(let left), .fields(let right)) where left === right: true
        default: left.allFields == right.allFields
        }
    }

    package func hash(into hasher: inout Hasher) { hasher.combine(allFields) }
}

/// Fields in memory of their own.
package final class EventFieldsBox: Sendable {
    let fields: EventFields

    init(_ fields: EventFields) { self.fields = fields }
}

/// The fields of an event of any type; those that its type does not have are empty.
struct EventFields: Sendable, Hashable {
    var envelope: EnvelopeFields
    var status = ""
    var state = DeliveryState.unknown
    var parts: Int?
    var dataType: String?
    var sentText: String?
    var sentAt: EventTime?
    var flash: Bool?
    var group: ContactGroup?
    var text = ""
    var isOptOut = false
    var destination: String?
    var campaign: String?
    var sentMessageID: String?
    var numberValue1: String?
    var numberValue2: String?
    var numberValue3: String?
    var numberValue4: String?
    var numberValue5: String?
    var numberValue6: String?
    var shortCode: String?
    var keyword: String?
    var interaction: String?
    var url: String?
    var landingPage: LandingPage?
    var reason = UnrecognisedReason.unknownShape
    var detail: String?

    init(_ envelope: EnvelopeFields) { self.envelope = envelope }

    init(_ block: EventBlock) {
        envelope = EnvelopeFields(block)
        switch block.head.pointee.type {
        case .deliveryStatus:
            status = block.required(.status)
            state = block.head.pointee.state
            parts = block.parts
            dataType = block.text(.dataType)
            sentText = block.text(.sentText)
            sentAt = block.sentAt
            flash = block.flash
            group = block.group
        case .reply:
            text = block.required(.text)
            isOptOut = block.head.pointee.isOptOut
            destination = block.text(.destination)
            campaign = block.text(.campaign)
            sentMessageID = block.text(.sentMessageId)
            sentText = block.text(.sentText)
            sentAt = block.sentAt
            group = block.group
            numberValue1 = block.text(.numberValue1)
            numberValue2 = block.text(.numberValue2)
            numberValue3 = block.text(.numberValue3)
            numberValue4 = block.text(.numberValue4)
            numberValue5 = block.text(.numberValue5)
            numberValue6 = block.text(.numberValue6)
        case .shortCode:
            text = block.required(.text)
            isOptOut = block.head.pointee.isOptOut
            shortCode = block.text(.shortCode)
            keyword = block.text(.keyword)
        case .urlPreview, .urlClick:
            interaction = block.text(.interaction)
            url = block.text(.url)
            landingPage = block.landingPage
        case .unrecognised:
            reason = UnrecognisedReason(rawValue: block.required(.reason))
            detail = block.text(.detail)
        }
    }
}

/// What every event has.
struct EnvelopeFields: Sendable, Hashable {
    var id: String
    var idBasis: EventIDBasis
    var account: String
    var receivedAt: EventTime
    var occurredAt: EventTime?
    var msisdn: String?
    var batchID: String?
    var messageID: String?
    var reference: String?
    var network: Envelope.Network?
    var raw: Callback
    var isRecovered: Bool
    var isImported: Bool
    var traceparent: String?
    var tracestate: String?

    init(
        id: String, idBasis: EventIDBasis, account: String, receivedAt: EventTime, occurredAt: EventTime?,
        msisdn: String?, batchID: String?, messageID: String?, reference: String?, network: Envelope.Network?,
        raw: Callback, isRecovered: Bool, isImported: Bool, traceparent: String?, tracestate: String?
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
        self.isRecovered = isRecovered
        self.isImported = isImported
        self.traceparent = traceparent
        self.tracestate = tracestate
    }

    init(_ block: EventBlock) {
        id = block.required(.id)
        idBasis = block.head.pointee.idBasis
        account = block.required(.account)
        receivedAt = block.receivedAt
        occurredAt = block.occurredAt
        msisdn = block.text(.msisdn)
        batchID = block.text(.batchId)
        messageID = block.text(.messageId)
        reference = block.text(.reference)
        network = block.network
        raw = block.callback
        isRecovered = false
        isImported = false
        traceparent = block.traceparent
        tracestate = block.tracestate
    }
}
