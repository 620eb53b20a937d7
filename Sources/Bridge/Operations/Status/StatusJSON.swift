extension StatusReport {
    /// What the page tells, for scripts: `GET /status`. Times in seconds; null is not known, or none.
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
        let lanes = lanes.map { lane in
            JSONText.object([
                "topic": JSONText.string(lane.topic), "state": JSONText.string(lane.stateName),
                "inFlight": JSONText.number(lane.inFlight), "spooledEvents": JSONText.number(lane.waiting),
                "spooledBytes": JSONText.number(lane.waitingBytes), "oldestAge": JSONText.number(lane.oldestAge),
                "lastEventAge": JSONText.number(lane.lastEventAge), "durable": JSONText.bool(lane.isDurable),
                "replication": JSONText.number(lane.replication.map { Double($0) }),
                "minInsyncReplicas": JSONText.number(lane.minInSyncReplicas.map { Double($0) }),
                "uncleanElection": JSONText.bool(lane.allowsUncleanElection),
            ])
        }
        let spool = spool.map { spool in
            JSONText.object([
                "takesEvents": JSONText.bool(spool.takesEvents), "events": JSONText.number(waiting),
                "bytes": JSONText.number(waitingBytes), "maxBytes": JSONText.number(spool.maxBytes),
                "oldestAge": JSONText.number(oldestAge), "diskFreeBytes": JSONText.number(spool.diskFreeBytes),
                "parked": JSONText.number(spool.parked), "setAsideFiles": JSONText.number(spool.setAsideFiles),
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
            "topics": JSONText.array(lanes),
            "lastMinute": JSONText.object([
                "acceptedPerSecond": JSONText.number(now.accepted), "refusedPerSecond": JSONText.number(now.refused),
                "hedgedPerSecond": JSONText.number(now.hedged), "p50": JSONText.number(now.p50),
                "p99": JSONText.number(now.p99),
            ]), "outcomes": JSONText.array(outcomes),
        ])
        return Array((text + "\n").utf8)
    }

    /// What `/readyz` tells: `{"ready":false,"unmet":{"starting":"…"},"alerts":{"SmsbridgeKafkaDown":"Kafka does not answer"}}`.
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
