internal import SMSBridgeAddresses
internal import SMSBridgeEventLoop
internal import SMSBridgeHTTPServer
internal import SMSBridgeTelemetry
internal import SMSBridgeThreads

/// Answers the private routes, on the loop of the private port.
final class OperationsHandler: RequestHandler {
    private enum Route: UInt64, CaseIterable {
        case index
        case health
        case readiness
        case metrics
        case status
        case heldIndex
        case runbook

        var path: StaticString {
            switch self {
            case .index, .heldIndex: "/"
            case .health: "/healthz"
            case .readiness: "/readyz"
            case .metrics: "/metrics"
            case .status: "/status"
            case .runbook: "/runbook"
            }
        }
    }

    /// Prepared once, in the order of their tags, which begin behind those of the routes.
    private static let runbookEntries = Runbook.entries.sorted { $0.key < $1.key }.map { name, text in
        (
            path: Array("\(Runbook.path)/\(name)".utf8),
            page: PreparedResponse(status: 200, headers: markdown, body: text)
        )
    }
    private static let firstEntry: UInt64 = 100

    private static let common = [("X-Content-Type-Options", "nosniff")]
    private static let plain = [("Content-Type", "text/plain; charset=utf-8")] + common
    private static let markdown = [("Content-Type", "text/markdown; charset=utf-8")] + common
    private static let json = [("Content-Type", "application/json")] + common
    private static let prometheus = [("Content-Type", "text/plain; version=0.0.4; charset=utf-8")] + common

    private let configuration: OperationsConfiguration
    private let registry: MetricRegistry
    private let readiness: ServiceReadiness
    private let heartbeat: Heartbeat
    private let bound: UInt64
    private var history = StatusHistory()
    private static let refresh = 5
    private let ready: Gauge
    private let loopSilence: Gauge
    private unowned var server: HTTPServer?
    private unowned var loop: EventLoop?

    private let notFound = PreparedResponse(status: 404, headers: plain, body: Array("not found\n".utf8))
    private let notAllowed = PreparedResponse(
        status: 405, headers: [("Allow", "GET, HEAD")] + plain, body: Array("method not allowed\n".utf8))

    init(
        configuration: OperationsConfiguration, registry: MetricRegistry, readiness: ServiceReadiness,
        heartbeat: Heartbeat
    ) {
        self.configuration = configuration
        self.registry = registry
        self.readiness = readiness
        self.heartbeat = heartbeat
        bound = configuration.livenessBound.nanoseconds
        ready = registry.gauge(
            "smsbridge_ready", help: "1 when the instance is ready (/readyz), else 0.")
        loopSilence = registry.gauge(
            "smsbridge_loop_stall_seconds", help: "How long the event loop of the public port has been blocked.")
    }

    func attach(to server: HTTPServer, on loop: EventLoop) {
        self.server = server
        self.loop = loop
    }

    /// Starts recording the last hour.
    func follow(_ loop: EventLoop) throws(EventLoopError) {
        let interval = max(configuration.sampleInterval.nanoseconds, 1_000_000)
        _ = try loop.timer(after: 0, repeating: interval) { [unowned self, unowned loop] in
            history.take(registry.snapshot(collecting: false), at: loop.now)
        }
    }

    func receivedHead(
        _ head: borrowing RequestHead, bytes: RawSpan, from peer: PeerAddress, exchange: Exchange
    ) -> HeadVerdict {
        for route in Route.allCases where PercentEncoding.matches(head.path, in: bytes, route.path) {
            var route = route
            if case .index = route, let query = head.query, PercentEncoding.matches(query, in: bytes, "refresh=never") {
                route = .heldIndex
            }
            return head.method == .get || head.method == .head ? .accept(tag: route.rawValue) : .refuse(notAllowed)
        }
        var path: [UInt8] = []
        if PercentEncoding.decode(head.path, in: bytes, into: &path),
            let entry = Self.runbookEntries.firstIndex(where: { $0.path == path })
        {
            return head.method == .get || head.method == .head
                ? .accept(tag: Self.firstEntry + UInt64(entry)) : .refuse(notAllowed)
        }
        return .refuse(notFound)
    }

    func receivedRequest(
        _ head: borrowing RequestHead, bytes: RawSpan, body: RawSpan, from peer: PeerAddress, exchange: Exchange,
        tag: UInt64
    ) {
        let answer =
            switch Route(rawValue: tag) {
            case .index: page(refresh: Self.refresh)
            case .heldIndex: page(refresh: nil)
            case .health: health()
            case .readiness: readinessReport()
            case .metrics: metrics()
            case .status: PreparedResponse(status: 200, headers: Self.json, body: report().json())
            case .runbook: PreparedResponse(status: 200, headers: Self.markdown, body: Runbook.text)
            case nil: runbookEntry(tag)
            }
        server?.respond(to: exchange, with: answer)
    }

    private func runbookEntry(_ tag: UInt64) -> PreparedResponse {
        let entries = Self.runbookEntries
        guard tag >= Self.firstEntry, tag - Self.firstEntry < UInt64(entries.count) else { return notFound }
        return entries[Int(tag - Self.firstEntry)].page
    }

    /// How long the public event loop has been blocked, in nanoseconds.
    private var silence: UInt64 {
        let now = loop?.now ?? 0
        let last = heartbeat.last
        // The other loop may have beaten after this one read the clock.
        return now > last ? now - last : 0
    }

    private func metrics() -> PreparedResponse {
        ready.set(readiness.isReady ? 1 : 0)
        loopSilence.set(Double(silence) / 1e9)
        return PreparedResponse(status: 200, headers: Self.prometheus, body: registry.render())
    }

    /// The current content of the page and `/status`.
    private func report() -> StatusReport {
        let snapshot = registry.snapshot(collecting: true)
        return StatusReport(
            instance: configuration.instance, snapshot: snapshot,
            history: history.seen(with: snapshot, at: loop?.now ?? 0), readiness: readiness,
            silence: Double(silence) / 1e9, time: Double(wallClockMilliseconds()) / 1e3)
    }

    /// - Parameter refresh: seconds after which the browser is to ask again.
    private func page(refresh: Int?) -> PreparedResponse {
        let nonce =
            String(UInt64.random(in: .min ... .max), radix: 36) + String(UInt64.random(in: .min ... .max), radix: 36)
        let page = StatusPage(report: report(), refresh: refresh, nonce: nonce)
        let policy =
            "default-src 'none'; style-src 'nonce-\(nonce)'; img-src data:; base-uri 'none'; form-action 'none'; "
            + "frame-ancestors 'none'"
        return PreparedResponse(
            status: 200,
            headers: [
                ("Content-Type", "text/html; charset=utf-8"), ("Content-Security-Policy", policy),
                ("Referrer-Policy", "no-referrer"),
            ] + Self.common, body: page.render())
    }

    private func health() -> PreparedResponse {
        let age = silence
        if age <= bound { return PreparedResponse(status: 200, headers: Self.plain, body: Array("ok\n".utf8)) }
        let text = "public event loop blocked for \(age / 1_000_000) ms\n"
        return PreparedResponse(status: 503, headers: Self.plain, body: Array(text.utf8))
    }

    private func readinessReport() -> PreparedResponse {
        let report = report()
        return PreparedResponse(status: report.isReady ? 200 : 503, headers: Self.json, body: report.readinessJSON())
    }
}
