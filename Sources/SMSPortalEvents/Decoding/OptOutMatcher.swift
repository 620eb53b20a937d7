/// Tells whether a message is one of the opt-out phrases, and nothing else.
///
/// Letters and digits count, folded to lower case; punctuation and white space do not, wherever they stand: `Opt-Out`,
/// `OPT OUT.` and `optout` are one. Emoji and other symbols outside ASCII do count.
struct OptOutMatcher {
    /// In bytes, as configured.
    static let longestPhrase = 200
    /// A message longer than this is no phrase, however much of it is punctuation.
    private static let longestMessage = 2000

    private let phrases: Set<[UInt8]>
    private let ascii: [[UInt8]]
    private let longest: Int
    private let hasOtherScripts: Bool

    init(_ phrases: [String]) {
        self.phrases = Set(phrases.map(Self.folded).filter { !$0.isEmpty })
        ascii = self.phrases.filter { $0.allSatisfy { $0 < 0x80 } }
        longest = self.phrases.map(\.count).max() ?? 0
        hasOtherScripts = ascii.count < self.phrases.count
    }

    func matches(_ message: Bytes) -> Bool {
        guard longest > 0, message.count <= Self.longestMessage else { return false }
        // Most messages end here: more letters than the longest phrase has, all of them ASCII.
        var letters = 0
        var isASCII = true
        for index in 0..<message.count {
            let byte = message[index]
            if byte >= 0x80 {
                isASCII = false
                break
            }
            if isDigit(byte) || asciiLowercase(byte) &- 0x61 < 26 {
                letters += 1
                if letters > longest { return false }
            }
        }
        if isASCII { return ascii.contains { Self.equal(message, $0, letters: letters) } }
        return phrases.contains(Self.folded(message.string))
    }

    private static func equal(_ message: Bytes, _ phrase: [UInt8], letters: Int) -> Bool {
        guard letters == phrase.count else { return false }
        var position = 0
        for index in 0..<message.count {
            let byte = asciiLowercase(message[index])
            guard isDigit(byte) || byte &- 0x61 < 26 else { continue }
            if phrase[position] != byte { return false }
            position += 1
        }
        return true
    }

    /// The UTF-8 of what counts in a text.
    static func folded(_ text: String) -> [UInt8] {
        var result: [UInt8] = []
        for scalar in text.unicodeScalars {
            if scalar.isASCII {
                let byte = asciiLowercase(UInt8(truncatingIfNeeded: scalar.value))
                if isDigit(byte) || byte &- 0x61 < 26 { result.append(byte) }
                continue
            }
            switch scalar.properties.generalCategory {
            case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
                .finalPunctuation, .otherPunctuation, .spaceSeparator, .lineSeparator, .paragraphSeparator, .control,
                .format:
                continue
            default:
                result.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
            }
        }
        return result
    }
}
