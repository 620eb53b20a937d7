/// Scans over bytes, eight at a time where nothing special is expected for long.
///
/// Every read is bounds-checked. The masks find the first special byte exactly: a borrow can only touch bytes behind
/// the first one that is flagged.
enum ByteScan {
    private static let ones: UInt64 = 0x0101_0101_0101_0101
    private static let highs: UInt64 = 0x8080_8080_8080_8080

    /// The high bit of each byte of `word` that is below `bound` (at most 0x80); exact up to the first.
    @inline(__always)
    private static func below(_ bound: UInt64, _ word: UInt64) -> UInt64 {
        (word &- ones &* bound) & ~word & highs
    }

    /// The high bit of each byte of `word` that equals `byte`; exact up to the first.
    @inline(__always)
    private static func equal(_ byte: UInt64, _ word: UInt64) -> UInt64 {
        let difference = word ^ (ones &* byte)
        return (difference &- ones) & ~difference & highs
    }

    @inline(__always)
    private static func load(_ bytes: RawSpan, _ offset: Int) -> UInt64 {
        UInt64(littleEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    /// The first byte in `start..<end` that is invalid in a request target: not visible ASCII, or `#`. `end` if none.
    ///
    /// - Parameter highBytes: whether bytes from 0x80 can.
    static func endOfTarget(_ bytes: RawSpan, from start: Int, to end: Int, highBytes: Bool) -> Int {
        let rejected: UInt64 = highBytes ? 0 : highs
        var index = start
        while index &+ 8 <= end {
            let word = load(bytes, index)
            let special = below(0x21, word) | equal(0x7F, word) | equal(0x23, word) | (word & rejected)
            if special != 0 { return index &+ special.trailingZeroBitCount / 8 }
            index &+= 8
        }
        while index < end {
            let byte = byte(bytes, index)
            guard isTargetByte(byte) || highBytes && byte >= 0x80 else { return index }
            index &+= 1
        }
        return index
    }

    /// The first control character in `start..<end`, tab and DEL included. `end` if none.
    static func firstControl(_ bytes: RawSpan, from start: Int, to end: Int) -> Int {
        var index = start
        while index &+ 8 <= end {
            let word = load(bytes, index)
            let special = below(0x20, word) | equal(0x7F, word)
            if special != 0 { return index &+ special.trailingZeroBitCount / 8 }
            index &+= 8
        }
        while index < end, !isControl(byte(bytes, index)) { index &+= 1 }
        return index
    }

    /// The first `wanted` in `start..<end`; `end` if none.
    static func first(_ wanted: UInt8, in bytes: RawSpan, from start: Int, to end: Int) -> Int {
        var index = start
        while index &+ 8 <= end {
            let found = equal(UInt64(wanted), load(bytes, index))
            if found != 0 { return index &+ found.trailingZeroBitCount / 8 }
            index &+= 8
        }
        while index < end, byte(bytes, index) != wanted { index &+= 1 }
        return index
    }

    /// The first byte in `start..<end` that is not of a token; `end` if none.
    static func endOfToken(_ bytes: RawSpan, from start: Int, to end: Int) -> Int {
        var index = start
        while index < end, isToken(byte(bytes, index)) { index &+= 1 }
        return index
    }

    @inline(__always)
    static func byte(_ bytes: RawSpan, _ offset: Int) -> UInt8 {
        bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
    }

    /// RFC 9110 section 5.6.2: letters, digits and ``!#$%&'*+-.^_`|~``.
    @inline(__always)
    static func isToken(_ byte: UInt8) -> Bool {
        let bits: UInt64 = byte < 64 ? 0x03FF_6CFA_0000_0000 : byte < 128 ? 0x57FF_FFFF_C7FF_FFFE : 0
        return (bits >> UInt64(byte & 63)) & 1 == 1
    }

    @inline(__always)
    static func isTargetByte(_ byte: UInt8) -> Bool { byte > 0x20 && byte < 0x7F && byte != UInt8(ascii: "#") }

    @inline(__always)
    static func isControl(_ byte: UInt8) -> Bool { byte < 0x20 || byte == 0x7F }

    @inline(__always)
    static func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }

    /// The value of a hexadecimal digit, nil for any other byte.
    @inline(__always)
    static func hexValue(_ byte: UInt8) -> UInt8? {
        if isDigit(byte) { return byte &- UInt8(ascii: "0") }
        let letter = (byte | 0x20) &- UInt8(ascii: "a")
        return letter < 6 ? letter &+ 10 : nil
    }

    @inline(__always)
    static func lowercased(_ byte: UInt8) -> UInt8 {
        byte &- UInt8(ascii: "A") < 26 ? byte | 0x20 : byte
    }

    /// Whether the piece is `text`, which is in lower case, in any case of ASCII letters.
    static func matches(_ bytes: RawSpan, _ cut: Cut, _ text: StaticString) -> Bool {
        guard cut.count == text.utf8CodeUnitCount else { return false }
        return text.withUTF8Buffer { text in
            for index in 0..<text.count where lowercased(byte(bytes, cut.offset &+ index)) != text[index] {
                return false
            }
            return true
        }
    }

    /// The piece without blanks and tabs at its ends.
    static func trimmed(_ bytes: RawSpan, from start: Int, to end: Int) -> Cut {
        var (start, end) = (start, end)
        while start < end, isBlank(byte(bytes, start)) { start &+= 1 }
        while end > start, isBlank(byte(bytes, end &- 1)) { end &-= 1 }
        return Cut(offset: start, count: end &- start)
    }

    @inline(__always)
    static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
}
