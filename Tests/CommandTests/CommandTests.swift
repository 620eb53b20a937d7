import Foundation
import SMSBridgeKafka
import SMSBridgePublisher
import SMSPortalEvents
import Testing

/// The program as a person meets it.
@Suite struct CommandTests {
    @Test(arguments: ["serve", "check", "demo", "simulate", "tail", "templates", "completions"])
    func everyCommandHasHelpWithAnExample(command: String)
        throws
    {
        for arguments in [[command, "--help"], ["help", command]] {
            let run = try smsbridge(arguments)
            #expect(run.exitCode == 0)
            #expect(run.output.contains("Example"))
            #expect(run.output.contains("smsbridge \(command)"))
            #expect(run.errors.isEmpty)
        }
    }

    /// Every help text fits into 100 columns, and an example remains one command line.
    @Test func helpTextsAreAtMost100ColumnsWide() throws {
        let overview = try smsbridge(["--help"]).output
        let commands = overview.split(separator: "\n").prefix { $0 != "Options:" }.filter { $0.hasPrefix("  ") }
            .compactMap { $0.split(separator: " ").first.map(String.init) }.filter { $0 != "help" }
        #expect(commands.count > 10)
        var seen = 0
        for command in commands {
            let help = try smsbridge([command, "--help"]).output
            var texts = [help]
            let lines = help.split(separator: "\n", omittingEmptySubsequences: false)
            if let start = lines.firstIndex(of: "Commands:") {
                for line in lines[(start + 1)...].prefix(while: { $0.hasPrefix("  ") }) where !line.hasPrefix("   ") {
                    guard let name = line.split(separator: " ").first.map(String.init) else { continue }
                    texts.append(try smsbridge([command, name, "--help"]).output)
                }
            }
            for text in texts {
                seen += 1
                let wide = text.split(separator: "\n").map(String.init).filter { $0.count > 100 }
                #expect(wide.isEmpty, "\(command): \(wide.first ?? "")")
            }
        }
        #expect(seen > 25)
        #expect(
            try smsbridge(["serve", "--help"]).output.contains(" \\\n      --kafka-bootstrap-servers kafka:9092\n"))
    }

    @Test func theVersionIsToldWithLibrdkafkas() throws {
        let run = try smsbridge(["--version"])
        #expect(run.exitCode == 0)
        #expect(run.output.hasPrefix("smsbridge "))
        #expect(run.output.contains("librdkafka \(LibRDKafka.version)"))
    }

    @Test(arguments: [
        (["serv"], "serve"), (["serve", "--http-prt", "1"], "--http-port"), (["demo", "--second", "3"], "--seconds"),
        (["simulate", "--url", "http://127.0.0.1:1", "--rat", "3"], "--rate"),
        (["tail", "--show-contents"], "--show-content"), (["help", "exit-code"], "exit-codes"),
        (["simulate", "--url", "http://127.0.0.1:1", "--types", "reply,shortcode"], "short-code"),
        (["tail", "--type", "repply", "--kafka-bootstrap-servers", "127.0.0.1:1"], "reply"),
    ])
    func aWrongWordNamesTheNearestRightOne(arguments: [String], right: String) throws {
        let run = try smsbridge(arguments)
        #expect(run.exitCode == 2)
        #expect(run.errors.contains("did you mean \(right)?"), "\(run.errors)")
        #expect(run.output.isEmpty)
    }

    @Test func withoutAuthenticationItDoesNotServe() throws {
        let run = try smsbridge(["serve"], environment: ["SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"])
        #expect(run.exitCode == 2)
        #expect(run.errors.contains("auth.none"))
    }

    @Test func everyProblemIsNamedAtOnceAndNoSecretIs() throws {
        let run = try smsbridge(
            ["serve", "--http-port", "99999"],
            environment: [
                "SMSBRIDGE_AUTH_PATH_SECRETS": "reply", "SMSBRIDGE_AUTH_HEADER_SECRETS": "hidden-secret-value",
                "SMSBRIDGE_KAFKA_PROPERTIES_ACKS": "1", "SMSBRIDGE_PUBLISH_DEADLINE": "11s",
            ])
        #expect(run.exitCode == 2)
        for name in ["--http-port", "SMSBRIDGE_AUTH_PATH_SECRETS", "acks", "kafka.bootstrapServers"] {
            #expect(run.errors.contains(name), "\(name) in: \(run.errors)")
        }
        #expect(!run.errors.contains("hidden-secret-value"))
    }

    @Test func whatOnlyTheModulesCanJudgeIsAnErrorOfTheConfigurationToo() throws {
        let run = try smsbridge(
            ["serve", "--kafka-bootstrap-servers", "127.0.0.1:1", "--events-reply-fields", "nummer=msisdnn"],
            environment: [
                "SMSBRIDGE_AUTH_NONE": "true", "SMSBRIDGE_KAFKA_PROPERTIES_SASL_MECHANISMZ": "x",
                "SMSBRIDGE_KAFKA_PROPERTIES_SECURITY_PROTOCOL": "hidden-value",
            ])
        #expect(run.exitCode == 2)
        for part in [
            "sasl.mechanismz", "did you mean sasl.mechanisms?", "security.protocol", "events.reply.fields.nummer",
        ] {
            #expect(run.errors.contains(part), "\(part) in \(run.errors)")
        }
        #expect(!run.errors.contains("hidden-value"))
    }

    @Test func aMisspeltPropertyThatHasNoValueByItselfIsRecognised() throws {
        let run = try smsbridge(
            ["serve", "--kafka-bootstrap-servers", "127.0.0.1:1"],
            environment: ["SMSBRIDGE_AUTH_NONE": "true", "SMSBRIDGE_KAFKA_PROPERTIES_SASL_PASWORD": "hidden-value"])
        #expect(run.exitCode == 2)
        #expect(run.errors.contains("did you mean sasl.password?"), "\(run.errors)")
        #expect(!run.errors.contains("hidden-value"))
    }

    @Test func withoutKafkaAndWithoutASpoolItSaysSoAndEnds() throws {
        let run = try smsbridge(
            [
                "serve", "--kafka-bootstrap-servers", "127.0.0.1:1", "--http-port", "0", "--admin-port", "0",
                "--spool-none",
            ],
            environment: ["SMSBRIDGE_AUTH_HEADER_SECRETS": "hidden-secret-value"])
        #expect(run.exitCode == 1)
        #expect(run.errors.contains("Kafka cannot be reached"))
        #expect(run.errors.contains("127.0.0.1:1"))
        #expect(!run.errors.contains("hidden-secret-value"))
    }

    @Test func aPortThatIsTakenIsNamed() throws {
        let blocker = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(blocker) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout.size(ofValue: address))
        let port = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic -> UInt16 in
                _ = bind(blocker, generic, length)
                _ = listen(blocker, 1)
                _ = getsockname(blocker, generic, &length)
                return pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                    UInt16(bigEndian: $0.pointee.sin_port)
                }
            }
        }
        let run = try smsbridge(
            ["demo", "--seconds", "1", "--http-host", "127.0.0.1", "--http-port", "\(port)"])
        #expect(run.exitCode == 1)
        #expect(run.errors.contains("\(port)"), "\(run.errors)")
    }

    @Test func simulateSendsOnlyWhatIsAskedForAndSaysItInJSON() throws {
        let folder = try TemporaryFolder()
        let bridge = try ServedBridge([
            "--kafka-bootstrap-servers", "127.0.0.1:1", "--spool-path", folder.path, "--spool-any-file-system",
            "--shutdown-delay", "0s", "--shutdown-deadline", "5s",
        ])
        let run = try smsbridge([
            "simulate", "--url", "http://127.0.0.1:\(bridge.port)", "--types", "reply,short-code", "--generations",
            "template-get", "--count", "40", "--rate", "0", "--duplicates", "1", "--clients", "4", "--json",
        ])
        #expect(run.exitCode == 0, "\(run.errors)")
        let report = try #require(
            try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any], "\(run.output)")
        #expect(report["accepted"] as? Int == 40 && report["duplicates"] as? Int == 40)
        #expect((report["statuses"] as? [String: Int]) == ["200": 80])
        let times = try #require(report["latencyMicroseconds"] as? [String: Int])
        #expect(times["p50"]! > 0 && times["p50"]! <= times["p99"]! && times["p99"]! <= times["max"]!)
        let held = try smsbridge(["spool", "list", "--path", folder.path, "--limit", "1000"])
        let topics = Set(held.output.split(separator: "\n").compactMap { $0.split(separator: " ").first })
        #expect(topics == ["smsportal.reply", "smsportal.short-code"])
        bridge.terminate()
        #expect(bridge.exitCode(within: 40) == 0, "\(bridge.logged)")
    }

    @Test func theDemoPrintsEventsOfEveryTypeAndASummary() throws {
        let run = try smsbridge(["demo", "--seconds", "4", "--rate", "25"])
        #expect(run.exitCode == 0, "\(run.errors)")
        for type in EventType.recognised {
            let name = type.rawValue + String(repeating: " ", count: max(0, 15 - type.rawValue.count))
            #expect(run.output.contains(" \(name) 27"), "no \(type.rawValue) was printed")
        }
        #expect(run.output.contains("accepted   100"))
        #expect(run.output.contains("quarantine"))
        // The page that says how it is, and how to go on from here.
        #expect(run.output.contains("Status page  http://127.0.0.1:"))
        #expect(run.output.contains("Three things to try next:"))
        #expect(!run.output.contains("\u{1B}"), "colours without a terminal")
    }
}

/// What the program does with a real cluster.
@Suite(.serialized, .enabled(if: realBootstrapServers != nil, "KAFKA_BOOTSTRAP_SERVERS is not set"))
struct CommandsOnRealKafkaTests {
    private let bootstrapServers = realBootstrapServers ?? ""

    private func withAdmin(_ body: (Admin, TopicPlan) throws -> Void) throws {
        let admin = try Admin(ClientConfiguration(bootstrapServers: bootstrapServers))
        defer { admin.close() }
        let plan = TopicPlan(
            prefix: uniqueName("setup"), partitions: 2, replication: 3, retention: .seconds(3_600),
            maxRecordBytes: 2_000_000)
        defer { _ = try? admin.delete(plan.names, timeout: 15_000) }
        try body(admin, plan)
    }

    @Test func missingTopicsAreMadeAsPlannedAndOnlyOnce() throws {
        try withAdmin { admin, plan in
            let findings = try TopicSetup(admin).run(plan, creates: true)
            #expect(Set(findings.created) == Set(plan.names))
            let metadata = try admin.describe(timeout: 15_000)
            for name in plan.names {
                #expect(metadata.topics.first { $0.name == name }?.partitions.count == 2)
                let values = try admin.configuration(of: .topic(name), timeout: 15_000)
                #expect(values["retention.ms"] == "3600000")
                #expect(values["message.timestamp.type"] == "CreateTime")
                #expect(Int((values["max.message.bytes"] ?? nil) ?? "") ?? 0 >= 2_000_000)
            }
            #expect(try TopicSetup(admin).run(plan, creates: true).created.isEmpty)
            #expect(try TopicSetup(admin).run(plan, creates: false).created.isEmpty)
        }
    }

    @Test func aTopicThatIsTooSmallForTheLargestRecordIsWarnedOf() throws {
        try withAdmin { admin, plan in
            let small = plan.names[0]
            let made = try admin.create(
                [
                    NewTopic(
                        name: small, partitions: 1, replication: 1,
                        configuration: [
                            "max.message.bytes": "1000", "message.timestamp.type": "LogAppendTime",
                            "cleanup.policy": "compact",
                        ])
                ],
                timeout: 15_000)
            #expect(made[small]! == nil)
            let texts = try TopicSetup(admin).run(plan, creates: true).findings.map(\.text)
            for part in ["max.message.bytes is 1000", "LogAppendTime", "compact"] {
                #expect(texts.contains { $0.hasPrefix(small) && $0.contains(part) }, "\(part) in \(texts)")
            }
        }
    }

    @Test func serveNamesTheMissingTopicsWhenItMayNotMakeThem() throws {
        let prefix = uniqueName("missing")
        let run = try smsbridge(
            [
                "serve", "--kafka-bootstrap-servers", bootstrapServers, "--topics-prefix", prefix,
                "--topics-create=false",
                "--http-port", "0", "--admin-port", "0", "--spool-none",
            ], environment: ["SMSBRIDGE_AUTH_NONE": "true"])
        #expect(run.exitCode == 1)
        for topic in EventTopic.allCases { #expect(run.errors.contains(topic.name(prefix: prefix))) }
        #expect(run.errors.contains("topics.create"))
    }
}
