/// An event of any type.
///
/// ```swift
/// switch try Event(value: record.value, headers: record.headers) {
/// case .reply(let reply) where reply.isOptOut: print("unsubscribe, says event", reply.id)
/// case .deliveryStatus(let status) where status.state == .failed:
///     print("failed:", status.reference ?? "no reference")
/// case .unrecognised(let event): print("not understood:", event.reason)
/// default: break
/// }
/// ```
///
/// A type may be added in a later major version only.
public enum Event: EventPayload {
    /// A message sent to a subscriber has changed its delivery status.
    case deliveryStatus(DeliveryStatus)
    /// A subscriber has answered a message.
    case reply(Reply)
    /// A subscriber has sent a message to a short code.
    case shortCode(ShortCodeMessage)
    /// A tracked link was fetched for a preview.
    case urlPreview(URLPreview)
    /// A tracked link was opened, or something on a landing page was touched.
    case urlClick(URLClick)
    /// A callback that could not be understood.
    case unrecognised(Unrecognised)

    /// What the event tells.
    public var type: EventType {
        switch self {
        case .deliveryStatus: .deliveryStatus
        case .reply: .reply
        case .shortCode: .shortCode
        case .urlPreview: .urlPreview
        case .urlClick: .urlClick
        case .unrecognised: .unrecognised
        }
    }

    /// What every event has.
    public var envelope: Envelope {
        get {
            switch self {
            case .deliveryStatus(let event): event.envelope
            case .reply(let event): event.envelope
            case .shortCode(let event): event.envelope
            case .urlPreview(let event): event.envelope
            case .urlClick(let event): event.envelope
            case .unrecognised(let event): event.envelope
            }
        }
        set {
            switch self {
            case .deliveryStatus(var event):
                event.envelope = newValue
                self = .deliveryStatus(event)
            case .reply(var event):
                event.envelope = newValue
                self = .reply(event)
            case .shortCode(var event):
                event.envelope = newValue
                self = .shortCode(event)
            case .urlPreview(var event):
                event.envelope = newValue
                self = .urlPreview(event)
            case .urlClick(var event):
                event.envelope = newValue
                self = .urlClick(event)
            case .unrecognised(var event):
                event.envelope = newValue
                self = .unrecognised(event)
            }
        }
    }

    /// An event as it was read from a record.
    package init(_ block: EventBlock) {
        switch block.head.pointee.type {
        case .deliveryStatus: self = .deliveryStatus(DeliveryStatus(.record(block)))
        case .reply: self = .reply(Reply(.record(block)))
        case .shortCode: self = .shortCode(ShortCodeMessage(.record(block)))
        case .urlPreview: self = .urlPreview(URLPreview(.record(block)))
        case .urlClick: self = .urlClick(URLClick(.record(block)))
        case .unrecognised: self = .unrecognised(Unrecognised(.record(block)))
        }
    }

    /// Whether the text of a reply or of a message to a short code is an opt-out phrase; false for other types.
    public var isOptOut: Bool {
        switch self {
        case .reply(let event): event.isOptOut
        case .shortCode(let event): event.isOptOut
        default: false
        }
    }
}
