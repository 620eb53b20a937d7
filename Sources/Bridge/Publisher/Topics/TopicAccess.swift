package import SMSBridgeKafka
internal import SMSBridgeThreads
package import SMSPortalEvents
internal import Synchronization

/// What a cluster lets the bridge's user do with the topics.
package struct AccessFindings: Sendable {
    /// A permission that is missing, with the command that gives it.
    package var missing: [String] = []
    /// What the cluster does not tell.
    package var unknown: [String] = []
    /// What was tried and is allowed, a sentence each.
    package var allowed: [String] = []
    /// The topics to which Kafka takes writes.
    package var writable: [String] = []
}

/// Finds out what the bridge's user may do, by trying: librdkafka before 2.3 cannot ask, and an answer to a try is the
/// broker's own word.
///
/// Blocks; never on the bridge's loop.
package struct TopicAccess {
    private let plan: TopicPlan
    private let access: KafkaAccess
    private let client: ClientConfiguration
    private let timeout: Int32

    /// - Parameter timeout: milliseconds for each question.
    package init(_ plan: TopicPlan, _ client: ClientConfiguration, timeout: Int32 = 5_000) {
        self.plan = plan
        self.client = client
        self.timeout = timeout
        access = KafkaAccess(client)
    }

    /// Which topics are not shown: those that are not there, and those that the user may not see.
    ///
    /// - Parameters:
    ///   - creates: Whether this user creates missing topics; nothing is created here.
    ///   - advice: What else than the permission to create helps.
    package func lookForHidden(
        _ missing: [String], creates: Bool, _ admin: Admin,
        advice: String = "; or make them yourself with smsbridge topics create"
    ) -> AccessFindings {
        var findings = AccessFindings()
        var denied: [String] = []
        var absent: [String] = []
        for topic in missing {
            do {
                let error = try admin.describe(topic: topic, timeout: timeout).topics.first?.error
                switch error {
                case .topicNotAuthorized?: denied.append(topic)
                case .unknownTopicOrPartition?, .unknownTopic?: absent.append(topic)
                case let other: findings.unknown.append("\(topic): \(other.map { "\($0)" } ?? "now it is there")")
                }
            } catch {
                findings.unknown.append("\(topic): whether it is there: \(error)")
            }
        }
        if !denied.isEmpty {
            findings.missing.append(
                sentence(
                    denied, "this user may not see whether they are there (Describe, which Write brings)",
                    ["Write", "DescribeConfigs"]))
        }
        guard creates, !(absent + denied).isEmpty else { return findings }
        do {
            let outcomes = try admin.create(
                plan.newTopics(absent + denied, replication: -1), validatesOnly: true, timeout: timeout)
            let refused = outcomes.compactMap { name, error in error.map { (name, $0) } }
            let unauthorised = refused.filter { $0.1.code == .topicNotAuthorized || $0.1.code == .clusterNotAuthorized }
            if !unauthorised.isEmpty {
                findings.missing.append(
                    sentence(
                        unauthorised.map(\.0).sorted(),
                        "this user may not make them (Create)\(advice)",
                        ["Create"]))
            }
            for (name, error) in refused.sorted(by: { $0.0 < $1.0 })
            where error.code != .topicExists && !unauthorised.contains(where: { $0.0 == name }) {
                findings.missing.append("\(name): cannot be made: \(error)")
            }
            if refused.isEmpty { findings.allowed.append("the missing topics may be made") }
        } catch {
            findings.unknown.append("whether missing topics may be made: \(error)")
        }
        return findings
    }

    /// Whether records may be written to the topics, which all are there. Nothing is written: the records ask for
    /// `acks=2`, which a broker refuses, but only after it has checked the permission (Apache Kafka,
    /// `handleProduceRequest`).
    ///
    /// - Parameter record: what a cluster that takes it all the same has then: a test event.
    package func lookForWrite(_ topics: [String], _ record: EventRecord) -> AccessFindings {
        var findings = AccessFindings()
        var denied: [String] = []
        do {
            var configuration = ProducerConfiguration(client: client)
            configuration.onlyAsks = true
            configuration.messageTimeoutMilliseconds = Int(timeout)
            let producer = try ProducerThread(configuration, name: "kafka-access")
            defer { producer.close() }
            let answers = try topics.isEmpty ? [:] : ask(topics, record, producer)
            for topic in topics {
                switch answers[topic] {
                case .some(.invalidRequiredAcks): findings.writable.append(topic)
                case .some(.topicNotAuthorized), .some(.clusterNotAuthorized): denied.append(topic)
                case .some(let code):
                    findings.unknown.append("\(topic): whether it may be written: \(KafkaError(code).message)")
                case nil:
                    findings.unknown.append(
                        "\(topic): whether it may be written: the cluster does not refuse acks=2, so it was not asked further"
                    )
                }
            }
        } catch {
            findings.unknown.append("whether the topics may be written: \(error)")
        }
        if !denied.isEmpty {
            findings.missing.append(sentence(denied, "this user may not write to them (Write)", ["Write"]))
        }
        if denied.isEmpty, findings.unknown.isEmpty, !topics.isEmpty {
            findings.allowed.append(
                "\(access.principal) may write to \(topics.count == plan.names.count ? "all topics" : topics.joined(separator: ", "))"
            )
        }
        return findings
    }

    /// The first topic alone: should a cluster write the record, it is only one.
    private func ask(
        _ topics: [String], _ record: EventRecord, _ producer: ProducerThread
    ) throws -> [String: KafkaError.Code] {
        var answers: [String: KafkaError.Code] = [:]
        for batch in [topics.prefix(1), topics.dropFirst()] {
            let told = Told()
            let done = try StopSignal()
            for topic in batch {
                try producer.send(
                    topic: topic, key: record.key, value: record.value,
                    timestamp: record.timestamp.millisecondsSinceEpoch,
                    headers: record.headers.map { ($0.name, $0.value) }
                ) { report in
                    if told.set(report.error, of: topic) == batch.count { done.set() }
                }
            }
            if !batch.isEmpty { _ = done.wait(milliseconds: timeout + 5_000) }
            let codes = told.all
            for topic in batch { if let code = codes[topic] { answers[topic] = code } }
            if batch.contains(where: { codes[$0] == nil }) { break }
        }
        return answers
    }

    private func sentence(_ topics: [String], _ text: String, _ operations: [String]) -> String {
        let isAll = topics.count == plan.names.count
        let command = access.grant(operations, on: topics, prefix: isAll ? plan.prefix : nil)
        return "\(isAll ? "all topics" : topics.joined(separator: ", ")): \(text): \(command)"
    }
}

/// The outcome of records, reported by another thread; a written record has no error.
private final class Told: Sendable {
    private let state = Mutex<(count: Int, codes: [String: KafkaError.Code])>((0, [:]))

    func set(_ code: KafkaError.Code?, of topic: String) -> Int {
        state.withLock { state in
            state.count += 1
            // Without idempotence an acknowledgement may come without an offset; it is one all the same.
            if let code, code != .noOffset { state.codes[topic] = code }
            return state.count
        }
    }

    var all: [String: KafkaError.Code] { state.withLock { $0.codes } }
}
