package import Addresses
package import HTTPServer
package import Publisher
package import SMSPortalEvents

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// The public routes: authenticates a callback, decodes it, gives it to the publisher and answers what became of it.
///
/// | outcome | answer |
/// |---|---|
/// | the event is durable | 200, `text/plain`, `True` (legacy senders need that word) |
/// | it cannot be made durable now | 503 with `Retry-After` |
/// | no or a wrong secret | 401, with no body that says why |
/// | no such route | 404 |
/// | another method than GET and POST | 405 with `Allow`; OPTIONS 204 |
///
/// It lives on the public loop. A request is authenticated when its head is there, before its body is read; what
/// cannot be understood is published all the same, to the quarantine.
package final class Ingress: RequestHandler {
    private let decoder: CallbackDecoder
    private let record = RecordBuffer()
    private let metrics: IngressMetrics
    private let isReady: () -> Bool
    private let publish: (RecordBuffer, _ token: UInt64) -> Void
    private let respond: (Exchange, PreparedResponse) -> Void

    private var router: Router
    private let headerName: [UInt8]
    private let headerSecrets: SecretSet?
    private let querySecrets: SecretSet?
    private var querySecret = QuerySecret()

    /// What a request's tag says of its route.
    private enum Tag {
        static let health: UInt64 = 1 << 32
        static let noType: UInt64 = 1 << 33
    }

    /// - Parameters:
    ///   - isReady: whether this instance can give a 2xx now and is not stopping.
    ///   - publish: hands an event on; `published` is told with the same token what became of it.
    ///   - respond: sends an answer.
    package init(
        configuration: IngressConfiguration, decoder: CallbackDecoder, metrics: IngressMetrics,
        isReady: @escaping () -> Bool, publish: @escaping (RecordBuffer, _ token: UInt64) -> Void,
        respond: @escaping (Exchange, PreparedResponse) -> Void
    ) {
        self.decoder = decoder
        self.metrics = metrics
        self.isReady = isReady
        self.publish = publish
        self.respond = respond
        let authentication = configuration.authentication
        router = Router(basePath: configuration.basePath, secrets: SecretSet(authentication.pathSecrets))
        headerName = Array(authentication.headerName.lowercased().utf8)
        headerSecrets = SecretSet(authentication.headerSecrets)
        querySecrets = SecretSet(authentication.querySecrets)
    }

    // MARK: - The head: who is it, and what do they want

    package func receivedHead(
        _ head: borrowing RequestHead, bytes: RawSpan, from peer: PeerAddress
    ) -> HeadVerdict {
        let route = router.route(head, bytes)
        metrics.received(IngressMetrics.Endpoint(route))
        switch route {
        case .notFound: return refuse(.notFound, Answers.notFound)
        case .unauthorized:
            metrics.failed(.path)
            return refuse(.unauthorized, Answers.unauthorized)
        case .health:
            guard head.method == .get || head.method == .head else {
                return refuse(.methodNotAllowed, Answers.healthMethodNotAllowed)
            }
            return .accept(tag: Tag.health)
        case .webhook(let type):
            guard isAuthentic(head, bytes) else { return refuse(.unauthorized, Answers.unauthorized) }
            switch head.method {
            case .get, .post: return .accept(tag: type.flatMap(Self.position).map(UInt64.init) ?? Tag.noType)
            case .options: return refuse(.noContent, Answers.options)
            default: return refuse(.methodNotAllowed, Answers.methodNotAllowed)
            }
        }
    }

    private func refuse(_ status: IngressMetrics.Status, _ answer: PreparedResponse) -> HeadVerdict {
        metrics.answered(status)
        return .refuse(answer)
    }

    private static func position(of type: EventType) -> Int? { EventType.allCases.firstIndex(of: type) }

    /// Every proof that is configured is asked for; none is left out because another has failed already.
    private func isAuthentic(_ head: borrowing RequestHead, _ bytes: RawSpan) -> Bool {
        var isAuthentic = true
        if let headerSecrets {
            let value = header(head, bytes)
            if !(value.map { headerSecrets.contains(bytes.extracting($0.offset..<$0.end)) } ?? false) {
                metrics.failed(.header)
                isAuthentic = false
            }
        }
        if let querySecrets {
            if let query = head.query { querySecret.scan(bytes.extracting(query.offset..<query.end)) }
            let isGiven = head.query != nil && querySecret.wasFound && !querySecret.isRepeated
            let value = querySecret.value
            if !(isGiven && querySecrets.contains(value.span.bytes)) {
                metrics.failed(.query)
                isAuthentic = false
            }
        }
        return isAuthentic
    }

    /// The header that carries the secret; nil when it is missing, or there twice: two values are no one's secret.
    private func header(_ head: borrowing RequestHead, _ bytes: RawSpan) -> Cut? {
        var found: Cut?
        var isRepeated = false
        head.forEachHeader { name, value in
            guard name.count == headerName.count else { return }
            for index in 0..<name.count {
                let byte = bytes.unsafeLoad(fromByteOffset: name.offset + index, as: UInt8.self)
                let folded = byte &- UInt8(ascii: "A") < 26 ? byte | 0x20 : byte
                if folded != headerName[index] { return }
            }
            isRepeated = found != nil
            found = value
        }
        return isRepeated ? nil : found
    }

    // MARK: - The request: one callback, one event

    package func receivedRequest(
        _ head: borrowing RequestHead, bytes: RawSpan, body: RawSpan, exchange: Exchange, tag: UInt64
    ) {
        if tag == Tag.health {
            let isReady = isReady()
            metrics.answered(isReady ? .ok : .unavailable)
            return respond(exchange, isReady ? Answers.healthy : Answers.unavailable)
        }
        func piece(_ name: StaticString) -> Cut { head.header(name, in: bytes) ?? Cut(offset: 0, count: 0) }
        let contentType = piece("content-type")
        let traceparent = piece("traceparent")
        let tracestate = piece("tracestate")
        let query = head.query ?? Cut(offset: 0, count: 0)
        querySecret.scan(bytes.extracting(query.offset..<query.end))
        func decode(query: RawSpan) {
            decoder.decode(
                method: head.method == .get ? .get : .post, route: Self.type(of: tag),
                contentType: bytes.extracting(contentType.offset..<contentType.end), query: query, body: body,
                traceparent: bytes.extracting(traceparent.offset..<traceparent.end),
                tracestate: bytes.extracting(tracestate.offset..<tracestate.end), account: 0,
                receivedAt: Self.millisecondsSinceEpoch(), into: record)
        }
        if querySecret.wasFound {
            let remainder = querySecret.remainder
            decode(query: remainder.span.bytes)
        } else {
            decode(query: bytes.extracting(query.offset..<query.end))
        }
        publish(record, exchange.rawValue)
    }

    private static func type(of tag: UInt64) -> EventType? {
        tag == Tag.noType ? nil : EventType.allCases[Int(tag)]
    }

    /// The publisher says what became of an event.
    package func published(_ token: UInt64, _ outcome: PublishOutcome) {
        let exchange = Exchange(rawValue: token)
        switch outcome {
        case .durable:
            metrics.answered(.ok)
            respond(exchange, Answers.received)
        case .unavailable:
            metrics.answered(.unavailable)
            respond(exchange, Answers.unavailable)
        }
    }

    private static func millisecondsSinceEpoch() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
    }
}
