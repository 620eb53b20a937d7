internal import SMSBridgeHTTPServer

/// The answers of the public routes, built once.
enum Answers {
    /// Any 2xx counts as received; legacy senders look for the word `True`, and without it never send again.
    static let received = PreparedResponse(
        status: 200, headers: [("Content-Type", "text/plain")], body: Array("True".utf8))
    static let healthy = PreparedResponse(status: 200)
    static let options = PreparedResponse(status: 204, headers: [("Allow", "GET, POST, OPTIONS")])
    /// RFC 9110 section 11.6.1 asks for a challenge; it names no secret and no place where one may stand.
    static let unauthorized = PreparedResponse(
        status: 401, headers: [("WWW-Authenticate", "Webhook-Secret realm=\"smsbridge\"")])
    static let notFound = PreparedResponse(status: 404)
    static let methodNotAllowed = PreparedResponse(status: 405, headers: [("Allow", "GET, POST, OPTIONS")])
    static let healthMethodNotAllowed = PreparedResponse(status: 405, headers: [("Allow", "GET, HEAD")])
    /// The sender tries again by its own schedule; the header is for those that listen.
    static let unavailable = PreparedResponse(status: 503, headers: [("Retry-After", "1")])
}
