package import SMSBridgeTelemetry
internal import SMSPortalEvents

/// What the ingress counts: requests that it has answered, by route and status, and what it refused and why.
package struct IngressMetrics: Sendable {
    /// The routes that a metric tells apart.
    enum Endpoint: Int, CaseIterable {
        case webhooks, deliveryStatus, reply, shortCode, urlPreview, urlClick, health, other

        init(_ route: Route) {
            self =
                switch route {
                case .webhook(.none), .webhook(.some(.unrecognised)): .webhooks
                case .webhook(.some(.deliveryStatus)): .deliveryStatus
                case .webhook(.some(.reply)): .reply
                case .webhook(.some(.shortCode)): .shortCode
                case .webhook(.some(.urlPreview)): .urlPreview
                case .webhook(.some(.urlClick)): .urlClick
                case .health: .health
                case .notFound, .unauthorized: .other
                }
        }

        var label: String {
            switch self {
            case .webhooks: "/webhooks"
            case .deliveryStatus: "/webhooks/delivery-status"
            case .reply: "/webhooks/reply"
            case .shortCode: "/webhooks/short-code"
            case .urlPreview: "/webhooks/url-preview"
            case .urlClick: "/webhooks/url-click"
            case .health: "/healthz"
            case .other: "other"
            }
        }
    }

    /// The statuses that the ingress answers.
    enum Status: Int, CaseIterable {
        case ok = 200
        case noContent = 204
        case unauthorized = 401
        case notFound = 404
        case methodNotAllowed = 405
        case unavailable = 503

        fileprivate var position: Int {
            switch self {
            case .ok: 0
            case .noContent: 1
            case .unauthorized: 2
            case .notFound: 3
            case .methodNotAllowed: 4
            case .unavailable: 5
            }
        }
    }

    private let requests: [Counter]
    private let responses: [Counter]
    private let authentication: [Counter]
    private let letIn: Counter
    private let enforced: Gauge

    /// What was missing or wrong.
    enum Proof: Int, CaseIterable {
        case header, path, query, signature, address
        /// Each proof is right, and they are not of one account.
        case account
    }

    package init(_ registry: MetricRegistry) {
        requests = Endpoint.allCases.map {
            registry.counter(
                "smsbridge_http_requests_total",
                help: "Requests whose head was understood on the public port, by route.",
                labels: [("route", $0.label)])
        }
        responses = Status.allCases.map {
            registry.counter(
                "smsbridge_http_responses_total",
                help:
                    "Answers given by the public routes, by status. Refusals by the HTTP server itself are counted apart.",
                labels: [("status", String($0.rawValue))])
        }
        authentication = Proof.allCases.map {
            registry.counter(
                "smsbridge_authentication_failures_total",
                help:
                    "Proofs that were missing or wrong, by kind: the request was answered 401, or let in where auth.mode is log.",
                labels: [("proof", "\($0)")])
        }
        letIn = registry.counter(
            "smsbridge_authentication_let_in_total",
            help: "Callbacks that were let in only because auth.mode is log: enforce would have refused them.")
        enforced = registry.gauge(
            "smsbridge_authentication_enforced",
            help: "Whether those who do not belong are kept out: 1, or 0 where auth.mode is log or auth.none is true.")
    }

    func received(_ endpoint: Endpoint) {
        requests[endpoint.rawValue].increment()
    }

    func answered(_ status: Status) {
        responses[status.position].increment()
    }

    func asks(_ isEnforced: Bool) {
        enforced.set(isEnforced ? 1 : 0)
    }

    func wasLetIn() {
        letIn.increment()
    }

    func failed(_ proof: Proof) {
        authentication[proof.rawValue].increment()
    }
}
