import SMSBridgeKafka
import SMSBridgePublisher
import SMSBridgeSettings

/// `smsbridge topics create`
enum TopicsCommand {
    static let command = Command(
        "topics", summary: "Create and list the topics of the bridge",
        subcommands: [
            Command(
                "create", summary: "Create missing topics, as serve does",
                discussion: """
                    With topics.partitions, topics.replication and topics.retention, CreateTime, and a message size that takes
                    the largest callback. What is there is left as it is, and judged. For a user who may make topics, so
                    that the bridge's need not. Exit codes: 0; 1 failed.
                    """,
                settings: .init(
                    needs: .kafka,
                    sections: ["http", "kafka", "topics", "events", "publish", "spool", "durability", "log"]),
                examples: [
                    .init(
                        "seven topics with 12 partitions, each three times",
                        "smsbridge topics create --kafka-bootstrap-servers kafka:9092 --topics-partitions 12 --topics-replication 3"
                    )
                ]
            ) { run($1.settings) },
            TopicList.command,
        ])

    static func run(_ settings: BridgeSettings) -> Int32 {
        do {
            let admin = try Admin(settings.kafkaClient)
            defer { admin.close() }
            let findings = try TopicSetup(admin).run(
                settings.topicPlan, creates: true, strict: settings.durability.strict)
            for topic in findings.created { Output.line(topic) }
            for finding in findings.findings { Output.error("smsbridge topics create: \(finding.text)\n") }
            Output.error("smsbridge topics create: \(findings.created.count) topics were made\n")
            return ExitCode.success
        } catch {
            let reason = (error as? KafkaError).map { settings.topicPlan.access.explain($0.description) } ?? "\(error)"
            Output.error("smsbridge topics create: \(reason)\n")
            return ExitCode.failure
        }
    }
}
