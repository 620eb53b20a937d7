internal import SMSBridgeTelemetry

/// What the last hour was like: one sample of the counters each ten seconds, in a ring.
///
/// It lives on the loop of the private port and only reads what the others count anyway. A quarter of a megabyte when full:
/// the counters are a closed set.
struct StatusHistory {
    struct Sample {
        /// Monotonic nanoseconds.
        let at: UInt64
        /// By the position of the counter's key; a counter that was not there yet is missing at the end.
        let totals: [Double]
        /// Observations of `smsbridge_durable_seconds` per bucket.
        let durable: [UInt64]
        let waiting: Double
    }

    /// What happened between two samples, per second.
    struct Interval {
        /// When it ended, monotonic nanoseconds.
        let end: UInt64
        let accepted: Double
        let unavailable: Double
        let hedged: Double
        /// Seconds; nil when nothing was acknowledged.
        let p50: Double?
        let p99: Double?
        /// Events in the spool at the end.
        let waiting: Double
    }

    /// The counters that are remembered. Each is summed over all labels but those named, whose values make its key,
    /// with a blank between them.
    private static let watched: [(name: String, labels: [String])] = [
        ("smsbridge_events_acknowledged_total", ["topic"]), ("smsbridge_events_spooled_total", ["topic"]),
        ("smsbridge_events_unavailable_total", ["reason"]), ("smsbridge_events_hedged_total", []),
        ("smsbridge_records_rejected_total", []), ("smsbridge_producer_recreations_total", []),
        ("smsbridge_kafka_errors_total", ["error"]), ("smsbridge_http_responses_total", ["status"]),
        ("smsbridge_callbacks_rejected_total", ["secret", "status"]),
        ("smsbridge_http_memory_rejected_total", []), ("smsbridge_http_connections_rejected_total", []),
        ("smsbridge_http_accept_pauses_total", []), ("smsbridge_authentication_failures_total", ["proof"]),
        ("smsbridge_log_dropped_total", []), ("smsbridge_kafka_log_resets_total", []),
        ("smsbridge_spool_removals_total", []),
        ("smsbridge_audit_records_total", ["result"]),
        ("smsbridge_timestamps_rejected_total", []),
    ]
    private static let accepted = ["smsbridge_events_acknowledged_total", "smsbridge_events_spooled_total"]
    private static let unavailable = [
        "smsbridge_events_unavailable_total", "smsbridge_http_memory_rejected_total",
        "smsbridge_http_connections_rejected_total",
    ]

    private struct Key: Hashable {
        let name: String
        let value: String
    }

    let capacity: Int
    private var positions: [Key: Int] = [:]
    /// The positions of a name's keys.
    private var byName: [String: [Int]] = [:]
    private var bounds: [Double] = []
    private var samples: [Sample] = []
    private var oldest = 0

    init(capacity: Int = 360) {
        self.capacity = max(2, capacity)
    }

    /// The samples in order of time.
    private var ordered: [Sample] { Array(samples[oldest...] + samples[..<oldest]) }

    mutating func take(_ snapshot: MetricSnapshot, at now: UInt64) {
        let sample = read(snapshot, at: now)
        if samples.count < capacity {
            samples.append(sample)
        } else {
            samples[oldest] = sample
            oldest = (oldest + 1) % capacity
        }
    }

    private mutating func read(_ snapshot: MetricSnapshot, at now: UInt64) -> Sample {
        var totals = [Double](repeating: 0, count: positions.count)
        for (name, labels) in Self.watched {
            for sample in snapshot[name] {
                // Client errors concern a connection, not an event.
                if sample["kind"] == "client" { continue }
                let key = Key(name: name, value: labels.map { sample[$0] }.joined(separator: " "))
                if let position = positions[key] {
                    totals[position] += sample.value
                } else {
                    positions[key] = totals.count
                    byName[name, default: []].append(totals.count)
                    totals.append(sample.value)
                }
            }
        }
        let (bounds, counts) = snapshot.buckets("smsbridge_durable_seconds") ?? ([], [])
        self.bounds = bounds
        return Sample(
            at: now, totals: totals, durable: counts,
            waiting: snapshot["smsbridge_spool_events"].reduce(0) { $0 + $1.value })
    }

    /// The history with the present at its end, to look at.
    ///
    /// - Parameter now: monotonic nanoseconds.
    func seen(with snapshot: MetricSnapshot, at now: UInt64) -> View {
        var copy = self
        let present = copy.read(snapshot, at: now)
        return View(history: copy, samples: ordered, present: present)
    }

    /// The history as it is seen at one moment.
    struct View {
        fileprivate let history: StatusHistory
        fileprivate let samples: [Sample]
        fileprivate let present: Sample

        var now: UInt64 { present.at }

        /// Seconds.
        private func age(of sample: Sample) -> Double { Double(present.at &- sample.at) / 1e9 }

        /// The sample whose age is nearest.
        private func base(_ seconds: Double) -> Sample {
            samples.min { abs(age(of: $0) - seconds) < abs(age(of: $1) - seconds) } ?? present
        }

        private func sum(_ names: [String], in sample: Sample) -> Double {
            var sum = 0.0
            for name in names {
                for position in history.byName[name] ?? [] where position < sample.totals.count {
                    sum += sample.totals[position]
                }
            }
            return sum
        }

        /// How much a counter has grown in the last so many seconds, give or take half the time between two samples.
        ///
        /// - Parameter value: of its remembered label; nil for all.
        func increase(_ name: String, _ value: String? = nil, over seconds: Double) -> Double {
            let base = base(seconds)
            guard let value else { return sum([name], in: present) - sum([name], in: base) }
            guard let position = history.positions[Key(name: name, value: value)] else { return 0 }
            let before = position < base.totals.count ? base.totals[position] : 0
            return (position < present.totals.count ? present.totals[position] : 0) - before
        }

        /// The label values of a counter that has grown in the last so many seconds, with by how much.
        func grown(_ name: String, over seconds: Double) -> [(value: String, by: Double)] {
            history.positions.keys.filter { $0.name == name }.map(\.value).sorted()
                .map { (value: $0, by: increase(name, $0, over: seconds)) }.filter { $0.by > 0 }
        }

        /// Per second, and quantiles, over the last so many seconds.
        func average(over seconds: Double) -> Interval { interval(from: base(seconds), to: present) }

        /// Counts instead of rates, of the last minute and the last hour.
        var counts: (minute: Interval, hour: Interval) {
            func counts(over seconds: Double) -> Interval { interval(from: base(seconds), to: present, per: nil) }
            return (counts(over: 60), counts(over: 3_600))
        }

        /// Events in the spool so many seconds ago; nil when that was not sampled.
        func waiting(secondsAgo seconds: Double) -> Double? {
            let sample = base(seconds)
            return age(of: sample) > seconds - 10 ? sample.waiting : nil
        }

        /// The hour, sample by sample.
        var intervals: [Interval] { zip(samples, samples.dropFirst()).map { interval(from: $0, to: $1) } }

        private func interval(from: Sample, to: Sample) -> Interval {
            interval(from: from, to: to, per: max(0.001, Double(to.at &- from.at) / 1e9))
        }

        /// - Parameter seconds: what counts are divided by; nil for the counts themselves.
        private func interval(from: Sample, to: Sample, per seconds: Double?) -> Interval {
            let seconds = seconds ?? 1
            func rate(_ names: [String]) -> Double { max(0, sum(names, in: to) - sum(names, in: from)) / seconds }
            let counts = from.durable.isEmpty ? to.durable : zip(to.durable, from.durable).map { $0 &- $1 }
            return Interval(
                end: to.at, accepted: rate(StatusHistory.accepted), unavailable: rate(StatusHistory.unavailable),
                hedged: rate(["smsbridge_events_hedged_total"]),
                p50: StatusHistory.quantile(0.5, counts, history.bounds),
                p99: StatusHistory.quantile(0.99, counts, history.bounds), waiting: to.waiting)
        }
    }

    /// A quantile from counts per bucket, linear within a bucket as Prometheus has it; the highest bound when it lies
    /// beyond.
    static func quantile(_ share: Double, _ counts: [UInt64], _ bounds: [Double]) -> Double? {
        let total = counts.reduce(0, &+)
        guard total > 0, counts.count == bounds.count + 1 else { return nil }
        let rank = share * Double(total)
        var below = 0.0
        for (index, bound) in bounds.enumerated() {
            let count = Double(counts[index])
            if below + count >= rank, count > 0 {
                let low = index == 0 ? 0 : bounds[index - 1]
                return low + (bound - low) * (rank - below) / count
            }
            below += count
        }
        return bounds.last
    }
}
