/// What the decoder knows of each event type: its fields, the vendor's names of them, the required ones, and the names
/// that classify a callback whose route has no type. A new type is described here.

extension Field {
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

extension Evidence {
    /// The type of a callback whose route names none.
    ///
    /// - Parameter interaction: What the `type` of an interaction says.
    func type(interaction: EventType?) -> EventType? {
        if contains(.preview), !contains(.landing) { return .urlPreview }
        if contains(.landing) { return interaction ?? .urlClick }
        if contains(.shortCode) { return .shortCode }
        if !isDisjoint(with: [.reply, .incoming]) { return .reply }
        guard contains(.identity) else { return nil }
        if contains(.interactionType), let interaction { return interaction }
        if contains(.status) { return .deliveryStatus }
        return contains(.message) ? .reply : nil
    }
}

extension EventType {
    /// Reads the vendor's `type` of an interaction: `REDIRECT` is a click, anything with `preview` in it a preview.
    init?(interaction: Bytes) {
        if interaction.containsIgnoringCase("preview") {
            self = .urlPreview
        } else if interaction.trimmed.equalsIgnoringCase("redirect") {
            self = .urlClick
        } else {
            return nil
        }
    }
}

extension Draft {
    /// Sets what follows from other fields.
    mutating func derive(_ optOut: OptOutMatcher) {
        switch type {
        case .deliveryStatus: state = DeliveryState(text(.status))
        case .reply, .shortCode: isOptOut = optOut.matches(text(.text))
        case .urlPreview, .urlClick, .unrecognised: break
        }
    }

    /// Whether the vendor's id names this event. It must be digits and not zero: what a template leaves unsubstituted
    /// (`@@ID@@`, `null`, 0) is the same in every callback and would make one event of all. Clicks and previews have no
    /// id of their own; one that a template adds is that of the message.
    var hasVendorID: Bool {
        switch type {
        case .deliveryStatus, .reply, .shortCode:
            guard has(.messageID) else { return false }
            let id = text(.messageID)
            guard id.isDigits else { return false }
            for index in 0..<id.count where id[index] != 0x30 { return true }
            return false
        case .urlPreview, .urlClick, .unrecognised:
            return false
        }
    }

    private static let anyone = mask(.msisdn, .messageID, .batchID, .reference)
    private static let sender = mask(.msisdn, .messageID)
    private static let interaction = mask(
        .msisdn, .messageID, .batchID, .reference, .interaction, .url, .landingPageName, .landingPageVersion,
        .landingPageComponentID)

    /// What an event of this type cannot be without.
    var missing: StaticString? {
        switch type {
        case .deliveryStatus:
            if !has(.status) { return "status" }
            return hasAny(of: Self.anyone) ? nil : "msisdn, messageId, batchId or reference"
        case .reply, .shortCode:
            if !has(.text) { return "text" }
            return hasAny(of: Self.sender) ? nil : "msisdn or messageId"
        case .urlPreview, .urlClick:
            return hasAny(of: Self.interaction) ? nil : "msisdn, reference, interaction, url or landingPage"
        case .unrecognised: return nil
        }
    }
}

extension Vocabulary {
    static func evidence(of field: Field, in type: EventType) -> Evidence {
        switch field {
        case .status: .status
        case .text: type == .reply ? .reply : .shortCode
        case .shortCode, .keyword: .shortCode
        case .destination, .sentMessageID: .reply
        case .interaction, .url, .landingPageName, .landingPageVersion, .landingPageComponentID:
            type == .urlPreview ? .preview : .landing
        case .msisdn, .batchID, .messageID, .reference: .identity
        default: []
        }
    }

    private static let every: [EventType] = EventType.recognised
    private static let incoming: [EventType] = [.reply, .shortCode]
    private static let urls: [EventType] = [.urlPreview, .urlClick]

    /// Per field the names in order of preference, in lower case.
    static let vendorNames: [([EventType], Field, [String])] = [
        ([.deliveryStatus] + urls, .msisdn, ["msisdn", "phonenumber", "msgnumto"]),
        (incoming, .msisdn, ["sourcephonenumber", "msisdn", "phonenumber"]),
        ([.deliveryStatus] + urls, .messageID, ["id"]),
        (incoming, .messageID, ["incomingid", "id", "changeid"]),
        (every, .batchID, ["eventid"]),
        (every, .reference, ["userreference", "customerref", "customerid"]),
        (every, .mcc, ["mcc"]),
        (every, .mnc, ["mnc"]),

        ([.deliveryStatus], .occurredAt, ["receivedutc", "received", "receiveddatetime", "sentdatatime"]),
        ([.deliveryStatus], .status, ["status"]),
        ([.deliveryStatus], .parts, ["msgcount", "sentdatapartscount"]),
        ([.deliveryStatus], .dataType, ["datatype", "sentdatatype"]),
        ([.deliveryStatus], .sentText, ["data", "sentdata"]),
        ([.deliveryStatus], .sentAt, ["sentutc", "sentdatetime"]),
        ([.deliveryStatus], .flash, ["flash"]),
        ([.deliveryStatus], .groupName, ["grpname"]),
        ([.deliveryStatus], .groupDescription, ["grpdesc"]),
        ([.deliveryStatus, .reply], .groupData, ["groupdata"]),

        (
            incoming, .occurredAt,
            ["incomingutc", "receivedutc", "received", "incomingdatetime", "incomingdatatime", "receiveddatetime"]
        ),
        (incoming, .text, ["incomingdata", "message"]),
        ([.reply], .destination, ["destinationphonenumber", "to"]),
        ([.reply], .campaign, ["campaign"]),
        ([.reply], .sentMessageID, ["sentid"]),
        ([.reply], .sentText, ["sentdata"]),
        ([.reply], .sentAt, ["sentutc", "sentdatetime", "sentdatatime"]),
        ([.reply], .groupName, ["sentmessagegrpname", "grpname"]),
        ([.reply], .groupDescription, ["sentmessagegrpdesc", "grpdesc"]),
        ([.reply], .numberValue1, ["numbervalue1"]),
        ([.reply], .numberValue2, ["numbervalue2"]),
        ([.reply], .numberValue3, ["numbervalue3"]),
        ([.reply], .numberValue4, ["numbervalue4"]),
        ([.reply], .numberValue5, ["numbervalue5"]),
        ([.reply], .numberValue6, ["numbervalue6"]),

        ([.shortCode], .shortCode, ["sc", "shortcode"]),
        ([.shortCode], .keyword, ["keyword"]),

        (urls, .occurredAt, ["interactionutc", "interactiondatetime"]),
        (urls, .interaction, ["type"]),
        (urls, .url, ["url"]),
        (urls, .landingPageName, ["landingpagename"]),
        (urls, .landingPageVersion, ["landingpageversion"]),
        (urls, .landingPageComponentID, ["landingpagecomponentid"]),
    ]

    static let vendorEvidence: [(String, Evidence)] = [
        ("interactionutc", .landing), ("interactiondatetime", .landing), ("landingpagename", .landing),
        ("landingpageversion", .landing), ("landingpagecomponentid", .landing), ("type", .interactionType),
        ("sc", .shortCode), ("shortcode", .shortCode), ("keyword", .shortCode), ("changeid", .shortCode),
        ("incomingdata", .incoming), ("incomingutc", .incoming), ("incomingdatetime", .incoming),
        ("incomingdatatime", .incoming),
        ("incomingid", .reply), ("sourcephonenumber", .reply), ("destinationphonenumber", .reply), ("sentid", .reply),
        ("message", .message), ("status", .status),
        ("id", .identity), ("eventid", .identity), ("msisdn", .identity), ("phonenumber", .identity),
        ("msgnumto", .identity), ("customerid", .identity), ("customerref", .identity), ("userreference", .identity),
        ("to", .identity),
    ]
}
