/// The JSON of a template that the text of one field has broken: a template engine has put the text into it without escaping quotes,
/// line ends, tabs or backslashes.
///
/// The text is recovered when exactly one reading of the whole is left: the last text that the strict reader had begun is
/// the broken one; it ends at the first quote behind which the rest is sound; it has no part that looks like a member
/// (`"…":`), and no name occurs twice in the object. A recovered text is taken literally, except where only line ends and tabs are
/// unescaped: an engine that has escaped quotes or backslashes is then taken at its word.
struct BrokenTemplate {
    /// The longest template that is looked at, in bytes. An SMS and its fields have some hundreds.
    static let longest = 16 << 10
    /// The most quotes that are tried as the end of the text.
    private static let mostQuotes = 64

    private let bytes: Bytes
    /// Offset of the opening quote of the broken text.
    private let quote: Int
    /// Where the next end of the text is looked for, and how many quotes were tried.
    private var at: Int
    private var quotes = 0

    /// - Parameter quote: ``JSONScanner/lastText`` of the strict reader.
    init?(_ bytes: Bytes, quote: Int) {
        guard quote >= 0, bytes.count <= Self.longest else { return nil }
        self.bytes = bytes
        self.quote = quote
        at = quote + 1
    }

    /// Writes the template with the text escaped as it should have been, for the next possible end of the text.
    ///
    /// - Parameter corrected: what it held is gone. It becomes at most twice as long as the template.
    /// - Returns: false where no end is left.
    mutating func next(into corrected: inout ByteWriter) -> Bool {
        while at < bytes.count, quotes < Self.mostQuotes {
            let end = at
            at += 1
            guard bytes[end] == 0x22 else { continue }
            quotes += 1
            let text = bytes[quote + 1..<end]
            let breakage = Breakage(text)
            guard !breakage.hasMember else { return false }
            guard let isLiteral = breakage.isLiteral, isFollowedSoundly(end) else { continue }
            corrected.removeAll()
            corrected.append(bytes[0..<quote + 1])
            if isLiteral { corrected.appendEscaped(text) } else { corrected.appendEscapingControls(text) }
            corrected.append(bytes[end..<bytes.count])
            return true
        }
        return false
    }

    /// Whether a comma or the end of the object follows the quote.
    private func isFollowedSoundly(_ end: Int) -> Bool {
        var at = end + 1
        while at < bytes.count, isWhitespace(bytes[at]) { at += 1 }
        return at < bytes.count && (bytes[at] == 0x2C || bytes[at] == 0x7D)
    }

    /// What in a text a strict reader of JSON does not accept.
    private struct Breakage {
        private var quotes = 0
        private var escapes = 0
        private var wrongEscapes = 0
        private var lineEnds = 0
        private var otherControls = 0
        /// Whether a quote and a colon follow one another, as between a name and its value.
        private(set) var hasMember = false

        init(_ text: Bytes) {
            var at = 0
            while at < text.count {
                let byte = text[at]
                if byte == 0x5C {
                    let length = Self.escapeLength(text, at)
                    if length == 0 { wrongEscapes += 1 } else { escapes += 1 }
                    at += max(length, 1)
                    continue
                }
                if byte == 0x22 {
                    quotes += 1
                    var next = at + 1
                    while next < text.count, isWhitespace(text[next]) { next += 1 }
                    if next < text.count, text[next] == 0x3A { hasMember = true }
                } else if byte == 0x0A || byte == 0x0D || byte == 0x09 {
                    lineEnds += 1
                } else if byte < 0x20 {
                    otherControls += 1
                }
                at += 1
            }
        }

        /// How the text is to be read: literally, or with its escapes. Nil where it is not broken in a way that is understood, or
        /// both readings are possible.
        var isLiteral: Bool? {
            if otherControls > 0 { return nil }
            // The engine escapes no backslash.
            if wrongEscapes > 0 { return true }
            // It escapes no quote; a backslash may be an escape or itself.
            if quotes > 0 { return escapes == 0 ? true : nil }
            return lineEnds > 0 ? false : nil
        }

        /// The length of a well-formed escape; 0 where the backslash begins none.
        private static func escapeLength(_ text: Bytes, _ at: Int) -> Int {
            guard at + 1 < text.count else { return 0 }
            switch text[at + 1] {
            case 0x22, 0x5C, 0x2F, 0x62, 0x66, 0x6E, 0x72, 0x74: return 2
            case 0x75:
                guard at + 6 <= text.count else { return 0 }
                for offset in 2..<6 where hexValue(text[at + offset]) >= 16 { return 0 }
                return 6
            default: return 0
            }
        }
    }
}

extension ByteWriter {
    /// Text inside a JSON string whose escapes stand, with its line ends and tabs escaped.
    fileprivate mutating func appendEscapingControls(_ text: Bytes) {
        for index in 0..<text.count {
            switch text[index] {
            case 0x0A: append("\\n")
            case 0x0D: append("\\r")
            case 0x09: append("\\t")
            default: append(text[index])
            }
        }
    }
}
