/// How callbacks are understood, beyond what the vendor's contract fixes.
public struct DecoderConfiguration: Sendable, Hashable {
    /// The names of the accounts whose callbacks are decoded: 1 to 1,000, each 1 to 64 letters, digits, `.`, `_` or `-` (ASCII).
    /// The name is the `account` of an event and the end of its `ce_source`. Default: one account, `default`.
    public var accounts: [String]

    /// Per event type, names of parameters and the fields that they mean, for webhooks whose keys are not the vendor's
    /// defaults: `[.reply: ["nummer": "msisdn", "bericht": "text"]]`. A field is named by its place in a record's value, such
    /// as `occurredAt` or `network.mcc`. The letter case of names (ASCII) does not matter. A configured name comes before the
    /// vendor's names for the same field, and loses the vendor's meaning for that type. Default: none.
    public var fields: [EventType: [String: String]]

    /// A reply or a message to a short code that is one of these is marked as an opt-out. The whole message counts; letter
    /// case, punctuation and white space do not. Default: the vendor's examples.
    public var optOutPhrases: [String]

    /// The vendor's examples of opt-out phrases.
    public static let vendorOptOutPhrases = ["Stop", "Unsubscribe", "Remove", "Opt-Out", "Quit", "Delete", "Spam"]

    /// - Parameters:
    ///   - accounts: See ``accounts``.
    ///   - fields: See ``fields``.
    ///   - optOutPhrases: See ``optOutPhrases``; an empty list marks nothing.
    public init(
        accounts: [String] = ["default"],
        fields: [EventType: [String: String]] = [:],
        optOutPhrases: [String] = DecoderConfiguration.vendorOptOutPhrases
    ) {
        self.accounts = accounts
        self.fields = fields
        self.optOutPhrases = optOutPhrases
    }

    /// Everything that is wrong with this configuration, one sentence each; empty when it can be used.
    public func problems() -> [String] {
        var problems: [String] = []
        if accounts.isEmpty || accounts.count > 1000 {
            problems.append("accounts: between 1 and 1000 names are needed")
        }
        for account in accounts where !Self.isAccountName(account) {
            problems.append("accounts: '\(account)' is not 1 to 64 letters, digits, '.', '_' or '-'")
        }
        if Set(accounts).count != accounts.count { problems.append("accounts: a name occurs twice") }
        for phrase in optOutPhrases where OptOutMatcher.folded(phrase).isEmpty {
            problems.append("optOutPhrases: '\(phrase)' has no letter or digit")
        }
        for phrase in optOutPhrases where phrase.utf8.count > OptOutMatcher.longestPhrase {
            problems.append("optOutPhrases: a phrase is longer than \(OptOutMatcher.longestPhrase) bytes")
        }
        problems += fieldProblems()
        return problems
    }

    private func fieldProblems() -> [String] {
        var problems: [String] = []
        for type in EventType.allCases {
            guard let mapping = fields[type], !mapping.isEmpty else { continue }
            if type == .unrecognised {
                problems.append("fields: 'unrecognised' has no fields")
                continue
            }
            let known = Field.fields(of: type).map(\.path).sorted()
            var folded: Set<String> = []
            for (name, field) in mapping.sorted(by: { $0.key < $1.key }) {
                if name.isEmpty || name.utf8.count > 200 {
                    problems.append("fields.\(type.rawValue): a name must have 1 to 200 bytes")
                }
                if !folded.insert(asciiLowercased(name)).inserted {
                    problems.append("fields.\(type.rawValue): '\(name)' occurs twice, in different letter case")
                }
                if !known.contains(field) {
                    problems.append(
                        "fields.\(type.rawValue).\(name): '\(field)' is not a field of this type; those are "
                            + known.joined(separator: ", "))
                }
            }
        }
        let names = Set(fields.values.flatMap { $0.keys.map(asciiLowercased) })
        if names.count > Vocabulary.roomForCustomNames {
            problems.append("fields: more than \(Vocabulary.roomForCustomNames) different names")
        }
        return problems
    }

    private static func isAccountName(_ name: String) -> Bool {
        (1...64).contains(name.utf8.count)
            && name.utf8.allSatisfy {
                isDigit($0) || asciiLowercase($0) &- 0x61 < 26 || $0 == 0x2E || $0 == 0x5F || $0 == 0x2D
            }
    }

    /// The mapping as a flat list; only for a configuration without problems.
    var customNames: [(type: EventType, name: String, field: Field)] {
        EventType.recognised.flatMap { type in
            (fields[type] ?? [:]).sorted { $0.key < $1.key }.compactMap { name, path in
                Field.allCases.first { $0.path == path }.map { (type, name, $0) }
            }
        }
    }
}

/// A configuration that makes no sense.
public struct DecoderConfigurationError: Error, Sendable, Hashable, CustomStringConvertible {
    /// Everything that is wrong, one sentence each.
    public let problems: [String]

    /// The problems, one a line.
    public var description: String { problems.joined(separator: "\n") }
}
