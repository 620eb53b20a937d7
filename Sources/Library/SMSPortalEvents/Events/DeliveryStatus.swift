/// A message sent to a subscriber has changed its delivery status.
public struct DeliveryStatus: EventPayload {
    /// What every event has. `messageID` is that of the message sent, `occurredAt` when the status was received or set.
    public var envelope: Envelope
    /// The vendor's status, unchanged, such as `DELIVRD`.
    public var status: String
    /// What the status means.
    public var state: DeliveryState
    /// How many SMS the message took.
    public var parts: Int?
    /// Such as `SMS`.
    public var dataType: String?
    /// The text that was sent; the vendor may cut it at 157 characters.
    public var sentText: String?
    /// When the message was sent.
    public var sentAt: EventTime?
    /// Whether the message was a flash SMS.
    public var flash: Bool?
    /// The group of contacts that the message was sent to.
    public var group: ContactGroup?

    /// - Parameters:
    ///   - envelope: What every event has.
    ///   - status: The vendor's status.
    ///   - state: What it means; nil derives it from the status.
    ///   - parts: How many SMS the message took.
    ///   - dataType: Such as `SMS`.
    ///   - sentText: The text that was sent.
    ///   - sentAt: When the message was sent.
    ///   - flash: Whether it was a flash SMS.
    ///   - group: The group of contacts.
    public init(
        envelope: Envelope, status: String, state: DeliveryState? = nil, parts: Int? = nil, dataType: String? = nil,
        sentText: String? = nil, sentAt: EventTime? = nil, flash: Bool? = nil, group: ContactGroup? = nil
    ) {
        self.envelope = envelope
        self.status = status
        self.state = state ?? DeliveryState(status: status)
        self.parts = parts
        self.dataType = dataType
        self.sentText = sentText
        self.sentAt = sentAt
        self.flash = flash
        self.group = group
    }

    /// Always ``EventType/deliveryStatus``.
    public var type: EventType { .deliveryStatus }
}

/// A group of contacts at the vendor.
public struct ContactGroup: Sendable, Hashable {
    /// Its name.
    public var name: String?
    /// Its description.
    public var description: String?
    /// The vendor's `GroupData`: JSON, as its source text.
    public var data: String?

    /// - Parameters:
    ///   - name: Its name.
    ///   - description: Its description.
    ///   - data: JSON source text.
    public init(name: String? = nil, description: String? = nil, data: String? = nil) {
        self.name = name
        self.description = description
        self.data = data
    }
}
