/// Reads the members of one JSON object, strictly as RFC 8259 has it, in one pass over bytes that are known to be
/// UTF-8.
///
/// Nested objects and arrays are checked as strictly, and handed over as their source text. Beyond the grammar: nesting
/// deeper than ``deepest`` is refused, a byte order mark at the start is skipped (section 8.1 allows it), and half of a
/// surrogate pair that an escape names becomes U+FFFD, for a text cut in the middle of an emoji is no reason to lose
/// the rest.
struct JSONScanner {
    /// Levels of objects and arrays, the outermost included.
    static let deepest = 64

    private let bytes: Bytes
    private var at = 0
    /// Objects that are open outside of what is being skipped.
    private var level = 1
    /// The offset of the opening quote of the text that was last begun as a member's value; -1 before the first.
    private(set) var lastText = -1
    /// The position in the list of the member that this text belongs to.
    private(set) var lastTextMember = 0

    init(_ bytes: Bytes) { self.bytes = bytes }

    /// Appends the object's members to `list`. What needs unescaping goes to `scratch`, which must have room for as
    /// many bytes as there are in the source: unescaping never makes text longer, and the scratch memory must not move.
    ///
    /// - Parameter opens: Says by its name whether the members of an object are read, too; they follow it in the list.
    ///   An object with more of them than the list holds is left closed.
    @inline(__always)
    mutating func readObject(
        into list: inout ParameterList, scratch: inout ByteWriter, isFromBody: Bool = true,
        opens: (Bytes) -> Bool = { _ in false }
    ) throws(ScanFailure) {
        if bytes.count >= 3, bytes[0] == 0xEF, bytes[1] == 0xBB, bytes[2] == 0xBF { at = 3 }
        skipWhitespace()
        guard at < bytes.count else { throw failure() }
        guard bytes[at] == 0x7B else {
            _ = try value()
            try end()
            throw ScanFailure(reason: .notAnObject, offset: 0)
        }
        try members(into: &list, scratch: &scratch, isFromBody: isFromBody, opens: opens)
        try end()
    }

    /// Reads an object from its brace on.
    @inline(__always)
    private mutating func members(
        into list: inout ParameterList, scratch: inout ByteWriter, isFromBody: Bool, opens: (Bytes) -> Bool
    ) throws(ScanFailure) {
        at += 1
        skipWhitespace()
        if at < bytes.count, bytes[at] == 0x7D {
            at += 1
            return
        }
        while true {
            switch try plainMember(into: &list, isFromBody: isFromBody) {
            case .more: continue
            case .last: return
            case .other: skipWhitespace()
            }
            guard at < bytes.count, bytes[at] == 0x22 else { throw failure() }
            let name = try string(into: &scratch)
            try colon()
            guard at < bytes.count else { throw failure() }
            if bytes[at] == 0x22 {
                lastText = at
                lastTextMember = list.count
                let text = try string(into: &scratch)
                try list.append(name: name, value: text, kind: .text, isFromBody: isFromBody)
            } else if bytes[at] == 0x7B, opens(name) {
                try nested(name, into: &list, scratch: &scratch, isFromBody: isFromBody)
            } else {
                let start = at
                let kind = try value()
                try list.append(name: name, value: bytes[start..<at], kind: kind, isFromBody: isFromBody)
            }
            skipWhitespace()
            guard at < bytes.count else { throw failure() }
            let next = bytes[at]
            at += 1
            if next == 0x2C {
                skipWhitespace()
            } else if next == 0x7D {
                return
            } else {
                at -= 1
                throw failure()
            }
        }
    }

    private enum PlainMember { case more, last, other }

    /// Reads one member in the shape that nearly all have: `"name":"text"` or `"name":123`, without white space and
    /// escapes, and the comma or brace behind it. Steps over nothing where the member has another shape.
    @inline(__always)
    private mutating func plainMember(
        into list: inout ParameterList, isFromBody: Bool
    ) throws(ScanFailure) -> PlainMember {
        // The empty name, the colon, the shortest value and what follows it.
        guard bytes.count &- at >= 8, bytes[at] == 0x22 else { return .other }
        let nameEnd = endOfPlain(from: at &+ 1)
        guard bytes.count &- nameEnd >= 4, bytes[nameEnd] == 0x22, bytes[nameEnd &+ 1] == 0x3A else { return .other }
        var start = nameEnd &+ 2
        let isText = bytes[start] == 0x22
        let end: Int
        if isText {
            start &+= 1
            end = endOfPlain(from: start)
            guard bytes.count &- end >= 2, bytes[end] == 0x22 else { return .other }
        } else {
            // A number that begins with zero is one of several other shapes.
            guard bytes[start] &- 0x31 < 9 else { return .other }
            end = endOfDigits(from: start)
            guard end < bytes.count else { return .other }
        }
        let next = isText ? end &+ 1 : end
        let separator = bytes[next]
        guard separator == 0x2C || separator == 0x7D else { return .other }
        if isText {
            lastText = start &- 1
            lastTextMember = list.count
        }
        try list.append(
            name: bytes[at &+ 1..<nameEnd], value: bytes[start..<end], kind: isText ? .text : .literal,
            isFromBody: isFromBody)
        at = next &+ 1
        return separator == 0x2C ? .more : .last
    }

    /// The first quote, backslash or control character from a position on, else the number of bytes, of which there are
    /// eight at least.
    @inline(__always)
    private func endOfPlain(from position: Int) -> Int {
        firstByte(from: position) { jsonSpecials($0) }
    }

    /// The first byte that is no digit, from a position on; else the number of bytes, of which there are eight at least.
    @inline(__always)
    private func endOfDigits(from position: Int) -> Int {
        firstByte(from: position) { nonDigits($0) }
    }

    /// The first byte that is marked in its word, from a position on; else the number of bytes. Zeros fill the last word
    /// up, and are marked.
    @inline(__always)
    private func firstByte(from position: Int, marked marks: (UInt64) -> UInt64) -> Int {
        var index = position
        while bytes.count &- index >= 8 {
            let found = marks(bytes.word(at: index))
            if found != 0 { return index &+ found.trailingZeroBitCount >> 3 }
            index &+= 8
        }
        return index &+ marks(lastWord(from: index)).trailingZeroBitCount >> 3
    }

    /// The last bytes, fewer than eight, and zeros above them.
    @inline(__always)
    private func lastWord(from index: Int) -> UInt64 {
        let left = UInt64(truncatingIfNeeded: bytes.count &- index)
        return left == 0 ? 0 : bytes.word(at: bytes.count &- 8) &>> (64 &- left &* 8)
    }

    /// Reads an object inside the outermost one together with its members.
    private mutating func nested(
        _ name: Bytes, into list: inout ParameterList, scratch: inout ByteWriter, isFromBody: Bool
    ) throws(ScanFailure) {
        let start = at
        let position = try list.open(name: name, isFromBody: isFromBody)
        do throws(ScanFailure) {
            level += 1
            try members(into: &list, scratch: &scratch, isFromBody: isFromBody, opens: { _ in false })
            level -= 1
            list.close(position, value: bytes[start..<at])
        } catch {
            guard error.reason == .tooMany else { throw error }
            list.removeAll(from: position)
            level -= 1
            at = start
            let kind = try value()
            try list.append(name: name, value: bytes[start..<at], kind: kind, isFromBody: isFromBody)
        }
    }

    // MARK: - Pieces

    private func failure(_ reason: UnrecognisedReason.Known = .invalidJSON) -> ScanFailure {
        ScanFailure(reason: reason, offset: at)
    }

    @inline(__always)
    private mutating func skipWhitespace() {
        while at < bytes.count, isWhitespace(bytes[at]) { at &+= 1 }
    }

    @inline(__always)
    private mutating func colon() throws(ScanFailure) {
        skipWhitespace()
        guard at < bytes.count, bytes[at] == 0x3A else { throw failure() }
        at += 1
        skipWhitespace()
    }

    /// Nothing but white space may follow.
    private mutating func end() throws(ScanFailure) {
        skipWhitespace()
        guard at == bytes.count else { throw failure() }
    }

    /// Checks one value and steps over it.
    private mutating func value() throws(ScanFailure) -> ParameterKind {
        switch bytes[at] {
        case 0x22:
            try skipString()
            return .text
        case 0x7B, 0x5B:
            try skipContainer()
            return .nested
        case 0x2D, 0x30...0x39:
            try number()
            return .literal
        case 0x74:
            try word("true")
            return .literal
        case 0x66:
            try word("false")
            return .literal
        case 0x6E:
            try word("null")
            return .null
        default:
            throw failure()
        }
    }

    private mutating func word(_ word: StaticString) throws(ScanFailure) {
        let word = Bytes(word)
        guard bytes.count - at >= word.count, bytes[at..<at + word.count].equals(word) else { throw failure() }
        at += word.count
    }

    private mutating func number() throws(ScanFailure) {
        if bytes[at] == 0x2D { at += 1 }
        guard at < bytes.count, isDigit(bytes[at]) else { throw failure() }
        if bytes[at] == 0x30 {
            at += 1
        } else {
            digits()
        }
        if at < bytes.count, bytes[at] == 0x2E {
            at += 1
            guard at < bytes.count, isDigit(bytes[at]) else { throw failure() }
            digits()
        }
        if at < bytes.count, bytes[at] | 0x20 == 0x65 {
            at += 1
            if at < bytes.count, bytes[at] == 0x2B || bytes[at] == 0x2D { at += 1 }
            guard at < bytes.count, isDigit(bytes[at]) else { throw failure() }
            digits()
        }
    }

    @inline(__always)
    private mutating func digits() {
        while bytes.count &- at >= 8 {
            let others = nonDigits(bytes.word(at: at))
            if others != 0 {
                at &+= others.trailingZeroBitCount >> 3
                return
            }
            at &+= 8
        }
        while at < bytes.count, isDigit(bytes[at]) { at &+= 1 }
    }

    /// Steps over plain text up to a quote, a backslash or a control character.
    @inline(__always)
    private mutating func skipPlain() {
        while bytes.count &- at >= 8 {
            let specials = jsonSpecials(bytes.word(at: at))
            if specials != 0 {
                at &+= specials.trailingZeroBitCount >> 3
                return
            }
            at &+= 8
        }
        while at < bytes.count {
            let byte = bytes[at]
            if byte == 0x22 || byte == 0x5C || byte < 0x20 { return }
            at &+= 1
        }
    }

    private mutating func skipString() throws(ScanFailure) {
        at += 1
        while true {
            skipPlain()
            guard at < bytes.count else { throw failure() }
            switch bytes[at] {
            case 0x22:
                at += 1
                return
            case 0x5C:
                if shortEscape == nil { _ = try escape() } else { at &+= 2 }
            default:
                throw failure()
            }
        }
    }

    /// The character of the escape at this position, where it is one of two characters: almost all are, most of them
    /// quotes in JSON that is quoted in JSON.
    @inline(__always)
    private var shortEscape: UInt8? {
        guard bytes.count &- at >= 2 else { return nil }
        let next = bytes[at &+ 1]
        if next == 0x22 { return next }
        switch next {
        case 0x5C: return 0x5C
        case 0x2F: return 0x2F
        case 0x62: return 0x08
        case 0x66: return 0x0C
        case 0x6E: return 0x0A
        case 0x72: return 0x0D
        case 0x74: return 0x09
        default: return nil
        }
    }

    private mutating func string(into scratch: inout ByteWriter) throws(ScanFailure) -> Bytes {
        at += 1
        let start = at
        skipPlain()
        guard at < bytes.count else { throw failure() }
        if bytes[at] == 0x22 {
            at += 1
            return bytes[start..<at - 1]
        }
        return try unescaped(from: start, into: &scratch)
    }

    private mutating func unescaped(from start: Int, into scratch: inout ByteWriter) throws(ScanFailure) -> Bytes {
        let begin = scratch.count
        scratch.append(bytes[start..<at])
        while at < bytes.count, bytes[at] != 0x22 {
            guard bytes[at] == 0x5C else { throw failure() }
            if let byte = shortEscape {
                at &+= 2
                scratch.append(byte)
            } else {
                scratch.append(scalar: try escapedScalar())
            }
            // There is room for the rest of the source, and so for whole words of it.
            scratch.appendPlain(of: bytes, at: &at)
        }
        guard at < bytes.count else { throw failure() }
        at += 1
        return scratch.bytes[begin..<scratch.count]
    }

    /// The scalar that an escape names; two escapes where they are a pair of surrogates.
    private mutating func escapedScalar() throws(ScanFailure) -> UInt32 {
        let unit = try escape()
        guard unit & 0xF800 == 0xD800 else { return unit }
        guard unit < 0xDC00, bytes.count - at >= 6, bytes[at] == 0x5C, bytes[at + 1] == 0x75 else { return 0xFFFD }
        let before = at
        let second = try escape()
        guard second & 0xFC00 == 0xDC00 else {
            at = before
            return 0xFFFD
        }
        return 0x10000 + ((unit & 0x3FF) << 10) + (second & 0x3FF)
    }

    /// One escape, from its backslash on; a UTF-16 code unit.
    private mutating func escape() throws(ScanFailure) -> UInt32 {
        if let byte = shortEscape {
            at += 2
            return UInt32(byte)
        }
        guard bytes.count - at >= 6, bytes[at + 1] == 0x75 else { throw failure() }
        var unit: UInt32 = 0
        for offset in 2..<6 {
            let digit = hexValue(bytes[at + offset])
            guard digit < 16 else { throw failure() }
            unit = unit << 4 | UInt32(digit)
        }
        at += 6
        return unit
    }

    /// Checks an object or array inside the outermost object, without recursion: what is open is one bit a level.
    private mutating func skipContainer() throws(ScanFailure) {
        var objects: UInt64 = 0
        var level = 0
        let deepest = Self.deepest - self.level
        var expected = Expected.value
        while true {
            skipWhitespace()
            guard at < bytes.count else { throw failure() }
            let byte = bytes[at]
            switch expected {
            case .value, .valueOrEnd:
                if byte == 0x7B || byte == 0x5B {
                    guard level < deepest else { throw failure(.tooDeep) }
                    objects = objects << 1 | (byte == 0x7B ? 1 : 0)
                    level += 1
                    at += 1
                    expected = byte == 0x7B ? .nameOrEnd : .valueOrEnd
                    continue
                }
                if byte == 0x5D, expected == .valueOrEnd { break }
                _ = try value()
                expected = .commaOrEnd
                continue
            case .name, .nameOrEnd:
                if byte == 0x7D, expected == .nameOrEnd { break }
                guard byte == 0x22 else { throw failure() }
                try skipString()
                try colon()
                expected = .value
                continue
            case .commaOrEnd:
                if byte == 0x2C {
                    at += 1
                    expected = objects & 1 == 1 ? .name : .value
                    continue
                }
                guard byte == (objects & 1 == 1 ? 0x7D : 0x5D) else { throw failure() }
            }
            at += 1
            objects >>= 1
            level -= 1
            if level == 0 { return }
            expected = .commaOrEnd
        }
    }

    private enum Expected {
        case value, valueOrEnd, name, nameOrEnd, commaOrEnd
    }
}

extension ByteWriter {
    /// The UTF-8 of a scalar.
    mutating func append(scalar: UInt32) {
        func low(_ shift: UInt32) -> UInt8 { UInt8(0x80 | (scalar >> shift & 0x3F)) }
        if scalar < 0x80 {
            append(UInt8(scalar))
        } else if scalar < 0x800 {
            append(UInt8(0xC0 | scalar >> 6))
            append(low(0))
        } else if scalar < 0x10000 {
            append(UInt8(0xE0 | scalar >> 12))
            append(low(6))
            append(low(0))
        } else {
            append(UInt8(0xF0 | (scalar >> 18 & 7)))
            append(low(12))
            append(low(6))
            append(low(0))
        }
    }
}
