/// A growing run of bytes, reused from event to event.
struct ByteWriter: ~Copyable {
    private var base: UnsafeMutablePointer<UInt8>
    private var capacity: Int
    private(set) var count = 0

    /// Bytes behind the capacity: whole words are stored where only their first bytes count, and what was reserved must
    /// be enough for what counts, or memory that others point into would move.
    private static let slack = 8

    init(capacity: Int) {
        self.capacity = max(capacity, 64)
        base = .allocate(capacity: self.capacity + Self.slack)
    }

    deinit { base.deallocate() }

    /// Everything written so far. It points into this writer and is void after the next call that writes.
    @inline(__always)
    var bytes: Bytes { Bytes(base: UnsafePointer(base), count: count) }

    @inline(__always)
    mutating func removeAll() { count = 0 }

    /// Takes back what was written after the first `length` bytes.
    mutating func truncate(to length: Int) {
        precondition(length >= 0 && length <= count)
        count = length
    }

    /// Empties the writer, and gives memory back when a rare large event has made it grow past `limit` bytes.
    mutating func removeAll(keepingAtMost limit: Int) {
        count = 0
        guard capacity > limit else { return }
        base.deallocate()
        capacity = limit
        base = .allocate(capacity: limit + Self.slack)
    }

    /// Makes room for `extra` more bytes; until they are written, nothing moves.
    @inline(__always)
    mutating func reserve(_ extra: Int) {
        if capacity &- count < extra { grow(extra) }
    }

    @inline(never)
    private mutating func grow(_ extra: Int) {
        precondition(extra >= 0 && extra <= 1 << 40)
        let larger = max(capacity * 2, count + extra)
        let moved = UnsafeMutablePointer<UInt8>.allocate(capacity: larger + Self.slack)
        moved.update(from: base, count: count)
        base.deallocate()
        base = moved
        capacity = larger
    }

    @inline(__always)
    mutating func append(_ byte: UInt8) {
        reserve(1)
        base[count] = byte
        count &+= 1
    }

    @inline(__always)
    mutating func append(_ bytes: Bytes) {
        reserve(bytes.count)
        put(bytes)
    }

    /// Copies bytes to room that the caller has reserved; short runs are stored as whole words.
    @inline(__always)
    private mutating func put(_ bytes: Bytes) {
        let target = UnsafeMutableRawPointer(base + count)
        if bytes.count <= 8 {
            target.storeBytes(of: bytes.shortWord.littleEndian, as: UInt64.self)
        } else if bytes.count <= 16 {
            let last = bytes.word(at: bytes.count &- 8)
            target.storeBytes(of: bytes.word(at: 0).littleEndian, as: UInt64.self)
            (target + (bytes.count &- 8)).storeBytes(of: last.littleEndian, as: UInt64.self)
        } else {
            target.copyMemory(from: bytes.base, byteCount: bytes.count)
        }
        count &+= bytes.count
    }

    /// Lets a closure write up to `room` bytes at the end; it returns how many it has written.
    mutating func append(atMost room: Int, _ write: (UnsafeMutablePointer<UInt8>) -> Int) {
        reserve(room)
        let written = write(base + count)
        precondition(written >= 0 && written <= room)
        count &+= written
    }

    @inline(__always)
    mutating func append(_ text: StaticString) {
        // The length of a literal is known when this is compiled, and so is how to copy it best.
        reserve(text.utf8CodeUnitCount)
        UnsafeMutableRawPointer(base + count).copyMemory(from: text.utf8Start, byteCount: text.utf8CodeUnitCount)
        count &+= text.utf8CodeUnitCount
    }

    /// The same where the length is not known when this is compiled.
    @inline(__always)
    mutating func append(shared text: StaticString) { append(Bytes(text)) }

    mutating func append(string text: String) {
        var text = text
        text.withUTF8 { append(Bytes(UnsafeRawBufferPointer($0))) }
    }

    /// A length (four bytes, most significant first) and then the bytes: what keeps two parts from running together.
    @inline(__always)
    mutating func appendPart(_ bytes: Bytes) {
        reserve(bytes.count &+ 4)
        putLength(bytes.count)
        put(bytes)
    }

    /// A length (four bytes, least significant first) and then the bytes, which may be some of this writer's own.
    @inline(__always)
    mutating func appendSized(_ bytes: Bytes) {
        let isOwn = bytes.base >= UnsafePointer(base) && bytes.base < UnsafePointer(base + capacity)
        let start = isOwn ? bytes.base - UnsafePointer(base) : 0
        reserve(bytes.count &+ 4)
        setSize(bytes.count, at: count)
        count &+= 4
        put(isOwn ? Bytes(base: UnsafePointer(base + start), count: bytes.count) : bytes)
    }

    /// Writes four bytes, least significant first, over what is there, or in room that the caller has reserved.
    @inline(__always)
    mutating func setSize(_ size: Int, at position: Int) {
        precondition(position >= 0 && position &+ 4 <= capacity)
        UnsafeMutableRawPointer(base + position).storeBytes(
            of: UInt32(truncatingIfNeeded: size).littleEndian, as: UInt32.self)
    }

    /// One parameter of an event id: the name in lower case as a part, the kind of value, the value as a part.
    @inline(__always)
    mutating func appendParameter(name: Bytes, kind: UInt8, value: Bytes) {
        reserve(name.count &+ value.count &+ 32)
        let target = UnsafeMutableRawPointer(base + count)
        target.storeBytes(of: UInt32(truncatingIfNeeded: name.count).bigEndian, as: UInt32.self)
        let start = target + 4
        if name.count < 8 {
            start.storeBytes(of: asciiLowercase(name.shortWord).littleEndian, as: UInt64.self)
        } else {
            // Whole words, and one more that ends where the name ends.
            var index = 0
            while index &+ 8 <= name.count {
                (start + index).storeBytes(of: asciiLowercase(name.word(at: index)).littleEndian, as: UInt64.self)
                index &+= 8
            }
            let last = name.count &- 8
            (start + last).storeBytes(of: asciiLowercase(name.word(at: last)).littleEndian, as: UInt64.self)
        }
        let end = start + name.count
        end.storeBytes(of: kind, as: UInt8.self)
        end.storeBytes(of: UInt32(truncatingIfNeeded: value.count).bigEndian, toByteOffset: 1, as: UInt32.self)
        count &+= name.count &+ 9
        put(value)
    }

    /// Four bytes; the caller has reserved them.
    @inline(__always)
    private mutating func putLength(_ length: Int) {
        let bytes = UInt32(truncatingIfNeeded: length).bigEndian
        UnsafeMutableRawPointer(base + count).storeBytes(of: bytes, as: UInt32.self)
        count &+= 4
    }

    /// Puts `?` in the place of every byte from `start` on that is neither a space nor visible ASCII.
    mutating func replaceInvisible(from start: Int) {
        precondition(start >= 0)
        var index = start
        while index < count {
            // Nearly all of it is visible.
            if count &- index >= 8, isVisible(bytes.word(at: index)) {
                index &+= 8
                continue
            }
            if base[index] &- 0x20 >= 0x5F { base[index] = 0x3F }
            index &+= 1
        }
    }

    /// Two digits (of a number from 0 to 99) and a byte that follows them, in room that the caller has reserved.
    @inline(__always)
    mutating func putPair(_ value: UInt32, _ next: UInt8) {
        putPair(value)
        base[count] = next
        count &+= 1
    }

    @inline(__always)
    mutating func putPair(_ value: UInt32) {
        // A tenth, exact below 100.
        let tens = (value &* 103) >> 10
        // Both digits at once, the tens in the lower byte.
        let digits = UInt16(truncatingIfNeeded: tens | (value &- tens &* 10) << 8) &+ 0x3030
        UnsafeMutableRawPointer(base + count).storeBytes(of: digits.littleEndian, as: UInt16.self)
        count &+= 2
    }

    /// Two digits of base 16, in lower case, a byte.
    mutating func appendHex(_ bytes: Bytes) {
        reserve(bytes.count &* 2 &+ 8)
        var target = UnsafeMutableRawPointer(base + count)
        var index = 0
        while bytes.count &- index >= 4 {
            target.storeBytes(of: Self.hexDigits(UInt64(bytes.half(at: index))).littleEndian, as: UInt64.self)
            target += 8
            index &+= 4
        }
        target.storeBytes(of: Self.hexDigits(bytes[index..<bytes.count].shortWord).littleEndian, as: UInt64.self)
        count &+= bytes.count &* 2
    }

    /// Four bytes become eight digits, each in a byte of its own, the high half of a byte first.
    @inline(__always)
    private static func hexDigits(_ bytes: UInt64) -> UInt64 {
        var word = (bytes | bytes << 16) & 0x0000_FFFF_0000_FFFF
        word = (word | word << 8) & 0x00FF_00FF_00FF_00FF
        word = (word >> 4 | word << 8) & 0x0F0F_0F0F_0F0F_0F0F
        // From 10 on, digits are letters: 0x27 further on.
        let letters = (word &+ 0x7676_7676_7676_7676) >> 7 & 0x0101_0101_0101_0101
        return word &+ 0x3030_3030_3030_3030 &+ letters &* 0x27
    }

    mutating func append(decimal value: Int) {
        if value < 0 { append(0x2D) }
        var magnitude = value.magnitude
        reserve(20)
        var digits = 1
        var probe = magnitude
        while probe >= 10 {
            probe /= 10
            digits += 1
        }
        var position = count + digits
        repeat {
            position -= 1
            base[position] = UInt8(truncatingIfNeeded: magnitude % 10) &+ 0x30
            magnitude /= 10
        } while magnitude > 0
        count += digits
    }
}

// MARK: - JSON strings

extension ByteWriter {
    /// The bytes of UTF-8 text as the inside of a JSON string (RFC 8259, section 7): quotes, backslashes and control
    /// characters are escaped, everything else stays as it is.
    @inline(__always)
    mutating func appendEscaped(_ text: Bytes) {
        // Eight more than the worst case: a whole word is stored even where only its first bytes count.
        reserve(text.count &* 6 &+ 16)
        // A local copy of the position: the compiler cannot know that stores through `base` leave `count` alone.
        var target = UnsafeMutableRawPointer(base + count)
        var index = 0
        while text.count &- index >= 8 {
            let word = text.word(at: index)
            target = Self.putEscaped(word, count: 8, allJSONSpecials(word), to: target)
            index &+= 8
        }
        let left = text.count &- index
        if left > 0 {
            // Less than a word is left; the zeros that fill it up are not part of the text.
            let word = text[index..<text.count].shortWord
            let counted = UInt64.max &>> UInt64(truncatingIfNeeded: 64 &- left &* 8)
            target = Self.putEscaped(word, count: left, allJSONSpecials(word) & counted, to: target)
        }
        count = target - UnsafeMutableRawPointer(base)
    }

    /// Stores the first bytes of a word, the special ones escaped, where there is room for eight bytes more than the
    /// escapes take.
    ///
    /// - Parameter marks: The high bits of the bytes to be escaped.
    /// - Returns: where they end.
    @inline(__always)
    private static func putEscaped(
        _ word: UInt64, count: Int, _ marks: UInt64, to target: UnsafeMutableRawPointer
    ) -> UnsafeMutableRawPointer {
        // Where the word would begin without the escapes so far.
        var target = target
        target.storeBytes(of: word.littleEndian, as: UInt64.self)
        // The lowest bit of each special byte.
        var specials = marks &>> 7
        while specials != 0 {
            let shift = UInt64(truncatingIfNeeded: specials.trailingZeroBitCount)
            let place = target + Int(truncatingIfNeeded: shift &>> 3)
            // The special byte and what follows it.
            let rest = word &>> shift
            if UInt8(truncatingIfNeeded: rest) >= 0x20 {
                // A quote or a backslash: one more before it.
                place.storeBytes(of: 0x5C, as: UInt8.self)
                place.storeBytes(of: rest.littleEndian, toByteOffset: 1, as: UInt64.self)
                target += 1
            } else {
                let length = putEscape(UInt8(truncatingIfNeeded: rest), to: place)
                place.storeBytes(of: (rest &>> 8).littleEndian, toByteOffset: length, as: UInt64.self)
                target += length &- 1
            }
            specials &= specials &- 1
        }
        return target + count
    }

    /// The other way round: copies the plain text that stands at a place inside a JSON string, up to a quote, a backslash
    /// or a control character, and steps over it.
    @inline(__always)
    mutating func appendPlain(of text: Bytes, at index: inout Int) {
        while text.count &- index >= 8 {
            let word = text.word(at: index)
            let specials = jsonSpecials(word)
            let plain = specials == 0 ? 8 : specials.trailingZeroBitCount >> 3
            reserve(plain)
            UnsafeMutableRawPointer(base + count).storeBytes(of: word.littleEndian, as: UInt64.self)
            count &+= plain
            index &+= plain
            if specials != 0 { return }
        }
        while index < text.count {
            let byte = text[index]
            if byte == 0x22 || byte == 0x5C || byte < 0x20 { return }
            append(byte)
            index &+= 1
        }
    }

    /// Stores the escape of a control character.
    ///
    /// - Returns: how long it is: two bytes or six.
    @inline(never)
    private static func putEscape(_ byte: UInt8, to target: UnsafeMutableRawPointer) -> Int {
        let short = shortEscape(byte)
        guard short == 0 else {
            target.storeBytes(of: (UInt16(short) << 8 | 0x5C).littleEndian, as: UInt16.self)
            return 2
        }
        // `\u00` and two digits.
        target.storeBytes(of: UInt32(0x3030_755C).littleEndian, as: UInt32.self)
        let low = byte & 15
        target.storeBytes(of: 0x30 &+ (byte >> 4), toByteOffset: 4, as: UInt8.self)
        target.storeBytes(of: low < 10 ? 0x30 &+ low : 0x57 &+ low, toByteOffset: 5, as: UInt8.self)
        return 6
    }

    @inline(__always)
    private static func shortEscape(_ byte: UInt8) -> UInt8 {
        switch byte {
        case 0x22, 0x5C: byte
        case 0x0A: 0x6E
        case 0x0D: 0x72
        case 0x09: 0x74
        case 0x08: 0x62
        case 0x0C: 0x66
        default: 0
        }
    }

    /// How long `text` becomes in ``appendEscaped(_:)``.
    static func escapedLength(of text: Bytes) -> Int {
        var length = text.count
        var index = 0
        while index < text.count {
            if text.count &- index >= 8 {
                let specials = jsonSpecials(text.word(at: index))
                if specials == 0 {
                    index &+= 8
                    continue
                }
                index &+= specials.trailingZeroBitCount >> 3
            }
            let byte = text[index]
            if byte == 0x22 || byte == 0x5C || byte < 0x20 { length &+= shortEscape(byte) != 0 ? 1 : 5 }
            index &+= 1
        }
        return length
    }
}

// MARK: - Base64

extension ByteWriter {
    /// Base64 with padding (RFC 4648, section 4).
    mutating func appendBase64(_ bytes: Bytes) {
        reserve((bytes.count + 2) / 3 * 4)
        let alphabet = Bytes("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
        var index = 0
        while index < bytes.count {
            let left = bytes.count - index
            let first = UInt32(bytes[index])
            let second = left > 1 ? UInt32(bytes[index + 1]) : 0
            let third = left > 2 ? UInt32(bytes[index + 2]) : 0
            let group = first << 16 | second << 8 | third
            base[count] = alphabet[Int(group >> 18)]
            base[count + 1] = alphabet[Int(group >> 12 & 63)]
            base[count + 2] = left > 1 ? alphabet[Int(group >> 6 & 63)] : 0x3D
            base[count + 3] = left > 2 ? alphabet[Int(group & 63)] : 0x3D
            count += 4
            index += 3
        }
    }

    /// Reads what ``appendBase64(_:)`` wrote; nil for anything else, such as missing padding or stray bits.
    static func base64Decoded(_ text: Bytes) -> [UInt8]? {
        guard text.count % 4 == 0 else { return nil }
        var result: [UInt8] = []
        result.reserveCapacity(text.count / 4 * 3)
        var index = 0
        while index < text.count {
            let isLast = index + 4 == text.count
            var padding = 0
            if isLast, text[index + 3] == 0x3D { padding = text[index + 2] == 0x3D ? 2 : 1 }
            var group: UInt32 = 0
            for offset in 0..<4 {
                let byte = text[index + offset]
                let value: UInt32
                switch byte {
                case 0x41...0x5A: value = UInt32(byte) - 0x41
                case 0x61...0x7A: value = UInt32(byte) - 0x61 + 26
                case 0x30...0x39: value = UInt32(byte) - 0x30 + 52
                case 0x2B: value = 62
                case 0x2F: value = 63
                default:
                    guard byte == 0x3D, offset >= 4 - padding else { return nil }
                    value = 0
                }
                group = group << 6 | value
            }
            result.append(UInt8(group >> 16))
            if padding < 2 { result.append(UInt8(group >> 8 & 255)) }
            if padding < 1 { result.append(UInt8(group & 255)) }
            let stray: UInt32 = padding == 2 ? 0xFFFF : padding == 1 ? 0xFF : 0
            if group & stray != 0 { return nil }
            index += 4
        }
        return result
    }
}
