/// Finds the fields of an event in its record's value, in one pass, without making any.
///
/// It accepts the values that the bridge writes and similar ones; all others are left to ``EventReader``, which is complete. It is strict about everything that it accepts: UTF-8, the JSON grammar, escapes, the
/// types of values, times, and that nothing is missing.
///
/// It remembers at which place it has found which key, so it belongs to one thread.
package struct EventScanner: ~Copyable {
    /// A key with its quotes and colon, `"name":`, in two words.
    private struct Pattern {
        var first: UInt64 = 0
        var second: UInt64 = 0
        var firstMask: UInt64 = 0
        var secondMask: UInt64 = 0
        var count = 0
        var kind = ValueKey.Kind.text

        init(_ name: String, _ kind: ValueKey.Kind) {
            var bytes = Array("\"\(name)\":".utf8)
            count = bytes.count
            precondition(count <= 16, "a key of a value is at most 13 bytes long")
            bytes += Array(repeating: 0, count: 16 - count)
            for index in 0..<8 {
                first |= UInt64(bytes[index]) << UInt64(8 * index)
                second |= UInt64(bytes[8 + index]) << UInt64(8 * index)
            }
            firstMask = count >= 8 ? ~0 : (1 << UInt64(8 * count)) - 1
            secondMask = count >= 16 ? ~0 : count <= 8 ? 0 : (1 << UInt64(8 * (count - 8))) - 1
            self.kind = kind
        }

        @inline(__always)
        func matches(_ one: UInt64, _ two: UInt64) -> Bool {
            (one ^ first) & firstMask | (two ^ second) & secondMask == 0
        }
    }

    /// By ``ValueKey``. Never freed: one for the process.
    private nonisolated(unsafe) static let patterns: UnsafeMutablePointer<Pattern> = {
        let patterns = UnsafeMutablePointer<Pattern>.allocate(capacity: ValueKey.count)
        for key in ValueKey.allCases { (patterns + key.rawValue).initialize(to: Pattern("\(key)", key.kind)) }
        return patterns
    }()

    private let patterns: UnsafeMutablePointer<Pattern>
    /// Per hint and ordinal the key that stood there in the record before; -1 for none that is known.
    private let expected: UnsafeMutablePointer<Int>
    private static let ordinals = 64
    /// The number of kinds of records that hints distinguish.
    package static let hints = 16

    package init() {
        patterns = Self.patterns
        expected = .allocate(capacity: Self.ordinals * Self.hints)
        expected.initialize(repeating: 0, count: Self.ordinals * Self.hints)
    }

    deinit { expected.deallocate() }

    /// Finds the fields of what a block holds.
    ///
    /// - Parameter hint: Records with the same one have mostly the same keys: their topic's position, 0 to 15.
    /// - Returns: Whether it is an event. If not, ``EventReader`` may find that it is one nevertheless.
    package borrowing func scan(_ block: EventBlock, hint: Int) -> Bool {
        let head = block.head
        let value = block.value
        let base = value.base
        let count = value.count
        guard count >= 2, count < Int(Int32.max), Self.isText(base, count), base[0] == 0x7B else { return false }
        let expected = self.expected + (hint & (Self.hints - 1)) * Self.ordinals
        var at = 1
        var ordinal = 0
        var present: UInt64 = 0
        var escapes: UInt64 = 0
        while true {
            // The key. Whole words are read behind the end: the block has room for them.
            guard at < count else { return false }
            let first = Self.word(base + at)
            let second = Self.word(base + at + 8)
            var key = expected[ordinal]
            if key < 0 || !patterns[key].matches(first, second) {
                key = find(first, second)
                expected[ordinal] = key
            }
            ordinal = (ordinal &+ 1) & (Self.ordinals - 1)
            guard key >= 0 else {
                // A key that a newer bridge writes is skipped.
                at = Self.endOfMember(base, at, count)
                guard at > 0 else { return false }
                if base[at] == 0x2C {
                    at &+= 1
                    continue
                }
                guard base[at] == 0x7D, at &+ 1 == count else { return false }
                break
            }
            // Of repeated keys the last counts: for the reader to judge.
            guard present & (1 << UInt64(key)) == 0 else { return false }
            at &+= patterns[key].count
            guard at < count else { return false }
            let kind = patterns[key].kind
            let start: Int
            if base[at] == 0x22 {
                guard kind == .text else { return false }
                start = at &+ 1
                var isEscaped = false
                let end = Self.endOfString(base, start, count, &isEscaped)
                guard end >= 0 else { return false }
                if isEscaped { escapes |= 1 << UInt64(key) }
                head.pointee.cuts[key] = UInt64(start) | UInt64(end &- start) << 32
                at = end &+ 1
            } else if base[at] == 0x7B {
                guard kind == .object else { return false }
                start = at
                let end =
                    key == ValueKey.raw.rawValue ? Self.endOfRaw(base, at, count) : Self.endOfTexts(base, at, count)
                guard end >= 0 else { return false }
                head.pointee.cuts[key] = UInt64(start) | UInt64(end &- start) << 32
                at = end
            } else {
                guard kind == .literal else { return false }
                start = at
                at = Self.endOfLiteral(base, at, count)
                guard at > start else { return false }
                head.pointee.cuts[key] = UInt64(start) | UInt64(at &- start) << 32
            }
            present |= 1 << UInt64(key)
            guard at < count else { return false }
            if base[at] == 0x2C {
                at &+= 1
                continue
            }
            guard base[at] == 0x7D, at &+ 1 == count else { return false }
            break
        }
        head.pointee.present = present
        head.pointee.escaped = escapes
        return Self.judge(head, base, present, escapes)
    }

    // MARK: - What an event has

    private static let common = ValueKey.mask(.id, .idBasis, .type, .account, .receivedAt, .raw)
    private static let ofDeliveryStatus = ValueKey.mask(.status, .state)
    private static let ofText = ValueKey.mask(.text)
    private static let ofUnrecognised = ValueKey.mask(.reason)
    /// Texts that are read as something else than text, so an escape in one is for the reader.
    private static let plain = ValueKey.mask(.idBasis, .type, .receivedAt, .occurredAt, .sentAt, .state)

    /// Whether nothing is missing, and reads what is no text.
    @inline(__always)
    private static func judge(
        _ head: UnsafeMutablePointer<EventBlock.Head>, _ base: UnsafePointer<UInt8>, _ present: UInt64,
        _ escapes: UInt64
    ) -> Bool {
        guard present & common == common, escapes & plain == 0 else { return false }
        @inline(__always) func bytes(_ key: ValueKey) -> Bytes {
            let cut = head.pointee.cuts[key.rawValue]
            return Bytes(base: base + Int(cut & 0xFFFF_FFFF), count: Int(cut >> 32))
        }
        let type = bytes(.type)
        let needed: UInt64
        if type.equals("delivery-status") {
            head.pointee.type = .deliveryStatus
            needed = ofDeliveryStatus
        } else if type.equals("reply") {
            head.pointee.type = .reply
            needed = ofText
        } else if type.equals("short-code") {
            head.pointee.type = .shortCode
            needed = ofText
        } else if type.equals("url-click") {
            head.pointee.type = .urlClick
            needed = 0
        } else if type.equals("url-preview") {
            head.pointee.type = .urlPreview
            needed = 0
        } else if type.equals("unrecognised") {
            head.pointee.type = .unrecognised
            needed = ofUnrecognised
        } else {
            return false
        }
        guard present & needed == needed else { return false }
        let basis = bytes(.idBasis)
        guard let idBasis = EventIDBasis.allCases.first(where: { basis.equals($0.name) }) else { return false }
        head.pointee.idBasis = idBasis
        guard let receivedAt = milliseconds(bytes(.receivedAt)) else { return false }
        head.pointee.receivedAt = receivedAt
        if present & ValueKey.occurredAt.bit != 0 {
            guard let occurredAt = milliseconds(bytes(.occurredAt)) else { return false }
            head.pointee.occurredAt = occurredAt
        }
        if present & ValueKey.sentAt.bit != 0 {
            guard let sentAt = milliseconds(bytes(.sentAt)) else { return false }
            head.pointee.sentAt = sentAt
        }
        if present & ValueKey.state.bit != 0 {
            let name = bytes(.state)
            // A state that a newer bridge knows is unknown here.
            head.pointee.state = DeliveryState.allCases.first { name.equals($0.name) } ?? .unknown
        }
        if present & ValueKey.parts.bit != 0 {
            let digits = bytes(.parts)
            guard digits.count <= 9, digits.isDigits else { return false }
            var parts = 0
            for index in 0..<digits.count { parts = parts &* 10 &+ Int(digits.base[index] &- 0x30) }
            head.pointee.parts = parts
        }
        head.pointee.isOptOut = false
        if present & ValueKey.optOut.bit != 0 {
            let literal = bytes(.optOut)
            head.pointee.isOptOut = literal.equals("true")
            guard head.pointee.isOptOut || literal.equals("false") else { return false }
        }
        if present & ValueKey.flash.bit != 0 {
            let literal = bytes(.flash)
            head.pointee.isFlash = literal.equals("true")
            guard head.pointee.isFlash || literal.equals("false") else { return false }
        }
        return true
    }

    /// RFC 3339 in UTC, as the bridge writes it: with milliseconds or with whole seconds.
    @inline(__always)
    private static func milliseconds(_ text: Bytes) -> Int64? {
        guard text.count == 24 || text.count == 20 else { return nil }
        let p = text.base
        var wrong: UInt8 = 0
        @inline(__always) func digit(_ index: Int) -> Int {
            let digit = p[index] &- 0x30
            wrong |= digit > 9 ? 1 : 0
            return Int(digit)
        }
        let year = digit(0) &* 1000 &+ digit(1) &* 100 &+ digit(2) &* 10 &+ digit(3)
        let month = digit(5) &* 10 &+ digit(6)
        let day = digit(8) &* 10 &+ digit(9)
        let hour = digit(11) &* 10 &+ digit(12)
        let minute = digit(14) &* 10 &+ digit(15)
        let second = digit(17) &* 10 &+ digit(18)
        var milliseconds = 0
        wrong |= (p[4] ^ 0x2D) | (p[7] ^ 0x2D) | (p[10] ^ 0x54) | (p[13] ^ 0x3A) | (p[16] ^ 0x3A)
        if text.count == 24 {
            milliseconds = digit(20) &* 100 &+ digit(21) &* 10 &+ digit(22)
            wrong |= (p[19] ^ 0x2E) | (p[23] ^ 0x5A)
        } else {
            wrong |= p[19] ^ 0x5A
        }
        guard wrong == 0, month &- 1 < 12, month > 0, day > 0, day <= 28, hour < 24, minute < 60, second < 60 else {
            // Impossible ones, and the last days of a month, are for the complete reader.
            return wrong == 0 ? EventTime.milliseconds(rfc3339: text) : nil
        }
        let shiftedYear = month <= 2 ? year &- 1 : year
        let era = shiftedYear / 400
        let yearOfEra = shiftedYear &- era &* 400
        let dayOfYear = (153 &* (month > 2 ? month &- 3 : month &+ 9) &+ 2) / 5 &+ day &- 1
        let days =
            era &* 146_097 &+ yearOfEra &* 365 &+ yearOfEra / 4 &- yearOfEra / 100 &+ dayOfYear &- 719_468
        return Int64((days &* 86_400 &+ hour &* 3600 &+ minute &* 60 &+ second) &* 1000 &+ milliseconds)
    }

    // MARK: - Bytes

    @inline(__always)
    private static func word(_ pointer: UnsafePointer<UInt8>) -> UInt64 {
        UInt64(littleEndian: UnsafeRawPointer(pointer).loadUnaligned(as: UInt64.self))
    }

    @inline(never)
    private borrowing func find(_ first: UInt64, _ second: UInt64) -> Int {
        for key in 0..<ValueKey.count where patterns[key].matches(first, second) { return key }
        return -1
    }

    /// Whether no byte is a control character, and all of it is UTF-8.
    @inline(__always)
    private static func isText(_ base: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        let spaces = SIMD4<UInt64>(repeating: 0x2020_2020_2020_2020)
        var control = SIMD4<UInt64>.zero
        var high = SIMD4<UInt64>.zero
        var index = 0
        while index &+ 32 <= count {
            let words = UnsafeRawPointer(base + index).loadUnaligned(as: SIMD4<UInt64>.self)
            // Bytes from 0x80 on are no control characters: their high bit is set, and taken out by the complement.
            control |= (words &- spaces) & ~words
            high |= words
            index &+= 32
        }
        var controlRest: UInt64 = 0
        var highRest: UInt64 = 0
        while index &+ 8 <= count {
            let one = word(base + index)
            controlRest |= (one &- 0x2020_2020_2020_2020) & ~one
            highRest |= one
            index &+= 8
        }
        while index < count {
            let byte = UInt64(base[index])
            highRest |= byte
            controlRest |= byte < 0x20 ? 0x80 : 0
            index &+= 1
        }
        let highs: UInt64 = 0x8080_8080_8080_8080
        // A borrow from a byte below may mark a space as a control character, and never hides one.
        if (control[0] | control[1] | control[2] | control[3] | controlRest) & highs != 0 {
            for index in 0..<count where base[index] < 0x20 { return false }
        }
        if (high[0] | high[1] | high[2] | high[3] | highRest) & highs == 0 { return true }
        return Bytes(base: base, count: count).isUTF8
    }

    /// From behind an opening quote to the closing one.
    ///
    /// - Returns: The position of the closing quote; -1 when there is none or an escape is wrong.
    @inline(__always)
    private static func endOfString(
        _ base: UnsafePointer<UInt8>, _ from: Int, _ count: Int, _ isEscaped: inout Bool
    ) -> Int {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let highs: UInt64 = 0x8080_8080_8080_8080
        var at = from
        while true {
            guard at < count else { return -1 }
            let one = word(base + at)
            let quotes = one ^ (ones &* 0x22)
            let backslashes = one ^ (ones &* 0x5C)
            // The lowest mark is exact, and no other is used.
            let hit = (((quotes &- ones) & ~quotes) | ((backslashes &- ones) & ~backslashes)) & highs
            if hit == 0 {
                at &+= 8
                continue
            }
            at &+= hit.trailingZeroBitCount >> 3
            guard at < count else { return -1 }
            if base[at] == 0x22 { return at }
            isEscaped = true
            return endOfEscaped(base, at, count)
        }
    }

    /// The high bit of each byte that is zero; exact.
    @inline(__always)
    private static func zeros(_ word: UInt64) -> UInt64 {
        let low: UInt64 = 0x7F7F_7F7F_7F7F_7F7F
        return ~(((word & low) &+ low) | word | low)
    }

    /// The same from a backslash on. JSON that is quoted in JSON has an escaped quote every few bytes: eight bytes at once,
    /// without a branch that depends on where they are.
    private static func endOfEscaped(_ base: UnsafePointer<UInt8>, _ from: Int, _ count: Int) -> Int {
        let ones: UInt64 = 0x0101_0101_0101_0101
        var at = from
        // Whether the first byte is escaped by the one before it: its high bit.
        var carry: UInt64 = 0
        while at < count {
            let one = word(base + at)
            let quotes = zeros(one ^ (ones &* 0x22))
            let backslashes = zeros(one ^ (ones &* 0x5C))
            let escaped = backslashes << 8 | carry
            let stop = (quotes & ~escaped) | (escaped & ~quotes)
            if stop == 0 {
                carry = backslashes >> 56
                at &+= 8
                continue
            }
            let index = stop.trailingZeroBitCount >> 3
            if quotes & ~escaped & (1 << UInt64(index &* 8 &+ 7)) != 0 {
                at &+= index
                return at < count ? at : -1
            }
            // Another escape than of a quote: its backslash is the byte before.
            at &+= index &- 1
            let length = escapeLength(base, at, count)
            guard length > 0 else { return -1 }
            at &+= length
            carry = 0
        }
        return -1
    }

    /// The length of the escape at a backslash; 0 where it is none, or names a surrogate, which is for the complete reader.
    @inline(never)
    private static func escapeLength(_ base: UnsafePointer<UInt8>, _ at: Int, _ count: Int) -> Int {
        guard at &+ 1 < count else { return 0 }
        switch base[at &+ 1] {
        case 0x22, 0x5C, 0x2F, 0x62, 0x66, 0x6E, 0x72, 0x74: return 2
        case 0x75:
            guard at &+ 6 <= count else { return 0 }
            var unit: UInt32 = 0
            for offset in 2..<6 {
                let digit = hexValue(base[at &+ offset])
                guard digit < 16 else { return 0 }
                unit = unit << 4 | UInt32(digit)
            }
            return unit & 0xF800 == 0xD800 ? 0 : 6
        default: return 0
        }
    }

    /// A number without sign, fraction and exponent, `true` or `false`.
    ///
    /// - Returns: The position behind it; that of the start where there is none.
    @inline(__always)
    private static func endOfLiteral(_ base: UnsafePointer<UInt8>, _ start: Int, _ count: Int) -> Int {
        var at = start
        while at < count, base[at] &- 0x30 <= 9 { at &+= 1 }
        if at > start { return at == start &+ 1 || base[start] != 0x30 ? at : start }
        let one = word(base + start)
        if one & 0xFFFF_FFFF == 0x6575_7274, start &+ 4 <= count { return start &+ 4 }
        if one & 0xFF_FFFF_FFFF == 0x65_736C_6166, start &+ 5 <= count { return start &+ 5 }
        return start
    }

    /// A key that is not known, with its value: a text, a literal or an object of texts.
    ///
    /// - Returns: The position behind it, which is within the value; -1 where it is none of these.
    private static func endOfMember(_ base: UnsafePointer<UInt8>, _ from: Int, _ count: Int) -> Int {
        guard base[from] == 0x22 else { return -1 }
        var isEscaped = false
        var at = endOfString(base, from &+ 1, count, &isEscaped)
        // A known key may be written with escapes.
        guard at >= 0, !isEscaped, at &+ 2 < count, base[at &+ 1] == 0x3A else { return -1 }
        at &+= 2
        switch base[at] {
        case 0x22:
            at = endOfString(base, at &+ 1, count, &isEscaped)
            guard at >= 0 else { return -1 }
            at &+= 1
        case 0x7B: at = endOfTexts(base, at, count)
        default:
            let end = endOfLiteral(base, at, count)
            guard end > at else { return -1 }
            at = end
        }
        return at > 0 && at < count ? at : -1
    }

    /// An object whose values are all texts.
    ///
    /// - Returns: The position behind it; -1 where it is none.
    private static func endOfTexts(_ base: UnsafePointer<UInt8>, _ from: Int, _ count: Int) -> Int {
        var at = from &+ 1
        guard at < count else { return -1 }
        if base[at] == 0x7D { return at &+ 1 }
        var isEscaped = false
        while true {
            guard at < count, base[at] == 0x22 else { return -1 }
            at = endOfString(base, at &+ 1, count, &isEscaped)
            guard at >= 0, !isEscaped, at &+ 2 < count, base[at &+ 1] == 0x3A, base[at &+ 2] == 0x22 else { return -1 }
            var ignored = false
            at = endOfString(base, at &+ 3, count, &ignored)
            guard at >= 0, at &+ 1 < count else { return -1 }
            at &+= 1
            if base[at] == 0x7D { return at &+ 1 }
            guard base[at] == 0x2C else { return -1 }
            at &+= 1
        }
    }

    /// The original callback: method and route, then texts. Base64 is for the complete reader.
    private static func endOfRaw(_ base: UnsafePointer<UInt8>, _ from: Int, _ count: Int) -> Int {
        // {"method":"GET","route":"…" or {"method":"POST","route":"…"
        let method = Bytes("{\"method\":\"")
        let route = Bytes("\",\"route\":\"")
        guard from &+ method.count &+ route.count &+ 8 < count else { return -1 }
        var at = from
        guard Bytes(base: base + at, count: method.count).equals(method) else { return -1 }
        at &+= method.count
        let name = word(base + at)
        if name & 0xFF_FFFF == 0x54_4547 {
            at &+= 3
        } else if name & 0xFFFF_FFFF == 0x5453_4F50 {
            at &+= 4
        } else {
            return -1
        }
        guard Bytes(base: base + at, count: route.count).equals(route) else { return -1 }
        at &+= route.count
        var isEscaped = false
        at = endOfString(base, at, count, &isEscaped)
        guard at >= 0, !isEscaped, at &+ 1 < count else { return -1 }
        at &+= 1
        while base[at] == 0x2C {
            at &+= 1
            let start = at &+ 1
            guard at < count, base[at] == 0x22 else { return -1 }
            at = endOfString(base, start, count, &isEscaped)
            guard at >= 0, !isEscaped, at &+ 2 < count, base[at &+ 1] == 0x3A else { return -1 }
            let key = Bytes(base: base + start, count: at &- start)
            // Of repeated keys the last counts, and Base64 has to be decoded. The rare ones are the complete reader's.
            guard !key.equals("method"), !key.equals("route"), !key.equals("queryBase64"), !key.equals("bodyBase64"),
                !key.equals("contentEncoding"), !key.equals("recovered"), !key.equals("imported")
            else { return -1 }
            at &+= 2
            if base[at] == 0x22 {
                var ignored = false
                at = endOfString(base, at &+ 1, count, &ignored)
                guard at >= 0 else { return -1 }
                at &+= 1
            } else {
                guard !key.equals("contentType"), !key.equals("query"), !key.equals("body") else { return -1 }
                let end = endOfLiteral(base, at, count)
                guard end > at else { return -1 }
                at = end
            }
            guard at < count else { return -1 }
        }
        return base[at] == 0x7D ? at &+ 1 : -1
    }
}
