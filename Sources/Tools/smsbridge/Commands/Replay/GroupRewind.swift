import SMSBridgeKafka
import SMSBridgeReplaying
import SMSBridgeSettings

/// `smsbridge replay --to-group`: moves the committed offsets of a stopped group.
struct GroupRewind {
    private let invocation: Invocation
    private let settings: BridgeSettings
    private let window: CommandWindow
    private let group: String

    init(_ invocation: Invocation, _ settings: BridgeSettings, _ window: CommandWindow, group: String) {
        self.invocation = invocation
        self.settings = settings
        self.window = window
        self.group = group
    }

    func run() throws(ReplayFailure) -> Int32 {
        Output.error("smsbridge replay: from \(window.text(window.window))\n")
        let topics = ReplayCommand.topics(invocation, settings)
        let commits = invocation.isOn(ReplayCommand.execute)
        if let problem = Preflight(settings).problem(reading: topics, group: group, commits: commits) {
            throw ReplayFailure(message: problem.description)
        }
        do {
            let consumer = try Consumer(ConsumerConfiguration(client: settings.kafkaClient, group: group))
            defer { consumer.close() }
            let client = try ReplayPlan.offsetClient(settings.kafkaClient)
            defer { client.destroy() }
            let plan = try ReplayPlan(
                window.window, topics: ReplayCommand.topics(invocation, settings), client: client)
            for topic in plan.missingTopics { Output.error("smsbridge replay: \(topic) does not exist\n") }
            let before = try consumer.committed(plan.partitions.map(\.topicPartition), timeout: 10_000)
            let isExecuted = invocation.isOn(ReplayCommand.execute) && !invocation.isOn(ReplayCommand.dryRun)
            let rule = Rule(
                isForced: invocation.isOn(ReplayCommand.force), isOfTypes: invocation.isGiven(ReplayCommand.types))
            let use = try use()
            let lines = plan.partitions.indices.map { index in
                let offsets = plan.partitions[index].offsets
                return Line(
                    partition: plan.partitions[index], before: before[index].offset,
                    after: rule.offset(before: before[index].offset, asked: offsets.lowerBound),
                    end: offsets.upperBound)
            }
            let moves = lines.filter { $0.after != $0.before }
            if before.allSatisfy({ $0.offset == nil }), moves.isEmpty {
                throw ReplayFailure(
                    message:
                        "the group \(group) has no committed offset in any of these topics, so there is nothing to rewind: is its "
                        + "name right? A new group starts at --from with --type, --force and --execute")
            }
            if isExecuted {
                guard use == .empty || use == .noGroup else {
                    throw ReplayFailure(
                        message: "the group \(group) has \(Self.text(use)): stop them first, nothing was changed")
                }
                try move(moves, consumer)
            }
            show(lines, use, isExecuted: isExecuted)
            let truncated = plan.partitions.filter(\.isTruncated)
            for partition in truncated {
                Output.error(
                    "smsbridge replay: \(partition.description) does not reach back to --from: older records have been deleted\n"
                )
            }
            return truncated.isEmpty ? ExitCode.success : ExitCode.deleted
        } catch let error as KafkaError {
            throw ReplayFailure(message: "the group \(group): \(error.message)")
        } catch let error as ReplayError {
            throw ReplayFailure(message: error.message)
        } catch let error as ReplayFailure {
            throw error
        } catch {
            throw ReplayFailure(message: "\(error)")
        }
    }

    /// Also for a dry run, which shows that the group has to be stopped.
    private func use() throws(KafkaError) -> GroupUse {
        let admin = try Admin(settings.kafkaClient)
        defer { admin.close() }
        return try admin.use(of: group, timeout: 10_000)
    }

    private func move(_ moves: [Line], _ consumer: Consumer) throws(ReplayFailure) {
        guard !moves.isEmpty else { return }
        do throws(KafkaError) {
            try consumer.commit(
                moves.map { TopicPartition($0.partition.topic, $0.partition.partition, offset: $0.after) },
                timeout: 10_000)
        } catch {
            // What Kafka answers to a commit from outside when the group has members.
            guard error.code == .unknownMember else {
                throw ReplayFailure(message: "the group \(group): \(error.message)")
            }
            throw ReplayFailure(
                message: "the group \(group) got members during this command: stop them first, nothing was changed")
        }
    }

    private static func text(_ use: GroupUse) -> String {
        switch use {
        case .members(let count): "\(count) members"
        case .membersOfUnknownCount: "members (of the new group protocol)"
        case .empty, .noGroup: "no members"
        }
    }

    /// Where a partition is moved: never ahead of the committed offset, for the group would lose what lies between, and
    /// nowhere where there is none, for there the group starts as its configuration says.
    struct Rule {
        let isForced: Bool
        /// Whether the topics were named: only then may a group get an offset in one that it may never have read.
        let isOfTypes: Bool

        /// - Returns: nil to leave it without a committed offset.
        func offset(before: Int64?, asked: Int64) -> Int64? {
            guard let before else { return isForced && isOfTypes ? asked : nil }
            return isForced ? asked : min(before, asked)
        }
    }

    private struct Line {
        let partition: ReplayPlan.Partition
        let before: Int64?
        let after: Int64?
        let end: Int64

        /// What is remarkable.
        var note: String {
            switch (before, after) {
            case (let before?, let after?) where after > before: "  forward: \(after - before) are skipped"
            case (let before?, let after?) where after == before: "  stays: it is at --from, or before it"
            case (_, nil): "  no committed offset: left alone"
            default: ""
            }
        }
    }

    private func show(_ lines: [Line], _ use: GroupUse, isExecuted: Bool) {
        let isLive = use != .empty && use != .noGroup
        if invocation.isOn(ReplayCommand.json) {
            let partitions = lines.map { line in
                "{\"topic\":\(JSONText.string(line.partition.topic)),\"partition\":\(line.partition.partition),"
                    + "\"before\":\(line.before.map(String.init) ?? "null"),\"after\":\(line.after.map(String.init) ?? "null"),"
                    + "\"end\":\(line.end)}"
            }
            let members = if case .members(let count) = use { "\(count)" } else { isLive ? "null" : "0" }
            return Output.line(
                "{\"group\":\(JSONText.string(group)),\"members\":\(members),\"live\":\(isLive),\"executed\":\(isExecuted),"
                    + "\"partitions\":[\(partitions.joined(separator: ","))]}")
        }
        for line in lines {
            let before = line.before.map(String.init) ?? "none"
            let after = line.after.map(String.init) ?? "none"
            let left = line.after.map { "  (\(max(0, line.end - $0)) to read)" } ?? ""
            Output.line("\(line.partition.description)  \(before) -> \(after)  of \(line.end)\(left)\(line.note)")
        }
        if !invocation.isOn(ReplayCommand.force), lines.contains(where: { $0.after == $0.before }) {
            Output.error(
                "smsbridge replay: a group is only moved back, and only where it has a committed offset; --force moves it forward, too\n"
            )
        }
        if isExecuted { return Output.error("smsbridge replay: the group \(group) resumes there when it is started\n") }
        let live = isLive ? "; the group has \(Self.text(use)), stop them first" : ""
        Output.error("smsbridge replay: shown only: --execute applies it\(live)\n")
    }
}
