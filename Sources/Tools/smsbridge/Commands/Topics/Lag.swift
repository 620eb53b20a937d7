import SMSBridgeKafka
import SMSBridgePublisher
import SMSBridgeSettings
import SMSPortalEvents

/// `smsbridge lag`
enum Lag {
    private static let group = CommandOption<String>(
        "--group", "GROUP", .anyText("group"), isRequired: true, help: "The consumer group.")
    private static let json = CommandOption<Bool>("--json", help: "Write JSON to standard output, one object per line.")

    static let command = Command(
        "lag", summary: "Show how far a consumer group is behind in the bridge's topics",
        discussion: """
            The lag is the end offset minus the committed offset, by partition. Topics in which the group has committed nothing
            are left out. Joins no group and commits nothing; needs Describe on the group and the topics.
            Exit codes: 0; 1 the group has committed nothing, or a partition could not be read.
            """,
        options: [group, json], settings: .init(needs: .kafka, sections: ["kafka", "topics"]),
        examples: [.init("of one service", "smsbridge lag -b kafka:9092 --group call-backs")]
    ) { run($0, $1.settings) }

    private struct Row {
        var partition: TopicPartition
        var committed: Int64
        var end: Int64
        var lag: Int64 { max(0, end - committed) }
    }

    static func run(_ invocation: Invocation, _ settings: BridgeSettings) -> Int32 {
        let name = invocation.value(of: group) ?? ""
        if let problem = Preflight(settings).problem(describing: settings.topicPlan.names, group: name) {
            Output.error("smsbridge lag: \(problem)\n")
            return ExitCode.failure
        }
        do throws(KafkaError) {
            let consumer = try Consumer(ConsumerConfiguration(client: settings.kafkaClient, group: name))
            defer { consumer.close() }
            let client = consumer.client
            let names = Set(EventTopic.allCases.map { $0.name(prefix: settings.topics.prefix) })
            let partitions = try client.metadata(timeout: 10_000).topics.filter { names.contains($0.name) }
                .flatMap { topic in topic.partitions.map { TopicPartition(topic.name, $0.id) } }
            guard !partitions.isEmpty else {
                throw KafkaError(.unknownTopic, "none of the topics \(settings.topics.prefix).… exists")
            }
            var rows: [Row] = []
            for place in try client.committed(partitions, timeout: 10_000) {
                guard let committed = place.offset else { continue }
                let offsets = try client.watermarks(topic: place.topic, partition: place.partition, timeout: 10_000)
                rows.append(Row(partition: place, committed: committed, end: offsets.upperBound))
            }
            guard !rows.isEmpty else {
                Output.error(
                    "smsbridge lag: the group \(name) has committed nothing in these topics: is its name right?\n")
                return ExitCode.failure
            }
            rows.sort { ($0.partition.topic, $0.partition.partition) < ($1.partition.topic, $1.partition.partition) }
            if invocation.isOn(json) {
                for row in rows {
                    Output.line(
                        "{\"topic\":\(JSONText.string(row.partition.topic)),\"partition\":\(row.partition.partition),"
                            + "\"committed\":\(row.committed),\"end\":\(row.end),\"lag\":\(row.lag)}")
                }
            } else {
                let header = [["TOPIC", "PARTITION", "COMMITTED", "END", "LAG"]]
                Output.table(
                    header
                        + rows.map {
                            [
                                $0.partition.topic, "\($0.partition.partition)", "\($0.committed)", "\($0.end)",
                                "\($0.lag)",
                            ]
                        })
            }
            let total = rows.reduce(0) { $0 + $1.lag }
            Output.error("smsbridge lag: \(name): \(total) records behind\n")
            return ExitCode.success
        } catch {
            Output.error("smsbridge lag: \(settings.topicPlan.access.explain(error.description))\n")
            return ExitCode.failure
        }
    }
}
