internal import EventLoop
internal import HTTPServer
internal import Telemetry
internal import Threads

/// Answers the private routes, on the loop of the private port.
final class OperationsHandler: RequestHandler {
    private enum Route: UInt64, CaseIterable {
        case index
        case health
        case readiness
        case metrics

        var path: StaticString {
            switch self {
            case .index: "/"
            case .health: "/healthz"
            case .readiness: "/readyz"
            case .metrics: "/metrics"
            }
        }
    }

    private static let common = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
    private static let plain = [("Content-Type", "text/plain; charset=utf-8")] + common
    private static let json = [("Content-Type", "application/json")] + common
    private static let prometheus = [("Content-Type", "text/plain; version=0.0.4; charset=utf-8")] + common

    private let configuration: OperationsConfiguration
    private let registry: MetricRegistry
    private let readiness: ServiceReadiness
    private let heartbeat: Heartbeat
    private let bound: UInt64
    private unowned var server: HTTPServer?
    private unowned var loop: EventLoop?

    private let notFound = PreparedResponse(status: 404, headers: plain, body: Array("not found\n".utf8))
    private let notAllowed = PreparedResponse(
        status: 405, headers: [("Allow", "GET, HEAD")] + plain, body: Array("method not allowed\n".utf8))
    private let index: PreparedResponse

    init(
        configuration: OperationsConfiguration, registry: MetricRegistry, readiness: ServiceReadiness,
        heartbeat: Heartbeat
    ) {
        self.configuration = configuration
        self.registry = registry
        self.readiness = readiness
        self.heartbeat = heartbeat
        bound = configuration.livenessBound.nanoseconds
        let text = """
            \(configuration.title)

            /healthz   whether the process works (its public loop turns)
            /readyz    whether this instance can take callbacks now, and why not
            /metrics   metrics for Prometheus

            """
        index = PreparedResponse(status: 200, headers: Self.plain, body: Array(text.utf8))
    }

    func attach(to server: HTTPServer, on loop: EventLoop) {
        self.server = server
        self.loop = loop
    }

    func receivedHead(_ head: borrowing RequestHead, bytes: RawSpan, from peer: PeerAddress) -> HeadVerdict {
        for route in Route.allCases where PercentEncoding.matches(head.path, in: bytes, route.path) {
            return head.method == .get || head.method == .head ? .accept(tag: route.rawValue) : .refuse(notAllowed)
        }
        return .refuse(notFound)
    }

    func receivedRequest(
        _ head: borrowing RequestHead, bytes: RawSpan, body: RawSpan, exchange: Exchange, tag: UInt64
    ) {
        let answer =
            switch Route(rawValue: tag) {
            case .index: index
            case .health: health()
            case .readiness: ready()
            case .metrics: PreparedResponse(status: 200, headers: Self.prometheus, body: registry.render())
            case nil: notFound
            }
        server?.respond(to: exchange, with: answer)
    }

    private func health() -> PreparedResponse {
        let now = loop?.now ?? 0
        let last = heartbeat.last
        // The other loop may have beaten after this one read its clock.
        let age = now > last ? now - last : 0
        if age <= bound { return PreparedResponse(status: 200, headers: Self.plain, body: Array("ok\n".utf8)) }
        let text = "the public loop has not turned for \(age / 1_000_000) ms\n"
        return PreparedResponse(status: 503, headers: Self.plain, body: Array(text.utf8))
    }

    private func ready() -> PreparedResponse {
        let (isReady, json) = readiness.report()
        return PreparedResponse(status: isReady ? 200 : 503, headers: Self.json, body: json)
    }
}
