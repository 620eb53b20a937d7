internal import SMSBridgeHTTPServer

/// Checks the vendor's signature: HMAC-SHA256 with the account's secret over the time, the method, the address and the
/// body.
///
/// `claim` reads what the head says, before the body is waited for: a signature that is missing, misshapen or out of
/// time is refused there. `owner` computes it when the request is whole.
struct SignatureCheck: Sendable {
    enum ValuePlace: String { case signature, timestamp, any }
    enum SignedPlace: String { case timestamp, method, url, body }
    enum URLPlace: String { case base, path, tail, query }

    /// What a head claims.
    struct Claim {
        var code = InlineArray<32, UInt8>(repeating: 0)
        /// The time as it was written: as such it is signed.
        var timestamp = Cut(offset: 0, count: 0)
    }

    private let keys: [(key: HMACKey, account: Int)]
    let header: [UInt8]
    private let timestampHeader: [UInt8]?
    private let value: Template<ValuePlace>
    private let signed: Template<SignedPlace>
    private let url: Template<URLPlace>
    private let base: [UInt8]
    private let encoding: SignatureScheme.Encoding
    private let unit: SignatureScheme.TimestampUnit
    private let window: Int64
    /// How many segments that are not empty stand before `{tail}`.
    private let segmentsBeforeTail: Int
    /// Whether the query is part of what is signed. If not, a request with parameters there cannot be believed.
    let coversQuery: Bool

    /// - Parameters:
    ///   - secrets: of each account, by its position; any of an account's own is right.
    ///   - baseSegments: of how many segments `http.basePath` is.
    /// - Returns: nil when there are no secrets.
    init?(_ scheme: SignatureScheme?, secrets: [[[UInt8]]], baseSegments: Int) {
        guard let scheme, secrets.contains(where: { !$0.isEmpty }) else { return nil }
        keys = secrets.enumerated().flatMap { account, secrets in
            secrets.map { (key: HMACKey($0), account: account) }
        }
        header = Array(scheme.headerName.lowercased().utf8)
        timestampHeader = scheme.timestampHeaderName.map { Array($0.lowercased().utf8) }
        value = Template(scheme.value)
        signed = Template(scheme.signed)
        url = Template(scheme.url)
        base = Array(scheme.base.utf8)
        encoding = scheme.encoding
        unit = scheme.unit
        let (seconds, attoseconds) = scheme.window.components
        window = seconds * 1_000 + attoseconds / 1_000_000_000_000_000
        segmentsBeforeTail = baseSegments + 1
        coversQuery = url.pieces.contains { if case .place(.query) = $0 { true } else { false } }
    }

    // MARK: - The head

    /// What the head claims; nil when there is no one signature of the form that is expected, or it is not of now.
    ///
    /// - Parameter now: milliseconds since 1970.
    func claim(_ head: borrowing RequestHead, _ bytes: RawSpan, now: Int64) -> Claim? {
        guard let value = head.onlyHeader(header, in: bytes), var claim = read(value, bytes) else { return nil }
        if let timestampHeader {
            guard let time = head.onlyHeader(timestampHeader, in: bytes) else { return nil }
            claim.timestamp = time
        }
        guard let time = milliseconds(claim.timestamp, bytes) else { return nil }
        return time >= now - window && time <= now + window ? claim : nil
    }

    /// Reads the header's value by its template, each place as long as its characters go.
    private func read(_ cut: Cut, _ bytes: RawSpan) -> Claim? {
        var claim = Claim()
        var index = cut.offset
        var isSkipping = false
        for piece in value.pieces {
            switch piece {
            case .text(let text):
                if isSkipping {
                    while index + text.count <= cut.end, !bytes.holds(text, at: index) { index += 1 }
                    isSkipping = false
                }
                guard index + text.count <= cut.end, bytes.holds(text, at: index) else { return nil }
                index += text.count
            case .place(.any):
                isSkipping = true
            case .place(.timestamp):
                let start = index
                while index < cut.end, Self.isDigit(bytes.byte(index)) { index += 1 }
                claim.timestamp = Cut(offset: start, count: index - start)
            case .place(.signature):
                let start = index
                while index < cut.end, Self.base64Value(bytes.byte(index)) != nil { index += 1 }
                while index < cut.end, bytes.byte(index) == UInt8(ascii: "=") { index += 1 }
                guard decode(Cut(offset: start, count: index - start), bytes, into: &claim.code) else { return nil }
            }
        }
        return index == cut.end || isSkipping ? claim : nil
    }

    /// Decodes a whole code of 32 bytes: one that is cut off is none.
    private func decode(_ cut: Cut, _ bytes: RawSpan, into code: inout InlineArray<32, UInt8>) -> Bool {
        if cut.count == 64, encoding != .base64 {
            for index in 0..<32 {
                guard let high = Self.hexValue(bytes.byte(cut.offset + 2 * index)),
                    let low = Self.hexValue(bytes.byte(cut.offset + 2 * index + 1))
                else { return false }
                code[index] = high << 4 | low
            }
            return true
        }
        let isPadded = cut.count == 44 && bytes.byte(cut.end - 1) == UInt8(ascii: "=")
        guard encoding != .hex, cut.count == 43 || isPadded else { return false }
        var bits: UInt32 = 0
        var held = 0
        var written = 0
        for index in 0..<43 {
            guard let value = Self.base64Value(bytes.byte(cut.offset + index)) else { return false }
            bits = bits << 6 | UInt32(value)
            held += 6
            if held >= 8 {
                held -= 8
                code[written] = UInt8(truncatingIfNeeded: bits >> UInt32(held))
                written += 1
            }
        }
        // 43 characters hold two bits more than 32 bytes, which an encoder leaves at zero (RFC 4648 section 3.5).
        return bits & 3 == 0
    }

    /// A decimal number without sign or leading zero, in milliseconds.
    private func milliseconds(_ cut: Cut, _ bytes: RawSpan) -> Int64? {
        guard (1...18).contains(cut.count), bytes.byte(cut.offset) != UInt8(ascii: "0") else { return nil }
        var number: Int64 = 0
        for index in cut.offset..<cut.end {
            guard Self.isDigit(bytes.byte(index)) else { return nil }
            number = number * 10 + Int64(bytes.byte(index) & 0x0F)
        }
        let isSeconds = unit == .seconds || unit == .auto && number < 100_000_000_000
        guard isSeconds else { return number }
        let (milliseconds, isTooLarge) = number.multipliedReportingOverflow(by: 1_000)
        return isTooLarge ? nil : milliseconds
    }

    // MARK: - The whole request

    /// The account with whose secret the request is signed; nil when it is none's.
    ///
    /// - Parameter account: the only account that is allowed; nil when no other proof identifies one.
    func owner(
        of claim: Claim, _ head: borrowing RequestHead, _ bytes: RawSpan, body: RawSpan, among account: Int?
    ) -> Int? {
        let method = head.methodCut
        let path = head.path
        let query = head.query.map { Cut(offset: $0.offset - 1, count: $0.count + 1) }
        var owner: Int?
        // No secret is left out because another has matched.
        for (key, candidate) in keys where account == nil || candidate == account {
            let isRight = key.authenticates(claim.code) { update in
                for piece in signed.pieces {
                    switch piece {
                    case .text(let text): update(text.span.bytes)
                    case .place(.timestamp): update(bytes.extracting(claim.timestamp.offset..<claim.timestamp.end))
                    case .place(.method): update(bytes.extracting(method.offset..<method.end))
                    case .place(.body): update(body)
                    case .place(.url): address(path, query, bytes, update)
                    }
                }
            }
            if isRight { owner = candidate }
        }
        return owner
    }

    private func address(_ path: Cut, _ query: Cut?, _ bytes: RawSpan, _ update: (RawSpan) -> Void) {
        for piece in url.pieces {
            switch piece {
            case .text(let text): update(text.span.bytes)
            case .place(.base): update(base.span.bytes)
            case .place(.path): update(bytes.extracting(path.offset..<path.end))
            case .place(.tail): update(bytes.extracting(tail(of: path, bytes)..<path.end))
            case .place(.query): if let query { update(bytes.extracting(query.offset..<query.end)) }
            }
        }
    }

    /// Where what follows `<http.basePath>/webhooks` begins: with a slash, or at the path's end.
    private func tail(of path: Cut, _ bytes: RawSpan) -> Int {
        var segments = 0
        var isInSegment = false
        for index in path.offset..<path.end {
            let isSlash = bytes.byte(index) == UInt8(ascii: "/")
            if isInSegment, isSlash, segments == segmentsBeforeTail { return index }
            if !isSlash, !isInSegment { segments += 1 }
            isInSegment = !isSlash
        }
        return path.end
    }

    // MARK: - Characters

    private static func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }

    private static func hexValue(_ byte: UInt8) -> UInt8? {
        if isDigit(byte) { return byte & 0x0F }
        let letter = (byte | 0x20) &- UInt8(ascii: "a")
        return letter < 6 && byte >= 0x40 ? letter + 10 : nil
    }

    /// Of the alphabet of RFC 4648 section 4, or of that for URLs (section 5).
    private static func base64Value(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): byte - UInt8(ascii: "A")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): byte - UInt8(ascii: "a") + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0") + 52
        case UInt8(ascii: "+"), UInt8(ascii: "-"): 62
        case UInt8(ascii: "/"), UInt8(ascii: "_"): 63
        default: nil
        }
    }
}
