extension StatusReport {
    /// The content of the page for scripts: `GET /status`. Times in seconds; null is unknown or none.
    func json() -> [UInt8] {
        let now = history.average(over: 60)
        let findings = findings.map { finding in
            JSONText.object([
                "alert": finding.alert.map(JSONText.string) ?? "null",
                "runbook": finding.alert.map { JSONText.string(runbook.link(to: $0)) } ?? "null",
                "severity": JSONText.string(finding.severity.name), "title": JSONText.string(finding.title),
                "advice": JSONText.string(finding.advice),
            ])
        }
        let topics = topics.map { topic in
            JSONText.object([
                "topic": JSONText.string(topic.name), "state": JSONText.string(topic.stateName),
                "inFlight": JSONText.number(topic.inFlight), "spooledEvents": JSONText.number(topic.waiting),
                "spooledBytes": JSONText.number(topic.waitingBytes), "oldestAge": JSONText.number(topic.oldestAge),
                "lastEventAge": JSONText.number(topic.lastEventAge), "durable": JSONText.bool(topic.isDurable),
                "replication": JSONText.number(topic.replication.map { Double($0) }),
                "minInsyncReplicas": JSONText.number(topic.minInSyncReplicas.map { Double($0) }),
                "uncleanElection": JSONText.bool(topic.allowsUncleanElection),
            ])
        }
        let spool = spool.map { spool in
            JSONText.object([
                "writable": JSONText.bool(spool.takesEvents), "events": JSONText.number(waiting),
                "bytes": JSONText.number(waitingBytes), "maxBytes": JSONText.number(spool.maxBytes),
                "oldestAge": JSONText.number(oldestAge), "diskFreeBytes": JSONText.number(spool.diskFreeBytes),
                "parked": JSONText.number(spool.parked), "corruptFiles": JSONText.number(spool.setAsideFiles),
            ])
        }
        let outcomes = outcomes.map { outcome in
            JSONText.object([
                "outcome": JSONText.string(outcome.name), "lastMinute": JSONText.number(outcome.lastMinute),
                "lastHour": JSONText.number(outcome.lastHour), "sinceStart": JSONText.number(outcome.sinceStart),
            ])
        }
        let text = JSONText.object([
            "state": JSONText.string(state), "ready": JSONText.bool(isReady), "title": JSONText.string(title),
            "host": JSONText.string(instance.host), "accounts": JSONText.array(instance.accounts.map(JSONText.string)),
            "brokers": JSONText.array(instance.brokers.map(JSONText.string)),
            "time": JSONText.number(time), "uptime": JSONText.number(uptime), "findings": JSONText.array(findings),
            "kafka": JSONText.object(["answers": JSONText.bool(isKafkaUp)]), "spool": spool ?? "null",
            "topics": JSONText.array(topics),
            "lastMinute": JSONText.object([
                "acceptedPerSecond": JSONText.number(now.accepted),
                "unavailablePerSecond": JSONText.number(now.unavailable),
                "hedgedPerSecond": JSONText.number(now.hedged), "p50": JSONText.number(now.p50),
                "p99": JSONText.number(now.p99),
            ]), "outcomes": JSONText.array(outcomes),
        ])
        return Array((text + "\n").utf8)
    }

    /// The body of `/readyz`: `{"ready":false,"unmet":{"starting":"…"},"alerts":{"SmsbridgeKafkaDown":"Kafka does not answer"}}`.
    /// The alerts are those of the findings, by their names in the alert rules, or by their own where no rule has them.
    func readinessJSON() -> [UInt8] {
        var alerts: [String: String] = [:]
        for finding in findings {
            guard let alert = finding.alert else { continue }
            alerts[alert] = alerts[alert].map { "\($0); \(finding.title)" } ?? finding.title
        }
        for (name, reason) in Self.uncovered(self.alerts) { alerts[name] = reason }
        func object(_ members: [(String, String)]) -> String {
            "{" + members.map { "\(JSONText.string($0)):\(JSONText.string($1))" }.joined(separator: ",") + "}"
        }
        let text =
            "{\"ready\":\(isReady),\"unmet\":\(object(unmet.map { ($0.name, $0.reason) })),"
            + "\"alerts\":\(object(alerts.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }))}\n"
        return Array(text.utf8)
    }
}
