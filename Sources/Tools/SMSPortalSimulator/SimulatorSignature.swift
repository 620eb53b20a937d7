import CSMSBridgeOpenSSL

/// How the simulator signs a callback: HMAC-SHA256 over a text of the time, the method, the address and the body. The
/// vendor documents no more than that, so the texts are given, with the names of their parts in braces.
package struct SimulatorSignature: Sendable, CustomStringConvertible, CustomReflectable {
    /// The secret's bytes.
    package var key: [UInt8]
    /// The header that carries ``value``.
    package var headerName: String
    /// The header that carries the time; nil where ``value`` does.
    package var timestampHeaderName: String?
    /// Of `{signature}`, `{timestamp}` and `{any}`, which is empty here.
    package var value: String
    /// Of `{timestamp}`, `{method}`, `{url}` and `{body}`.
    package var signed: String
    /// Of `{base}`, `{path}`, `{tail}`, which is what follows `/webhooks`, and `{query}`, its question mark included.
    package var url: String
    package var base: String
    /// Base64, or hexadecimal.
    package var isBase64: Bool
    /// The time in milliseconds, or in seconds.
    package var isInMilliseconds: Bool

    package init(
        key: [UInt8], headerName: String, timestampHeaderName: String? = nil, value: String = "{signature}",
        signed: String = "v1:{timestamp}|{method}|{url}|{body}", url: String = "{base}{path}{query}", base: String = "",
        isBase64: Bool = false, isInMilliseconds: Bool = false
    ) {
        self.key = key
        self.headerName = headerName
        self.timestampHeaderName = timestampHeaderName
        self.value = value
        self.signed = signed
        self.url = url
        self.base = base
        self.isBase64 = isBase64
        self.isInMilliseconds = isInMilliseconds
    }

    /// Never the key.
    package var description: String { "…" }
    /// Never the key.
    package var customMirror: Mirror { Mirror(self, children: []) }

    /// The lines of headers with which a request is signed.
    ///
    /// - Parameters:
    ///   - basePath: the part of the path before `/webhooks`.
    ///   - target: path and query as they are sent.
    ///   - milliseconds: the time, since 1970.
    func headers(method: String, basePath: Substring, target: Substring, body: [UInt8], at milliseconds: Int64)
        -> [String]
    {
        let time = "\(isInMilliseconds ? milliseconds : milliseconds / 1_000)"
        let path = target.prefix { $0 != "?" }
        let root = basePath + "/webhooks"
        let tail = path.hasPrefix(root) ? path.dropFirst(root.count) : ""
        let address = Self.fill(
            url,
            [
                "base": Array(base.utf8), "path": Array(path.utf8), "tail": Array(tail.utf8),
                "query": Array(target.dropFirst(path.count).utf8),
            ])
        let text = Self.fill(
            signed, ["timestamp": Array(time.utf8), "method": Array(method.utf8), "url": address, "body": body])
        var code = [UInt8](repeating: 0, count: 32)
        var count: UInt32 = 0
        HMAC(EVP_sha256(), key, Int32(key.count), text, text.count, &code, &count)
        let signature = isBase64 ? Self.base64(code) : Self.hexadecimal(code)
        let value = Self.fill(value, ["signature": signature, "timestamp": Array(time.utf8), "any": []])
        return ["\(headerName): \(String(decoding: value, as: UTF8.self))"]
            + (timestampHeaderName.map { ["\($0): \(time)"] } ?? [])
    }

    /// A text with its places filled, once from the left: what is filled in is not looked at.
    private static func fill(_ text: String, _ parts: [String: [UInt8]]) -> [UInt8] {
        var result: [UInt8] = []
        var rest = text.utf8[...]
        while let start = rest.firstIndex(of: UInt8(ascii: "{")) {
            result += rest[..<start]
            rest = rest[start...]
            guard let end = rest.firstIndex(of: UInt8(ascii: "}")),
                let part = parts[String(rest[rest.index(after: start)..<end]) ?? ""]
            else {
                result.append(rest.removeFirst())
                continue
            }
            result += part
            rest = rest[rest.index(after: end)...]
        }
        return result + rest
    }

    private static func hexadecimal(_ bytes: [UInt8]) -> [UInt8] {
        let digits = Array("0123456789abcdef".utf8)
        return bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
    }

    private static func base64(_ bytes: [UInt8]) -> [UInt8] {
        var text = [UInt8](repeating: 0, count: (bytes.count + 2) / 3 * 4 + 1)
        let count = EVP_EncodeBlock(&text, bytes, Int32(bytes.count))
        return Array(text.prefix(Int(count)))
    }
}
