import SMSBridgeHTTPServer
import SMSBridgeTelemetry

/// The public server's own figures as metrics. The server counts on its loop, in plain integers; they are carried over
/// once a second.
struct HTTPMetrics {
    private let connections: Gauge
    private let inFlight: Gauge
    private let counters: [(Counter, KeyPath<HTTPServerCounters, UInt64>)]
    private let refusals: [(Counter, RequestRule)]
    private let handshakes: Gauge
    private let failures: [(Counter, TLSFailure)]

    init(_ registry: MetricRegistry) {
        connections = registry.gauge("smsbridge_http_connections", help: "Open connections on the public port.")
        inFlight = registry.gauge("smsbridge_http_requests_in_flight", help: "Requests that wait for their answer.")
        func timeouts(_ what: String) -> Counter {
            registry.counter(
                "smsbridge_http_timeouts_total",
                help: "Connections ended because a client was too slow, by what it was slow at.",
                labels: [("phase", what)])
        }
        func handshakes(_ result: String) -> Counter {
            registry.counter(
                "smsbridge_tls_handshakes_total",
                help: "TLS handshakes on the public port, by what has come of them (docs/secure.md).",
                labels: [("result", result)])
        }
        func proxyHeaders(_ reason: String) -> Counter {
            registry.counter(
                "smsbridge_http_proxy_headers_rejected_total",
                help: "Connections closed because they did not begin with a PROXY header from http.trustedProxies.",
                labels: [("reason", reason)])
        }
        self.handshakes = registry.gauge(
            "smsbridge_tls_handshakes_in_progress", help: "TLS handshakes that are awaited or under way.")
        failures = TLSFailure.allCases.map { (handshakes($0.rawValue), $0) }
        counters = [
            (
                registry.counter("smsbridge_http_connections_total", help: "Connections accepted on the public port."),
                \.accepted
            ),
            (
                registry.counter(
                    "smsbridge_http_connections_rejected_total",
                    help: "Connections beyond http.maxConnections, answered 503."), \.surplus
            ),
            (
                registry.counter(
                    "smsbridge_http_connections_displaced_total",
                    help: "Idle connections closed to make room for a new one at http.maxConnections."), \.displaced
            ),
            (
                registry.counter(
                    "smsbridge_http_accept_pauses_total",
                    help: "Times that accepting paused because the process had no descriptors left."), \.acceptPauses
            ),
            (
                registry.counter(
                    "smsbridge_http_memory_rejected_total",
                    help: "Requests answered 503 because of http.maxBufferedRequestBytes."), \.refusedForMemory
            ),
            (
                registry.counter(
                    "smsbridge_http_clients_disconnected_total",
                    help: "Connections lost before a request was answered; the event is published all the same."),
                \.clientsLeft
            ),
            (timeouts("head"), \.headTimeouts), (timeouts("body"), \.bodyTimeouts),
            (timeouts("write"), \.writeTimeouts), (timeouts("idle"), \.idleTimeouts),
            (handshakes("done"), \.handshakes),
            (
                registry.counter(
                    "smsbridge_tls_client_certificates_total",
                    help: "TLS handshakes in which the client has shown a certificate that is accepted."),
                \.clientCertificates
            ),
            (proxyHeaders("untrusted"), \.proxyHeadersUntrusted), (proxyHeaders("malformed"), \.proxyHeadersMalformed),
            (
                registry.counter("smsbridge_http_received_bytes_total", help: "Bytes read on the public port."),
                \.bytesRead
            ),
            (
                registry.counter("smsbridge_http_sent_bytes_total", help: "Bytes written on the public port."),
                \.bytesWritten
            ),
        ]
        refusals = RequestRule.allCases.map {
            (
                registry.counter(
                    "smsbridge_http_rejected_total",
                    help: "Requests rejected by the HTTP server, by rule (docs/control-panel.md).",
                    labels: [("rule", $0.rawValue)]), $0
            )
        }
    }

    func update(from server: HTTPServer) {
        connections.set(Double(server.openConnections))
        inFlight.set(Double(server.requestsInFlight))
        handshakes.set(Double(server.openHandshakes))
        for (counter, failure) in failures { counter.raise(to: server.counters.handshakes(failedBy: failure)) }
        for (counter, path) in counters { counter.raise(to: server.counters[keyPath: path]) }
        for (counter, rule) in refusals { counter.raise(to: server.counters.refused(by: rule)) }
    }
}
