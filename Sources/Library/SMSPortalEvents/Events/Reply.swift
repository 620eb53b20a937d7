/// A subscriber has answered a message.
public struct Reply: EventPayload {
    /// What every event has. `messageID` is that of the reply, `occurredAt` when it came in.
    public var envelope: Envelope
    /// What the subscriber wrote; may be empty.
    public var text: String
    /// Whether the whole text is one of the opt-out phrases.
    public var isOptOut: Bool
    /// The number or code that was answered to.
    public var destination: String?
    /// The campaign of the message that was answered.
    public var campaign: String?
    /// The vendor's id of the message that was answered; a delivery status has it as its `messageID`.
    public var sentMessageID: String?
    /// The text of the message that was answered.
    public var sentText: String?
    /// When the message that was answered was sent.
    public var sentAt: EventTime?
    /// The group of contacts that the message was sent to.
    public var group: ContactGroup?
    /// The vendor's `NumberValue1`.
    public var numberValue1: String?
    /// The vendor's `NumberValue2`.
    public var numberValue2: String?
    /// The vendor's `NumberValue3`.
    public var numberValue3: String?
    /// The vendor's `NumberValue4`.
    public var numberValue4: String?
    /// The vendor's `NumberValue5`.
    public var numberValue5: String?
    /// The vendor's `NumberValue6`.
    public var numberValue6: String?

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
        self.envelope = envelope
        self.text = text
        self.isOptOut = isOptOut
        self.destination = destination
        self.campaign = campaign
        self.sentMessageID = sentMessageID
        self.sentText = sentText
        self.sentAt = sentAt
        self.group = group
    }

    /// Always ``EventType/reply``.
    public var type: EventType { .reply }
}
