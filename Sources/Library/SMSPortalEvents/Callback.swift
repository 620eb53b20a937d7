/// The method of a callback's request.
public enum CallbackMethod: String, Sendable, CaseIterable, Hashable {
    /// GET: the data is in the query string.
    case get = "GET"
    /// POST: the data is in the body, or (legacy) in the query string all the same.
    case post = "POST"

    var name: StaticString {
        switch self {
        case .get: "GET"
        case .post: "POST"
        }
    }
}

/// A callback of SMSPortal as received over HTTP, without secrets and addresses.
///
/// It is what a receiver hands to ``CallbackDecoder``, and what every event keeps as its ``Envelope/raw``, byte for
/// byte.
public struct Callback: Sendable, Hashable {
    /// The method of the request.
    public let method: CallbackMethod
    /// The type that the route named; nil for `/webhooks` without one.
    public let route: EventType?
    /// The `Content-Type` header: at most 255 bytes, anything but visible ASCII and space as `?`. Empty when there was
    /// none.
    public let contentType: String
    /// The `Content-Encoding` header, cut and cleaned as ``contentType`` is: `gzip` for a body that is compressed.
    /// Empty when there was none.
    public let contentEncoding: String
    /// What stood after the `?` of the target, without a secret. Empty when there was nothing.
    public let query: [UInt8]
    /// The body, in its content encoding and charset. Empty when there was none.
    public let body: [UInt8]

    /// The longest content type that is kept, in bytes.
    static let longestContentType = 255
    /// The most bytes that the compressed body of a record may become when its parameters are read.
    static let maxContentBytes = 64 << 20

    /// - Parameters:
    ///   - method: The method of the request.
    ///   - route: The type that the route named; ``EventType/unrecognised`` is no route and counts as nil.
    ///   - contentType: The `Content-Type` header, empty when there was none; cut and cleaned as ``contentType`` says.
    ///   - contentEncoding: The `Content-Encoding` header, likewise.
    ///   - query: What stood after the `?` of the target. Cut secrets out before.
    ///   - body: The body.
    public init(
        method: CallbackMethod, route: EventType?, contentType: String = "", contentEncoding: String = "",
        query: [UInt8] = [], body: [UInt8] = []
    ) {
        self.method = method
        self.route = route == .unrecognised ? nil : route
        self.contentType = Self.cleaned(contentType)
        self.contentEncoding = Self.cleaned(contentEncoding)
        self.query = query
        self.body = body
    }

    private static func cleaned(_ header: String) -> String {
        guard !header.isEmpty else { return "" }
        var writer = ByteWriter(capacity: longestContentType)
        var header = header
        header.withUTF8 { writer.appendContentType(Bytes(UnsafeRawBufferPointer($0))) }
        return writer.bytes.string
    }

    /// The same with headers that are clean already, as every record has them; one that is not is cleaned.
    init(
        method: CallbackMethod, route: EventType?, contentType: Bytes, contentEncoding: Bytes, query: [UInt8],
        body: [UInt8]
    ) {
        self.method = method
        self.route = route
        self.query = query
        self.body = body
        self.contentEncoding = contentEncoding.isEmpty ? "" : Self.cleaned(contentEncoding.string)
        if contentType.isEmpty {
            self.contentType = ""
        } else if contentType.equals("application/json") {
            // What almost all have; it needs no memory of its own.
            self.contentType = "application/json"
        } else if contentType.isVisible, contentType.count <= Self.longestContentType {
            self.contentType = contentType.string
        } else {
            var writer = ByteWriter(capacity: Self.longestContentType)
            writer.appendContentType(contentType)
            self.contentType = writer.bytes.string
        }
    }

    /// The same with texts.
    ///
    /// - Parameters:
    ///   - method: The method of the request.
    ///   - route: The type that the route named.
    ///   - contentType: The `Content-Type` header, empty when there was none.
    ///   - contentEncoding: The `Content-Encoding` header, empty when there was none.
    ///   - query: What stood after the `?` of the target.
    ///   - body: The body.
    public init(
        method: CallbackMethod, route: EventType?, contentType: String = "", contentEncoding: String = "",
        query: String = "", body: String
    ) {
        self.init(
            method: method, route: route, contentType: contentType, contentEncoding: contentEncoding,
            query: Array(query.utf8), body: Array(body.utf8))
    }

    /// The query string, where it is UTF-8.
    public var queryText: String? { String(validating: query, as: UTF8.self) }

    /// The body, where it is UTF-8.
    public var bodyText: String? { String(validating: body, as: UTF8.self) }

    /// The path that the callback came to, without base path and secret: `/webhooks/reply`, or `/webhooks`.
    public var path: String { "\(Self.path(of: route))" }

    static func path(of route: EventType?) -> StaticString { (route ?? .unrecognised).path }
}

// MARK: - Parameters

extension Callback {
    /// One name and its value, unchanged.
    public struct Parameter: Sendable, Hashable {
        /// The name in the letter case in which it came.
        public var name: String
        /// The value: text unescaped, numbers, booleans, objects and arrays as their JSON source. Nil for JSON's null.
        public var value: String?
        /// Whether it came in the body; otherwise in the query string.
        public var isFromBody: Bool

        /// - Parameters:
        ///   - name: The name.
        ///   - value: The value; nil for JSON's null.
        ///   - isFromBody: Whether it came in the body.
        public init(name: String, value: String?, isFromBody: Bool) {
            self.name = name
            self.value = value
            self.isFromBody = isFromBody
        }
    }

    /// Every parameter in the order in which they came, repeats and unknown ones included: first those of the query
    /// string, then those of the body. Nil when they cannot be read; ``query`` and ``body`` still hold what came.
    public var parameters: [Parameter]? { parameters(charset: nil) }

    /// - Parameter charset: Of what is not UTF-8, whatever is declared; nil for the declared one.
    func parameters(charset: Charset?) -> [Parameter]? {
        var list = ParameterList()
        var scratch = ByteWriter(capacity: query.count + body.count)
        var content = ContentBuffers()
        let contentType = Array(contentType.utf8)
        let contentEncoding = Array(contentEncoding.utf8)
        return contentType.withUnsafeBytes { contentType in
            contentEncoding.withUnsafeBytes { contentEncoding in
                query.withUnsafeBytes { query in
                    body.withUnsafeBytes { body in
                        let reader = ParameterReader(
                            query: Bytes(query), body: Bytes(body), contentType: Bytes(contentType),
                            contentEncoding: Bytes(contentEncoding), charset: charset,
                            maxContentBytes: Self.maxContentBytes)
                        do throws(ScanFailure) {
                            _ = try reader.read(into: &list, scratch: &scratch, content: &content)
                        } catch {
                            return error.reason == .empty ? [] : nil
                        }
                        return (0..<list.count).map { index in
                            let parameter = list[index]
                            return Parameter(
                                name: parameter.name.string,
                                value: parameter.kind == .null ? nil : parameter.value.string,
                                isFromBody: parameter.isFromBody)
                        }
                    }
                }
            }
        }
    }
}

extension ByteWriter {
    /// A content type as it is kept: see ``Callback/contentType``.
    mutating func appendContentType(_ text: Bytes) {
        let start = count
        append(text[0..<min(text.count, Callback.longestContentType)])
        replaceInvisible(from: start)
    }
}
