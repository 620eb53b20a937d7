import Kafka
import Replaying
import Settings

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
            // Also for the view: who sees that a group is live stops it first.
            let members = try consumer.client.memberCount(of: group, timeout: 10_000)
            let lines = plan.partitions.indices.map { index in
                Line(
                    place: places[index], before: before[index].offset,
                    after: plan.partitions[index].offsets.lowerBound,
                    end: plan.partitions[index].offsets.upperBound)
            }
            if isExecuted {
                guard members == 0 else {
                    throw ReplayFailure(
                        message: "the group \(group) has \(members) members: stop them first, nothing was changed")
                }
                try consumer.commit(lines.map { TopicPartition($0.place.topic, $0.place.partition, offset: $0.after) })
            }
            show(lines, members: members, isExecuted: isExecuted)
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

    private struct Line {
        let place: TopicPartition
        let before: Int64?
        let after: Int64
        let end: Int64
    }

    private func show(_ lines: [Line], members: Int, isExecuted: Bool) {
        if invocation.isOn(ReplayCommand.json) {
            let partitions = lines.map { line in
                "{\"topic\":\(JSONText.string(line.place.topic)),\"partition\":\(line.place.partition),"
                    + "\"before\":\(line.before.map(String.init) ?? "null"),\"after\":\(line.after),\"end\":\(line.end)}"
            }
            return Output.line(
                "{\"group\":\(JSONText.string(group)),\"members\":\(members),\"executed\":\(isExecuted),"
                    + "\"partitions\":[\(partitions.joined(separator: ","))]}")
        }
        for line in lines {
            let before = line.before.map(String.init) ?? "none"
            Output.line(
                "\(line.place.topic)[\(line.place.partition)]  \(before) -> \(line.after)  of \(line.end)  (\(line.end - line.after) to read)"
            )
        }
        if isExecuted { return Output.error("smsbridge replay: the group \(group) begins there when it is started\n") }
        let live = members > 0 ? "; the group has \(members) members, stop them first" : ""
        Output.error("smsbridge replay: shown only: --execute does it\(live)\n")
    }
}
