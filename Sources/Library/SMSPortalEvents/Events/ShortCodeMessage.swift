/// A subscriber has sent a message to a short code.
public struct ShortCodeMessage: EventPayload {
    package var storage: EventStorage

    package init(_ storage: EventStorage) { self.storage = storage }

    /// What every event has. `messageID` is that of this message, `occurredAt` when it came in.
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
    /// The short code, such as `40001`.
    public var shortCode: String? {
        get { storage.read({ $0.text(.shortCode) }, fields: { $0.shortCode }) }
        set { storage.edit { $0.shortCode = newValue } }
    }
    /// The keyword that the message was matched to.
    public var keyword: String? {
        get { storage.read({ $0.text(.keyword) }, fields: { $0.keyword }) }
        set { storage.edit { $0.keyword = newValue } }
    }

    /// - Parameters:
    ///   - envelope: What every event has.
    ///   - text: What the subscriber wrote.
    ///   - isOptOut: Whether it is an opt-out phrase.
    ///   - shortCode: The short code.
    ///   - keyword: The keyword.
    public init(
        envelope: Envelope, text: String, isOptOut: Bool = false, shortCode: String? = nil, keyword: String? = nil
    ) {
        var fields = EventFields(envelope.fields)
        fields.text = text
        fields.isOptOut = isOptOut
        fields.shortCode = shortCode
        fields.keyword = keyword
        storage = EventStorage(fields)
    }

    /// Always ``EventType/shortCode``.
    public var type: EventType { .shortCode }
}
