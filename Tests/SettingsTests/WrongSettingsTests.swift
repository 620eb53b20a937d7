import SMSBridgeTestSupport
import Testing

@testable import SMSBridgeSettings

@Suite struct WrongSettingsTests {
    static let keys: [WrongCase] = [
        .yaml("htp:\n  port: 1", "bridge.yaml:1:1: htp: unknown key: did you mean http?"),
        .yaml("http:\n  prot: 1", "bridge.yaml:2:3: http.prot: unknown key: did you mean http.port?"),
        .yaml("http:\n  base_path: /x", "http.base_path: unknown key: did you mean http.basePath?"),
        .yaml("http:\n  Port: 1", "http.Port: unknown key: did you mean http.port?"),
        .yaml("http:\n  partitions: 3", "http.partitions: unknown key: did you mean topics.partitions?"),
        .yaml("kafka:\n  brokers: [a:1]", "kafka.brokers: unknown key: did you mean kafka.bootstrapServers?"),
        .yaml("metrics:\n  port: 1", "metrics: unknown key"),
        .yaml("http.port: 80", "bridge.yaml:1:1: http.port: unknown key: write it nested", "http: {port: …}"),
        .yaml("auth:\n  header.name: X", "auth.header.name: unknown key: write it nested", "auth: {header: {name: …}}"),
        .yaml("zzzzzzzz: 1", "zzzzzzzz: unknown key"),
        .yaml("\"a\\nb\\e[31m\": 1", "a\\u{a}b\\u{1b}[31m: unknown key"),
        .yaml(
            "auth:\n  secrets: [hunter2hunter2hunter2]", "auth.secrets: unknown key: did you mean auth.header.secrets?"),
        .yaml("auth:\n  none: [true]", "bridge.yaml:2:9: auth.none: expected true or false, found a list"),
        .yaml("http: 8080", "bridge.yaml:1:7: http: expected a mapping of host, port,", "found a single value"),
        .yaml("http: [a]", "http: expected a mapping", "found a list"),
        .yaml("- a", "bridge.yaml:1:1: expected a mapping of http, admin", "found a list"),
        .yaml("hello", "expected a mapping", "found a single value"),
        .yaml(
            "http:\n  port: 1\n  port: 2", "bridge.yaml:3:3: the key \"port\" stands here again; the first is at 2:3"),
        .yaml("http: {port: 1}\nhttp: {host: x}", "bridge.yaml:2:1: the key \"http\"", "the first is at 1:1"),
        .yaml("http: &a\n  port: 1", "bridge.yaml:1:7: anchors (&name) are not supported"),
        .yaml("http:\n  port: *a", "bridge.yaml:2:9: aliases (*name) are not supported"),
        .yaml("http: {port: 1}\nadmin: *x", count: 1, "bridge.yaml:2:8: aliases (*name)"),
        .yaml("http:\n  port: !!int 80", "bridge.yaml:2:9: tags (!name) are not supported"),
        .yaml("http:\n  port: !secret x", count: 2, "bridge.yaml:2:9: tags (!name) are not supported"),
        .yaml("? [a, b]\n: 1", "bridge.yaml:1:3: a key is a single word"),
        .yaml("http: {port: 1}\n---\nhttp: {port: 2}", "bridge.yaml:2:1: a second document begins here"),
        .yaml("http:\n\tport: 1", "bridge.yaml:2:1: not valid YAML", "cannot start any token"),
        .yaml("http: {port: 1", "not valid YAML", "did not find expected ',' or '}'"),
        .yaml("http: \"open", "not valid YAML", "unexpected end of stream"),
        .yaml("http:\n port: 1\n  host: x", "bridge.yaml:3:7: not valid YAML"),
        .yaml(String(repeating: "[", count: 100), "nested deeper than 16 levels"),
    ]

    static let values: [WrongCase] = [
        .yaml("http:\n  port: 70000", "bridge.yaml:2:9: http.port: expected a port from 0 to 65535", "found \"70000\""),
        .yaml("http:\n  port: -1", "expected a port from 0 to 65535", "\"-1\""),
        .yaml("http:\n  port: 0x50", "expected a port"),
        .yaml("http:\n  port: 080", "expected a port", "found \"080\": a number has no leading zero"),
        .yaml("http:\n  port: 1e3", "expected a port", "\"1e3\""),
        .yaml("http:\n  port: 8_080", "expected a port"),
        .yaml("http:\n  port: \"\"", "expected a port", "found \"\""),
        .yaml("http:\n  port:", "bridge.yaml:2:3: http.port: has no value: expected a port"),
        .yaml("http:\n  port: ~", "http.port: has no value"),
        .yaml("http:\n  port: {a: 1}", "http.port: expected a port", "found a mapping"),
        .yaml("http:\n  port: 99999999999999999999", "expected a port"),
        .yaml("http:\n  maxHeaders: 7", "http.maxHeaders: expected a whole number from 8 to 1000, found \"7\""),
        .yaml("http:\n  maxHeaders: 1001", "from 8 to 1000"),
        .yaml("http:\n  maxHeaders: ten", "from 8 to 1000, found \"ten\""),
        .yaml("http:\n  maxBodyBytes: 10", "http.maxBodyBytes: expected a size from 1KiB to 1MiB, found \"10\""),
        .yaml("http:\n  maxBodyBytes: 2MiB", "from 1KiB to 1MiB"),
        .yaml("http:\n  maxBodyBytes: 1M", "units are B, KiB, MiB"),
        .yaml("http:\n  maxBodyBytes: 1 MiB", "without a space"),
        .yaml("http:\n  maxBodyBytes: 1.5MiB", "expected a size", "units are"),
        .yaml("http:\n  maxBodyBytes: MiB", "expected a size", "found \"MiB\""),
        .yaml("http:\n  maxBodyBytes: 99999999TiB", "expected a size"),
        .yaml(
            "http:\n  headTimeout: 10", "http.headTimeout: expected a duration from 100ms to 10m", "the unit is missing"
        ),
        .yaml("http:\n  headTimeout: 10 s", "without a space"),
        .yaml("http:\n  headTimeout: 1.5s", "without a space or a point"),
        .yaml("http:\n  headTimeout: 10S", "units are d, h, m, s, ms and us"),
        .yaml("http:\n  headTimeout: -1s", "expected a duration"),
        .yaml("http:\n  headTimeout: 30m1h", "the larger unit comes first"),
        .yaml("http:\n  headTimeout: 1s1s", "the larger unit comes first, and each once"),
        .yaml("http:\n  headTimeout: 0s", "from 100ms to 10m"),
        .yaml("http:\n  headTimeout: 99999999999999d", "expected a duration"),
        .yaml("http:\n  headTimeout: 12:30", "expected a duration", "\"12:30\""),
        .yaml("topics:\n  create: yes", "topics.create: expected true or false, found \"yes\": write true"),
        .yaml("topics:\n  create: off", "found \"off\": write false"),
        .yaml("topics:\n  create: 1", "write true"),
        .yaml("topics:\n  create: maybe", "expected true or false, found \"maybe\""),
        .yaml("log:\n  level: warn", "log.level: expected one of trace, debug, info, warning, error, found \"warn\""),
        .yaml("log:\n  level: inof", "did you mean info?"),
        .yaml("log:\n  format: jsno", "expected one of auto, text, json", "did you mean json?"),
        .yaml("http:\n  host: exam ple", "http.host: expected an IPv4 or IPv6 address, or the name of one"),
        .yaml("http:\n  host: a..b", "expected an IPv4 or IPv6 address"),
        .yaml("http:\n  host: \"*\"", "0.0.0.0 is every IPv4 address"),
        .yaml("http:\n  host: \"[::1]\"", "without brackets"),
        .yaml("http:\n  host: 127.0.0.1:80", "the port has its own setting"),
        .yaml("http:\n  host: 256.0.0.1", "expected an IPv4 or IPv6 address"),
        .yaml("http:\n  basePath: bridge", "http.basePath: expected nothing or a path", "it begins with a slash"),
        .yaml("http:\n  basePath: /bridge/", "it does not end with a slash"),
        .yaml("http:\n  basePath: /a//b", "it has an empty segment"),
        .yaml("http:\n  basePath: /a/../b", "a segment . or .."),
        .yaml(
            "http:\n  trustedProxies: [0.0.0.0/0]", "http.trustedProxies: holds every IPv4 address",
            "or http.trustAllProxies: true"),
        .yaml("http:\n  trustedProxies: ['::/0', 10.0.0.0/8]", "http.trustedProxies: holds every IPv6 address"),
        .yaml("http:\n  trustedProxies: [0.0.0.0/1, 128.0.0.0/1]", "http.trustedProxies: holds every IPv4 address"),
        .yaml(
            "http:\n  maxTargetBytes: 256\n  basePath: /\(String(repeating: "a", count: 240))",
            "http.maxTargetBytes is 256", "the longest path of a callback has 266 bytes"),
        .yaml("http:\n  basePath: /a?b", "letters, digits, -, ., _ and ~ only"),
        .yaml(
            "http:\n  trustedProxies: [127.0.0.1, 10.1.2.3/8]", "bridge.yaml:2:31: http.trustedProxies",
            "10.0.0.0/8 is the"),
        .yaml("http:\n  trustedProxies: 10.0.0.0/33", "such as 10.0.0.0/8", "a whole number from 0 to 32"),
        .yaml("http:\n  trustedProxies: [proxy.example.com]", "not an IPv4 or IPv6 address"),
        .yaml("http:\n  trustedProxies: [\"10.0.0.1:80\"]", "without brackets and port"),
        .yaml("kafka:\n  bootstrapServers: a", "kafka.bootstrapServers: expected host:port", "the port is missing"),
        .yaml("kafka:\n  bootstrapServers: [a:1, b]", "bridge.yaml:2:27: kafka.bootstrapServers", "found \"b\""),
        .yaml("kafka:\n  bootstrapServers: a:0", "the port is a number from 1 to 65535"),
        .yaml("kafka:\n  bootstrapServers: a:x", "the port is a number from 1 to 65535"),
        .yaml("kafka:\n  bootstrapServers: PLAINTEXT://a:9092", "without a scheme"),
        .yaml("kafka:\n  bootstrapServers: \"::1:9092\"", "an IPv6 address needs brackets"),
        .yaml("kafka:\n  bootstrapServers: \"[zz]:9092\"", "not an IPv6 address in the brackets"),
        .yaml("kafka:\n  bootstrapServers: \":9092\"", "the host is a name or an address"),
        .yaml("kafka:\n  bootstrapServers: [a:1, a:1]", "\"a:1\" is given twice"),
        .yaml("kafka:\n  bootstrapServers: []", "expected 1 to 100 values, found 0"),
        .yaml("kafka:\n  bootstrapServers: {a: 1}", "expected a list of 1 to 100", "found a mapping"),
        .yaml("kafka:\n  bootstrapServers: [[a:1]]", "expected a single value in the list, found a list"),
        .yaml("topics:\n  prefix: a b", "topics.prefix: expected 1 to 200 letters, digits, dots"),
        .yaml("topics:\n  prefix: ..", "a name is not . or .."),
        .yaml("topics:\n  partitions: 0", "topics.partitions: expected a whole number from 1 to 10000"),
        .yaml("topics:\n  replication: 101", "from 1 to 100"),
        .yaml("topics:\n  retention: 1s", "topics.retention: expected a duration from 1m to 36500d"),
        .yaml("auth:\n  header:\n    name: X Y", "auth.header.name: expected the name of an HTTP header"),
        .yaml("auth:\n  header:\n    name: content-type", "SMSPortal cannot set it"),
        .yaml("auth:\n  header:\n    name: Host", "SMSPortal cannot set it"),
        .yaml("auth:\n  header:\n    name: Transfer-Encoding", "it belongs to the connection"),
        .yaml("events:\n  account: a/b", "events.account: expected 1 to 64 letters"),
        .yaml("events:\n  optOut:\n    phrases: Stop", "events.optOut.phrases: expected a list of 0 to 100"),
        .yaml(
            "events:\n  optOut:\n    phrases: [Stop, \"!!\"]", "bridge.yaml:3:21",
            "at least one of them a letter or digit"),
        .yaml("events:\n  reply:\n    fields: [a]", "events.reply.fields: expected a mapping, found a list"),
        .yaml("events:\n  reply:\n    fields: {Msg: text, MSG: text}", "the name \"MSG\" is given twice"),
        .yaml("events:\n  replies:\n    fields: {a: b}", "events.replies: unknown key"),
        .yaml("publish:\n  deadline: 10s", "publish.deadline: expected a duration from 10ms to 9900ms"),
        .yaml("spool:\n  path: \"\"", "spool.path: expected a path in the file system, found \"\": it is empty"),
        .yaml("publish:\n  batchBytes: 1MB", "publish.batchBytes: expected a size from 16KiB to 900000, found"),
        .yaml("spool:\n  maxBytes: 1KiB", "spool.maxBytes: expected a size from 16MiB"),
        .environment("SMSBRIDGE_HTTP_PORT", "eighty", "http.port: expected a port from 0 to 65535", "\"eighty\""),
        .environment("SMSBRIDGE_TOPICS_CREATE", "no", "topics.create: expected true or false", "write false"),
        .environment("SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS", "a:1,,b:1", "expected host:port", "found \"\""),
        .environment("SMSBRIDGE_EVENTS_REPLY_FIELDS", "a", "events.reply.fields: expected name=value"),
        .environment("SMSBRIDGE_KAFKA_PROPERTIES", "a=b", "SMSBRIDGE_KAFKA_PROPERTIES_SECURITY_PROTOCOL"),
        .environment("SMSBRIDGE_CONFIG", "missing.yaml", "/missing.yaml: No such file or directory"),
        .flags("--http-port", "x", says: ["flag --http-port: http.port: expected a port", "\"x\""]),
        .flags("--http-port=1", "--http-port=2", says: ["flag --http-port: http.port: given 2 times"]),
        .flags("--htp-port", "1", says: ["flag --htp-port: unknown flag: did you mean --http-port?"]),
        .flags("--kafka-brokers=a:1", says: ["unknown flag: did you mean --kafka-bootstrap-servers?"]),
        .flags("-http-port", "1", says: ["did you mean --http-port?"]),
        .flags("--no-topics-create", says: ["write --topics-create=false"]),
        .flags("--http-port", says: ["flag --http-port: needs a value"]),
        .flags("--http-port", "--auth-none", says: ["flag --http-port: needs a value"]),
        .flags("--topics-create=no", says: ["topics.create: expected true or false, found \"no\": write false"]),
        .flags("--config", "missing.yaml", says: ["flag --config: cannot read /", "/missing.yaml: No such file"]),
        .flags("--config=", says: ["flag --config: expected the path of a file"]),
        .flags("--qqqqqqqqqq", says: ["flag --qqqqqqqqqq: unknown flag"]),
        .flags("--kafka-properties", "linger.ms", says: ["kafka.properties: expected name=value"]),
    ]

    static let rules: [WrongCase] = [
        .yaml(
            "publish: {linger: 200ms}",
            "bridge.yaml:1:19: publish.linger: is 200ms, expected less than publish.hedge, which is 100ms (default)"),
        .yaml("publish: {hedge: 900ms}", "publish.hedge: is 900ms, expected less than publish.deadline"),
        .yaml(
            "publish: {deadline: 50ms}", "publish.deadline: is 50ms, expected more than publish.hedge, which is 100ms"),
        .yaml(
            "publish:\n  linger: 500ms\n  hedge: 400ms",
            "bridge.yaml:3:10: publish.hedge: is 400ms, expected more than publish.linger, which is 500ms (bridge.yaml:2:11)"
        ),
        .yaml("shutdown: {delay: 25s}", "shutdown.delay: is 25s, expected less than shutdown.deadline"),
        .yaml(
            "http: {maxBufferedRequestBytes: 64KiB}",
            "http.maxBufferedRequestBytes: is 64KiB, expected no less than http.maxBodyBytes"),
        .yaml("http: {maxBodyBytes: 1MiB}\npublish: {maxInFlightBytes: 512KiB}", "publish.maxInFlightBytes: is 512KiB"),
        .yaml(
            "http: {tls: {certificate: /c}}",
            "http.tls.key: is required with http.tls.certificate (bridge.yaml:1:27)"),
        .yaml("http: {tls: {key: /k}}", "http.tls.certificate: is required with http.tls.key (bridge.yaml:1:19)"),
        .yaml("http: {tls: {clientCa: /c}}", "bridge.yaml:1:24: http.tls.clientCa: needs http.tls.certificate"),
        .yaml("http: {tls: {clientCertificate: optional}}", "http.tls.clientCertificate: needs http.tls.clientCa"),
        .yaml("http: {tls: {clientCertificate: none}}", "expected one of required, optional"),
        .yaml("http: {tls: {cert: /c}}", "http.tls.cert: unknown key: did you mean http.tls.certificate?"),
        .yaml("http: {tls: {handshakeTimeout: 11m}}", "http.tls.handshakeTimeout: expected a duration from 100ms"),
        .yaml("http: {tls: {maxHandshakes: 1}}", "http.tls.maxHandshakes: expected a whole number from 8"),
        .yaml(
            "http: {proxyProtocol: true}",
            "bridge.yaml:1:23: http.proxyProtocol: needs http.trustedProxies, the balancers' addresses"),
        .yaml("admin: {port: 8080}", "admin.port: http.port and admin.port are both 8080"),
        .yaml("http: {port: 9464}", "http.port: http.port and admin.port are both 9464"),
        .yaml(
            "auth: {none: true}", needs: .serve, "kafka.bootstrapServers: is required",
            "SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS", "--kafka-bootstrap-servers"),
        .yaml(
            "kafka: {bootstrapServers: a:1}", needs: .serve, "auth: no authentication is configured", "auth.none: true",
            "SMSBRIDGE_AUTH_HEADER_SECRETS"),
        .yaml("", count: 2, needs: .serve, "kafka.bootstrapServers: is required", "no authentication is configured"),
        .yaml(
            "auth:\n  none: true\n  header: {secrets: [0123456789abcdef]}",
            "bridge.yaml:2:9: auth.none: is true, yet auth.header.secrets is given (bridge.yaml:3:21)"),
        .yaml(
            "auth:\n  header:\n    secrets: [0123456789abcdef]\n    secretsFile: /x", count: 2,
            "bridge.yaml:4:5: auth.header.secrets: give either auth.header.secrets or auth.header.secretsFile, not both; the other is at 3:5"
        ),
    ]

    @Test(arguments: keys + values + rules)
    func aWrongSettingIsNamedWithItsPlaceAndWhatWasExpected(wrong: WrongCase) throws {
        guard case .failure(let failure) = wrong.given.load() else {
            Issue.record("accepted: \(wrong)")
            return
        }
        let text = failure.description
        for part in wrong.says { #expect(text.contains(part), "\(text)") }
        #expect(failure.problems.count == wrong.count, "\(text)")
    }

    @Test func theTableIsLarge() {
        #expect(Self.keys.count + Self.values.count + Self.rules.count >= 130)
    }

    @Test func everythingIsSaidAtOnceInTheOrderOfItsPlace() throws {
        let given = Given(
            yaml: """
                htp: 1
                http:
                  port: x
                  port: 2
                log: {level: loud}
                """,
            environment: ["SMSBRIDGE_ADMIN_PORT": "y", "SMSBRIDGE_KAFKA_PROPERTIES_ACKS": "1"],
            arguments: ["--http-host", "*", "--wrong", "--topics-partitions=0"], needs: .serve)
        guard case .failure(let failure) = given.load() else {
            Issue.record("accepted")
            return
        }
        #expect(
            failure.problems.map { "\($0.place) \($0.key ?? "-")" } == [
                "bridge.yaml:1:1 htp", "bridge.yaml:3:9 http.port", "bridge.yaml:4:3 -", "bridge.yaml:5:14 log.level",
                "environment variable SMSBRIDGE_ADMIN_PORT admin.port",
                "environment variable SMSBRIDGE_KAFKA_PROPERTIES_ACKS kafka.properties.acks",
                "flag --http-host http.host", "flag --topics-partitions topics.partitions", "flag --wrong -",
            ])
    }

    @Test(arguments: KafkaProperties.refused.keys.sorted() + ["dr_msg_cb", "rebalance_cb", "test.mock.num.brokers"])
    func propertiesThatWouldBreakAPromiseAreRefusedWithTheReason(name: String) throws {
        let reason = try #require(KafkaProperties.refusal(of: name))
        for given in [
            Given(yaml: "kafka:\n  properties:\n    \(name): \"1\""),
            Given(arguments: ["--kafka-properties", "\(name)=1"]),
            Given(yaml: "kafka:\n  propertyFiles: {\(name): /f}", files: ["/f": "1"]),
        ] {
            guard case .failure(let failure) = given.load() else {
                Issue.record("accepted: \(name)")
                continue
            }
            #expect(failure.problems.count == 1)
            #expect(failure.description.contains(".\(name): may not be set: it \(reason)"), "\(failure)")
        }
        if name.contains("_") { return }  // the environment has no underscores
        let variable = "SMSBRIDGE_KAFKA_PROPERTIES_" + name.uppercased().replacing(".", with: "_")
        guard case .failure(let failure) = Given(environment: [variable: "1"]).load() else {
            Issue.record("accepted: \(variable)")
            return
        }
        #expect(
            failure.description.contains("environment variable \(variable): kafka.properties.\(name): may not be set"))
    }

    @Test func propertiesOfKafkaHaveNames() throws {
        for (yaml, says) in [
            (
                "kafka:\n  properties:\n    sasl: {password: hunter2}",
                "names of properties are not nested: write sasl.password: …"
            ),
            ("kafka:\n  properties:\n    Sasl.Password: hunter2", "did you mean sasl.password?"),
            ("kafka:\n  properties:\n    sasl password: hunter2", "expected the name of a property"),
            (
                "kafka:\n  properties:\n    sasl.password:",
                "kafka.properties.sasl.password: expected a single value, found nothing"
            ),
            ("kafka:\n  properties:\n    sasl.password: [hunter2]", "expected a single value, found a list"),
            ("kafka:\n  properties: hunter2", "kafka.properties: expected a mapping, found a single value"),
        ] {
            guard case .failure(let failure) = Given(yaml: yaml).load() else {
                Issue.record("accepted: \(yaml)")
                continue
            }
            #expect(failure.problems.count == 1 && failure.description.contains(says), "\(failure)")
            #expect(!failure.description.contains("hunter2"))
        }
    }

    @Test func afterASyntaxErrorNothingIsSaidToBeMissing() throws {
        let given = Given(yaml: "kafka: {", environment: ["SMSBRIDGE_HTTP_PORT": "x"], needs: .serve)
        guard case .failure(let failure) = given.load() else {
            Issue.record("accepted")
            return
        }
        #expect(failure.problems.map(\.key) == [nil, "http.port"], "\(failure)")
    }

    @Test func bytesThatAreNoTextAreToldWithTheirPlace() {
        let result = YAMLReader.read(Array("a: 1\nb: ".utf8) + [0xFF, 0xFE] + Array("\n".utf8))
        #expect(!result.isComplete)
        #expect(result.problems.map(\.mark) == [YAMLMark(line: 2, column: 4)])
        #expect(YAMLReader.read([]).isComplete)
        #expect(YAMLReader.read(Array("# only a comment\n".utf8)).problems.isEmpty)
    }

    /// Whatever stands in the file, loading ends with settings or with problems that have a place in it.
    @Test(arguments: [UInt64(1), 2, 3, .random(in: 0 ... .max)])
    func brokenFilesOfEveryKindAreSurvived(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let whole = Array(SettingsReference.exampleFile().replacing("# ", with: "").utf8.prefix(4_000))
        let pieces = [
            "&a ", "*a", "!!x ", "{", "}", "[", "]", "? ", ": ", "- ", "\t", "\n", "---\n", "\u{0}", "|\n", "\"", "#",
            "~",
        ]
        var outcomes = (right: 0, wrong: 0)
        for _ in 0..<400 {
            var bytes = whole
            if Bool.random(using: &random) {
                bytes = Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &random)))
            }
            for _ in 0..<Int.random(in: 0...4, using: &random) where !bytes.isEmpty {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: place)
                case 2: bytes.insert(contentsOf: pieces.randomElement(using: &random)!.utf8, at: place)
                default: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 20)], at: place)
                }
            }
            var loader = SettingsLoader(
                environment: [:], flags: [FlagOccurrence(name: "--config", value: "f")], needs: .serve)
            loader.draft.readFile = { [bytes] path in
                path == "f" ? .success(bytes) : .failure(FileFailure(reason: "none"))
            }
            do throws(SettingsFailure) {
                _ = try loader.load()
                outcomes.right += 1
            } catch {
                outcomes.wrong += 1
                #expect(!error.problems.isEmpty, "seed \(seed)")
                for problem in error.problems {
                    guard case .file(_, let line, let column) = problem.place else { continue }
                    #expect((1...2_000).contains(line) && column >= 1, "seed \(seed): \(problem)")
                }
            }
        }
        #expect(outcomes.wrong > 100, "seed \(seed)")
    }
}
