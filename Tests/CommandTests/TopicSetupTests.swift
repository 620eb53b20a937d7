import SMSBridgeKafka
import SMSBridgePublisher
import SMSBridgeTelemetry
import SMSPortalEvents
import Testing

/// What the setup of topics makes of what a cluster says; the cluster is made up.
@Suite struct TopicSetupTests {
    final class FakeCluster: TopicAdmin {
        var brokers = 3
        var replicas = 3
        /// Topics that are there.
        var existing: Set<String> = []
        /// Topics that are there, or can be made, without this user's seeing them.
        var hidden: Set<String> = []
        /// What the making of a topic is answered with.
        var refusals: [String: KafkaError] = [:]
        var configuration: Result<[String: String?], KafkaError> = .success([
            "max.message.bytes": "1048588", "min.insync.replicas": "2", "unclean.leader.election.enable": "false",
            "cleanup.policy": "delete", "message.timestamp.type": "CreateTime",
        ])
        /// Brokers before 3.6 do not.
        var knowsTimestampLimits = true
        /// What the question for configurations ends with instead of an answer.
        var unanswered: KafkaError?
        private(set) var asked: [NewTopic] = []

        init(existing: [String] = []) { self.existing = Set(existing) }

        func set(_ name: String, _ value: String) {
            configuration = configuration.map { $0.merging([name: value]) { $1 } }
        }

        func describeAll(timeout: Int32) throws(KafkaError) -> ClusterMetadata {
            ClusterMetadata(
                brokers: (0..<brokers).map { .init(id: Int32($0), host: "b", port: 1) },
                topics: existing.subtracting(hidden).map {
                    .init(
                        name: $0, error: nil,
                        partitions: [
                            .init(
                                id: 0, leader: 0, replicas: Array(0..<Int32(replicas)),
                                inSyncReplicas: Array(0..<Int32(replicas)))
                        ])
                })
        }

        func create(_ topics: [NewTopic], timeout: Int32) throws(KafkaError) -> [String: KafkaError?] {
            asked += topics
            var outcomes: [String: KafkaError?] = [:]
            for topic in topics {
                let exists = KafkaError(.topicExists)
                if !knowsTimestampLimits, topic.configuration["message.timestamp.before.max.ms"] != nil {
                    outcomes.updateValue(KafkaError(.invalidConfiguration), forKey: topic.name)
                    continue
                }
                let refusal = refusals[topic.name] ?? (existing.contains(topic.name) ? exists : nil)
                if refusal == nil || refusal?.code == .topicExists { existing.insert(topic.name) }
                outcomes.updateValue(refusal, forKey: topic.name)
            }
            return outcomes
        }

        func configurations(
            of resources: [ConfigurationResource], timeout: Int32
        ) throws(KafkaError) -> [ConfigurationResource: Result<[String: String?], KafkaError>] {
            if let unanswered { throw unanswered }
            return Dictionary(uniqueKeysWithValues: resources.map { ($0, configuration) })
        }

        func recentErrors() -> [KafkaError] { [] }
    }

    let plan = TopicPlan(
        prefix: "p", partitions: 2, replication: 3, retention: .seconds(3_600), maxRecordBytes: 860_000)

    @Test func aGoodClusterIsNotWarnedOf() throws {
        let findings = try TopicSetup(FakeCluster(existing: plan.names)).run(plan, creates: true)
        #expect(findings.findings.isEmpty && findings.created.isEmpty)
    }

    @Test func aTopicThatTakesNoWholeBatchIsWarnedOf() throws {
        let cluster = FakeCluster(existing: plan.names)
        var plan = plan
        plan.maxRecordBytes = 10_000
        cluster.set("max.message.bytes", "500000")
        let texts = try TopicSetup(cluster).run(plan, creates: false).findings.map(\.text)
        #expect(
            texts == [
                "all topics: max.message.bytes is 500000, so records that are gathered in one batch can be refused; "
                    + "raise max.message.bytes to \(512 * 1024 + 1_024), or set publish.batchBytes lower"
            ])
        plan.batchBytes = 400_000
        #expect(try TopicSetup(cluster).run(plan, creates: false).findings.isEmpty)
    }

    private func error(_ body: () throws -> Void) -> TopicSetupError? {
        do { try body() } catch { return error as? TopicSetupError }
        return nil
    }

    @Test(arguments: [
        ("min.insync.replicas", "1", "min.insync.replicas is 1"),
        ("unclean.leader.election.enable", "true", "unclean.leader.election.enable is true"),
        ("", "", "replication is 2"),
    ])
    func whatCanLoseAnEventIsSaidAndRefusedWhenStrict(name: String, value: String, says: String) throws {
        let cluster = FakeCluster(existing: plan.names)
        if name.isEmpty { cluster.replicas = 2 } else { cluster.set(name, value) }
        let findings = try TopicSetup(cluster).run(plan, creates: true)
        #expect(findings.findings.map(\.severity) == [.durability])
        #expect(findings.breaksDurability.count == 1 && findings.breaksDurability[0].hasPrefix("all topics: \(says)"))
        guard case .notDurable(let reasons)? = findings.refusal else {
            Issue.record("\(findings.refusal as Any)")
            return
        }
        #expect(reasons == findings.breaksDurability)
        #expect(findings.refusal?.description.contains("durability.strict") == true)
        #expect(Set(findings.durability.keys) == Set(plan.names))
        #expect(findings.durability.values.allSatisfy { $0.isKept == false })
        #expect(try TopicSetup(cluster).look(plan).durability == findings.durability)
    }

    @Test func aLookMakesNothingAndAMissingTopicIsNoWeakness() throws {
        let cluster = FakeCluster(existing: Array(plan.names.dropFirst()))
        let findings = try TopicSetup(cluster).look(plan)
        #expect(cluster.asked.isEmpty && findings.refusal == nil)
        #expect(findings.findings.map(\.severity) == [.warning])
        #expect(findings.durability.count == plan.names.count - 1)
        #expect(findings.durability.values.allSatisfy { $0.isKept == true })
    }

    /// A look that failed on its way says nothing of the topics: an outage must not look like a weak topic.
    @Test func aClusterThatDoesNotAnswerIsNoVerdict() {
        let cluster = FakeCluster(existing: plan.names)
        cluster.unanswered = KafkaError(.timedOut)
        guard case .unreachable? = error({ _ = try TopicSetup(cluster).look(plan) }) else {
            Issue.record("judged")
            return
        }
    }

    @Test(arguments: [
        ("max.message.bytes", "500000", TopicFindings.Severity.broken, "publish.batchBytes lower"),
        ("message.timestamp.before.max.ms", "604800001", .warning, "acknowledged and deleted"),
        (
            "message.timestamp.difference.max.ms", "604800001", .warning,
            "message.timestamp.difference.max.ms is not below"
        ),
        ("message.timestamp.after.max.ms", "1000", .warning, "clock of the bridge"),
        ("retention.ms", "3600000", .broken, "less than a day"),
        ("retention.ms", "100000000", .warning, "over a weekend"),
        ("retention.bytes", "1000000", .warning, "loses its oldest events"),
        ("cleanup.policy", "compact", .broken, "one without a number is refused"),
        ("message.timestamp.type", "LogAppendTime", .warning, "time of reception"),
    ])
    func whatBreaksAPromiseIsToldFromWhatIsWorthKnowing(
        name: String, value: String, severity: TopicFindings.Severity, says: String
    ) throws {
        let cluster = FakeCluster(existing: plan.names)
        var plan = plan
        plan.maxRecordBytes = 10_000
        if name.hasPrefix("message.timestamp.") { cluster.set("retention.ms", "604800000") }
        if !name.contains(".difference.") { cluster.set("message.timestamp.before.max.ms", "1000") }
        cluster.set(name, value)
        let findings = try TopicSetup(cluster).look(plan).findings
        #expect(findings.map(\.severity) == [severity])
        #expect(findings.first?.text.contains(says) == true, "\(findings)")
    }

    @Test func topicsThatAreMadeRejectRecordsThatTheRetentionWouldDeleteWhereTheBrokerKnowsHow() throws {
        for isOld in [false, true] {
            let cluster = FakeCluster(existing: [])
            cluster.knowsTimestampLimits = !isOld
            _ = try TopicSetup(cluster).run(plan, creates: true)
            let made = try #require(cluster.asked.last)
            let day = Int64(86_400_000)
            let before = made.configuration["message.timestamp.before.max.ms"].flatMap { Int64($0) }
            let retention = try #require(made.configuration["retention.ms"].flatMap { Int64($0) })
            #expect(before == (isOld ? nil : retention >= 2 * day ? retention - day : retention / 2))
        }
    }

    @Test(arguments: [
        ("message.timestamp.before.max.ms", "9223372036854775807"), ("retention.ms", "-1"), ("retention.bytes", "-1"),
        ("message.timestamp.after.max.ms", "3600000"),
    ])
    func theDefaultsOfKafkaAreNoTrouble(name: String, value: String) throws {
        let cluster = FakeCluster(existing: plan.names)
        cluster.set(name, value)
        #expect(try TopicSetup(cluster).look(plan).findings.isEmpty)
    }

    @Test func whatWasFoundIsInTheMetrics() throws {
        let registry = MetricRegistry()
        let metrics = TopicDurabilityMetrics(registry)
        func value(_ name: String, _ topic: String) -> Substring? {
            String(decoding: registry.render(), as: UTF8.self).split(separator: "\n")
                .first { $0.hasPrefix("\(name){topic=\"\(topic)\"}") }?.split(separator: " ").last
        }
        #expect(value("smsbridge_topic_durability", "reply") == "-1", "nothing is known before the first look")
        let cluster = FakeCluster(existing: plan.names)
        metrics.update(try TopicSetup(cluster).look(plan).durability, prefix: plan.prefix)
        #expect(value("smsbridge_topic_durability", "reply") == "1")
        #expect(value("smsbridge_topic_replication", "reply") == "3")
        #expect(value("smsbridge_topic_min_insync_replicas", "reply") == "2")
        #expect(value("smsbridge_topic_unclean_election", "reply") == "0")
        cluster.set("unclean.leader.election.enable", "true")
        metrics.update(try TopicSetup(cluster).look(plan).durability, prefix: plan.prefix)
        #expect(value("smsbridge_topic_durability", "reply") == "0")
        #expect(value("smsbridge_topic_unclean_election", "reply") == "1")
        cluster.configuration = .failure(KafkaError(.topicNotAuthorized))
        cluster.existing.remove("p.reply")
        metrics.update(try TopicSetup(cluster).look(plan).durability, prefix: plan.prefix)
        #expect(value("smsbridge_topic_durability", "url-click") == "-1", "the cluster does not tell")
        #expect(value("smsbridge_topic_replication", "url-click") == "3", "and yet tells this")
        #expect(value("smsbridge_topic_replication", "reply") == "-1")
    }

    @Test func strictMindsNothingButDurability() throws {
        let cluster = FakeCluster(existing: plan.names)
        cluster.set("cleanup.policy", "compact")
        let findings = try TopicSetup(cluster).run(plan, creates: true, strict: true)
        #expect(findings.findings.map(\.severity) == [.broken] && findings.refusal == nil)
    }

    @Test func strictDoesNotTakeWhatItCannotSee() throws {
        let cluster = FakeCluster(existing: plan.names)
        cluster.configuration = .failure(KafkaError(.topicNotAuthorized))
        let findings = try TopicSetup(cluster).run(plan, creates: true)
        #expect(findings.findings.map(\.severity) == [.note])
        guard case .notDurable? = findings.refusal else {
            Issue.record("taken")
            return
        }
    }

    @Test func strictMakesNoTopicsThatItWouldRefuse() {
        let cluster = FakeCluster()
        cluster.brokers = 1
        guard case .notDurable? = error({ _ = try TopicSetup(cluster).run(plan, creates: true, strict: true) }) else {
            Issue.record("taken")
            return
        }
        #expect(cluster.asked.isEmpty)
    }

    @Test func onlyWhatWasMadeHereIsClaimed() throws {
        let cluster = FakeCluster()
        // Another instance is quicker with two of them.
        for name in plan.names.prefix(2) { cluster.refusals[name] = KafkaError(.topicExists) }
        let findings = try TopicSetup(cluster).run(plan, creates: true)
        #expect(cluster.asked.map(\.name) == plan.names)
        #expect(findings.created == Array(plan.names.dropFirst(2)))
    }

    @Test func topicsThatExistAndAreHiddenAreNamed() {
        let cluster = FakeCluster(existing: plan.names)
        cluster.hidden = [plan.names[3]]
        let refusal = error { _ = try TopicSetup(cluster).run(plan, creates: true) }
        guard case .notVisible(let names, _)? = refusal else {
            Issue.record("\(refusal as Any)")
            return
        }
        #expect(names == [plan.names[3]])
        #expect(refusal?.description.contains("may not see") == true && refusal!.description.contains("Describe"))
        let missing = error { _ = try TopicSetup(cluster).run(plan, creates: false) }
        #expect(missing?.description.contains("Describe") == true)
    }
}
