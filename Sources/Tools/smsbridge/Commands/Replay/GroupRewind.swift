import SMSBridgeKafka
import SMSBridgeReplaying
import SMSBridgeSettings

/// `smsbridge replay --to-group`: a group that has stopped begins again at another place.
struct GroupRewind {
    private let invocation: Invocation
    private let settings: BridgeSettings
    private let group: String

    init(_ invocation: Invocation, _ settings: BridgeSettings, group: String) {
        self.invocation = invocation
        self.settings = settings
        self.group = group
    }

    func run() throws(ReplayFailure) -> Int32 {
        do throws(any Error) {
            let consumer = try Consumer(ConsumerConfiguration(client: settings.kafkaClient, group: group))
            defer { consumer.close() }
            let plan: ReplayPlan
            do throws(ReplayError) {
                plan = try ReplayPlan(
                    ReplayCommand.window(invocation), topics: ReplayCommand.topics(invocation, settings),
                    client: consumer.client)
            } catch {
                throw ReplayFailure(message: error.message)
            }
            for topic in plan.missingTopics { Output.error("smsbridge replay: \(topic) does not exist\n") }
            let places = plan.partitions.map { TopicPartition($0.topic, $0.partition) }
            let before = try consumer.committed(places, timeout: 10_000)
            let isExecuted = invocation.isOn(ReplayCommand.execute) && !invocation.isOn(ReplayCommand.dryRun)
            let rule = Rule(
                isForced: invocation.isOn(ReplayCommand.force), isOfTypes: invocation.isGiven(ReplayCommand.types))
            // Also for the view: who sees that a group is live stops it first.
            let members = try consumer.client.memberCount(of: group, timeout: 10_000)
            let lines = plan.partitions.indices.map { index in
                let offsets = plan.partitions[index].offsets
                return Line(
                    place: places[index], before: before[index].offset,
                    after: rule.place(before: before[index].offset, asked: offsets.lowerBound),
                    end: offsets.upperBound)
            }
            let moves = lines.filter { $0.after != $0.before }
            if isExecuted {
                guard members == 0 else {
                    throw ReplayFailure(
                        message: "the group \(group) has \(members) members: stop them first, nothing was changed")
                }
                if !moves.isEmpty {
                    try consumer.commit(
                        moves.map { TopicPartition($0.place.topic, $0.place.partition, offset: $0.after) })
                }
            }
            show(lines, members: members, isExecuted: isExecuted)
            if before.allSatisfy({ $0.offset == nil }), moves.isEmpty {
                throw ReplayFailure(
                    message:
                        "the group \(group) has no place in any of these topics: nothing to rewind. Is its name right? "
                        + "One that is new begins at --from with --type and --force")
            }
            for partition in plan.partitions where partition.beginsBehindDeleted {
                Output.error(
                    "smsbridge replay: \(partition.topic)[\(partition.partition)]: older records have been deleted\n")
            }
            return ExitCode.success
        } catch let error as KafkaError {
            throw ReplayFailure(message: "the group \(group): \(error.message)")
        } catch let error as ReplayFailure {
            throw error
        } catch {
            throw ReplayFailure(message: "\(error)")
        }
    }

    /// Where a partition is put: never ahead of where the group stands, for the group would lose what lies between, and
    /// nowhere where it has no place, for there it begins as it is set to.
    struct Rule {
        let isForced: Bool
        /// Whether the topics were named: only then may a group get a place in one that it may never have read.
        let isOfTypes: Bool

        /// - Returns: nil to leave it without a place.
        func place(before: Int64?, asked: Int64) -> Int64? {
            guard let before else { return isForced && isOfTypes ? asked : nil }
            return isForced ? asked : min(before, asked)
        }
    }

    private struct Line {
        let place: TopicPartition
        let before: Int64?
        let after: Int64?
        let end: Int64

        /// What is remarkable.
        var note: String {
            switch (before, after) {
            case (let before?, let after?) where after > before: "  forward: \(after - before) are skipped"
            case (let before?, let after?) where after == before: "  stays: it stands at --from, or before it"
            case (_, nil): "  no place: left alone"
            default: ""
            }
        }
    }

    private func show(_ lines: [Line], members: Int, isExecuted: Bool) {
        if invocation.isOn(ReplayCommand.json) {
            let partitions = lines.map { line in
                "{\"topic\":\(JSONText.string(line.place.topic)),\"partition\":\(line.place.partition),"
                    + "\"before\":\(line.before.map(String.init) ?? "null"),\"after\":\(line.after.map(String.init) ?? "null"),\"end\":\(line.end)}"
            }
            return Output.line(
                "{\"group\":\(JSONText.string(group)),\"members\":\(members),\"executed\":\(isExecuted),"
                    + "\"partitions\":[\(partitions.joined(separator: ","))]}")
        }
        for line in lines {
            let before = line.before.map(String.init) ?? "none"
            let after = line.after.map(String.init) ?? "none"
            let left = line.after.map { "  (\(max(0, line.end - $0)) to read)" } ?? ""
            Output.line(
                "\(line.place.topic)[\(line.place.partition)]  \(before) -> \(after)  of \(line.end)\(left)\(line.note)"
            )
        }
        if !invocation.isOn(ReplayCommand.force), lines.contains(where: { $0.after == $0.before }) {
            Output.error(
                "smsbridge replay: a group is only moved back, and only where it has a place; --force moves it forward, too\n"
            )
        }
        if isExecuted { return Output.error("smsbridge replay: the group \(group) begins there when it is started\n") }
        let live = members > 0 ? "; the group has \(members) members, stop them first" : ""
        Output.error("smsbridge replay: shown only: --execute does it\(live)\n")
    }
}
