internal import SMSBridgeKafka
internal import SMSBridgeSpool
package import SMSBridgeTelemetry
internal import SMSPortalEvents

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// What the publisher counts. docs/operate.md says what to do when a figure moves.
package struct PublisherMetrics: Sendable {
    private let acknowledged: [Counter]
    private let spooled: [Counter]
    private let drained: [Counter]
    private let unavailable: [[Counter]]
    private let answer: Histogram
    private let lastEvent: [Gauge]
    private let laneState: [Gauge]
    private let rows: [Gauge]
    private let bytes: [Gauge]
    private let oldest: [Gauge]
    private let parked: Gauge
    private let freeBytes: Gauge
    private let pendingDeletes: Gauge
    private let writeErrors: [Gauge]
    private let takesEvents: Gauge
    private let laneInFlight: [Gauge]
    let maxSpoolBytes: Gauge
    let spoolOpen: Gauge
    let spoolRemovals: Counter
    let filesSetAside: Gauge
    private let inFlight: Gauge
    private let inFlightBytes: Gauge
    private let hedged: Counter
    private let closed: Counter
    private let quarantined: Counter
    private let overtaking: Counter
    private let lateAcknowledged: Counter
    private let lateFailed: Counter
    let recreations: Counter
    let clusterChanges: Counter
    let logResets: Counter
    private let unconfirmed: Counter
    private let bypasses: Counter
    private let bypassedEvents: Counter
    private let bypassing: Gauge
    private let timestampsRejected: Counter
    private let timestampsReplaced: Counter
    private let audits: [Counter]
    private let registry: MetricRegistry

    package init(_ registry: MetricRegistry) {
        self.registry = registry
        func perTopic<Instrument>(_ make: ([(String, String)]) -> Instrument) -> [Instrument] {
            EventTopic.allCases.map { make([("topic", $0.suffix)]) }
        }
        acknowledged = perTopic {
            registry.counter(
                "smsbridge_events_acknowledged_total", help: "Events answered 200 because Kafka has acknowledged them.",
                labels: $0)
        }
        spooled = perTopic {
            registry.counter(
                "smsbridge_events_spooled_total", help: "Events answered 200 because the spool has them on disk.",
                labels: $0)
        }
        drained = perTopic {
            registry.counter(
                "smsbridge_spool_drained_total", help: "Events of the spool that Kafka has acknowledged.", labels: $0)
        }
        unavailable = EventTopic.allCases.map { topic in
            PublishOutcome.Reason.allCases.map {
                registry.counter(
                    "smsbridge_events_unavailable_total",
                    help: "Events that could not be made durable and were answered 503, by topic and reason.",
                    labels: [("topic", topic.suffix), ("reason", $0.rawValue)])
            }
        }
        answer = registry.histogram(
            "smsbridge_durable_seconds",
            help: "From an event's last byte until it was durable, in Kafka or in the spool.",
            buckets: Histogram.latencyBounds)
        lastEvent = perTopic {
            registry.gauge(
                "smsbridge_last_event_timestamp_seconds",
                help: "When the last event of a topic became durable, UNIX time; 0 when none did since the start.",
                labels: $0)
        }
        laneState = perTopic {
            registry.gauge(
                "smsbridge_topic_state",
                help: "Which way events of a topic go: 0 to Kafka, 1 to the spool, 2 to the spool while it is drained.",
                labels: $0)
        }
        rows = perTopic { registry.gauge("smsbridge_spool_events", help: "Events in the spool.", labels: $0) }
        bytes = perTopic { registry.gauge("smsbridge_spool_bytes", help: "Bytes of records in the spool.", labels: $0) }
        oldest = perTopic {
            registry.gauge(
                "smsbridge_spool_oldest_timestamp_seconds",
                help: "When the oldest event in the spool was received, UNIX time; 0 when there is none.", labels: $0)
        }
        parked = registry.gauge(
            "smsbridge_spool_parked_events",
            help: "Records that their topic and the quarantine topic reject, kept in the spool.")
        freeBytes = registry.gauge("smsbridge_spool_disk_free_bytes", help: "Free space on the spool's disk.")
        pendingDeletes = registry.gauge(
            "smsbridge_spool_pending_deletes",
            help: "Delivered events that are still in the spool's file, because the disk does not take their delete.")
        writeErrors = SpoolError.Code.allCases.map {
            registry.gauge(
                "smsbridge_spool_write_error",
                help: "1 while changes to the spool's file fail with this error, else 0.",
                labels: [("error", $0.rawValue)])
        }
        takesEvents = registry.gauge(
            "smsbridge_spool_writable",
            help: "Whether the spool can store an event now, its disk and its bound permitting: 1 or 0.")
        laneInFlight = perTopic {
            registry.gauge(
                "smsbridge_topic_in_flight_events", help: "Events of a topic that Kafka has not acknowledged yet.",
                labels: $0)
        }
        maxSpoolBytes = registry.gauge(
            "smsbridge_spool_max_bytes",
            help: "The most that the records in the spool may take, half of it for one topic; 0 without a spool.")
        spoolOpen = registry.gauge(
            "smsbridge_spool_open",
            help: "1 while the spool's file is open; at 0 the other figures of the spool are those of when it last was."
        )
        spoolRemovals = registry.counter(
            "smsbridge_spool_removals_total", help: "Times that the spool's files were removed while they were open.")
        filesSetAside = registry.gauge(
            "smsbridge_spool_corrupt_files",
            help: "Corrupt database files in the spool's folder that were moved aside.")
        inFlight = registry.gauge(
            "smsbridge_in_flight_events", help: "Events on their way to Kafka or to the spool.")
        inFlightBytes = registry.gauge(
            "smsbridge_in_flight_bytes", help: "Bytes of the records on their way to Kafka or to the spool.")
        hedged = registry.counter(
            "smsbridge_events_hedged_total",
            help: "Events spooled because their acknowledgement was later than publish.hedge.")
        closed = registry.counter("smsbridge_topic_spooling_total", help: "Times that a lane was closed.")
        quarantined = registry.counter(
            "smsbridge_records_rejected_total",
            help: "Records rejected by the broker; they went to the quarantine topic or are parked.")
        overtaking = registry.counter(
            "smsbridge_events_reordered_total",
            help:
                "Events acknowledged before an earlier event of their topic whose record was rejected."
        )
        let lateHelp = "Delivery reports that came after the caller had been answered 503, by result."
        lateAcknowledged = registry.counter(
            "smsbridge_late_reports_total", help: lateHelp, labels: [("result", "acknowledged")])
        lateFailed = registry.counter("smsbridge_late_reports_total", help: lateHelp, labels: [("result", "failed")])
        recreations = registry.counter(
            "smsbridge_producer_recreations_total",
            help: "Producers recreated after a fatal error, another cluster, a reset log or new certificates.")
        clusterChanges = registry.counter(
            "smsbridge_kafka_cluster_changes_total",
            help: "Times that kafka.bootstrapServers led to a cluster with another id than before.")
        logResets = registry.counter(
            "smsbridge_kafka_log_resets_total",
            help:
                "Times that a partition's log ended before an acknowledged offset: it was wiped, recreated or truncated."
        )
        unconfirmed = registry.counter(
            "smsbridge_kafka_unconfirmed_reports_total",
            help: "Delivery reports held until the cluster's id was confirmed after a new connection.")
        bypasses = registry.counter(
            "smsbridge_spool_bypasses_total",
            help: "Times that a topic's new events began to go to Kafka past a backlog that the spool's disk held up.")
        bypassedEvents = registry.counter(
            "smsbridge_spool_bypassed_events_total",
            help: "Events handed to Kafka before older ones of their topic that are in the spool.")
        bypassing = registry.gauge(
            "smsbridge_spool_bypassing_topics", help: "Topics whose new events go to Kafka past a backlog in the spool."
        )
        audits = ["match", "mismatch", "unreadable"].map {
            registry.counter(
                "smsbridge_audit_records_total",
                help: "Acknowledged records read back at their offset, by result (durability.audit).",
                labels: [("result", $0)])
        }
        timestampsRejected = registry.counter(
            "smsbridge_timestamps_rejected_total",
            help:
                "Records whose timestamp Kafka rejected: a clock is wrong, or the event is older than the topic allows."
        )
        timestampsReplaced = registry.counter(
            "smsbridge_timestamps_replaced_total",
            help: "Records delivered with the time of the attempt, after Kafka had rejected their own timestamp.")
    }

    func unconfirmedReports(_ count: Int) { unconfirmed.raise(to: UInt64(count)) }

    func audited(_ finding: RecordAudit.Finding) {
        switch finding {
        case .matches: audits[0].increment()
        case .differs: audits[1].increment()
        case .unreadable: audits[2].increment()
        }
    }

    func durable(after nanoseconds: UInt64) {
        answer.observe(nanoseconds: nanoseconds)
    }

    func unavailable(_ topic: Int, _ reason: PublishOutcome.Reason) {
        guard let position = PublishOutcome.Reason.allCases.firstIndex(of: reason) else { return }
        unavailable[topic][position].increment()
    }

    /// What the spool's file holds.
    func spool(_ totals: [SpoolTotals], oldest times: [Int64?], parked count: Int64, disk: SpoolDisk) {
        for lane in totals.indices {
            rows[lane].set(Double(totals[lane].rows))
            bytes[lane].set(Double(totals[lane].bytes))
            oldest[lane].set(Double(times[lane] ?? 0) / 1_000)
        }
        parked.set(Double(count))
        freeBytes.set(Double(disk.freeBytes))
        pendingDeletes.set(Double(disk.pendingDeletes))
        for (code, gauge) in zip(SpoolError.Code.allCases, writeErrors) {
            gauge.set(disk.writeError?.code == code ? 1 : 0)
        }
        filesSetAside.set(Double(disk.quarantinedFiles))
    }

    /// The core counts in plain integers on the loop; they are carried over from time to time.
    func update(from core: borrowing PublisherCore, now: UInt64) {
        inFlight.set(Double(core.events.count))
        inFlightBytes.set(Double(core.events.bytes))
        takesEvents.set(core.hasSpoolRoom(now: now) ? 1 : 0)
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        let seconds = Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
        for lane in core.queues.indices {
            let before = acknowledged[lane].value + spooled[lane].value
            acknowledged[lane].raise(to: UInt64(core.counters.acknowledged[lane]))
            spooled[lane].raise(to: UInt64(core.counters.spooled[lane]))
            if acknowledged[lane].value + spooled[lane].value > before { lastEvent[lane].set(seconds) }
            drained[lane].raise(to: UInt64(core.counters.drained[lane]))
            laneInFlight[lane].set(Double(core.queues[lane].sent))
            switch core.queues[lane].state {
            case .direct: laneState[lane].set(0)
            case .spooling: laneState[lane].set(1)
            case .draining: laneState[lane].set(2)
            }
        }
        hedged.raise(to: UInt64(core.counters.hedged))
        closed.raise(to: UInt64(core.counters.spooling))
        bypasses.raise(to: UInt64(core.counters.bypasses))
        bypassedEvents.raise(to: UInt64(core.counters.bypassedEvents))
        bypassing.set(Double(core.queues.count { $0.isBypassing }))
        timestampsRejected.raise(to: UInt64(core.counters.timestampsRejected))
        timestampsReplaced.raise(to: UInt64(core.counters.timestampsReplaced))
        quarantined.raise(to: UInt64(core.counters.quarantined + core.counters.parked))
        overtaking.raise(to: UInt64(core.counters.overtaking))
        lateAcknowledged.raise(to: UInt64(core.counters.lateAcknowledged))
        lateFailed.raise(to: UInt64(core.counters.lateFailed))
    }

    /// Kafka's errors are a closed set of a hundred names; each is registered when it is first met.
    func kafkaError(_ code: KafkaError.Code, kind: String) {
        registry.counter(
            "smsbridge_kafka_errors_total", help: "Errors of Kafka and librdkafka, by kind and name.",
            labels: [("kind", kind), ("error", code.description)]
        ).increment()
    }
}
