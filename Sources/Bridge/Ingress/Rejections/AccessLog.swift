internal import SMSBridgeHTTPServer
internal import SMSBridgeTelemetry

/// Logs one of so many requests, with its status. Lives on the public loop.
struct AccessLog {
    /// A request that was chosen.
    struct Request {
        var summary: RequestSummary
        /// Of head and body.
        var bytes: Int
        /// When it was whole, monotonic nanoseconds.
        var receivedAt: UInt64
    }

    private let logger: Logger
    private let every: Int
    private var seen = 0
    private var waiting: [Exchange: Request] = [:]

    /// - Parameter every: one of this many requests is logged; 0 for none.
    init(_ logger: Logger, every: Int) {
        self.logger = logger
        self.every = every
    }

    var isOn: Bool { every > 0 }

    /// Whether the next request is one of those that are logged.
    mutating func chooses() -> Bool {
        seen += 1
        guard seen >= every else { return false }
        seen = 0
        return true
    }

    mutating func begin(_ exchange: Exchange, _ request: Request) { waiting[exchange] = request }

    mutating func end(_ exchange: Exchange, status: Int, requestID: (Exchange) -> String) {
        guard !waiting.isEmpty, let request = waiting.removeValue(forKey: exchange) else { return }
        write(request, status: status, requestID: requestID(exchange))
    }

    func write(_ request: Request, status: Int, requestID: String) {
        let microseconds = (RejectionLog.now &- request.receivedAt) / 1_000
        logger.info(
            "request",
            [
                "status": status, "method": request.summary.method, "route": request.summary.route,
                "client": request.summary.client, "bytes": request.bytes,
                "durationMs": Double(microseconds) / 1_000, "requestId": requestID,
            ])
    }
}
