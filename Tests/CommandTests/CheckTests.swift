import Foundation
import Testing

/// `smsbridge check` and `topics create`, with the real program and a real cluster.
struct CheckTests {
    private let secret = ["--auth-none"]

    @Test(.enabled(if: ProcessInfo.processInfo.environment["KAFKA_BOOTSTRAP_SERVERS"] != nil))
    func topicsAreMadeAndJudged() throws {
        let servers = ProcessInfo.processInfo.environment["KAFKA_BOOTSTRAP_SERVERS"] ?? ""
        let folder = try TemporaryFolder()
        let prefix = "check-\(UInt32.random(in: 0...UInt32.max))"
        let arguments = ["--kafka-bootstrap-servers", servers, "--topics-prefix", prefix]
        let served = arguments + ["--spool-path", folder.path] + secret
        let before = try smsbridge(["check"] + served)
        // What is said of the topics once they are there is said before.
        #expect(before.exitCode == 1 && before.output.contains("created at the start with"), "\(before.output)")
        #expect(before.output.contains("failed      topics: topics that are created: replication is 1"))
        let development = try smsbridge(["check", "--durability-development"] + served)
        #expect(development.exitCode == 0, "\(development.output)")
        let strict = try smsbridge(["check", "--topics-create=false"] + served)
        #expect(
            strict.exitCode == 1 && strict.output.contains("failed      topics: missing topics"), "\(strict.output)")
        let made = try smsbridge(["topics", "create", "--topics-partitions", "2"] + arguments)
        #expect(made.exitCode == 0 && made.output.split(separator: "\n").count == 7, "\(made.errors)")
        let again = try smsbridge(["topics", "create"] + arguments)
        #expect(again.exitCode == 0 && again.output.isEmpty)
        // A cluster of one broker keeps nothing for sure.
        let after = try smsbridge(["check", "--json"] + served)
        #expect(after.exitCode == 1)
        let lines = try after.output.split(separator: "\n").map {
            try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: String])
        }
        #expect(lines.contains { $0["verdict"] == "failed" && $0["text"]?.contains("replication is 1") == true })
        #expect(
            lines.contains { $0["about"] == "publish" && $0["text"]?.hasPrefix("acknowledged after") == true },
            "\(after.output)")
        let accepted = try smsbridge(["check", "--no-event", "--durability-development"] + served)
        #expect(accepted.exitCode == 0, "\(accepted.output)")
        let information = accepted.output.split(separator: "\n").filter { $0.contains("replication is 1") }
        #expect(information.count == 1 && information[0].hasPrefix("ok          topics: development mode"))
        let tail = ["tail", "--json", "--type", "test", "--from-beginning", "--count", "11"] + arguments
        let refused = try smsbridge(tail)
        #expect(refused.exitCode == 2 && refused.errors.contains("--show-content"))
        let read = try smsbridge(tail + ["--show-content"])
        let records = try read.output.split(separator: "\n").map {
            try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
        #expect(records.count == 11, "\(read.errors)")
        for record in records {
            #expect(record["topic"] as? String == "\(prefix).test" && record["key"] as? String == "27000000001")
            #expect((record["value"] as? [String: Any])?["reference"] as? String == "smsbridge check")
        }
        let quiet = try smsbridge(["check", "--no-event"] + served)
        #expect(quiet.output.contains("cannot tell publish: no test event"))
    }

    /// Every way of getting in counts, not only secrets.
    @Test func whoGetsInIsSaid() throws {
        let common = ["check", "--kafka-bootstrap-servers", "127.0.0.1:1", "--spool-none"]
        let signed = try smsbridge(
            common + [
                "--auth-signature-header", "X-Signature", "--auth-signature-timestamp-header", "X-Time",
                "--auth-signature-base-url", "https://a.example",
            ],
            environment: ["SMSBRIDGE_AUTH_SIGNATURE_SECRETS": "signature-secret-0123456789"])
        #expect(
            signed.output.contains("ok          auth: callers show a signature (of 1)\n"),
            "\(signed.output)\(signed.errors)")
        let both = try smsbridge(
            common + ["--auth-addresses", "192.0.2.0/24,198.51.100.0/24", "--auth-mode", "log"],
            environment: ["SMSBRIDGE_AUTH_HEADER_SECRETS": "header-secret-0123456789"])
        #expect(
            both.output.contains(
                "warning     auth: callers show a secret in the header (of 1) and an address (of 2); auth.mode is log: other"
            ),
            "\(both.output)\(both.errors)")
    }

    @Test func whatIsWrongHereIsSaidWithoutAKafka() throws {
        let folder = try TemporaryFolder()
        let file = folder.path + "/file"
        try Data().write(to: URL(fileURLWithPath: file))
        let run = try smsbridge(["check", "--kafka-bootstrap-servers", "127.0.0.1:1", "--spool-path", file + "/spool"])
        #expect(run.exitCode == 1)
        #expect(run.output.contains("failed      auth: no authentication configured"))
        #expect(run.output.contains("failed      spool: \(file) cannot be written"))
        #expect(run.output.contains("failed      kafka: Kafka cannot be reached"))
        #expect(try smsbridge(["check", "--spool-none"]).exitCode == 2, "no broker is named")
    }
}
