/// A subscriber has answered a message.
public struct Reply: EventPayload {
    package var storage: EventStorage

    package init(_ storage: EventStorage) { self.storage = storage }

    /// What every event has. `messageID` is that of the reply, `occurredAt` when it came in.
    public var envelope: Envelope {
        get { Envelope(storage) }
        set {
            let fields = newValue.fields
            storage.edit { $0.envelope = fields }
        }
    }
    /// What the subscriber wrote; may be empty.
    public var text: String {
        get {
            switch storage {
            case .record(let block): block.required(.text)
            case .fields(let box): box.fields.text
            }
        }
        set { storage.edit { $0.text = newValue } }
    }
    /// Whether the whole text is one of the opt-out phrases.
    public var isOptOut: Bool {
        get {
            switch storage {
            case .record(let block): block.head.pointee.isOptOut
            case .fields(let box): box.fields.isOptOut
            }
        }
        set { storage.edit { $0.isOptOut = newValue } }
    }
    /// The number or code that was answered to.
    public var destination: String? {
        get {
            switch storage {
            case .record(let block): block.text(.destination)
            case .fields(let box): box.fields.destination
            }
        }
        set { storage.edit { $0.destination = newValue } }
    }
    /// The campaign of the message that was answered.
    public var campaign: String? {
        get {
            switch storage {
            case .record(let block): block.text(.campaign)
            case .fields(let box): box.fields.campaign
            }
        }
        set { storage.edit { $0.campaign = newValue } }
    }
    /// The vendor's id of the message that was answered; a delivery status has it as its `messageID`.
    public var sentMessageID: String? {
        get {
            switch storage {
            case .record(let block): block.text(.sentMessageId)
            case .fields(let box): box.fields.sentMessageID
            }
        }
        set { storage.edit { $0.sentMessageID = newValue } }
    }
    /// The text of the message that was answered.
    public var sentText: String? {
        get {
            switch storage {
            case .record(let block): block.text(.sentText)
            case .fields(let box): box.fields.sentText
            }
        }
        set { storage.edit { $0.sentText = newValue } }
    }
    /// When the message that was answered was sent.
    public var sentAt: EventTime? {
        get {
            switch storage {
            case .record(let block): block.sentAt
            case .fields(let box): box.fields.sentAt
            }
        }
        set { storage.edit { $0.sentAt = newValue } }
    }
    /// The group of contacts that the message was sent to.
    public var group: ContactGroup? {
        get {
            switch storage {
            case .record(let block): block.group
            case .fields(let box): box.fields.group
            }
        }
        set { storage.edit { $0.group = newValue } }
    }
    /// The vendor's `NumberValue1`.
    public var numberValue1: String? {
        get {
            switch storage {
            case .record(let block): block.text(.numberValue1)
            case .fields(let box): box.fields.numberValue1
            }
        }
        set { storage.edit { $0.numberValue1 = newValue } }
    }
    /// The vendor's `NumberValue2`.
    public var numberValue2: String? {
        get {
            switch storage {
            case .record(let block): block.text(.numberValue2)
            case .fields(let box): box.fields.numberValue2
            }
        }
        set { storage.edit { $0.numberValue2 = newValue } }
    }
    /// The vendor's `NumberValue3`.
    public var numberValue3: String? {
        get {
            switch storage {
            case .record(let block): block.text(.numberValue3)
            case .fields(let box): box.fields.numberValue3
            }
        }
        set { storage.edit { $0.numberValue3 = newValue } }
    }
    /// The vendor's `NumberValue4`.
    public var numberValue4: String? {
        get {
            switch storage {
            case .record(let block): block.text(.numberValue4)
            case .fields(let box): box.fields.numberValue4
            }
        }
        set { storage.edit { $0.numberValue4 = newValue } }
    }
    /// The vendor's `NumberValue5`.
    public var numberValue5: String? {
        get {
            switch storage {
            case .record(let block): block.text(.numberValue5)
            case .fields(let box): box.fields.numberValue5
            }
        }
        set { storage.edit { $0.numberValue5 = newValue } }
    }
    /// The vendor's `NumberValue6`.
    public var numberValue6: String? {
        get {
            switch storage {
            case .record(let block): block.text(.numberValue6)
            case .fields(let box): box.fields.numberValue6
            }
        }
        set { storage.edit { $0.numberValue6 = newValue } }
    }

    /// The rest can be set afterwards.
    ///
    /// - Parameters:
    ///   - envelope: What every event has.
    ///   - text: What the subscriber wrote.
    ///   - isOptOut: Whether it is an opt-out phrase.
    ///   - destination: The number or code that was answered to.
    ///   - campaign: The campaign of the message that was answered.
    ///   - sentMessageID: The id of the message that was answered.
    ///   - sentText: Its text.
    ///   - sentAt: When it was sent.
    ///   - group: The group of contacts that it was sent to.
    public init(
        envelope: Envelope, text: String, isOptOut: Bool = false, destination: String? = nil, campaign: String? = nil,
        sentMessageID: String? = nil, sentText: String? = nil, sentAt: EventTime? = nil, group: ContactGroup? = nil
    ) {
        var fields = EventFields(envelope.fields)
        fields.text = text
        fields.isOptOut = isOptOut
        fields.destination = destination
        fields.campaign = campaign
        fields.sentMessageID = sentMessageID
        fields.sentText = sentText
        fields.sentAt = sentAt
        fields.group = group
        storage = EventStorage(fields)
    }

    /// Always ``EventType/reply``.
    public var type: EventType { .reply }
}
