import SMSBridgeKafka
import SMSBridgePublisher
import SMSBridgeSettings
import SMSBridgeThreads
import SMSPortalEvents
import Synchronization

/// What `smsbridge check` asks of the cluster.
extension Check {
    mutating func lookAtCluster() {
        let plan = settings.topicPlan
        if let trouble = plan.access.scramTrouble { tell(.warning, "kafka", trouble) }
        do {
            let admin = try Admin(settings.kafkaClient)
            defer { admin.close() }
            let found = try TopicSetup(admin, timeout: 5_000).look(plan)
            let findings = settings.durability.development ? found.forDevelopment : found
            let cluster = try admin.describe(timeout: 5_000)
            let brokers = cluster.brokers.count
            tell(
                .ok, "kafka",
                "\(brokers) broker\(brokers == 1 ? " answers" : "s answer"), librdkafka \(Version.librdkafka), as \(plan.access.principal)"
            )
            let present = plan.names.filter { name in cluster.topics.contains { $0.name == name } }
            judge(findings, plan, missing: plan.names.filter { !present.contains($0) }, cluster, admin)
            lookAtAccess(plan, present)
        } catch let error as TopicSetupError {
            tell(.failed, "kafka", "\(error)")
        } catch {
            tell(.failed, "kafka", plan.access.explain("\(error)"))
        }
    }

    private mutating func judge(
        _ findings: TopicFindings, _ plan: TopicPlan, missing: [String], _ cluster: ClusterMetadata, _ admin: Admin
    ) {
        if !missing.isEmpty {
            let hidden = TopicAccess(plan, settings.kafkaClient).lookForHidden(
                missing, creates: settings.topics.create, admin)
            for text in hidden.missing { tell(.failed, "rights", text) }
            for text in hidden.unknown { tell(.unknown, "rights", text) }
            let names = missing.joined(separator: ", ")
            if !settings.topics.create {
                tell(.failed, "topics", TopicSetupError.missing(missing).description)
            } else if hidden.missing.isEmpty {
                let new = TopicSetup(admin, timeout: 5_000).durabilityOfNewTopics(plan, brokers: cluster.brokers)
                tell(
                    .warning, "topics",
                    "missing, and created at the start with \(plan.partitions) partitions and replication \(new.replication ?? 1): \(names)"
                )
                // What is said of them once they are there.
                let isFault = !settings.durability.development
                for weakness in new.weaknesses {
                    tell(isFault ? .failed : .ok, "topics", "topics that are created: \(weakness)")
                }
            } else {
                tell(.failed, "topics", "missing, or hidden from this user: \(names)")
            }
        }
        for finding in findings.findings where !finding.text.hasPrefix("missing topics") {
            switch finding.severity {
            case .durability, .broken: tell(.failed, "topics", finding.text)
            case .warning: tell(.warning, "topics", finding.text)
            case .information: tell(.ok, "topics", finding.text)
            case .note: tell(.unknown, "topics", finding.text)
            }
        }
        if findings.findings.isEmpty { tell(.ok, "topics", "all \(plan.names.count) keep what Kafka acknowledges") }
    }

    /// - Parameter present: the topics that are there.
    private mutating func lookAtAccess(_ plan: TopicPlan, _ present: [String]) {
        guard publishes else { return tell(.unknown, "publish", "no test event was published, as asked") }
        do {
            let record = try TestEvent.record()
            let write = TopicAccess(plan, settings.kafkaClient).lookForWrite(present, record)
            for text in write.missing { tell(.failed, "rights", text) }
            for text in write.unknown { tell(.unknown, "rights", text) }
            for text in write.allowed { tell(.ok, "rights", text) }
            let test = EventTopic.test.name(prefix: plan.prefix)
            if write.writable.contains(test) || (present.contains(test) && write.missing.isEmpty) {
                try publish(record, to: test, mayWrite: !write.writable.isEmpty, plan)
            } else {
                tell(.unknown, "publish", "no test event was published: \(test) cannot be written")
            }
        } catch {
            tell(.failed, "publish", "\(error)")
        }
    }

    /// How many events are published, one after the other.
    private static let events = 10

    private mutating func publish(
        _ record: EventRecord, to topic: String, mayWrite: Bool, _ plan: TopicPlan
    ) throws {
        var configuration = ProducerConfiguration(client: settings.kafkaClient)
        configuration.messageTimeoutMilliseconds = 10_000
        configuration.lingerMilliseconds = Int(settings.publish.linger / .milliseconds(1))
        let fatal = Shared<KafkaError.Code?>(nil)
        let producer = try ProducerThread(configuration) { event in
            if case .error(let error) = event, error.isFatal { fatal.set(error.code) }
        }
        defer { producer.close() }
        var times: [Duration] = []
        var last: (partition: Int32, offset: Int64) = (0, -1)
        // The first one also makes the connection.
        for _ in 0...Self.events {
            let began = ContinuousClock.now
            let (error, partition, offset) = try Self.send(record, to: topic, producer)
            last = (partition, offset)
            if let code = error {
                let cause = fatal.get() ?? code
                if cause == .clusterNotAuthorized, mayWrite {
                    let command = plan.access.grantOnCluster(["IdempotentWrite"])
                    return tell(
                        .failed, "rights",
                        "the cluster gives no producer id (IdempotentWrite, which Kafka before 2.8 asks for): \(command)"
                    )
                }
                return tell(.failed, "publish", "\(topic) has refused a test event: \(KafkaError(cause).message)")
            }
            times.append(began.duration(to: .now))
        }
        try readBack(record, topic, last.partition, last.offset)
        let typical = times.dropFirst().sorted()[Self.events / 2]
        let hedge = settings.publish.hedge
        let milliseconds = (typical / .microseconds(10)).rounded() / 100
        let text =
            "acknowledged after \(milliseconds)ms (median of \(Self.events)), publish.hedge is \(Int(hedge / .milliseconds(1)))ms"
        guard typical < hedge else {
            return tell(.warning, "publish", "\(text): every event would go through the spool")
        }
        tell(typical * 2 < hedge ? .ok : .warning, "publish", text)
    }

    /// Whether the last test event is where the broker has acknowledged it.
    private mutating func readBack(_ record: EventRecord, _ topic: String, _ partition: Int32, _ offset: Int64) throws {
        guard let id = record.headers.first(where: { $0.name == "ce_id" })?.value else { return }
        let done = try StopSignal()
        let result = Shared(RecordAudit.Finding.unreadable("no answer"))
        let audit = try RecordAudit(settings.kafkaClient) { _, finding in
            result.set(finding)
            done.set()
        }
        audit.check([RecordAudit.Sample(topic: topic, partition: partition, offset: offset, eventID: id)])
        _ = done.wait(milliseconds: 6_000)
        audit.stop()
        switch result.get() {
        case .matches: tell(.ok, "audit", "the last test event was read back at its offset")
        case .differs:
            tell(
                .failed, "audit", "\(topic)[\(partition)] does not have the acknowledged test event at offset \(offset)"
            )
        case .unreadable(let reason):
            let isNeeded = settings.durability.audit
            let access = KafkaAccess(settings.kafkaClient).grant(["Read"], on: [topic])
            tell(
                isNeeded ? .failed : .unknown, "audit",
                "the test event could not be read back, which durability.audit needs: \(reason)"
                    + (isNeeded ? ": \(access)" : ""))
        }
    }

    private static func send(
        _ record: EventRecord, to topic: String, _ producer: ProducerThread
    ) throws -> (KafkaError.Code?, partition: Int32, offset: Int64) {
        let done = try StopSignal()
        let result = Shared<KafkaError.Code?>(.timedOut)
        let position = Shared<(Int32, Int64)>((0, -1))
        try producer.send(
            topic: topic, key: record.key, value: record.value, timestamp: record.timestamp.millisecondsSinceEpoch,
            headers: record.headers.map { ($0.name, $0.value) }
        ) { report in
            position.set((report.partition, report.offset))
            result.set(report.error)
            done.set()
        }
        _ = done.wait(milliseconds: 15_000)
        return (result.get(), position.get().0, position.get().1)
    }
}

/// A value that another thread sets.
private final class Shared<Value: Sendable>: Sendable {
    private let value: Mutex<Value>

    init(_ value: Value) { self.value = Mutex(value) }

    func set(_ new: Value) { value.withLock { $0 = new } }
    func get() -> Value { value.withLock { $0 } }
}
