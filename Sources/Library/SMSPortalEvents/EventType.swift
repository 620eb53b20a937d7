/// The type of an event.
///
/// The raw value is the name used in routes (`/webhooks/reply`), in topic names (`smsportal.reply`), in the `ce_type` header
/// (`com.smsportal.reply.v1`) and in the `type` of a record's value.
public enum EventType: String, Sendable, CaseIterable, Hashable {
    /// A message sent to a subscriber has changed its delivery status.
    case deliveryStatus = "delivery-status"
    /// A subscriber has answered a message.
    case reply
    /// A subscriber has sent a message to a short code.
    case shortCode = "short-code"
    /// A tracked link was fetched for a preview, not opened by a person.
    case urlPreview = "url-preview"
    /// A tracked link was opened, or a component of a landing page was used.
    case urlClick = "url-click"
    /// A callback that could not be decoded. It is kept whole.
    case unrecognised
}

extension EventType {
    /// The types that a callback can be decoded as, in the order of ``index``.
    package static let recognised: [EventType] = [.deliveryStatus, .reply, .shortCode, .urlPreview, .urlClick]

    /// Position in tables: the decodable ones first, then ``unrecognised``.
    package var index: Int {
        switch self {
        case .deliveryStatus: 0
        case .reply: 1
        case .shortCode: 2
        case .urlPreview: 3
        case .urlClick: 4
        case .unrecognised: 5
        }
    }

    /// How many there are in ``recognised``.
    @inline(__always)
    static var recognisedCount: Int { EventType.unrecognised.index }

    /// The raw value without an allocation.
    package var name: StaticString {
        switch self {
        case .deliveryStatus: "delivery-status"
        case .reply: "reply"
        case .shortCode: "short-code"
        case .urlPreview: "url-preview"
        case .urlClick: "url-click"
        case .unrecognised: "unrecognised"
        }
    }

    /// The value of the `ce_type` header.
    var cloudEventsType: StaticString {
        switch self {
        case .deliveryStatus: "com.smsportal.delivery-status.v1"
        case .reply: "com.smsportal.reply.v1"
        case .shortCode: "com.smsportal.short-code.v1"
        case .urlPreview: "com.smsportal.url-preview.v1"
        case .urlClick: "com.smsportal.url-click.v1"
        case .unrecognised: "com.smsportal.unrecognised.v1"
        }
    }

    /// The topic of an event of this type that is not a test.
    package var topic: EventTopic {
        switch self {
        case .deliveryStatus: .deliveryStatus
        case .reply: .reply
        case .shortCode: .shortCode
        case .urlPreview: .urlPreview
        case .urlClick: .urlClick
        case .unrecognised: .quarantine
        }
    }

    /// The path of its callbacks below the base path; one that names no type has `/webhooks`.
    package var path: StaticString {
        switch self {
        case .deliveryStatus: "/webhooks/delivery-status"
        case .reply: "/webhooks/reply"
        case .shortCode: "/webhooks/short-code"
        case .urlPreview: "/webhooks/url-preview"
        case .urlClick: "/webhooks/url-click"
        case .unrecognised: "/webhooks"
        }
    }
}

/// The Kafka topics that events are published to. The raw value is a position, for tables with one entry per topic.
public enum EventTopic: Int, Sendable, CaseIterable, Hashable {
    /// Delivery statuses.
    case deliveryStatus
    /// Replies.
    case reply
    /// Messages to short codes.
    case shortCode
    /// Link previews.
    case urlPreview
    /// Clicks and landing-page interactions.
    case urlClick
    /// Events of every type about the vendor's sample number 27000000001.
    case test
    /// Callbacks that could not be decoded, and records that their topic rejected.
    case quarantine

    /// The part of the topic's name after the prefix, such as `delivery-status`.
    public var suffix: String {
        switch self {
        case .deliveryStatus: "delivery-status"
        case .reply: "reply"
        case .shortCode: "short-code"
        case .urlPreview: "url-preview"
        case .urlClick: "url-click"
        case .test: "test"
        case .quarantine: "quarantine"
        }
    }

    /// The whole name of the topic, such as `smsportal.delivery-status`.
    ///
    /// - Parameter prefix: The topic name prefix, before the dot; the bridge's default is `smsportal`.
    public func name(prefix: String = "smsportal") -> String {
        "\(prefix).\(suffix)"
    }
}
