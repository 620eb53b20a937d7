public import SMSPortalEvents

extension URLPreview {
    /// A link preview for a test; no two are alike, unless reference and time are given.
    ///
    /// The vendor gives these no id of their own: two that are alike in everything make the same event id.
    ///
    /// - Parameters:
    ///   - url: The link.
    ///   - msisdn: The number of the subscriber; nil for a callback that names none.
    ///   - messageID: The vendor's id of the message that carried the link.
    ///   - batchID: The vendor's id of the batch.
    ///   - reference: What the sender gave along; by default one that no other sample has.
    ///   - interaction: The vendor's `type` of the interaction.
    ///   - landingPage: The landing page, and what was touched on it.
    ///   - account: The account.
    ///   - occurredAt: When it happened; by default when it was received.
    ///   - receivedAt: When the bridge received it; by default one second after the last sample, from 2026-01-01 on.
    public static func sample(
        url: String? = "https://example.com/offer", msisdn: String? = "27821234567", messageID: String? = nil,
        batchID: String? = "1179504595", reference: String? = nil, interaction: String? = "REDIRECT",
        landingPage: LandingPage? = nil, account: String = "default", occurredAt: EventTime? = nil,
        receivedAt: EventTime? = nil
    ) -> URLPreview {
        var callback = SampleCallback(
            .urlPreview,
            SampleFields(
                msisdn: msisdn, messageID: messageID, batchID: batchID, reference: reference, account: account,
                occurredAt: occurredAt, receivedAt: receivedAt))
        callback.add("url", url)
        callback.add("type", interaction)
        callback.add("landingPageName", landingPage?.name)
        callback.add("landingPageVersion", landingPage?.version)
        callback.add("landingPageComponentId", landingPage?.componentID)
        return callback.event(id: nil, time: "interactionUtc") {
            URLPreview(envelope: $0, interaction: interaction, url: url, landingPage: landingPage)
        }
    }
}

extension URLPreview: Sampled {
    init?(sample event: Event) {
        guard case .urlPreview(let event) = event else { return nil }
        self = event
    }
}
