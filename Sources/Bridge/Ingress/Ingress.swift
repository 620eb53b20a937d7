package import SMSBridgeAddresses
package import SMSBridgeHTTPServer
package import SMSBridgePublisher
package import SMSBridgeTelemetry
package import SMSPortalEvents

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// The public routes: authenticates a callback, decodes it, gives it to the publisher and answers with the outcome.
///
/// | outcome | answer |
/// |---|---|
/// | the event is durable | 200, `text/plain`, `True` (legacy senders need that word) |
/// | it cannot be made durable now | 503 with `Retry-After` |
/// | no or a wrong secret | 401, with no body that says why |
/// | no such route | 404 |
/// | another method than GET and POST | 405 with `Allow`; OPTIONS 204 |
///
/// Every request that is rejected, by the HTTP server too, is counted and logged with its reason, never with its
/// content.
///
/// It lives on the public loop. A request is authenticated when its head is there, before its body is read; what
/// cannot be understood is published all the same, to the quarantine.
package final class Ingress: RequestHandler {
    private let decoder: CallbackDecoder
    private let record = RecordBuffer()
    let metrics: IngressMetrics
    private let isReady: () -> Bool
    private let publish: (RecordBuffer, _ token: UInt64) -> Void
    private let respond: (Exchange, PreparedResponse) -> Void

    private(set) var authenticator: Authenticator
    // Unchecked: on the loop's thread, by accesses that contain no call of anything but the value's own methods, none of which
    // knows the ingress.
    @exclusivity(unchecked) private(set) var router: Router
    @exclusivity(unchecked) private(set) var querySecret = QuerySecret()
    @exclusivity(unchecked) private var formSecret = QuerySecret()
    private var rejections: RejectionLog
    @exclusivity(unchecked) private var accessLog: AccessLog
    private let requestID: (Exchange) -> String

    /// What a request's tag says: in its lowest byte the type's position, and from `account` on one more than the
    /// account that the proofs in the head identify, or 0.
    private enum Tag {
        static let health: UInt64 = 1 << 8
        static let noType: UInt64 = 1 << 9
        /// The signature is still to be computed.
        static let claimed: UInt64 = 1 << 10
        /// Accepted although a proof has failed (`auth.mode: log`).
        static let letIn: UInt64 = 1 << 11
        static let account: UInt64 = 16

        static func account(of tag: UInt64) -> Int? { tag >> account == 0 ? nil : Int(tag >> account) - 1 }
    }

    /// - Parameters:
    ///   - isReady: whether this instance can give a 2xx now and is not stopping.
    ///   - publish: publishes an event; `published` is called with the same token and the outcome.
    ///   - respond: sends an answer.
    ///   - requestID: the `X-Request-Id` of a request's answer.
    package init(
        configuration: IngressConfiguration, decoder: CallbackDecoder, metrics: IngressMetrics,
        logger: Logger = Logger(sink: .discarding), isReady: @escaping () -> Bool,
        publish: @escaping (RecordBuffer, _ token: UInt64) -> Void,
        respond: @escaping (Exchange, PreparedResponse) -> Void, requestID: @escaping (Exchange) -> String = { _ in "" }
    ) {
        self.decoder = decoder
        self.metrics = metrics
        self.isReady = isReady
        self.publish = publish
        self.respond = respond
        self.requestID = requestID
        rejections = RejectionLog(logger)
        accessLog = AccessLog(logger, every: configuration.accessSample)
        authenticator = Authenticator(configuration)
        router = Router(basePath: configuration.basePath)
        metrics.asks(authenticator.isEnforced && authenticator.asksAnything)
    }

    /// Replaces the authentication. A request that is being received is checked by both: its head by what was asked
    /// for then, its signature by what is now.
    package func replace(_ authenticator: Authenticator) {
        self.authenticator = authenticator
    }

    // MARK: - The head: who is it, and what do they want

    package func receivedHead(
        _ head: borrowing RequestHead, bytes: RawSpan, from peer: PeerAddress, exchange: Exchange
    ) -> HeadVerdict {
        let authenticator = authenticator
        let route = router.route(
            head, bytes, secrets: authenticator.path, isEnforced: authenticator.isEnforced)
        let endpoint = IngressMetrics.Endpoint(route)
        metrics.received(endpoint)
        func reject(_ status: IngressMetrics.Status, _ answer: PreparedResponse) -> HeadVerdict {
            noteRejected(head, bytes, peer, exchange, status)
            return .refuse(answer)
        }
        switch route {
        case .notFound:
            if router.lacksSecret { metrics.failed(.path) }
            return reject(.notFound, Answers.notFound)
        case .unauthorized:
            metrics.failed(.path)
            return reject(.unauthorized, Answers.unauthorized)
        case .health:
            guard head.method == .get || head.method == .head else {
                return reject(.methodNotAllowed, Answers.healthMethodNotAllowed)
            }
            return .accept(tag: Tag.health)
        case .webhook(let type):
            let proof = prove(head, bytes, peer, authenticator)
            guard proof.isRight || !authenticator.isEnforced else {
                return reject(.unauthorized, Answers.unauthorized)
            }
            switch head.method {
            case .get, .post:
                var tag = type.flatMap(Self.position).map(UInt64.init) ?? Tag.noType
                if proof.hasClaim { tag |= Tag.claimed }
                if let account = proof.account { tag |= UInt64(account + 1) << Tag.account }
                if !proof.isRight { tag |= Tag.letIn }
                return .accept(tag: tag)
            case .options:
                metrics.answered(.noContent)
                return .refuse(Answers.options)
            default: return reject(.methodNotAllowed, Answers.methodNotAllowed)
            }
        }
    }

    private static func position(of type: EventType) -> Int? { EventType.allCases.firstIndex(of: type) }

    func scanQuery(_ head: borrowing RequestHead, _ bytes: RawSpan) {
        let query = head.query ?? Cut(offset: 0, count: 0)
        querySecret.scan(bytes.extracting(query.offset..<query.end))
    }

    /// A body that does not begin as JSON may be a form, whatever its content type says. One that is compressed is searched
    /// when it was decoded.
    private func scanForm(_ body: RawSpan, isCoded: Bool) {
        if isCoded { return formSecret.scan(form: body.extracting(0..<0)) }
        var index = 0
        while index < body.byteCount {
            let byte = body.unsafeLoad(fromByteOffset: index, as: UInt8.self)
            index += 1
            if byte == 0x20 || (0x09...0x0D).contains(byte) { continue }
            let isJSON = byte == UInt8(ascii: "{") || byte == UInt8(ascii: "[") || byte == 0xEF
            return formSecret.scan(form: isJSON ? body.extracting(0..<0) : body)
        }
        formSecret.scan(form: body.extracting(0..<0))
    }

    // MARK: - The request: one callback, one event

    package func receivedRequest(
        _ head: borrowing RequestHead, bytes: RawSpan, body: RawSpan, from peer: PeerAddress, exchange: Exchange,
        tag: UInt64
    ) {
        if accessLog.isOn { beginAccess(head, bytes, body, peer, exchange) }
        if tag == Tag.health {
            let isReady = isReady()
            return answer(
                exchange, isReady ? .ok : .unavailable, isReady ? Answers.healthy : Answers.unavailable)
        }
        var account = Tag.account(of: tag)
        var isLetIn = tag & Tag.letIn != 0
        if tag & Tag.claimed != 0 {
            if let owner = owner(head, bytes, body, among: account) {
                account = owner
            } else {
                metrics.failed(.signature)
                guard !authenticator.isEnforced else {
                    noteRejected(head, bytes, peer, exchange, .unauthorized, signature: .wrong)
                    return respond(exchange, Answers.unauthorized)
                }
                isLetIn = true
            }
        }
        if isLetIn { metrics.wasLetIn() }
        func piece(_ name: StaticString) -> Cut { head.header(name, in: bytes) ?? Cut(offset: 0, count: 0) }
        let contentType = piece("content-type")
        let contentEncoding = piece("content-encoding")
        let traceparent = piece("traceparent")
        let tracestate = piece("tracestate")
        let query = head.query ?? Cut(offset: 0, count: 0)
        scanQuery(head, bytes)
        scanForm(body, isCoded: !contentEncoding.isEmpty)
        let receivedAt = Self.millisecondsSinceEpoch()
        func fill(query: RawSpan, body: RawSpan, contentEncoding: Cut) {
            decoder.decode(
                method: head.method == .get ? .get : .post, route: Self.type(of: tag),
                contentType: bytes.extracting(contentType.offset..<contentType.end),
                contentEncoding: bytes.extracting(contentEncoding.offset..<contentEncoding.end), query: query,
                body: body,
                traceparent: bytes.extracting(traceparent.offset..<traceparent.end),
                tracestate: bytes.extracting(tracestate.offset..<tracestate.end),
                account: account ?? authenticator.fallbackAccount, receivedAt: receivedAt, into: record)
        }
        /// Decodes, and decodes once more where the body has a secret that is in no form.
        func decode(query: RawSpan, body: RawSpan) {
            fill(query: query, body: body, contentEncoding: contentEncoding)
            guard record.hasSecretField || record.type == .unrecognised || !contentEncoding.isEmpty, body.byteCount > 0
            else { return }
            let decoded = decoder.decodedText(
                body: body, contentType: bytes.extracting(contentType.offset..<contentType.end),
                contentEncoding: bytes.extracting(contentEncoding.offset..<contentEncoding.end))
            guard let rest = bodyWithoutSecret(decoded, body) else { return }
            // What was decoded is no longer compressed.
            fill(
                query: query, body: rest.span.bytes,
                contentEncoding: decoded == nil ? contentEncoding : Cut(offset: 0, count: 0))
        }
        let wholeQuery = bytes.extracting(query.offset..<query.end)
        if querySecret.wasFound || formSecret.wasFound {
            // The span of an array lives as long as the array does.
            let (queryRest, bodyRest) = (querySecret.remainder, formSecret.remainder)
            decode(
                query: querySecret.wasFound ? queryRest.span.bytes : wholeQuery,
                body: formSecret.wasFound ? bodyRest.span.bytes : body)
        } else {
            decode(query: wholeQuery, body: body)
        }
        if record.isRecovered { metrics.recovered() }
        publish(record, exchange.rawValue)
    }

    /// - Parameter decoded: The text of a body that is compressed or in another charset.
    /// - Returns: nil where there is nothing to cut.
    private func bodyWithoutSecret(_ decoded: [UInt8]?, _ body: RawSpan) -> [UInt8]? {
        let text = decoded ?? body.withUnsafeBytes { Array($0) }
        scanForm(text.span.bytes, isCoded: false)
        return formSecret.wasFound ? formSecret.remainder : BodySecret.cut(text)
    }

    /// The account with whose secret the request is signed. What the head claims is read once more, for other requests
    /// have come since; the time that it may be off by is measured when the request is whole.
    private func owner(
        _ head: borrowing RequestHead, _ bytes: RawSpan, _ body: RawSpan, among account: Int?
    ) -> Int? {
        guard let signature = authenticator.signature,
            let claim = signature.claim(head, bytes, now: Self.millisecondsSinceEpoch())
        else { return nil }
        return signature.owner(of: claim, head, bytes, body: body, among: account)
    }

    private static func type(of tag: UInt64) -> EventType? {
        tag & Tag.noType != 0 ? nil : EventType.allCases[Int(tag & 0xFF)]
    }

    /// Receives the outcome of an event from the publisher.
    package func published(_ token: UInt64, _ outcome: PublishOutcome) {
        let exchange = Exchange(rawValue: token)
        switch outcome {
        case .durable: answer(exchange, .ok, Answers.received)
        case .unavailable: answer(exchange, .unavailable, Answers.unavailable)
        }
    }

    private func answer(_ exchange: Exchange, _ status: IngressMetrics.Status, _ answer: PreparedResponse) {
        metrics.answered(status)
        if accessLog.isOn { accessLog.end(exchange, status: status.rawValue, requestID: requestID) }
        respond(exchange, answer)
    }

    // MARK: - Rejected requests and the access log

    package func rejected(
        _ rejection: ServerRejection, bytes: RawSpan, from peer: PeerAddress, exchange: Exchange
    ) {
        guard let status = IngressMetrics.Status(rawValue: rejection.status) else { return }
        let rule = status == .badRequest ? Self.otherProtocol(bytes) ?? rejection.label : rejection.label
        noteRejected(status, rule, bytes, peer, exchange, signature: nil)
    }

    /// What was sent instead of HTTP/1.1: a TLS handshake, by a URL with `https:`, or HTTP/2 without TLS.
    private static func otherProtocol(_ bytes: RawSpan) -> String? {
        let preface = Array("PRI * HTTP/2".utf8)
        if bytes.byteCount >= 2, bytes.byte(0) == 0x16, bytes.byte(1) == 0x03 { return "tls" }
        return bytes.byteCount >= preface.count && bytes.holds(preface, at: 0) ? "http2" : nil
    }

    /// Logs what has been counted of rejected requests and is not in the log yet.
    ///
    /// - Parameter all: at the end of the process.
    package func logRejections(all: Bool = false) {
        rejections.flush(at: RejectionLog.now, all: all)
    }

    private func noteRejected(
        _ head: borrowing RequestHead, _ bytes: RawSpan, _ peer: PeerAddress, _ exchange: Exchange,
        _ status: IngressMetrics.Status, signature: ShownProofs.State? = nil
    ) {
        let rule =
            switch status {
            case .unauthorized: "unauthorized"
            case .methodNotAllowed: "method-not-allowed"
            default: "no-route"
            }
        noteRejected(
            status, rule, bytes, peer, exchange, signature: signature ?? signatureState(head, bytes))
    }

    private func noteRejected(
        _ status: IngressMetrics.Status, _ rule: String, _ bytes: RawSpan, _ peer: PeerAddress, _ exchange: Exchange,
        signature: ShownProofs.State?
    ) {
        metrics.answered(status)
        let head = LooseHead(bytes)
        let proofs = ShownProofs(head, bytes, from: peer, authenticator, signature: signature)
        let isCallback = proofs.isGenuine || proofs.isFromVendor || Router.isCallback(head, bytes)
        if isCallback { metrics.rejectedCallback(status, hasValidSecret: proofs.isGenuine) }
        func summary() -> RequestSummary { RequestSummary(head, bytes, from: peer, router, authenticator.origins) }
        rejections.note(
            RejectionLog.Key(status: status.rawValue, rule: rule, proof: proofs.text, isCallback: isCallback),
            at: RejectionLog.now
        ) { RejectionLog.Sample(request: summary(), requestID: requestID(exchange)) }
        if accessLog.isOn, accessLog.chooses() {
            let request = AccessLog.Request(summary: summary(), bytes: bytes.byteCount, receivedAt: RejectionLog.now)
            accessLog.write(request, status: status.rawValue, requestID: requestID(exchange))
        }
    }

    /// What the signature of a request comes to whose head is whole.
    private func signatureState(_ head: borrowing RequestHead, _ bytes: RawSpan) -> ShownProofs.State? {
        guard let signature = authenticator.signature else { return nil }
        guard let claim = signature.claim(head, bytes, now: Self.millisecondsSinceEpoch()) else { return .wrong }
        var end = head.byteCount
        switch head.framing {
        case .none: break
        case .length(let count): end += count
        case .chunked: return .unverified
        }
        guard end <= bytes.byteCount else { return .unverified }
        let body = bytes.extracting(head.byteCount..<end)
        return signature.owner(of: claim, head, bytes, body: body, among: nil) == nil ? .wrong : .valid
    }

    private func beginAccess(
        _ head: borrowing RequestHead, _ bytes: RawSpan, _ body: RawSpan, _ peer: PeerAddress, _ exchange: Exchange
    ) {
        guard accessLog.chooses() else { return }
        accessLog.begin(
            exchange,
            AccessLog.Request(
                summary: RequestSummary(LooseHead(bytes), bytes, from: peer, router, authenticator.origins),
                bytes: head.byteCount + body.byteCount, receivedAt: RejectionLog.now))
    }

    static func millisecondsSinceEpoch() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
    }
}
