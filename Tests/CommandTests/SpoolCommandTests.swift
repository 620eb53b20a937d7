import Foundation
import SMSBridgeKafka
import SMSPortalEvents
import Testing

/// `smsbridge spool …` with the real program.
@Suite(.serialized) struct SpoolCommandTests {
    /// A bridge without a Kafka that has accepted so many callbacks into its spool.
    private func bridge(_ folder: TemporaryFolder, rows: Int) throws -> ServedBridge {
        let bridge = try ServedBridge([
            "--kafka-bootstrap-servers", "127.0.0.1:1", "--spool-path", folder.path, "--spool-any-file-system",
        ])
        guard rows > 0 else { return bridge }
        let run = try smsbridge(
            [
                "simulate", "--url", "http://127.0.0.1:\(bridge.port)", "--count", "\(rows)", "--rate", "0",
                "--malformed", "0.05",
            ])
        #expect(run.exitCode == 0, "\(run.errors)")
        return bridge
    }

    private func killed(_ bridge: ServedBridge) {
        kill(bridge.identifier, SIGKILL)
        _ = bridge.exitCode(within: 10)
    }

    private func records(_ text: String) throws -> [[String: Any]] {
        try text.split(separator: "\n").map {
            try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
    }

    @Test func aRunningBridgeTellsTheSameAsItsFileAfterACrash() throws {
        let folder = try TemporaryFolder()
        let bridge = try bridge(folder, rows: 700)
        let status = try smsbridge(["spool", "status", "--path", folder.path, "--json"])
        let figures = try #require(try records(status.output).first)
        #expect(figures["rows"] as? Int == 700)
        #expect(figures["running"] as? Bool == true)
        let live = try smsbridge(["spool", "export", "--path", folder.path])
        #expect(live.exitCode == 0, "\(live.errors)")
        let refused = try smsbridge([
            "spool", "drain", "--path", folder.path, "--kafka-bootstrap-servers", "127.0.0.1:1",
        ])
        #expect(refused.exitCode == 1)
        #expect(refused.errors.contains("drains by itself"))
        killed(bridge)

        let target = folder.path + "/rows.ndjson"
        let export = try smsbridge(["spool", "export", "--path", folder.path, "--to", target])
        #expect(export.exitCode == 0 && export.output.isEmpty, "\(export.errors)")
        let text = try String(contentsOfFile: target, encoding: .utf8)
        #expect(text == live.output)
        let rows = try records(text)
        #expect(rows.count == 700)
        for row in rows {
            #expect(Set(row.keys) == ["topic", "timestamp", "key", "headers", "value", "state"])
            let id = (row["value"] as? [String: Any])?["id"] as? String
            #expect(id != nil && id == (row["headers"] as? [String: Any])?["ce_id"] as? String)
        }
        #expect(rows.contains { $0["topic"] as? String == "smsportal.quarantine" })
        let left = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(!left.contains { $0.hasSuffix(".part") })
        #expect(
            try records(smsbridge(["spool", "status", "--path", folder.path, "--json"]).output)[0]["running"] as? Bool
                == false)
    }

    @Test func aListShowsNoNumberUnlessAsked() throws {
        let folder = try TemporaryFolder()
        killed(try bridge(folder, rows: 60))
        let plain = try smsbridge(["spool", "list", "--path", folder.path, "--type", "reply", "--limit", "5"])
        #expect(plain.exitCode == 0)
        #expect(plain.output.split(separator: "\n").count == 5)
        #expect(plain.errors.contains("--limit"))
        let shown = try smsbridge([
            "spool", "list", "--path", folder.path, "--type", "reply", "--limit", "5", "--show-keys", "--json",
        ])
        for row in try records(shown.output) {
            #expect(row["topic"] as? String == "smsportal.reply")
            let key = try #require(row["key"] as? String)
            #expect(!key.isEmpty && !plain.output.contains(key))
        }
        let wrong = try smsbridge(["spool", "list", "--path", folder.path, "--type", "repply"])
        #expect(wrong.exitCode == 2)
        #expect(wrong.errors.contains("did you mean reply?"))
    }

    @Test func aDamagedFileIsExportedAsFarAsItGoesWithACodeOfItsOwn() throws {
        let folder = try TemporaryFolder()
        let bridge = try bridge(folder, rows: 600)
        // Twice: at once.
        bridge.terminate()
        #expect(bridge.wait { bridge.logged.contains("\"shutdown started\"") })
        bridge.terminate()
        #expect(bridge.exitCode(within: 60) == 0)
        let file = folder.path + "/spool.db"
        var bytes = try Data(contentsOf: URL(fileURLWithPath: file))
        // A page of rows: any other may be of the list of tables, without which nothing can be read.
        let marker = Data("\"receivedAt\"".utf8)
        let page = try #require(
            (1..<bytes.count / 4_096).last { page in
                bytes[page * 4_096] == 0x0D && bytes.range(of: marker, in: page * 4_096..<(page + 1) * 4_096) != nil
            })
        bytes.replaceSubrange(page * 4_096..<(page + 1) * 4_096, with: Data(repeating: 0xA5, count: 4_096))
        let aside = folder.path + "/spool-quarantined-1-1.db"
        try bytes.write(to: URL(fileURLWithPath: aside))
        #expect(try smsbridge(["spool", "status", "--path", folder.path]).output.contains("spool-quarantined-1-1.db"))
        let run = try smsbridge(["spool", "export", "--path", aside])
        #expect(run.exitCode == 3, "\(run.errors)")
        #expect(run.errors.contains("cannot be read: "))
        let rows = try records(run.output)
        #expect(rows.count > 570 && rows.count < 600, "\(rows.count) rows")
        try Data(repeating: 7, count: 8_192).write(to: URL(fileURLWithPath: aside))
        let target = folder.path + "/out"
        let hopeless = try smsbridge(["spool", "export", "--path", aside, "--to", target])
        #expect(hopeless.exitCode == 3)
        #expect(!FileManager.default.fileExists(atPath: target))
    }

    @Test func withoutKafkaADrainEndsAndSaysWhatStays() throws {
        let folder = try TemporaryFolder()
        killed(try bridge(folder, rows: 40))
        let kafka = ["--kafka-bootstrap-servers", "127.0.0.1:1"]
        let dry = try smsbridge(["spool", "drain", "--path", folder.path, "--dry-run", "--json"] + kafka)
        #expect(dry.exitCode == 0)
        #expect(try records(dry.output)[0]["left"] as? Int == 40)
        let run = try smsbridge(["spool", "drain", "--path", folder.path, "--give-up-after", "1s", "--json"] + kafka)
        #expect(run.exitCode == 1 && run.errors.contains("nothing listens there"), "\(run.errors)")
        let after = try smsbridge(["spool", "drain", "--path", folder.path, "--dry-run", "--json"] + kafka)
        #expect(try records(after.output)[0]["left"] as? Int == 40)
    }

    @Test func anEmptySpoolIsDrainedWithoutKafka() throws {
        let folder = try TemporaryFolder()
        killed(try bridge(folder, rows: 0))
        let run = try smsbridge([
            "spool", "drain", "--path", folder.path, "--kafka-bootstrap-servers", "127.0.0.1:1",
        ])
        #expect(run.exitCode == 0 && run.output == "published  0 rows\n", "\(run.output) \(run.errors)")
    }

    @Test func whereDurabilityIsInsistedOnADrainPublishesNothingUnjudged() throws {
        let folder = try TemporaryFolder()
        killed(try bridge(folder, rows: 20))
        let run = try smsbridge([
            "spool", "drain", "--path", folder.path, "--give-up-after", "1s", "--durability-strict",
            "--kafka-bootstrap-servers", "127.0.0.1:1",
        ])
        #expect(run.exitCode == 1, "\(run.errors)")
        #expect(run.errors.contains("nothing was published"))
    }

    /// A topic of one broker has one copy.
    @Test(.enabled(if: realBootstrapServers != nil)) func aDrainJudgesTheTopicsAsServeDoes() throws {
        let servers = try #require(realBootstrapServers)
        let prefix = uniqueName("spool-weak")
        let admin = try Admin(ClientConfiguration(bootstrapServers: servers))
        defer { admin.close() }
        _ = try admin.create(
            EventTopic.allCases.map { NewTopic(name: $0.name(prefix: prefix), partitions: 1, replication: 1) },
            timeout: 30_000)
        let folder = try TemporaryFolder()
        killed(try bridge(folder, rows: 20))
        let drain = [
            "spool", "drain", "--path", folder.path, "--kafka-bootstrap-servers", servers, "--topics-prefix", prefix,
        ]
        let refused = try smsbridge(drain + ["--durability-strict"])
        #expect(refused.exitCode == 1, "\(refused.errors)")
        #expect(refused.errors.contains("durability.strict is true"), "\(refused.errors)")
        let status = try smsbridge(["spool", "status", "--path", folder.path, "--json"])
        #expect(try records(status.output)[0]["rows"] as? Int == 20)
        let run = try smsbridge(drain)
        #expect(run.exitCode == 0, "\(run.errors)")
        #expect(run.errors.contains("replication"), "\(run.errors)")
    }

    @Test(.enabled(if: realBootstrapServers != nil))
    func whatKafkaRefusesStaysParkedWithItsReasonAndIsCounted() throws {
        let servers = try #require(realBootstrapServers)
        let prefix = uniqueName("spool-refused")
        let admin = try Admin(ClientConfiguration(bootstrapServers: servers, properties: [:]))
        defer { admin.close() }
        _ = try admin.create(
            EventTopic.allCases.map {
                NewTopic(
                    name: $0.name(prefix: prefix), partitions: 1, replication: 1,
                    configuration: ["max.message.bytes": "200"])
            }, timeout: 30_000)
        let folder = try TemporaryFolder()
        killed(try bridge(folder, rows: 20))
        let run = try smsbridge([
            "spool", "drain", "--path", folder.path, "--kafka-bootstrap-servers", servers, "--topics-prefix", prefix,
            "--json",
        ])
        #expect(run.exitCode == 4, "\(run.errors)")
        let figures = try records(run.output)[0]
        #expect(figures["parked"] as? Int == 20 && figures["published"] as? Int == 0, "\(run.output)")
        let rows = try records(smsbridge(["spool", "export", "--path", folder.path]).output)
        #expect(rows.count == 20)
        #expect(rows.allSatisfy { $0["state"] as? String == "parked" && ($0["reason"] as? String)?.isEmpty == false })
        let status = try smsbridge(["spool", "status", "--path", folder.path])
        #expect(status.output.contains("parked  20 rows: "), "\(status.output)")
        let counted = try smsbridge(["spool", "discard", "--path", folder.path])
        #expect(counted.exitCode == 0 && counted.output == "parked  20 rows\n" && counted.errors.contains("--execute"))

        // With topics that take more they go where they were meant to go.
        let topics = EventTopic.allCases.map { $0.name(prefix: prefix) }
        _ = try admin.delete(topics, timeout: 30_000)
        for name in topics {
            for _ in 0..<300 {
                let made = try admin.create([NewTopic(name: name, partitions: 1, replication: 1)], timeout: 30_000)
                if made.values.allSatisfy({ $0 == nil }) { break }
                usleep(100_000)
            }
        }
        let again = try smsbridge([
            "spool", "drain", "--parked", "--path", folder.path, "--kafka-bootstrap-servers", servers,
            "--topics-prefix",
            prefix, "--json",
        ])
        #expect(again.exitCode == 0 && again.errors.contains("20 parked rows are tried again"), "\(again.errors)")
        #expect(try records(again.output)[0]["published"] as? Int == 20, "\(again.output)")
        var sizes: [String: Int64] = [:]
        for name in topics {
            sizes[name] = Int64(try admin.client.watermarks(topic: name, partition: 0, timeout: 15_000).count)
        }
        #expect(sizes.values.reduce(0, +) == 20)
        let meant = rows.reduce(into: [String: Int64]()) { sums, row in
            let headers = row["headers"] as? [String: Any]
            sums[headers?["smsbridge-topic"] as? String ?? "\(prefix).quarantine", default: 0] += 1
        }
        #expect(sizes.filter { $0.value > 0 } == meant, "\(sizes)")
    }

    @Test(.enabled(if: realBootstrapServers != nil)) func aDrainThatIsKilledAgainAndAgainLosesNothingAndKeepsTheOrder()
        throws
    {
        let servers = try #require(realBootstrapServers)
        let prefix = uniqueName("spool-drain")
        let admin = try Admin(ClientConfiguration(bootstrapServers: servers, properties: [:]))
        defer { admin.close() }
        let topics = EventTopic.allCases.map { $0.name(prefix: prefix) }
        _ = try admin.create(
            topics.map { NewTopic(name: $0, partitions: 1, replication: 1) }, timeout: 30_000)
        let folder = try TemporaryFolder()
        killed(try bridge(folder, rows: 12_000))
        let export = try smsbridge(["spool", "export", "--path", folder.path])
        var expected: [String: [String]] = [:]
        for row in try records(export.output) {
            let topic = try #require((row["topic"] as? String)?.split(separator: ".").last.map(String.init))
            expected[topic, default: []].append(try #require((row["headers"] as? [String: Any])?["ce_id"] as? String))
        }
        let drain = [
            "spool", "drain", "--path", folder.path, "--kafka-bootstrap-servers", servers, "--topics-prefix", prefix,
            "--json",
        ]
        // Ever later, until one has published a part; a fast machine may be done with all of it then.
        var left = 12_000
        var delay = 0.2
        while left == 12_000 {
            _ = try smsbridge(drain, timeout: delay)
            let status = try smsbridge(["spool", "status", "--path", folder.path, "--json"])
            left = try #require(try records(status.output)[0]["rows"] as? Int)
            delay += 0.05
        }
        let last = try smsbridge(drain)
        #expect(last.exitCode == 0, "\(last.errors)")
        let status = try records(smsbridge(["spool", "status", "--path", folder.path, "--json"]).output)[0]
        #expect(status["rows"] as? Int == 0)

        for (topic, ids) in expected {
            // Until it is killed: how many records there are depends on what came twice.
            let tail = try smsbridge(
                [
                    "tail", "--kafka-bootstrap-servers", servers, "--topics-prefix", prefix, "--type", topic,
                    "--from-beginning", "--show-content",
                ], timeout: 5)
            var seen: Set<String> = []
            var first: [String] = []
            for line in tail.output.split(separator: "\n") {
                let words = line.split(separator: " ")
                guard let place = words.firstIndex(of: "id"), place + 1 < words.count else { continue }
                let id = String(words[place + 1])
                if seen.insert(id).inserted { first.append(id) }
            }
            var known: Set<String> = []
            #expect(first == ids.filter { known.insert($0).inserted }, "\(topic)")
        }
    }
}
