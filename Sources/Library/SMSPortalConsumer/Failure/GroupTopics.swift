internal import SMSBridgeKafka
internal import SMSBridgeTelemetry
internal import SMSBridgeThreads
internal import Synchronization

/// The dead-letter and the redrive topic of a group: looked for before anything is read, created where they are
/// missing, and looked after while the consumer runs. On a thread of its own, for every question to a cluster blocks.
final class GroupTopics: Sendable {
    /// What is known after a look at the cluster.
    private enum Outcome: Sendable {
        /// Both topics exist.
        case ready
        /// They cannot be created now; that passes.
        case postponed(String)
        /// They cannot be used.
        case failed(EventConsumerError)
    }

    private struct State {
        var outcome: Outcome?
        var isStopped = false
        var problems: [String] = []
        var nextCheck: UInt64 = 0
    }

    private let configuration: EventConsumer.Configuration
    private let eventTopics: [String]
    private let log: Logger
    private let control: ConsumerControl
    private let state = Mutex(State())
    private let doorbell: Doorbell
    private let repeats = RepeatGuard(interval: .seconds(30))
    private let problemRepeats = RepeatGuard(interval: .seconds(3_600))

    /// Milliseconds.
    private static let timeout: Int32 = 10_000
    /// Between two looks when all is well, when the topics cannot be created yet, and at least after a failed write.
    private static let interval = Duration.seconds(300)
    private static let retryInterval = Duration.seconds(5)

    /// - Parameter eventTopics: The topics that the consumer reads, their names whole.
    init(
        _ configuration: EventConsumer.Configuration, eventTopics: [String], log: Logger, control: ConsumerControl
    ) throws(EventConsumerError) {
        self.configuration = configuration
        self.eventTopics = eventTopics
        self.log = log
        self.control = control
        do { doorbell = try Doorbell() } catch { throw EventConsumerError(.kafka, "\(error)") }
    }

    private var names: [String] { [configuration.deadLetterTopic, configuration.redriveTopic] }

    /// The problems of the topics as they are; a sentence each.
    var problems: [String] { state.withLock { $0.problems } }

    /// Begins to look after the topics, and waits until they can be used or until nothing more can be done about it
    /// now.
    ///
    /// - Returns: False when the consumer was stopped.
    func start() throws(EventConsumerError) -> Bool {
        do { _ = try NamedThread("sms-group-topics") { self.run() } } catch {
            throw EventConsumerError(.kafka, "\(error)")
        }
        while control.stopWanted == nil {
            switch state.withLock({ $0.outcome }) {
            case .ready, .postponed: return true
            case .failed(let error): throw error
            case nil: control.waitForRoom(milliseconds: 1_000)
            }
        }
        return false
    }

    /// A dead letter could not be written: the topic may be gone. Does not block.
    func checkSoon() {
        let isDue = state.withLock { state in
            let soonest = monotonicNow() + Self.retryInterval.nanoseconds
            guard state.nextCheck > soonest else { return false }
            state.nextCheck = soonest
            return true
        }
        if isDue { doorbell.ring() }
    }

    /// Ends the thread; does not wait for a question that is under way.
    func stop() {
        state.withLock { $0.isStopped = true }
        doorbell.ring()
    }

    private var isStopped: Bool { state.withLock { $0.isStopped } || control.stopWanted != nil }

    private func run() {
        var isFirst = true
        while !isStopped {
            let now = monotonicNow()
            let next = state.withLock { $0.nextCheck }
            guard now >= next else {
                doorbell.wait(milliseconds: Int32(clamping: min((next - now) / 1_000_000 + 1, 1_000)))
                continue
            }
            guard let outcome = check(isFirst: isFirst) else { continue }
            isFirst = false
            let interval: Duration
            switch outcome {
            case .ready: interval = Self.interval
            case .postponed: interval = Self.retryInterval
            case .failed(let error):
                interval = Self.interval
                log.log(
                    .error, onceIn: problemRepeats, key: "topics", "dead letters cannot be written",
                    ["error": error.message])
            }
            state.withLock { state in
                state.outcome = outcome
                state.nextCheck = monotonicNow() + interval.nanoseconds
            }
            control.wake()
        }
    }

    /// - Returns: nil when the cluster did not answer.
    private func check(isFirst: Bool) -> Outcome? {
        let admin: Admin
        do { admin = try Admin(configuration.kafkaClient) } catch {
            return .failed(EventConsumerError(.kafka, error.description))
        }
        defer { admin.close() }
        while !isStopped {
            let metadata: ClusterMetadata
            do { metadata = try admin.describe(timeout: 2_000) } catch {
                // A refused login or an unknown host is met on the way and says more than the time that ran out.
                let reason = admin.recentErrors().last { $0.code != .allBrokersDown }?.message ?? error.message
                log.log(.warning, onceIn: repeats, key: "kafka", "Kafka cannot be reached", ["reason": reason])
                continue
            }
            do throws(EventConsumerError) {
                return try prepare(metadata, admin, isFirst: isFirst)
            } catch {
                return .failed(error)
            }
        }
        return nil
    }

    private func prepare(
        _ metadata: ClusterMetadata, _ admin: Admin, isFirst: Bool
    ) throws(EventConsumerError) -> Outcome {
        let missing = names.filter { name in !metadata.topics.contains { $0.name == name } }
        if missing.isEmpty {
            // The start does not wait for the check of their settings.
            state.withLock { $0.outcome = .ready }
            control.wake()
            judge(metadata, admin)
            return .ready
        }
        guard configuration.createsTopics else {
            throw problem(missing.map { ($0, "it is missing, and createsTopics is false") }, plan: nil)
        }
        let events = metadata.topics.filter { eventTopics.contains($0.name) && $0.error == nil }
        guard !events.isEmpty else {
            log.log(
                .info, onceIn: problemRepeats, key: "no events",
                "dead-letter topics are created once an event topic exists", ["topics": eventTopics])
            return .postponed("no event topic exists yet")
        }
        let plan = GroupTopicPlan(topics: events, configurations: configurations(of: events.map(\.name), admin))
        if let reason = try create(missing, plan, admin) {
            log.log(
                .warning, onceIn: problemRepeats, key: "postponed",
                "dead-letter topics cannot be created yet; events that fail wait",
                [
                    "topics": missing, "replication": plan.replication, "brokers": metadata.brokers.count,
                    "reason": reason,
                ])
            return .postponed(reason)
        }
        log.info(
            "topics created",
            [
                "topics": missing, "replication": plan.replication,
                "minInSyncReplicas": plan.minInSyncReplicas.map(String.init) ?? "default",
            ])
        return .ready
    }

    /// As far as this user may see them.
    private func configurations(of topics: [String], _ admin: Admin) -> [String: [String: String?]] {
        guard
            let all = try? admin.configurations(
                of: topics.map { .topic($0) }, timeout: Self.timeout)
        else { return [:] }
        var found: [String: [String: String?]] = [:]
        for (resource, result) in all {
            if case .topic(let name) = resource, case .success(let values) = result { found[name] = values }
        }
        return found
    }

    private func judge(_ metadata: ClusterMetadata, _ admin: Admin) {
        let events = metadata.topics.filter { eventTopics.contains($0.name) && $0.error == nil }
        guard !events.isEmpty else { return }
        let configurations = configurations(of: events.map(\.name) + names, admin)
        let plan = GroupTopicPlan(
            topics: events, configurations: configurations.filter { !names.contains($0.key) })
        var problems: [String] = []
        for topic in metadata.topics where names.contains(topic.name) && topic.error == nil {
            for sentence in plan.problems(of: topic, configuration: configurations[topic.name] ?? [:]) {
                problems.append("\(topic.name): \(sentence)")
                log.log(
                    .warning, onceIn: problemRepeats, key: "\(topic.name) \(sentence)",
                    "dead letters are not safe in this topic", ["topic": topic.name, "reason": sentence])
            }
        }
        let found = problems
        state.withLock { $0.problems = found }
    }

    /// - Returns: Why they could not be created now, when that passes; nil when they exist.
    private func create(
        _ missing: [String], _ plan: GroupTopicPlan, _ admin: Admin
    ) throws(EventConsumerError) -> String? {
        let topics = missing.map {
            NewTopic(
                name: $0, partitions: GroupTopicPlan.partitions, replication: plan.replication,
                configuration: plan.configuration)
        }
        let outcomes: [String: KafkaError?]
        do { outcomes = try admin.create(topics, timeout: Self.timeout) } catch { return error.message }
        var failed: [(name: String, reason: String)] = []
        for (topic, error) in outcomes.sorted(by: { $0.key < $1.key }) {
            guard let error else { continue }
            switch error.code {
            // Never weaker than the event topics: with fewer brokers it waits for them.
            case .invalidReplicationFactor, .timedOut, .requestTimedOut: return error.message
            // Another member that starts at the same time may have been quicker. But a topic that this user may not see
            // counts as missing, and creating it then fails like this.
            case .topicExists: if !isVisible(topic, admin) { failed.append((topic, "it exists, but is hidden")) }
            default: failed.append((topic, error.message))
            }
        }
        if !failed.isEmpty { throw problem(failed, plan: plan) }
        return nil
    }

    /// A topic that another has just created is not known to every broker at once.
    private func isVisible(_ topic: String, _ admin: Admin) -> Bool {
        let deadline = monotonicNow() + UInt64(Self.timeout) * 1_000_000
        while true {
            if let metadata = try? admin.describe(timeout: Self.timeout),
                metadata.topics.contains(where: { $0.name == topic })
            {
                return true
            }
            guard monotonicNow() < deadline, !isStopped else { return false }
            doorbell.wait(milliseconds: 100)
        }
    }

    private func problem(_ topics: [(name: String, reason: String)], plan: GroupTopicPlan?) -> EventConsumerError {
        let reasons = topics.map { "\($0.name): \($0.reason)" }.joined(separator: "; ")
        let options =
            plan.map { plan in
                " --replication-factor \(plan.replication)"
                    + plan.configuration.sorted { $0.key < $1.key }.map { " --config \($0.key)=\($0.value)" }.joined()
            } ?? ""
        let commands = topics.map {
            "kafka-topics.sh --bootstrap-server \(configuration.bootstrapServers) --create --topic \($0.name) "
                + "--partitions \(GroupTopicPlan.partitions)\(options)"
        }
        return EventConsumerError(
            .topics,
            "the group's own topics cannot be used (\(reasons)). Create them (\(commands.joined(separator: "; "))) and "
                + "allow this user Describe and Write on \(configuration.deadLetterTopic), Describe and Read on "
                + "\(configuration.redriveTopic); or choose policies that write no dead letters")
    }
}
