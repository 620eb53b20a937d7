package import Kafka
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

    package init(prefix: String, partitions: Int, replication: Int, retention: Duration, maxRecordBytes: Int) {
        self.prefix = prefix
        self.partitions = partitions
        self.replication = replication
        self.retention = retention
        self.maxRecordBytes = maxRecordBytes
    }

    package var names: [String] { EventTopic.allCases.map { $0.name(prefix: prefix) } }

    /// A record's batch has a head of its own, and each record some bytes; Kafka's limit is on the batch.
    static let batchOverhead = 1_024
    /// Kafka's own default of `max.message.bytes`.
    static let defaultMaxMessageBytes = 1_048_588
}

/// What a look at the topics found.
package struct TopicFindings: Sendable {
    package enum Severity: Sendable { case note, warning }

    package struct Finding: Sendable {
        package let severity: Severity
        package let text: String
    }

    package var created: [String] = []
    package var findings: [Finding] = []

    mutating func warn(_ text: String) { findings.append(Finding(severity: .warning, text: text)) }
    mutating func note(_ text: String) { findings.append(Finding(severity: .note, text: text)) }
}

/// Why the topics cannot be used.
package enum TopicSetupError: Error, Sendable, CustomStringConvertible {
    /// The cluster did not answer; what librdkafka said meanwhile.
    case unreachable(String)
    /// These topics are missing and were not to be made.
    case missing([String])
    /// These could not be made.
    case notCreated([(topic: String, reason: String)])

    package var description: String {
        switch self {
        case .unreachable(let reason): "Kafka cannot be reached: \(reason)"
        case .missing(let topics):
            "missing topics: \(topics.joined(separator: ", ")); make them, or let the bridge do it with topics.create: true"
        case .notCreated(let topics):
            "topics that could not be created: "
                + topics.map { "\($0.topic) (\($0.reason))" }.joined(separator: ", ")
        }
    }
}

/// Looks at the topics before anything is published, and makes those that are missing.
///
/// Blocks; done before the bridge serves, never on its loop.
package struct TopicSetup {
    private let admin: Admin
    private let timeout: Int32

    /// - Parameter timeout: milliseconds for each question to the cluster.
    package init(_ admin: Admin, timeout: Int32 = 10_000) {
        self.admin = admin
        self.timeout = timeout
    }

    /// - Parameter creates: whether missing topics are made.
    /// - Returns: what was made and what is worth knowing.
    /// - Throws: `TopicSetupError` when the bridge could not publish every type of event.
    package func run(_ plan: TopicPlan, creates: Bool) throws(TopicSetupError) -> TopicFindings {
        var findings = TopicFindings()
        var metadata = try describe()
        let missing = plan.names.filter { name in !metadata.topics.contains { $0.name == name } }
        if !missing.isEmpty {
            guard creates else { throw .missing(missing) }
            try create(missing, plan, brokers: metadata.brokers.count, &findings)
            // The brokers hear of a new topic a moment after it was made.
            for attempt in 1...50 {
                metadata = try describe()
                let known = metadata.topics.filter { $0.error == nil }.map(\.name)
                if attempt == 50 || Set(plan.names).isSubset(of: known) { break }
                usleep(50_000)
            }
        }
        judge(metadata.topics.filter { plan.names.contains($0.name) }, plan, &findings)
        return findings
    }

    /// All topics are asked for, not these by name: a question by name makes a broker with automatic creation make them.
    private func describe() throws(TopicSetupError) -> ClusterMetadata {
        do { return try admin.describe(timeout: timeout) } catch {
            // A refused login or an unknown host is met on the way and says more than the time that ran out.
            let reasons = admin.recentErrors().filter { $0.code != .allBrokersDown }.map(\.message)
            throw .unreachable(reasons.last ?? error.description)
        }
    }

    private func create(
        _ missing: [String], _ plan: TopicPlan, brokers: Int, _ findings: inout TopicFindings
    ) throws(TopicSetupError) {
        let replication = max(1, min(plan.replication, brokers))
        if replication < plan.replication {
            findings.warn(
                "topics are created with replication \(replication) instead of \(plan.replication): the cluster has "
                    + "\(brokers) broker\(brokers == 1 ? "" : "s")")
        }
        var configuration = [
            "retention.ms": String(plan.retention.milliseconds), "message.timestamp.type": "CreateTime",
        ]
        if replication > 1 { configuration["min.insync.replicas"] = "2" }
        let needed = plan.maxRecordBytes + TopicPlan.batchOverhead
        if needed > TopicPlan.defaultMaxMessageBytes { configuration["max.message.bytes"] = String(needed) }
        let topics = missing.map {
            NewTopic(
                name: $0, partitions: Int32(plan.partitions), replication: Int32(replication),
                configuration: configuration)
        }
        let outcomes: [String: KafkaError?]
        do { outcomes = try admin.create(topics, timeout: timeout) } catch { throw .unreachable(error.description) }
        let failed = outcomes.compactMap { topic, error -> (topic: String, reason: String)? in
            // Another instance that starts at the same time may have been quicker.
            guard let error, error.code != .topicExists else { return nil }
            return (topic, error.description)
        }
        guard failed.isEmpty else { throw .notCreated(failed.sorted { $0.topic < $1.topic }) }
        findings.created = missing
    }

    /// What the topics' own settings make of the bridge's promises. What holds for several topics is said once.
    private func judge(_ topics: [ClusterMetadata.Topic], _ plan: TopicPlan, _ findings: inout TopicFindings) {
        var warnings: [(text: String, topics: [String])] = []
        var notes: [(text: String, topics: [String])] = []
        func add(_ text: String, _ topic: String, to list: inout [(text: String, topics: [String])]) {
            if let index = list.firstIndex(where: { $0.text == text }) {
                list[index].topics.append(topic)
            } else {
                list.append((text, [topic]))
            }
        }
        let described: [ConfigurationResource: Result<[String: String?], KafkaError>]
        do {
            described = try admin.configurations(of: topics.map { .topic($0.name) }, timeout: timeout)
        } catch {
            return findings.note("the topics' configuration cannot be seen (\(error)), so it is not judged")
        }
        for topic in topics.sorted(by: { $0.name < $1.name }) {
            if let error = topic.error { add("the cluster says \(error)", topic.name, to: &warnings) }
            let copies = topic.partitions.map(\.replicas.count).min() ?? 0
            if copies < 3 {
                add(
                    "replication is \(copies); an acknowledgement is as durable as its copies (3 is usual)", topic.name,
                    to: &warnings)
            }
            switch described[.topic(topic.name)] {
            case .success(let values):
                for warning in Self.warnings(values, plan) { add(warning, topic.name, to: &warnings) }
            case .failure(let error):
                add("the configuration cannot be seen (\(error.code)), so it is not judged", topic.name, to: &notes)
            case nil: add("the configuration was not told, so it is not judged", topic.name, to: &notes)
            }
        }
        func sentence(_ item: (text: String, topics: [String])) -> String {
            "\(item.topics.count == plan.names.count ? "all topics" : item.topics.joined(separator: ", ")): \(item.text)"
        }
        for warning in warnings { findings.warn(sentence(warning)) }
        for note in notes { findings.note(sentence(note)) }
    }

    private static func warnings(_ values: [String: String?], _ plan: TopicPlan) -> [String] {
        func value(_ name: String) -> String? { values[name] ?? nil }
        var warnings: [String] = []
        if let limit = value("max.message.bytes").flatMap(Int.init),
            limit < plan.maxRecordBytes + TopicPlan.batchOverhead
        {
            warnings.append(
                "max.message.bytes is \(limit), but a callback within http.maxBodyBytes and http.maxTargetBytes can make "
                    + "a record of \(plan.maxRecordBytes) bytes; Kafka refuses larger ones, and they are answered 503")
        }
        if let isr = value("min.insync.replicas").flatMap(Int.init), isr < 2 {
            warnings.append("min.insync.replicas is \(isr); Kafka acknowledges what only one broker has")
        }
        if value("unclean.leader.election.enable") == "true" {
            warnings.append("unclean.leader.election.enable is true; acknowledged events can be lost")
        }
        if value("message.timestamp.type") == "LogAppendTime" {
            warnings.append("message.timestamp.type is LogAppendTime; the time of reception stands only in the value")
        }
        if value("cleanup.policy")?.contains("compact") == true {
            warnings.append("cleanup.policy is compact; only the last event of each number is kept")
        }
        return warnings
    }
}
