/// A subscriber has sent a message to a short code.
public struct ShortCodeMessage: EventPayload {
    /// What every event has. `messageID` is that of this message, `occurredAt` when it came in.
    public var envelope: Envelope
    /// What the subscriber wrote; may be empty.
    public var text: String
    /// Whether the whole text is one of the opt-out phrases.
    public var isOptOut: Bool
    /// The short code, such as `40001`.
    public var shortCode: String?
    /// The keyword that the message was matched to.
    public var keyword: String?

    /// - Parameters:
    ///   - envelope: What every event has.
    ///   - text: What the subscriber wrote.
    ///   - isOptOut: Whether it is an opt-out phrase.
    ///   - shortCode: The short code.
    ///   - keyword: The keyword.
    public init(
        envelope: Envelope, text: String, isOptOut: Bool = false, shortCode: String? = nil, keyword: String? = nil
    ) {
        self.envelope = envelope
        self.text = text
        self.isOptOut = isOptOut
        self.shortCode = shortCode
        self.keyword = keyword
    }

    /// Always ``EventType/shortCode``.
    public var type: EventType { .shortCode }
}
