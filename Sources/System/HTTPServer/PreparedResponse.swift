/// An answer, built once and sent as often as it fits. The server adds `Date`, `X-Request-Id` and, where it matters,
/// `Connection`.
package struct PreparedResponse: Sendable {
    package let status: Int
    /// Status line and header lines, then the body.
    let bytes: [UInt8]
    /// Where the header lines end and the body begins.
    let bodyOffset: Int

    /// - Parameters:
    ///   - status: a final status, 200 and up.
    ///   - headers: names and values, sent as given; `Content-Length` is added, and `Cache-Control: no-store`: a cache that
    ///     answered in the server's place would keep requests from it. Control characters are taken out: a header cannot be
    ///     made to end early.
    ///   - body: sent as it is, but not in the answer to HEAD, nor with 204 and 304.
    package init(status: Int, headers: [(String, String)] = [], body: [UInt8] = []) {
        self.status = status
        let hasBody = status != 204 && status != 304
        var bytes: [UInt8] = []
        bytes.append(contentsOf: "HTTP/1.1 \(status) \(Self.reason(status))\r\n".utf8)
        for (name, value) in headers {
            bytes.append(contentsOf: name.utf8.filter { ByteScan.isToken($0) })
            bytes.append(contentsOf: ": ".utf8)
            bytes.append(contentsOf: value.utf8.filter { !ByteScan.isControl($0) || $0 == 0x09 })
            bytes.append(contentsOf: "\r\n".utf8)
        }
        bytes.append(contentsOf: "Cache-Control: no-store\r\n".utf8)
        if hasBody { bytes.append(contentsOf: "Content-Length: \(body.count)\r\n".utf8) }
        bodyOffset = bytes.count
        if hasBody { bytes.append(contentsOf: body) }
        self.bytes = bytes
    }

    /// The reason phrase that RFC 9110 section 15 and RFC 6585 name.
    private static func reason(_ status: Int) -> String {
        switch status {
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 204: "No Content"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 303: "See Other"
        case 304: "Not Modified"
        case 307: "Temporary Redirect"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 406: "Not Acceptable"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 410: "Gone"
        case 411: "Length Required"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 415: "Unsupported Media Type"
        case 417: "Expectation Failed"
        case 422: "Unprocessable Content"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        default: ""
        }
    }
}
