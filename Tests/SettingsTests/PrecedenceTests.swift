import Testing

@testable import SMSBridgeSettings

@Suite struct PrecedenceTests {
    @Test func theDefaultsAreThoseOfTheStructs() throws {
        let loaded = try Given(needs: []).load().get()
        #expect(loaded.settings == BridgeSettings())
        #expect(loaded.warnings.isEmpty && loaded.sources.isEmpty)
        #expect(loaded.effective.allSatisfy { $0.source == .standard })
    }

    @Test func theAgreedDefaults() {
        let standard = BridgeSettings()
        let shown = Dictionary(uniqueKeysWithValues: Declaration.all.map { ($0.key, $0.show(standard)) })
        let agreed = [
            "http.host": "0.0.0.0", "http.port": "8080", "http.basePath": "", "http.maxBodyBytes": "256KiB",
            "http.maxHeaderBytes": "16KiB", "http.maxHeaders": "100", "http.maxTargetBytes": "64KiB",
            "http.headTimeout": "10s", "http.bodyTimeout": "10s", "http.writeTimeout": "10s",
            "http.idleTimeout": "65m",
            "http.maxConnections": "10000", "http.maxBufferedRequestBytes": "64MiB", "http.backlog": "1024",
            "http.trustedProxies": "", "http.proxyProtocol": "false", "http.trustAllProxies": "false",
            "http.tls.certificate": "", "http.tls.key": "",
            "http.tls.clientCa": "", "http.tls.clientCertificate": "required", "http.tls.handshakeTimeout": "10s",
            "http.tls.maxHandshakes": "1000",
            "admin.host": "127.0.0.1", "admin.port": "9464", "admin.runbookUrl": "", "kafka.bootstrapServers": "",
            "kafka.properties": "",
            "kafka.propertyFiles": "", "topics.prefix": "smsportal", "topics.create": "true", "topics.partitions": "6",
            "topics.replication": "3", "topics.retention": "14d", "auth.header.name": "X-Webhook-Secret",
            "auth.header.secrets": "", "auth.header.secretsFile": "", "auth.path.secrets": "",
            "auth.path.secretsFile": "", "auth.query.secrets": "", "auth.query.secretsFile": "", "auth.none": "false",
            "auth.mode": "enforce", "auth.header.accounts": "", "auth.path.accounts": "", "auth.query.accounts": "",
            "auth.signature.secrets": "", "auth.signature.secretsFile": "", "auth.signature.accounts": "",
            "auth.signature.header": "", "auth.signature.timestampHeader": "", "auth.signature.value": "{signature}",
            "auth.signature.signed": "v1:{timestamp}|{method}|{url}|{body}",
            "auth.signature.url": "{base}{path}{query}", "auth.signature.baseUrl": "",
            "auth.signature.encoding": "auto", "auth.signature.timestampUnit": "auto",
            "auth.signature.keyEncoding": "text", "auth.signature.window": "5m", "auth.addresses": "",
            "events.account": "default", "events.optOut.phrases": "Stop,Unsubscribe,Remove,Opt-Out,Quit,Delete,Spam",
            "events.delivery-status.fields": "", "events.reply.fields": "", "events.short-code.fields": "",
            "events.url-preview.fields": "", "events.url-click.fields": "", "publish.linger": "1ms",
            "publish.hedge": "100ms", "publish.deadline": "900ms", "publish.maxInFlight": "100000",
            "publish.maxInFlightBytes": "64MiB", "publish.batchBytes": "512KiB", "spool.path": "/var/lib/smsbridge",
            "spool.none": "false",
            "spool.maxBytes": "10GiB", "spool.anyFileSystem": "false", "durability.strict": "false",
            "durability.interval": "5m", "durability.audit": "false", "durability.development": "false",
            "shutdown.delay": "5s", "shutdown.grace": "2s", "shutdown.deadline": "25s",
            "log.level": "info", "log.format": "auto", "log.accessSample": "0",
        ]
        #expect(shown == agreed)
    }

    @Test func namesFollowFromTheKey() {
        let names = Dictionary(uniqueKeysWithValues: Declaration.all.map { ($0.key, ($0.environmentName, $0.flag)) })
        #expect(names["http.basePath"]! == ("SMSBRIDGE_HTTP_BASE_PATH", "--http-base-path"))
        #expect(names["kafka.bootstrapServers"]! == ("SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS", "--kafka-bootstrap-servers"))
        #expect(
            names["auth.header.secretsFile"]! == ("SMSBRIDGE_AUTH_HEADER_SECRETS_FILE", "--auth-header-secrets-file"))
        #expect(names["events.delivery-status.fields"]!.0 == "SMSBRIDGE_EVENTS_DELIVERY_STATUS_FIELDS")
        #expect(Set(Declaration.all.map(\.environmentName)).count == Declaration.all.count)
        #expect(Set(Declaration.all.map(\.flag)).count == Declaration.all.count)
        #expect(Set(Declaration.all.map(\.section)) == Set(Declaration.sections.map(\.name)))
    }

    /// One value of each setting that is not its default, as text and as YAML.
    static let others: [(key: String, text: String, yaml: String)] = [
        ("http.host", "::1", "'::1'"), ("http.port", "0", "0"), ("http.basePath", "/a/b", "/a/b"),
        ("http.maxBodyBytes", "1MiB", "1048576"), ("http.maxHeaderBytes", "32KiB", "32KiB"),
        ("http.maxHeaders", "50", "\"50\""), ("http.maxTargetBytes", "1000000", "1MB"),
        ("http.headTimeout", "1500ms", "1s500ms"), ("http.bodyTimeout", "1s", "1s"),
        ("http.writeTimeout", "2s", "2s"), ("http.idleTimeout", "1h", "60m"), ("http.maxConnections", "1", "1"),
        ("http.maxBufferedRequestBytes", "1GiB", "1GiB"), ("http.backlog", "10", "10"),
        ("http.trustedProxies", "10.0.0.0/8,2001:db8::/32", "[10.0.0.0/8, '2001:db8::/32']"),
        ("http.trustAllProxies", "true", "true"), ("http.tls.handshakeTimeout", "3s", "3000ms"),
        ("http.tls.maxHandshakes", "8", "8"),
        ("admin.host", "localhost", "localhost"),
        ("admin.port", "1", "1"), ("admin.runbookUrl", "https://a.example/b", "https://a.example/b"),
        ("kafka.bootstrapServers", "a:1,[::1]:2,b_c.d:65535", "[a:1, '[::1]:2', b_c.d:65535]"),
        ("topics.prefix", "a.b_c-D", "a.b_c-D"), ("topics.create", "false", "false"), ("topics.partitions", "1", "1"),
        ("topics.replication", "1", "1"), ("topics.retention", "36h", "1d12h"),
        ("auth.mode", "log", "log"), ("auth.signature.header", "X-Sig", "X-Sig"),
        ("auth.signature.timestampHeader", "X-Time", "X-Time"),
        ("auth.signature.value", "t={timestamp},v1={signature}", "\"t={timestamp},v1={signature}\""),
        ("auth.signature.signed", "{timestamp}.{url}.{body}", "'{timestamp}.{url}.{body}'"),
        ("auth.signature.url", "{path}{query}", "'{path}{query}'"),
        ("auth.signature.baseUrl", "https://sms.example.com/in", "https://sms.example.com/in"),
        ("auth.signature.encoding", "hex", "hex"), ("auth.signature.timestampUnit", "ms", "ms"),
        ("auth.signature.keyEncoding", "base64", "base64"), ("auth.signature.window", "1m", "60s"),
        ("auth.addresses", "smsportal,192.0.2.0/24", "[smsportal, 192.0.2.0/24]"),
        ("auth.header.name", "X-Other", "X-Other"), ("auth.none", "true", "True"), ("events.account", "acme", "acme"),
        ("events.optOut.phrases", "Stop\\, please,no", "['Stop, please', no]"),
        ("events.delivery-status.fields", "a=b,c=d", "{a: b, c: d}"), ("events.reply.fields", "x=text", "{x: text}"),
        ("events.short-code.fields", "x=text", "{x: text}"), ("events.url-preview.fields", "x=url", "{x: url}"),
        ("events.url-click.fields", "x=url", "{x: url}"), ("publish.linger", "0s", "0ms"),
        ("publish.hedge", "50ms", "50ms"), ("publish.deadline", "2s", "2s"), ("publish.maxInFlight", "10", "10"),
        ("publish.maxInFlightBytes", "1MiB", "1MiB"), ("publish.batchBytes", "900000", "900kB"),
        ("spool.path", "/tmp/spool", "/tmp/spool"),
        ("spool.none", "true", "TRUE"), ("spool.maxBytes", "1TiB", "1TiB"), ("spool.anyFileSystem", "true", "true"),
        ("durability.strict", "true", "true"), ("durability.interval", "90s", "1m30s"),
        ("durability.audit", "true", "true"), ("durability.development", "true", "true"),
        ("shutdown.delay", "0s", "0s"), ("shutdown.grace", "0s", "0s"), ("shutdown.deadline", "1m", "60s"),
        ("log.level", "trace", "trace"),
        ("log.format", "json", "json"), ("log.accessSample", "100", "100"),
    ]

    @Test func everySettingIsReadFromEverySource() throws {
        let tested = Set(Self.others.map(\.key)).union(Self.together.map(\.key))
        let special = Declaration.all.map(\.key).filter { !tested.contains($0) }
        #expect(
            special.allSatisfy { $0.hasPrefix("kafka.propert") || $0.contains(".secrets") || $0.hasSuffix(".accounts") }
        )
        for (key, text, yaml) in Self.others {
            let declaration = try #require(Declaration.named(key))
            #expect(declaration.show(BridgeSettings()) != text)
            let words = key.split(separator: ".")
            let nested =
                words.dropLast().map { "\($0): {" }.joined() + "\(words.last!): \(yaml)"
                + String(repeating: "}", count: words.count - 1)
            for (given, place) in [
                (Given(yaml: nested), nil),
                (
                    Given(environment: [declaration.environmentName: text]),
                    SettingPlace.environment(declaration.environmentName)
                ),
                (Given(arguments: ["\(declaration.flag)=\(text)"]), .flag(declaration.flag)),
            ] {
                let loaded = try given.load().get()
                #expect(declaration.show(loaded.settings) == text, "\(key)")
                let source = try #require(loaded.sources[key])
                if let place { #expect(source == place) }
                #expect(loaded.sources.count == 1)
            }
        }
    }

    /// Settings that are right only together.
    static let together: [(key: String, text: String)] = [
        ("http.trustedProxies", "10.0.0.0/8"), ("http.proxyProtocol", "true"), ("http.tls.certificate", "/c.pem"),
        ("http.tls.key", "/k.pem"), ("http.tls.clientCa", "/ca.pem"), ("http.tls.clientCertificate", "optional"),
    ]

    @Test func settingsThatNeedOneAnotherAreReadFromEverySource() throws {
        let declarations = try Self.together.map { (try #require(Declaration.named($0.key)), $0.text) }
        for given in [
            Given(
                yaml: """
                    http:
                      trustedProxies: 10.0.0.0/8
                      proxyProtocol: true
                      tls: {certificate: /c.pem, key: /k.pem, clientCa: /ca.pem, clientCertificate: optional}
                    """),
            Given(environment: Dictionary(uniqueKeysWithValues: declarations.map { ($0.environmentName, $1) })),
            Given(arguments: declarations.map { "\($0.flag)=\($1)" }),
        ] {
            let loaded = try given.load().get()
            for (declaration, text) in declarations { #expect(declaration.show(loaded.settings) == text) }
            #expect(Set(loaded.sources.keys) == Set(Self.together.map(\.key)))
        }
    }

    @Test func laterSourcesWin() throws {
        func port(_ given: Given) throws -> UInt16 { try given.load().get().settings.http.port }
        let yaml = "http: {port: 1}"
        let environment = ["SMSBRIDGE_HTTP_PORT": "2"]
        #expect(try port(Given(yaml: yaml)) == 1)
        #expect(try port(Given(yaml: yaml, environment: environment)) == 2)
        #expect(try port(Given(yaml: yaml, environment: environment, arguments: ["--http-port", "3"])) == 3)
        #expect(try port(Given(yaml: yaml, arguments: ["--http-port", "3"])) == 3)
        #expect(try port(Given(yaml: yaml, environment: ["SMSBRIDGE_HTTP_PORT": ""])) == 1)
        let config = Given(environment: ["SMSBRIDGE_CONFIG": "c.yaml"], files: ["c.yaml": yaml])
        #expect(try port(config) == 1)
        #expect(try config.load().get().configFile == "c.yaml")
        let both = Given(
            environment: ["SMSBRIDGE_CONFIG": "none.yaml"], arguments: ["--config", "c.yaml"], files: ["c.yaml": yaml])
        #expect(try port(both) == 1)
    }

    @Test func aWrongValueIsToldEvenWhenALaterSourceWins() {
        guard case .failure(let failure) = Given(yaml: "http: {port: x}", arguments: ["--http-port=3"]).load() else {
            Issue.record("accepted")
            return
        }
        #expect(failure.problems.map(\.key) == ["http.port"])
    }

    @Test func kafkaPropertiesAddUp() throws {
        let given = Given(
            yaml: """
                kafka:
                  properties:
                    security.protocol: SASL_SSL
                    sasl.username: no
                    socket.keepalive.enable: true
                    sasl.password: from-file
                  propertyFiles:
                    ssl.key.password: /k
                """,
            environment: [
                "SMSBRIDGE_KAFKA_PROPERTIES_SASL_PASSWORD": "from,environment=1",
                "SMSBRIDGE_KAFKA_PROPERTIES_ENABLE_SSL_CERTIFICATE_VERIFICATION": "false",
                "SMSBRIDGE_KAFKA_PROPERTIES_SSL_KEY_PEM_FILE": "/pem",
                "SMSBRIDGE_KAFKA_PROPERTIES_SASL_OAUTHBEARER_ASSERTION_JWT_TEMPLATE_FILE": "/jwt",
            ],
            arguments: ["--kafka-properties", "sasl.username=a,b=c", "--kafka-properties=client.id=x"],
            files: ["/k": "key-password\n", "/pem": "-----BEGIN\nabc\n-----END\n"])
        let loaded = try given.load().get()
        let pairs = loaded.settings.kafka.properties.exposed.map { "\($0.name)=\($0.value)" }
        #expect(
            pairs == [
                "client.id=x", "enable.ssl.certificate.verification=false",
                "sasl.oauthbearer.assertion.jwt.template.file=/jwt", "sasl.password=from,environment=1",
                "sasl.username=a,b=c", "security.protocol=SASL_SSL", "socket.keepalive.enable=true",
                "ssl.key.password=key-password", "ssl.key.pem=-----BEGIN\nabc\n-----END",
            ])
        #expect(loaded.settings.kafka.propertyFiles == ["ssl.key.password": "/k", "ssl.key.pem": "/pem"])
        #expect(
            loaded.dump.contains(
                "kafka.properties.sasl.password = …  (environment variable SMSBRIDGE_KAFKA_PROPERTIES_SASL_PASSWORD)\n")
        )
        #expect(loaded.dump.contains("kafka.properties.sasl.username = a,b=c  (flag --kafka-properties)\n"))
        #expect(loaded.dump.contains("kafka.properties.security.protocol = SASL_SSL  (bridge.yaml:3:24)\n"))
        #expect(
            !loaded.dump.contains("key-password") && !loaded.dump.contains("from,env") && !loaded.dump.contains("BEGIN")
        )
    }

    @Test func yamlDoesNotGuess() throws {
        let given = Given(
            yaml: """
                topics: {prefix: 0123}
                events:
                  account: no
                  optOut: {phrases: [on, 1e3, "null", 12:30]}
                  reply:
                auth: ~
                """)
        let settings = try given.load().get().settings
        #expect(settings.topics.prefix == "0123")
        #expect(settings.events.account == "no")
        #expect(settings.events.optOut.phrases == ["on", "1e3", "null", "12:30"])
    }

    @Test func theStateDirectoryOfSystemdIsTheDefaultOfTheSpool() throws {
        let given = Given(environment: ["STATE_DIRECTORY": "/var/lib/x:/var/lib/y"])
        #expect(try given.load().get().settings.spool.path == "/var/lib/x")
        #expect(
            try given.load().get().dump.contains("spool.path = /var/lib/x  (environment variable STATE_DIRECTORY)\n"))
        let quiet = Given(environment: ["STATE_DIRECTORY": "/var/lib/x", "SMSBRIDGE_SPOOL_NONE": "true"])
        #expect(try quiet.load().get().warnings.isEmpty)
        let other = Given(environment: ["STATE_DIRECTORY": "/var/lib/x", "SMSBRIDGE_SPOOL_PATH": "/s"])
        #expect(try other.load().get().settings.spool.path == "/s")
        #expect(
            try Given(environment: ["STATE_DIRECTORY": ""]).load().get().settings.spool.path == "/var/lib/smsbridge")
        let none = try Given(environment: ["SMSBRIDGE_SPOOL_PATH": "/s", "SMSBRIDGE_SPOOL_NONE": "true"]).load().get()
        #expect(
            none.warnings == [
                "spool.path has no effect: spool.none is true (environment variable SMSBRIDGE_SPOOL_NONE)"
            ])
    }

    @Test func trustInEveryAddressIsWarnedOf() throws {
        let all = ["SMSBRIDGE_HTTP_TRUSTED_PROXIES": "0.0.0.0/0,::/0", "SMSBRIDGE_HTTP_TRUST_ALL_PROXIES": "true"]
        let loaded = try Given(environment: all).load().get()
        #expect(loaded.warnings.count == 1)
        #expect(
            loaded.warnings.first?.contains(
                "http.trustedProxies holds every IPv4 and every IPv6 address, so every caller may claim any address")
                == true)
        let needless = try Given(environment: ["SMSBRIDGE_HTTP_TRUST_ALL_PROXIES": "true"]).load().get()
        #expect(needless.warnings.first?.contains("http.trustAllProxies has no effect") == true)
    }

    @Test func unknownVariablesAreOnlyWarnedOf() throws {
        let loaded = try Given(environment: [
            "SMSBRIDGE_HTTP_PROT": "1", "SMSBRIDGE_KAFKA_BROKERS": "a", "SMSBRIDGE_ZZZZZZZZ": "1", "SMSBRIDGEX": "1",
            "OTHER": "1",
        ]).load().get()
        #expect(
            loaded.warnings == [
                "environment variable SMSBRIDGE_HTTP_PROT: unknown, ignored: did you mean SMSBRIDGE_HTTP_PORT?",
                "environment variable SMSBRIDGE_KAFKA_BROKERS: unknown, ignored: did you mean SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS?",
                "environment variable SMSBRIDGE_ZZZZZZZZ: unknown, ignored",
            ])
    }

    @Test func whatKubernetesInjectsIsIgnored() throws {
        let injected = [
            "SMSBRIDGE_SERVICE_HOST": "10.0.0.1", "SMSBRIDGE_SERVICE_PORT": "80", "SMSBRIDGE_SERVICE_PORT_HTTP": "80",
            "SMSBRIDGE_PORT": "tcp://10.0.0.1:80", "SMSBRIDGE_PORT_80_TCP": "tcp://10.0.0.1:80",
            "SMSBRIDGE_PORT_80_TCP_PROTO": "tcp", "SMSBRIDGE_PORT_80_TCP_PORT": "80",
            "SMSBRIDGE_PORT_80_TCP_ADDR": "10.0.0.1", "SMSBRIDGE_HTTP_PORT_80_UDP_ADDR": "10.0.0.1",
            "SMSBRIDGE_ADMIN_SERVICE_HOST": "10.0.0.2",
        ]
        let harmless = try Given(environment: injected).load().get()
        #expect(harmless.warnings.count == 1)
        #expect(harmless.warnings[0].hasPrefix("environment: ignored 10 variables that Kubernetes injected"))
        let hit = try Given(
            yaml: "http: {port: 1}",
            environment: ["SMSBRIDGE_HTTP_PORT": "tcp://10.0.0.1:80", "SMSBRIDGE_ADMIN_PORT": "udp://10.0.0.1:80"]
        ).load().get()
        #expect(hit.settings.http.port == 1 && hit.settings.admin.port == 9464)
        #expect(hit.warnings.count == 3)
        #expect(
            hit.warnings.contains { $0.hasPrefix("environment variable SMSBRIDGE_HTTP_PORT: ignored for http.port") })
        for (name, value) in [
            ("SMSBRIDGE_HTTP_PORT", "http://x"), ("SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS", "tcp://10.0.0.1:80"),
            ("SMSBRIDGE_HTTP_HOST", "tcp://10.0.0.1:80"),
        ] {
            guard case .failure = Given(environment: [name: value]).load() else {
                Issue.record("accepted: \(name)")
                continue
            }
        }
    }

    @Test(arguments: [
        ("a,b", ["a", "b"]), (" a , b c ", ["a", "b c"]), ("a\\,b,c", ["a,b", "c"]), ("a\\\\,b", ["a\\", "b"]),
        ("a\\b", ["a\\b"]), ("a\\", ["a\\"]), ("a,\u{301}b\r\n,c", ["a", "\u{301}b", "c"]), (",", ["", ""]),
        ("a,", ["a", ""]), ("\\, ,x", [",", "x"]),
    ])
    func listsInTheEnvironment(text: String, items: [String]) {
        #expect(splitList(text) == items)
        #expect(splitList(joinList(items)) == items)
    }

    @Test func aFlagOfAListMayBeRepeated() throws {
        let given = Given(arguments: ["--kafka-bootstrap-servers", "a:1", "--kafka-bootstrap-servers=b:2,c:3"])
        #expect(try given.load().get().settings.kafka.bootstrapServers == ["a:1", "b:2", "c:3"])
        let phrases = Given(arguments: ["--events-opt-out-phrases="])
        #expect(try phrases.load().get().settings.events.optOut.phrases == [])
    }

    @Test(arguments: [
        ("http.prot", "http.port"), ("kafka.bootstrap-servers", "kafka.bootstrapServers"),
        ("topic.prefix", "topics.prefix"),
        ("kafak", "kafka"), ("auth.headr.name", "auth.header.name"), ("HTTP.HOST", "http.host"),
    ])
    func nearestNames(wrong: String, right: String) {
        #expect(nearestKey(to: wrong) == right)
    }

    @Test func nothingIsNearWhatIsFar() {
        for name in ["", "x", "qqqqqqqq", "completely.different", String(repeating: "http.port", count: 100)] {
            #expect(nearestKey(to: name) == nil, "\(name)")
        }
    }

    @Test func readersOfDurationsAndSizesAgreeWithTheirWriters() throws {
        for nanoseconds in [0, 1_000, 999_000, 1_000_000, 1_500_000_000, 60_000_000_000, 86_400_000_000_000] {
            let duration = Duration.nanoseconds(nanoseconds)
            #expect(try readDuration(showDuration(duration)) == duration)
        }
        #expect(try readDuration("1d2h3m4s5ms6us") == .nanoseconds(93_784_005_006_000))
        for size in [0, 1, 1_023, 1_024, 1_500, 1 << 20, 10 << 30, 1 << 50, Int.max] {
            #expect(try readBytes(showBytes(size)) == size)
        }
        #expect(try readBytes("1kB") == 1_000)
    }
}
