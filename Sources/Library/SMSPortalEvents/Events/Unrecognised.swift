/// A callback that could not be understood. ``Envelope/raw`` has all of it, byte for byte.
public struct Unrecognised: EventPayload {
    /// What every event has; of what the callback says, nothing but `raw`.
    public var envelope: Envelope
    /// Why it could not be understood.
    public var reason: UnrecognisedReason
    /// For a person: where the callback stops making sense, or what is missing.
    public var detail: String?

    /// - Parameters:
    ///   - envelope: What every event has.
    ///   - reason: Why it could not be understood.
    ///   - detail: For a person; an empty text counts as nil.
    public init(envelope: Envelope, reason: UnrecognisedReason, detail: String? = nil) {
        self.envelope = envelope
        self.reason = reason
        self.detail = detail == "" ? nil : detail
    }

    /// Always ``EventType/unrecognised``.
    public var type: EventType { .unrecognised }
}
