internal import SMSBridgeTelemetry

extension StatusReport {
    /// What the findings are made of.
    struct Evidence {
        let snapshot: MetricSnapshot
        let history: StatusHistory.View
        let unmet: [(name: String, reason: String)]
        let alerts: [String: String]
        let silence: Double
        let isKafkaUp: Bool
        let topics: [Topic]
        let spool: Spool?
        /// UNIX time.
        let time: Double
    }

    /// How long a past event is shown, in seconds.
    private static let moment = 60.0

    /// Evaluates the conditions of deploy/prometheus/alerts.yml with their thresholds but without their `for` durations: the
    /// page shows the present state, an alert a state that lasts.
    static func evaluate(_ evidence: Evidence, _ findings: inout [StatusFinding]) {
        func add(_ severity: StatusFinding.Severity, _ alert: String?, _ title: String, _ advice: String) {
            findings.append(StatusFinding(alert: alert, severity: severity, title: title, advice: advice))
        }
        evaluateService(evidence, add)
        evaluateKafka(evidence, add)
        evaluateSpool(evidence, add)
        evaluateCallers(evidence, add)
        evaluateFiles(evidence, add)
        evaluateProcess(evidence, add)
        for (name, reason) in uncovered(evidence.alerts) {
            add(.warning, nil, Figure.sentence(reason), "See the log, and \(name) in /readyz.")
        }
    }

    /// Alerts that no finding covers under another name.
    static func uncovered(_ alerts: [String: String]) -> [(name: String, reason: String)] {
        alerts.filter { !covered.contains($0.key) }.sorted { $0.key < $1.key }.map { (name: $0.key, reason: $0.value) }
    }

    private static let covered: Set = [
        "kafka", "spool", "topics", "setAside", "spooled", "tls", "secrets", "authentication", "proxies", "clock",
        "cluster",
        "spoolDisk", "kafkaCertificates",
    ]

    private typealias Add = (StatusFinding.Severity, String?, String, String) -> Void

    private static func evaluateService(_ evidence: Evidence, _ add: Add) {
        if evidence.silence > 2 {
            add(
                .critical, "SmsbridgeLoopStalled",
                "The event loop of the public port has been blocked for \(Figure.duration(evidence.silence))",
                "No request is answered, and the figures below are as old. The machine is paused or out of CPU. After 5 s "
                    + "/healthz fails and the supervisor restarts the process.")
        }
        for (name, reason) in evidence.unmet {
            switch name {
            case "starting", "stopping":
                add(.notice, nil, Figure.sentence(reason), "No action needed.")
            default:
                add(
                    .critical, "SmsbridgeNotReady", "Not ready, callbacks are rejected with 503: \(reason)",
                    "The vendor retries a callback five times at most. Fix the cause that is named; no restart is "
                        + "needed.")
            }
        }
        for (reason, count) in evidence.history.grown("smsbridge_events_unavailable_total", over: moment) {
            add(
                .critical, "SmsbridgeEventsUnavailable",
                "\(Figure.count(count, of: "callback")) rejected with 503 in the last minute: \(reason)",
                unavailableAdvice[reason] ?? "The vendor retries them.")
        }
    }

    private static let unavailableAdvice = [
        "deadline":
            "Neither Kafka nor the spool acknowledged within publish.deadline. Check the brokers and the spool's disk.",
        "in_flight_limit":
            "Callbacks arrive faster than Kafka acknowledges, publish.maxInFlight is reached. Check the brokers.",
        "failed": "The produce request failed, and the spool could not store the events. The log has the error.",
        "spool_full": "Restore Kafka, or raise spool.maxBytes.",
        "spool_failed": "Check the disk of spool.path: full, read-only or failing. The log has the error.",
        "recreating_producer": "The producer is being recreated after a fatal error.",
        "not_durable": "durability.strict is true, and topics are not durable: correct the topics below.",
        "stopping": "The bridge is shutting down.",
    ]

    private static func evaluateKafka(_ evidence: Evidence, _ add: Add) {
        let kept =
            evidence.spool?.takesEvents == true
            ? " Events are stored in the spool, and callbacks are answered 200." : ""
        if !evidence.isKafkaUp {
            add(
                .critical, "SmsbridgeKafkaDown", "Kafka does not answer",
                "Check the brokers, the network and the credentials.\(kept)")
        } else if let reason = evidence.alerts["kafka"] {
            add(
                .critical, "SmsbridgeKafkaSlow", Figure.sentence(reason),
                "The cluster answers metadata requests, but does not acknowledge events in time. Check the brokers' load and "
                    + "disks, the in-sync replicas, and the ACLs.\(kept)")
        }
        if let reason = evidence.alerts["cluster"] {
            add(
                .critical, "SmsbridgeKafkaClusterChanged", Figure.sentence(reason),
                "Events in flight were sent again to the new cluster, and the spool is drained to it. If that is the wrong cluster, "
                    + "correct kafka.bootstrapServers or its DNS name, then copy the topics; consumers must not resume at the old offsets."
            )
        }
        if evidence.history.increase("smsbridge_audit_records_total", "mismatch", over: 3_600) > 0 {
            add(
                .critical, "SmsbridgeAuditMismatch", "An acknowledged record is missing in Kafka",
                "The log has topic, partition and offset. Events in flight were sent again; events acknowledged shortly before may be "
                    + "lost. Check whether the cluster behind kafka.bootstrapServers was wiped or restored.")
        }
        if evidence.history.increase("smsbridge_kafka_log_resets_total", over: 3_600) > 0 {
            add(
                .critical, "SmsbridgeKafkaLogReset", "A partition log was reset or truncated within the last hour",
                "Acknowledged records may be lost; the log has the partitions. Causes: a deleted topic, wiped volumes, "
                    + "an unclean leader election. Events in flight were sent again.")
        }
        if evidence.history.increase("smsbridge_timestamps_rejected_total", over: moment) > 0 {
            add(
                .critical, "SmsbridgeTimestampsRejected", "Kafka rejects the timestamps of events",
                "The clock of this machine or of a broker is wrong: timedatectl, chronyc tracking. The events stay in the spool until "
                    + "the clock is right.")
        }
        if let reason = evidence.alerts["clock"] {
            add(
                .warning, "SmsbridgeClockStepped", Figure.sentence(reason),
                "Events received before the step have a wrong time. Check time synchronisation: timedatectl, chronyc tracking."
            )
        }
        // Right after boot the time service has not synchronised yet.
        if evidence.snapshot.value("smsbridge_clock_synchronized") == 0,
            let start = evidence.snapshot.value("process_start_time_seconds"), evidence.time - start > 3_600
        {
            add(
                .notice, "SmsbridgeClockUnsynchronized", "The machine's clock is not synchronised",
                "adjtimex reports it. Start a time service (chrony, systemd-timesyncd) on the host.")
        }
        let errors = evidence.history.grown("smsbridge_kafka_errors_total", over: moment)
        let spooling = evidence.topics.filter { $0.state == 1 }.map(\.name)
        if !spooling.isEmpty {
            let named = errors.isEmpty ? "" : " Its last errors: \(errors.map(\.value).joined(separator: ", "))."
            let cause =
                evidence.isKafkaUp
                ? "Events of these types are stored in the spool. Only some topics: a missing topic, a missing ACL, or too few in-sync "
                    + "replicas. All topics: the brokers."
                : "Events of these types are stored in the spool, and drained when Kafka answers again."
            add(
                .critical, "SmsbridgeTopicSpooling", "Topic not writable: \(spooling.joined(separator: ", "))",
                cause + named)
        } else if !errors.isEmpty {
            add(
                .warning, "SmsbridgeKafkaErrors",
                "Kafka rejected produce requests: \(errors.map(\.value).joined(separator: ", "))",
                "The error names the cause: ACLs, record size, a missing topic, too few replicas. The events are in the spool and "
                    + "are retried.")
        }
        let minute = evidence.history
        let spooled = minute.increase("smsbridge_events_spooled_total", over: moment)
        let acknowledged = minute.increase("smsbridge_events_acknowledged_total", over: moment)
        if spooled > 0.1 * (spooled + acknowledged), evidence.isKafkaUp, evidence.alerts["kafka"] == nil,
            spooling.isEmpty
        {
            add(
                .warning, "SmsbridgeKafkaSlow",
                "\(Figure.percent(spooled / (spooled + acknowledged))) of the events of the last minute were stored in the spool",
                "Kafka acknowledged later than publish.hedge. If it persists, check the brokers.")
        }
        // A drain of a moment follows every hedge.
        let draining = evidence.topics.filter { $0.state == 2 && ($0.oldestAge ?? 0) > 5 }
        if !draining.isEmpty {
            add(
                .notice, nil,
                "The spool is being drained: \(draining.map(\.name).joined(separator: ", "))",
                "\(Figure.count(draining.reduce(0) { $0 + $1.waiting }, of: "event")) left, published in order. No action needed."
            )
        }
        let weak = evidence.topics.filter { $0.isDurable == false }
        if !weak.isEmpty, evidence.snapshot.value("smsbridge_development_mode") == 1 {
            add(
                .notice, nil, "Development mode: acknowledged events can be lost",
                "durability.development is true; not durable: \(Figure.count(Double(weak.count), of: "topic")) of the table."
            )
        } else if !weak.isEmpty {
            add(
                .critical, "SmsbridgeTopicNotDurable",
                "Topic not durable, acknowledged events can be lost: \(weak.map(\.name).joined(separator: ", "))",
                "Required: replication 3, min.insync.replicas 2, no unclean leader election; the table of topics has the actual "
                    + "values. smsbridge check prints the commands that correct the topics; no restart is needed.")
        }
        let unknown = evidence.topics.filter { $0.isDurable == nil }
        if !unknown.isEmpty, evidence.isKafkaUp {
            add(
                .notice, "SmsbridgeTopicDurabilityUnknown",
                "Topic durability unknown: \(unknown.map(\.name).joined(separator: ", "))",
                "Right after the start: not checked yet. Otherwise a topic is missing, or the user lacks the ACL operation "
                    + "DescribeConfigs.")
        }
        let recreated = minute.increase("smsbridge_producer_recreations_total", over: 3_600)
        if recreated > 1 {
            add(
                .warning, "SmsbridgeProducerRecreated",
                "The producer was recreated \(Figure.count(recreated)) times in the last hour",
                "After fatal errors, which are in the log. No event is lost; please report it.")
        }
        if minute.increase("smsbridge_records_rejected_total", over: moment) > 0 {
            add(
                .warning, "SmsbridgeRecordsRejected", "Kafka rejects individual records",
                "They are in the quarantine topic or parked in the spool. Raise max.message.bytes of the topics.")
        }
    }

    private static func evaluateSpool(_ evidence: Evidence, _ add: Add) {
        guard let spool = evidence.spool else { return }
        if !spool.takesEvents, evidence.unmet.allSatisfy({ $0.name != "starting" }) {
            add(
                .critical, "SmsbridgeSpoolUnavailable", "The spool cannot store events",
                "If Kafka goes down now, callbacks are rejected with 503. The disk is full, read-only or failing, or spool.maxBytes is "
                    + "reached: see the log. Retried every second; no restart is needed.")
        }
        if let reason = evidence.alerts["spoolDisk"] {
            add(
                .critical, "SmsbridgeSpoolBypassed", Figure.sentence(reason),
                "New events go to Kafka, and callbacks are answered 200. The backlog follows when the disk responds: check the disk of "
                    + "spool.path (dmesg, df, quota). New events overtake the backlog.")
        }
        if evidence.history.increase("smsbridge_spool_removals_total", over: 900) > 0 {
            add(
                .critical, "SmsbridgeSpoolRemoved", "The spool's files were removed while they were open",
                "A new database was created, with the events of the open file: the log has their number. Find the process that deletes "
                    + "files in spool.path; files deleted while the bridge is down are lost.")
        }
        if spool.setAsideFiles > 0 {
            add(
                .critical, "SmsbridgeSpoolCorrupt",
                "The spool database was corrupt: \(Figure.count(spool.setAsideFiles, of: "file")) moved aside",
                "Its events were answered 200. If the log line has recovered, the readable ones are in the new database; otherwise publish them "
                    + "with smsbridge spool drain --path FILE. Check the disk before you delete the file.")
        }
        let bytes = evidence.topics.map(\.waitingBytes)
        let share = max(bytes.reduce(0, +), 2 * (bytes.max() ?? 0)) / spool.maxBytes
        if share > 0.7 {
            add(
                .critical, "SmsbridgeSpoolNearlyFull", "The spool is \(Figure.percent(share)) full",
                "At spool.maxBytes, or half of it for one topic, callbacks are rejected with 503. Restore Kafka, or raise the limit."
            )
        }
        // Without an open database there is no measurement.
        if spool.diskFreeBytes < 1e9, evidence.snapshot.value("smsbridge_spool_open") != 0 {
            add(
                spool.takesEvents ? .warning : .critical, "SmsbridgeSpoolDiskLow",
                "The spool's disk has \(Figure.bytes(spool.diskFreeBytes)) free",
                "Below 128 MiB, or 5 % of a smaller disk, nothing is spooled. Free disk space; no restart is needed.")
        }
        let late = evidence.topics.filter { ($0.oldestAge ?? 0) > 900 }
        if let oldest = late.compactMap(\.oldestAge).max() {
            add(
                .critical, "SmsbridgeSpoolBacklogOld",
                "The oldest spooled event is \(Figure.duration(oldest)) old: \(late.map(\.name).joined(separator: ", "))",
                "Consumers see these events at least this late. They are drained as soon as Kafka acknowledges again.")
        }
        let waiting = evidence.topics.reduce(0) { $0 + $1.waiting }
        if let before = evidence.history.waiting(secondsAgo: 900), waiting > before, before > 0 {
            add(
                .warning, "SmsbridgeSpoolGrowing", "The spool has grown for 15 minutes",
                "Kafka acknowledges fewer events than arrive, or none.")
        }
        if spool.parked > 0 {
            add(
                .warning, "SmsbridgeSpoolParkedEvents",
                "\(Figure.count(spool.parked, of: "event")) parked: rejected by their topic and the quarantine topic",
                "They stay in the spool until they are drained or discarded: smsbridge spool list, export, discard.")
        }
    }

    private static func evaluateCallers(_ evidence: Evidence, _ add: Add) {
        let history = evidence.history
        if history.increase("smsbridge_http_memory_rejected_total", over: moment) > 0 {
            add(
                .critical, "SmsbridgeRequestMemoryFull",
                "Callbacks are rejected with 503: request memory limit reached",
                "Many large bodies at once. Raise http.maxBufferedRequestBytes.")
        }
        if history.increase("smsbridge_http_connections_rejected_total", over: moment) > 0 {
            add(
                .critical, "SmsbridgeConnectionsRejected", "Connections rejected: http.maxConnections is reached",
                "Further connections are rejected with 503. Find the clients that hold them, or raise the limit.")
        }
        if history.increase("smsbridge_http_accept_pauses_total", over: moment) > 0 {
            add(
                .critical, "SmsbridgeAcceptPaused", "No file descriptors left",
                "New connections are not accepted. Raise LimitNOFILE= or ulimit -n.")
        }
        evaluateRejections(evidence, add)
        let quarantined =
            history.increase("smsbridge_events_acknowledged_total", "quarantine", over: 900)
            + history.increase("smsbridge_events_spooled_total", "quarantine", over: 900)
        let all =
            history.increase("smsbridge_events_acknowledged_total", over: 900)
            + history.increase("smsbridge_events_spooled_total", over: 900)
        if quarantined > 0.01 * all {
            add(
                .warning, "SmsbridgeQuarantineRateHigh",
                "\(Figure.percent(quarantined / all)) of the callbacks are quarantined",
                "The vendor changed its format, or a URL is wrong. smsbridge quarantine list shows the reasons.")
        }
        if let p99 = history.average(over: moment).p99, p99 > 0.5 {
            add(
                .warning, "SmsbridgeDurableLatencyHigh",
                "The 99th percentile of the time to durable is \(Figure.duration(p99))",
                "The brokers and the spool's disk are slow; at publish.deadline callbacks are rejected with 503.")
        }
        for topic in evidence.topics where topic.name == "delivery-status" || topic.name == "reply" {
            guard let age = topic.lastEventAge, age > 21_600 else { continue }
            add(
                .warning, "SmsbridgeNoEvents", "No event of type \(topic.name) for \(Figure.duration(age))",
                "The vendor has stopped sending, or a proxy in front rejects the callbacks.")
        }
    }

    /// Requests rejected with 4xx.
    private static func evaluateRejections(_ evidence: Evidence, _ add: Add) {
        let history = evidence.history
        let accepted =
            history.increase("smsbridge_events_acknowledged_total", over: moment)
            + history.increase("smsbridge_events_spooled_total", over: moment)
        let proofs = history.grown("smsbridge_authentication_failures_total", over: moment)
        let unauthorized = proofs.reduce(0) { $0 + $1.by }
        let names = proofs.map(\.value).joined(separator: ", ")
        let rejected = rejections(history, over: moment) { _ in true }
        let count = rejected.reduce(0) { $0 + $1.count }
        let genuine = rejections(history, over: rejectionMoment) { $0 == "valid" }
        if !genuine.isEmpty {
            add(
                .critical, "SmsbridgeCallbacksRejected",
                "\(Figure.count(genuine.reduce(0) { $0 + $1.count }, of: "request")) with a valid secret rejected in the last"
                    + " \(Figure.duration(rejectionMoment)): \(text(genuine))",
                "The vendor gives up after five attempts. \(advice(genuine)) The log has a line for each reason: request rejected."
            )
        }
        if count > 0, accepted == 0 {
            add(
                .critical, "SmsbridgeAllCallbacksRejected",
                "All requests rejected, none accepted in the last minute: \(text(rejected))",
                "\(advice(rejected)) The log has a line for each reason: request rejected.")
        } else if unauthorized > 0 {
            add(
                unauthorized > 60 ? .warning : .notice, "SmsbridgeUnauthorizedRequests",
                "\(Figure.count(unauthorized, of: "request")) answered 401 in the last minute (\(names))",
                "A secret was changed on one side only, or a scan.")
        }
    }

    /// How long a rejected request with a valid secret is shown: as long as its alert fires, in seconds.
    private static let rejectionMoment = 300.0

    private typealias Rejections = [(status: String, count: Double)]

    /// Rejected callbacks by status.
    private static func rejections(
        _ history: StatusHistory.View, over seconds: Double, _ isIncluded: (_ secret: Substring) -> Bool
    ) -> Rejections {
        var counts: [String: Double] = [:]
        for (value, count) in history.grown("smsbridge_callbacks_rejected_total", over: seconds) {
            let words = value.split(separator: " ")
            guard words.count == 2, isIncluded(words[0]) else { continue }
            counts[String(words[1]), default: 0] += count
        }
        return counts.sorted { $0.key < $1.key }.map { (status: $0.key, count: $0.value) }
    }

    private static func text(_ rejections: Rejections) -> String {
        rejections.map { "\(Figure.count($0.count)) × \($0.status)" }.joined(separator: ", ")
    }

    private static func advice(_ rejections: Rejections) -> String {
        rejections.compactMap { rejectionAdvice[$0.status] }.joined(separator: " ")
    }

    private static let rejectionAdvice = [
        "400": "400: a proxy in front sends invalid HTTP/1.1; smsbridge_http_rejected_total names the rule.",
        "401":
            "401: a secret or another proof is missing or wrong; compare the Control Panel with the settings auth.*.",
        "404": "404: the URL in the Control Panel is wrong; it ends in /webhooks or /webhooks/<type>.",
        "405": "405: the method is neither GET nor POST.",
        "408": "408: requests do not arrive in time (http.headTimeout, http.bodyTimeout).",
        "413": "413: the body is larger than http.maxBodyBytes.",
        "414": "414: the URL is longer than http.maxTargetBytes.",
        "417": "417: a proxy in front sends an Expect header other than 100-continue.",
        "431": "431: the headers are larger than http.maxHeaderBytes, or more than http.maxHeaders.",
    ]

    private static func evaluateFiles(_ evidence: Evidence, _ add: Add) {
        for sample in evidence.snapshot["smsbridge_certificate_expiry_seconds"] where sample.value > 0 {
            let left = sample.value - evidence.time
            guard left < 14 * 86_400 else { continue }
            add(
                left > 0 ? .warning : .critical, "SmsbridgeCertificateExpires",
                "The certificate of \(sample["setting"]) "
                    + (left > 0 ? "expires in \(Figure.duration(left))" : "has expired"),
                "Replace the file: it is reloaded without a restart.")
        }
        for name in ["tls", "kafkaCertificates"] {
            guard let reason = evidence.alerts[name] else { continue }
            add(
                .warning, "SmsbridgeCertificateReloadFailed", Figure.sentence(reason),
                "Correct the files that are named.")
        }
        if let reason = evidence.alerts["secrets"] {
            add(
                .warning, "SmsbridgeSecretReloadFailed", Figure.sentence(reason), "Correct the file that is named.")
        }
        if let reason = evidence.alerts["proxies"] {
            add(
                .notice, nil, reason,
                "Safe only if nothing but proxies can reach the port: otherwise list them in http.trustedProxies.")
        }
        if let reason = evidence.alerts["authentication"] {
            add(
                .warning, "SmsbridgeAuthNotEnforced", Figure.sentence(reason),
                "For tests or a migration only: configure secrets, and set auth.mode to enforce.")
        }
    }

    private static func evaluateProcess(_ evidence: Evidence, _ add: Add) {
        if let open = evidence.snapshot.value("process_open_fds"),
            let most = evidence.snapshot.value("process_max_fds"),
            most > 0, open > 0.8 * most
        {
            add(
                .warning, "SmsbridgeFileDescriptorsHigh",
                "\(Figure.percent(open / most)) of the file descriptors are in use",
                "Raise LimitNOFILE= or ulimit -n, or find the clients that hold connections.")
        }
        if let bytes = evidence.snapshot.value("process_resident_memory_bytes"), bytes > 512e6 {
            add(
                .warning, "SmsbridgeMemoryHigh", "The process uses \(Figure.bytes(bytes)) of memory",
                "Check events in flight and connections; if they do not explain it, please report it.")
        }
        if evidence.history.increase("smsbridge_log_dropped_total", over: moment) > 0 {
            add(
                .notice, "SmsbridgeLogDropped", "Log lines are being dropped",
                "The reader of standard error is too slow.")
        }
    }
}
