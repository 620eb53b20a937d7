internal import SMSBridgeAddresses

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

private func isAlphanumeric(_ byte: UInt8) -> Bool {
    (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
}

private func isIPAddress(_ text: String) -> Bool {
    var four = in_addr()
    var six = in6_addr()
    return inet_pton(AF_INET, text, &four) == 1 || inet_pton(AF_INET6, text, &six) == 1
}

private func isNamePart(_ byte: UInt8) -> Bool {
    isAlphanumeric(byte) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
}

/// RFC 3986, section 2.3: characters that mean themselves everywhere in a URL.
func isUnreserved(_ byte: UInt8) -> Bool {
    isAlphanumeric(byte) || "-._~".utf8.contains(byte)
}

extension ValueType where Value == String {
    /// An address to listen on, or a name for one.
    static let address = ValueType.text(
        "address", expected: "an IPv4 or IPv6 address, or the name of one, such as localhost"
    ) { text in
        if isIPAddress(text) { return nil }
        switch text {
        case "*", "": return "0.0.0.0 is every IPv4 address, :: every address"
        case _ where text.hasPrefix("["): return "without brackets"
        case _ where text.contains(":") && !text.contains("::"): return "the port has its own setting"
        default:
            // A name whose last part is a number is a mistyped address (WHATWG URL, section 3.5, says the same).
            let labels = text.split(separator: ".", omittingEmptySubsequences: false)
            let isName =
                text.utf8.count <= 253
                && labels.allSatisfy { (1...63).contains($0.utf8.count) && $0.utf8.allSatisfy(isNamePart) }
            return isName && labels.last?.utf8.allSatisfy({ (48...57).contains($0) }) == false ? nil : ""
        }
    }

    /// Addresses that begin alike, or one address.
    static let addressRange = ValueType.text(
        "address range", expected: "an address or a range of addresses, such as 10.0.0.0/8, 192.0.2.1 or 2001:db8::/32"
    ) { text in
        do throws(AddressRange.Problem) {
            _ = try AddressRange(text)
            return nil
        } catch { return error.description }
    }

    /// From where callers may come.
    static let callerAddress = ValueType.text(
        "address range",
        expected: "an address, a range of addresses such as 192.0.2.0/24 or 2001:db8::/32, or smsportal"
    ) { text in
        if text == "smsportal" { return nil }
        if text.lowercased() == "smsportal" { return "did you mean smsportal?" }
        do throws(AddressRange.Problem) {
            _ = try AddressRange(text)
            return nil
        } catch { return error.description }
    }

    /// `host:port` of a broker.
    static let broker = ValueType.text(
        "host:port", expected: "host:port, such as kafka-1.example.com:9092 or [2001:db8::1]:9092"
    ) { text in
        guard let colon = text.lastIndex(of: ":") else { return "the port is missing" }
        if text.contains("://") { return "without a scheme: see security.protocol in kafka.properties" }
        let host = text[..<colon]
        guard let port = try? wholeNumber(String(text[text.index(after: colon)...])), (1...65_535).contains(port) else {
            return "the port is a number from 1 to 65535"
        }
        if host.hasPrefix("["), host.hasSuffix("]") {
            return isIPAddress(String(host.dropFirst().dropLast())) ? nil : "not an IPv6 address in the brackets"
        }
        if host.contains(":") { return "an IPv6 address needs brackets" }
        let isName =
            !host.isEmpty && host.utf8.count <= 253
            && host.utf8.allSatisfy { isAlphanumeric($0) || "-._".utf8.contains($0) }
        return isName ? nil : "the host is a name or an address"
    }

    /// The beginning of all paths.
    static let basePath = ValueType.text(
        "path", expected: "nothing or a path such as /bridge, without a slash at its end"
    ) { text in
        if text.isEmpty { return nil }
        if !text.hasPrefix("/") { return "it begins with a slash" }
        if text.hasSuffix("/") { return "it does not end with a slash" }
        if text.utf8.count > 256 { return "at most 256 bytes" }
        for segment in text.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
            if segment.isEmpty { return "it has an empty segment" }
            if segment == "." || segment == ".." { return "it has a segment . or .." }
            if !segment.utf8.allSatisfy({ isUnreserved($0) }) {
                return "its segments hold letters, digits, -, ., _ and ~ only"
            }
        }
        return nil
    }

    /// The name of an HTTP header that a caller may choose.
    static let headerName = ValueType.text(
        "header name", expected: "the name of an HTTP header, such as X-Webhook-Secret or Authorization"
    ) { text in
        // RFC 9110, section 5.6.2: token.
        guard !text.isEmpty, text.utf8.count <= 128,
            text.utf8.allSatisfy({ isAlphanumeric($0) || "!#$%&'*+-.^_`|~".utf8.contains($0) })
        else { return "" }
        switch text.lowercased() {
        case "content-type", "content-length", "host": return "SMSPortal cannot set it"
        case "transfer-encoding", "connection", "expect", "keep-alive", "te", "trailer", "upgrade":
            return "it belongs to the connection"
        default: return nil
        }
    }

    /// The same, or nothing.
    static let headerNameOrNone = ValueType.text("header name", expected: "nothing, or the name of an HTTP header") {
        do throws(WrongValue) {
            if !$0.isEmpty { _ = try headerName.parse($0) }
            return nil
        } catch {
            return error.detail ?? ""
        }
    }

    /// The format of a signature's header.
    static let signatureValue = ValueType.text(
        "template",
        expected: "a text with {signature} once, and {timestamp} or {any} where they are, in quotation marks"
    ) { text in
        let pieces: [TemplatePiece]
        do throws(WrongValue) {
            pieces = try TemplatePiece.read(text, places: ["signature", "timestamp", "any"], required: ["signature"])
        } catch {
            return error.detail ?? ""
        }
        // Each place goes as far as its characters do: what follows must not be one of them.
        for (piece, next) in zip(pieces, pieces.dropFirst()) {
            switch (piece, next) {
            case (.place, .place): return "a text stands between two places"
            case (.place("timestamp"), .text(let text)) where text.utf8.first.map { (48...57).contains($0) } == true:
                return "a digit after {timestamp} would be a part of it"
            case (.place("signature"), .text(let text))
            where text.utf8.first.map { isAlphanumeric($0) || "+/-_=".utf8.contains($0) } == true:
                return "what follows {signature} would be a part of it"
            default: break
            }
        }
        return nil
    }

    /// What is signed.
    static let signedText = ValueType.text(
        "template", expected: "a text with {timestamp}, {url} and {body}, and perhaps {method}, in quotation marks"
    ) { text in
        TemplatePiece.problem(
            text, places: ["timestamp", "method", "url", "body"], required: ["timestamp", "url", "body"])
    }

    /// The form of the address that is signed.
    static let signedURL = ValueType.text(
        "template", expected: "a text of {base}, {path} or {tail}, and {query}, in quotation marks"
    ) { text in
        if let problem = TemplatePiece.problem(text, places: ["base", "path", "tail", "query"], required: []) {
            return problem
        }
        // The path says what type an event is of.
        return text.contains("{path}") || text.contains("{tail}") ? nil : "{path} or {tail} is missing"
    }

    /// The public address of the service.
    static let baseURL = ValueType.text(
        "URL", expected: "nothing, or a URL such as https://sms.example.com, without a slash at its end"
    ) { text in
        if text.isEmpty { return nil }
        guard let scheme = ["https://", "http://"].first(where: { text.hasPrefix($0) }) else {
            return "it begins with https://"
        }
        if text.hasSuffix("/") { return "it does not end with a slash" }
        let rest = text.dropFirst(scheme.count)
        guard !rest.isEmpty, !rest.hasPrefix("/") else { return "the host is missing" }
        if rest.contains("?") || rest.contains("#") || rest.contains("@") { return "it has no query, fragment or user" }
        return rest.utf8.allSatisfy { isUnreserved($0) || "/:[]%".utf8.contains($0) }
            ? nil : "it has characters that do not belong in a URL"
    }

    /// The beginning of all topic names.
    static let topicPrefix = ValueType.text(
        "topic name", expected: "1 to 200 letters, digits, dots, underscores and hyphens"
    ) { text in
        // Kafka's own rule is the same, with at most 249 for the whole name.
        let isName =
            (1...200).contains(text.utf8.count)
            && text.utf8.allSatisfy { isAlphanumeric($0) || "._-".utf8.contains($0) }
        if !isName { return "" }
        return text == "." || text == ".." ? "a name is not . or .." : nil
    }

    /// A name that is valid in a URI.
    static let account = ValueType.text("name", expected: "1 to 64 letters, digits, dots, underscores and hyphens") {
        let isName =
            (1...64).contains($0.utf8.count) && $0.utf8.allSatisfy { isAlphanumeric($0) || "._-".utf8.contains($0) }
        return isName ? nil : ""
    }

    /// A whole message that means: no more messages.
    static let phrase = ValueType.text("phrase", expected: "1 to 64 characters, at least one of them a letter or digit")
    {
        guard (1...64).contains($0.count), !hasControlCharacters($0) else { return "" }
        return $0.contains { $0.isLetter || $0.isNumber } ? nil : ""
    }

    /// A name of a parameter.
    static let parameter = ValueType.text("name", expected: "1 to 128 characters without control characters") {
        (1...128).contains($0.count) && !hasControlCharacters($0) ? nil : ""
    }

    /// A path in the file system, or nothing.
    static let optionalFilePath = ValueType.text("path", expected: "a path in the file system, or nothing") { text in
        guard !text.isEmpty else { return nil }
        do throws(WrongValue) {
            _ = try filePath.parse(text)
            return nil
        } catch { return error.detail ?? "" }
    }

    /// A URL to which a fragment can be added, or nothing.
    static let optionalURL = ValueType.text("URL", expected: "an http or https URL, or nothing") {
        if $0.isEmpty { return nil }
        if !$0.hasPrefix("https://"), !$0.hasPrefix("http://") { return "it begins with https:// or http://" }
        if $0.utf8.count > 2_000 { return "it is too long" }
        if $0.contains("#") { return "it has a fragment (#)" }
        return $0.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) ? nil : "it has a blank or a character beyond ASCII"
    }

    /// A path in the file system.
    static let filePath = ValueType.text("path", expected: "a path in the file system") {
        if $0.isEmpty { return "it is empty" }
        if $0.utf8.count > 4_095 { return "it is too long" }
        return hasControlCharacters($0) ? "it has a control character" : nil
    }
}

func hasControlCharacters(_ text: String) -> Bool {
    text.unicodeScalars.contains { $0.value < 0x20 || (0x7F...0x9F).contains($0.value) }
}

/// A piece of a text with places in braces.
enum TemplatePiece: Equatable {
    case text(String)
    case place(String)

    /// - Throws: when a place is unknown, repeated or missing, or there is something that no header or URL holds.
    static func read(_ text: String, places: [String], required: [String]) throws(WrongValue) -> [TemplatePiece] {
        if text.utf8.count > 1_024 { throw WrongValue("it is too long") }
        if hasControlCharacters(text) || !text.utf8.allSatisfy({ $0 < 0x80 }) {
            throw WrongValue("it has characters other than printable ASCII")
        }
        var pieces: [TemplatePiece] = []
        var rest = text[...]
        while let open = rest.firstIndex(of: "{") {
            if open != rest.startIndex { pieces.append(.text(String(rest[..<open]))) }
            guard let close = rest[open...].firstIndex(of: "}") else { throw WrongValue("a brace is not closed") }
            let name = String(rest[rest.index(after: open)..<close])
            guard places.contains(name) else {
                throw WrongValue(
                    "{\(name.prefix(20))} is unknown: "
                        + places.map { "{\($0)}" }.joined(separator: ", ") + " are known")
            }
            if name != "any", pieces.contains(.place(name)) { throw WrongValue("{\(name)} is there twice") }
            pieces.append(.place(name))
            rest = rest[rest.index(after: close)...]
        }
        if !rest.isEmpty { pieces.append(.text(String(rest))) }
        for name in required where !pieces.contains(.place(name)) { throw WrongValue("{\(name)} is missing") }
        return pieces
    }

    /// The problem of a template; nil when it is valid.
    static func problem(_ text: String, places: [String], required: [String]) -> String? {
        do throws(WrongValue) {
            _ = try read(text, places: places, required: required)
            return nil
        } catch {
            return error.detail ?? ""
        }
    }
}
