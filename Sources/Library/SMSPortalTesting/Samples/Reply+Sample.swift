public import SMSPortalEvents

extension Reply {
    /// A reply for a test; no two have the same message id, unless it is given.
    ///
    /// Whether it is an opt-out follows from the text, as in the bridge: "Stop" is one. The same message id makes the same
    /// event id, as when the vendor repeats its callback.
    ///
    /// - Parameters:
    ///   - text: What the subscriber wrote.
    ///   - msisdn: The number of the subscriber; nil for a callback that names none.
    ///   - messageID: The vendor's id of the reply.
    ///   - batchID: The vendor's id of the batch.
    ///   - reference: What the sender gave along.
    ///   - campaign: The campaign of the message that was answered.
    ///   - sentMessageID: The vendor's id of the message that was answered.
    ///   - sentText: The text of the message that was answered.
    ///   - account: The account.
    ///   - occurredAt: When it happened; by default when it was received.
    ///   - receivedAt: When the bridge received it; by default one second after the last sample, from 2026-01-01 on.
    public static func sample(
        text: String = "Yes please", msisdn: String? = "27821234567", messageID: String? = nil,
        batchID: String? = "1179504595", reference: String? = nil, campaign: String? = nil,
        sentMessageID: String? = nil, sentText: String? = nil, account: String = "default",
        occurredAt: EventTime? = nil, receivedAt: EventTime? = nil
    ) -> Reply {
        var callback = SampleCallback(
            .reply,
            SampleFields(
                msisdn: msisdn, messageID: messageID, batchID: batchID, reference: reference, account: account,
                occurredAt: occurredAt, receivedAt: receivedAt))
        callback.add("incomingData", text)
        callback.add("campaign", campaign)
        callback.add("sentId", sentMessageID)
        callback.add("sentData", sentText)
        return callback.event(id: "incomingId", time: "incomingUtc") {
            Reply(
                envelope: $0, text: text, campaign: campaign, sentMessageID: sentMessageID, sentText: sentText)
        }
    }
}

extension Reply: Sampled {
    init?(sample event: Event) {
        guard case .reply(let event) = event else { return nil }
        self = event
    }
}
