import Testing

@testable import SMSPortalEvents

/// What works a word at a time agrees with what the definition says, byte by byte.
@Suite("Byte writer")
struct ByteWriterTests {
    private func escaped(_ bytes: [UInt8]) -> [UInt8] {
        bytes.withUnsafeBytes { bytes in
            var writer = ByteWriter(capacity: 64)
            writer.appendEscaped(Bytes(bytes))
            return writer.bytes.array
        }
    }

    /// RFC 8259 section 7, with the short escapes where there are any.
    private func byDefinition(_ bytes: [UInt8]) -> [UInt8] {
        bytes.flatMap { byte -> [UInt8] in
            switch byte {
            case 0x22: Array(#"\""#.utf8)
            case 0x5C: Array(#"\\"#.utf8)
            case 0x0A: Array(#"\n"#.utf8)
            case 0x0D: Array(#"\r"#.utf8)
            case 0x09: Array(#"\t"#.utf8)
            case 0x08: Array(#"\b"#.utf8)
            case 0x0C: Array(#"\f"#.utf8)
            case 0..<0x20:
                Array("\\u00".utf8) + Array((byte < 16 ? "0" : "1").utf8) + Array(String(byte % 16, radix: 16).utf8)
            default: [byte]
            }
        }
    }

    @Test("every byte at every place of a word is escaped as the definition says")
    func escapes() {
        for length in [1, 3, 7, 8, 9, 15, 16, 17, 24] {
            for place in 0..<length {
                for value in UInt8.min...UInt8.max {
                    var bytes = [UInt8](repeating: UInt8(ascii: "a"), count: length)
                    bytes[place] = value
                    if escaped(bytes) != byDefinition(bytes) { Issue.record("\(value) at \(place) of \(length)") }
                }
            }
        }
    }

    @Test("texts of special and plain bytes in any order", arguments: 1...200 as ClosedRange<UInt64>)
    func mixtures(seed: UInt64) {
        var state = seed
        func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 33
        }
        let bytes = (0..<Int(next() % 200)).map { _ -> UInt8 in
            switch next() % 4 {
            case 0: UInt8(ascii: "\"")
            case 1: UInt8(truncatingIfNeeded: next())
            default: UInt8(ascii: "x")
            }
        }
        #expect(escaped(bytes) == byDefinition(bytes), "seed \(seed)")
    }

    @Test("digits of base 16")
    func hexadecimal() {
        for length in 0..<20 {
            let bytes =
                (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 171) } + [0, 9, 10, 15, 16, 0x99, 0xA0, 0xFF]
            let digits = bytes.withUnsafeBytes { bytes in
                var writer = ByteWriter(capacity: 64)
                writer.appendHex(Bytes(bytes))
                return writer.bytes.string
            }
            #expect(digits == bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined())
        }
    }

    @Test("the first byte that is no digit")
    func digits() {
        for place in 0..<8 {
            for value in UInt8.min...UInt8.max {
                var bytes = Array("01234567".utf8)
                bytes[place] = value
                bytes[7] = place == 7 ? value : 0x3A
                let marks = bytes.withUnsafeBytes { nonDigits(Bytes($0).word(at: 0)) }
                let isDigit = (0x30...0x39).contains(value)
                #expect(marks.trailingZeroBitCount >> 3 == (isDigit ? (place == 7 ? 8 : 7) : place))
            }
        }
    }

    @Test("only digits are digits, whatever their number")
    func allDigits() {
        for length in 0..<20 {
            let digits = (0..<length).map { UInt8(ascii: "0") + UInt8($0 % 10) }
            #expect(digits.withUnsafeBytes { Bytes($0).isDigits } == (length > 0))
            for place in 0..<length {
                for value in UInt8.min...UInt8.max {
                    var bytes = digits
                    bytes[place] = value
                    let isDigits = bytes.withUnsafeBytes { Bytes($0).isDigits }
                    if isDigits != (0x30...0x39).contains(value) { Issue.record("\(value) at \(place) of \(length)") }
                }
            }
        }
    }

    @Test("the first byte that ends plain text in JSON")
    func plainText() {
        for place in 0..<8 {
            for value in UInt8.min...UInt8.max {
                var bytes = Array("abcdefgh".utf8)
                bytes[place] = value
                let marks = bytes.withUnsafeBytes { jsonSpecials(Bytes($0).word(at: 0)) }
                let isSpecial = value < 0x20 || value == 0x22 || value == 0x5C
                if marks.trailingZeroBitCount >> 3 != (isSpecial ? place : 8) { Issue.record("\(value) at \(place)") }
            }
        }
    }

    @Test("every byte that is not visible is replaced, and no other")
    func invisible() {
        for length in [1, 7, 8, 9, 16, 17] {
            for place in 0..<length {
                for value in UInt8.min...UInt8.max {
                    var bytes = [UInt8](repeating: UInt8(ascii: "a"), count: length)
                    bytes[place] = value
                    let replaced = bytes.withUnsafeBytes { bytes in
                        var writer = ByteWriter(capacity: 64)
                        writer.append(Bytes(bytes))
                        writer.replaceInvisible(from: 0)
                        return writer.bytes.array
                    }
                    if !(0x20...0x7E).contains(value) { bytes[place] = UInt8(ascii: "?") }
                    if replaced != bytes { Issue.record("\(value) at \(place) of \(length)") }
                }
            }
        }
    }

    @Test("a parameter of an id: lengths, the name in lower case, the kind, the value")
    func parameters() {
        let letters = Array("AbcDEFghiJKLmnopQRSTuvwxyzÄ_[`@Z".utf8)
        for nameLength in 0...letters.count {
            for valueLength in [0, 1, 3, 4, 7, 8, 9, 16, 17, 40] {
                let name = Array(letters[..<nameLength])
                let value = (0..<valueLength).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 65) }
                var writer = ByteWriter(capacity: 64)
                name.withUnsafeBytes { name in
                    value.withUnsafeBytes { value in
                        writer.appendParameter(name: Bytes(name), kind: 7, value: Bytes(value))
                    }
                }
                let lowercase = name.map { (0x41...0x5A).contains($0) ? $0 + 0x20 : $0 }
                let expected = [0, 0, 0, UInt8(nameLength)] + lowercase + [7, 0, 0, 0, UInt8(valueLength)] + value
                #expect(writer.bytes.array == expected)
            }
        }
    }

    /// The day number of the date is computed by another algorithm than the date of the day number.
    @Test("the date of every day that is written is read as that day")
    func dates() {
        func check(_ day: Int64) {
            let time = EventTime(millisecondsSinceEpoch: day * 86_400_000 + 86_399_999)
            if EventTime(rfc3339: time.rfc3339) != time { Issue.record("day \(day): \(time.rfc3339)") }
        }
        // All days of 1896 to 2105, and every 41st of the years 0000 to 9999.
        for day in Int64(-27_028)..<49_674 { check(day) }
        for day in stride(from: Int64(-719_528), to: 2_932_897, by: 41) { check(day) }
        #expect(EventTime(millisecondsSinceEpoch: .min).rfc3339 == "0000-01-01T00:00:00Z")
        #expect(EventTime(millisecondsSinceEpoch: .max).rfc3339 == "9999-12-31T23:59:59.999Z")
        #expect(EventTime(millisecondsSinceEpoch: -1).rfc3339 == "1969-12-31T23:59:59.999Z")
        #expect(EventTime(millisecondsSinceEpoch: 951_782_400_000).rfc3339 == "2000-02-29T00:00:00Z")
    }

    @Test("what was reserved is enough for as many bytes, and nothing moves", arguments: 64...200)
    func nothingMovesWithinWhatIsReserved(room: Int) {
        for length in 1...24 {
            var writer = ByteWriter(capacity: room)
            writer.reserve(room)
            let start = writer.bytes.base
            let piece = Array(repeating: UInt8(0x61), count: length)
            piece.withUnsafeBytes { piece in
                while writer.count + length <= room {
                    if writer.count % 2 == 0 {
                        writer.append(Bytes(piece))
                    } else {
                        var index = 0
                        writer.appendPlain(of: Bytes(piece), at: &index)
                    }
                }
                writer.append(Bytes(piece)[0..<(room - writer.count)])
            }
            #expect(writer.count == room && writer.bytes.base == start, "pieces of \(length)")
        }
    }

    @Test("a part of the writer's own bytes may be appended, when it moves, too")
    func ownBytes() {
        var writer = ByteWriter(capacity: 64)
        writer.append(Bytes("0123456789012345678901234567890123456789012345678901234567"))
        writer.appendSized(writer.bytes)
        #expect(
            writer.bytes.array.suffix(58).elementsEqual(
                "0123456789012345678901234567890123456789012345678901234567".utf8))
        #expect(Array(writer.bytes.array[58..<62]) == [58, 0, 0, 0])
    }
}
