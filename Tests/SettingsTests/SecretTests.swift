import Testing

@testable import SMSBridgeSettings

/// No secret gets out, whatever is wrong with it.
@Suite struct SecretTests {
    private static let secret = "hunter2-hunter2-hunter2"

    @Test func aSecretDoesNotPrint() {
        let secret = Secret(Self.secret)
        var dumped = ""
        dump([secret], to: &dumped)
        var properties = KafkaProperties()
        properties[name: "sasl.password"] = secret
        properties[name: "sasl.username"] = Secret("me")
        dump(properties, to: &dumped)
        var settings = BridgeSettings()
        settings.auth.header.secrets = [secret]
        settings.kafka.properties = properties
        dump(settings, to: &dumped)
        dumped += "\(secret) \([secret]) \(String(reflecting: secret)) \(properties) \(String(reflecting: properties))"
        dumped += "\(settings) \(String(reflecting: settings))"
        #expect(!dumped.contains("hunter2"))
        #expect("\(properties)" == "sasl.password=…,sasl.username=me")
    }

    @Test(arguments: [
        ("sasl.password", true), ("ssl.key.password", true), ("ssl.keystore.password", true), ("ssl.key.pem", true),
        ("sasl.oauthbearer.client.secret", true), ("sasl.oauthbearer.config", true),
        ("sasl.oauthbearer.assertion.private.key.passphrase", true), ("sasl.username", false),
        ("ssl.certificate.pem", false), ("ssl.ca.pem", false), ("sasl.oauthbearer.token.endpoint.url", false),
        ("ssl.key.location", false), ("security.protocol", false),
    ])
    func whichPropertiesAreSecret(name: String, isSecret: Bool) {
        #expect(KafkaProperties.isSecret(name) == isSecret)
    }

    static let wrong: [(Given, String)] = {
        let secret = SecretTests.secret
        let three = "[\(secret)1, \(secret)2, \(secret)3]"
        return [
            (
                Given(yaml: "auth: {header: {secrets: \(secret)}}"),
                "auth.header.secrets: expected a list, found a single value"
            ),
            (Given(yaml: "auth: {header: {secrets: {a: \(secret)}}}"), "expected a list, found a mapping"),
            (
                Given(yaml: "auth: {header: {secrets: [[\(secret)]]}}"),
                "expected a single value in the list, found a list"
            ),
            (Given(yaml: "auth: {header: {secrets: [\(secret), \(secret)]}}"), "secret 2 is the same as secret 1"),
            (
                Given(yaml: "auth: {header: {secrets: \(three)}}"),
                "expected at most 2 secrets (the old and the new one), found 3"
            ),
            (Given(yaml: "auth: {header: {secrets: [\"\(secret) \"]}}"), "secret 1: it begins or ends with a space"),
            (Given(yaml: "auth: {header: {secrets: [\"\(secret)\\n\"]}}"), "characters other than printable ASCII"),
            (Given(yaml: "auth: {header: {secrets: [\"\(secret)é\"]}}"), "characters other than printable ASCII"),
            (Given(yaml: "auth: {header: {secrets: [\"\"]}}"), "secret 1: it is empty"),
            (Given(yaml: "auth: {header: {secrets: [~]}}"), "expected a single value in the list, found nothing"),
            (Given(yaml: "auth: {header: {secrets: }}"), "auth.header.secrets: has no value"),
            (
                Given(yaml: "auth: {path: {secrets: [\"\(secret)/x\"]}}"),
                "secret 1: it has characters other than letters"
            ),
            (Given(yaml: "auth: {path: {secrets: [\"\(secret)?\", \"a#\", \"%20\"]}}"), "secret 3: it has characters"),
            (Given(yaml: "auth: {path: {secrets: [Short-Code]}}"), "secret 1: it is named like an event type"),
            (Given(yaml: "auth: {path: {secrets: [..]}}"), "it is a step of a path"),
            (
                Given(yaml: "auth: {query: {secrets: [\"\(secret)&a\"]}}"),
                "auth.query.secrets: secret 1: it has characters"
            ),
            (
                Given(environment: ["SMSBRIDGE_AUTH_HEADER_SECRETS": "\(secret),\(secret)"]),
                "secret 2 is the same as secret 1"
            ),
            (Given(environment: ["SMSBRIDGE_AUTH_HEADER_SECRETS": "\(secret),"]), "secret 2: it is empty"),
            (
                Given(environment: ["SMSBRIDGE_AUTH_PATH_SECRETS": "\(secret) x"]),
                "SMSBRIDGE_AUTH_PATH_SECRETS: auth.path.secrets: secret 1"
            ),
            (
                Given(arguments: ["--auth-query-secrets", "\(secret)#"]),
                "flag --auth-query-secrets: auth.query.secrets: secret 1"
            ),
            (
                Given(arguments: ["--auth-header-secretss=\(secret)"]),
                "--auth-header-secretss: unknown flag: did you mean --auth-header-secrets?"
            ),
            (Given(arguments: ["--auth-header-secretss", "\(secret)"]), "did you mean --auth-header-secrets?"),
            (
                Given(environment: ["SMSBRIDGE_AUTH_HEADER_SECRETS_FILE": "/none"]),
                "SMSBRIDGE_AUTH_HEADER_SECRETS_FILE: auth.header.secretsFile: cannot read /none: No such file or directory"
            ),
            (
                Given(environment: ["SMSBRIDGE_AUTH_HEADER_SECRETS_FILE": "/f"], files: ["/f": "\n\r\n\n"]),
                "/f holds no secret: expected one a line"
            ),
            (
                Given(
                    environment: ["SMSBRIDGE_AUTH_HEADER_SECRETS_FILE": "/f"], files: ["/f": "\(secret)\n\t\(secret)\n"]
                ), "/f, line 2: it has characters"
            ),
            (
                Given(
                    environment: ["SMSBRIDGE_AUTH_HEADER_SECRETS_FILE": "/f"], files: ["/f": "\(secret)\n\n\(secret)"]),
                "/f, line 3 is the same as /f, line 1"
            ),
            (
                Given(
                    environment: ["SMSBRIDGE_AUTH_HEADER_SECRETS_FILE": "/f"],
                    files: ["/f": "\(secret)1\n\(secret)2\n\(secret)3"]), "at most 2 secrets"
            ),
            (
                Given(
                    environment: ["SMSBRIDGE_AUTH_HEADER_SECRETS_FILE": "/f", "SMSBRIDGE_AUTH_HEADER_SECRETS": secret],
                    files: ["/f": secret]),
                "give either SMSBRIDGE_AUTH_HEADER_SECRETS or SMSBRIDGE_AUTH_HEADER_SECRETS_FILE, not both"
            ),
            (
                Given(
                    arguments: ["--auth-path-secrets", secret, "--auth-path-secrets-file=/f"], files: ["/f": secret]),
                "give either --auth-path-secrets or --auth-path-secrets-file, not both"
            ),
            (
                Given(environment: ["SMSBRIDGE_KAFKA_PROPERTIES_SASL_PASSWORD_FILE": "/none"]),
                "kafka.propertyFiles.sasl.password: cannot read /none: No such file"
            ),
            (
                Given(environment: ["SMSBRIDGE_KAFKA_PROPERTIES_SASL_PASSWORD_FILE": "/f"], files: ["/f": "\n"]),
                "/f is empty"
            ),
            (
                Given(
                    environment: [
                        "SMSBRIDGE_KAFKA_PROPERTIES_SASL_PASSWORD_FILE": "/f",
                        "SMSBRIDGE_KAFKA_PROPERTIES_SASL_PASSWORD": secret,
                    ], files: ["/f": secret]),
                "kafka.properties.sasl.password: give either this or SMSBRIDGE_KAFKA_PROPERTIES_SASL_PASSWORD_FILE, not both"
            ),
            (
                Given(environment: ["SMSBRIDGE_AUTH_NONE": "true", "SMSBRIDGE_AUTH_HEADER_SECRETS": secret]),
                "auth.none: is true, yet auth.header.secrets is given (environment variable SMSBRIDGE_AUTH_HEADER_SECRETS)"
            ),
        ]
    }()

    @Test(arguments: wrong.indices)
    func noMessageHoldsASecret(index: Int) {
        let (given, says) = Self.wrong[index]
        guard case .failure(let failure) = given.load() else {
            Issue.record("accepted: \(given)")
            return
        }
        let text = failure.description + failure.warnings.joined() + "\(failure)"
        #expect(text.contains(says), "\(text)")
        #expect(!text.contains("hunter2"), "\(text)")
    }

    @Test func realFilesAreReadAndTheirErrorsTold() throws {
        func reason(_ path: String) -> String? {
            if case .failure(let failure) = readWholeFile(path) { failure.reason } else { nil }
        }
        #expect(reason("/no/such/file") == "No such file or directory")
        #expect(reason("/tmp") == "it is a directory, not a file")
        #expect(reason("/dev/zero") == "it has more than 1 MiB")
        #expect(try readWholeFile("/dev/null").get().isEmpty)
        #expect(try readWholeFile(#filePath).get().starts(with: "import".utf8))
    }

    @Test func formsOfSecrets() throws {
        let given = Given(
            yaml: "auth: {header: {secretsFile: /h}, path: {secrets: [0123456789]}, query: {secretsFile: /q}}",
            environment: [
                "SMSBRIDGE_AUTH_QUERY_SECRETS": "abcdefghijklmnop", "SMSBRIDGE_AUTH_HEADER_NAME": "authorization",
            ],
            files: ["/h": "Bearer \(Self.secret)\r\n\r\nold\\,secret,0123456\n", "/q": "unused-unused-unused"])
        let loaded = try given.load().get()
        let auth = loaded.settings.auth
        #expect(auth.header.name == "authorization")
        #expect(auth.header.secrets.map(\.exposed) == ["Bearer \(Self.secret)", "old\\,secret,0123456"])
        #expect(auth.header.secretsFile == "/h")
        #expect(auth.path.secrets.map(\.exposed) == ["0123456789"])
        #expect(auth.query.secrets.map(\.exposed) == ["abcdefghijklmnop"])
        #expect(auth.query.secretsFile == nil)
        #expect(
            loaded.warnings == [
                "bridge.yaml:1:52: auth.path.secrets: secret 1 has fewer than 16 characters and may be guessed"
            ])
        #expect(!loaded.dump.contains("hunter2") && !loaded.dump.contains("0123456"))
        #expect(loaded.dump.contains("auth.header.secrets = …,…  (bridge.yaml:1:30)\n"))
        #expect(loaded.dump.contains("auth.header.secretsFile = /h  (bridge.yaml:1:30)\n"))
    }

    @Test func secretsOnTheCommandLineAreWarnedOf() throws {
        let loaded = try Given(arguments: ["--auth-header-secrets=\(Self.secret)"]).load().get()
        #expect(loaded.settings.auth.header.secrets.map(\.exposed) == [Self.secret])
        #expect(loaded.warnings.count == 1 && loaded.warnings[0].contains("every user of this machine can read"))
    }

    @Test func theSameSecretForTwoKindsIsWarnedOf() throws {
        let loaded = try Given(
            yaml: "auth: {header: {secrets: [\(Self.secret)]}, query: {secrets: [\(Self.secret)]}}"
        ).load().get()
        #expect(
            loaded.warnings == [
                "auth.header.secrets and auth.query.secrets hold the same secret: one of them is no second lock"
            ])
    }
}
