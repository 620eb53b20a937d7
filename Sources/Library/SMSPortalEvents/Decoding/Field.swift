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
}
