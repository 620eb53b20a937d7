import SMSBridgeKafka
import SMSBridgePublisher
import SMSBridgeSettings
import SMSPortalEvents

/// `smsbridge topics list`
enum TopicList {
    private static let json = CommandOption<Bool>("--json", help: "Write JSON to standard output, one object per line.")

    static let command = Command(
        "list", summary: "List the bridge's topics with partitions, replication and records",
        discussion: """
            RECORDS is the end offset minus the first offset, over all partitions: an upper bound where a topic is compacted or
            has transactions. Exit codes: 0; 1 a topic is missing or could not be read.
            """,
        options: [json], settings: .init(needs: .kafka, sections: ["kafka", "topics"]),
        examples: [.init("of a cluster", "smsbridge topics list -b kafka:9092")]
    ) { run($0, $1.settings) }

    private struct Row {
        var topic: String
        var partitions = 0
        var replication = 0
        /// In-sync replicas of the partition that has the fewest.
        var inSync = 0
        var records: Int64 = 0
        var problem: String?
    }

    static func run(_ invocation: Invocation, _ settings: BridgeSettings) -> Int32 {
        if let problem = Preflight(settings).problem(describing: settings.topicPlan.names) {
            Output.error("smsbridge topics list: \(problem)\n")
            return ExitCode.failure
        }
        do throws(KafkaError) {
            let client = try Client.silent(settings.kafkaClient)
            defer { client.destroy() }
            let metadata = try client.metadata(timeout: 10_000)
            let rows = EventTopic.allCases.map { topic in
                row(topic.name(prefix: settings.topics.prefix), metadata, client)
            }
            if invocation.isOn(json) { rows.forEach { Output.line(object($0)) } } else { print(rows) }
            return rows.allSatisfy { $0.problem == nil } ? ExitCode.success : ExitCode.failure
        } catch {
            Output.error("smsbridge topics list: \(settings.topicPlan.access.explain(error.description))\n")
            return ExitCode.failure
        }
    }

    private static func row(_ name: String, _ metadata: ClusterMetadata, _ client: Client) -> Row {
        var row = Row(topic: name)
        guard let topic = metadata.topics.first(where: { $0.name == name }) else {
            row.problem = "missing: smsbridge topics create"
            return row
        }
        if let error = topic.error {
            row.problem = "\(error)"
            return row
        }
        row.partitions = topic.partitions.count
        row.replication = topic.partitions.map(\.replicas.count).min() ?? 0
        row.inSync = topic.partitions.map(\.inSyncReplicas.count).min() ?? 0
        for partition in topic.partitions {
            do throws(KafkaError) {
                let offsets = try client.watermarks(topic: name, partition: partition.id, timeout: 10_000)
                row.records += Int64(offsets.count)
            } catch {
                row.problem = "partition \(partition.id): \(error.message)"
            }
        }
        return row
    }

    private static func print(_ rows: [Row]) {
        Output.table(
            [["TOPIC", "PARTITIONS", "REPLICATION", "IN SYNC", "RECORDS", "PROBLEM"]]
                + rows.map { row in
                    guard row.partitions > 0 else { return [row.topic, "-", "-", "-", "-", row.problem ?? ""] }
                    return [
                        row.topic, "\(row.partitions)", "\(row.replication)", "\(row.inSync)", "\(row.records)",
                        row.problem ?? "-",
                    ]
                })
    }

    private static func object(_ row: Row) -> String {
        "{\"topic\":\(JSONText.string(row.topic)),\"partitions\":\(row.partitions),\"replication\":\(row.replication),"
            + "\"inSync\":\(row.inSync),\"records\":\(row.records),"
            + "\"problem\":\(row.problem.map(JSONText.string) ?? "null")}"
    }
}
