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
        let lanes: [Lane]
        let spool: Spool?
        /// UNIX time.
        let time: Double
    }

    /// What is past when it is noticed is shown for this long, in seconds.
    private static let moment = 60.0

    /// Finds what is wrong now, with the figures of deploy/prometheus/alerts.yml but without their patience: who looks at
    /// the page wants to know what is so, and the alerts only what stays so.
    static func judge(_ evidence: Evidence, _ findings: inout [StatusFinding]) {
        func add(_ severity: StatusFinding.Severity, _ alert: String?, _ title: String, _ advice: String) {
            findings.append(StatusFinding(alert: alert, severity: severity, title: title, advice: advice))
        }
        judgeService(evidence, add)
        judgeKafka(evidence, add)
        judgeSpool(evidence, add)
        judgeCallers(evidence, add)
        judgeFiles(evidence, add)
        judgeProcess(evidence, add)
        for (name, reason) in uncovered(evidence.alerts) {
            add(.warning, nil, Figure.sentence(reason), "The log has more of it, and /readyz under the name \(name).")
        }
    }

    /// Alerts of which no finding speaks under another name.
    static func uncovered(_ alerts: [String: String]) -> [(name: String, reason: String)] {
        alerts.filter { !covered.contains($0.key) }.sorted { $0.key < $1.key }.map { (name: $0.key, reason: $0.value) }
    }

    private static let covered: Set = [
        "kafka", "spool", "topics", "setAside", "spooled", "tls", "secrets", "authentication", "proxies", "clock",
        "cluster",
        "spoolDisk", "kafkaCertificates",
    ]

    private typealias Add = (StatusFinding.Severity, String?, String, String) -> Void

    private static func judgeService(_ evidence: Evidence, _ add: Add) {
        if evidence.silence > 2 {
            add(
                .critical, "SmsbridgeLoopStalled",
                "The public port has stood still for \(Figure.duration(evidence.silence))",
                "Nothing is answered. A paused machine, or no CPU left: the figures below are as old. At 5 s /healthz "
                    + "fails, and the supervisor restarts it.")
        }
        for (name, reason) in evidence.unmet {
            switch name {
            case "starting", "stopping":
                add(.notice, nil, Figure.sentence(reason), "Nothing is to be done.")
            default:
                add(
                    .critical, "SmsbridgeNotReady", "Callbacks are answered 503: \(reason)",
                    "Callers must repeat, and the vendor gives up after five attempts. Mend what is named; no restart is "
                        + "needed.")
            }
        }
        for (reason, count) in evidence.history.grown("smsbridge_events_unavailable_total", over: moment) {
            add(
                .critical, "SmsbridgeEventsRefused",
                "\(Figure.count(count, of: "callback")) answered 503 in the last minute: \(reason)",
                refusalAdvice[reason] ?? "Callers repeat them.")
        }
    }

    private static let refusalAdvice = [
        "deadline":
            "Neither Kafka nor the spool's disk was in time (publish.deadline). Look at the brokers, and at the disk.",
        "in_flight_limit": "Kafka is slower than the callers, and publish.maxInFlight is reached. Look at the brokers.",
        "failed": "Kafka refused the events, and the spool could not take them. The log names the error.",
        "spool_full": "Make Kafka take events again, or raise spool.maxBytes.",
        "spool_failed": "Look at the disk of spool.path: full, read-only, or broken. The log names the error.",
        "replacing_producer": "It is being replaced after a fatal error, and is back in a moment.",
        "not_durable": "durability.strict is on, and a topic could lose events: mend the topics below.",
        "stopping": "The bridge is ending.",
    ]

    private static func judgeKafka(_ evidence: Evidence, _ add: Add) {
        let kept =
            evidence.spool?.takesEvents == true ? " Events go to the spool meanwhile, and callers get their 200." : ""
        if !evidence.isKafkaUp {
            add(
                .critical, "SmsbridgeKafkaDown", "Kafka does not answer",
                "Look at the brokers, the network, and the login.\(kept)")
        } else if let reason = evidence.alerts["kafka"] {
            add(
                .critical, "SmsbridgeKafkaLate", Figure.sentence(reason),
                "The cluster answers questions, but takes no events in time. Look at the brokers' load and disks, at the "
                    + "replicas in sync, and at the rights.\(kept)")
        }
        if let reason = evidence.alerts["cluster"] {
            add(
                .critical, "SmsbridgeKafkaClusterChanged", Figure.sentence(reason),
                "Events in flight were sent to it again, and the spool is drained to it. If that cluster is not meant to have them, "
                    + "correct kafka.bootstrapServers or its DNS name, then copy the topics; consumers must not continue at the old offsets."
            )
        }
        if evidence.history.increase("smsbridge_audit_records_total", "mismatch", over: 3_600) > 0 {
            add(
                .critical, "SmsbridgeAuditMismatch", "Kafka has acknowledged a record that is not in its log",
                "The log names topic, partition and offset. Events in flight were sent again; those acknowledged shortly before may be "
                    + "lost. Look for a wiped or restored cluster behind kafka.bootstrapServers.")
        }
        if evidence.history.increase("smsbridge_kafka_log_resets_total", over: 3_600) > 0 {
            add(
                .critical, "SmsbridgeKafkaLogReset", "The log of a partition was reset or truncated within the hour",
                "Records that it had acknowledged before may be lost: the log names the partitions. A deleted topic, wiped volumes, "
                    + "or an unclean leader election. Events in flight were sent again.")
        }
        if evidence.history.increase("smsbridge_timestamps_rejected_total", over: moment) > 0 {
            add(
                .critical, "SmsbridgeTimestampsRejected", "Kafka rejects the timestamps of events",
                "The clock of this machine or of the brokers is wrong: timedatectl, chronyc tracking. The events stay in the spool and "
                    + "go through once it is right.")
        }
        if let reason = evidence.alerts["clock"] {
            add(
                .warning, "SmsbridgeClockStepped", Figure.sentence(reason),
                "Events received meanwhile carry the wrong time. Look at time synchronisation: timedatectl, chronyc tracking."
            )
        }
        // Right after a machine's start the time service is still at it.
        if evidence.snapshot.value("smsbridge_clock_synchronized") == 0,
            let start = evidence.snapshot.value("process_start_time_seconds"), evidence.time - start > 3_600
        {
            add(
                .notice, "SmsbridgeClockUnsynchronized", "The machine's clock is not synchronised",
                "The kernel says so. Start a time service (chrony, systemd-timesyncd) on the host.")
        }
        let errors = evidence.history.grown("smsbridge_kafka_errors_total", over: moment)
        let closed = evidence.lanes.filter { $0.state == 1 }.map(\.topic)
        if !closed.isEmpty {
            let named = errors.isEmpty ? "" : " Its last errors: \(errors.map(\.value).joined(separator: ", "))."
            let cause =
                evidence.isKafkaUp
                ? "Events of these types go to the spool. A missing topic, a missing right, or too few replicas in sync, where "
                    + "other topics go on; else the brokers."
                : "Events of these types wait in the spool, and go to Kafka by themselves when it is back."
            add(
                .critical, "SmsbridgeLaneClosed", "Kafka is not written: \(closed.joined(separator: ", "))",
                cause + named)
        } else if !errors.isEmpty {
            add(
                .warning, "SmsbridgeKafkaErrors",
                "Kafka has refused what was sent: \(errors.map(\.value).joined(separator: ", "))",
                "The error names it: rights, size, a missing topic, too few replicas. The events are in the spool, and are tried "
                    + "again.")
        }
        let minute = evidence.history
        let spooled = minute.increase("smsbridge_events_spooled_total", over: moment)
        let acknowledged = minute.increase("smsbridge_events_acknowledged_total", over: moment)
        if spooled > 0.1 * (spooled + acknowledged), evidence.isKafkaUp, evidence.alerts["kafka"] == nil, closed.isEmpty
        {
            add(
                .warning, "SmsbridgeKafkaLate",
                "\(Figure.percent(spooled / (spooled + acknowledged))) of the events of the last minute went through the spool",
                "Kafka is, or was, later than publish.hedge. When it lasts: look at the brokers.")
        }
        // A drain of a moment follows every hedge.
        let draining = evidence.lanes.filter { $0.state == 2 && ($0.oldestAge ?? 0) > 5 }
        if !draining.isEmpty {
            add(
                .notice, nil,
                "The spool is being drained: \(draining.map(\.topic).joined(separator: ", "))",
                "\(Figure.count(draining.reduce(0) { $0 + $1.waiting }, of: "event")) to go to Kafka, in order. Nothing is to be done."
            )
        }
        let weak = evidence.lanes.filter { $0.isDurable == false }
        if !weak.isEmpty {
            add(
                .critical, "SmsbridgeTopicNotDurable",
                "Kafka could lose what it has acknowledged: \(weak.map(\.topic).joined(separator: ", "))",
                "Replication of 3, min.insync.replicas of 2 and no unclean leader election keep it; the table of topics says "
                    + "what is not so. Mend the topics; no restart is needed.")
        }
        let unknown = evidence.lanes.filter { $0.isDurable == nil }
        if !unknown.isEmpty, evidence.isKafkaUp {
            add(
                .notice, "SmsbridgeTopicDurabilityUnknown",
                "The cluster does not tell how durable these are: \(unknown.map(\.topic).joined(separator: ", "))",
                "Right after the start it was not asked yet. Else a topic is missing, or the user needs the ACL operation "
                    + "DescribeConfigs.")
        }
        let replaced = minute.increase("smsbridge_producer_replacements_total", over: 3_600)
        if replaced > 1 {
            add(
                .warning, "SmsbridgeProducerReplaced",
                "The producer was replaced \(Figure.count(replaced)) times within the hour",
                "After fatal errors, which the log names. Nothing is lost; it is worth a report.")
        }
        if minute.increase("smsbridge_events_refused_by_kafka_total", over: moment) > 0 {
            add(
                .warning, "SmsbridgeRefusedByKafka", "Kafka refuses single events for themselves",
                "They are in the quarantine topic, or parked. Raise max.message.bytes of the topics.")
        }
    }

    private static func judgeSpool(_ evidence: Evidence, _ add: Add) {
        guard let spool = evidence.spool else { return }
        if !spool.takesEvents, evidence.unmet.allSatisfy({ $0.name != "starting" }) {
            add(
                .critical, "SmsbridgeSpoolUnavailable", "The spool takes no events",
                "With Kafka away, callers now get 503. Its disk is full, read-only, or fails, or spool.maxBytes is reached: the log "
                    + "says which. It is tried again every second; no restart is needed.")
        }
        if let reason = evidence.alerts["spoolDisk"] {
            add(
                .critical, "SmsbridgeSpoolBypassed", Figure.sentence(reason),
                "Kafka takes new events, and callers get 200. What the spool holds follows when its disk answers: look at the disk of "
                    + "spool.path (dmesg, df, quota). Order between the two is not kept.")
        }
        if evidence.history.increase("smsbridge_spool_removals_total", over: 900) > 0 {
            add(
                .critical, "SmsbridgeSpoolRemoved", "The spool's files were removed while they were open",
                "They were made again, and the events in the open file copied into a new one: the log says how many. Find what deletes "
                    + "files in spool.path; deleted while the bridge is down, they are lost.")
        }
        if spool.setAsideFiles > 0 {
            add(
                .critical, "SmsbridgeSpoolSetAside",
                "The spool was damaged: \(Figure.count(spool.setAsideFiles, of: "file")) set aside",
                "What is in it was answered 200. What is sound of it goes on by itself where the log says copied; else publish it with "
                    + "smsbridge spool drain --path FILE. Look at the disk, and only then delete it.")
        }
        let bytes = evidence.lanes.map(\.waitingBytes)
        let share = max(bytes.reduce(0, +), 2 * (bytes.max() ?? 0)) / spool.maxBytes
        if share > 0.7 {
            add(
                .critical, "SmsbridgeSpoolNearlyFull", "The spool is \(Figure.percent(share)) full",
                "At spool.maxBytes, or half of it for one topic, callbacks are answered 503. Make Kafka take events again, or raise it."
            )
        }
        // Of a spool that is not open nothing was measured.
        if spool.diskFreeBytes < 1e9, evidence.snapshot.value("smsbridge_spool_open") != 0 {
            add(
                spool.takesEvents ? .warning : .critical, "SmsbridgeSpoolDiskLow",
                "The spool's disk has \(Figure.bytes(spool.diskFreeBytes)) left",
                "Below 128 MiB, or a twentieth of a smaller disk, nothing is spooled. Make room; no restart is needed.")
        }
        let late = evidence.lanes.filter { ($0.oldestAge ?? 0) > 900 }
        if let oldest = late.compactMap(\.oldestAge).max() {
            add(
                .critical, "SmsbridgeSpoolOld",
                "Events have waited for \(Figure.duration(oldest)): \(late.map(\.topic).joined(separator: ", "))",
                "So late are the consumers. They go to Kafka by themselves as soon as it takes them.")
        }
        let waiting = evidence.lanes.reduce(0) { $0 + $1.waiting }
        if let before = evidence.history.waiting(secondsAgo: 900), waiting > before, before > 0 {
            add(
                .warning, "SmsbridgeSpoolGrowing", "The spool has grown for a quarter of an hour",
                "Kafka takes less than comes in, or nothing.")
        }
        if spool.parked > 0 {
            add(
                .warning, "SmsbridgeParked", "\(Figure.count(spool.parked, of: "event")) parked: no topic takes them",
                "They stay in the spool until a person looks: smsbridge spool list and spool export.")
        }
    }

    private static func judgeCallers(_ evidence: Evidence, _ add: Add) {
        let history = evidence.history
        if history.increase("smsbridge_http_refused_for_memory_total", over: moment) > 0 {
            add(
                .critical, "SmsbridgeRefusedForMemory", "Callbacks are answered 503 for want of memory",
                "Many large bodies at once: http.maxUnfinishedBytes.")
        }
        if history.increase("smsbridge_http_connections_refused_total", over: moment) > 0 {
            add(
                .critical, "SmsbridgeConnectionsRefused", "More connections than http.maxConnections",
                "Those beyond are answered 503. Find who holds them, or raise it.")
        }
        if history.increase("smsbridge_http_accept_pauses_total", over: moment) > 0 {
            add(
                .critical, "SmsbridgeAcceptPaused", "There are no descriptors left",
                "Connections wait to be accepted. Raise LimitNOFILE= or ulimit -n.")
        }
        judgeRejections(evidence, add)
        let quarantined =
            history.increase("smsbridge_events_acknowledged_total", "quarantine", over: 900)
            + history.increase("smsbridge_events_spooled_total", "quarantine", over: 900)
        let all =
            history.increase("smsbridge_events_acknowledged_total", over: 900)
            + history.increase("smsbridge_events_spooled_total", over: 900)
        if quarantined > 0.01 * all {
            add(
                .warning, "SmsbridgeQuarantine",
                "\(Figure.percent(quarantined / all)) of the callbacks are not understood",
                "The vendor has changed something, or a URL is wrong: smsbridge quarantine list names the reasons.")
        }
        if let p99 = history.average(over: moment).p99, p99 > 0.5 {
            add(
                .warning, "SmsbridgeSlow",
                "One event in a hundred takes longer than \(Figure.duration(p99)) to be durable",
                "The brokers and the spool's disk are slow; at publish.deadline callbacks are answered 503.")
        }
        for lane in evidence.lanes where lane.topic == "delivery-status" || lane.topic == "reply" {
            guard let age = lane.lastEventAge, age > 21_600 else { continue }
            add(
                .warning, "SmsbridgeSilence", "No event of type \(lane.topic) for \(Figure.duration(age))",
                "The vendor has stopped calling, or something in front turns it away.")
        }
    }

    /// Files that are read again when they change, and what stands in for them for a time only.
    private static func judgeRejections(_ evidence: Evidence, _ add: Add) {
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
                unauthorized > 60 ? .warning : .notice, "SmsbridgeUnauthenticated",
                "\(Figure.count(unauthorized, of: "request")) answered 401 in the last minute (\(names))",
                "A secret was changed on one side only, or these are attempts to get in.")
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
        "400": "400: something in front sends what is not HTTP/1.1; smsbridge_http_refused_total names the rule.",
        "401":
            "401: a secret or another proof is missing or wrong; compare the Control Panel with the settings auth.*.",
        "404": "404: the URL in the Control Panel is wrong; it ends in /webhooks or /webhooks/<type>.",
        "405": "405: the method is neither GET nor POST.",
        "408": "408: requests do not arrive in time (http.headTimeout, http.bodyTimeout).",
        "413": "413: the body is larger than http.maxBodyBytes.",
        "414": "414: the URL is longer than http.maxTargetBytes.",
        "417": "417: something in front sends an Expect header other than 100-continue.",
        "431": "431: the headers are larger than http.maxHeaderBytes, or more than http.maxHeaders.",
    ]

    private static func judgeFiles(_ evidence: Evidence, _ add: Add) {
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
                .warning, "SmsbridgeSecretsNotTaken", Figure.sentence(reason), "Mend the file that is named.")
        }
        if let reason = evidence.alerts["proxies"] {
            add(
                .notice, nil, reason,
                "Only where nothing but proxies can reach the port: else give their addresses as http.trustedProxies.")
        }
        if let reason = evidence.alerts["authentication"] {
            add(
                .warning, "SmsbridgeEverybodyLetIn", Figure.sentence(reason),
                "For a trial or a cut-over only: give secrets, and let auth.mode be enforce.")
        }
    }

    private static func judgeProcess(_ evidence: Evidence, _ add: Add) {
        if let open = evidence.snapshot.value("process_open_fds"),
            let most = evidence.snapshot.value("process_max_fds"),
            most > 0, open > 0.8 * most
        {
            add(
                .warning, "SmsbridgeDescriptors", "\(Figure.percent(open / most)) of the descriptors are in use",
                "Raise LimitNOFILE= or ulimit -n, or find who holds the connections.")
        }
        if let bytes = evidence.snapshot.value("process_resident_memory_bytes"), bytes > 512e6 {
            add(
                .warning, "SmsbridgeMemory", "The process takes \(Figure.bytes(bytes))",
                "Look at the events in flight and the connections; without a reason there, it is worth a report.")
        }
        if evidence.history.increase("smsbridge_log_dropped_total", over: moment) > 0 {
            add(
                .notice, "SmsbridgeLogDropped", "Lines of the log are lost",
                "Whoever reads its standard error is too slow.")
        }
    }
}
