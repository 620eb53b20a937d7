/// A tracked link was opened, or something on a landing page was touched.
public struct URLClick: EventPayload {
    package var storage: EventStorage

    package init(_ storage: EventStorage) { self.storage = storage }

    /// What every event has. `occurredAt` is when it was opened or touched. `messageID`, if a template gives one, is that of the message
    /// that carried the link, and so the same for every interaction with it.
    public var envelope: Envelope {
        get { storage.envelope }
        set { storage.envelope = newValue }
    }
    /// The vendor's `type` of the interaction, such as `REDIRECT`.
    public var interaction: String? {
        get { storage.read({ $0.text(.interaction) }, fields: { $0.interaction }) }
        set { storage.edit { $0.interaction = newValue } }
    }
    /// The link.
    public var url: String? {
        get { storage.read({ $0.text(.url) }, fields: { $0.url }) }
        set { storage.edit { $0.url = newValue } }
    }
    /// The landing page and what was touched on it.
    public var landingPage: LandingPage? {
        get { storage.read({ $0.landingPage }, fields: { $0.landingPage }) }
        set { storage.edit { $0.landingPage = newValue } }
    }

    /// - Parameters:
    ///   - envelope: What every event has.
    ///   - interaction: The vendor's `type` of the interaction.
    ///   - url: The link.
    ///   - landingPage: The landing page.
    public init(
        envelope: Envelope, interaction: String? = nil, url: String? = nil, landingPage: LandingPage? = nil
    ) {
        var fields = EventFields(envelope.fields)
        fields.interaction = interaction
        fields.url = url
        fields.landingPage = landingPage
        storage = EventStorage(fields)
    }

    /// Always ``EventType/urlClick``.
    public var type: EventType { .urlClick }
}

/// A landing page of the vendor's, or a component on it.
public struct LandingPage: Sendable, Hashable {
    /// The name of its template.
    public var name: String?
    /// The version of the template.
    public var version: String?
    /// The component that was touched, such as `button_77`.
    public var componentID: String?

    /// - Parameters:
    ///   - name: The name of its template.
    ///   - version: The version of the template.
    ///   - componentID: The component that was touched.
    public init(name: String? = nil, version: String? = nil, componentID: String? = nil) {
        self.name = name
        self.version = version
        self.componentID = componentID
    }
}
