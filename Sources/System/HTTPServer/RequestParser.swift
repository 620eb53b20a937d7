/// Reads HTTP/1.1 and HTTP/1.0 requests, as strictly as RFC 9110 and RFC 9112 allow: a pure state machine over bytes.
///
/// It is given all bytes of the request that its caller still keeps, from the request's first byte on, as often as
/// more have come, and goes on where it stopped; no byte is judged twice (but for a few at the edge of what has come).
/// What it says does not depend on how the bytes were split. It allocates nothing once its header table has grown.
///
/// A body's bytes are reported as they arrive. The caller may close the gaps that chunk framing leaves: it may drop
/// bytes between the body so far and `keptFrom`, and then reports how many with `shift(by:)`.
package struct RequestParser: ~Copyable {
    /// Bounds that a request may not pass.
    package struct Limits: Sendable {
        /// Longest request target, in bytes. 64 KiB.
        package var maxTargetBytes = 64 * 1024
        /// All header lines together, the empty line included, in bytes; trailers have the same bound. 16 KiB.
        package var maxHeaderBytes = 16 * 1024
        /// Header lines; trailers have the same bound. 100.
        package var maxHeaders = 100
        /// Longest body, after chunked decoding, in bytes. 256 KiB.
        package var maxBodyBytes = 256 * 1024
        /// All chunk extensions of a request together, in bytes. 4 KiB.
        package var maxChunkExtensionBytes = 4 * 1024

        package init() {}
    }

    /// What the bytes so far say next.
    package enum Event: Equatable, Sendable {
        /// Nothing more before more bytes come.
        case needMore
        /// The head is whole: `head` is set.
        case head
        /// A piece of the body, never empty, in the bytes given.
        case body(Cut)
        /// The request ends before `position`.
        case end
        /// The request is refused, and nothing that follows may be taken for a request.
        case refused(RequestRule)
    }

    private enum State: UInt8 {
        case start, method, target, version
        case fieldStart, fieldName, fieldValue, lastLine
        case body, chunkSize, chunkExtension, chunkSizeLine, chunkData, chunkEnd
        case end, refused
    }

    /// Where within a chunk extension: `;name`, `=`, a token or a quoted string.
    private enum ExtensionState: UInt8 {
        case nameStart, name, valueStart, token, quoted, escaped, closed
    }

    private static let maxMethodBytes = 32
    private static let maxChunkSizeDigits = 16

    private let limits: Limits
    private var state = State.start
    private var extensionState = ExtensionState.nameStart
    private var rule = RequestRule.method
    private var skippedEmptyLine = false
    private var inTrailers = false
    /// Where the element that is being read begins.
    private var mark = 0
    /// Where the header section or the trailer section begins; below 0 when the caller has dropped bytes since.
    private var sectionStart = 0
    private var nameEnd = 0
    private var trailerCount = 0
    private var chunkDigits = 0
    private var extensionBytes = 0
    private var bodyBytes = 0
    /// What is left of the body, or of the chunk.
    private var remaining = 0

    private var hosts = 0
    private var lengths = 0
    private var declaredLength = 0
    private var encodings = 0
    private var chunkedCodings = 0
    private var otherCodings = 0
    private var lastCodingIsChunked = false
    /// A byte from 0x80 has come in the query, which may have more of them.
    private var queryHasHighBytes = false
    private var asksClose = false
    private var asksKeepAlive = false

    /// The request's head, once `.head` was returned.
    package private(set) var head = RequestHead()
    /// The first byte that has not been judged.
    package private(set) var position = 0

    package init(limits: Limits) {
        self.limits = limits
        head.fields.reserveCapacity(16)
    }

    /// Whether a byte of the request itself, beyond an empty line before it, has come.
    package var hasBegun: Bool { state != .start }

    /// Whether the head is whole and the request is not.
    package var isInBody: Bool { head.byteCount > 0 && state != .end && state != .refused }

    /// Bytes before this one are not needed any more, but those of the head and of the body for the caller's own sake.
    package var keptFrom: Int {
        switch state {
        case .fieldStart, .fieldName, .fieldValue, .lastLine: mark
        default: position
        }
    }

    /// The caller has dropped `count` bytes that lay before `keptFrom`.
    package mutating func shift(by count: Int) {
        position -= count
        mark -= count
        nameEnd -= count
        sectionStart -= count
    }

    /// Makes ready for the next request, whose first byte is offset 0 of what is given from then on.
    package mutating func reset() {
        // Nothing was read since the last time.
        if state == .start, position == 0 { return }
        state = .start
        skippedEmptyLine = false
        inTrailers = false
        mark = 0
        position = 0
        trailerCount = 0
        extensionBytes = 0
        bodyBytes = 0
        remaining = 0
        hosts = 0
        lengths = 0
        declaredLength = 0
        encodings = 0
        chunkedCodings = 0
        otherCodings = 0
        lastCodingIsChunked = false
        queryHasHighBytes = false
        asksClose = false
        asksKeepAlive = false
        head.reset()
    }

    /// Reads on.
    ///
    /// - Parameter bytes: the request from its first byte on; at least as many bytes as at the call before, less those
    ///   reported with `shift(by:)`.
    package mutating func next(_ bytes: RawSpan) -> Event {
        while true {
            let event: Event?
            switch state {
            case .start: event = readStart(bytes)
            case .method: event = readMethod(bytes)
            case .target: event = readTarget(bytes)
            case .version: event = readVersion(bytes)
            case .fieldStart, .fieldName, .fieldValue: event = readFields(bytes)
            case .lastLine: event = readLastLine(bytes)
            case .body: event = readBody(bytes)
            case .chunkSize: event = readChunkSize(bytes)
            case .chunkExtension: event = readChunkExtension(bytes)
            case .chunkSizeLine: event = readChunkSizeLine(bytes)
            case .chunkData: event = readChunkData(bytes)
            case .chunkEnd: event = readChunkEnd(bytes)
            case .end: event = .end
            case .refused: event = .refused(rule)
            }
            if let event { return event }
        }
    }

    private mutating func refuse(_ rule: RequestRule) -> Event {
        state = .refused
        self.rule = rule
        return .refused(rule)
    }

    // MARK: The request line

    private mutating func readStart(_ bytes: RawSpan) -> Event? {
        guard position < bytes.byteCount else { return .needMore }
        switch ByteScan.byte(bytes, position) {
        case UInt8(ascii: "\r"):
            // RFC 9112 section 2.2: an empty line before a request is ignored. One: more are no mistake of a client.
            if skippedEmptyLine { return refuse(.emptyLines) }
            guard position + 1 < bytes.byteCount else { return .needMore }
            guard ByteScan.byte(bytes, position + 1) == UInt8(ascii: "\n") else { return refuse(.bareCR) }
            position += 2
            skippedEmptyLine = true
        case UInt8(ascii: "\n"):
            return refuse(.bareLF)
        default:
            mark = position
            state = .method
        }
        return nil
    }

    private mutating func readMethod(_ bytes: RawSpan) -> Event? {
        let limit = mark + Self.maxMethodBytes + 1
        let end = min(bytes.byteCount, limit)
        position = ByteScan.endOfToken(bytes, from: position, to: end)
        guard position < end else { return end == limit ? refuse(.methodTooLong) : .needMore }
        guard ByteScan.byte(bytes, position) == UInt8(ascii: " "), position > mark else { return refuse(.method) }
        head.methodCut = Cut(offset: mark, count: position - mark)
        head.method = HTTPMethod(bytes, head.methodCut)
        // A tunnel is not ours to open, and its target is of a form of its own.
        if head.method == .connect { return refuse(.connect) }
        position += 1
        mark = position
        state = .target
        return nil
    }

    private mutating func readTarget(_ bytes: RawSpan) -> Event? {
        let limit = mark + limits.maxTargetBytes + 1
        let end = min(bytes.byteCount, limit)
        position = ByteScan.endOfTarget(bytes, from: position, to: end, highBytes: queryHasHighBytes)
        // Bytes from 0x80 in a query say nothing about where the request ends, and clients send text so. In a path,
        // which proxies and handlers route by, none is accepted.
        if position < end, !queryHasHighBytes, ByteScan.byte(bytes, position) >= 0x80,
            ByteScan.first(UInt8(ascii: "?"), in: bytes, from: mark, to: position) < position
        {
            queryHasHighBytes = true
            position = ByteScan.endOfTarget(bytes, from: position, to: end, highBytes: true)
        }
        guard position < end else { return end == limit ? refuse(.targetTooLong) : .needMore }
        switch ByteScan.byte(bytes, position) {
        case UInt8(ascii: " "): break
        // The line ends without a version: HTTP/0.9.
        case UInt8(ascii: "\r"), UInt8(ascii: "\n"): return refuse(.version)
        default: return refuse(.target)
        }
        guard position > mark else { return refuse(.target) }
        head.target = Cut(offset: mark, count: position - mark)
        if let rule = readTargetForm(bytes) { return refuse(rule) }
        position += 1
        mark = position
        state = .version
        return nil
    }

    /// Tells the target's parts.
    private mutating func readTargetForm(_ bytes: RawSpan) -> RequestRule? {
        let target = head.target
        var pathStart = target.offset
        switch ByteScan.byte(bytes, target.offset) {
        case UInt8(ascii: "/"):
            head.targetForm = .origin
        case UInt8(ascii: "*") where target.count == 1:
            guard head.method == .options else { return .targetForm }
            head.targetForm = .asterisk
            head.path = target
            return nil
        default:
            head.targetForm = .absolute
            let schemeEnd = ByteScan.first(UInt8(ascii: ":"), in: bytes, from: target.offset, to: target.end)
            let scheme = Cut(offset: target.offset, count: schemeEnd - target.offset)
            guard ByteScan.matches(bytes, scheme, "http") || ByteScan.matches(bytes, scheme, "https"),
                target.end - schemeEnd > 3, ByteScan.byte(bytes, schemeEnd + 1) == UInt8(ascii: "/"),
                ByteScan.byte(bytes, schemeEnd + 2) == UInt8(ascii: "/")
            else { return .targetForm }
            let start = schemeEnd + 3
            var end = start
            while end < target.end {
                let byte = ByteScan.byte(bytes, end)
                if byte == UInt8(ascii: "/") || byte == UInt8(ascii: "?") { break }
                end += 1
            }
            head.host = Cut(offset: start, count: end - start)
            // RFC 9110 section 4.2.1: an empty host must be refused. Section 4.2.4: user information, too.
            guard end > start, Authority.isValid(bytes, head.host, mayBeEmpty: false) else { return .targetForm }
            pathStart = end
        }
        let question = ByteScan.first(UInt8(ascii: "?"), in: bytes, from: pathStart, to: target.end)
        head.path = Cut(offset: pathStart, count: question - pathStart)
        if question < target.end { head.query = Cut(offset: question + 1, count: target.end - question - 1) }
        var index = ByteScan.first(UInt8(ascii: "%"), in: bytes, from: pathStart, to: question)
        while index < question {
            guard PercentEncoding.escape(bytes, at: index, end: question) != nil else { return .targetEncoding }
            index = ByteScan.first(UInt8(ascii: "%"), in: bytes, from: index + 3, to: question)
        }
        return nil
    }

    private mutating func readVersion(_ bytes: RawSpan) -> Event? {
        if position == mark, mark + 10 <= bytes.byteCount, ByteScan.isHTTP11Line(bytes, mark) {
            head.version = .http11
            position += 10
            mark = position
            sectionStart = position
            state = .fieldStart
            return nil
        }
        let expected: StaticString = "HTTP/x.x\r\n"
        let available = min(bytes.byteCount - mark, expected.utf8CodeUnitCount)
        for index in (position - mark)..<available {
            let byte = ByteScan.byte(bytes, mark + index)
            position += 1
            switch index {
            case 5, 7: if !ByteScan.isDigit(byte) { return refuse(.version) }
            case 8: if byte != UInt8(ascii: "\r") { return refuse(byte == UInt8(ascii: "\n") ? .bareLF : .version) }
            case 9: if byte != UInt8(ascii: "\n") { return refuse(.bareCR) }
            default: if byte != expected.utf8Start[index] { return refuse(.version) }
            }
        }
        guard available == expected.utf8CodeUnitCount else { return .needMore }
        switch (ByteScan.byte(bytes, mark + 5), ByteScan.byte(bytes, mark + 7)) {
        case (UInt8(ascii: "1"), UInt8(ascii: "1")): head.version = .http11
        case (UInt8(ascii: "1"), UInt8(ascii: "0")): head.version = .http10
        default: return refuse(.versionUnsupported)
        }
        mark = position
        sectionStart = position
        state = .fieldStart
        return nil
    }

    // MARK: Header and trailer fields

    private var sectionLimit: Int { sectionStart + limits.maxHeaderBytes }

    /// What to say at the end of what may be looked at.
    private mutating func starvedInSection(_ end: Int) -> Event {
        guard end == sectionLimit else { return .needMore }
        return refuse(inTrailers ? .trailersTooLarge : .headersTooLarge)
    }

    /// Reads lines up to the empty one.
    private mutating func readFields(_ bytes: RawSpan) -> Event? {
        while true {
            if state == .fieldStart {
                if let event = readFieldStart(bytes) { return event }
                if state == .lastLine { return nil }
            }
            if state == .fieldName, let event = readFieldName(bytes) { return event }
            if let event = readFieldValue(bytes) { return event }
        }
    }

    @inline(__always)
    private mutating func readFieldStart(_ bytes: RawSpan) -> Event? {
        let end = min(bytes.byteCount, sectionLimit)
        guard position < end else { return starvedInSection(end) }
        switch ByteScan.byte(bytes, position) {
        case UInt8(ascii: "\r"): state = .lastLine
        case UInt8(ascii: "\n"): return refuse(.bareLF)
        case UInt8(ascii: " "), UInt8(ascii: "\t"): return refuse(.foldedField)
        default:
            if inTrailers {
                trailerCount += 1
                if trailerCount > limits.maxHeaders { return refuse(.trailersTooLarge) }
            } else if head.fields.count == limits.maxHeaders {
                return refuse(.tooManyHeaders)
            }
            mark = position
            state = .fieldName
        }
        return nil
    }

    @inline(__always)
    private mutating func readFieldName(_ bytes: RawSpan) -> Event? {
        let end = min(bytes.byteCount, sectionLimit)
        position = ByteScan.endOfToken(bytes, from: position, to: end)
        guard position < end else { return starvedInSection(end) }
        switch ByteScan.byte(bytes, position) {
        case UInt8(ascii: ":") where position > mark: break
        case UInt8(ascii: " "), UInt8(ascii: "\t"): return refuse(.spaceBeforeColon)
        default: return refuse(.fieldName)
        }
        nameEnd = position
        position += 1
        state = .fieldValue
        return nil
    }

    @inline(__always)
    private mutating func readFieldValue(_ bytes: RawSpan) -> Event? {
        let end = min(bytes.byteCount, sectionLimit)
        while true {
            position = ByteScan.firstControl(bytes, from: position, to: end)
            guard position < end else { return starvedInSection(end) }
            let byte = ByteScan.byte(bytes, position)
            if byte == UInt8(ascii: "\t") {
                position += 1
            } else if byte == UInt8(ascii: "\r") {
                break
            } else {
                return refuse(byte == UInt8(ascii: "\n") ? .bareLF : .fieldValue)
            }
        }
        guard position + 1 < end else { return starvedInSection(end) }
        guard ByteScan.byte(bytes, position + 1) == UInt8(ascii: "\n") else { return refuse(.bareCR) }
        let name = Cut(offset: mark, count: nameEnd - mark)
        let value = ByteScan.trimmed(bytes, from: nameEnd + 1, to: position)
        position += 2
        mark = position
        state = .fieldStart
        if inTrailers {
            // Dropped; but a field that says where a message ends or whom it is for may not hide there.
            return Self.isFramingField(bytes, name) ? refuse(.trailerField) : nil
        }
        head.fields.append(
            RequestHead.Field(
                nameOffset: UInt32(truncatingIfNeeded: name.offset), nameCount: UInt32(truncatingIfNeeded: name.count),
                valueOffset: UInt32(truncatingIfNeeded: value.offset),
                valueCount: UInt32(truncatingIfNeeded: value.count)))
        if let rule = note(bytes, name, value) { return refuse(rule) }
        return nil
    }

    private static func isFramingField(_ bytes: RawSpan, _ name: Cut) -> Bool {
        ByteScan.matches(bytes, name, "content-length") || ByteScan.matches(bytes, name, "transfer-encoding")
            || ByteScan.matches(bytes, name, "host")
    }

    /// Remembers what a header says of the message itself.
    private mutating func note(_ bytes: RawSpan, _ name: Cut, _ value: Cut) -> RequestRule? {
        switch name.count {
        case 4 where ByteScan.matches(bytes, name, "host"):
            hosts += 1
            if hosts > 1 { return .hostRepeated }
            guard Authority.isValid(bytes, value, mayBeEmpty: true) else { return .hostInvalid }
            // The authority of an absolute-form target replaces it.
            if head.targetForm != .absolute { head.host = value }
        case 6 where ByteScan.matches(bytes, name, "expect"):
            // RFC 9110 section 10.1.1: ignored in HTTP/1.0.
            if head.version == .http11 {
                guard ByteScan.matches(bytes, value, "100-continue") else { return .expectation }
                head.expectsContinue = true
            }
        case 10 where ByteScan.matches(bytes, name, "connection"):
            forEachListElement(bytes, value) { parser, element in
                if ByteScan.matches(bytes, element, "close") { parser.asksClose = true }
                if ByteScan.matches(bytes, element, "keep-alive") { parser.asksKeepAlive = true }
                return true
            }
        case 14 where ByteScan.matches(bytes, name, "content-length"):
            lengths += 1
            if lengths > 1 { return .lengthRepeated }
            return noteLength(bytes, value)
        case 17 where ByteScan.matches(bytes, name, "transfer-encoding"):
            encodings += 1
            var isValid = true
            forEachListElement(bytes, value) { parser, element in
                guard !element.isEmpty,
                    ByteScan.endOfToken(bytes, from: element.offset, to: element.end) == element.end
                else {
                    isValid = false
                    return false
                }
                parser.lastCodingIsChunked = ByteScan.matches(bytes, element, "chunked")
                if parser.lastCodingIsChunked { parser.chunkedCodings += 1 } else { parser.otherCodings += 1 }
                return true
            }
            if !isValid { return .encodingInvalid }
        default: break
        }
        return nil
    }

    private mutating func noteLength(_ bytes: RawSpan, _ value: Cut) -> RequestRule? {
        guard !value.isEmpty else { return .lengthInvalid }
        var length = 0
        for index in value.offset..<value.end {
            let byte = ByteScan.byte(bytes, index)
            guard ByteScan.isDigit(byte) else { return .lengthInvalid }
            // A number that no integer holds is plain digits all the same, and beyond every limit.
            let (tens, overflow) = length.multipliedReportingOverflow(by: 10)
            length = overflow || tens > Int.max - 9 ? Int.max / 10 * 10 : tens + Int(byte - UInt8(ascii: "0"))
        }
        declaredLength = length
        return nil
    }

    /// Calls with each element of a comma-separated list, without blanks around it; an element may be empty.
    private mutating func forEachListElement(
        _ bytes: RawSpan, _ value: Cut, _ body: (inout RequestParser, Cut) -> Bool
    ) {
        var start = value.offset
        while true {
            let comma = ByteScan.first(UInt8(ascii: ","), in: bytes, from: start, to: value.end)
            if !body(&self, ByteScan.trimmed(bytes, from: start, to: comma)) || comma == value.end { return }
            start = comma + 1
        }
    }

    private mutating func readLastLine(_ bytes: RawSpan) -> Event? {
        let end = min(bytes.byteCount, sectionLimit)
        guard position + 1 < end else { return starvedInSection(end) }
        guard ByteScan.byte(bytes, position + 1) == UInt8(ascii: "\n") else { return refuse(.bareCR) }
        position += 2
        if inTrailers {
            state = .end
            return .end
        }
        head.byteCount = position
        if let rule = decideFraming() { return refuse(rule) }
        return .head
    }

    // MARK: The body

    /// Decides where the request ends (RFC 9112 section 6.3), and whether the connection outlives it.
    private mutating func decideFraming() -> RequestRule? {
        if head.version == .http11, hosts == 0 { return .hostMissing }
        switch head.version {
        case .http11: head.keepAlive = !asksClose
        case .http10: head.keepAlive = asksKeepAlive && !asksClose
        }
        if encodings > 0 {
            if head.version == .http10 { return .encodingInHTTP10 }
            if lengths > 0 { return .lengthAndEncoding }
            // The last coding must be chunked, and be there once; then no other is understood.
            if !lastCodingIsChunked { return .encodingNotChunked }
            if chunkedCodings > 1 { return .encodingInvalid }
            if otherCodings > 0 { return .encodingUnknown }
            head.framing = .chunked
            startChunk()
        } else if declaredLength > 0 {
            if declaredLength > limits.maxBodyBytes { return .bodyTooLarge }
            head.framing = .length(declaredLength)
            remaining = declaredLength
            state = .body
        } else {
            head.framing = .none
            state = .end
        }
        return nil
    }

    /// Reports the received part of the `remaining` bytes.
    private mutating func readRemaining(_ bytes: RawSpan) -> Event {
        let count = min(remaining, bytes.byteCount - position)
        guard count > 0 else { return .needMore }
        let cut = Cut(offset: position, count: count)
        position += count
        remaining -= count
        return .body(cut)
    }

    private mutating func readBody(_ bytes: RawSpan) -> Event? {
        if remaining == 0 {
            state = .end
            return .end
        }
        return readRemaining(bytes)
    }

    private mutating func startChunk() {
        state = .chunkSize
        remaining = 0
        chunkDigits = 0
    }

    private mutating func readChunkSize(_ bytes: RawSpan) -> Event? {
        while position < bytes.byteCount {
            let byte = ByteScan.byte(bytes, position)
            guard let digit = ByteScan.hexValue(byte) else {
                guard chunkDigits > 0 else { return refuse(.chunkSize) }
                switch byte {
                case UInt8(ascii: "\r"): state = .chunkSizeLine
                case UInt8(ascii: "\n"): return refuse(.bareLF)
                case UInt8(ascii: ";"):
                    position += 1
                    extensionBytes += 1
                    extensionState = .nameStart
                    state = .chunkExtension
                default: return refuse(.chunkSize)
                }
                return nil
            }
            chunkDigits += 1
            // 15 digits fit an integer with room; leading zeros are counted, as nothing else bounds them.
            if chunkDigits > Self.maxChunkSizeDigits { return refuse(.chunkSize) }
            remaining = remaining > Int.max >> 5 ? Int.max >> 4 : remaining << 4 | Int(digit)
            position += 1
        }
        return .needMore
    }

    /// `*( ";" token [ "=" ( token / quoted-string ) ] )`, ignored as RFC 9112 section 7.1.1 asks, but read strictly.
    private mutating func readChunkExtension(_ bytes: RawSpan) -> Event? {
        while position < bytes.byteCount {
            let byte = ByteScan.byte(bytes, position)
            switch extensionState {
            case .nameStart, .valueStart:
                if ByteScan.isToken(byte) {
                    extensionState = extensionState == .nameStart ? .name : .token
                } else if extensionState == .valueStart, byte == UInt8(ascii: "\"") {
                    extensionState = .quoted
                } else {
                    return refuse(.chunkExtension)
                }
            case .name, .token, .closed:
                if extensionState != .closed, ByteScan.isToken(byte) {
                    break
                } else if extensionState == .name, byte == UInt8(ascii: "=") {
                    extensionState = .valueStart
                } else if byte == UInt8(ascii: ";") {
                    extensionState = .nameStart
                } else if byte == UInt8(ascii: "\r") {
                    state = .chunkSizeLine
                    return nil
                } else {
                    return refuse(byte == UInt8(ascii: "\n") ? .bareLF : .chunkExtension)
                }
            case .quoted, .escaped:
                if ByteScan.isControl(byte), byte != UInt8(ascii: "\t") { return refuse(.chunkExtension) }
                if extensionState == .escaped {
                    extensionState = .quoted
                } else if byte == UInt8(ascii: "\\") {
                    extensionState = .escaped
                } else if byte == UInt8(ascii: "\"") {
                    extensionState = .closed
                }
            }
            position += 1
            extensionBytes += 1
            if extensionBytes > limits.maxChunkExtensionBytes { return refuse(.chunkExtensionsTooLarge) }
        }
        return .needMore
    }

    /// The line end behind a chunk's size.
    private mutating func readChunkSizeLine(_ bytes: RawSpan) -> Event? {
        guard position + 1 < bytes.byteCount else { return .needMore }
        guard ByteScan.byte(bytes, position + 1) == UInt8(ascii: "\n") else { return refuse(.bareCR) }
        position += 2
        if remaining == 0 {
            inTrailers = true
            sectionStart = position
            mark = position
            state = .fieldStart
            return nil
        }
        // Refused by what is announced, before it comes.
        if remaining > limits.maxBodyBytes - bodyBytes { return refuse(.bodyTooLarge) }
        bodyBytes += remaining
        state = .chunkData
        return nil
    }

    private mutating func readChunkData(_ bytes: RawSpan) -> Event? {
        if remaining == 0 {
            state = .chunkEnd
            return nil
        }
        return readRemaining(bytes)
    }

    /// The line end behind a chunk's data.
    private mutating func readChunkEnd(_ bytes: RawSpan) -> Event? {
        guard position < bytes.byteCount else { return .needMore }
        guard ByteScan.byte(bytes, position) == UInt8(ascii: "\r") else { return refuse(.chunkEnd) }
        guard position + 1 < bytes.byteCount else { return .needMore }
        guard ByteScan.byte(bytes, position + 1) == UInt8(ascii: "\n") else { return refuse(.chunkEnd) }
        position += 2
        startChunk()
        return nil
    }
}
