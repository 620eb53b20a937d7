/// A place in a file; both count from 1.
struct YAMLMark: Sendable, Equatable {
    var line: Int
    var column: Int
}

/// A value of a YAML document with its place. Scalars stay texts: the declaration of a setting gives them their type,
/// so that none of YAML's guesses (`no`, `0123`, `1e3`, `12:30`) takes place.
indirect enum YAMLNode: Sendable {
    struct Entry: Sendable {
        var key: String
        var mark: YAMLMark
        var value: YAMLNode
    }

    /// `isNull`: written as nothing, `~` or `null`, without quotation marks.
    case scalar(String, isNull: Bool, YAMLMark)
    case sequence([YAMLNode], YAMLMark)
    case mapping([Entry], YAMLMark)

    var mark: YAMLMark {
        switch self {
        case .scalar(_, _, let mark), .sequence(_, let mark), .mapping(_, let mark): mark
        }
    }

    /// The kind of node, for a message that expected another one.
    var kind: String {
        switch self {
        case .scalar(_, let isNull, _): isNull ? "nothing" : "a single value"
        case .sequence: "a list"
        case .mapping: "a mapping"
        }
    }
}
