/// A callback that could not be understood. ``Envelope/raw`` has all of it, byte for byte.
public struct Unrecognised: EventPayload {
    package var storage: EventStorage

    package init(_ storage: EventStorage) { self.storage = storage }

    /// What every event has; of what the callback says, nothing but `raw`.
    public var envelope: Envelope {
        get { storage.envelope }
        set { storage.envelope = newValue }
    }
    /// Why it could not be understood.
    public var reason: UnrecognisedReason {
        get { storage.read({ UnrecognisedReason(rawValue: $0.required(.reason)) }, fields: { $0.reason }) }
        set { storage.edit { $0.reason = newValue } }
    }
    /// For a person: where the callback stops making sense, or what is missing.
    public var detail: String? {
        get { storage.read({ $0.text(.detail) }, fields: { $0.detail }) }
        set { storage.edit { $0.detail = newValue } }
    }

    /// - Parameters:
    ///   - envelope: What every event has.
    ///   - reason: Why it could not be understood.
    ///   - detail: For a person; an empty text counts as nil.
    public init(envelope: Envelope, reason: UnrecognisedReason, detail: String? = nil) {
        var fields = EventFields(envelope.fields)
        fields.reason = reason
        fields.detail = detail == "" ? nil : detail
        storage = EventStorage(fields)
    }

    /// Always ``EventType/unrecognised``.
    public var type: EventType { .unrecognised }
}
