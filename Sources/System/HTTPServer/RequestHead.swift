/// Where a request's body ends, decided in one place: `RequestParser.decideFraming`.
package enum BodyFraming: Sendable, Hashable {
    /// The request ends with its head.
    case none
    /// `Content-Length`, above 0.
    case length(Int)
    case chunked
}

/// A request's head: cuts into the bytes that are given beside it, counted from the request's first byte.
package struct RequestHead: ~Copyable {
    /// The form of the request target (RFC 9112 section 3.2).
    package enum TargetForm: Sendable, Hashable {
        /// `/path?query`
        case origin
        /// `http://authority/path?query`
        case absolute
        /// `*`, with OPTIONS only
        case asterisk
    }

    struct Field {
        var nameOffset: UInt32
        var nameCount: UInt32
        var valueOffset: UInt32
        var valueCount: UInt32

        var name: Cut { Cut(offset: Int(nameOffset), count: Int(nameCount)) }
        var value: Cut { Cut(offset: Int(valueOffset), count: Int(valueCount)) }
    }

    package internal(set) var method = HTTPMethod.other
    package internal(set) var methodCut = Cut(offset: 0, count: 0)
    /// The whole target, unchanged.
    package internal(set) var target = Cut(offset: 0, count: 0)
    package internal(set) var targetForm = TargetForm.origin
    /// The path, still percent-encoded (every `%` is followed by two digits). Empty in absolute form without a path,
    /// which means `/`; for `*` it is the asterisk.
    package internal(set) var path = Cut(offset: 0, count: 0)
    /// What follows `?`; nil when there is none.
    package internal(set) var query: Cut?
    package internal(set) var version = HTTPVersion.http11
    /// The authority of an absolute-form target, else the value of `Host`. Empty when neither is there.
    package internal(set) var host = Cut(offset: 0, count: 0)
    package internal(set) var framing = BodyFraming.none
    /// Whether the client lets the connection stay open after the answer.
    package internal(set) var keepAlive = true
    /// Whether the client waits for `100 Continue` before it sends the body.
    package internal(set) var expectsContinue = false
    /// How many bytes the head takes, its empty line included (and the one before the request, if there was one).
    package internal(set) var byteCount = 0
    var fields: [Field] = []

    /// How many header lines there are.
    package var headerCount: Int { fields.count }

    /// The value of the first header of that name, without blanks around it.
    ///
    /// - Parameters:
    ///   - lowercaseName: the name in lower case; letters of the request match in either.
    ///   - bytes: what the handler was given.
    package borrowing func header(_ lowercaseName: StaticString, in bytes: RawSpan) -> Cut? {
        for index in fields.indices where Int(fields[index].nameCount) == lowercaseName.utf8CodeUnitCount {
            if ByteScan.matches(bytes, fields[index].name, lowercaseName) { return fields[index].value }
        }
        return nil
    }

    /// The value of the one header of that name; nil when it is missing, or there more than once.
    ///
    /// - Parameter lowercaseName: the name in lower case; letters of the request match in either.
    package borrowing func onlyHeader(_ lowercaseName: [UInt8], in bytes: RawSpan) -> Cut? {
        var found: Cut?
        for index in fields.indices where Int(fields[index].nameCount) == lowercaseName.count {
            let matches = lowercaseName.withUnsafeBytes { name in
                name.baseAddress.map { ByteScan.matches(bytes, Int(fields[index].nameOffset), $0, name.count) } ?? false
            }
            guard matches else { continue }
            if found != nil { return nil }
            found = fields[index].value
        }
        return found
    }

    /// Calls with the name and the value of each header, in order.
    package borrowing func forEachHeader(_ body: (_ name: Cut, _ value: Cut) -> Void) {
        for field in fields { body(field.name, field.value) }
    }

    /// Calls with each segment of the path, in order, still encoded: `/a//b` has `a`, an empty one, and `b`.
    package borrowing func forEachPathSegment(in bytes: RawSpan, _ body: (Cut) -> Void) {
        guard targetForm != .asterisk, !path.isEmpty else { return }
        var start = path.offset + 1
        while start <= path.end {
            let slash = ByteScan.first(UInt8(ascii: "/"), in: bytes, from: start, to: path.end)
            body(Cut(offset: start, count: slash - start))
            start = slash + 1
        }
    }

    /// Makes the storage ready for another request.
    mutating func reset() {
        method = .other
        targetForm = .origin
        query = nil
        version = .http11
        host = Cut(offset: 0, count: 0)
        framing = .none
        keepAlive = true
        expectsContinue = false
        byteCount = 0
        fields.removeAll(keepingCapacity: true)
    }
}

/// Percent-encoding as of RFC 3986 section 2.1.
package enum PercentEncoding {
    /// Appends the piece to `buffer`, decoded once.
    ///
    /// - Returns: false at a `%` that two hexadecimal digits do not follow; what came before it is appended.
    @discardableResult
    package static func decode(_ cut: Cut, in bytes: RawSpan, into buffer: inout [UInt8]) -> Bool {
        var index = cut.offset
        while index < cut.end {
            let byte = ByteScan.byte(bytes, index)
            if byte == UInt8(ascii: "%") {
                guard let decoded = escape(bytes, at: index, end: cut.end) else { return false }
                buffer.append(decoded)
                index += 3
            } else {
                buffer.append(byte)
                index += 1
            }
        }
        return true
    }

    /// Whether the piece, decoded once, is exactly `text`.
    ///
    /// - Parameter ignoringCase: whether ASCII letters match in either case; `text` is then in lower case.
    package static func matches(
        _ cut: Cut, in bytes: RawSpan, _ text: StaticString, ignoringCase: Bool = false
    ) -> Bool {
        // As many bytes: with an escape among them they would be fewer when decoded, and `text` has none.
        if cut.count == text.utf8CodeUnitCount, ignoringCase {
            return ByteScan.matches(bytes, cut, text)
        }
        guard cut.count >= text.utf8CodeUnitCount else { return false }
        return text.withUTF8Buffer { text in
            var index = cut.offset
            var matched = 0
            while index < cut.end {
                guard matched < text.count else { return false }
                var byte = ByteScan.byte(bytes, index)
                index += 1
                if byte == UInt8(ascii: "%") {
                    guard let decoded = escape(bytes, at: index - 1, end: cut.end) else { return false }
                    byte = decoded
                    index += 2
                }
                if ignoringCase { byte = ByteScan.lowercased(byte) }
                guard byte == text[matched] else { return false }
                matched += 1
            }
            return matched == text.count
        }
    }

    /// The byte that the escape at `index` encodes.
    package static func escape(_ bytes: RawSpan, at index: Int, end: Int) -> UInt8? {
        guard index + 2 < end, let high = ByteScan.hexValue(ByteScan.byte(bytes, index + 1)),
            let low = ByteScan.hexValue(ByteScan.byte(bytes, index + 2))
        else { return nil }
        return high << 4 | low
    }
}
