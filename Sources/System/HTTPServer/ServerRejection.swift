/// Why the server answers a request with an error status before its handler has accepted it, or before it is whole.
package enum ServerRejection: Sendable, Hashable {
    /// The request breaks a rule of the parser.
    case rule(RequestRule)
    /// The head was not whole within `headTimeout`.
    case headTimeout
    /// The body was not whole within `bodyTimeout`.
    case bodyTimeout
    /// Partly received requests take `maxUnfinishedBytes` together.
    case memory
    /// More connections than `maxConnections`.
    case connections
    /// A request in plain HTTP on a port that speaks TLS.
    case plaintext

    /// The status of the answer.
    package var status: Int {
        switch self {
        case .rule(let rule): rule.status
        case .headTimeout, .bodyTimeout: 408
        case .memory, .connections: 503
        case .plaintext: 400
        }
    }

    /// A fixed word, safe as a metric's label.
    package var label: String {
        switch self {
        case .rule(let rule): rule.rawValue
        case .headTimeout: "head-timeout"
        case .bodyTimeout: "body-timeout"
        case .memory: "memory"
        case .connections: "connections"
        case .plaintext: "plaintext"
        }
    }
}
