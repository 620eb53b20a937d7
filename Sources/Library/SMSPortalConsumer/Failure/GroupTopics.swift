internal import SMSBridgeKafka
internal import SMSBridgeTelemetry
internal import SMSBridgeThreads

/// The dead-letter and the redrive topic of a group: looked at before anything is read, and made where they are missing.
struct GroupTopics {
    private let configuration: EventConsumer.Configuration
    private let log: Logger
    private let control: ConsumerControl
    /// Copies of each partition, as of the bridge's own topics; fewer where the cluster has fewer brokers.
    private static let replication = 3
    private static let partitions: Int32 = 6
    /// Dead letters wait for people, who are away longer than a topic usually keeps its records.
    private static let retentionDays: Int64 = 30
    /// An event of the largest body that a bridge takes (1 MiB, in the record as JSON and raw), and what befell it.
    private static let maxMessageBytes = 4 << 20
    /// Milliseconds.
    private static let timeout: Int32 = 10_000

    init(_ configuration: EventConsumer.Configuration, log: Logger, control: ConsumerControl) {
        self.configuration = configuration
        self.log = log
        self.control = control
    }

    /// Blocks until Kafka has answered.
    ///
    /// - Returns: false when the consumer was stopped meanwhile.
    func prepare() throws(EventConsumerError) -> Bool {
        let admin: Admin
        do { admin = try Admin(configuration.kafkaClient) } catch {
            throw EventConsumerError(.kafka, error.description)
        }
        defer { admin.close() }
        let wanted = [configuration.deadLetterTopic, configuration.redriveTopic]
        let repeats = RepeatGuard(interval: .seconds(30))
        while control.stopWanted == nil {
            let metadata: ClusterMetadata
            do { metadata = try admin.describe(timeout: 2_000) } catch {
                // A refused login or an unknown host is met on the way and says more than the time that ran out.
                let reason = admin.recentErrors().last { $0.code != .allBrokersDown }?.message ?? error.message
                log.log(.warning, onceIn: repeats, key: "kafka", "Kafka cannot be reached", ["reason": reason])
                continue
            }
            let missing = wanted.filter { name in !metadata.topics.contains { $0.name == name } }
            if missing.isEmpty { return true }
            guard configuration.createsTopics else {
                throw problem(missing.map { ($0, "it is missing, and createsTopics is false") })
            }
            try create(missing, admin, brokers: metadata.brokers.count)
            log.info("topics created", ["topics": missing])
            return true
        }
        return false
    }

    private func create(_ missing: [String], _ admin: Admin, brokers: Int) throws(EventConsumerError) {
        let replication = Int32(max(1, min(Self.replication, brokers)))
        var properties = [
            "retention.ms": String(Self.retentionDays * 86_400_000), "max.message.bytes": String(Self.maxMessageBytes),
        ]
        if replication > 1 { properties["min.insync.replicas"] = "2" }
        let topics = missing.map {
            NewTopic(name: $0, partitions: Self.partitions, replication: replication, configuration: properties)
        }
        let outcomes: [String: KafkaError?]
        do { outcomes = try admin.create(topics, timeout: Self.timeout) } catch {
            throw problem(missing.map { ($0, error.message) })
        }
        let failed = outcomes.compactMap { topic, error -> (String, String)? in
            guard let error else { return nil }
            // Another member that starts at the same time may have been quicker. But a topic that this user may not see
            // counts as missing, and then this is what comes of making it.
            if error.code == .topicExists { return isVisible(topic, admin) ? nil : (topic, "it exists, but is hidden") }
            return (topic, error.message)
        }
        if !failed.isEmpty { throw problem(failed.sorted { $0.0 < $1.0 }) }
    }

    /// A topic that another has just made is not known to every broker at once.
    private func isVisible(_ topic: String, _ admin: Admin) -> Bool {
        let deadline = monotonicNow() + UInt64(Self.timeout) * 1_000_000
        while true {
            if let metadata = try? admin.describe(timeout: Self.timeout),
                metadata.topics.contains(where: { $0.name == topic })
            {
                return true
            }
            guard monotonicNow() < deadline, control.stopWanted == nil else { return false }
            control.waitForRoom(milliseconds: 100)
        }
    }

    private func problem(_ topics: [(name: String, reason: String)]) -> EventConsumerError {
        let reasons = topics.map { "\($0.name): \($0.reason)" }.joined(separator: "; ")
        let commands = topics.map {
            "kafka-topics.sh --bootstrap-server \(configuration.bootstrapServers) --create --topic \($0.name) "
                + "--partitions \(Self.partitions) --replication-factor \(Self.replication) "
                + "--config max.message.bytes=\(Self.maxMessageBytes)"
        }
        return EventConsumerError(
            .topics,
            "the group's own topics cannot be used (\(reasons)). Make them (\(commands.joined(separator: "; "))) and allow "
                + "this user Describe and Write on \(configuration.deadLetterTopic), Describe and Read on "
                + "\(configuration.redriveTopic); or choose policies that write no dead letters")
    }
}
