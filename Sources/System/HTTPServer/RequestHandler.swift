package import SMSBridgeAddresses

/// What a handler makes of a request's head.
package enum HeadVerdict {
    /// The request is read to its end and handed over with this tag.
    case accept(tag: UInt64)
    /// Answered at once. The body is not waited for: unless all of it has come, the connection is closed.
    case refuse(PreparedResponse)
}

/// Serves the requests of one server, on its loop's thread.
///
/// The bytes that a call is given are valid in that call only; cuts of the head are offsets in them.
package protocol RequestHandler: AnyObject {
    /// The head is whole; nothing of the body need have come, and `100 Continue` has not been sent.
    ///
    /// - Parameters:
    ///   - bytes: the head, and what has come of the body.
    ///   - exchange: the request, as `receivedRequest` names it and its answer's `X-Request-Id` does.
    func receivedHead(
        _ head: borrowing RequestHead, bytes: RawSpan, from peer: PeerAddress, exchange: Exchange
    ) -> HeadVerdict

    /// The request is whole. It must be answered once, now or later, by `HTTPServer.respond(to:with:)`; until then the
    /// connection's next request waits.
    ///
    /// - Parameters:
    ///   - body: decoded; empty when there is none.
    ///   - exchange: what to answer.
    ///   - tag: from `receivedHead`.
    func receivedRequest(
        _ head: borrowing RequestHead, bytes: RawSpan, body: RawSpan, from peer: PeerAddress, exchange: Exchange,
        tag: UInt64)

    /// The connection was lost before the answer: an answer to this exchange goes nowhere. A client that has only
    /// closed its sending side still gets one and is not reported here.
    func clientLeft(_ exchange: Exchange)

    /// The server itself has rejected a request.
    ///
    /// - Parameters:
    ///   - bytes: what has come of the request and is still there: perhaps not even its first line, and nothing of it
    ///     need be valid.
    func rejected(_ rejection: ServerRejection, bytes: RawSpan, from peer: PeerAddress, exchange: Exchange)
}

extension RequestHandler {
    package func clientLeft(_ exchange: Exchange) {}

    package func rejected(
        _ rejection: ServerRejection, bytes: RawSpan, from peer: PeerAddress, exchange: Exchange
    ) {}
}
