public import SMSPortalEvents

extension ShortCodeMessage {
    /// A message to a short code for a test; no two have the same message id, unless it is given.
    ///
    /// Whether it is an opt-out follows from the text, as in the bridge: "Stop" is one. The same message id makes the same
    /// event id, as when the vendor repeats its callback.
    ///
    /// - Parameters:
    ///   - text: What the subscriber wrote.
    ///   - msisdn: The number of the subscriber; nil for a callback that names none.
    ///   - messageID: The vendor's id of the message.
    ///   - batchID: The vendor's id of the batch.
    ///   - reference: What the sender gave along.
    ///   - shortCode: The short code.
    ///   - keyword: The keyword that the message was matched to.
    ///   - account: The account.
    ///   - occurredAt: When it happened; by default when it was received.
    ///   - receivedAt: When the bridge received it; by default one second after the last sample, from 2026-01-01 on.
    public static func sample(
        text: String = "WIN a car", msisdn: String? = "27821234567", messageID: String? = nil,
        batchID: String? = "1179504595", reference: String? = nil, shortCode: String? = "40001",
        keyword: String? = nil, account: String = "default", occurredAt: EventTime? = nil,
        receivedAt: EventTime? = nil
    ) -> ShortCodeMessage {
        var callback = SampleCallback(
            .shortCode,
            SampleFields(
                msisdn: msisdn, messageID: messageID, batchID: batchID, reference: reference, account: account,
                occurredAt: occurredAt, receivedAt: receivedAt))
        callback.add("incomingData", text)
        callback.add("sc", shortCode)
        callback.add("keyword", keyword)
        return callback.event(id: "id", time: "incomingUtc") {
            ShortCodeMessage(envelope: $0, text: text, shortCode: shortCode, keyword: keyword)
        }
    }
}

extension ShortCodeMessage: Sampled {
    init?(sample event: Event) {
        guard case .shortCode(let event) = event else { return nil }
        self = event
    }
}
