/// The canonical fields that are filled from parameters. The raw value is a position in tables.
///
/// In the value of a record a field stands where its ``path`` says; a configured mapping names it by that path.
enum Field: UInt8, CaseIterable {
    case occurredAt, msisdn
    case status, parts, dataType, sentText, sentAt, flash
    case groupName, groupDescription, groupData
    case text, destination, campaign, sentMessageID
    case numberValue1, numberValue2, numberValue3, numberValue4, numberValue5, numberValue6
    case shortCode, keyword
    case interaction, url, landingPageName, landingPageVersion, landingPageComponentID
    case batchID, messageID, reference, mcc, mnc

    /// The path of the field in the value; a dot separates an object from its member.
    var path: String {
        switch self {
        case .occurredAt: "occurredAt"
        case .msisdn: "msisdn"
        case .status: "status"
        case .parts: "parts"
        case .dataType: "dataType"
        case .sentText: "sentText"
        case .sentAt: "sentAt"
        case .flash: "flash"
        case .groupName: "group.name"
        case .groupDescription: "group.description"
        case .groupData: "group.data"
        case .text: "text"
        case .destination: "destination"
        case .campaign: "campaign"
        case .sentMessageID: "sentMessageId"
        case .numberValue1: "numberValue1"
        case .numberValue2: "numberValue2"
        case .numberValue3: "numberValue3"
        case .numberValue4: "numberValue4"
        case .numberValue5: "numberValue5"
        case .numberValue6: "numberValue6"
        case .shortCode: "shortCode"
        case .keyword: "keyword"
        case .interaction: "interaction"
        case .url: "url"
        case .landingPageName: "landingPage.name"
        case .landingPageVersion: "landingPage.version"
        case .landingPageComponentID: "landingPage.componentId"
        case .batchID: "batchId"
        case .messageID: "messageId"
        case .reference: "reference"
        case .mcc: "network.mcc"
        case .mnc: "network.mnc"
        }
    }

    private static let ofEveryType: [Field] = [.occurredAt, .msisdn, .batchID, .messageID, .reference, .mcc, .mnc]

    /// The fields that events of a type can have.
    static func fields(of type: EventType) -> [Field] {
        let own: [Field]
        switch type {
        case .deliveryStatus:
            own = [.status, .parts, .dataType, .sentText, .sentAt, .flash, .groupName, .groupDescription, .groupData]
        case .reply:
            own = [
                .text, .destination, .campaign, .sentMessageID, .sentText, .sentAt,
                .groupName, .groupDescription, .groupData,
                .numberValue1, .numberValue2, .numberValue3, .numberValue4, .numberValue5, .numberValue6,
            ]
        case .shortCode: own = [.text, .shortCode, .keyword]
        case .urlPreview, .urlClick:
            own = [.interaction, .url, .landingPageName, .landingPageVersion, .landingPageComponentID]
        case .unrecognised: return []
        }
        return ofEveryType + own
    }
}

/// What the presence of a name says about the type of a callback that came without one.
struct Evidence: OptionSet {
    var rawValue: UInt16

    /// A landing page or an interaction with it.
    static let landing = Evidence(rawValue: 1)
    /// The vendor's `type` of an interaction; its value decides.
    static let interactionType = Evidence(rawValue: 2)
    static let shortCode = Evidence(rawValue: 4)
    /// A name that only replies and short codes have.
    static let incoming = Evidence(rawValue: 8)
    /// A name that only replies have.
    static let reply = Evidence(rawValue: 16)
    /// `Message`, which in V2 is the text of a reply.
    static let message = Evidence(rawValue: 32)
    static let status = Evidence(rawValue: 64)
    /// Something that an event can be about: a number, an id, a reference.
    static let identity = Evidence(rawValue: 128)
    /// A configured name of a preview.
    static let preview = Evidence(rawValue: 256)
}
