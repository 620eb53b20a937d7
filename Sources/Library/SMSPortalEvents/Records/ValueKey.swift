/// The keys of a record's value, as the bridge writes them. The raw value is the position of a key in the tables of a block.
enum ValueKey: Int, CaseIterable {
    case id, idBasis, type, account, receivedAt, occurredAt, msisdn, batchId, messageId, reference, network, raw
    case status, state, parts, dataType, sentText, sentAt, flash, group
    case text, optOut, destination, campaign, sentMessageId
    case numberValue1, numberValue2, numberValue3, numberValue4, numberValue5, numberValue6
    case shortCode, keyword, interaction, url, landingPage, reason, detail

    static let count = 38

    /// The kind of its value.
    enum Kind {
        case text
        case object
        case literal
    }

    var kind: Kind {
        switch self {
        case .network, .raw, .group, .landingPage: .object
        case .parts, .flash, .optOut: .literal
        default: .text
        }
    }

    /// Its bit in a mask of keys.
    @inline(__always) var bit: UInt64 { 1 << UInt64(rawValue) }

    static func mask(_ keys: ValueKey...) -> UInt64 { keys.reduce(0) { $0 | $1.bit } }
}
