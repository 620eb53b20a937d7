/// Bytes that somebody else owns and keeps alive: a pointer and a count, every access checked.
///
/// The checks are `precondition`s and so stay in release builds. They guard against mistakes in this module alone; the code
/// around them never reaches past the end whatever the bytes are.
struct Bytes {
    let base: UnsafePointer<UInt8>
    let count: Int

    /// No bytes; `base` is never null.
    @inline(__always)
    static var empty: Bytes { Bytes("") }

    @inline(__always)
    init(base: UnsafePointer<UInt8>, count: Int) {
        self.base = base
        self.count = count
    }

    @inline(__always)
    init(_ buffer: UnsafeRawBufferPointer) {
        if let start = buffer.baseAddress, buffer.count > 0 {
            self.init(base: start.assumingMemoryBound(to: UInt8.self), count: buffer.count)
        } else {
            self = .empty
        }
    }

    @inline(__always)
    init(_ text: StaticString) {
        self.init(base: text.utf8Start, count: text.utf8CodeUnitCount)
    }

    @inline(__always)
    var isEmpty: Bool { count == 0 }

    @inline(__always)
    subscript(index: Int) -> UInt8 {
        precondition(UInt(bitPattern: index) < UInt(bitPattern: count))
        return base[index]
    }

    @inline(__always)
    subscript(range: Range<Int>) -> Bytes {
        precondition(range.lowerBound >= 0 && range.upperBound <= count)
        return Bytes(base: base + range.lowerBound, count: range.upperBound - range.lowerBound)
    }

    /// Eight bytes, the first of them in the lowest bits.
    @inline(__always)
    func word(at index: Int) -> UInt64 {
        precondition(index >= 0 && count &- index >= 8)
        return UInt64(littleEndian: UnsafeRawPointer(base + index).loadUnaligned(as: UInt64.self))
    }

    /// Four bytes, the first of them in the lowest bits.
    @inline(__always)
    func half(at index: Int) -> UInt32 {
        precondition(index >= 0 && count &- index >= 4)
        return UInt32(littleEndian: UnsafeRawPointer(base + index).loadUnaligned(as: UInt32.self))
    }

    @inline(__always)
    var buffer: UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(start: base, count: count) }

    /// The text of bytes that are known to be UTF-8.
    var string: String { String(decoding: buffer, as: UTF8.self) }

    var array: [UInt8] { [UInt8](buffer) }
}

// MARK: - Comparison

extension Bytes {
    @inline(__always)
    func equals(_ other: Bytes) -> Bool {
        guard count == other.count else { return false }
        if count < 8 { return shortWord == other.shortWord }
        // Whole words, and one more that ends where the bytes end.
        var index = 0
        while index &+ 8 <= count {
            if word(at: index) != other.word(at: index) { return false }
            index &+= 8
        }
        return word(at: count &- 8) == other.word(at: count &- 8)
    }

    @inline(__always)
    func equals(_ text: StaticString) -> Bool { equals(Bytes(text)) }

    /// Whether this is `lowercase` when the case of ASCII letters is ignored.
    @inline(__always)
    func equalsIgnoringCase(_ lowercase: Bytes) -> Bool {
        guard count == lowercase.count else { return false }
        if count < 8 { return asciiLowercase(shortWord) == lowercase.shortWord }
        var index = 0
        while index &+ 8 <= count {
            if asciiLowercase(word(at: index)) != lowercase.word(at: index) { return false }
            index &+= 8
        }
        return asciiLowercase(word(at: count &- 8)) == lowercase.word(at: count &- 8)
    }

    @inline(__always)
    func equalsIgnoringCase(_ lowercase: StaticString) -> Bool { equalsIgnoringCase(Bytes(lowercase)) }

    /// The first eight bytes in lower case as a number that sorts as they do; shorter names are filled up with zeros.
    @inline(__always)
    var lowercaseSortKey: UInt64 {
        asciiLowercase(count >= 8 ? word(at: 0) : shortWord).byteSwapped
    }

    /// At most eight bytes as a word, the first in the lowest bits, the rest zero; loads that overlap spare a loop.
    @inline(__always)
    var shortWord: UInt64 {
        precondition(count <= 8)
        if count >= 4 {
            let low = UInt32(littleEndian: UnsafeRawPointer(base).loadUnaligned(as: UInt32.self))
            let high = UInt32(littleEndian: UnsafeRawPointer(base + (count &- 4)).loadUnaligned(as: UInt32.self))
            return UInt64(low) | UInt64(high) << UInt64(truncatingIfNeeded: (count &- 4) &* 8)
        }
        if count == 0 { return 0 }
        return UInt64(base[0]) | UInt64(base[count >> 1]) << UInt64(truncatingIfNeeded: (count >> 1) &* 8)
            | UInt64(base[count &- 1]) << UInt64(truncatingIfNeeded: (count &- 1) &* 8)
    }

    /// Whether `lowercase` occurs anywhere when the case of ASCII letters is ignored.
    func containsIgnoringCase(_ lowercase: StaticString) -> Bool {
        let wanted = Bytes(lowercase)
        guard count >= wanted.count else { return false }
        var start = 0
        while start <= count - wanted.count {
            if self[start..<start + wanted.count].equalsIgnoringCase(wanted) { return true }
            start += 1
        }
        return false
    }
}

// MARK: - What is in them

extension Bytes {
    /// Without the spaces, tabs and line ends at both ends.
    @inline(__always)
    var trimmed: Bytes {
        var start = 0
        var end = count
        while start < end, isWhitespace(base[start]) { start += 1 }
        while end > start, isWhitespace(base[end - 1]) { end -= 1 }
        return self[start..<end]
    }

    /// Without a decimal point and zeros at the end, as middleware adds them that takes integers for floating-point numbers:
    /// `27821234567.0` without its `.0`. Anything else stays as it is.
    @inline(__always)
    var withoutZeroFraction: Bytes {
        guard count > 2, base[count &- 1] == 0x30 else { return self }
        var end = count &- 1
        while end > 0, base[end] == 0x30 { end &-= 1 }
        guard end > 0, base[end] == 0x2E, isDigit(base[end &- 1]) else { return self }
        for index in 0..<end where base[index] == 0x2E { return self }
        return self[0..<end]
    }

    /// One digit at least, and nothing but ASCII digits.
    @inline(__always)
    var isDigits: Bool {
        if count < 8 {
            // What fills the word up is no digit: its marks are left out.
            let counted = (UInt64(1) << UInt64(truncatingIfNeeded: count &* 8)) &- 1
            return count > 0 && nonDigits(shortWord) & counted == 0
        }
        // Whole words, and one more that ends where the bytes end.
        var index = 0
        while index &+ 8 <= count {
            if nonDigits(word(at: index)) != 0 { return false }
            index &+= 8
        }
        return nonDigits(word(at: count &- 8)) == 0
    }

    /// Nothing but visible ASCII and spaces.
    var isVisible: Bool {
        var index = 0
        while index < count {
            if base[index] &- 0x20 >= 0x5F { return false }
            index &+= 1
        }
        return true
    }

    /// Whether these bytes are well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing past U+10FFFF).
    var isUTF8: Bool {
        var index = 0
        while index < count {
            // Almost all of it is ASCII: four words at once, then one, then what remains.
            if count &- index >= 32 {
                let words = UnsafeRawPointer(base + index).loadUnaligned(as: SIMD4<UInt64>.self)
                if words & 0x8080_8080_8080_8080 == .zero {
                    index &+= 32
                    continue
                }
            }
            if count &- index >= 8, word(at: index) & 0x8080_8080_8080_8080 == 0 {
                index &+= 8
                continue
            }
            let length = sequenceLength(at: index)
            if length == 0 { return false }
            index &+= length
        }
        return true
    }

    /// The length of the UTF-8 sequence at `index`; 0 where there is none.
    @inline(__always)
    private func sequenceLength(at index: Int) -> Int {
        let first = self[index]
        if first < 0x80 { return 1 }
        let left = count - index
        if first < 0xC2 || left < 2 { return 0 }
        let second = self[index + 1]
        if first < 0xE0 { return second & 0xC0 == 0x80 ? 2 : 0 }
        if left < 3 || self[index + 2] & 0xC0 != 0x80 { return 0 }
        if first < 0xF0 {
            let lowest: UInt8 = first == 0xE0 ? 0xA0 : 0x80
            let highest: UInt8 = first == 0xED ? 0x9F : 0xBF
            return second >= lowest && second <= highest ? 3 : 0
        }
        if left < 4 || self[index + 3] & 0xC0 != 0x80 || first > 0xF4 { return 0 }
        let lowest: UInt8 = first == 0xF0 ? 0x90 : 0x80
        let highest: UInt8 = first == 0xF4 ? 0x8F : 0xBF
        return second >= lowest && second <= highest ? 4 : 0
    }
}

@inline(__always)
func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

/// Space, tab, line feed or carriage return.
@inline(__always)
func isWhitespace(_ byte: UInt8) -> Bool {
    byte <= 0x20 && (0x1_0000_2600 as UInt64) &>> UInt64(byte) & 1 == 1
}

@inline(__always)
func asciiLowercase(_ byte: UInt8) -> UInt8 { byte &- 0x41 < 26 ? byte | 0x20 : byte }

/// Eight bytes at once. Bytes from 0x80 on stay as they are.
@inline(__always)
func asciiLowercase(_ word: UInt64) -> UInt64 {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let low = word & (ones &* 0x7F)
    let fromA = low &+ ones &* (0x80 - 0x41)
    let afterZ = low &+ ones &* (0x80 - 0x5B)
    let isUpper = fromA & ~afterZ & ~word & (ones &* 0x80)
    return word | isUpper >> 2
}

/// The value of a hexadecimal digit in either case; 255 for anything else.
@inline(__always)
func hexValue(_ byte: UInt8) -> UInt8 {
    if byte &- 0x30 < 10 { return byte &- 0x30 }
    let lower = byte | 0x20
    if lower &- 0x61 < 6 { return lower &- 0x61 &+ 10 }
    return 255
}

/// Whether all eight bytes are visible ASCII or spaces.
@inline(__always)
func isVisible(_ word: UInt64) -> Bool {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let highs: UInt64 = 0x8080_8080_8080_8080
    // Nothing borrows where all bytes are visible, and the lowest byte that is not is found whatever is above it.
    let below = (word &- ones &* 0x20) & ~word
    let delete = word ^ ones &* 0x7F
    return (below | ((delete &- ones) & ~delete) | word) & highs == 0
}

/// Marks, in the high bit of each byte, the bytes that are no ASCII digits. Only the lowest mark is exact.
@inline(__always)
func nonDigits(_ word: UInt64) -> UInt64 {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let value = word ^ (ones &* 0x30)
    return ((value &+ ones &* 0x76) | value) & (ones &* 0x80)
}

/// The same as ``jsonSpecials(_:)``, but with every mark exact, at a few instructions more.
@inline(__always)
func allJSONSpecials(_ word: UInt64) -> UInt64 {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let lows: UInt64 = 0x7F7F_7F7F_7F7F_7F7F
    // Nothing carries from one byte into the next: each sum is of seven bits. The high bit of a sum says "not special".
    // With this bit turned over a quote is 0x20, so that it and the control characters are what lies below 0x21.
    let quoteOrControl = ((word ^ ones &* 0x02) & lows) &+ ones &* 0x5F
    let backslash = ((word ^ ones &* 0x5C) & lows) &+ lows
    return ~(quoteOrControl & backslash | word) & ~lows
}

/// Marks, in the high bit of each byte, the bytes that end plain text in JSON: a quote, a backslash, a control character.
///
/// The lowest mark is exact; those above it may be false, since subtraction borrows upwards. So only the lowest may be used.
@inline(__always)
func jsonSpecials(_ word: UInt64) -> UInt64 {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let highs: UInt64 = 0x8080_8080_8080_8080
    // With this bit turned over a quote is 0x20, so that it and the control characters are what lies below 0x21.
    let quoteOrControl = ((word ^ ones &* 0x02) &- ones &* 0x21) & ~word
    let backslash = word ^ (ones &* 0x5C)
    return (quoteOrControl | ((backslash &- ones) & ~backslash)) & highs
}
