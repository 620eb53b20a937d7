import Testing

@testable import SMSBridgeSettings

/// What is asked of callers: signatures, addresses, several accounts, and files that are read again.
@Suite struct AuthenticationTests {
    private static let files = [
        "/a": "secret-of-a-0123456789", "/b": "secret-of-b-0123456789", "/c": "secret-of-c-0123456789",
        "/hex": "00ff10Ab", "/base64": "AAECAw==", "/empty": "",
        "/two": "old-secret-0123456789\nnew-secret-0123456789\n",
    ]
    private static let signature =
        "secretsFile: /a, header: X-Sig, timestampHeader: X-Time, baseUrl: 'https://sms.example.com'"

    private static func auth(_ yaml: String) -> Given {
        Given(yaml: "kafka: {bootstrapServers: a:1}\nauth: {\(yaml)}", files: files, needs: .serve)
    }

    @Test(arguments: [
        (
            "signature: {secretsFile: /a, timestampHeader: X-Time, baseUrl: 'https://a.b'}",
            "auth.signature.header: is required"
        ),
        (
            "signature: {secretsFile: /a, header: X-Sig, baseUrl: 'https://a.b'}",
            "auth.signature.timestampHeader: is required, or {timestamp}"
        ),
        (
            "signature: {secretsFile: /a, header: X-Sig, timestampHeader: X-Time}",
            "auth.signature.baseUrl: is required with {base}"
        ),
        (
            "signature: {\(signature), value: 't={timestamp},v1={signature}'}",
            "auth.signature.timestampHeader: is given, yet"
        ),
        (
            "signature: {secretsFile: /a, header: X-Sig, timestampHeader: x-sig, baseUrl: 'https://a.b'}",
            "auth.signature.timestampHeader: is auth.signature.header"
        ),
        (
            "header: {name: x-sig, secretsFile: /b}, signature: {\(signature)}",
            "auth.signature.header: is auth.header.name"
        ),
        ("signature: {\(signature), value: 'v1={sig}'}", "auth.signature.value: expected a text with {signature} once"),
        (
            "signature: {\(signature), value: {signature}}",
            "auth.signature.value: expected a text with {signature} once"
        ),
        ("signature: {\(signature), value: 'v1='}", "{signature} is missing"),
        ("signature: {\(signature), value: '{signature}{signature}'}", "{signature} is there twice"),
        ("signature: {\(signature), value: '{any}{signature}'}", "a text stands between two places"),
        ("signature: {\(signature), value: '{signature'}", "a brace is not closed"),
        ("signature: {\(signature), value: '{signature}v1'}", "what follows {signature} would be a part of it"),
        (
            "signature: {\(signature), value: '{timestamp}0{signature}'}",
            "a digit after {timestamp} would be a part of it"
        ),
        ("signature: {\(signature), signed: '{timestamp}{body}'}", "{url} is missing"),
        ("signature: {\(signature), signed: '{url}{body}'}", "{timestamp} is missing"),
        ("signature: {\(signature), signed: '{timestamp}{url}'}", "{body} is missing"),
        ("signature: {\(signature), url: '{base}'}", "{path} or {tail} is missing"),
        (
            "signature: {\(signature), url: '{host}{path}'}",
            "{host} is unknown: {base}, {path}, {tail}, {query} are known"
        ),
        ("signature: {\(signature), encoding: base32}", "auth.signature.encoding: expected one of auto, hex, base64"),
        ("signature: {\(signature), window: 0s}", "auth.signature.window: expected a duration"),
        ("signature: {\(signature), timestampUnit: us}", "expected one of auto, s, ms"),
        (
            "signature: {\(signature), keyEncoding: hex}",
            "auth.signature.keyEncoding: is hex, and a secret for signatures is not"
        ),
        (
            "signature: {\(signature), keyEncoding: base64}",
            "auth.signature.keyEncoding: is base64, and a secret for signatures is not"
        ),
        (
            "signature: {secretsFile: /a, header: X-Sig, timestampHeader: X-Time, baseUrl: 'sms.example.com'}",
            "it begins with https://"
        ),
        (
            "signature: {secretsFile: /a, header: X-Sig, timestampHeader: X-Time, baseUrl: 'https://a.b/'}",
            "it does not end with a slash"
        ),
        (
            "signature: {secretsFile: /a, header: X-Sig, timestampHeader: X-Time, baseUrl: 'https://a.b?c'}",
            "it has no query, fragment or user"
        ),
        (
            "signature: {secretsFile: /a, header: X Sig, timestampHeader: X-Time, baseUrl: 'https://a.b'}",
            "auth.signature.header: expected nothing, or the name of an HTTP header"
        ),
        ("signature: {secretsFile: /none}", "cannot read /none"),
        ("signature: {secretsFile: /empty}", "/empty holds no secret"),
        ("addresses: [SMSPortal]", "did you mean smsportal?"), ("addresses: [10.0.0.1/8]", "10.0.0.0/8 is the range"),
        ("addresses: [sms.example.com]", "not an IPv4 or IPv6 address"),
        ("addresses: [smsportal, smsportal]", "\"smsportal\" is given twice"),
        ("none: true, addresses: [smsportal]", "auth.none: is true, yet auth.addresses is given"),
        ("none: true, mode: log", "auth.mode: is log, yet auth.none is true"),
        ("mode: observe", "auth.mode: expected one of enforce, log"), ("mode: log", "no authentication is configured"),
        ("header: {accounts: {a: /a, b: /b}}, path: {accounts: {a: /c}}", "auth.path.accounts: has no secret for b"),
        ("header: {accounts: {a: /a, b: /b}}, path: {secretsFile: /c}", "auth.path.secrets: is of no account"),
        ("header: {secretsFile: /c, accounts: {a: /a}}", "auth.header.secrets: is of no account"),
        ("header: {accounts: {a: /a, b: /a}}", "auth.header.accounts: a and b have the same secret"),
        ("header: {accounts: {a: /none}}", "auth.header.accounts.a: cannot read /none"),
        ("header: {accounts: {a: /empty, b: /b}}", "auth.header.accounts.a: /empty holds no secret"),
        ("header: {accounts: {a/b: /a}}", "auth.header.accounts: expected 1 to 64 letters"),
        ("header: {accounts: /a}", "expected a mapping"),
        ("none: true, query: {accounts: {a: /a}}", "auth.none: is true, yet auth.query.accounts is given"),
        (
            "signature: {accounts: {\((1...9).map { "a\($0): /\($0)" }.joined(separator: ", "))}, header: S, timestampHeader: T, baseUrl: 'https://a.b'}",
            "expected at most 8 accounts where the signature alone tells them apart, found 9"
        ),
    ])
    func whatIsWrongIsTold(yaml: String, says: String) {
        var given = Self.auth(yaml)
        for number in 1...9 { given.files["/\(number)"] = "secret-number-\(number)-0123456789" }
        guard case .failure(let failure) = given.load() else {
            Issue.record("accepted: \(yaml)")
            return
        }
        #expect(failure.description.contains(says), "\(failure)")
        #expect(failure.problems.count == 1, "\(failure)")
        #expect(!failure.description.contains("secret-of"), "\(failure)")
    }

    @Test(arguments: [
        ("addresses: [smsportal]", "auth.addresses is the only proof"),
        ("mode: log, header: {secretsFile: /a}", "ALL requests are accepted"),
        ("signature: {\(signature), url: '{base}{path}'}", "auth.signature.url has no {query}"),
        ("header: {secretsFile: /b}, signature: {window: 1m}", "auth.signature.window has no effect"),
        (
            "header: {secretsFile: /a}, signature: {\(signature)}",
            "auth.header.secrets and auth.signature.secrets hold the same secret"
        ),
    ])
    func whatIsDoubtfulIsSaid(yaml: String, says: String) throws {
        let loaded = try Self.auth(yaml).load().get()
        #expect(loaded.warnings.count == 1 && loaded.warnings[0].contains(says), "\(loaded.warnings)")
    }

    @Test func accountsHaveSecretsOfTheirOwn() throws {
        let yaml =
            "header: {accounts: {b: /b, a: /two}}, signature: {accounts: {a: /a, b: /c}, header: S, value: 't={timestamp},v1={signature}', baseUrl: 'https://a.b'}"
        let loaded = try Self.auth(yaml).load().get()
        let auth = loaded.settings.auth
        #expect(loaded.warnings.isEmpty && auth.isConfigured)
        #expect(auth.accountNames == ["a", "b"])
        #expect(
            auth.header.secrets(of: ["a", "b"]).map { $0.map(\.exposed) } == [
                ["old-secret-0123456789", "new-secret-0123456789"], ["secret-of-b-0123456789"],
            ])
        #expect(
            auth.signature.secrets(of: ["a", "b"]).map(\.count) == [1, 1]
                && auth.path.secrets(of: ["a", "b"]).map(\.count) == [0, 0])
        #expect(!loaded.dump.contains("secret-of"))
        let environment = try Given(environment: ["SMSBRIDGE_AUTH_HEADER_ACCOUNTS": "a=/a,b=/b"], files: Self.files)
            .load().get()
        #expect(environment.settings.auth.accountNames == ["a", "b"])
        #expect(BridgeSettings().auth.header.secrets(of: []) == [[]])
    }

    @Test(
        arguments: [
            ("text", "a b", [97, 32, 98]), ("hex", "00ff10Ab", [0, 255, 16, 171]),
            ("base64", "AAECAw==", [0, 1, 2, 3]), ("base64", "AAECAw", [0, 1, 2, 3]), ("base64", "_-8", [255, 239]),
            ("base64", "/+8=", [255, 239]),
        ] as [(String, String, [UInt8])])
    func aKeyIsWhatItsTextMeans(encoding: String, text: String, key: [UInt8]) throws {
        var signature = BridgeSettings.Auth.Signature()
        signature.keyEncoding = try #require(.init(rawValue: encoding))
        #expect(signature.key(Secret(text)) == key)
    }

    @Test(arguments: [
        ("hex", ""), ("hex", "abc"), ("hex", "0g"), ("hex", "é0"), ("base64", ""), ("base64", "A"), ("base64", "AA="),
        ("base64", "AAAAA"), ("base64", "AB=="), ("base64", "A A="), ("base64", "===="),
    ])
    func whatIsNoKeyIsNone(encoding: String, text: String) throws {
        var signature = BridgeSettings.Auth.Signature()
        signature.keyEncoding = try #require(.init(rawValue: encoding))
        #expect(signature.key(Secret(text)) == nil)
    }

    // MARK: - Files that are read again

    private static func again(_ settings: BridgeSettings, _ files: [String: String]) -> Result<
        BridgeSettings, SettingsFailure
    > {
        let contents = files.mapValues { Array($0.utf8) }
        do throws(SettingsFailure) {
            return .success(
                try SecretFiles(settings).read(
                    into: settings,
                    readFile: { path in
                        contents[path].map { .success($0) }
                            ?? .failure(FileFailure(reason: "No such file or directory"))
                    }))
        } catch {
            return .failure(error)
        }
    }

    @Test func filesAreReadAgainAndNothingElseChanges() throws {
        let yaml = """
            kafka: {bootstrapServers: a:1, propertyFiles: {sasl.password: /c, ssl.key.password: /b}, properties: {sasl.username: u}}
            auth: {header: {secretsFile: /a}, path: {secrets: [path-secret-0123456789]}, signature: {secretsFile: /b, header: S, timestampHeader: T, baseUrl: 'https://a.b'}}
            """
        let settings = try Given(yaml: yaml, files: Self.files, needs: .serve).load().get().settings
        #expect(!SecretFiles(settings).isEmpty)
        #expect(try Self.again(settings, Self.files).get() == settings)
        var files = Self.files
        files["/a"] = "changed-0123456789\nsecret-of-a-0123456789\n"
        files["/c"] = "new password"
        let read = try Self.again(settings, files).get()
        #expect(read.auth.header.secrets.map(\.exposed) == ["changed-0123456789", "secret-of-a-0123456789"])
        #expect(read.kafka.properties[name: "sasl.password"]?.exposed == "new password")
        var expected = settings
        expected.auth.header.secrets = read.auth.header.secrets
        expected.kafka.properties[name: "sasl.password"] = Secret("new password")
        #expect(read == expected)
        // The file of a signature's secret, and of the password of a certificate's key.
        files["/b"] = "changed-b-0123456789"
        expected.auth.signature.secrets = [Secret("changed-b-0123456789")]
        expected.kafka.properties[name: "ssl.key.password"] = Secret("changed-b-0123456789")
        #expect(try Self.again(settings, files).get() == expected)
    }

    @Test(
        arguments: [
            ("/a", nil, "auth.header.accounts.a: cannot read /a: No such file or directory"),
            ("/a", "", "/a holds no secret"), ("/a", "\n\n", "/a holds no secret"),
            ("/a", "1-secret-0123456789\n2-secret-0123456789\n3-secret-0123456789", "at most 2 secrets"),
            ("/a", "sécret-0123456789", "other than printable ASCII"),
            ("/a", " secret-0123456789", "begins or ends with a space"),
            ("/a", "secret-of-b-0123456789", "a and b have the same secret"),
            ("/a", "twice-0123456789\ntwice-0123456789", "is the same as"),
        ] as [(String, String?, String)])
    func whatCannotBeUsedIsNotUsed(path: String, content: String?, says: String) throws {
        let settings = try Self.auth("header: {accounts: {a: /a, b: /b}}").load().get().settings
        var files = Self.files
        files[path] = content
        guard case .failure(let failure) = Self.again(settings, files) else {
            Issue.record("taken: \(content ?? "none")")
            return
        }
        #expect(failure.description.contains(says) && !failure.description.contains("0123456789"), "\(failure)")
    }

    /// What `--auth-header-secrets-file <(…)` gives can be read but once.
    @Test func aPipeIsNotReadAgain() {
        var settings = BridgeSettings()
        settings.auth.header.secretsFile = "/dev/null"
        #expect(SecretFiles(settings).isEmpty)
        settings.auth.header.secretsFile = #filePath
        #expect(!SecretFiles(settings).isEmpty)
    }

    @Test func whoHasNoFilesReadsNone() throws {
        #expect(SecretFiles(BridgeSettings()).isEmpty)
        let settings = try Self.auth("header: {secrets: [header-secret-0123456789]}").load().get().settings
        #expect(SecretFiles(settings).isEmpty)
        #expect(try Self.again(settings, [:]).get() == settings)
    }
}
