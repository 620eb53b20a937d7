internal import SMSBridgeHTTPServer

/// The parameter `secret` of a query: found, and cut out before anything is built from the query.
///
/// It is cut whether or not the configuration asks for it, so that a secret that is no longer needed does not end in a
/// topic. The name is matched percent-decoded and case-insensitively, as later readers of the query do.
struct QuerySecret {
    /// The query without the parameter; only of use when `wasFound`.
    private(set) var remainder: [UInt8] = []
    /// The parameter's decoded value.
    private(set) var value: [UInt8] = []
    private(set) var wasFound = false
    /// Whether the parameter came more than once: then no value is the one that was meant.
    private(set) var isRepeated = false

    private static let name = Array("secret".utf8)

    mutating func scan(_ query: RawSpan) {
        wasFound = false
        isRepeated = false
        // The first pass costs no copy: hardly any query has the parameter.
        var start = 0
        while start < query.byteCount {
            let end = Self.end(of: start, in: query)
            if Self.equalsPosition(start, end, in: query) != nil {
                cut(query)
                return
            }
            start = end + 1
        }
    }

    private mutating func cut(_ query: RawSpan) {
        remainder.removeAll(keepingCapacity: true)
        value.removeAll(keepingCapacity: true)
        var isFirst = true
        var start = 0
        while start < query.byteCount {
            let end = Self.end(of: start, in: query)
            if let equals = Self.equalsPosition(start, end, in: query) {
                isRepeated = wasFound
                wasFound = true
                value.removeAll(keepingCapacity: true)
                var index = equals + 1
                while let byte = Self.decoded(query, &index, end) { value.append(byte) }
            } else {
                if !isFirst { remainder.append(UInt8(ascii: "&")) }
                isFirst = false
                for index in start..<end { remainder.append(Self.byte(query, index)) }
            }
            start = end + 1
        }
    }

    private static func end(of start: Int, in query: RawSpan) -> Int {
        var end = start
        while end < query.byteCount, byte(query, end) != UInt8(ascii: "&") { end += 1 }
        return end
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
