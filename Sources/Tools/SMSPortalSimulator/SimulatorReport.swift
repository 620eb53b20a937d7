/// How an attempt failed that got no whole answer.
package enum SimulatorFailure: String, Sendable, CaseIterable {
    /// No answer within the time that the vendor waits.
    case timeout
    /// The connection was refused, or the host is not found or not reached.
    case connect
    /// The connection ended before the answer did.
    case closed
    /// The receiver's certificate is not trusted, has expired or is for another name.
    case certificate
    /// No encrypted connection: the handshake failed.
    case tls
    /// Anything else that libcurl names, such as an answer that is not HTTP.
    case other
}

/// The final outcome of a callback.
package enum SimulatorOutcome: Sendable, Equatable {
    /// An answer 2xx, for legacy forwarding with `True` in its body.
    case accepted
    /// Legacy forwarding got an answer without `True`: never sent again.
    case refusedForGood
    /// The last attempt failed too.
    case givenUp
    /// The simulator was stopped before.
    case abandoned
}

/// The simulator's figures while it runs.
package struct SimulatorProgress: Sendable {
    /// Since the start.
    package var elapsed: Duration = .zero
    /// New callbacks sent so far.
    package var sent: UInt64 = 0
    /// Callbacks received by the other side so far, duplicates not counted.
    package var accepted: UInt64 = 0
    /// Further attempts so far.
    package var retried: UInt64 = 0
    /// Callbacks given up or refused for good so far.
    package var lost: UInt64 = 0
    /// Requests without an answer yet.
    package var inFlight: Int = 0
    /// Callbacks that wait for their next attempt or their duplicate.
    package var waiting: Int = 0
}

/// The simulator's figures at the end. `sent` = `accepted` + `givenUp` + `refusedForGood` + `abandoned`.
package struct SimulatorReport: Sendable {
    /// From the start to the last answer.
    package var elapsed: Duration = .zero
    /// Callbacks sent, each counted once.
    package var sent: UInt64 = 0
    /// Callbacks that were received: 2xx, for legacy forwarding with `True`.
    package var accepted: UInt64 = 0
    /// Requests that repeated a failed attempt.
    package var retried: UInt64 = 0
    /// Callbacks whose last attempt failed.
    package var givenUp: UInt64 = 0
    /// Legacy callbacks that got an answer without `True`.
    package var refusedForGood: UInt64 = 0
    /// Callbacks that had no end when the simulator was stopped.
    package var abandoned: UInt64 = 0
    /// Callbacks sent once more though they had been received. Their answers count in ``byStatus`` and ``latency``.
    package var duplicates: UInt64 = 0
    /// Callbacks that were malformed on purpose; part of ``sent``.
    package var malformed: UInt64 = 0
    /// Requests in all, further attempts and duplicates included.
    package var requests: UInt64 = 0
    /// Whole answers by their status.
    package var byStatus: [Int: UInt64] = [:]
    /// Attempts without a whole answer by the reason.
    package var failures: [SimulatorFailure: UInt64] = [:]
    /// The time from a request's start to the end of its answer, of whole answers.
    package var latency = LatencyHistogram()
    /// Why the run ended before its time; nil when it did not.
    package var failure: SimulatorError?

    /// The median time of an answer in microseconds, within 1.6 %; 0 when there was none.
    package var p50: UInt64 { latency.value(atShare: 0.5) }
    /// The time in microseconds that 99 of 100 answers did not exceed, within 1.6 %; 0 when there was none.
    package var p99: UInt64 { latency.value(atShare: 0.99) }
    /// The longest time of an answer in microseconds; 0 when there was none.
    package var max: UInt64 { latency.max }
}
