package import SMSBridgeKafka
internal import SMSPortalEvents

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// The topics as the bridge wants them.
package struct TopicPlan: Sendable {
    package var prefix: String
    /// Partitions of a topic that is made.
    package var partitions: Int
    /// Copies of each partition of a topic that is made; fewer where the cluster has fewer brokers.
    package var replication: Int
    /// How long a topic that is made keeps its records.
    package var retention: Duration
    /// The largest record, in bytes, that a callback can make.
    package var maxRecordBytes: Int
    /// At most so many bytes of records share a batch.
    package var batchBytes: Int
    /// Who makes and uses them.
    package var access: KafkaAccess

    package init(
        prefix: String, partitions: Int, replication: Int, retention: Duration, maxRecordBytes: Int,
        batchBytes: Int = 512 << 10, access: KafkaAccess = KafkaAccess(ClientConfiguration(bootstrapServers: ""))
    ) {
        self.access = access
        self.prefix = prefix
        self.partitions = partitions
        self.replication = replication
        self.retention = retention
        self.maxRecordBytes = maxRecordBytes
        self.batchBytes = batchBytes
    }

    /// Topics as they are to be made.
    ///
    /// - Parameter limitsTimestamps: whether records older than the retention are rejected, which Kafka knows since 3.6
    ///   (KIP-937). Without it they are acknowledged, and deleted by the next retention check.
    func newTopics(_ names: [String], replication: Int32, limitsTimestamps: Bool = true) -> [NewTopic] {
        var configuration = [
            "retention.ms": String(retention.milliseconds), "message.timestamp.type": "CreateTime",
        ]
        if limitsTimestamps {
            configuration["message.timestamp.before.max.ms"] = String(oldestTimestamp.milliseconds)
            configuration["message.timestamp.after.max.ms"] = String(Self.newestTimestamp.milliseconds)
        }
        if replication > 1 { configuration["min.insync.replicas"] = "2" }
        let needed = max(maxRecordBytes, batchBytes) + Self.batchOverhead
        if needed > Self.defaultMaxMessageBytes { configuration["max.message.bytes"] = String(needed) }
        return names.map {
            NewTopic(
                name: $0, partitions: Int32(partitions), replication: replication, configuration: configuration)
        }
    }

    /// How old a record may be when it is written: what is left of the retention then is the consumers' time to read
    /// it.
    var oldestTimestamp: Duration { retention >= .seconds(2 * 86_400) ? retention - .seconds(86_400) : retention / 2 }

    /// How far ahead of the broker's clock a record's timestamp may be: Kafka's own default since 3.6 is an hour.
    static let newestTimestamp = Duration.seconds(3_600)

    package var names: [String] { EventTopic.allCases.map { $0.name(prefix: prefix) } }

    /// A record's batch has a head of its own, and each record some bytes; Kafka's limit is on the batch.
    static let batchOverhead = 1_024
    /// Kafka's own default of `max.message.bytes`.
    static let defaultMaxMessageBytes = 1_048_588
}

/// What a look at the topics found.
package struct TopicFindings: Sendable {
    package enum Severity: Sendable {
        case note, warning
        /// What development mode makes of a durability finding.
        case information
        /// A warning that a promise other than durability does not hold.
        case broken
        /// A warning that an acknowledged event can be lost.
        case durability
    }

    package struct Finding: Sendable {
        package let severity: Severity
        package let text: String
    }

    /// The topics that this setup has created.
    package var created: [String] = []
    package var findings: [Finding] = []
    /// How durable each topic is, by name; a topic that is missing is not in it.
    package var durability: [String: TopicDurability] = [:]
    /// What of the durability could not be judged.
    var unjudged: [String] = []

    /// Why an acknowledged event can be lost, a sentence each.
    package var breaksDurability: [String] { findings.filter { $0.severity == .durability }.map(\.text) }

    /// Why the topics cannot be used where durability is insisted on; nil when they can. What is hidden counts as weak.
    package var refusal: TopicSetupError? {
        let reasons = breaksDurability + unjudged
        return reasons.isEmpty ? nil : .notDurable(reasons)
    }

    /// The same for development mode: what is weak is one line of information.
    package var forDevelopment: TopicFindings {
        var result = self
        result.findings.removeAll { $0.severity == .durability }
        let weak = durability.filter { $0.value.isKept == false }
        if !weak.isEmpty {
            let sentences = Set(weak.values.flatMap(\.weaknesses).map { $0.prefix { $0 != ";" } }).sorted()
            result.add(
                .information,
                "development mode: acknowledged events can be lost in \(weak.count) topics: \(sentences.joined(separator: ", "))"
            )
        }
        return result
    }

    mutating func add(_ severity: Severity, _ text: String) { findings.append(Finding(severity: severity, text: text)) }
}

/// Why the topics cannot be used.
package enum TopicSetupError: Error, Sendable, CustomStringConvertible {
    /// The cluster did not answer; with the errors that librdkafka reported.
    case unreachable(String)
    /// These topics are missing and were not to be made.
    case missing([String])
    /// These could not be made; how the permission is given where it is missing.
    case notCreated([(topic: String, reason: String)], grant: String?)
    /// These exist, but the cluster does not show them to this user; how it is let.
    case notVisible([String], grant: String)
    /// Durability is insisted on, and this is why it is not given.
    case notDurable([String])

    package var description: String {
        switch self {
        case .unreachable(let reason): "Kafka cannot be reached: \(reason)"
        case .missing(let topics):
            "missing topics: \(topics.joined(separator: ", ")); make them, or let the bridge do it with "
                + "topics.create: true (one that exists may be hidden: seeing it takes the ACL operation Describe on it)"
        case .notCreated(let topics, let grant):
            "topics that could not be created: "
                + topics.map { "\($0.topic) (\($0.reason))" }.joined(separator: ", ")
                + (grant.map { "; make them yourself, or allow it: \($0)" } ?? "")
        case .notVisible(let topics, let grant):
            "topics that exist, but this user may not see: \(topics.joined(separator: ", ")); allow it (Write brings "
                + "Describe): \(grant)"
        case .notDurable(let reasons):
            "durability.strict is true, and acknowledged events could be lost: \(reasons.joined(separator: "; "))"
        }
    }
}

/// What the setup of topics asks of a cluster.
package protocol TopicAdmin {
    func describeAll(timeout: Int32) throws(KafkaError) -> ClusterMetadata
    func create(_ topics: [NewTopic], timeout: Int32) throws(KafkaError) -> [String: KafkaError?]
    func configurations(
        of resources: [ConfigurationResource], timeout: Int32
    ) throws(KafkaError) -> [ConfigurationResource: Result<[String: String?], KafkaError>]
    func recentErrors() -> [KafkaError]
}

extension Admin: TopicAdmin {
    package func describeAll(timeout: Int32) throws(KafkaError) -> ClusterMetadata { try describe(timeout: timeout) }
    package func create(_ topics: [NewTopic], timeout: Int32) throws(KafkaError) -> [String: KafkaError?] {
        try create(topics, validatesOnly: false, timeout: timeout)
    }
}

/// Looks at the topics before anything is published, and makes those that are missing.
///
/// Blocks; done before the bridge serves, never on its loop.
package struct TopicSetup {
    private let admin: any TopicAdmin
    private let timeout: Int32

    /// - Parameter timeout: milliseconds for each question to the cluster.
    package init(_ admin: any TopicAdmin, timeout: Int32 = 10_000) {
        self.admin = admin
        self.timeout = timeout
    }

    /// - Parameter creates: whether missing topics are made.
    /// - Parameter strict: whether missing topics are not made where they would be weak. What is there is only judged:
    ///   see `TopicFindings.refusal`.
    /// - Returns: what was made and what is worth knowing.
    /// - Throws: `TopicSetupError` when the bridge could not publish every type of event, or not make a topic durable.
    package func run(_ plan: TopicPlan, creates: Bool, strict: Bool = false) throws(TopicSetupError) -> TopicFindings {
        var findings = TopicFindings()
        var metadata = try describe(plan)
        let missing = plan.names.filter { name in !metadata.topics.contains { $0.name == name } }
        if !missing.isEmpty {
            guard creates else { throw .missing(missing) }
            let possible = min(plan.replication, metadata.brokers.count)
            if strict, possible < TopicDurability.neededReplication {
                // Before anything is made: a topic keeps the replication that it began with.
                throw .notDurable(["missing topics would be made with replication \(possible)"])
            }
            try create(missing, plan, brokers: metadata.brokers.count, &findings)
            // The brokers hear of a new topic a moment after it was made.
            for attempt in 1...50 {
                metadata = try describe(plan)
                let known = metadata.topics.filter { $0.error == nil }.map(\.name)
                if attempt == 50 || Set(plan.names).isSubset(of: known) { break }
                usleep(50_000)
            }
            let hidden = plan.names.filter { name in !metadata.topics.contains { $0.name == name } }
            guard hidden.isEmpty else {
                throw .notVisible(
                    hidden,
                    grant: plan.access.grant(
                        ["Write", "DescribeConfigs"], on: hidden,
                        prefix: hidden.count == plan.names.count ? plan.prefix : nil))
            }
        }
        try judge(metadata.topics.filter { plan.names.contains($0.name) }, plan, &findings)
        return findings
    }

    /// The durability that topics would have if they were created now.
    ///
    /// - Parameter brokers: of the cluster. What the cluster's defaults decide is unknown where the user may not
    ///   describe them.
    package func durabilityOfNewTopics(_ plan: TopicPlan, brokers: [ClusterMetadata.Broker]) -> TopicDurability {
        let replication = max(1, min(plan.replication, brokers.count))
        var durability = TopicDurability(replication: replication)
        let defaults = brokers.first.flatMap { broker in
            let resource = ConfigurationResource.broker(broker.id)
            return (try? admin.configurations(of: [resource], timeout: timeout))?[resource].flatMap { try? $0.get() }
        }
        durability.minInSyncReplicas =
            replication > 1 ? 2 : (defaults?["min.insync.replicas"] ?? nil).flatMap { Int($0) }
        durability.allowsUncleanElection =
            (defaults?["unclean.leader.election.enable"] ?? nil).flatMap { Bool($0) }
        return durability
    }

    /// Judges the topics once more, and makes none: one that was deleted while the bridge serves may be meant to be
    /// gone.
    ///
    /// - Throws: `TopicSetupError.unreachable` when the cluster does not answer.
    package func look(_ plan: TopicPlan) throws(TopicSetupError) -> TopicFindings {
        var findings = TopicFindings()
        let topics = try describe(plan).topics.filter { plan.names.contains($0.name) }
        let missing = plan.names.filter { name in !topics.contains { $0.name == name } }
        // Nothing can be acknowledged by them, so nothing can be lost.
        if !missing.isEmpty { findings.add(.warning, TopicSetupError.missing(missing).description) }
        try judge(topics, plan, &findings)
        return findings
    }

    /// All topics are asked for, not these by name: a question by name makes a broker with automatic creation make
    /// them.
    ///
    /// A login that is refused, or a certificate that is not trusted, is waited for a shorter time than a broker is.
    ///
    /// - Throws: `TopicSetupError.unreachable` with the setting to look at.
    package func describe(_ plan: TopicPlan) throws(TopicSetupError) -> ClusterMetadata {
        var waited: Int32 = 0
        var reason: String?
        var isRefused = false
        while true {
            let step = min(1_000, timeout)
            do { return try admin.describeAll(timeout: step) } catch {
                waited += step
                // What is met on the way says more than the time that ran out.
                let met = admin.recentErrors().filter { $0.code != .allBrokersDown }
                reason = met.last?.message ?? reason
                isRefused = isRefused || met.contains { [.authentication, .ssl].contains($0.code) }
                if waited >= timeout || (isRefused && waited >= Self.patience) {
                    throw .unreachable(plan.access.explain(reason ?? error.description))
                }
            }
        }
    }

    /// How long a refused login is tried again, in milliseconds: another broker may take it.
    private static let patience: Int32 = 3_000

    private func create(
        _ missing: [String], _ plan: TopicPlan, brokers: Int, _ findings: inout TopicFindings
    ) throws(TopicSetupError) {
        let replication = max(1, min(plan.replication, brokers))
        if replication < plan.replication {
            findings.add(
                .warning,
                "topics are created with replication \(replication) instead of \(plan.replication): the cluster has "
                    + "\(brokers) broker\(brokers == 1 ? "" : "s")")
        }
        var outcomes: [String: KafkaError?] = [:]
        do {
            outcomes = try admin.create(plan.newTopics(missing, replication: Int32(replication)), timeout: timeout)
            // Brokers before 3.6 do not know the limits of timestamps.
            let older = missing.filter { outcomes[$0]??.code == .invalidConfiguration }
            if !older.isEmpty {
                let plain = plan.newTopics(older, replication: Int32(replication), limitsTimestamps: false)
                outcomes.merge(try admin.create(plain, timeout: timeout)) { _, new in new }
            }
        } catch { throw .unreachable(error.description) }
        var isUnauthorised = false
        let failed = outcomes.compactMap { topic, error -> (topic: String, reason: String)? in
            // Another instance that starts at the same time may have been quicker.
            guard let error, error.code != .topicExists else { return nil }
            if [.topicNotAuthorized, .clusterNotAuthorized].contains(error.code) { isUnauthorised = true }
            return (topic, error.description)
        }
        guard failed.isEmpty else {
            let names = failed.map(\.topic).sorted()
            let grant = plan.access.grant(
                ["Create"], on: names, prefix: names.count == plan.names.count ? plan.prefix : nil)
            throw .notCreated(failed.sorted { $0.topic < $1.topic }, grant: isUnauthorised ? grant : nil)
        }
        findings.created = missing.filter { topic in
            guard let outcome = outcomes[topic] else { return false }
            return outcome == nil
        }
    }

    /// What the topics' own settings make of the bridge's promises. What holds for several topics is said once.
    private func judge(
        _ topics: [ClusterMetadata.Topic], _ plan: TopicPlan, _ findings: inout TopicFindings
    ) throws(TopicSetupError) {
        var weaknesses = Sentences()
        var breaches = Sentences()
        var warnings = Sentences()
        var notes = Sentences()
        let described = try configurations(of: topics)
        let hidden = topics.map(\.name).filter { name in
            guard case .failure(let error)? = described[.topic(name)] else { return false }
            return error.code == .topicNotAuthorized
        }.sorted()
        let grant = plan.access.grant(
            ["DescribeConfigs"], on: hidden, prefix: hidden.count == plan.names.count ? plan.prefix : nil)
        for topic in topics.sorted(by: { $0.name < $1.name }) {
            if let error = topic.error { warnings.add("the cluster says \(error)", of: topic.name) }
            var durability = TopicDurability(replication: topic.partitions.map(\.replicas.count).min())
            switch described[.topic(topic.name)] {
            case .success(let values):
                durability.minInSyncReplicas = values["min.insync.replicas"]?.flatMap { Int($0) }
                durability.allowsUncleanElection = values["unclean.leader.election.enable"]?.flatMap { Bool($0) }
                for warning in Self.warnings(values, plan) { warnings.add(warning, of: topic.name) }
                for sentence in Self.breaches(values, plan) { breaches.add(sentence, of: topic.name) }
                if durability.isKept == nil {
                    notes.add("the cluster does not tell all of its durability, so it is not judged", of: topic.name)
                }
            case .failure(let error):
                let advice = error.code == .topicNotAuthorized ? "; allow it (DescribeConfigs): \(grant)" : ""
                notes.add(
                    "the configuration cannot be seen (\(error.code)), so it is not judged\(advice)", of: topic.name)
            case nil: notes.add("configuration unknown, not checked", of: topic.name)
            }
            for weakness in durability.weaknesses { weaknesses.add(weakness, of: topic.name) }
            findings.durability[topic.name] = durability
        }
        for (weakness, topics) in weaknesses.each {
            findings.add(
                .durability, "\(Sentences.subject(topics, plan)): \(weakness): \(plan.access.fix(weakness, of: topics))"
            )
        }
        for breach in breaches.all(of: plan) { findings.add(.broken, breach) }
        for warning in warnings.all(of: plan) { findings.add(.warning, warning) }
        for note in notes.all(of: plan) {
            findings.add(.note, note)
            findings.unjudged.append(note)
        }
    }

    /// A cluster that does not answer is no verdict; one that refuses to tell, or cannot, is.
    private func configurations(
        of topics: [ClusterMetadata.Topic]
    ) throws(TopicSetupError) -> [ConfigurationResource: Result<[String: String?], KafkaError>] {
        guard !topics.isEmpty else { return [:] }
        let wanted = topics.map { ConfigurationResource.topic($0.name) }
        do { return try admin.configurations(of: wanted, timeout: timeout) } catch {
            guard ![.timedOut, .requestTimedOut, .transport].contains(error.code) else {
                throw .unreachable(error.description)
            }
            return Dictionary(uniqueKeysWithValues: wanted.map { ($0, .failure(error)) })
        }
    }

    /// Sentences about topics: what holds for several is one.
    private struct Sentences {
        private var items: [(text: String, topics: [String])] = []

        mutating func add(_ text: String, of topic: String) {
            if let index = items.firstIndex(where: { $0.text == text }) {
                items[index].topics.append(topic)
            } else {
                items.append((text, [topic]))
            }
        }

        var each: [(text: String, topics: [String])] { items }

        func all(of plan: TopicPlan) -> [String] { items.map { "\(Self.subject($0.topics, plan)): \($0.text)" } }

        static func subject(_ topics: [String], _ plan: TopicPlan) -> String {
            topics.count == plan.names.count ? "all topics" : topics.joined(separator: ", ")
        }
    }

    private static func number(_ name: String, in values: [String: String?]) -> Int? {
        (values[name] ?? nil).flatMap(Int.init)
    }

    private static let day = 86_400_000

    /// What breaks a promise, but for durability.
    private static func breaches(_ values: [String: String?], _ plan: TopicPlan) -> [String] {
        var sentences: [String] = []
        if let limit = number("max.message.bytes", in: values), limit < plan.batchBytes + TopicPlan.batchOverhead {
            sentences.append(
                "max.message.bytes is \(limit), so records that are gathered in one batch can be refused; raise "
                    + "max.message.bytes to \(plan.batchBytes + TopicPlan.batchOverhead), or set publish.batchBytes lower"
            )
        }
        if (values["cleanup.policy"] ?? nil)?.contains("compact") == true {
            sentences.append(
                "cleanup.policy is compact; only the last event of each number is kept, and one without a number is refused: "
                    + "set it to delete")
        }
        if let retention = number("retention.ms", in: values), (0..<day).contains(retention) {
            sentences.append(
                "retention.ms is \(retention), less than a day; an event carries the time of its reception, so after an outage it "
                    + "can be gone before anybody has read it: raise it")
        }
        return sentences
    }

    /// The name that it has here: before Kafka 3.6 one limit stood for both directions.
    private static func limitName(_ values: [String: String?]) -> String {
        values["message.timestamp.before.max.ms"] != nil
            ? "message.timestamp.before.max.ms" : "message.timestamp.difference.max.ms"
    }

    /// How old a record may be when it is written, in milliseconds; nil for any age.
    private static func oldestLimit(_ values: [String: String?]) -> Int? {
        guard (values["message.timestamp.type"] ?? nil) != "LogAppendTime" else { return nil }
        return number(limitName(values), in: values).flatMap { $0 == Int.max ? nil : $0 }
    }

    private static func warnings(_ values: [String: String?], _ plan: TopicPlan) -> [String] {
        var warnings: [String] = []
        if let limit = number("max.message.bytes", in: values), limit < plan.maxRecordBytes + TopicPlan.batchOverhead {
            warnings.append(
                "max.message.bytes is \(limit), but a callback within http.maxBodyBytes and http.maxTargetBytes can make "
                    + "a record of \(plan.maxRecordBytes) bytes; Kafka refuses larger ones, and they stay parked in the spool"
            )
        }
        if (values["message.timestamp.type"] ?? nil) == "LogAppendTime" {
            warnings.append("message.timestamp.type is LogAppendTime; the time of reception stands only in the value")
        }
        if (values["message.timestamp.type"] ?? nil) != "LogAppendTime",
            let retention = number("retention.ms", in: values), retention >= 0,
            oldestLimit(values) ?? .max > retention
        {
            warnings.append(
                "\(limitName(values)) is not below retention.ms, \(retention); a record whose timestamp is older, as of a clock "
                    + "that was wrong, is acknowledged and deleted: kafka-configs --bootstrap-server "
                    + "\(plan.access.servers) --alter --entity-type topics --entity-name <topic> --add-config "
                    + "\(limitName(values))=\(retention - retention / 7)")
        }
        if let limit = number("message.timestamp.after.max.ms", in: values), limit < 60_000 {
            warnings.append(
                "message.timestamp.after.max.ms is \(limit); where the clock of the bridge is ahead by more, Kafka refuses its events"
            )
        }
        if let retention = number("retention.ms", in: values), (day..<3 * day).contains(retention) {
            warnings.append("retention.ms is \(retention); a consumer that is away over a weekend misses events")
        }
        if let bytes = number("retention.bytes", in: values), bytes >= 0 {
            warnings.append(
                "retention.bytes is \(bytes); a partition that grows beyond it loses its oldest events, read or not")
        }
        return warnings
    }
}
