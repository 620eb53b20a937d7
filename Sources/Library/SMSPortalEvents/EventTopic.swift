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
    /// Callbacks about the vendor's sample number 27000000001, of every type that is understood.
    case test
    /// What could not be understood.
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
