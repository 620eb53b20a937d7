import Foundation
import SMSBridgeKafka
import SMSBridgePublisher
import SMSPortalEvents
import Testing

/// Who the bridge is to a cluster, and how it finds out what it may do.
struct AccessTests {
    private func access(_ properties: [String: String]) -> KafkaAccess {
        KafkaAccess(ClientConfiguration(bootstrapServers: "a:9093,b:9093", properties: properties))
    }

    @Test(arguments: [
        ([:], "User:ANONYMOUS"), (["security.protocol": "ssl"], "User:ANONYMOUS"),
        (["security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.username": "bridge"], "User:bridge"),
        (["security.protocol": "sasl_ssl", "sasl.mechanisms": "OAUTHBEARER"], "User:<the token's subject>"),
        (
            ["security.protocol": "ssl", "ssl.certificate.location": "/x"],
            "User:<the certificate's subject, such as CN=smsbridge>"
        ),
    ])
    func thePrincipalIsTheOneThatAclsName(properties: [String: String], principal: String) {
        #expect(access(properties).principal == principal)
    }

    @Test func theCommandIsReadyForAShell() {
        let bridge = access(["security.protocol": "sasl_ssl", "sasl.mechanism": "PLAIN", "sasl.username": "o'neil $x"])
        #expect(
            bridge.grant(["Write", "DescribeConfigs"], on: ["p.reply"])
                == "kafka-acls.sh --bootstrap-server a:9093,b:9093 --command-config admin.properties --add "
                + "--allow-principal 'User:o'\\''neil $x' --operation Write --operation DescribeConfigs --topic p.reply"
        )
        #expect(
            bridge.grant(["Create"], on: [], prefix: "p").hasSuffix("--topic p. --resource-pattern-type prefixed"))
        #expect(bridge.grantOnCluster(["IdempotentWrite"]).hasSuffix("--operation IdempotentWrite --cluster"))
    }

    @Test func scramIsWarnedOfWithAnOldLibrdkafkaAndOnlyThere() {
        let trouble = access(["security.protocol": "sasl_ssl", "sasl.mechanism": "SCRAM-SHA-256"]).scramTrouble
        #expect((trouble != nil) == (LibRDKafka.versionNumber < 0x0206_01ff))
        #expect(access(["security.protocol": "sasl_ssl", "sasl.mechanism": "PLAIN"]).scramTrouble == nil)
    }

    /// The question whether a topic may be written leaves nothing in it, and makes no topic.
    @Test(.enabled(if: realBootstrapServers != nil, "KAFKA_BOOTSTRAP_SERVERS is not set"))
    func askingWritesNothing() throws {
        let client = ClientConfiguration(bootstrapServers: realBootstrapServers ?? "")
        let admin = try Admin(client)
        defer { admin.close() }
        let plan = TopicPlan(
            prefix: uniqueName("access"), partitions: 1, replication: 1, retention: .seconds(100_000),
            maxRecordBytes: 860_000)
        let before = TopicAccess(plan, client).lookForHidden(plan.names, creates: true, admin)
        #expect(
            before.missing.isEmpty && before.unknown.isEmpty && before.allowed == ["the missing topics may be made"])
        #expect(try !admin.describe(timeout: 15_000).topics.contains { plan.names.contains($0.name) })
        _ = try TopicSetup(admin).run(plan, creates: true)
        defer { _ = try? admin.delete(plan.names, timeout: 15_000) }
        let record = try Event(
            callback: Callback(
                method: .post, route: .deliveryStatus, contentType: "application/json",
                body: #"{"Status":"DELIVRD","Msisdn":27000000001}"#),
            receivedAt: EventTime(millisecondsSinceEpoch: 1_735_711_200_000)
        ).record()
        let findings = TopicAccess(plan, client, timeout: 15_000).lookForWrite(plan.names, record)
        #expect(findings.writable == plan.names && findings.missing.isEmpty && findings.unknown.isEmpty, "\(findings)")
        for name in plan.names {
            // A broker leads a new partition a moment after it was made.
            var offsets: Range<Int64>?
            for _ in 0..<50 where offsets == nil {
                offsets = try? admin.client.watermarks(topic: name, partition: 0, timeout: 15_000)
                if offsets == nil { usleep(100_000) }
            }
            #expect(offsets == 0..<0)
        }
    }
}
