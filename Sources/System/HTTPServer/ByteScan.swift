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
        // Letters and hyphens are what names of headers are made of: eight at a time.
        while index &+ 8 <= end {
            let word = load(bytes, index)
            let low = (word | ones &* 0x20) & ~highs
            let letter = (low &+ ones &* (0x80 - 0x61)) & ~(low &+ ones &* (0x80 - 0x7B))
            // Exact here, unlike `equal`: no byte borrows from the next.
            let hyphen = ~((word ^ ones &* 0x2D) & ~highs &+ ~highs)
            let other = ~((letter | hyphen) & ~word) & highs
            if other != 0 {
                index &+= other.trailingZeroBitCount / 8
                guard isToken(byte(bytes, index)) else { return index }
                index &+= 1
                continue
            }
            index &+= 8
        }
        while index < end, isToken(byte(bytes, index)) { index &+= 1 }
        return index
    }

    /// Whether `HTTP/1.1` and a line end stand at `offset`; there must be ten bytes.
    @inline(__always)
    static func isHTTP11Line(_ bytes: RawSpan, _ offset: Int) -> Bool {
        // "HTTP/1.1", the first byte lowest.
        load(bytes, offset) == 0x312E_312F_5054_5448
            && byte(bytes, offset &+ 8) == UInt8(ascii: "\r") && byte(bytes, offset &+ 9) == UInt8(ascii: "\n")
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
    @inline(__always)
    static func matches(_ bytes: RawSpan, _ cut: Cut, _ text: StaticString) -> Bool {
        guard cut.count == text.utf8CodeUnitCount else { return false }
        return matches(bytes, cut.offset, UnsafeRawPointer(text.utf8Start), cut.count)
    }

    /// The same for bytes of a known count, eight at a time.
    static func matches(_ bytes: RawSpan, _ offset: Int, _ text: UnsafeRawPointer, _ count: Int) -> Bool {
        var index = 0
        while index &+ 8 <= count {
            if lowercased(load(bytes, offset &+ index)) != word(text, index) { return false }
            index &+= 8
        }
        if count >= 8 {
            let last = count &- 8
            return index == count || lowercased(load(bytes, offset &+ last)) == word(text, last)
        }
        if count >= 4 {
            let last = count &- 4
            return lowercased(half(bytes, offset)) == half(text, 0)
                && lowercased(half(bytes, offset &+ last)) == half(text, last)
        }
        while index < count {
            guard lowercased(byte(bytes, offset &+ index)) == text.load(fromByteOffset: index, as: UInt8.self) else {
                return false
            }
            index &+= 1
        }
        return true
    }

    /// Four bytes, and zeros above them.
    @inline(__always)
    private static func half(_ bytes: RawSpan, _ offset: Int) -> UInt64 {
        UInt64(UInt32(littleEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self)))
    }

    @inline(__always)
    private static func half(_ text: UnsafeRawPointer, _ offset: Int) -> UInt64 {
        UInt64(UInt32(littleEndian: text.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
    }

    @inline(__always)
    private static func word(_ text: UnsafeRawPointer, _ offset: Int) -> UInt64 {
        UInt64(littleEndian: text.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    /// Eight bytes at once; those from 0x80 stay as they are.
    @inline(__always)
    private static func lowercased(_ word: UInt64) -> UInt64 {
        let low = word & ~highs
        let fromA = low &+ ones &* (0x80 - 0x41)
        let afterZ = low &+ ones &* (0x80 - 0x5B)
        return word | (fromA & ~afterZ & ~word & highs) >> 2
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
