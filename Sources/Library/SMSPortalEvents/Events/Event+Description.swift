extension EventPayload {
    /// What identifies the event, and nothing of the subscriber: `reply 5f0c… of account default at 2026-11-23T17:50:26.123Z`.
    ///
    /// Numbers and texts of subscribers belong in no log.
    public var description: String {
        "\(type.rawValue) \(id) of account \(account) at \(receivedAt)"
    }

    /// What ``description`` shows: `dump` and `print` of a value that contains an event show nothing of the subscriber.
    public var customMirror: Mirror {
        Mirror(
            self,
            children: [
                "type": type.rawValue, "id": id, "account": account, "receivedAt": "\(receivedAt)",
            ])
    }
}

extension Event: CustomStringConvertible, CustomReflectable {}
extension DeliveryStatus: CustomStringConvertible, CustomReflectable {}
extension Reply: CustomStringConvertible, CustomReflectable {}
extension ShortCodeMessage: CustomStringConvertible, CustomReflectable {}
extension URLPreview: CustomStringConvertible, CustomReflectable {}
extension URLClick: CustomStringConvertible, CustomReflectable {}
extension Unrecognised: CustomStringConvertible, CustomReflectable {}

extension Envelope: CustomStringConvertible, CustomReflectable {
    /// What identifies the event, and nothing of the subscriber.
    public var description: String { "\(id) of account \(account) at \(receivedAt)" }

    /// What ``description`` shows.
    public var customMirror: Mirror {
        Mirror(self, children: ["id": id, "account": account, "receivedAt": "\(receivedAt)"])
    }
}
