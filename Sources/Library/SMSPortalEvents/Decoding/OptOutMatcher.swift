/// Matches messages that are exactly one of the opt-out phrases.
///
/// Letters and digits count, folded to lower case; punctuation and white space do not, wherever they stand: `Opt-Out`,
/// `OPT OUT.` and `optout` are one. Emoji and other symbols outside ASCII do count. It folds into memory of its own, so
/// it belongs to one thread.
final class OptOutMatcher {
    /// In bytes, as configured.
    static let longestPhrase = 200

    private let phrases: [[UInt8]]
    /// Of the folded phrases, in bytes.
    private let longest: Int
    private let areASCII: Bool
    private let room: UnsafeMutablePointer<UInt8>

    init(_ phrases: [String]) {
        self.phrases = Array(Set(phrases.map(Self.folded).filter { !$0.isEmpty }))
        longest = self.phrases.map(\.count).max() ?? 0
        areASCII = self.phrases.allSatisfy { $0.allSatisfy { $0 < 0x80 } }
        room = .allocate(capacity: max(longest, 1))
    }

    deinit { room.deallocate() }

    /// - Parameter message: UTF-8.
    func matches(_ message: Bytes) -> Bool {
        guard longest > 0 else { return false }
        var count = 0
        var at = 0
        while at < message.count {
            let byte = message[at]
            if byte < 0x80 {
                at += 1
                guard Self.isLetterOrDigit(byte) else { continue }
                // Most messages end here: they have more letters than any phrase.
                guard count < longest else { return false }
                room[count] = asciiLowercase(byte)
                count += 1
                continue
            }
            let scalar = Self.scalar(in: message, at: &at)
            if Self.isIgnored(scalar) { continue }
            if areASCII { return false }
            for byte in scalar.properties.lowercaseMapping.utf8 {
                guard count < longest else { return false }
                room[count] = byte
                count += 1
            }
        }
        let folded = Bytes(base: UnsafePointer(room), count: count)
        return phrases.contains { $0.withUnsafeBytes { Bytes($0).equals(folded) } }
    }

    /// The UTF-8 of what counts in a text.
    static func folded(_ text: String) -> [UInt8] {
        var result: [UInt8] = []
        for scalar in text.unicodeScalars {
            if scalar.isASCII {
                let byte = asciiLowercase(UInt8(truncatingIfNeeded: scalar.value))
                if isLetterOrDigit(byte) { result.append(byte) }
            } else if !isIgnored(scalar) {
                result.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
            }
        }
        return result
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        isDigit(byte) || asciiLowercase(byte) &- 0x61 < 26
    }

    /// Punctuation, white space and invisible marks outside ASCII.
    private static func isIgnored(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
            .finalPunctuation, .otherPunctuation, .spaceSeparator, .lineSeparator, .paragraphSeparator, .control,
            .format:
            true
        default: false
        }
    }

    /// The scalar that begins at `at`, where there is no ASCII; `at` moves past it.
    private static func scalar(in text: Bytes, at: inout Int) -> Unicode.Scalar {
        let first = text[at]
        let length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
        var value = UInt32(first) & (0xFF >> UInt32(length + 1))
        at += 1
        for _ in 1..<length where at < text.count {
            value = value << 6 | UInt32(text[at] & 0x3F)
            at += 1
        }
        return Unicode.Scalar(value) ?? "\u{FFFD}"
    }
}
