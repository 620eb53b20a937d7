/// Cuts the values of fields named `secret` out of a body that is no form: JSON, as a whole or broken, and multipart.
///
/// Such a field authenticates nothing: an operator has put it into the vendor's template, and it must not end in a topic.
/// Names are compared as ``QuerySecret`` does.
struct BodySecret {
    private let bytes: [UInt8]
    private var result: [UInt8] = []
    private var isCut = false

    private static let word = Array("secret".utf8)

    /// - Returns: the body without the values; nil where there is nothing to cut.
    static func cut(_ body: [UInt8]) -> [UInt8]? {
        guard containsWord(body) else { return nil }
        var cutter = BodySecret(bytes: body)
        let start = body.firstIndex { !isSpace($0) } ?? 0
        if body[start...].starts(with: "--".utf8) { cutter.cutParts() } else { cutter.cutMembers() }
        return cutter.isCut ? cutter.result : nil
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    /// The letters, or an escape of JSON that may encode one.
    private static func containsWord(_ body: [UInt8]) -> Bool {
        body.indices.contains { at in
            if body[at] == UInt8(ascii: "\\") { return at + 1 < body.count && body[at + 1] | 0x20 == UInt8(ascii: "u") }
            return body[at] | 0x20 == word[0] && body.count - at >= word.count
                && zip(body[at...], word).allSatisfy { $0 | 0x20 == $1 }
        }
    }

    // MARK: - JSON

    /// A quote outside of texts, or one that has broken the JSON, is where a name may begin: no quote within a sound text is
    /// followed by a name, a quote and a colon.
    private mutating func cutMembers() {
        var at = 0
        while at < bytes.count {
            guard bytes[at] == UInt8(ascii: "\""), let value = valueOfSecret(at) else {
                result.append(bytes[at])
                // An escaped quote begins no name.
                if bytes[at] == UInt8(ascii: "\\"), at + 1 < bytes.count {
                    result.append(bytes[at + 1])
                    at += 1
                }
                at += 1
                continue
            }
            isCut = true
            result += bytes[at..<value.lowerBound]
            result += "\"\"".utf8
            at = value.upperBound
        }
    }

    /// Where the value is of a member whose name begins at a quote and is the word; nil for any other.
    private func valueOfSecret(_ quote: Int) -> Range<Int>? {
        var at = quote + 1
        var position = 0
        var isName = true
        while at < bytes.count, bytes[at] != UInt8(ascii: "\"") {
            let byte = unescaped(&at)
            if position < Self.word.count {
                if byte | 0x20 == Self.word[position] {
                    position += 1
                } else if position > 0 || QuerySecret.isNamePart(byte) {
                    return nil
                }
            } else if position == Self.word.count {
                if isName, QuerySecret.isNamePart(byte) { return nil }
                isName = false
            }
        }
        guard position == Self.word.count, at < bytes.count else { return nil }
        at = afterSpace(at + 1)
        guard at < bytes.count, bytes[at] == UInt8(ascii: ":") else { return nil }
        at = afterSpace(at + 1)
        return at..<endOfValue(at)
    }

    /// A byte of a name, unescaped where it is ASCII.
    private func unescaped(_ at: inout Int) -> UInt8 {
        let byte = bytes[at]
        at += 1
        guard byte == UInt8(ascii: "\\"), at < bytes.count else { return byte }
        let next = bytes[at]
        at += 1
        guard next == UInt8(ascii: "u"), bytes.count - at >= 4,
            let code = UInt16(String(decoding: bytes[at..<at + 4], as: UTF8.self), radix: 16)
        else { return next }
        at += 4
        return code < 0x80 ? UInt8(code) : 0x80
    }

    private func endOfValue(_ start: Int) -> Int {
        var at = start
        var depth = 0
        while at < bytes.count {
            switch bytes[at] {
            case UInt8(ascii: "\""):
                at += 1
                while at < bytes.count, bytes[at] != UInt8(ascii: "\"") {
                    at += bytes[at] == UInt8(ascii: "\\") ? 2 : 1
                }
                at = min(at + 1, bytes.count)
                if depth == 0 { return at }
                continue
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if depth == 0 { return at }
                depth -= 1
                if depth == 0 { return at + 1 }
            case UInt8(ascii: ",") where depth == 0: return at
            default: break
            }
            at += 1
        }
        return at
    }

    private func afterSpace(_ start: Int) -> Int {
        var at = start
        while at < bytes.count, Self.isSpace(bytes[at]) { at += 1 }
        return at
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

    // MARK: - Multipart

    /// A part begins with a line of two hyphens; its header ends with an empty line (RFC 2046, section 5.1.1).
    private mutating func cutParts() {
        var isHeader = false
        var isSecret = false
        var at = 0
        while at < bytes.count {
            let feed = bytes[at...].firstIndex(of: UInt8(ascii: "\n"))
            let next = feed.map { $0 + 1 } ?? bytes.count
            let line = bytes[at..<next]
            if line.starts(with: "--".utf8) {
                isHeader = true
                isSecret = false
            } else if isHeader, line.allSatisfy(Self.isSpace) {
                isHeader = false
            } else if isHeader {
                isSecret = isSecret || Self.namesSecret(line)
            } else if isSecret {
                isCut = true
                at = next
                continue
            }
            result += line
            at = next
        }
    }

    /// Whether a line of a part's header has the parameter `name`, and it is the word.
    private static func namesSecret(_ line: ArraySlice<UInt8>) -> Bool {
        let name = Array("name".utf8)
        for start in line.indices where line[start...].count > name.count {
            guard zip(line[start...], name).allSatisfy({ $0 | 0x20 == $1 }) else { continue }
            var at = start + name.count
            // `name*=UTF-8''secret` is the same parameter (RFC 5987).
            while at < line.endIndex, isSpace(line[at]) || "*=\"'".utf8.contains(line[at]) { at += 1 }
            for prefix in ["utf-8''", "us-ascii''"] where line[at...].count >= prefix.utf8.count {
                if zip(line[at...], prefix.utf8).allSatisfy({ $0 | 0x20 == $1 | 0x20 }) { at += prefix.utf8.count }
            }
            while at < line.endIndex, !QuerySecret.isNamePart(line[at]) { at += 1 }
            let rest = line[at...]
            guard rest.count >= word.count, zip(rest, word).allSatisfy({ $0 | 0x20 == $1 }) else { continue }
            let end = at + word.count
            if end == line.endIndex || !QuerySecret.isNamePart(line[end]) { return true }
        }
        return false
    }
}
