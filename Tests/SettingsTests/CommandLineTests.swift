import Testing

@testable import SMSBridgeSettings

@Suite struct CommandLineTests {
    static let seconds = CommandOption<Int>(
        "--seconds", "N", .integer(1...86_400), default: 60, help: "stop after N seconds")
    static let rate = CommandOption<Double>("--rate", "R", .number(0.1...10_000), help: "callbacks a second")
    static let wait = CommandOption<Duration>(
        "--wait", "DURATION", .duration(.zero...(.seconds(60))), help: "wait first")
    static let only = CommandOption<String>("--only", "TYPE", .anyText("type"), repeats: true, help: "only this type")
    static let json = CommandOption<Bool>("--json", help: "print JSON")
    static let url = CommandOption<String>("--url", "URL", .anyText("URL"), isRequired: true, help: "where to call")

    let tool = CommandLineTool(
        name: "smsbridge", summary: "SMSPortal callbacks into Kafka", version: "smsbridge 1.2.3\nlibrdkafka 2.0.2",
        commands: [
            Command(
                "serve", summary: "receive callbacks", settings: .init(needs: .serve),
                examples: [.init("with a file", "smsbridge serve --config bridge.yaml")]
            ) { _, _ in 3 },
            Command(
                "demo", summary: "show it", options: [seconds, rate, wait, only, json],
                examples: [.init("ten seconds", "smsbridge demo --seconds 10")]
            ) { _, _ in 0 },
            Command("simulate", summary: "play SMSPortal", options: [url, rate]) { _, _ in 0 },
            Command(
                "tail", summary: "print events",
                operands: [.init("topic", help: "which", isRequired: false, repeats: true)],
                options: [json], settings: .init(needs: .kafka, sections: ["kafka", "topics", "log"])
            ) { _, _ in 0 },
            Command(
                "topics", summary: "about topics",
                subcommands: [
                    Command("create", summary: "create them", settings: .init(needs: .kafka)) { invocation, loaded in
                        invocation.command == "topics create" && loaded.settings.kafka.bootstrapServers == ["a:1"]
                            ? 4 : 5
                    },
                    Command("show", summary: "show them", operands: [.init("name", help: "the topic's name")]) { _, _ in
                        0
                    },
                ]),
            Command("inner", summary: "for ourselves", isHidden: true) { _, _ in 0 },
        ])

    private func run(_ arguments: String..., environment: [String: String] = [:]) throws -> Invocation {
        guard case .run(let invocation) = tool.parse(arguments, environment: environment) else {
            throw Unexpected(description: "\(tool.parse(arguments, environment: environment))")
        }
        return invocation
    }

    private func printed(_ arguments: String...) throws -> String {
        guard case .print(let text) = tool.parse(arguments, environment: [:]) else {
            throw Unexpected(description: "\(tool.parse(arguments, environment: [:]))")
        }
        return text
    }

    struct Unexpected: Error, CustomStringConvertible { var description: String }

    @Test func aCommandRunsItsOwnBodyWithItsSettings() throws {
        #expect(try run("topics", "create", "--kafka-bootstrap-servers", "a:1").run() == 4)
        #expect(try run("demo").run() == CommandLineTool.wrongUsage)
    }

    @Test func optionsInEveryForm() throws {
        let plain = try run("demo")
        #expect(plain.path == ["demo"] && plain.settings == nil)
        #expect(plain.value(of: Self.seconds) == 60)
        #expect(plain.value(of: Self.rate) == nil)
        #expect(!plain.isOn(Self.json) && !plain.isGiven(Self.seconds))
        let full = try run("demo", "--seconds", "10", "--rate=2.5", "--only", "a", "--json", "--only=b", "--wait", "1m")
        #expect(full.value(of: Self.seconds) == 10 && full.isGiven(Self.seconds))
        #expect(full.value(of: Self.rate) == 2.5)
        #expect(full.value(of: Self.wait) == .seconds(60))
        #expect(full.values(of: Self.only) == ["a", "b"])
        #expect(full.isOn(Self.json))
        #expect(try !run("demo", "--json=false").isOn(Self.json))
        #expect(try run("tail", "a", "--kafka-bootstrap-servers", "a:1", "--", "--json").operands == ["a", "--json"])
        #expect(try run("topics", "show", "x").command == "topics show")
    }

    @Test func settingsComeAlong() throws {
        let invocation = try run(
            "serve", "--http-port", "8081", "--topics-create=false", "--auth-none",
            environment: ["SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS": "a:1"])
        let settings = try #require(invocation.settings?.settings)
        #expect(settings.http.port == 8081 && !settings.topics.create && settings.auth.none)
        #expect(settings.kafka.bootstrapServers == ["a:1"])
        #expect(try run("tail", "--kafka-bootstrap-servers=a:1", "--json").settings != nil)
    }

    static let wrong: [([String], [String])] = [
        ([], ["Usage: smsbridge <command>"]),
        (["srve"], ["unknown command \"srve\": did you mean serve?", "See 'smsbridge --help'."]),
        (["qqq"], ["unknown command \"qqq\"; there are: serve, demo, simulate, tail, topics, completions"]),
        (["--config", "x", "serve"], ["unknown flag --config: the command comes first"]),
        (["topics"], ["smsbridge topics: topics needs one of: create, show", "See 'smsbridge topics --help'."]),
        (["topics", "crate"], ["unknown command \"crate\": did you mean create?"]),
        (["demo", "--secnods", "10"], ["smsbridge demo: flag --secnods: unknown flag: did you mean --seconds?"]),
        (["demo", "--seconds", "0"], ["flag --seconds: expected a whole number from 1 to 86400, found \"0\""]),
        (["demo", "--seconds"], ["flag --seconds: needs a value"]),
        (["demo", "--seconds", "1", "--seconds", "2"], ["flag --seconds: given more than once"]),
        (["demo", "--rate", "nan"], ["flag --rate: expected a number from 0.1 to 10000, found \"nan\""]),
        (["demo", "--rate", "-5"], ["found \"-5\""]),
        (["demo", "--wait=5"], ["expected a duration from 0s to 1m", "the unit is missing"]),
        (["demo", "--json=maybe"], ["flag --json: expected true or false"]),
        (["demo", "extra"], ["unexpected argument \"extra\""]),
        (["demo", "--json", "true"], ["unexpected argument \"true\"", "--flag=true"]),
        (["demo", "--http-port", "1"], ["flag --http-port: unknown flag"]),
        (["demo", "--a", "--bb=1", "x"], ["3 problems", "flag --a: unknown", "flag --bb: unknown", "argument \"x\""]),
        (["simulate"], ["--url URL is required: where to call"]),
        (["topics", "show"], ["<name> is missing: the topic's name"]),
        (["topics", "show", "a", "b"], ["unexpected argument \"b\""]),
        (["tail", "--http-port", "1"], ["flag --http-port: is no flag of tail, which does not use http.port"]),
        (["tail"], ["kafka.bootstrapServers: is required"]),
        (
            ["tail", "--jsn", "--log-level", "loud"],
            ["2 problems", "did you mean --json?", "log.level: expected one of"]
        ),
        (["serve", "--http-prot", "1"], ["did you mean --http-port?"]),
        (["serve"], ["2 problems", "kafka.bootstrapServers: is required", "no authentication is configured"]),
        (["serve", "--x\u{1B}[31m"], ["flag --x\\u{1b}[31m: unknown flag"]),
        (["help", "srve"], ["did you mean serve?"]),
        (["help", "settings", "--html"], ["help settings takes --markdown or --yaml"]),
    ]

    @Test(arguments: wrong.indices)
    func wrongCommandLinesExitWith2AndNameWhatIsRight(index: Int) {
        let (arguments, says) = Self.wrong[index]
        guard case .fail(let text, let exitCode) = tool.parse(arguments, environment: [:]) else {
            Issue.record("accepted: \(arguments)")
            return
        }
        #expect(exitCode == 2)
        for part in says { #expect(text.contains(part), "\(text)") }
        #expect(text.hasSuffix("\n") && !text.contains("\u{1B}"))
    }

    @Test func warningsStandUnderTheProblemsThatTheyExplain() {
        let outcome = tool.parse(
            ["serve", "--kafka-bootstrap-servers", "a:1"],
            environment: ["SMSBRIDGE_AUTH_HEADER_SECRET": "hidden", "SMSBRIDGE_HTTP_PROT": "1"])
        guard case .fail(let text, 2) = outcome else {
            Issue.record("accepted")
            return
        }
        let lines = text.split(separator: "\n")
        #expect(lines.count == 4 && lines[0].contains("no authentication is configured"), "\(text)")
        #expect(
            text.contains(
                "\nwarning: environment variable SMSBRIDGE_AUTH_HEADER_SECRET: unknown, ignored: did you mean SMSBRIDGE_AUTH_HEADER_SECRETS?\n"
            ), "\(text)")
        #expect(text.contains("\nwarning: environment variable SMSBRIDGE_HTTP_PROT:"))
        #expect(lines.last?.hasPrefix("See '") == true && !text.contains("hidden"))
    }

    @Test func helps() throws {
        let overview = try printed("--help")
        #expect(overview.split(separator: "\n").allSatisfy { $0.count <= 100 })
        #expect(try [printed("help"), printed("-h")] == [overview, overview])
        #expect(overview.contains("serve") && overview.contains("receive callbacks") && !overview.contains("inner"))
        #expect(overview.contains("smsbridge serve --config bridge.yaml"))
        let demo = try printed("demo", "--seconds", "--help")
        #expect(try printed("help", "demo") == demo)
        #expect(demo.contains("Usage: smsbridge demo [options]\n"))
        #expect(demo.contains("--seconds N") && demo.contains("stop after N seconds (default: 60)"))
        #expect(demo.contains("Example:\n  # ten seconds\n  smsbridge demo --seconds 10\n"))
        let tail = try printed("tail", "-h")
        #expect(tail.contains("--kafka-bootstrap-servers") && !tail.contains("--http-port"))
        #expect(tail.contains("Usage: smsbridge tail [options] [<topic>…]\n"))
        #expect(tail.contains("--config FILE"))
        #expect(try printed("topics", "--help").contains("create  create them\n"))
        #expect(try printed("help", "topics", "show").contains("<name>  the topic's name\n"))
        #expect(try printed("serve", "--help").contains("Port of the public side (default: 8080)"))
    }

    @Test func versionAndReference() throws {
        #expect(try printed("--version") == "smsbridge 1.2.3\nlibrdkafka 2.0.2\n")
        #expect(try printed("serve", "--version") == "smsbridge 1.2.3\nlibrdkafka 2.0.2\n")
        #expect(try printed("help", "settings", "--markdown") == SettingsReference.markdown())
        #expect(try printed("help", "settings", "--yaml") == SettingsReference.exampleFile())
        #expect(try printed("help", "settings") == SettingsReference.plainText())
    }

    @Test func loadTakesTheFlagsOfSettingsAlone() throws {
        let loaded = try BridgeSettings.load(
            arguments: ["--auth-none", "--kafka-bootstrap-servers", "a:1"], environment: [:])
        #expect(loaded.settings.auth.none)
        #expect(throws: SettingsFailure.self) {
            try BridgeSettings.load(arguments: ["stray"], environment: [:], for: [])
        }
    }
}
