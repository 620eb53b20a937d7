internal import SMSBridgeHTTPServer

/// The parts of a rejected request, as far as they can be recognised: it need not be valid or there as a
/// whole. Only for diagnosis: nothing is accepted by it.
struct LooseHead {
    private(set) var method = Cut(offset: 0, count: 0)
    private(set) var path = Cut(offset: 0, count: 0)
    private(set) var query = Cut(offset: 0, count: 0)
    /// The first segments of the path that are not empty, still encoded.
    private(set) var segments: [Cut] = []
    private var fields: [(name: Cut, value: Cut)] = []

    /// More than these are not looked at, so that a rejected request costs little.
    private static let maxSegments = 12
    private static let maxFields = 128

    init(_ bytes: RawSpan) {
        var start = 0
        var hasRequestLine = false
        while start < bytes.byteCount, fields.count < Self.maxFields {
            let feed = Self.first(UInt8(ascii: "\n"), bytes, start, bytes.byteCount)
            var end = feed
            if end > start, bytes.byte(end - 1) == UInt8(ascii: "\r") { end -= 1 }
            let line = Cut(offset: start, count: end - start)
            if hasRequestLine {
                if line.isEmpty { return }
                readField(line, bytes)
            } else if !line.isEmpty {
                hasRequestLine = true
                readRequestLine(line, bytes)
            }
            start = feed + 1
        }
    }

    /// The values of all headers of that name, which is in lower case.
    func values(of name: [UInt8], in bytes: RawSpan) -> [Cut] {
        fields.compactMap { bytes.matches($0.name, lowercase: name) ? $0.value : nil }
    }

    private mutating func readRequestLine(_ line: Cut, _ bytes: RawSpan) {
        let methodEnd = Self.first(UInt8(ascii: " "), bytes, line.offset, line.end)
        method = Cut(offset: line.offset, count: methodEnd - line.offset)
        guard methodEnd < line.end else { return }
        // A blank within the target is one of the mistakes: the version follows the last one.
        var end = line.end
        for index in stride(from: line.end - 1, to: methodEnd, by: -1) where bytes.byte(index) == UInt8(ascii: " ") {
            end = index
            break
        }
        var start = methodEnd + 1
        let question = Self.first(UInt8(ascii: "?"), bytes, start, end)
        if question < end { query = Cut(offset: question + 1, count: end - question - 1) }
        if start < question, bytes.byte(start) != UInt8(ascii: "/") {
            // In absolute form the path begins behind the authority.
            let colon = Self.first(UInt8(ascii: ":"), bytes, start, question)
            if colon + 3 <= question, bytes.byte(colon + 1) == UInt8(ascii: "/"),
                bytes.byte(colon + 2) == UInt8(ascii: "/")
            {
                start = Self.first(UInt8(ascii: "/"), bytes, colon + 3, question)
            }
        }
        path = Cut(offset: start, count: question - start)
        while start < question, segments.count < Self.maxSegments {
            let slash = Self.first(UInt8(ascii: "/"), bytes, start, question)
            if slash > start { segments.append(Cut(offset: start, count: slash - start)) }
            start = slash + 1
        }
    }

    private mutating func readField(_ line: Cut, _ bytes: RawSpan) {
        let colon = Self.first(UInt8(ascii: ":"), bytes, line.offset, line.end)
        guard colon < line.end else { return }
        fields.append((Self.trimmed(line.offset, colon, bytes), Self.trimmed(colon + 1, line.end, bytes)))
    }

    private static func first(_ wanted: UInt8, _ bytes: RawSpan, _ start: Int, _ end: Int) -> Int {
        var index = start
        while index < end, bytes.byte(index) != wanted { index += 1 }
        return index
    }

    private static func trimmed(_ start: Int, _ end: Int, _ bytes: RawSpan) -> Cut {
        func isBlank(_ index: Int) -> Bool {
            bytes.byte(index) == UInt8(ascii: " ") || bytes.byte(index) == UInt8(ascii: "\t")
        }
        var (start, end) = (start, end)
        while start < end, isBlank(start) { start += 1 }
        while end > start, isBlank(end - 1) { end -= 1 }
        return Cut(offset: start, count: end - start)
    }
}
