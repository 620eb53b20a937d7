/// What a delivery status means for the message.
public enum DeliveryState: String, Sendable, CaseIterable, Hashable {
    /// It has reached the handset.
    case delivered
    /// It has not, and will not.
    case failed
    /// It is on its way.
    case pending
    /// The status is none that the vendor documents.
    case unknown

    /// The meaning of a status of the vendor's, without letter case (docs/control-panel.md).
    ///
    /// - Parameter status: Such as `DELIVRD`.
    public init(status: String) {
        var status = status
        self = status.withUTF8 { DeliveryState(Bytes(UnsafeRawBufferPointer($0))) }
    }

    init(_ status: Bytes) {
        for (name, state) in Self.documented where status.equalsIgnoringCase(name) {
            self = state
            return
        }
        self = .unknown
    }

    private static let documented: [(StaticString, DeliveryState)] = [
        ("delivrd", .delivered), ("undeliv", .failed), ("expired", .failed), ("blist", .failed),
        ("cancelled", .failed), ("noroute", .failed), ("submitd", .pending), ("staged", .pending),
    ]

    var name: StaticString {
        switch self {
        case .delivered: "delivered"
        case .failed: "failed"
        case .pending: "pending"
        case .unknown: "unknown"
        }
    }
}
