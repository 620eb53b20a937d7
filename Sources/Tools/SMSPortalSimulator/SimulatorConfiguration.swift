package import SMSPortalEvents

/// How the simulator shows that it belongs: any combination, as the endpoint requires it.
package struct SimulatorAuthentication: Sendable, CustomStringConvertible, CustomReflectable {
    /// The name of the header that carries ``headerSecret``.
    package var headerName: String
    /// The shared secret in a header; nil sends none. Visible ASCII, spaces and tabs.
    package var headerSecret: String?
    /// The secret as a path segment, `/webhooks/<secret>/<type>`; nil sends none. Unreserved characters (RFC 3986)
    /// only.
    package var pathSecret: String?
    /// The secret as `?secret=`, percent-encoded; nil sends none.
    package var querySecret: String?
    /// How requests are signed; nil signs none.
    package var signature: SimulatorSignature?

    /// Makes the description of an endpoint's secrets; none by default.
    package init(
        headerName: String = "X-Webhook-Secret", headerSecret: String? = nil, pathSecret: String? = nil,
        querySecret: String? = nil
    ) {
        self.headerName = headerName
        self.headerSecret = headerSecret
        self.pathSecret = pathSecret
        self.querySecret = querySecret
    }

    /// Never a secret.
    package var description: String { "…" }
    /// Never a secret.
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// What the simulator sends, where to, and how it behaves. The defaults are the vendor's, but for the back-off, which
/// is short enough for a demo, and ``url``, which has to be given.
package struct SimulatorConfiguration: Sendable {
    /// Where the receiver is: scheme (`http` or `https`), host, port and base path. `/webhooks/<type>` is put behind
    /// it; a base that ends in `/webhooks` already is taken for the same.
    package var url: String
    /// The secrets that the endpoint asks for.
    package var authentication = SimulatorAuthentication()
    /// The file of certificates, PEM, by which a receiver with `https` is trusted; nil for the system's own.
    package var caFile: String?
    /// The event types to send; empty means all five.
    package var types: Set<EventType> = []
    /// The generations to send; empty means all.
    package var generations: Set<CallbackGeneration> = []
    /// Gives the sequence of callbacks; what it does not give is when they are answered, hence not the order on the
    /// wire.
    package var seed: UInt64 = 1
    /// New callbacks a second, 0 to 1,000,000; 0 sends as fast as the connections allow. Re-sends come on top.
    package var rate: Double = 10
    /// Ends after so many callbacks, duplicates and re-sends not counted; nil does not.
    package var count: UInt64?
    /// Makes no new callbacks after this time; re-sends are still played to their end. nil does not.
    package var duration: Duration?
    /// Connections at most, hence requests in flight, 1 to 10,000.
    package var clients: Int = 16
    /// How many different phone numbers occur, 1 to 1,000,000.
    package var subscribers: Int = 1000
    /// The share of callbacks that are sent twice though they were received, 0 to 1.
    package var duplicates: Double = 0
    /// The share of callbacks that are malformed (``CallbackFlaw``), 0 to 1.
    package var malformed: Double = 0
    /// The share of callbacks with the vendor's test number, 0 to 1.
    package var tests: Double = 0
    /// How long an answer may take before the attempt failed; the vendor waits 10 s. 1 ms to an hour.
    package var timeout: Duration = .seconds(10)
    /// How often a callback is sent at most; the vendor gives up after 5 attempts. 1 to 100.
    package var attempts: Int = 5
    /// The pause before the second attempt; it doubles before each further one. The vendor's is not known. 1 ms to a
    /// day.
    package var backoff: Duration = .milliseconds(200)
    /// How many callbacks may wait for their next attempt; at this bound no new ones are made. 1 to 10,000,000.
    package var maxWaiting: Int = 100_000
    /// How long ``Simulator/stop()`` lets requests in flight be answered before it abandons them.
    package var stopGrace: Duration = .seconds(1)
    /// The pause between two reports of progress, 10 ms and longer.
    package var progressInterval: Duration = .seconds(1)

    /// The vendor's behaviour towards this endpoint.
    package init(url: String) { self.url = url }

    /// Every value that is out of its bounds, in words, without the secrets; empty when all is well.
    package func problems() -> [String] {
        var problems: [String] = []
        func check(_ holds: Bool, _ problem: String) {
            if !holds { problems.append(problem) }
        }
        switch Endpoint.parse(url) {
        case .success: break
        case .failure(let error): problems += error.problems
        }
        let isToken = { (text: String) in
            !text.isEmpty && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && !"\"(),/:;<=>?@[\\]{}".utf8.contains($0) }
        }
        check(isToken(authentication.headerName), "the header name for the secret is not a token of RFC 9110")
        if let secret = authentication.headerSecret {
            check(
                !secret.isEmpty && secret.utf8.allSatisfy { $0 == 9 || ($0 >= 0x20 && $0 < 0x7F) },
                "the header secret is empty or has characters other than visible ASCII")
        }
        if let secret = authentication.pathSecret {
            let types = EventType.allCases.map(\.rawValue)
            check(
                !secret.isEmpty && WireText.form(secret) == secret && secret != "." && secret != ".."
                    && !types.contains(secret),
                "the path secret is empty, named like an event type, or has characters that need escaping")
        }
        if let secret = authentication.querySecret { check(!secret.isEmpty, "the query secret is empty") }
        check(rate >= 0 && rate <= 1_000_000, "rate \(rate) is not within 0 and 1000000 a second")
        check((1...10_000).contains(clients), "clients \(clients) is not within 1 and 10000")
        check((1...1_000_000).contains(subscribers), "subscribers \(subscribers) is not within 1 and 1000000")
        for (name, share) in [("duplicates", duplicates), ("malformed", malformed), ("tests", tests)] {
            check(share >= 0 && share <= 1, "\(name) \(share) is not within 0 and 1")
        }
        check(timeout >= .milliseconds(1) && timeout <= .seconds(3600), "timeout is not within 1 ms and 1 hour")
        check((1...100).contains(attempts), "attempts \(attempts) is not within 1 and 100")
        check(backoff >= .milliseconds(1) && backoff <= .seconds(86400), "backoff is not within 1 ms and 1 day")
        check((1...10_000_000).contains(maxWaiting), "maxWaiting \(maxWaiting) is not within 1 and 10000000")
        check(stopGrace >= .zero && stopGrace <= .seconds(3600), "stopGrace is not within 0 and 1 hour")
        check(
            progressInterval >= .milliseconds(10) && progressInterval <= .seconds(86400),
            "progressInterval is not within 10 ms and 1 day")
        if let duration {
            check(duration >= .zero && duration <= .seconds(86400 * 365), "duration is not within 0 and 1 year")
        }
        return problems
    }
}

/// Why a simulator cannot run.
package struct SimulatorError: Error, Sendable, CustomStringConvertible {
    /// What kind of reason it is.
    package enum Code: Sendable {
        /// Values of the configuration are out of bounds.
        case configuration
        /// libcurl failed: out of memory or descriptors.
        case curl
    }

    package var code: Code
    /// Every problem found, in words; never a secret.
    package var problems: [String]

    package var description: String { problems.joined(separator: "; ") }
}
