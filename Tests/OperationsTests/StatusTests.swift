import FoundationEssentials
import SMSBridgeTelemetry
import Testing

@testable import SMSBridgeOperations

/// The figures that a bridge counts, as far as the page reads them.
private struct Figures {
    let registry = MetricRegistry()
    let topics = ["delivery-status", "quarantine", "reply", "test"]

    func gauge(_ name: String, _ label: String = "", _ value: String = "") -> Gauge {
        registry.gauge(name, help: "x", labels: label.isEmpty ? [] : [(label, value)])
    }

    func counter(_ name: String, _ labels: [(String, String)] = []) -> Counter {
        registry.counter(name, help: "x", labels: labels)
    }

    var durable: Histogram { registry.histogram("smsbridge_durable_seconds", help: "x") }

    /// A bridge where nothing is wrong.
    init() {
        gauge("smsbridge_kafka_up").set(1)
        gauge("smsbridge_spool_max_bytes").set(1_000_000)
        gauge("smsbridge_spool_writable").set(1)
        gauge("smsbridge_spool_disk_free_bytes").set(5e9)
        gauge("smsbridge_spool_parked_events").set(0)
        gauge("smsbridge_spool_corrupt_files").set(0)
        for topic in topics {
            gauge("smsbridge_topic_state", "topic", topic).set(0)
            gauge("smsbridge_spool_events", "topic", topic).set(0)
            gauge("smsbridge_spool_bytes", "topic", topic).set(0)
            gauge("smsbridge_topic_durability", "topic", topic).set(1)
            gauge("smsbridge_topic_replication", "topic", topic).set(3)
            gauge("smsbridge_topic_min_insync_replicas", "topic", topic).set(2)
            gauge("smsbridge_topic_unclean_election", "topic", topic).set(0)
            _ = counter("smsbridge_events_acknowledged_total", [("topic", topic)])
            _ = counter("smsbridge_events_spooled_total", [("topic", topic)])
        }
    }

    /// What is told ten seconds after `change`, of a bridge that was calm for a while before.
    func report(
        _ readiness: ServiceReadiness = ServiceReadiness(unmet: [:]), silence: Double = 0, time: Double = 1_800_000_000,
        instance: InstanceDescription = .named("smsbridge 1.2.3"), after change: () -> Void = {}
    ) -> StatusReport {
        var history = StatusHistory()
        for second in stride(from: 0, through: 1_000, by: 10) {
            history.take(registry.snapshot(collecting: false), at: UInt64(second) * 1_000_000_000)
        }
        change()
        let snapshot = registry.snapshot(collecting: true)
        return StatusReport(
            instance: instance, snapshot: snapshot, history: history.seen(with: snapshot, at: 1_010_000_000_000),
            readiness: readiness, silence: silence, time: time)
    }
}

extension InstanceDescription {
    fileprivate static func named(_ title: String) -> Self {
        var instance = Self()
        instance.title = title
        return instance
    }
}

extension StatusReport {
    fileprivate var named: [String] { findings.compactMap(\.alert) }
}

@Suite struct StatusFindingTests {
    @Test func aCalmBridgeHasNothingWrong() {
        let report = Figures().report()
        #expect(report.findings.isEmpty, "\(report.named)")
        #expect(report.state == "ok" && report.isReady)
    }

    /// Each fault is told under the name of its alert, and nothing else is.
    @Test(arguments: [
        "SmsbridgeKafkaDown", "SmsbridgeTopicSpooling", "SmsbridgeKafkaErrors", "SmsbridgeKafkaSlow",
        "SmsbridgeTopicNotDurable", "SmsbridgeTopicDurabilityUnknown", "SmsbridgeProducerRecreated",
        "SmsbridgeRecordsRejected", "SmsbridgeSpoolUnavailable", "SmsbridgeSpoolCorrupt", "SmsbridgeSpoolNearlyFull",
        "SmsbridgeSpoolDiskLow", "SmsbridgeSpoolBacklogOld", "SmsbridgeSpoolGrowing", "SmsbridgeSpoolParkedEvents",
        "SmsbridgeEventsUnavailable", "SmsbridgeRequestMemoryFull", "SmsbridgeConnectionsRejected",
        "SmsbridgeAcceptPaused",
        "SmsbridgeAllCallbacksRejected", "SmsbridgeCallbacksRejected", "SmsbridgeUnauthorizedRequests",
        "SmsbridgeQuarantineRateHigh", "SmsbridgeDurableLatencyHigh",
        "SmsbridgeNoEvents", "SmsbridgeFileDescriptorsHigh", "SmsbridgeMemoryHigh", "SmsbridgeLogDropped",
        "SmsbridgeNotReady",
        "SmsbridgeLoopStalled", "SmsbridgeCertificateExpires", "SmsbridgeCertificateReloadFailed",
        "SmsbridgeAuthNotEnforced", "SmsbridgeSecretReloadFailed", "SmsbridgeKafkaClusterChanged",
        "SmsbridgeKafkaLogReset",
        "SmsbridgeTimestampsRejected", "SmsbridgeClockStepped", "SmsbridgeClockUnsynchronized",
        "SmsbridgeSpoolBypassed", "SmsbridgeSpoolRemoved", "SmsbridgeAuditMismatch",
    ])
    func aFaultIsNamed(alert: String) {
        let figures = Figures()
        let readiness = ServiceReadiness(unmet: [:])
        let time = 1_800_000_000.0
        func acknowledged(_ topic: String = "reply") -> Counter {
            figures.counter("smsbridge_events_acknowledged_total", [("topic", topic)])
        }
        if alert == "SmsbridgeSpoolGrowing" { figures.gauge("smsbridge_spool_events", "topic", "reply").set(5) }
        let report = figures.report(readiness, silence: alert == "SmsbridgeLoopStalled" ? 3 : 0, time: time) {
            switch alert {
            case "SmsbridgeKafkaClusterChanged": readiness.alert("cluster", "it leads to cluster b")
            case "SmsbridgeAuditMismatch":
                figures.counter("smsbridge_audit_records_total", [("result", "mismatch")]).increment()
            case "SmsbridgeKafkaLogReset": figures.counter("smsbridge_kafka_log_resets_total").increment()
            case "SmsbridgeTimestampsRejected": figures.counter("smsbridge_timestamps_rejected_total").increment()
            case "SmsbridgeClockStepped": readiness.alert("clock", "the clock was stepped")
            case "SmsbridgeClockUnsynchronized":
                figures.gauge("smsbridge_clock_synchronized").set(0)
                figures.gauge("process_start_time_seconds").set(time - 3_601)
            case "SmsbridgeSpoolRemoved": figures.counter("smsbridge_spool_removals_total").increment()
            case "SmsbridgeSpoolBypassed": readiness.alert("spoolDisk", "the disk does not answer")
            case "SmsbridgeKafkaDown": figures.gauge("smsbridge_kafka_up").set(0)
            case "SmsbridgeTopicSpooling": figures.gauge("smsbridge_topic_state", "topic", "reply").set(1)
            case "SmsbridgeKafkaErrors":
                figures.counter("smsbridge_kafka_errors_total", [("kind", "delivery"), ("error", "x")]).increment()
            case "SmsbridgeKafkaSlow":
                acknowledged().increment(by: 80)
                figures.counter("smsbridge_events_spooled_total", [("topic", "reply")]).increment(by: 20)
            case "SmsbridgeTopicNotDurable": figures.gauge("smsbridge_topic_durability", "topic", "reply").set(0)
            case "SmsbridgeTopicDurabilityUnknown": figures.gauge("smsbridge_topic_durability", "topic", "test").set(-1)
            case "SmsbridgeProducerRecreated":
                figures.counter("smsbridge_producer_recreations_total").increment(by: 2)
            case "SmsbridgeRecordsRejected": figures.counter("smsbridge_records_rejected_total").increment()
            case "SmsbridgeSpoolUnavailable": figures.gauge("smsbridge_spool_writable").set(0)
            case "SmsbridgeSpoolCorrupt": figures.gauge("smsbridge_spool_corrupt_files").set(1)
            case "SmsbridgeSpoolNearlyFull": figures.gauge("smsbridge_spool_bytes", "topic", "reply").set(360_000)
            case "SmsbridgeSpoolDiskLow": figures.gauge("smsbridge_spool_disk_free_bytes").set(9e8)
            case "SmsbridgeSpoolBacklogOld":
                figures.gauge("smsbridge_spool_oldest_timestamp_seconds", "topic", "reply").set(time - 901)
            case "SmsbridgeSpoolGrowing": figures.gauge("smsbridge_spool_events", "topic", "reply").set(6)
            case "SmsbridgeSpoolParkedEvents": figures.gauge("smsbridge_spool_parked_events").set(1)
            case "SmsbridgeEventsUnavailable":
                figures.counter("smsbridge_events_unavailable_total", [("topic", "reply"), ("reason", "deadline")])
                    .increment()
            case "SmsbridgeRequestMemoryFull": figures.counter("smsbridge_http_memory_rejected_total").increment()
            case "SmsbridgeConnectionsRejected":
                figures.counter("smsbridge_http_connections_rejected_total").increment()
            case "SmsbridgeAcceptPaused": figures.counter("smsbridge_http_accept_pauses_total").increment()
            case "SmsbridgeAllCallbacksRejected":
                figures.counter("smsbridge_callbacks_rejected_total", [("status", "401"), ("secret", "invalid")])
                    .increment()
                figures.counter("smsbridge_authentication_failures_total", [("proof", "header")]).increment()
            case "SmsbridgeCallbacksRejected":
                acknowledged().increment(by: 1_000)
                figures.counter("smsbridge_callbacks_rejected_total", [("status", "404"), ("secret", "valid")])
                    .increment()
            case "SmsbridgeUnauthorizedRequests":
                acknowledged().increment()
                figures.counter("smsbridge_authentication_failures_total", [("proof", "header")]).increment(by: 61)
            case "SmsbridgeQuarantineRateHigh":
                acknowledged().increment(by: 98)
                acknowledged("quarantine").increment(by: 2)
            case "SmsbridgeDurableLatencyHigh": for _ in 0..<10 { figures.durable.observe(0.7) }
            case "SmsbridgeNoEvents":
                figures.gauge("smsbridge_last_event_timestamp_seconds", "topic", "reply").set(time - 21_601)
            case "SmsbridgeFileDescriptorsHigh":
                figures.gauge("process_open_fds").set(81)
                figures.gauge("process_max_fds").set(100)
            case "SmsbridgeMemoryHigh": figures.gauge("process_resident_memory_bytes").set(513e6)
            case "SmsbridgeCertificateExpires":
                figures.gauge("smsbridge_certificate_expiry_seconds", "setting", "ssl.ca.location").set(
                    time + 1_000_000)
            case "SmsbridgeAuthNotEnforced": readiness.alert("authentication", "auth.mode is log")
            case "SmsbridgeSecretReloadFailed": readiness.alert("secrets", "keeping the current secrets")
            case "SmsbridgeCertificateReloadFailed": readiness.alert("tls", "http.tls.key: it is no key")
            case "SmsbridgeLogDropped": figures.counter("smsbridge_log_dropped_total").increment()
            case "SmsbridgeNotReady": readiness.set("kafka", unmet: "Kafka does not answer")
            default: break
            }
        }
        #expect(report.named == [alert])
        let notices = ["SmsbridgeClockUnsynchronized", "SmsbridgeTopicDurabilityUnknown", "SmsbridgeLogDropped"]
        #expect((report.state == "ok") == notices.contains(alert))
        #expect(report.findings.allSatisfy { !$0.title.isEmpty && $0.advice.hasSuffix(".") })
    }

    /// An alert that no rule has is shown all the same, and /readyz names it.
    @Test func anAlertWithoutARuleIsShown() {
        let readiness = ServiceReadiness(unmet: [:])
        readiness.alert("moon", "the moon is full")
        readiness.alert("authentication", "auth.none is true: all requests are accepted")
        let report = Figures().report(readiness)
        #expect(
            report.findings.map(\.title) == ["auth.none is true: all requests are accepted", "The moon is full"])
        #expect(report.named == ["SmsbridgeAuthNotEnforced"])
        #expect(
            String(decoding: report.readinessJSON(), as: UTF8.self)
                == #"{"ready":true,"unmet":{},"alerts":{"SmsbridgeAuthNotEnforced":"auth.none is true: all requests are accepted","moon":"the moon is full"}}"#
                + "\n"
        )
    }

    /// A cluster of one broker, declared as such, shows one line of information and no alert.
    @Test func developmentModeMakesWeakTopicsANotice() {
        let figures = Figures()
        let report = figures.report {
            figures.gauge("smsbridge_development_mode").set(1)
            for topic in figures.topics { figures.gauge("smsbridge_topic_durability", "topic", topic).set(0) }
        }
        #expect(report.findings.map(\.title) == ["Development mode: acknowledged events can be lost"])
        #expect(report.named.isEmpty && report.state == "ok" && report.isReady)
        let readiness = String(decoding: report.readinessJSON(), as: UTF8.self)
        #expect(readiness.contains(#""alerts":{}"#), "\(readiness)")
        let page = String(decoding: StatusPage(report: report, refresh: 5, nonce: "n").render(), as: UTF8.self)
        #expect(page.contains("no: ") && !page.contains("class=\"bad\""), "\(page)")
    }

    @Test func theWorstStandsFirst() {
        let figures = Figures()
        let report = figures.report {
            figures.gauge("smsbridge_spool_parked_events").set(1)
            figures.counter("smsbridge_log_dropped_total").increment()
            figures.gauge("smsbridge_kafka_up").set(0)
        }
        #expect(report.named == ["SmsbridgeKafkaDown", "SmsbridgeSpoolParkedEvents", "SmsbridgeLogDropped"])
        #expect(report.state == "critical")
    }

    @Test func startingAndStoppingAreNoTrouble() {
        for condition in ["starting", "stopping"] {
            let report = Figures().report(ServiceReadiness(unmet: [condition: "the bridge is \(condition)"]))
            #expect(report.state == "ok" && !report.isReady)
            #expect(report.findings.map(\.title) == ["The bridge is \(condition)"])
        }
    }

    @Test func withoutASpoolNothingIsSaidOfIt() {
        let figures = Figures()
        figures.gauge("smsbridge_spool_max_bytes").set(0)
        figures.gauge("smsbridge_spool_writable").set(0)
        figures.gauge("smsbridge_spool_disk_free_bytes").set(0)
        let report = figures.report()
        #expect(report.findings.isEmpty && report.spool == nil)
        #expect(String(decoding: report.json(), as: UTF8.self).contains("\"spool\":null"))
    }
}

@Suite struct StatusHistoryTests {
    @Test func theHourIsKeptAndNoMore() {
        let figures = Figures()
        let accepted = figures.counter("smsbridge_events_acknowledged_total", [("topic", "reply")])
        var history = StatusHistory(capacity: 360)
        for sample in 0..<1_000 {
            accepted.increment(by: UInt64(sample % 7) * 10)
            history.take(figures.registry.snapshot(collecting: false), at: UInt64(sample) * 10_000_000_000)
        }
        let view = history.seen(with: figures.registry.snapshot(collecting: false), at: 9_995_000_000_000)
        let hour = view.intervals
        #expect(hour.count == 359)
        #expect(hour.first?.end == 641 * 10_000_000_000 && hour.last?.end == 999 * 10_000_000_000)
        for (index, interval) in hour.enumerated() { #expect(interval.accepted == Double((641 + index) % 7)) }
        // The sample at 9,930 s is as near to a minute as the next one, and older; 994 to 999 have come since.
        let sum = (994...999).reduce(0) { $0 + ($1 % 7) * 10 }
        #expect(view.increase("smsbridge_events_acknowledged_total", over: 60) == Double(sum))
    }

    @Test func aCounterThatBeginsLateCountsFromZero() {
        let figures = Figures()
        var history = StatusHistory()
        history.take(figures.registry.snapshot(collecting: false), at: 0)
        figures.counter("smsbridge_kafka_errors_total", [("kind", "delivery"), ("error", "late")]).increment(by: 3)
        figures.counter("smsbridge_kafka_errors_total", [("kind", "client"), ("error", "transport")]).increment(by: 9)
        let view = history.seen(with: figures.registry.snapshot(collecting: false), at: 5_000_000_000)
        let grown = view.grown("smsbridge_kafka_errors_total", over: 60)
        #expect(grown.map(\.value) == ["late"] && grown.map(\.by) == [3])
        #expect(view.increase("no_such_total", over: 60) == 0)
    }

    /// Held against what Prometheus's histogram_quantile does.
    @Test func quantilesAreLinearWithinABucket() {
        let bounds = [0.1, 0.2, 0.4]
        #expect(StatusHistory.quantile(0.5, [0, 0, 0, 0], bounds) == nil)
        #expect(StatusHistory.quantile(0.5, [10, 0, 0, 0], bounds) == 0.05)
        #expect(StatusHistory.quantile(0.5, [5, 5, 0, 0], bounds) == 0.1)
        #expect(StatusHistory.quantile(0.75, [0, 0, 10, 0], bounds).map { abs($0 - 0.35) < 1e-12 } == true)
        #expect(StatusHistory.quantile(0.99, [0, 0, 0, 10], bounds) == 0.4)
    }

    @Test func aBridgeThatServesRemembersByItself() async throws {
        let subject = try Subject(sampleInterval: .milliseconds(20))
        let accepted = subject.registry.counter(
            "smsbridge_events_acknowledged_total", help: "x", labels: [("topic", "reply")])
        var body = ""
        for _ in 0..<100 where !body.contains("class=\"line good\"") {
            accepted.increment()
            try await Task.sleep(for: .milliseconds(20))
            body = try subject.ask("GET", "/").body
        }
        #expect(body.contains("class=\"line good\""))
    }
}

@Suite struct StatusPageTests {
    private func page(_ report: StatusReport) -> String {
        String(decoding: StatusPage(report: report, refresh: 5, nonce: "n").render(), as: UTF8.self)
    }

    @Test func nothingOfOthersIsMarkup() {
        let hostile = "<script>alert(1)</script>\"'&\u{1}\u{7F}"
        let figures = Figures()
        let readiness = ServiceReadiness(unmet: ["durability": hostile])
        readiness.alert("kafka", hostile)
        let text = page(
            figures.report(readiness, instance: .named(hostile)) {
                figures.counter("smsbridge_kafka_errors_total", [("kind", "delivery"), ("error", hostile)]).increment()
                figures.gauge("smsbridge_topic_state", "topic", hostile).set(1)
            })
        #expect(!text.contains("<script"))
        #expect(text.components(of: "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;") >= 5)
        #expect(!text.contains("\u{1}") && !text.contains("\u{7F}"))
        // The same in the machine form, which stays what JSON is.
        let json = figures.report(readiness, instance: .named(hostile)).json()
        let told = try? JSONDecoder().decode(Told.self, from: Data(json))
        #expect(told?.title == hostile && told?.findings.first?.title.contains(hostile) == true)
    }

    private struct Told: Decodable {
        struct Finding: Decodable { let title: String }
        let title: String
        let findings: [Finding]
    }

    @Test func thePageNeedsNothingFromOutside() throws {
        let answer = try Subject().ask("GET", "/")
        #expect(answer.status == 200)
        #expect(answer.headers["content-type"] == "text/html; charset=utf-8")
        #expect(answer.headers["cache-control"] == "no-store")
        let policy = try #require(answer.headers["content-security-policy"])
        for part in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'none'", "base-uri 'none'"] {
            #expect(policy.contains(part))
        }
        let nonce = try #require(policy.split(separator: "nonce-").last?.prefix { $0 != "'" })
        #expect(nonce.count >= 20 && answer.body.contains("<style nonce=\"\(nonce)\">"))
        #expect(
            !answer.body.contains("<script") && !answer.body.contains(" style=\"") && !answer.body.contains(" src="))
        // Links lead to this port, and the icon is in the page.
        for part in answer.body.split(separator: "href=\"").dropFirst() {
            #expect(part.hasPrefix("/") || part.hasPrefix("data:image/svg+xml,"), "\(part.prefix(40))")
        }
        #expect(try Subject().ask("GET", "/").headers["content-security-policy"] != policy)
    }

    @Test func whoReadsSlowlyCanHoldItStill() throws {
        let subject = try Subject()
        #expect(try subject.ask("GET", "/").body.contains("http-equiv=\"refresh\""))
        #expect(try subject.ask("GET", "/?refresh=never").body.contains("http-equiv=\"refresh\"") == false)
        #expect(try subject.ask("GET", "/?refresh=1").body.contains("content=\"5\""))
    }

    @Test func thePageNamesHostAccountsAndBrokers() {
        var instance = InstanceDescription.named("smsbridge 1.2.3")
        instance.host = "bridge-<1>"
        instance.accounts = ["north", "south"]
        instance.brokers = ["kafka-1:9092", "kafka-2:9092"]
        let report = Figures().report(instance: instance)
        let text = page(report)
        for part in [
            "<span>on bridge-&lt;1&gt;</span>", "<span>accounts north, south</span>", "kafka-1:9092, kafka-2:9092",
        ] {
            #expect(text.contains(part), "\(part)")
        }
        let json = String(decoding: report.json(), as: UTF8.self)
        for part in [
            #""host":"bridge-<1>""#, #""accounts":["north","south"]"#, #""brokers":["kafka-1:9092","kafka-2:9092"]"#,
        ] {
            #expect(json.contains(part), "\(part)")
        }
    }

    @Test func lowRatesAreCountsOfTheLastMinute() {
        let figures = Figures()
        let accepted = figures.counter("smsbridge_events_acknowledged_total", [("topic", "reply")])
        let low = page(figures.report { accepted.increment(by: 3) })
        #expect(low.contains(">3 <small>answered 200, in the last minute</small>"))
        #expect(low.contains("3 in the last hour"))
        #expect(!low.contains("&lt; 0.1"))
        let high = page(figures.report { accepted.increment(by: 200) })
        #expect(high.contains(">20 <small>answered 200, per second</small>"))
        #expect(high.contains("200 in the last hour"))
    }

    @Test func alertNamesLinkToTheRunbook() {
        let figures = Figures()
        figures.gauge("smsbridge_kafka_up").set(0)
        #expect(
            page(figures.report()).contains(
                "<a href=\"/runbook/SmsbridgeKafkaDown\"><code>SmsbridgeKafkaDown</code></a>"))
        var instance = InstanceDescription()
        instance.runbookURL = "https://wiki.example.com/smsbridge"
        let report = figures.report(instance: instance)
        let link = "https://wiki.example.com/smsbridge#smsbridgekafkadown"
        #expect(page(report).contains("<a href=\"\(link)\">"))
        #expect(String(decoding: report.json(), as: UTF8.self).contains("\"runbook\":\"\(link)\""))
    }

    @Test func theRunbookIsServed() throws {
        let subject = try Subject()
        let whole = try subject.ask("GET", "/runbook")
        #expect(whole.status == 200 && whole.body.contains("\n## SmsbridgeKafkaDown\n"))
        #expect(whole.headers["content-type"] == "text/markdown; charset=utf-8")
        let entry = try subject.ask("GET", "/runbook/SmsbridgeKafkaDown")
        #expect(entry.status == 200 && entry.body.hasPrefix("## SmsbridgeKafkaDown\n"))
        #expect(entry.body.split(separator: "\n## ").count == 1 && entry.body.contains("**Do**"))
        for path in ["/runbook/", "/runbook/None", "/runbook/SmsbridgeKafkaDown/"] {
            #expect(try subject.ask("GET", path).status == 404, "\(path)")
        }
        #expect(try subject.ask("POST", "/runbook/SmsbridgeKafkaDown").status == 405)
    }

    @Test func topicsAreNotCalledWellWhileKafkaDoesNotAnswer() {
        let figures = Figures()
        #expect(page(figures.report()).components(of: "class=\"ok\"><span>direct") == 4)
        figures.gauge("smsbridge_kafka_up").set(0)
        let text = page(figures.report())
        #expect(text.components(of: "<span>direct") == 0)
        #expect(text.components(of: "<span>idle: Kafka does not answer") == 4)
    }

    @Test func figuresAreReadable() {
        #expect(
            [0, 7, 999, 1_000, 1_234_567, -1_000].map { Figure.count($0) } == [
                "0", "7", "999", "1,000", "1,234,567", "-1,000",
            ])
        #expect([0, 0.5, 9.94, 9.96, 1_500.4].map(Figure.rate) == ["0", "0.5", "9.9", "10", "1,500"])
        #expect([0, 1023, 1024, 10 * 1_073_741_824].map(Figure.bytes) == ["0 B", "1,023 B", "1 KiB", "10 GiB"])
        let times = [0.000_2, 0.001_5, 0.9, 1.5, 59, 119, 600, 7_300, 200_000]
        #expect(
            times.map(Figure.duration) == [
                "200 µs", "1.5 ms", "900 ms", "1.5 s", "59 s", "119 s", "10 min", "2 h 1 min", "2 d 7 h",
            ])
        #expect(Figure.date(0) == "1970-01-01 00:00:00 UTC")
        #expect(Figure.date(1_709_210_096) == "2024-02-29 12:34:56 UTC")
        #expect(Figure.date(1_798_761_599) == "2026-12-31 23:59:59 UTC")
        for value in [Double.nan, .infinity, -.infinity] { #expect(!Figure.count(value).isEmpty) }
    }

    @Test func aGraphStaysInItsFrame() {
        var html = HTML()
        var points: [(at: UInt64, value: Double?)] = []
        for sample in 0...360 {
            let value: Double? = sample == 100 ? nil : Double(sample % 50) * 3
            points.append((at: UInt64(sample) * 10_000_000_000, value: value))
        }
        StatusGraph(
            title: "x", description: "\"<x>\"", lines: [.init(name: "x", style: "good", points: points)],
            now: 3_600_000_000_000, top: 100
        ).write(to: &html)
        let text = String(decoding: html.bytes, as: UTF8.self)
        #expect(text.contains("aria-label=\"&quot;&lt;x&gt;&quot;\""))
        #expect(text.components(of: "class=\"line good\"") == 2, "a gap divides the line")
        for path in text.split(separator: "d=\"").dropFirst() {
            let figures = path.prefix { $0 != "\"" }.split { " MLHZ".contains($0) }.compactMap { Double($0) }
            #expect(figures.allSatisfy { (0...360).contains($0) })
        }
    }
}
