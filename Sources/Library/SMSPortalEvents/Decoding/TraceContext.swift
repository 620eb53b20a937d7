/// Checks the headers of W3C Trace Context (level 1, sections 3.2 and 3.3).
enum TraceContext {
    /// The longest `tracestate` that is passed on, in bytes; the recommendation asks for 512 at least.
    static let longestState = 512
    /// The longest `traceparent`: version 00 has 55 bytes, later versions may append.
    static let longestParent = 128

    /// Whether this is a `traceparent` that may be passed on.
    static func isParent(_ text: Bytes) -> Bool {
        guard text.count >= 55, text.count <= longestParent,
            text[2] == 0x2D, text[35] == 0x2D, text[52] == 0x2D,
            isLowercaseHex(text[0..<2]), isLowercaseHex(text[3..<35]), isLowercaseHex(text[36..<52]),
            isLowercaseHex(text[53..<55]),
            !text[0..<2].equals("ff"), !isZero(text[3..<35]), !isZero(text[36..<52])
        else { return false }
        if text.count == 55 { return true }
        return !text[0..<2].equals("00") && text[55] == 0x2D && isVisible(text)
    }

    /// Whether this is a `tracestate` that may be passed on: at most 32 members `key=value`, visible ASCII.
    static func isState(_ text: Bytes) -> Bool {
        guard !text.isEmpty, text.count <= longestState else { return false }
        var members = 0
        var start = 0
        while start <= text.count {
            var end = start
            while end < text.count, text[end] != 0x2C { end += 1 }
            let member = text[start..<end].trimmed
            if !member.isEmpty {
                members += 1
                guard members <= 32, isMember(member) else { return false }
            }
            start = end + 1
        }
        return members > 0
    }

    private static func isMember(_ member: Bytes) -> Bool {
        var at = 0
        while at < member.count, member[at] != 0x3D {
            let byte = member[at]
            let isKeyByte =
                isDigit(byte) || byte &- 0x61 < 26 || byte == 0x5F || byte == 0x2D || byte == 0x2A || byte == 0x2F
                || byte == 0x40
            guard isKeyByte, at < 256 else { return false }
            at += 1
        }
        guard at > 0, member.count - at >= 2, member.count - at <= 257 else { return false }
        for index in at + 1..<member.count {
            let byte = member[index]
            guard byte >= 0x20, byte < 0x7F, byte != 0x3D else { return false }
        }
        return true
    }

    private static func isLowercaseHex(_ text: Bytes) -> Bool {
        for index in 0..<text.count where !(isDigit(text[index]) || text[index] &- 0x61 < 6) { return false }
        return true
    }

    private static func isZero(_ text: Bytes) -> Bool {
        for index in 0..<text.count where text[index] != 0x30 { return false }
        return true
    }

    private static func isVisible(_ text: Bytes) -> Bool {
        for index in 0..<text.count where text[index] <= 0x20 || text[index] >= 0x7F { return false }
        return true
    }
}
