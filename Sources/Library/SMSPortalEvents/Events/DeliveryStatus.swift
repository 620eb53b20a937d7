/// A message sent to a subscriber has changed its delivery status.
public struct DeliveryStatus: EventPayload {
    package var storage: EventStorage

    package init(_ storage: EventStorage) { self.storage = storage }

    /// What every event has. `messageID` is that of the message sent, `occurredAt` when the status was received or set.
    public var envelope: Envelope {
        get { storage.envelope }
        set { storage.envelope = newValue }
    }
    /// The vendor's status, unchanged, such as `DELIVRD`.
    public var status: String {
        get { storage.read({ $0.required(.status) }, fields: { $0.status }) }
        set { storage.edit { $0.status = newValue } }
    }
    /// What the status means.
    public var state: DeliveryState {
        get { storage.read({ $0.head.pointee.state }, fields: { $0.state }) }
        set { storage.edit { $0.state = newValue } }
    }
    /// How many SMS the message took.
    public var parts: Int? {
        get { storage.read({ $0.parts }, fields: { $0.parts }) }
        set { storage.edit { $0.parts = newValue } }
    }
    /// Such as `SMS`.
    public var dataType: String? {
        get { storage.read({ $0.text(.dataType) }, fields: { $0.dataType }) }
        set { storage.edit { $0.dataType = newValue } }
    }
    /// The text that was sent; the vendor may cut it at 157 characters.
    public var sentText: String? {
        get { storage.read({ $0.text(.sentText) }, fields: { $0.sentText }) }
        set { storage.edit { $0.sentText = newValue } }
    }
    /// When the message was sent.
    public var sentAt: EventTime? {
        get { storage.read({ $0.sentAt }, fields: { $0.sentAt }) }
        set { storage.edit { $0.sentAt = newValue } }
    }
    /// Whether the message was a flash SMS.
    public var flash: Bool? {
        get { storage.read({ $0.flash }, fields: { $0.flash }) }
        set { storage.edit { $0.flash = newValue } }
    }
    /// The group of contacts that the message was sent to.
    public var group: ContactGroup? {
        get { storage.read({ $0.group }, fields: { $0.group }) }
        set { storage.edit { $0.group = newValue } }
    }

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
        var fields = EventFields(envelope.fields)
        fields.status = status
        fields.state = state ?? DeliveryState(status: status)
        fields.parts = parts
        fields.dataType = dataType
        fields.sentText = sentText
        fields.sentAt = sentAt
        fields.flash = flash
        fields.group = group
        storage = EventStorage(fields)
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
