internal import SMSBridgeHTTPServer

/// The parameter `secret` of a query or a form: found, and cut out before anything is built from the parameters.
///
/// It is cut whether or not the configuration asks for it, so that a secret that is no longer needed does not end in a
/// topic. Cut is whatever some program would read as that parameter: after `;` as well as `&`, percent-decoded, in any
/// letter case, and with an index (`secret[]`). A proof is only the value of `secret` itself between `&`s.
struct QuerySecret {
    /// The parameters without it; only of use when `wasFound`.
    private(set) var remainder: [UInt8] = []
    /// The decoded value of the proof.
    private(set) var value: [UInt8] = []
    /// Whether anything is to be cut.
    private(set) var wasFound = false
    /// Whether there is a proof.
    private(set) var hasProof = false
    /// Whether there is more than one: then no value is the one that was meant.
    private(set) var isRepeated = false

    private static let name = Array("secret".utf8)

    /// Reads a query.
    mutating func scan(_ query: RawSpan) { scan(query, isForm: false) }

    /// Reads the body of a form. A body that is the word alone is a text.
    mutating func scan(form: RawSpan) { scan(form, isForm: true) }

    private mutating func scan(_ bytes: RawSpan, isForm: Bool) {
        wasFound = false
        hasProof = false
        isRepeated = false
        // The first pass costs no copy: hardly any query has the parameter.
        var start = 0
        while start < bytes.byteCount {
            let end = Self.end(of: start, in: bytes)
            if Self.isSecret(start, end, in: bytes, needsValue: isForm) {
                cut(bytes, isForm)
                return
            }
            start = end + 1
        }
    }

    private mutating func cut(_ bytes: RawSpan, _ isForm: Bool) {
        wasFound = true
        remainder.removeAll(keepingCapacity: true)
        value.removeAll(keepingCapacity: true)
        var isFirst = true
        var start = 0
        while start < bytes.byteCount {
            var end = Self.end(of: start, in: bytes)
            if Self.isSecret(start, end, in: bytes, needsValue: isForm) {
                end = readProof(bytes, start, end)
            } else {
                if !isFirst { remainder.append(Self.byte(bytes, start - 1)) }
                isFirst = false
                for index in start..<end { remainder.append(Self.byte(bytes, index)) }
            }
            start = end + 1
        }
    }

    /// Only a parameter between two `&` is a proof.
    ///
    /// - Returns: where it ends: a semicolon is a part of a proof's value.
    private mutating func readProof(_ bytes: RawSpan, _ start: Int, _ end: Int) -> Int {
        let ampersand = UInt8(ascii: "&")
        guard start == 0 || Self.byte(bytes, start - 1) == ampersand,
            let equals = Self.equalsPosition(start, end, in: bytes)
        else { return end }
        isRepeated = hasProof
        hasProof = true
        value.removeAll(keepingCapacity: true)
        var last = end
        while last < bytes.byteCount, Self.byte(bytes, last) != ampersand { last += 1 }
        var index = equals + 1
        while let byte = Self.decoded(bytes, &index, last) { value.append(byte) }
        return last
    }

    private static func end(of start: Int, in query: RawSpan) -> Int {
        var end = start
        while end < query.byteCount, byte(query, end) != UInt8(ascii: "&"), byte(query, end) != UInt8(ascii: ";") {
            end += 1
        }
        return end
    }

    /// Whether some program would call this parameter `secret`: behind signs that are no part of a name, and before the end of
    /// the name, an index or another such sign.
    private static func isSecret(_ start: Int, _ end: Int, in query: RawSpan, needsValue: Bool) -> Bool {
        let equals = UInt8(ascii: "=")
        var index = start
        var position = 0
        while index < end, byte(query, index) != equals {
            guard let byte = decoded(query, &index, end) else { break }
            if position == name.count {
                // Between the word and the equals sign.
                if isNamePart(byte) { return false }
                break
            }
            if byte | 0x20 == name[position] {
                position += 1
            } else if position > 0 || isNamePart(byte) {
                return false
            }
        }
        guard position == name.count else { return false }
        guard needsValue else { return true }
        while index < end, byte(query, index) != equals { index += 1 }
        return index < end
    }

    static func isNamePart(_ byte: UInt8) -> Bool {
        (byte | 0x20) &- UInt8(ascii: "a") < 26 || byte &- UInt8(ascii: "0") < 10 || byte == UInt8(ascii: "_")
            || byte == UInt8(ascii: "-")
    }

    /// Where the name of a parameter named `secret` ends; nil for any other parameter.
    private static func equalsPosition(_ start: Int, _ end: Int, in query: RawSpan) -> Int? {
        var index = start
        for expected in name {
            guard index < end, byte(query, index) != UInt8(ascii: "="), let byte = decoded(query, &index, end),
                byte | 0x20 == expected
            else { return nil }
        }
        return index == end || byte(query, index) == UInt8(ascii: "=") ? index : nil
    }

    /// The next byte, percent-decoded; a percent sign without two digits is literal.
    private static func decoded(_ query: RawSpan, _ index: inout Int, _ end: Int) -> UInt8? {
        guard index < end else { return nil }
        let first = byte(query, index)
        index += 1
        if first == UInt8(ascii: "+") { return UInt8(ascii: " ") }
        guard first == UInt8(ascii: "%"), let escaped = PercentEncoding.escape(query, at: index - 1, end: end) else {
            return first
        }
        index += 2
        return escaped
    }

    private static func byte(_ query: RawSpan, _ index: Int) -> UInt8 {
        query.unsafeLoad(fromByteOffset: index, as: UInt8.self)
    }
}
