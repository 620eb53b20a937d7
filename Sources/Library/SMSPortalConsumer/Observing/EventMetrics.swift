internal import SMSBridgeTelemetry
internal import SMSPortalEvents

/// The instruments of the consumers of a process, as text for Prometheus.
public final class EventMetrics: Sendable {
    let registry: MetricRegistry

    /// Instruments that count nothing yet.
    public init() { registry = MetricRegistry() }

    init(mirror: any MetricMirror) { registry = MetricRegistry(mirror: mirror) }

    /// All instruments as Prometheus text, format 0.0.4, to be served as `text/plain; version=0.0.4; charset=utf-8`.
    public func prometheusText() -> String {
        String(decoding: registry.render(), as: UTF8.self)
    }
}

/// The instruments of one consumer.
struct ConsumerMetrics: Sendable {
    /// The final outcome of an event.
    enum Outcome: Int, CaseIterable {
        case handled, deadLettered, parked, skipped, duplicate, ignored

        var label: String { self == .deadLettered ? "dead-lettered" : "\(self)" }
    }

    private struct OfType: Sendable {
        let outcomes: [Counter]
        let failed: Counter
        let retried: Counter
        let handlerTime: Histogram
        let age: Histogram
    }

    private let types: [OfType]
    private let registry: MetricRegistry
    private let group: String
    let undecodable: Counter
    let deadLetterFailures: Counter
    let claimFailures: Counter
    let commitFailures: Counter
    let offsetsOutOfRange: Counter
    let topicsRecreated: Counter
    let clusterChanges: Counter
    let tombstones: Counter
    let releasedEvents: Counter
    let overdueHandlers: Counter
    let rebalances: Counter
    let running: Gauge
    let bufferedEvents: Gauge
    let bufferedBytes: Gauge
    let pausedPartitions: Gauge

    /// Bounds for ages in seconds: from what is fresh to a day, which a backlog reaches.
    static let ageBounds: [Double] = [
        0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 14_400, 86_400,
    ]

    init(_ metrics: EventMetrics, group: String) {
        let registry = metrics.registry
        self.registry = registry
        self.group = group
        func name(_ name: String) -> String { "smsportal_consumer_\(name)" }
        types = EventType.allCases.map { type in
            let labels = [("group", group), ("type", type.rawValue)]
            return OfType(
                outcomes: Outcome.allCases.map {
                    registry.counter(
                        name("events_total"), help: "Events by outcome.",
                        labels: labels + [("outcome", $0.label)])
                },
                failed: registry.counter(
                    name("failed_attempts_total"), help: "Attempts in which a handler threw.", labels: labels),
                retried: registry.counter(
                    name("retries_total"), help: "Attempts after the first.", labels: labels),
                handlerTime: registry.histogram(
                    name("handler_seconds"), help: "Time that handlers took.", labels: labels),
                age: registry.histogram(
                    name("age_seconds"), help: "Time from the reception of a callback to the end of its handling.",
                    labels: labels, buckets: Self.ageBounds))
        }
        let labels = [("group", group)]
        undecodable = registry.counter(
            name("undecodable_total"), help: "Records that are no events.", labels: labels)
        deadLetterFailures = registry.counter(
            name("dead_letter_failures_total"), help: "Dead letters that Kafka did not take; they are tried again.",
            labels: labels)
        claimFailures = registry.counter(
            name("claim_failures_total"), help: "Calls to the store of processed events that threw.", labels: labels)
        commitFailures = registry.counter(
            name("commit_failures_total"), help: "Commits of offsets that failed.", labels: labels)
        offsetsOutOfRange = registry.counter(
            name("offsets_out_of_range_total"), help: "Committed offsets that were not in the partition any more.",
            labels: labels)
        topicsRecreated = registry.counter(
            name("topics_recreated_total"),
            help: "Partitions read from their beginning because their topic was deleted and created again.",
            labels: labels)
        clusterChanges = registry.counter(
            name("cluster_changes_total"),
            help: "Times that the address led to another cluster, or that committed offsets came from one.",
            labels: labels)
        tombstones = registry.counter(
            name("tombstones_total"), help: "Records without a value; they are skipped.", labels: labels)
        releasedEvents = registry.counter(
            name("released_events_total"),
            help: "Events that were read and released, because their numbers held too many; they are read again.",
            labels: labels)
        overdueHandlers = registry.counter(
            name("overdue_handlers_total"),
            help: "Handlers that ran for half a minute, or beyond their attempt timeout.",
            labels: labels)
        rebalances = registry.counter(
            name("rebalances_total"), help: "Times that the group gave or took partitions.", labels: labels)
        running = registry.gauge(name("running"), help: "Events that are being handled.", labels: labels)
        bufferedEvents = registry.gauge(
            name("buffered_events"), help: "Events that are held, waiting or being handled.", labels: labels)
        bufferedBytes = registry.gauge(
            name("buffered_bytes"), help: "Bytes of the events that are held.", labels: labels)
        pausedPartitions = registry.gauge(
            name("paused_partitions"), help: "Partitions paused because the buffer is full.", labels: labels)
    }

    func count(_ outcome: Outcome, _ type: EventType, by count: UInt64 = 1) {
        types[type.index].outcomes[outcome.rawValue].increment(by: count)
    }

    /// So many events took so long on average, and were so old at the end of their handling.
    ///
    /// - Parameter ages: counts per bound of ``ageBounds``, in milliseconds, and what exceeds all.
    func handled(
        _ type: EventType, count: UInt64, nanoseconds: UInt64, ages: UnsafeBufferPointer<UInt64>, ageSum: UInt64
    ) {
        types[type.index].outcomes[Outcome.handled.rawValue].increment(by: count)
        types[type.index].handlerTime.observe(nanoseconds: nanoseconds / count, count: count)
        types[type.index].age.observe(counts: ages, nanoseconds: ageSum &* 1_000_000)
    }

    func failed(_ type: EventType) { types[type.index].failed.increment() }
    func retried(_ type: EventType) { types[type.index].retried.increment() }

    func handled(_ type: EventType, nanoseconds: UInt64) {
        types[type.index].handlerTime.observe(nanoseconds: nanoseconds)
    }

    func aged(_ type: EventType, milliseconds: Int64) {
        types[type.index].age.observe(nanoseconds: UInt64(max(0, milliseconds)) &* 1_000_000)
    }

    /// How far a partition is behind: unfinished events included.
    func setLag(_ lag: Int64, span: Int64, topic: String, partition: Int32) {
        let labels = [("group", group), ("topic", topic), ("partition", String(partition))]
        registry.gauge(
            "smsportal_consumer_lag", help: "Events of the partition that are not done.", labels: labels
        ).set(Double(lag))
        registry.gauge(
            "smsportal_consumer_span", help: "Offsets between the first unfinished event and the last one read.",
            labels: labels
        ).set(Double(span))
    }

    /// Removes all instruments of the group: they would otherwise stay as long as the process.
    func remove() { registry.removeAll(labelled: "group", group) }

    /// The partition has gone to another member, which tells its lag now.
    func forget(topic: String, partition: Int32) {
        let labels = [("group", group), ("topic", topic), ("partition", String(partition))]
        for name in ["smsportal_consumer_lag", "smsportal_consumer_span"] { registry.remove(name, labels: labels) }
    }
}
