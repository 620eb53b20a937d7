import Foundation
import SMSBridgeKafka
import SMSBridgePublisher
import SMSPortalEvents
import Testing

/// What a running bridge makes of topics that could lose an acknowledged event. One broker is enough for that: no topic of
/// its can have three copies.
@Suite(.serialized) struct DurabilityTests {
    private func value(_ name: String, topic: String, in bridge: ServedBridge) throws -> Double? {
        try bridge.admin("/metrics").split(separator: "\n").first { $0.hasPrefix("\(name){topic=\"\(topic)\"}") }?
            .split(separator: " ").last.flatMap { Double($0.filter { $0 != "\r" }) }
    }

    @Test func beforeKafkaAnswersStrictTakesEventsIntoTheSpool() throws {
        let folder = try TemporaryFolder()
        let bridge = try ServedBridge([
            "--kafka-bootstrap-servers", "127.0.0.1:1", "--spool-path", folder.path, "--spool-any-file-system",
            "--durability-strict", "--shutdown-delay", "0s", "--shutdown-deadline", "5s",
        ])
        let client = try bridge.connect()
        client.send(ServedBridge.callback)
        #expect(client.answer().hasPrefix("HTTP/1.1 200"), "the spool has it")
        #expect(try bridge.wait { try bridge.admin("/readyz").hasPrefix("HTTP/1.1 200") })
        #expect(try value("smsbridge_topic_durability", topic: "reply", in: bridge) == -1)
        bridge.terminate()
        #expect(bridge.exitCode(within: 20) == 0, "\(bridge.logged)")
    }

    private func withTopics(_ body: (_ admin: Admin, _ plan: TopicPlan, _ arguments: [String]) throws -> Void) throws {
        let servers = realBootstrapServers ?? ""
        let admin = try Admin(ClientConfiguration(bootstrapServers: servers))
        defer { admin.close() }
        let plan = TopicPlan(
            prefix: uniqueName("durable"), partitions: 1, replication: 1, retention: .seconds(3_600),
            maxRecordBytes: 860_000)
        _ = try TopicSetup(admin).run(plan, creates: true)
        defer { _ = try? admin.delete(plan.names, timeout: 15_000) }
        let folder = try TemporaryFolder()
        try body(
            admin, plan,
            [
                "--kafka-bootstrap-servers", servers, "--topics-prefix", plan.prefix, "--spool-path", folder.path,
                "--spool-any-file-system", "--durability-interval", "1s", "--shutdown-delay", "0s",
            ])
    }

    @Test(.enabled(if: realBootstrapServers != nil, "KAFKA_BOOTSTRAP_SERVERS is not set"))
    func theTopicsAreJudgedAgainAndAgain() throws {
        try withTopics { admin, plan, arguments in
            let bridge = try ServedBridge(arguments + ["--topics-create=false"])
            #expect(try bridge.wait { try value("smsbridge_topic_replication", topic: "reply", in: bridge) == 1 })
            #expect(try value("smsbridge_topic_durability", topic: "reply", in: bridge) == 0)
            #expect(try bridge.admin("/readyz").hasPrefix("HTTP/1.1 200"), "it is only reported")
            let reply = EventTopic.reply.name(prefix: plan.prefix)
            #expect(try admin.delete([reply], timeout: 15_000)[reply]! == nil)
            #expect(try bridge.wait { try value("smsbridge_topic_durability", topic: "reply", in: bridge) == -1 })
            #expect(try value("smsbridge_topic_durability", topic: "url-click", in: bridge) == 0)
            #expect(bridge.wait { bridge.logged.contains("missing topics: \(reply)") })
            #expect(try !admin.describe(timeout: 15_000).topics.contains { $0.name == reply }, "a look makes nothing")
            let said = bridge.logged.components(separatedBy: "replication is").count
            usleep(3_000_000)
            #expect(bridge.logged.components(separatedBy: "replication is").count == said, "said when it changes")
            bridge.terminate()
            #expect(bridge.exitCode(within: 40) == 0, "\(bridge.logged)")
        }
    }

    @Test(.enabled(if: realBootstrapServers != nil, "KAFKA_BOOTSTRAP_SERVERS is not set"))
    func strictRefusesWhatCouldBeLostAndHandsNothingOver() throws {
        try withTopics { admin, plan, arguments in
            let bridge = try ServedBridge(arguments + ["--durability-strict"])
            #expect(try bridge.wait { try bridge.admin("/readyz").contains("durability.strict") })
            #expect(try bridge.admin("/readyz").hasPrefix("HTTP/1.1 503"))
            let client = try bridge.connect()
            client.send(ServedBridge.callback)
            #expect(client.answer().hasPrefix("HTTP/1.1 503"))
            #expect(
                try bridge.wait {
                    try bridge.admin("/metrics").split(separator: "\n").contains {
                        $0.hasPrefix("smsbridge_events_unavailable_total{") && $0.contains("not_durable")
                            && $0.hasSuffix(" 1")
                    }
                })
            for name in plan.names {
                #expect(try admin.client.watermarks(topic: name, partition: 0, timeout: 15_000).isEmpty)
            }
            bridge.terminate()
            #expect(bridge.exitCode(within: 40) == 0, "\(bridge.logged)")
        }
    }
}
