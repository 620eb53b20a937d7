/// Which parameter names mean which fields: the vendor's names of all generations, and those that a configuration adds.
///
/// The source of the vendor's names is docs/control-panel.md.
final class Vocabulary {
    let names: NameTable
    /// Per name and type: the field, and how preferred the name is among those of the same field.
    private let meanings: UnsafeMutablePointer<Meaning>
    private let evidence: UnsafeMutablePointer<Evidence>
    private let count: Int

    struct Meaning {
        /// Raw value of a ``Field``; 255 for none.
        var field: UInt8
        /// 0 for a configured name, then the vendor's names in order of preference.
        var rank: UInt8

        static let none = Meaning(field: 255, rank: 255)
    }

    @inline(__always)
    func meaning(of nameIndex: UInt8, in type: Int) -> Meaning {
        precondition(Int(nameIndex) < count && type >= 0 && type < 5)
        return meanings[Int(nameIndex) &* 5 &+ type]
    }

    @inline(__always)
    func evidence(of nameIndex: UInt8) -> Evidence {
        precondition(Int(nameIndex) < count)
        return evidence[Int(nameIndex)]
    }

    /// - Parameter custom: Per type, names in any case and the fields that they mean there. Validated by the caller; names
    ///   beyond the table's room (about 140) would have been refused.
    init(custom: [(type: EventType, name: String, field: Field)]) {
        var order: [String] = []
        var positions: [String: Int] = [:]
        var meanings: [Meaning] = []
        var evidence: [Evidence] = []
        func position(_ name: String) -> Int {
            if let known = positions[name] { return known }
            positions[name] = order.count
            order.append(name)
            meanings.append(contentsOf: repeatElement(.none, count: 5))
            evidence.append([])
            return order.count - 1
        }
        for (types, field, preferred) in Self.vendorNames {
            for (rank, name) in preferred.enumerated() {
                let row = position(name)
                for type in types {
                    meanings[row * 5 + type.index] = Meaning(field: field.rawValue, rank: UInt8(rank + 1))
                }
            }
        }
        for (name, bits) in Self.vendorEvidence {
            let row = position(name)
            evidence[row].formUnion(bits)
        }
        for (type, name, field) in custom {
            let row = position(asciiLowercased(name))
            meanings[row * 5 + type.index] = Meaning(field: field.rawValue, rank: 0)
            evidence[row].formUnion(Self.evidence(of: field, in: type))
        }
        names = NameTable(order, ignoringCase: true)
        count = order.count
        self.meanings = .allocate(capacity: meanings.count)
        self.evidence = .allocate(capacity: evidence.count)
        for (index, meaning) in meanings.enumerated() { (self.meanings + index).initialize(to: meaning) }
        for (index, bits) in evidence.enumerated() { (self.evidence + index).initialize(to: bits) }
    }

    deinit {
        meanings.deallocate()
        evidence.deallocate()
    }

    /// How many names a configuration may add.
    static var roomForCustomNames: Int {
        var names = Set(vendorEvidence.map(\.0))
        for (_, _, preferred) in vendorNames { names.formUnion(preferred) }
        return 250 - names.count
    }

    private static func evidence(of field: Field, in type: EventType) -> Evidence {
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
    private static let vendorNames: [([EventType], Field, [String])] = [
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

    private static let vendorEvidence: [(String, Evidence)] = [
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

/// In lower case as far as ASCII letters go; everything else stays.
func asciiLowercased(_ text: String) -> String {
    String(decoding: text.utf8.map(asciiLowercase), as: UTF8.self)
}
