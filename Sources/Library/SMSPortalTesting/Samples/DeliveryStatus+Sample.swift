public import SMSPortalEvents

extension DeliveryStatus {
    /// A delivery status for a test; no two have the same message id, unless it is given.
    ///
    /// The same message id and status make the same event id, as when the vendor repeats its callback.
    ///
    /// - Parameters:
    ///   - state: What the status means.
    ///   - msisdn: The number of the subscriber; nil for a callback that names none.
    ///   - messageID: The vendor's id of the message.
    ///   - batchID: The vendor's id of the batch.
    ///   - reference: What the sender gave along.
    ///   - status: The vendor's status; by default one that means ``state``.
    ///   - sentText: The text that was sent.
    ///   - account: The account.
    ///   - occurredAt: When it happened; by default when it was received.
    ///   - receivedAt: When the bridge received it; by default one second after the last sample, from 2026-01-01 on.
    public static func sample(
        state: DeliveryState = .delivered, msisdn: String? = "27821234567", messageID: String? = nil,
        batchID: String? = "1179504595", reference: String? = nil, status: String? = nil, sentText: String? = nil,
        account: String = "default", occurredAt: EventTime? = nil, receivedAt: EventTime? = nil
    ) -> DeliveryStatus {
        var callback = SampleCallback(
            .deliveryStatus,
            SampleFields(
                msisdn: msisdn, messageID: messageID, batchID: batchID, reference: reference, account: account,
                occurredAt: occurredAt, receivedAt: receivedAt))
        callback.add("status", status ?? state.sampleStatus)
        callback.add("sentData", sentText)
        return callback.event(id: "id", time: "receivedUtc") {
            DeliveryStatus(envelope: $0, status: status ?? state.sampleStatus, sentText: sentText)
        }
    }
}

extension DeliveryState {
    /// A status of the vendor's with this meaning.
    fileprivate var sampleStatus: String {
        switch self {
        case .delivered: "DELIVRD"
        case .failed: "UNDELIV"
        case .pending: "SUBMITD"
        case .unknown: "UNKNOWN"
        }
    }
}

extension DeliveryStatus: Sampled {
    init?(sample event: Event) {
        guard case .deliveryStatus(let event) = event else { return nil }
        self = event
    }
}
