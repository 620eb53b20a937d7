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

    /// The charset of bodies and query strings that cannot be read as UTF-8, whatever their headers declare, such as
    /// `windows-1252`: to decode again what was sent in a charset that it does not declare. Default: nil, the declared one.
    public var charset: String?

    /// The most bytes that a compressed body may become: 1 KiB to 64 MiB. Default: 256 KiB.
    public var maxContentBytes: Int

    /// The vendor's examples of opt-out phrases.
    public static let vendorOptOutPhrases = ["Stop", "Unsubscribe", "Remove", "Opt-Out", "Quit", "Delete", "Spam"]

    /// - Parameters:
    ///   - accounts: See ``accounts``.
    ///   - fields: See ``fields``.
    ///   - optOutPhrases: See ``optOutPhrases``; an empty list marks nothing.
    ///   - charset: See ``charset``.
    ///   - maxContentBytes: See ``maxContentBytes``.
    public init(
        accounts: [String] = ["default"],
        fields: [EventType: [String: String]] = [:],
        optOutPhrases: [String] = DecoderConfiguration.vendorOptOutPhrases,
        charset: String? = nil,
        maxContentBytes: Int = 256 << 10
    ) {
        self.accounts = accounts
        self.fields = fields
        self.optOutPhrases = optOutPhrases
        self.charset = charset
        self.maxContentBytes = maxContentBytes
    }

    /// The names of charsets that ``charset`` may have, in lower case.
    public static var charsets: [String] { Charset.names }

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
        if let charset, namedCharset == nil { problems.append("charset: '\(charset)' is not a supported charset") }
        if !(1 << 10...64 << 20).contains(maxContentBytes) {
            problems.append("maxContentBytes: \(maxContentBytes) is not between 1024 and \(64 << 20)")
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

    var namedCharset: Charset? {
        guard var charset else { return nil }
        return charset.withUTF8 { Charset.named(Bytes(UnsafeRawBufferPointer($0))) }
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
