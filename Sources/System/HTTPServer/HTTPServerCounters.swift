/// What a server has counted since it was made. Read on the loop.
package struct HTTPServerCounters: Sendable {
    /// Connections accepted, surplus ones included.
    package var accepted: UInt64 = 0
    /// Connections beyond `maxConnections`, answered 503.
    package var surplus: UInt64 = 0
    /// Connections closed to make room for a new one.
    package var displaced: UInt64 = 0
    /// Times that accepting paused because there were no file descriptors.
    package var acceptPauses: UInt64 = 0
    /// Whole requests handed to the handler.
    package var requests: UInt64 = 0
    /// Heads that the handler refused.
    package var refusedByHandler: UInt64 = 0
    /// Requests rejected because the memory limit of partly received requests was reached.
    package var refusedForMemory: UInt64 = 0
    /// Answers given, the server's own included.
    package var responses: UInt64 = 0
    package var headTimeouts: UInt64 = 0
    package var bodyTimeouts: UInt64 = 0
    package var writeTimeouts: UInt64 = 0
    /// Connections closed because no request arrived.
    package var idleTimeouts: UInt64 = 0
    /// Connections lost before a request was answered.
    package var clientsLeft: UInt64 = 0
    /// Connections whose client ended or lost it in the middle of a request.
    package var requestsCutOff: UInt64 = 0
    package var bytesRead: UInt64 = 0
    package var bytesWritten: UInt64 = 0
    /// TLS handshakes that were done.
    package var handshakes: UInt64 = 0
    /// Those of them in which the client has shown a certificate.
    package var clientCertificates: UInt64 = 0
    /// Connections that should have begun with a PROXY header: from an address that may not send one, and with bytes
    /// that are none.
    package var proxyHeadersUntrusted: UInt64 = 0
    package var proxyHeadersMalformed: UInt64 = 0
    /// In the order of the failures.
    var handshakeFailures = [UInt64](repeating: 0, count: TLSFailure.allCases.count)
    /// In the order of the rules.
    var refusals: [UInt64] = []

    /// Requests refused by a rule of the parser's.
    package func refused(by rule: RequestRule) -> UInt64 {
        let index = Self.index(of: rule)
        return index < refusals.count ? refusals[index] : 0
    }

    /// Handshakes that came to nothing, by why.
    package func handshakes(failedBy failure: TLSFailure) -> UInt64 {
        TLSFailure.allCases.firstIndex(of: failure).map { handshakeFailures[$0] } ?? 0
    }

    mutating func note(_ failure: TLSFailure) {
        if let index = TLSFailure.allCases.firstIndex(of: failure) { handshakeFailures[index] += 1 }
    }

    static func index(of rule: RequestRule) -> Int { indices[rule] ?? 0 }

    private static let indices = Dictionary(
        uniqueKeysWithValues: RequestRule.allCases.enumerated().map { ($1, $0) })
}
