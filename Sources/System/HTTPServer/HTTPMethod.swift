/// A request's method. Methods are case-sensitive (RFC 9110 section 9.1).
package enum HTTPMethod: Sendable, Hashable {
    case get, post, head, options, put, delete, patch, connect, trace
    /// Any other token; its text is the head's `methodCut`.
    case other

    init(_ bytes: RawSpan, _ cut: Cut) {
        func matches(_ text: StaticString) -> Bool {
            text.withUTF8Buffer { text in
                for index in 0..<text.count where ByteScan.byte(bytes, cut.offset &+ index) != text[index] {
                    return false
                }
                return true
            }
        }
        switch cut.count {
        case 3: self = matches("GET") ? .get : matches("PUT") ? .put : .other
        case 4: self = matches("POST") ? .post : matches("HEAD") ? .head : .other
        case 5: self = matches("PATCH") ? .patch : matches("TRACE") ? .trace : .other
        case 6: self = matches("DELETE") ? .delete : .other
        case 7: self = matches("OPTIONS") ? .options : matches("CONNECT") ? .connect : .other
        default: self = .other
        }
    }
}

/// The versions that are served.
package enum HTTPVersion: Sendable, Hashable {
    case http10, http11
}
