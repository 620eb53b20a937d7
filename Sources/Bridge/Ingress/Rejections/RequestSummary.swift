internal import SMSBridgeAddresses
internal import SMSBridgeHTTPServer

/// What the log tells of a request: nothing of its content, and no part of its path that might be a secret.
struct RequestSummary: Sendable {
    var method: String
    var route: String
    /// The caller's address: behind trusted proxies the one that they tell.
    var client: String

    private static let methods = [
        "GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT",
    ]

    init(_ head: LooseHead, _ bytes: RawSpan, from peer: PeerAddress, _ router: Router, _ origins: AddressCheck?) {
        method =
            Self.methods.first {
                $0.utf8.count == head.method.count && bytes.holds(Array($0.utf8), at: head.method.offset)
            }
            ?? "other"
        route = router.shown(head, bytes)
        let lines = head.values(of: AddressCheck.header, in: bytes)
        client = (origins?.client(behind: peer, lines, bytes) ?? peer).host
    }
}
