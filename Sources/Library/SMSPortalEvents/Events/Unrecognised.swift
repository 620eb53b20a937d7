/// A callback that could not be understood. ``Envelope/raw`` has all of it, byte for byte.
public struct Unrecognised: EventPayload {
    package var storage: EventStorage

    package init(_ storage: EventStorage) { self.storage = storage }

    /// What every event has; of what the callback says, nothing but `raw`.
    public var envelope: Envelope {
        get { Envelope(storage) }
        set {
            let fields = newValue.fields
            storage.edit { $0.envelope = fields }
        }
    }
    /// Why it could not be understood.
    public var reason: UnrecognisedReason {
        get {
            switch storage {
            case .record(let block): UnrecognisedReason(rawValue: block.required(.reason))
            case .fields(let box): box.fields.reason
            }
        }
        set { storage.edit { $0.reason = newValue } }
    }
    /// For a person: where the callback stops making sense, or what is missing.
    public var detail: String? {
        get {
            switch storage {
            case .record(let block): block.text(.detail)
            case .fields(let box): box.fields.detail
            }
        }
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
