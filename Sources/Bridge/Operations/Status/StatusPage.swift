/// The status page: findings with advice first, then the figures. One HTML document with its style inside.
struct StatusPage {
    let report: StatusReport
    /// Seconds after which the browser reloads the page; nil for never.
    let refresh: Int?
    /// The nonce of the style element in the Content-Security-Policy.
    let nonce: String

    func render() -> [UInt8] {
        var html = HTML()
        head(&html)
        html.raw("<body class=\"\(report.state)\"><header><div class=\"wide\">")
        headline(&html)
        html.raw("</div></header><main class=\"wide\">")
        findings(&html)
        graphs(&html)
        topics(&html)
        html.raw("<div class=\"pair\">")
        spool(&html)
        kafka(&html)
        html.raw("</div><div class=\"pair\">")
        outcomes(&html)
        process(&html)
        html.raw("</div></main>")
        footer(&html)
        html.raw("</body></html>\n")
        return html.bytes
    }

    private var problems: [StatusFinding] { report.findings.filter { $0.severity != .notice } }

    private func head(_ html: inout HTML) {
        html.raw("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>")
        let mark = ["critical": "✖", "warning": "▲"][report.state] ?? "✔"
        html.text("\(mark) \(word) · smsbridge")
        html.raw("</title><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")
        html.raw("<meta name=\"color-scheme\" content=\"light dark\"><meta name=\"robots\" content=\"noindex\">")
        if let refresh { html.raw("<meta http-equiv=\"refresh\" content=\"\(refresh)\">") }
        // The state in the browser's tab, too.
        let colour = ["critical": "c6262e", "warning": "b35900"][report.state] ?? "1a7f4b"
        html.raw("<link rel=\"icon\" href=\"data:image/svg+xml,")
        html.raw("%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='7' ")
        html.raw("fill='%23\(colour)'/%3E%3C/svg%3E\"><style nonce=\"")
        html.text(nonce)
        html.raw("\">\(Self.style)</style></head>")
    }

    private var word: String {
        switch report.state {
        case "critical": "critical"
        case "warning": "warning"
        default: "ok"
        }
    }

    private func headline(_ html: inout HTML) {
        html.raw("<p class=\"who\"><strong>")
        html.text(report.title)
        html.raw("</strong>")
        if !report.instance.host.isEmpty { html.element("span", "on \(report.instance.host)") }
        let accounts = report.instance.accounts
        if !accounts.isEmpty {
            html.element("span", "\(accounts.count == 1 ? "account" : "accounts") \(accounts.joined(separator: ", "))")
        }
        if let uptime = report.uptime { html.element("span", "up for \(Figure.duration(uptime))") }
        html.raw("<span class=\"time\">")
        html.text(Figure.date(report.time))
        html.raw("</span></p><h1>")
        let critical = problems.filter { $0.severity == .critical }.count
        switch (critical, problems.count) {
        case (0, 0): html.text("No problems")
        case (0, let count): html.text(count == 1 ? "One warning" : "\(count) warnings")
        case (let count, _): html.text(count == 1 ? "One critical problem" : "\(count) critical problems")
        }
        html.raw("</h1><p class=\"sub\">")
        if report.isReady {
            html.text("Ready: callbacks are accepted.")
        } else {
            html.text("Not ready: callbacks are rejected with 503.")
        }
        html.raw("</p>")
    }

    private func findings(_ html: inout HTML) {
        guard !report.findings.isEmpty else { return }
        html.raw("<section aria-labelledby=\"h-do\"><h2 id=\"h-do\">")
        html.text(problems.isEmpty ? "Notices" : "Problems and advice")
        html.raw("</h2><ul class=\"findings\">")
        for finding in report.findings {
            html.raw("<li class=\"\(finding.severity.name)\"><p class=\"tag\">")
            html.element("b", finding.severity == .notice ? "note" : finding.severity.name)
            if let alert = finding.alert {
                html.raw("<a href=\"")
                html.text(report.runbook.link(to: alert))
                html.raw("\">")
                html.element("code", alert)
                html.raw("</a>")
            }
            html.raw("</p>")
            html.element("h3", finding.title)
            html.element("p", finding.advice)
            html.raw("</li>")
        }
        html.raw("</ul></section>")
    }

    // MARK: - The last hour

    private func graphs(_ html: inout HTML) {
        let hour = report.history.intervals
        let now = report.history.average(over: 10)
        html.raw("<section aria-labelledby=\"h-hour\"><h2 id=\"h-hour\">The last hour</h2><div class=\"graphs\">")
        let counts = report.history.counts
        rate(&html, "Accepted", "answered 200", hour, now, counts, style: "good", \.accepted)
        rate(&html, "Unavailable", "rejected with 503", hour, now, counts, style: "bad", \.unavailable)
        rate(&html, "Hedged", "ack timeout, stored in the spool", hour, now, counts, style: "mild", \.hedged)
        times(&html, hour)
        html.raw("</div></section>")
    }

    /// Per second where that is at least one, else as a count of the last minute: most accounts have a few callbacks in it.
    private func rate(
        _ html: inout HTML, _ title: String, _ meaning: String, _ hour: [StatusHistory.Interval],
        _ now: StatusHistory.Interval, _ counts: (minute: StatusHistory.Interval, hour: StatusHistory.Interval),
        style: String, _ value: KeyPath<StatusHistory.Interval, Double>
    ) {
        let highest = hour.map { $0[keyPath: value] }.max() ?? 0
        let isLow = max(highest, now[keyPath: value]) < 1
        let factor = isLow ? 60.0 : 1
        let unit = isLow ? "per minute" : "per second"
        let current = isLow ? counts.minute[keyPath: value] : now[keyPath: value]
        let shown = isLow ? Figure.count(current.rounded()) : Figure.rate(current)
        let total = "\(Figure.count(counts.hour[keyPath: value].rounded())) in the last hour"
        let peak = highest == 0 ? "" : ", peak \(Figure.rate(highest * factor)) \(unit)"
        let graph = StatusGraph(
            title: title, description: "\(title) \(unit) over the last hour: now \(shown), \(total)\(peak)",
            lines: [.init(name: title, style: style, points: hour.map { ($0.end, $0[keyPath: value] * factor) })],
            now: report.history.now, top: Self.ceiling(highest * factor))
        let when = isLow ? "in the last minute" : unit
        figure(&html, graph, shown, "\(meaning), \(when)", top: "\(Figure.count(graph.top)) \(unit)") { html in
            html.text("\(total)\(peak)")
        }
    }

    private func times(_ html: inout HTML, _ hour: [StatusHistory.Interval]) {
        let now = report.history.average(over: 60)
        let slowest = hour.compactMap(\.p99).max()
        func shown(_ time: Double?) -> String { time.map(Figure.duration) ?? "–" }
        let graph = StatusGraph(
            title: "Time to durable",
            description: "Time until an event was durable, over the last hour: median now \(shown(now.p50)), "
                + "99th percentile now \(shown(now.p99)), at most \(shown(slowest))",
            lines: [
                .init(name: "p99", style: "mild", points: hour.map { ($0.end, $0.p99) }),
                .init(name: "p50", style: "good", points: hour.map { ($0.end, $0.p50) }),
            ],
            now: report.history.now, top: 1, isLogarithmic: true)
        figure(&html, graph, shown(now.p50), "median of the last minute", top: "1 s", marks: true) { html in
            html.raw("<span class=\"key good\">median</span> <span class=\"key mild\">p99</span> ")
            html.text("\(shown(now.p99)), peak \(shown(slowest))")
        }
    }

    private func figure(
        _ html: inout HTML, _ graph: StatusGraph, _ value: String, _ unit: String, top: String, marks: Bool = false,
        _ note: (inout HTML) -> Void
    ) {
        html.raw("<div class=\"card\">")
        html.element("h3", graph.title)
        html.raw("<p class=\"big\">")
        html.text(value)
        html.raw(" <small>")
        html.text(unit)
        html.raw("</small></p><div class=\"plot\"><span class=\"top\" aria-hidden=\"true\">")
        html.text(top)
        html.raw("</span>")
        if marks {
            html.raw(
                "<span class=\"m100\" aria-hidden=\"true\">100 ms</span><span class=\"m10\" aria-hidden=\"true\">10 ms</span>"
            )
            html.raw("<span class=\"m1\" aria-hidden=\"true\">1 ms</span>")
        }
        graph.write(to: &html)
        html.raw("</div><p class=\"axis\"><span>60 min ago</span><span>")
        note(&html)
        html.raw("</span><span>now</span></p></div>")
    }

    /// A round number that is not below.
    static func ceiling(_ value: Double) -> Double {
        guard value > 0, value.isFinite else { return 1 }
        var ten = 1.0
        while ten * 10 <= value { ten *= 10 }
        for step in [1.0, 2, 5, 10] where value <= step * ten { return step * ten }
        return value
    }

    // MARK: - Tables

    private func topics(_ html: inout HTML) {
        guard !report.topics.isEmpty else { return }
        html.raw("<section aria-labelledby=\"h-topics\"><h2 id=\"h-topics\">Topics</h2><div class=\"card flush\">")
        html.raw("<table role=\"table\" class=\"stack\"><thead><tr role=\"row\">")
        for name in ["Topic", "State", "In flight", "Spooled", "Oldest", "Last event", "Durable"] {
            html.raw("<th role=\"columnheader\" scope=\"col\">")
            html.text(name)
            html.raw("</th>")
        }
        html.raw("</tr></thead><tbody>")
        for topic in report.topics {
            html.raw("<tr role=\"row\"><th role=\"rowheader\" scope=\"row\">")
            html.text(topic.name)
            html.raw("</th>")
            let (text, style) = state(topic)
            cell(&html, "State", text, style: style)
            cell(&html, "In flight", Figure.count(topic.inFlight), style: topic.inFlight == 0 ? "num none" : "num")
            let spooled = "\(Figure.count(topic.waiting)) · \(Figure.bytes(topic.waitingBytes))"
            cell(
                &html, "Spooled", topic.waiting == 0 ? "–" : spooled, style: topic.waiting == 0 ? "num none" : "num")
            cell(
                &html, "Oldest", topic.oldestAge.map(Figure.duration) ?? "–",
                style: topic.oldestAge == nil ? "num none" : "num")
            cell(
                &html, "Last event",
                topic.lastEventAge.map { $0 < 2 ? "just now" : "\(Figure.duration($0)) ago" } ?? "none yet",
                style: topic.lastEventAge == nil ? "num none" : "num")
            let (durable, durableStyle) = durability(topic)
            cell(&html, "Durable", durable, style: durableStyle)
            html.raw("</tr>")
        }
        html.raw("</tbody></table></div></section>")
    }

    /// A topic stays `direct` until one of its events times out: while Kafka does not answer, the page does not show it as
    /// healthy.
    private func state(_ topic: StatusReport.Topic) -> (text: String, style: String) {
        switch topic.state {
        case 0: report.isKafkaUp ? ("direct", "ok") : ("idle: Kafka does not answer", "none")
        case 1: ("spooling", "bad")
        case 2: ("draining", "warn")
        default: ("–", "")
        }
    }

    private func durability(_ topic: StatusReport.Topic) -> (text: String, style: String) {
        let copies = topic.replication.map { "replication \($0)" }
        let inSync = topic.minInSyncReplicas.map { "min.insync \($0)" }
        let unclean = topic.allowsUncleanElection == true ? "unclean election" : nil
        let figures = [copies, inSync, unclean].compactMap { $0 }.joined(separator: ", ")
        switch topic.isDurable {
        case true?: return ("yes: \(figures)", "ok")
        case false?: return ("no: \(figures)", report.isDevelopment ? "none" : "bad")
        case nil: return (figures.isEmpty ? "unknown" : "unknown: \(figures)", "none")
        }
    }

    private func cell(_ html: inout HTML, _ label: String, _ text: String, style: String) {
        html.raw("<td role=\"cell\" data-label=\"\(label)\" class=\"\(style)\"><span>")
        html.text(text)
        html.raw("</span></td>")
    }

    private func spool(_ html: inout HTML) {
        html.raw("<section class=\"card\" aria-labelledby=\"h-spool\"><h2 id=\"h-spool\">Spool</h2>")
        guard let spool = report.spool else {
            html.element("p", "Disabled (spool.none): while Kafka is down, callbacks are rejected with 503.")
            html.raw("</section>")
            return
        }
        let share = min(1, report.waitingBytes / spool.maxBytes)
        html.raw("<p class=\"big \(spool.takesEvents ? "" : "bad")\">")
        html.text(spool.takesEvents ? "writable" : "cannot store events")
        html.raw("</p><meter min=\"0\" max=\"1\" low=\"0.35\" high=\"0.7\" optimum=\"0\" value=\"")
        html.raw("\((share * 1_000).rounded() / 1_000)\" aria-label=\"used\"></meter>")
        pairs(
            &html,
            [
                ("Backlog", "\(Figure.count(report.waiting, of: "event")), \(Figure.bytes(report.waitingBytes))"),
                ("Limit", "\(Figure.bytes(spool.maxBytes)), half of it per topic"),
                ("Oldest", report.oldestAge.map(Figure.duration) ?? "–"),
                ("Free disk space", Figure.bytes(spool.diskFreeBytes)),
                ("Parked", Figure.count(spool.parked)),
                ("Corrupt files moved aside", Figure.count(spool.setAsideFiles)),
            ])
        html.raw("</section>")
    }

    private func kafka(_ html: inout HTML) {
        html.raw(
            "<section class=\"card\" aria-labelledby=\"h-kafka\"><h2 id=\"h-kafka\">Kafka</h2><p class=\"big \(report.isKafkaUp ? "" : "bad")\">"
        )
        html.text(report.isKafkaUp ? "answers" : "does not answer")
        html.raw("</p>")
        let history = report.history
        let quarantined =
            history.increase("smsbridge_events_acknowledged_total", "quarantine", over: 3_600)
            + history.increase("smsbridge_events_spooled_total", "quarantine", over: 3_600)
        let kept = report.topics.filter { $0.isDurable == true }.count
        pairs(
            &html,
            [
                ("Brokers", report.instance.brokers.isEmpty ? "–" : report.instance.brokers.joined(separator: ", ")),
                ("Durable topics", "\(kept) of \(report.topics.count)"),
                ("In flight", Figure.count(report.inFlight, of: "event")),
                (
                    "Producer recreated, last hour",
                    Figure.count(history.increase("smsbridge_producer_recreations_total", over: 3_600))
                ),
                ("Callbacks quarantined, last hour", Figure.count(quarantined)),
                (
                    "Records rejected, last hour",
                    Figure.count(history.increase("smsbridge_records_rejected_total", over: 3_600))
                ),
            ])
        html.raw("</section>")
    }

    private func outcomes(_ html: inout HTML) {
        html.raw(
            "<section class=\"card\" aria-labelledby=\"h-requests\"><h2 id=\"h-requests\">Requests by outcome</h2>")
        html.raw("<table><thead><tr><th scope=\"col\">Response</th><th scope=\"col\" class=\"num\">Last minute</th>")
        html.raw(
            "<th scope=\"col\" class=\"num\">Last hour</th><th scope=\"col\" class=\"num\">Since the start</th></tr></thead><tbody>"
        )
        for outcome in report.outcomes {
            html.raw("<tr><th scope=\"row\">")
            html.text(outcome.name)
            html.raw("</th>")
            for value in [outcome.lastMinute, outcome.lastHour, outcome.sinceStart] {
                html.element("td", class: value == 0 ? "num none" : "num", Figure.count(value))
            }
            html.raw("</tr>")
        }
        html.raw("</tbody></table></section>")
    }

    private func process(_ html: inout HTML) {
        html.raw("<section class=\"card\" aria-labelledby=\"h-process\"><h2 id=\"h-process\">Process</h2>")
        var rows: [(String, String)] = [("Version", report.title)]
        if !report.instance.host.isEmpty { rows.append(("Host", report.instance.host)) }
        if !report.instance.accounts.isEmpty {
            rows.append(("Accounts", report.instance.accounts.joined(separator: ", ")))
        }
        if let started = report.startedAt { rows.append(("Started", Figure.date(started))) }
        if let uptime = report.uptime { rows.append(("Up for", Figure.duration(uptime))) }
        rows.append(
            ("Public event loop", report.silence > 2 ? "blocked for \(Figure.duration(report.silence))" : "running"))
        rows.append(("Connections", Figure.count(report.connections)))
        if let bytes = report.residentBytes { rows.append(("Memory", Figure.bytes(bytes))) }
        if let open = report.openDescriptors, let most = report.maxDescriptors {
            rows.append(("File descriptors", "\(Figure.count(open)) of \(Figure.count(most))"))
        }
        pairs(&html, rows)
        html.raw("</section>")
    }

    private func pairs(_ html: inout HTML, _ rows: [(String, String)]) {
        html.raw("<dl>")
        for (name, value) in rows {
            html.raw("<div>")
            html.element("dt", name)
            html.element("dd", value)
            html.raw("</div>")
        }
        html.raw("</dl>")
    }

    private func footer(_ html: inout HTML) {
        html.raw("<footer class=\"wide\"><p>")
        if let refresh {
            html.text("Refreshed every \(refresh) s. ")
            html.raw("<a href=\"/?refresh=never\">Stop</a>")
        } else {
            html.raw("Not refreshed. <a href=\"/\">Refresh automatically</a>")
        }
        html.raw(
            "</p><nav aria-label=\"Also on this port\"><a href=\"/status\">/status</a> <a href=\"/metrics\">/metrics</a> "
        )
        html.raw("<a href=\"/readyz\">/readyz</a> <a href=\"/healthz\">/healthz</a> ")
        html.raw("<a href=\"/runbook\">/runbook</a></nav></footer>")
    }
}
