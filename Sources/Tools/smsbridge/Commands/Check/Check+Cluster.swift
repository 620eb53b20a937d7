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
            let findings = try TopicSetup(admin, timeout: 5_000).look(plan)
            let cluster = try admin.describe(timeout: 5_000)
            let brokers = cluster.brokers.count
            tell(
                .ok, "kafka",
                "\(brokers) broker\(brokers == 1 ? " answers" : "s answer"), librdkafka \(Version.librdkafka), as \(plan.access.principal)"
            )
            let present = plan.names.filter { name in cluster.topics.contains { $0.name == name } }
            judge(findings, plan, missing: plan.names.filter { !present.contains($0) }, admin)
            lookAtAccess(plan, present)
        } catch let error as TopicSetupError {
            tell(.failed, "kafka", "\(error)")
        } catch {
            tell(.failed, "kafka", plan.access.explain("\(error)"))
        }
    }

    private mutating func judge(_ findings: TopicFindings, _ plan: TopicPlan, missing: [String], _ admin: Admin) {
        if !missing.isEmpty {
            let hidden = TopicAccess(plan, settings.kafkaClient).lookForHidden(
                missing, creates: settings.topics.create, admin)
            for text in hidden.missing { tell(.failed, "rights", text) }
            for text in hidden.unknown { tell(.unknown, "rights", text) }
            let names = missing.joined(separator: ", ")
            if !settings.topics.create {
                tell(.failed, "topics", TopicSetupError.missing(missing).description)
            } else if hidden.missing.isEmpty {
                tell(.warning, "topics", "missing, and made at the start: \(names)")
            } else {
                tell(.failed, "topics", "missing, or hidden from this user: \(names)")
            }
        }
        for finding in findings.findings where !finding.text.hasPrefix("missing topics") {
            switch finding.severity {
            case .durability, .broken: tell(.failed, "topics", finding.text)
            case .warning: tell(.warning, "topics", finding.text)
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
        let fatal = Answer()
        let producer = try ProducerThread(configuration) { event in
            if case .error(let error) = event, error.isFatal { fatal.set(error.code) }
        }
        defer { producer.close() }
        var times: [Duration] = []
        // The first one also makes the connection.
        for _ in 0...Self.events {
            let began = ContinuousClock.now
            if let code = try Self.send(record, to: topic, producer) {
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

    private static func send(
        _ record: EventRecord, to topic: String, _ producer: ProducerThread
    ) throws -> KafkaError.Code? {
        let done = try StopSignal()
        let result = Answer(.timedOut)
        try producer.send(
            topic: topic, key: record.key, value: record.value, timestamp: record.timestamp.millisecondsSinceEpoch,
            headers: record.headers.map { ($0.name, $0.value) }
        ) { report in
            result.set(report.error)
            done.set()
        }
        _ = done.wait(milliseconds: 15_000)
        return result.get()
    }
}

/// What became of a record or a producer, told by another thread.
private final class Answer: Sendable {
    private let code: Mutex<KafkaError.Code?>

    init(_ code: KafkaError.Code? = nil) { self.code = Mutex(code) }

    func set(_ code: KafkaError.Code?) { self.code.withLock { $0 = code } }
    func get() -> KafkaError.Code? { code.withLock { $0 } }
}
