import SMSBridgeKafka
import SMSBridgePublisher
import SMSBridgeSettings

/// Checks, before a command begins its work, that the cluster answers and lets the user do it.
///
/// The diagnosis is that of `smsbridge check`: what is missing, on which resource, and the command that grants it. A command
/// fails with it within 15 seconds, instead of waiting for what never comes. Blocks.
struct Preflight {
    private let settings: BridgeSettings
    private let access: KafkaAccess

    /// In milliseconds.
    private static let connectTimeout: Int32 = 5_000
    private static let groupTimeout: Int32 = 3_000
    private static let readTimeout = Duration.seconds(3)

    init(_ settings: BridgeSettings) {
        self.settings = settings
        access = KafkaAccess(settings.kafkaClient)
    }

    /// What is missing, fit to be shown.
    struct Problem: Error, CustomStringConvertible {
        let description: String
        /// The topics that may not be read; none where something else is missing.
        var denied: [String] = []
    }

    /// - Parameters:
    ///   - topics: Topics to read. One that does not exist is no problem here.
    ///   - seen: Topics of which the user must be able to describe at least one, unless none of them exists.
    ///   - targets: Topics to write, which must exist.
    ///   - created: A topic to write that is created if it does not exist.
    ///   - group: The group whose committed offsets are read.
    ///   - commits: Whether they are committed, too.
    /// - Returns: nil when nothing is missing.
    func problem(
        reading topics: [String] = [], describing seen: [String] = [], writing targets: [String] = [],
        creating created: String? = nil, group: String? = nil, commits: Bool = false
    ) -> Problem? {
        do {
            let admin = try Admin(settings.kafkaClient)
            defer { admin.close() }
            let metadata = try TopicSetup(admin, timeout: Self.connectTimeout).describe(settings.topicPlan)
            let names = Set(metadata.topics.map(\.name))
            if !seen.isEmpty, names.isDisjoint(with: seen), seen.contains(where: { isHidden($0, admin) }) {
                return missing("Describe", "see", seen)
            }
            var denied: [String] = []
            var partitions: [TopicPartition] = []
            for topic in topics {
                let found = metadata.topics.first { $0.name == topic }
                if let partition = found?.partitions.first, found?.error == nil {
                    partitions.append(TopicPartition(topic, partition.id, offset: TopicPartition.end))
                } else if found?.error == .topicNotAuthorized || found == nil && isHidden(topic, admin) {
                    denied.append(topic)
                }
            }
            if !partitions.isEmpty { denied += try unreadable(partitions) }
            if !denied.isEmpty { return missing("Read", "read", denied.sorted()) }
            let unwritable = try unwritable(targets, creating: created, among: names, admin)
            if !unwritable.isEmpty { return Problem(description: unwritable.joined(separator: "\n")) }
            let known = partitions.first ?? metadata.topics.lazy.compactMap(Self.partition).first
            if let group, let known, try isDenied(group, known) {
                let right = commits ? "Read" : "Describe"
                return Problem(
                    description:
                        "group \(group): this user may not \(commits ? "commit" : "read") its offsets (\(right) on the group): "
                        + access.grantOnGroup(group, [right]))
            }
            return nil
        } catch let error as TopicSetupError {
            return Problem(description: error.description)
        } catch let error as KafkaError {
            return Problem(description: access.explain(error.description))
        } catch {
            return Problem(description: "\(error)")
        }
    }

    /// Checks that records can be written to the topics; nothing is written.
    ///
    /// - Parameters:
    ///   - created: A topic that is created if it does not exist.
    ///   - names: The topics that the user sees.
    /// - Returns: what is missing, a sentence each.
    private func unwritable(
        _ targets: [String], creating created: String?, among names: Set<String>, _ admin: Admin
    ) throws -> [String] {
        guard !targets.isEmpty || created != nil else { return [] }
        let plan = settings.topicPlan
        let access = TopicAccess(plan, settings.kafkaClient)
        var missing: [String] = []
        let absent = targets.filter { !names.contains($0) }
        if !absent.isEmpty {
            let hidden = access.lookForHidden(absent, creates: false, admin)
            missing += hidden.missing
            if hidden.missing.isEmpty, hidden.unknown.isEmpty {
                missing.append(
                    Set(absent).isSubset(of: plan.names)
                        ? TopicSetupError.missing(absent).description
                        : "\(absent.joined(separator: ", ")) does not exist: kafka-topics.sh --create")
            }
        }
        if let created, !names.contains(created) {
            missing +=
                access.lookForHidden(
                    [created], creates: true, admin,
                    advice: "; or create it with one partition and cleanup.policy=compact"
                ).missing
        }
        let present = (targets + (created.map { [$0] } ?? [])).filter(names.contains)
        return missing + access.lookForWrite(present, try TestEvent.record()).missing
    }

    private static func partition(_ topic: ClusterMetadata.Topic) -> TopicPartition? {
        topic.partitions.first.map { TopicPartition(topic.name, $0.id) }
    }

    private func missing(_ right: String, _ verb: String, _ topics: [String]) -> Problem {
        let isEveryTopic = Set(topics) == Set(settings.topicPlan.names)
        let command = access.grant([right], on: topics, prefix: isEveryTopic ? settings.topics.prefix : nil)
        let subject = isEveryTopic ? "all topics" : topics.joined(separator: ", ")
        let means = right == "Read" ? "Read, which includes Describe" : right
        return Problem(
            description: "\(subject): this user may not \(verb) them (\(means)): \(command)", denied: topics)
    }

    /// Whether the topic exists, but is left out of the list of topics: the user may not describe it.
    private func isHidden(_ topic: String, _ admin: Admin) -> Bool {
        (try? admin.describe(topic: topic, timeout: 2_000))?.topics.first?.error == .topicNotAuthorized
    }

    /// The topics that a broker does not let the user fetch from, tried at the end of one partition each.
    private func unreadable(_ partitions: [TopicPartition]) throws(KafkaError) -> [String] {
        var configuration = ConsumerConfiguration(client: settings.kafkaClient, group: "smsbridge-preflight")
        configuration.client.properties["fetch.wait.max.ms"] = "100"
        configuration.reportsPartitionEnd = true
        let consumer = try Consumer(configuration)
        defer { consumer.close(timeout: 1_000) }
        try consumer.assign(partitions)
        var waiting = Set(partitions.map(\.topic))
        var denied: [String] = []
        let end = ContinuousClock.now + Self.readTimeout
        while !waiting.isEmpty, .now < end {
            switch consumer.poll(timeout: 100) {
            case .message(let message): waiting.remove(message.topic)
            case .partitionEnd(let partition): waiting.remove(partition.topic)
            case .partitionError(let partition, let error) where error.code == .topicNotAuthorized:
                if waiting.remove(partition.topic) != nil { denied.append(partition.topic) }
            // The group is not used: that it may not be is no problem.
            default: continue
            }
        }
        return denied
    }

    private func isDenied(_ group: String, _ partition: TopicPartition) throws(KafkaError) -> Bool {
        let consumer = try Consumer(ConsumerConfiguration(client: settings.kafkaClient, group: group))
        defer { consumer.close(timeout: 1_000) }
        do throws(KafkaError) {
            _ = try consumer.client.committed([partition], timeout: Self.groupTimeout)
            return false
        } catch {
            if error.code == .groupNotAuthorized { return true }
            // The coordinator's answer is an event; the call only times out.
            for _ in 0..<100 {
                guard let event = consumer.poll(timeout: 0) else { break }
                if case .error(let met) = event, met.code == .groupNotAuthorized { return true }
            }
            return false
        }
    }
}

extension BridgeSettings {
    /// An error of Kafka in the middle of a command's work, with the setting or the permission to look at.
    func explain(_ error: KafkaError, reading topics: [String]) -> String {
        let access = KafkaAccess(kafkaClient)
        guard error.code == .topicNotAuthorized else { return access.explain(error.message) }
        return "\(error.message): \(access.grant(["Read"], on: topics))"
    }
}
