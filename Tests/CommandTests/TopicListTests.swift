import Foundation
import SMSBridgeKafka
import Testing

@testable import smsbridge

/// `smsbridge topics list`, `lag`, and what `tail` selects.
struct TopicListTests {
    private func withReplies(_ body: (MockCluster) throws -> Void) throws {
        let cluster = try MockCluster()
        defer { cluster.close() }
        try cluster.createTopic("smsportal.reply", partitions: 1)
        let sender = try RecordSender(
            ClientConfiguration(bootstrapServers: cluster.bootstrapServers), topics: ["smsportal.reply"])
        for number in 0..<5 {
            try sender.send(
                topic: "smsportal.reply", key: Array("2712345678\(number)".utf8),
                value: Array("{\"n\":\(number)}".utf8),
                timestamp: 0, headers: [])
        }
        try sender.flush()
        sender.close()
        try body(cluster)
    }

    @Test func topicsListCountsRecordsAndNamesWhatIsMissing() throws {
        try withReplies { cluster in
            let run = try smsbridge(["topics", "list", "-b", cluster.bootstrapServers])
            // Not all topics are there.
            #expect(run.exitCode == 1)
            let rows = run.output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
            #expect(rows.first?.prefix(2) == ["TOPIC", "PARTITIONS"])
            #expect(rows.contains(["smsportal.reply", "1", "1", "1", "5", "-"]), "\(run.output)")
            #expect(run.output.contains("missing: smsbridge topics create"))
            #expect(rows.count == 8)
            let json = try smsbridge(["topics", "list", "-b", cluster.bootstrapServers, "--json"]).output
            #expect(
                json.contains(
                    #"{"topic":"smsportal.reply","partitions":1,"replication":1,"inSync":1,"records":5,"problem":null}"#
                ))
        }
    }

    @Test func lagIsTheEndOffsetMinusTheCommittedOne() throws {
        try withReplies { cluster in
            let arguments = ["lag", "-b", cluster.bootstrapServers, "--group", "desk"]
            let none = try smsbridge(arguments)
            #expect(none.exitCode == 1 && none.errors.contains("has committed nothing"), "\(none.errors)")
            let consumer = try Consumer(
                ConsumerConfiguration(
                    client: ClientConfiguration(bootstrapServers: cluster.bootstrapServers), group: "desk"))
            defer { consumer.close() }
            try consumer.client.commit([TopicPartition("smsportal.reply", 0, offset: 2)], timeout: 10_000)
            let run = try smsbridge(arguments)
            #expect(run.exitCode == 0, "\(run.errors)")
            let rows = run.output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
            #expect(
                rows == [["TOPIC", "PARTITION", "COMMITTED", "END", "LAG"], ["smsportal.reply", "0", "2", "5", "3"]])
            #expect(run.errors.contains("desk: 3 records behind"))
        }
    }

    @Test func tailSelectsByKeyAndWritesValues() throws {
        try withReplies { cluster in
            let run = try smsbridge([
                "tail", "-b", cluster.bootstrapServers, "-o", "earliest", "--key", "27123456783", "-n", "1",
                "--format", "value", "--show-content",
            ])
            #expect(run.exitCode == 0 && run.output == "{\"n\":3}\n", "\(run.output)\(run.errors)")
            let refused = try smsbridge(["tail", "-b", cluster.bootstrapServers, "--format", "value"])
            #expect(refused.exitCode == 2 && refused.errors.contains("--show-content"), "\(refused.errors)")
        }
    }
}
