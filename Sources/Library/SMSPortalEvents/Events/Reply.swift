/// A subscriber has answered a message.
public struct Reply: EventPayload {
    package var storage: EventStorage

    package init(_ storage: EventStorage) { self.storage = storage }

    /// What every event has. `messageID` is that of the reply, `occurredAt` when it came in.
    public var envelope: Envelope {
        get { storage.envelope }
        set { storage.envelope = newValue }
    }
    /// What the subscriber wrote; may be empty.
    public var text: String {
        get { storage.read({ $0.required(.text) }, fields: { $0.text }) }
        set { storage.edit { $0.text = newValue } }
    }
    /// Whether the whole text is one of the opt-out phrases.
    public var isOptOut: Bool {
        get { storage.read({ $0.head.pointee.isOptOut }, fields: { $0.isOptOut }) }
        set { storage.edit { $0.isOptOut = newValue } }
    }
    /// The number or code that was answered to.
    public var destination: String? {
        get { storage.read({ $0.text(.destination) }, fields: { $0.destination }) }
        set { storage.edit { $0.destination = newValue } }
    }
    /// The campaign of the message that was answered.
    public var campaign: String? {
        get { storage.read({ $0.text(.campaign) }, fields: { $0.campaign }) }
        set { storage.edit { $0.campaign = newValue } }
    }
    /// The vendor's id of the message that was answered; a delivery status has it as its `messageID`.
    public var sentMessageID: String? {
        get { storage.read({ $0.text(.sentMessageId) }, fields: { $0.sentMessageID }) }
        set { storage.edit { $0.sentMessageID = newValue } }
    }
    /// The text of the message that was answered.
    public var sentText: String? {
        get { storage.read({ $0.text(.sentText) }, fields: { $0.sentText }) }
        set { storage.edit { $0.sentText = newValue } }
    }
    /// When the message that was answered was sent.
    public var sentAt: EventTime? {
        get { storage.read({ $0.sentAt }, fields: { $0.sentAt }) }
        set { storage.edit { $0.sentAt = newValue } }
    }
    /// The group of contacts that the message was sent to.
    public var group: ContactGroup? {
        get { storage.read({ $0.group }, fields: { $0.group }) }
        set { storage.edit { $0.group = newValue } }
    }
    /// The vendor's `NumberValue1`.
    public var numberValue1: String? {
        get { storage.read({ $0.text(.numberValue1) }, fields: { $0.numberValue1 }) }
        set { storage.edit { $0.numberValue1 = newValue } }
    }
    /// The vendor's `NumberValue2`.
    public var numberValue2: String? {
        get { storage.read({ $0.text(.numberValue2) }, fields: { $0.numberValue2 }) }
        set { storage.edit { $0.numberValue2 = newValue } }
    }
    /// The vendor's `NumberValue3`.
    public var numberValue3: String? {
        get { storage.read({ $0.text(.numberValue3) }, fields: { $0.numberValue3 }) }
        set { storage.edit { $0.numberValue3 = newValue } }
    }
    /// The vendor's `NumberValue4`.
    public var numberValue4: String? {
        get { storage.read({ $0.text(.numberValue4) }, fields: { $0.numberValue4 }) }
        set { storage.edit { $0.numberValue4 = newValue } }
    }
    /// The vendor's `NumberValue5`.
    public var numberValue5: String? {
        get { storage.read({ $0.text(.numberValue5) }, fields: { $0.numberValue5 }) }
        set { storage.edit { $0.numberValue5 = newValue } }
    }
    /// The vendor's `NumberValue6`.
    public var numberValue6: String? {
        get { storage.read({ $0.text(.numberValue6) }, fields: { $0.numberValue6 }) }
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
