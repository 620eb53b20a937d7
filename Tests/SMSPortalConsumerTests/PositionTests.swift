import SMSBridgeKafka
import Testing

@testable import SMSPortalConsumer

/// What commits keep beside offsets, and how the group's own topics are created.
struct PositionTests {
    @Test func aMarkSurvivesItsText() {
        for mark in [
            PositionMark(), PositionMark(cluster: "4L6g3nShT-eMCtK--X86sw"),
            PositionMark(cluster: "c", joinedAt: 1_764_000_000_000, partitions: 6),
            PositionMark(cluster: "c", topics: ["smsportal.reply", "smsportal.url-click"]),
        ] {
            #expect(PositionMark(mark.text) == mark)
            #expect(mark.text.utf8.count < 4_096)
        }
    }

    @Test func metadataOfOtherProgramsIsNoMark() {
        for text in [nil, "", "consumer-1", "joined=3", "smsportal-replay 1"] {
            #expect(PositionMark(text) == nil)
        }
        // What a later version adds is skipped.
        #expect(PositionMark("smsportal-consumer shard=7 joined=x partitions=2")?.partitions == 2)
    }

    private func topic(_ name: String, copies: Int) -> ClusterMetadata.Topic {
        ClusterMetadata.Topic(
            name: name, error: nil,
            partitions: [
                .init(id: 0, leader: 1, replicas: (0..<copies).map { Int32($0) }, inSyncReplicas: [1])
            ])
    }

    /// A broker that is away must not decide how durable dead letters are: the event topics do.
    @Test func deadLettersAreAsDurableAsTheEvents() {
        let three = GroupTopicPlan(
            topics: [topic("a", copies: 3), topic("b", copies: 1)],
            configurations: [
                "a": [
                    "min.insync.replicas": "2", "max.message.bytes": "8000000", "retention.ms": "604800000", "x": nil,
                ]
            ])
        #expect(three.replication == 3 && three.minInSyncReplicas == 2)
        #expect(three.maxMessageBytes > 8_000_000, "what befell an event is added to it")
        #expect(three.retention == 30 * 86_400_000)
        let hidden = GroupTopicPlan(topics: [topic("a", copies: 3)], configurations: [:])
        #expect(hidden.replication == 3 && hidden.minInSyncReplicas == 2, "this user may not see configurations")
        let single = GroupTopicPlan(topics: [topic("a", copies: 1)], configurations: ["a": ["retention.ms": "-1"]])
        #expect(single.replication == 1 && single.minInSyncReplicas == nil && single.retention == -1)
        #expect(single.configuration["min.insync.replicas"] == nil, "the cluster's default")
    }

    @Test func anExistingTopicThatLosesDeadLettersIsReported() {
        let plan = GroupTopicPlan(
            topics: [topic("a", copies: 3)],
            configurations: ["a": ["min.insync.replicas": "2", "max.message.bytes": "1048588"]])
        let good = [
            "min.insync.replicas": "2", "max.message.bytes": "4194304", "retention.ms": "-1",
            "cleanup.policy": "delete",
        ]
        #expect(plan.problems(of: topic("g-dlt", copies: 3), configuration: good).isEmpty)
        for (name, value) in [
            ("min.insync.replicas", "1"), ("max.message.bytes", "1000"), ("retention.ms", "3600000"),
            ("cleanup.policy", "compact"),
        ] {
            var one: [String: String?] = good
            one[name] = value
            let problems = plan.problems(of: topic("g-dlt", copies: 3), configuration: one)
            #expect(problems.count == 1 && problems[0].hasPrefix(name), "\(problems)")
        }
        #expect(plan.problems(of: topic("g-dlt", copies: 2), configuration: good).count == 1)
    }

    // MARK: Configuration

    @Test func propertiesThatTheLibrarySetsItselfAreProblems() {
        for (name, value, hint) in [
            ("group.id", "other", "`group`"), ("enable.auto.commit", "true", "commitInterval"),
            ("auto.offset.reset", "latest", "startAt"),
            ("partition.assignment.strategy", "range", "cooperative-sticky"),
            ("bootstrap.servers", "a:1", "bootstrapServers"), ("acks", "1", "acks=all"),
        ] {
            var configuration = EventConsumer.Configuration(bootstrapServers: "kafka:9092", group: "g")
            configuration.kafkaProperties = [name: value]
            let problems = configuration.problems()
            #expect(problems.count == 1 && problems[0].contains(hint), "\(name): \(problems)")
            #expect(problems[0].hasPrefix("kafkaProperties.\(name): "))
        }
    }

    @Test func aSecondHandlerIsAnErrorThatNamesItsType() async {
        let consumer = EventConsumer(configuration: .init(bootstrapServers: "127.0.0.1:1", group: "g"))
            .onReply { _, _ in }
            .onReply { _, _ in }
            .onOptOut { _, _ in }
            .onOptOut { _, _ in }
        await #expect {
            try await consumer.run()
        } throws: { error in
            "\(error)".contains("second handler is registered for reply") && "\(error)".contains("opt-outs")
        }
    }

    @Test func theEndOfARunIsWithinASecondOfTheShutdownTimeout() {
        for timeout in [Duration.zero, .milliseconds(100), .seconds(3), .seconds(86_400)] {
            for isCancelled in [true, false] {
                let end = ConsumerLoop.EndOfRun(stoppedAt: 5, timeout: timeout, isCancelled: isCancelled)
                #expect(end.handlers <= end.cancelled && end.cancelled < end.commit && end.commit < end.all)
                #expect(end.all <= 5 + UInt64(timeout / .nanoseconds(1)) + 900_000_000)
                #expect(isCancelled || end.handlers == 5 + UInt64(timeout / .nanoseconds(1)))
            }
        }
    }
}
