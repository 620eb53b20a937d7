internal import Addresses

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
        if host.contains(":") { return "an IPv6 address stands in brackets" }
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

    /// A name that may stand in a URI.
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
