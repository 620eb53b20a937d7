package import SMSBridgeTelemetry
internal import SMSPortalEvents

/// What the ingress counts: requests that it has answered, by route and status, and what it refused and why.
package struct IngressMetrics: Sendable {
    /// The routes that a metric tells apart.
    struct Endpoint {
        fileprivate let position: Int

        init(_ route: Route) {
            position =
                switch route {
                case .webhook(.none), .webhook(.some(.unrecognised)): 0
                case .webhook(.some(let type)): 1 + type.index
                case .health: Self.labels.count - 2
                case .notFound, .unauthorized: Self.labels.count - 1
                }
        }

        fileprivate static let labels =
            ["/webhooks"] + EventType.recognised.map { "\($0.path)" } + ["/healthz", "other"]
    }

    /// The statuses of answers on the public port.
    enum Status: Int, CaseIterable {
        case ok = 200
        case noContent = 204
        case badRequest = 400
        case unauthorized = 401
        case notFound = 404
        case methodNotAllowed = 405
        case requestTimeout = 408
        case contentTooLarge = 413
        case uriTooLong = 414
        case expectationFailed = 417
        case headerFieldsTooLarge = 431
        case unavailable = 503

        fileprivate var position: Int {
            switch self {
            case .ok: 0
            case .noContent: 1
            case .badRequest: 2
            case .unauthorized: 3
            case .notFound: 4
            case .methodNotAllowed: 5
            case .requestTimeout: 6
            case .contentTooLarge: 7
            case .uriTooLong: 8
            case .expectationFailed: 9
            case .headerFieldsTooLarge: 10
            case .unavailable: 11
            }
        }

        /// Whether the request itself is rejected: it will not be accepted by coming again.
        var isRejection: Bool { (400..<500).contains(rawValue) }
    }

    private let requests: [Counter]
    private let responses: [Counter]
    /// By the position of the status: those with a valid secret, then the others.
    private let rejections: [[Counter]]
    private let authentication: [Counter]
    private let recoveries: Counter
    private let letIn: Counter
    private let enforced: Gauge

    package init(_ registry: MetricRegistry) {
        requests = Endpoint.labels.map {
            registry.counter(
                "smsbridge_http_requests_total",
                help: "Requests whose head was understood on the public port, by route.",
                labels: [("route", $0)])
        }
        responses = Status.allCases.map {
            registry.counter(
                "smsbridge_http_responses_total",
                help: "Answers on the public port, by status.", labels: [("status", String($0.rawValue))])
        }
        rejections = Status.allCases.map { status in
            guard status.isRejection else { return [] }
            return ["valid", "invalid"].map {
                registry.counter(
                    "smsbridge_callbacks_rejected_total",
                    help:
                        "Requests rejected with 4xx that are callbacks by their path, secret or address, by status and by whether they carry a valid secret.",
                    labels: [("status", String(status.rawValue)), ("secret", $0)])
            }
        }
        authentication = ProofKind.allCases.map {
            registry.counter(
                "smsbridge_authentication_failures_total",
                help:
                    "Missing or wrong proofs by kind: the request was rejected with 401, or accepted with auth.mode log.",
                labels: [("proof", "\($0)")])
        }
        recoveries = registry.counter(
            "smsbridge_callbacks_recovered_total",
            help: "Callbacks whose JSON the unescaped text of one field had broken, and whose text was recovered.")
        letIn = registry.counter(
            "smsbridge_authentication_unenforced_total",
            help: "Callbacks accepted with auth.mode log that auth.mode enforce would reject.")
        enforced = registry.gauge(
            "smsbridge_authentication_enforced",
            help: "Whether requests are authenticated: 1, or 0 where auth.mode is log or auth.none is true.")
    }

    func received(_ endpoint: Endpoint) {
        requests[endpoint.position].increment()
    }

    func answered(_ status: Status) {
        responses[status.position].increment()
    }

    func rejectedCallback(_ status: Status, hasValidSecret: Bool) {
        guard status.isRejection else { return }
        rejections[status.position][hasValidSecret ? 0 : 1].increment()
    }

    func asks(_ isEnforced: Bool) {
        enforced.set(isEnforced ? 1 : 0)
    }

    /// The text that had broken a callback's JSON was recovered.
    func recovered() { recoveries.increment() }

    func wasLetIn() {
        letIn.increment()
    }

    func failed(_ proof: ProofKind) {
        authentication[proof.rawValue].increment()
    }
}
