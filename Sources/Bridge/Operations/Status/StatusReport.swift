internal import SMSBridgeTelemetry

/// The content of the status page at one moment.
struct StatusReport {
    struct Topic {
        let name: String
        /// As `smsbridge_topic_state`.
        let state: Int
        let inFlight: Double
        let waiting: Double
        let waitingBytes: Double
        /// Seconds; nil without a backlog.
        let oldestAge: Double?
        /// Seconds since an event became durable; nil for none since the start.
        let lastEventAge: Double?
        /// Nil when unknown.
        let isDurable: Bool?
        let replication: Int?
        let minInSyncReplicas: Int?
        let allowsUncleanElection: Bool?

        var stateName: String { state == 0 ? "direct" : state == 1 ? "spooling" : "draining" }
    }

    struct Spool {
        let takesEvents: Bool
        let maxBytes: Double
        let diskFreeBytes: Double
        let parked: Double
        let setAsideFiles: Double
    }

    struct Outcome {
        let name: String
        let lastMinute: Double
        let lastHour: Double
        let sinceStart: Double
    }

    let instance: InstanceDescription
    /// UNIX time, seconds.
    let time: Double
    let startedAt: Double?
    let unmet: [(name: String, reason: String)]
    let alerts: [String: String]
    /// How long the public event loop has been blocked, in seconds.
    let silence: Double
    let isKafkaUp: Bool
    /// Whether `durability.development` is set.
    let isDevelopment: Bool
    let topics: [Topic]
    /// Nil without a spool.
    let spool: Spool?
    let history: StatusHistory.View
    let outcomes: [Outcome]
    let openDescriptors: Double?
    let maxDescriptors: Double?
    let residentBytes: Double?
    let connections: Double
    let inFlight: Double
    let findings: [StatusFinding]

    var title: String { instance.title }
    var runbook: Runbook { Runbook(url: instance.runbookURL) }
    var isReady: Bool { unmet.isEmpty }
    var waiting: Double { topics.reduce(0) { $0 + $1.waiting } }
    var waitingBytes: Double { topics.reduce(0) { $0 + $1.waitingBytes } }
    var oldestAge: Double? { topics.compactMap(\.oldestAge).max() }
    var uptime: Double? { startedAt.map { max(0, time - $0) } }
    /// `critical`, `warning` or `ok`: a notice counts as `ok`.
    var state: String {
        findings.first.map { $0.severity == .notice ? "ok" : $0.severity.name } ?? "ok"
    }

    /// - Parameters:
    ///   - snapshot: The current metrics, collected gauges included.
    ///   - time: UNIX time, seconds.
    init(
        instance: InstanceDescription, snapshot: MetricSnapshot, history: StatusHistory.View,
        readiness: ServiceReadiness,
        silence: Double, time: Double
    ) {
        self.instance = instance
        self.time = time
        self.silence = silence
        self.history = history
        let conditions = readiness.conditions
        unmet = conditions.unmet.sorted { $0.key < $1.key }.map { (name: $0.key, reason: $0.value) }
        alerts = conditions.alerts
        startedAt = snapshot.value("process_start_time_seconds")
        isKafkaUp = snapshot.value("smsbridge_kafka_up") == 1
        isDevelopment = snapshot.value("smsbridge_development_mode") == 1
        func age(_ name: String, _ topic: String) -> Double? {
            guard let since = snapshot.value(name, "topic", topic), since > 0 else { return nil }
            return max(0, time - since)
        }
        func known(_ name: String, _ topic: String) -> Double? {
            guard let value = snapshot.value(name, "topic", topic), value >= 0 else { return nil }
            return value
        }
        let ordered = snapshot["smsbridge_topic_state"]
        let last = ["test", "quarantine"]
        topics = (ordered.filter { !last.contains($0["topic"]) } + ordered.filter { last.contains($0["topic"]) }).map {
            sample in
            let topic = sample["topic"]
            func value(_ name: String) -> Double { snapshot.value(name, "topic", topic) ?? 0 }
            return Topic(
                name: topic, state: Int(sample.value), inFlight: value("smsbridge_topic_in_flight_events"),
                waiting: value("smsbridge_spool_events"), waitingBytes: value("smsbridge_spool_bytes"),
                oldestAge: age("smsbridge_spool_oldest_timestamp_seconds", topic),
                lastEventAge: age("smsbridge_last_event_timestamp_seconds", topic),
                isDurable: known("smsbridge_topic_durability", topic).map { $0 == 1 },
                replication: known("smsbridge_topic_replication", topic).map { Int($0) },
                minInSyncReplicas: known("smsbridge_topic_min_insync_replicas", topic).map { Int($0) },
                allowsUncleanElection: known("smsbridge_topic_unclean_election", topic).map { $0 == 1 })
        }
        func value(_ name: String) -> Double { snapshot.value(name) ?? 0 }
        let maxBytes = value("smsbridge_spool_max_bytes")
        spool =
            maxBytes > 0
            ? Spool(
                takesEvents: value("smsbridge_spool_writable") == 1, maxBytes: maxBytes,
                diskFreeBytes: value("smsbridge_spool_disk_free_bytes"),
                parked: value("smsbridge_spool_parked_events"), setAsideFiles: value("smsbridge_spool_corrupt_files"))
            : nil
        outcomes = Self.outcomes(snapshot, history)
        openDescriptors = snapshot.value("process_open_fds")
        maxDescriptors = snapshot.value("process_max_fds")
        residentBytes = snapshot.value("process_resident_memory_bytes")
        connections = value("smsbridge_http_connections")
        inFlight = value("smsbridge_in_flight_events")
        var findings: [StatusFinding] = []
        Self.evaluate(
            Evidence(
                snapshot: snapshot, history: history, unmet: unmet, alerts: alerts, silence: silence,
                isKafkaUp: isKafkaUp, topics: topics, spool: spool, time: time),
            &findings)
        // The worst first, else in the order in which they were found: causes before what follows from them.
        self.findings = StatusFinding.Severity.allCases.reversed().flatMap { severity in
            findings.filter { $0.severity == severity }
        }
    }

    /// Requests by outcome, without health checks of load balancers.
    private static func outcomes(_ snapshot: MetricSnapshot, _ history: StatusHistory.View) -> [Outcome] {
        let counters: [(metric: String, label: String, value: String?, name: String)] = [
            ("smsbridge_events_acknowledged_total", "", nil, "200, event in Kafka"),
            ("smsbridge_events_spooled_total", "", nil, "200, event in the spool"),
            ("smsbridge_events_unavailable_total", "", nil, "503, event not durable"),
            ("smsbridge_http_memory_rejected_total", "", nil, "503, request memory limit"),
            ("smsbridge_http_connections_rejected_total", "", nil, "503, connection limit"),
            ("smsbridge_http_responses_total", "status", "400", "400, invalid HTTP"),
            ("smsbridge_http_responses_total", "status", "401", "401, secret missing or wrong"),
            ("smsbridge_http_responses_total", "status", "404", "404, unknown path"),
            ("smsbridge_http_responses_total", "status", "405", "405, method not allowed"),
            ("smsbridge_http_responses_total", "status", "408", "408, request timeout"),
            ("smsbridge_http_responses_total", "status", "413", "413, body too large"),
            ("smsbridge_http_responses_total", "status", "414", "414, URL too long"),
            ("smsbridge_http_responses_total", "status", "417", "417, unsupported Expect header"),
            ("smsbridge_http_responses_total", "status", "431", "431, headers too large"),
        ]
        return counters.map { metric, label, value, name in
            Outcome(
                name: name, lastMinute: history.increase(metric, value, over: 60),
                lastHour: history.increase(metric, value, over: 3_600),
                sinceStart: snapshot[metric].filter { value == nil || $0[label] == value }.reduce(0) { $0 + $1.value })
        }
    }
}
