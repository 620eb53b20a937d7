/// A tracked link was fetched for a preview, not opened by a person.
public struct URLPreview: EventPayload {
    /// What every event has. `occurredAt` is when it was fetched. `messageID`, if a template gives one, is that of the message
    /// that carried the link, and so the same for every interaction with it.
    public var envelope: Envelope
    /// The vendor's `type` of the interaction, such as `REDIRECT`.
    public var interaction: String?
    /// The link.
    public var url: String?
    /// The landing page and what was touched on it.
    public var landingPage: LandingPage?

    /// - Parameters:
    ///   - envelope: What every event has.
    ///   - interaction: The vendor's `type` of the interaction.
    ///   - url: The link.
    ///   - landingPage: The landing page.
    public init(
        envelope: Envelope, interaction: String? = nil, url: String? = nil, landingPage: LandingPage? = nil
    ) {
        self.envelope = envelope
        self.interaction = interaction
        self.url = url
        self.landingPage = landingPage
    }

    /// Always ``EventType/urlPreview``.
    public var type: EventType { .urlPreview }
}
