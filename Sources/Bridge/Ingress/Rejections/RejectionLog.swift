internal import SMSBridgeTelemetry

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// Logs rejected requests: one line for each reason and interval, with how many there were.
///
/// The first rejection of a reason is logged at once. Those within the interval after it are counted and logged at the
/// interval's end. Lives on the public loop.
struct RejectionLog {
    /// What a line tells of one of the requests.
    struct Sample {
        var request: RequestSummary
        var requestID: String
    }

    /// The reason.
    struct Key: Hashable {
        var status: Int
        /// The parser's rule, or what the ingress rejects for.
        var rule: String
        /// What the request shows of the proofs that are asked for.
        var proof: String
        /// Whether it is probably a callback, and not a scan.
        var isCallback: Bool
    }

    private struct Entry {
        var loggedAt: UInt64
        var count: UInt64 = 0
        var sample: Sample?
    }

    private let logger: Logger
    private var entries: [Key: Entry] = [:]

    private static let callbackInterval: UInt64 = 10_000_000_000
    private static let otherInterval: UInt64 = 60_000_000_000
    /// The reasons are a closed set; what proofs show in combination is not a small one.
    private static let capacity = 256

    init(_ logger: Logger) { self.logger = logger }

    /// - Parameter sample: asked only for what will be in a line.
    mutating func note(_ key: Key, at now: UInt64, _ sample: () -> Sample) {
        guard var entry = entries[key] else {
            if entries.count >= Self.capacity { flush(at: now, all: true) }
            entries[key] = Entry(loggedAt: now)
            return write(key, sample(), count: 1)
        }
        if now &- entry.loggedAt >= Self.interval(key), entry.count == 0 {
            entry.loggedAt = now
            entries[key] = entry
            return write(key, sample(), count: 1)
        }
        entry.count += 1
        if entry.sample == nil { entry.sample = sample() }
        entries[key] = entry
    }

    /// Logs what has been counted and whose interval is over, and forgets reasons that have not come again.
    ///
    /// - Parameter all: whether the intervals do not matter.
    mutating func flush(at now: UInt64, all: Bool = false) {
        guard !entries.isEmpty else { return }
        for (key, entry) in entries where all || now &- entry.loggedAt >= Self.interval(key) {
            if let sample = entry.sample {
                write(key, sample, count: entry.count)
                entries[key] = Entry(loggedAt: now)
            } else {
                entries[key] = nil
            }
        }
        if all { entries = [:] }
    }

    private static func interval(_ key: Key) -> UInt64 { key.isCallback ? callbackInterval : otherInterval }

    private func write(_ key: Key, _ sample: Sample, count: UInt64) {
        logger.log(
            key.isCallback ? .warning : .info, "request rejected",
            [
                "status": key.status, "rule": key.rule, "method": sample.request.method,
                "route": sample.request.route, "proof": key.proof, "client": sample.request.client, "count": count,
                "requestId": sample.requestID,
            ])
    }

    static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
