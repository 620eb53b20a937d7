import SMSBridgeAddresses
import Testing

@testable import SMSBridgeIngress

/// One way in which somebody might try to get in.
struct Attempt: Sendable {
    let name: String
    let bytes: [UInt8]

    init(_ name: String, _ bytes: [UInt8]) {
        self.name = name
        self.bytes = bytes
    }

    init(_ name: String, _ request: RawRequest) { self.init(name, request.bytes) }

    /// An attempt by other or further header lines.
    static func headers(_ name: String, _ lines: String...) -> Attempt {
        Attempt(name, RawRequest(headers: lines))
    }

    static func target(_ name: String, _ target: String, method: String = "POST") -> Attempt {
        Attempt(name, RawRequest(method: method, target: target, body: method == "GET" ? "" : RawRequest.callback))
    }
}

/// Every way of authentication against tables of attempts, through the real HTTP server: what is right gets in, and nothing
/// else. With `isEnforced` off all of it gets in, and each is counted.
@Suite struct BypassTests {
    static let header = "header-secret-0123456789"
    static let newHeader = "header-secret-9876543210"
    static let path = "path-secret-0123456789"
    static let query = "query-secret-0123456789"

    /// Attempts that have nothing to do with how a proof is written, only with which request is which. Each of them carries no
    /// proof where one is looked for.
    ///
    /// - Parameters:
    ///   - proofs: the header lines of everything that is right.
    ///   - target: where a request with them would be let in.
    static func tricks(proofs: [String], target: String) -> [Attempt] {
        let right = RawRequest(target: target, headers: proofs)
        let plain = "/webhooks/delivery-status"
        let rightText = String(decoding: right.bytes, as: UTF8.self)
        let chunked = { (extension: String, trailers: [String]) in
            RawRequest(
                headers: ["Transfer-Encoding: chunked"],
                body: String(RawRequest.callback.utf8.count, radix: 16) + `extension` + "\r\n" + RawRequest.callback
                    + "\r\n0\r\n" + trailers.map { $0 + "\r\n" }.joined() + "\r\n", saysLength: false)
        }
        var attempts: [Attempt] = [
            .target("no proof", plain), .target("no proof, GET", plain + "?" + RawRequest.parameters, method: "GET"),
            .target("no proof, by its fields", "/webhooks"),
            .target("absolute form", "http://bridge\(plain)"),
            .target("absolute form of a trusted name", "http://localhost\(plain)"),
            .target("absolute form with a user", "http://admin:admin@bridge\(plain)"),
            .target("a fragment", plain + "#\(target)"),
            .target("dot segments", "/healthz/..\(plain)"), .target("encoded dot segments", "/healthz/%2e%2e\(plain)"),
            .target("two slashes", "/\(plain)"), .target("a slash at the end", plain + "/"),
            .target("behind the probe", "/healthz\(plain)"),
            .target("the probe's name as a query", plain + "?/healthz"),
            .target("the probe's name as a parameter", plain + ";/healthz"),
            .target("a POST to the probe", "/healthz"), .target("an encoded slash", "/webhooks%2fdelivery-status"),
            .target("encoded twice", "/%2577ebhooks/delivery-status"),
            .target("a backslash", "/webhooks\\delivery-status"), .target("a NUL", plain + "%00"),
            .target("an overlong slash", "/webhooks%c0%afdelivery-status"),
            .target("in capitals", "/WEBHOOKS/delivery-status"),
            Attempt("HTTP/1.0", RawRequest(version: "HTTP/1.0")), Attempt("HTTP/0.9", Array("GET \(plain)\r\n".utf8)),
            Attempt("HTTP/2 preface", Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)),
            .headers("another method by header", "X-HTTP-Method-Override: GET"),
            .headers("another target by header", "X-Original-URL: \(target)", "X-Rewrite-URL: \(target)"),
            .headers("from inside, as it says", "X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1"),
            .headers("expecting to be asked on", "Expect: 100-continue"),
            .headers("an upgrade", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAAA"),
            Attempt("proofs as trailers", chunked("", proofs)),
            Attempt("proofs as a chunk's extension", chunked(";" + proofs.joined(separator: ";"), [])),
            Attempt("a right request in the body", RawRequest(body: rightText)),
            Attempt(
                "two lengths", RawRequest(headers: ["Content-Length: 0"] + ["Content-Length: 5"], saysLength: false)),
            Attempt(
                "a length beside chunks",
                RawRequest(
                    headers: ["Transfer-Encoding: chunked", "Content-Length: 4"], body: "0\r\n\r\n" + rightText,
                    saysLength: false)),
            Attempt(
                "chunks, as only some understand them",
                RawRequest(headers: ["Transfer-Encoding: xchunked"], body: "0\r\n\r\n" + rightText)),
            Attempt("no proof, twice on one connection", RawRequest().bytes + RawRequest().bytes),
            Attempt(
                "behind the probe, on one connection",
                Array("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".utf8) + RawRequest().bytes),
            Attempt("in the body of a probe", RawRequest(method: "GET", target: "/healthz", body: rightText)),
        ]
        attempts += ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "post", "PROPFIND"].map {
            Attempt("the method \($0)", RawRequest(method: $0))
        }
        return attempts.map { Attempt("by HTTP: \($0.name)", $0.bytes) }
    }

    /// Nothing of this gets in; in log mode all of it does that is a callback at all, and is counted.
    private func check(
        _ attempts: [Attempt], kinds: [String], atLeast count: Int = 40, accounts: [String] = ["default"],
        right: [RawRequest], _ adjust: (inout IngressConfiguration) -> Void
    ) throws {
        #expect(Set(attempts.map(\.name)).count == attempts.count, "each has a name of its own")
        #expect(attempts.count >= count)
        let server = try GuardedServer(accounts: accounts, adjust)
        defer { server.stop() }
        let open = try GuardedServer(accounts: accounts) {
            adjust(&$0)
            $0.authentication.isEnforced = false
        }
        defer { open.stop() }
        for request in right {
            let outcome = try server.send(request.bytes)
            #expect(outcome.statuses == [200] && outcome.sources.count == 1, "what is right gets in: \(outcome)")
        }
        #expect(kinds.allSatisfy { server.failures($0) == 0 })
        for attempt in attempts {
            func failures(_ server: GuardedServer) -> Int { kinds.map { server.failures($0) }.reduce(0, +) }
            let before = failures(server)
            let outcome = try server.send(attempt.bytes)
            #expect(outcome.sources.isEmpty, "\(attempt.name) got in")
            #expect(
                outcome.statuses.allSatisfy { [200, 400, 401, 404, 405, 413, 431, 501, 505].contains($0) },
                "\(attempt.name): \(outcome)")
            let refusals = outcome.statuses.filter { $0 == 401 }.count
            #expect((failures(server) > before) == (refusals > 0), "\(attempt.name) is counted by kind")

            let (counted, letIn) = (failures(open), open.metric("smsbridge_authentication_unenforced_total"))
            let logged = try open.send(attempt.bytes)
            #expect(!logged.statuses.contains(401), "\(attempt.name) in log mode: \(logged)")
            if refusals == 0 {
                #expect(logged == outcome, "\(attempt.name) in log mode")
            } else {
                #expect(failures(open) >= counted + refusals, "\(attempt.name) is counted in log mode")
                let isCallback = logged.statuses.contains(200)
                #expect(
                    !isCallback || !logged.sources.isEmpty, "\(attempt.name) is published in log mode: \(logged)")
                #expect(
                    open.metric("smsbridge_authentication_unenforced_total") == letIn + logged.sources.count,
                    "\(attempt.name) is counted as let in")
            }
        }
        // None of it has broken anything.
        for request in right { #expect(try server.send(request.bytes).statuses == [200]) }
    }

    // MARK: - The header

    static let headerAttempts: [Attempt] = {
        let name = "X-Webhook-Secret"
        let secret = header
        func value(_ what: String, _ value: String) -> Attempt { .headers(what, "\(name): \(value)") }
        let attempts: [Attempt] = [
            value("empty", ""), value("blanks", " \t "), value("wrong", "wrong"),
            value("its beginning", "\(secret.dropLast())"),
            value("its end", "\(secret.dropFirst())"), value("its first letter", "h"), value("more", secret + "x"),
            value("a NUL behind", secret + "\0"), value("a NUL before", "\0" + secret),
            value("capitals", secret.uppercased()), value("in quotes", "\"\(secret)\""),
            value("a bearer", "Bearer \(secret)"), value("basic", "Basic \(secret)"),
            value("both, by a comma", "\(secret), \(newHeader)"), value("twice, by a comma", "\(secret),\(secret)"),
            value("wrong and right, by a comma", "wrong, \(secret)"), value("by a semicolon", "\(secret); x"),
            value("half of each", "\(secret.prefix(18))\(newHeader.suffix(6))"),
            value("one character changed", secret.replacing("0", with: "O")),
            value("percent-encoded", secret.utf8.map { "%" + String($0, radix: 16) }.joined()),
            value("in hexadecimal", secret.utf8.map { String($0, radix: 16) }.joined()),
            value("a wildcard", "*"), value("a pattern", "header-secret-.*"), value("a template", "{signature}"),
            value("null", "null"), value("undefined", "undefined"), value("true", "true"),
            value("an array", "[\"\(secret)\"]"),
            value("an object", "{\"$ne\":\"\"}"), value("SQL", "' OR '1'='1"),
            value("wide letters", "ｈ" + secret.dropFirst()),
            value("a letter of Cyrillic", secret.replacing("e", with: "е")),
            value("a mark before", "\u{FEFF}" + secret),
            value("a joiner within", secret.prefix(6) + "\u{200D}" + secret.dropFirst(6)),
            value("a no-break space behind", secret + "\u{A0}"), value("a vertical tab behind", secret + "\u{0B}"),
            value("a form feed behind", secret + "\u{0C}"),
            value("a blank within", secret.prefix(6) + " " + secret.dropFirst(6)),
            value("a tab within", secret.prefix(6) + "\t" + secret.dropFirst(6)),
            value("a backspace", "x\u{08}" + secret), value("10 kB", String(repeating: "h", count: 10_000)),
            value("folded", "\(secret.prefix(6))\r\n \(secret.dropFirst(6))"),
            value("folded at once", "\r\n \(secret)"),
            value("a bare carriage return", "x\r\(name): \(secret)"),
            value("a bare line feed", "x\n\(name): \(secret)"),
            value("an encoded line", "x%0d%0a\(name): \(secret)"),
            .headers("twice", "\(name): \(secret)", "\(name): \(secret)"),
            .headers("three times", "\(name): \(secret)", "\(name): \(secret)", "\(name): \(secret)"),
            .headers("wrong, then right", "\(name): wrong", "\(name): \(secret)"),
            .headers("right, then wrong", "\(name): \(secret)", "\(name): wrong"),
            .headers("right, then empty", "\(name): \(secret)", "\(name):"),
            .headers("empty, then right", "\(name):", "\(name): \(secret)"),
            .headers("twice, in two cases", "\(name): \(secret)", "x-webhook-secret: \(secret)"),
            .headers("both secrets, one each", "\(name): \(secret)", "\(name): \(newHeader)"),
            .headers("a blank before the colon", "\(name) : \(secret)"),
            .headers("a blank before the name", " \(name): \(secret)"),
            .headers("a longer name", "\(name)s: \(secret)"), .headers("a shorter name", "X-Webhook-Secre: \(secret)"),
            .headers("underscores", "X_Webhook_Secret: \(secret)"),
            .headers("a CGI name", "HTTP_X_WEBHOOK_SECRET: \(secret)"),
            .headers("a letter of Cyrillic in the name", "X-Wеbhook-Secret: \(secret)"),
            .headers("the Kelvin sign in the name", "X-Webhoo\u{212A}-Secret: \(secret)"),
            .headers("no name", ": \(secret)"), .headers("Authorization", "Authorization: Bearer \(secret)"),
            .headers("Proxy-Authorization", "Proxy-Authorization: \(secret)"),
            .headers("a cookie", "Cookie: \(name)=\(secret)"),
            .headers("in another's value", "User-Agent: \(name): \(secret)"),
            .headers("named for removal", "Connection: \(name), close", "\(name): wrong"),
            .target("the query", "/webhooks/delivery-status?secret=\(secret)"),
            .target("the query, by the header's name", "/webhooks/delivery-status?\(name)=\(secret)"),
            .target("the path", "/webhooks/\(secret)/delivery-status"),
            Attempt("the body", RawRequest(body: "\(name): \(secret)\r\n\r\n" + RawRequest.callback)),
            Attempt("the body's parameters", RawRequest(body: "secret=\(secret)")),
        ]
        return attempts + tricks(proofs: ["\(name): \(secret)"], target: "/webhooks/delivery-status")
    }()

    @Test func theHeaderIsNotGotRound() throws {
        try check(
            Self.headerAttempts, kinds: ["header"],
            right: [Self.header, Self.newHeader].map { RawRequest(headers: ["X-Webhook-Secret: \($0)"]) }
        ) { $0.authentication.accounts[0].header = [Array(Self.header.utf8), Array(Self.newHeader.utf8)] }
    }

    // MARK: - The path

    static let pathAttempts: [Attempt] = {
        let secret = path
        func segment(_ what: String, _ text: String) -> Attempt { .target(what, "/webhooks/\(text)/delivery-status") }
        let attempts: [Attempt] = [
            segment("empty", ""), segment("wrong", "wrong"), segment("its beginning", "\(secret.dropLast())"),
            segment("its end", "\(secret.dropFirst())"), segment("its first letter", "p"),
            segment("more", secret + "x"),
            segment("capitals", secret.uppercased()), segment("encoded twice", "%25" + "70" + secret.dropFirst()),
            segment("an encoded NUL behind", secret + "%00"), segment("an encoded NUL before", "%00" + secret),
            segment("an encoded slash behind", secret + "%2f"), segment("an encoded slash before", "%2f" + secret),
            segment("an encoded type behind it", secret + "%2Fdelivery-status"),
            segment("half an escape", secret + "%"), segment("half an escape, 7", secret + "%7"),
            segment("no escape", "%zz" + secret), segment("an encoded blank", secret + "%20"),
            segment("a plus", secret + "+"),
            segment("wide letters", "%EF%BD%90" + secret.dropFirst()),
            segment("overlong", "%C1%B0" + secret.dropFirst()),
            segment("an escape of four digits", "%u0070" + secret.dropFirst()),
            segment("an entity", "&#112;" + secret.dropFirst()),
            segment("parameters", secret + ";a=b"), segment("parameters alone", ";" + secret),
            segment("two of them", "\(secret),\(secret)"),
            segment("a wildcard", "*"), segment("a pattern", ".*"), segment("a template", "{secret}"),
            segment("one dot", "."),
            segment("two dots", ".."), segment("two encoded dots", "%2e%2e"), segment("dots behind", "\(secret)/.."),
            segment("dots before", "../\(secret)"), segment("two dots, then right", "x/../\(secret)"),
            segment("two slashes before a wrong one", "/" + secret.uppercased()),
            segment("two slashes within", "\(secret.prefix(4))//\(secret.dropFirst(4))"),
            segment("two of them as two segments", "wrong/\(secret)"), segment("a backslash", "x\\\(secret)"),
            segment("the type", "delivery-status"), segment("another type", "reply"), segment("the route", "webhooks"),
            .target("in place of the type", "/webhooks/delivery-status/\(secret)"),
            .target("before the route", "/\(secret)/webhooks/delivery-status"),
            .target("the route left out", "/\(secret)/delivery-status"),
            .target("as a query", "/webhooks/delivery-status?\(secret)"),
            .target("as a parameter", "/webhooks/delivery-status?secret=\(secret)"),
            .target("a question mark before", "/webhooks/?/\(secret)/delivery-status"),
            .target("a fragment", "/webhooks/#/\(secret)/delivery-status"),
            .target("a whole URL behind", "/webhooks/http://bridge/webhooks/\(secret)/delivery-status"),
            .target("as the authority", "http://\(secret)/webhooks/delivery-status"),
            .target("as the user", "http://\(secret)@bridge/webhooks/delivery-status"),
            .headers("a header", "X-Webhook-Secret: \(secret)"),
            .headers("the address before a proxy", "X-Original-URL: /webhooks/\(secret)/delivery-status"),
            .headers("the referrer", "Referer: https://bridge/webhooks/\(secret)/delivery-status"),
            Attempt("the body", RawRequest(body: "/webhooks/\(secret)/delivery-status")),
        ]
        return attempts + tricks(proofs: [], target: "/webhooks/\(secret)/delivery-status")
    }()

    @Test func thePathIsNotGotRound() throws {
        try check(
            Self.pathAttempts, kinds: ["path"],
            right: [
                "/webhooks/\(Self.path)/delivery-status", "/webhooks/\(Self.path)",
                "/webhooks/%70\(Self.path.dropFirst())/", "/webhooks//\(Self.path)/delivery-status",
                "/webhooks/\(Self.path)//delivery-status",
            ]
            .map { RawRequest(target: $0) }
        ) { $0.authentication.accounts[0].path = [Array(Self.path.utf8)] }
    }

    /// However a path may be written that is accepted, the secret in it is compared exactly.
    @Test func aPathSecretIsExactUnderEveryAcceptedVariant() throws {
        let secret = Self.path
        let variants: [(name: String, path: (String) -> String)] = [
            ("plain", { "/webhooks/\($0)/delivery-status" }), ("no type", { "/webhooks/\($0)" }),
            ("slashes in front", { "//webhooks/\($0)/delivery-status" }),
            ("slashes before the secret", { "/webhooks///\($0)/delivery-status" }),
            ("slashes behind the secret", { "/webhooks/\($0)//delivery-status" }),
            ("slashes at the end", { "/webhooks/\($0)/delivery-status//" }),
            ("slashes at the end, no type", { "/webhooks/\($0)//" }),
            ("capitals", { "/WEBHOOKS/\($0)/DELIVERY-STATUS" }),
            ("a capital each", { "/Webhooks/\($0)/Delivery-Status" }),
            ("encoded segments", { "/%57ebhooks/\($0)/%64elivery%2Dstatus" }),
            ("absolute form", { "http://bridge//Webhooks//\($0)//Delivery-Status" }),
            ("a query of bytes from 0x80", { "/webhooks/\($0)/delivery-status?a=caf\u{E9}" }),
        ]
        let encoded = secret.utf8.map { "%" + String($0, radix: 16) }.joined()
        let wrong: [(name: String, text: String)] = [
            ("in capitals", secret.uppercased()),
            ("a capital first", secret.prefix(1).uppercased() + secret.dropFirst()),
            ("a capital last", "path-secret-0123456789".replacing("secret", with: "Secret")),
            ("encoded capitals", encoded.replacing("%70", with: "%50")), ("its beginning", String(secret.dropLast())),
            ("its end", String(secret.dropFirst())), ("one character more", secret + "0"),
            ("a slash within", secret.prefix(4) + "/" + secret.dropFirst(4)),
            ("two slashes within", secret.prefix(4) + "//" + secret.dropFirst(4)),
            ("an encoded slash behind", secret + "%2F"), ("an encoded slash before", "%2F" + secret),
            ("a blank behind", secret + "%20"), ("a NUL behind", secret + "%00"), ("a dot behind", secret + "."),
            ("a parameter behind", secret + ";a"), ("encoded twice", encoded.replacing("%", with: "%25")),
            ("empty", ""), ("a dot segment", "./\(secret)"), ("two dots", "x/../\(secret)"), ("another", "x/\(secret)"),
            ("twice", "\(secret)/\(secret)"), ("the Kelvin sign", secret.replacing("e", with: "%E2%84%AA")),
        ]
        #expect(variants.count * wrong.count >= 60)
        let server = try GuardedServer { $0.authentication.accounts[0].path = [Array(secret.utf8)] }
        defer { server.stop() }
        var attempts = 0
        for variant in variants {
            for right in [secret, encoded] {
                let outcome = try server.send(RawRequest(target: variant.path(right)).bytes)
                #expect(outcome.statuses == [200] && outcome.sources.count == 1, "\(variant.name): \(outcome)")
            }
            for (name, text) in wrong {
                let outcome = try server.send(RawRequest(target: variant.path(text)).bytes)
                #expect(outcome.sources.isEmpty, "\(name) got in as \(variant.name)")
                #expect(
                    outcome.statuses == [401] || outcome.statuses == [404], "\(name) as \(variant.name): \(outcome)")
                attempts += 1
            }
        }
        #expect(attempts == variants.count * wrong.count)
    }

    // MARK: - The query

    static let queryAttempts: [Attempt] = {
        let secret = query
        func parameter(_ what: String, _ text: String) -> Attempt {
            .target(what, "/webhooks/delivery-status?\(text)&\(RawRequest.parameters)", method: "GET")
        }
        let attempts: [Attempt] = [
            parameter("empty", "secret="), parameter("no value", "secret"), parameter("wrong", "secret=wrong"),
            parameter("its beginning", "secret=\(secret.dropLast())"),
            parameter("its end", "secret=\(secret.dropFirst())"),
            parameter("its first letter", "secret=q"), parameter("more", "secret=\(secret)x"),
            parameter("capitals", "secret=\(secret.uppercased())"),
            parameter("an encoded NUL", "secret=\(secret)%00"),
            parameter("an encoded NUL before", "secret=%00\(secret)"),
            parameter("an encoded blank", "secret=\(secret)%20"), parameter("a plus", "secret=\(secret)+"),
            parameter("an encoded line", "secret=\(secret)%0d%0a"),
            parameter("encoded twice", "secret=%2571\(secret.dropFirst())"),
            parameter("half an escape", "secret=\(secret)%"),
            parameter("an escape of four digits", "secret=%u0071\(secret.dropFirst())"),
            parameter("overlong", "secret=%C1%B1\(secret.dropFirst())"),
            parameter("wide letters", "secret=%EF%BD%91\(secret.dropFirst())"),
            parameter("in quotes", "secret=%22\(secret)%22"), parameter("twice", "secret=\(secret)&secret=\(secret)"),
            parameter("wrong, then right", "secret=wrong&secret=\(secret)"),
            parameter("right, then wrong", "secret=\(secret)&secret=wrong"),
            parameter("right, then empty", "secret=\(secret)&secret"),
            parameter("right, then in capitals", "secret=\(secret)&SECRET=\(secret)"),
            parameter("right, then encoded", "secret=\(secret)&%73ecret=x"),
            parameter("an array", "secret[]=\(secret)"),
            parameter("an encoded array", "secret%5B%5D=\(secret)"),
            parameter("an array by number", "secret[0]=\(secret)"),
            parameter("an object", "secret[$ne]=x"), parameter("a member", "secret.value=\(secret)"),
            parameter("a longer name", "secrets=\(secret)"),
            parameter("a shorter name", "secre=\(secret)"), parameter("a blank before the name", "%20secret=\(secret)"),
            parameter("a blank behind the name", "secret%20=\(secret)"),
            parameter("a NUL in the name", "secret%00=\(secret)"),
            parameter("an encoded equals sign", "secret%3D\(secret)"),
            parameter("two equals signs", "secret==\(secret)"),
            parameter("a semicolon between", "a=b;secret=\(secret)"),
            parameter("an encoded ampersand between", "a=b%26secret=\(secret)"),
            parameter("a second question mark", "?secret=\(secret)"),
            parameter("in another value", "a=secret=\(secret)"),
            parameter("an entity", "&amp;secret=\(secret)".replacing("&amp;", with: "amp;")),
            parameter("by a comma", "secret=\(secret),\(secret)"),
            parameter("a wildcard", "secret=*"), parameter("true", "secret=true"), parameter("null", "secret=null"),
            parameter("a letter of Cyrillic in the name", "s%D0%B5cret=\(secret)"),
            .target("the path", "/webhooks/\(secret)/delivery-status"),
            .target("behind an encoded question mark", "/webhooks/delivery-status%3Fsecret=\(secret)"),
            .target("path parameters", "/webhooks/delivery-status;secret=\(secret)"),
            .target("a fragment", "/webhooks/delivery-status#secret=\(secret)"),
            .headers("a header", "X-Webhook-Secret: \(secret)"), .headers("a header of that name", "secret: \(secret)"),
            .headers("a cookie", "Cookie: secret=\(secret)"),
            .headers("the referrer", "Referer: https://bridge/?secret=\(secret)"),
            Attempt(
                "a form in the body",
                RawRequest(
                    headers: ["Content-Type: application/x-www-form-urlencoded"],
                    body: "secret=\(secret)&Status=DELIVRD")),
            Attempt("JSON in the body", RawRequest(body: "{\"secret\":\"\(secret)\"}")),
        ]
        return attempts + tricks(proofs: [], target: "/webhooks/delivery-status?secret=\(secret)")
    }()

    @Test func theQueryIsNotGotRound() throws {
        try check(
            Self.queryAttempts, kinds: ["query"],
            right: [
                RawRequest(target: "/webhooks/delivery-status?secret=\(Self.query)"),
                RawRequest(
                    method: "GET",
                    target: "/webhooks/delivery-status?\(RawRequest.parameters)&Secret=%71\(Self.query.dropFirst())",
                    body: ""),
            ]
        ) { $0.authentication.accounts[0].query = [Array(Self.query.utf8)] }
    }

    // MARK: - Addresses

    /// The list that a proxy of ours would have sent on.
    private static func forwarded(_ what: String, _ lines: String...) -> Attempt {
        Attempt(what, RawRequest(headers: lines.map { "X-Forwarded-For: \($0)" }))
    }

    private static let vendor = "102.205.164.49"

    static let addressAttempts: [Attempt] = {
        let vendor = BypassTests.vendor
        let attempts: [Attempt] = [
            forwarded("somebody", "203.0.113.9"), forwarded("nobody", ""), forwarded("blanks", "  "),
            forwarded("the vendor on the left", "\(vendor), 203.0.113.9"),
            forwarded("the vendor on the left, no blank", "\(vendor),203.0.113.9"),
            forwarded("the vendor far on the left", "\(vendor), \(vendor), \(vendor), 203.0.113.9"),
            forwarded("the vendor on the left, a proxy of ours behind", "\(vendor), 203.0.113.9, 10.0.0.7"),
            forwarded("the vendor in an earlier line", vendor, "203.0.113.9"),
            forwarded("the vendor in an earlier line, a proxy of ours in a later", vendor, "203.0.113.9", "10.0.0.7"),
            forwarded("two lines, somebody in the middle", "\(vendor), 203.0.113.9", "10.0.0.7, 10.0.0.8"),
            forwarded("only proxies of ours", "10.0.0.7"),
            forwarded("only proxies of ours, two lines", "10.0.0.7", "10.0.0.8"),
            forwarded("a proxy beside ours", "\(vendor), 11.0.0.7"), forwarded("an empty member last", "\(vendor),"),
            forwarded("an empty line last", vendor, ""), forwarded("a comma", ","),
            forwarded("empty members", "\(vendor), , 10.0.0.7"),
            forwarded("a word last", "\(vendor), unknown"), forwarded("a hidden name last", "\(vendor), _hidden"),
            forwarded("a name last", "\(vendor), localhost"), forwarded("the vendor's name", "smsportal"),
            forwarded("junk last", "\(vendor), <script>"), forwarded("octal", "0146.0315.0244.061"),
            forwarded("leading zeros", "102.205.164.049"),
            forwarded("hexadecimal", "0x66.0xcd.0xa4.0x31"), forwarded("one number", "1724753969"),
            forwarded("one number, in hexadecimal", "0x66cda431"),
            forwarded("short", "102.205.42033"), forwarded("a dot behind", "\(vendor)."),
            forwarded("a dot before", ".\(vendor)"),
            forwarded("two dots", "102..205.164.49"), forwarded("five numbers", "\(vendor).1"),
            forwarded("too large", "102.205.164.305"),
            forwarded("a sign", "102.205.164.+49"), forwarded("a blank within", "102.205.164. 49"),
            forwarded("a range", "\(vendor)/32"),
            forwarded("everybody", "0.0.0.0/0"), forwarded("a wildcard", "102.205.*.*"),
            forwarded("quoted", "\"\(vendor)\""),
            forwarded("in brackets", "[\(vendor)]"), forwarded("a scheme", "http://\(vendor)"),
            forwarded("a parameter", "for=\(vendor)"),
            forwarded("a port that is none", "\(vendor):x"), forwarded("a port too large", "\(vendor):65536"),
            forwarded("no port", "\(vendor):"),
            forwarded("two ports", "\(vendor):1:2"), forwarded("compatible IPv6", "::102.205.164.49"),
            forwarded("the 6to4 prefix", "2002:66cd:a431::"),
            forwarded("NAT64", "64:ff9b::102.205.164.49"), forwarded("mapped elsewhere", "::ffff:0:102.205.164.49"),
            forwarded("a zone", "::ffff:102.205.164.49%lo"), forwarded("a zone, encoded", "fe80::1%25eth0"),
            forwarded("brackets not closed", "[::ffff:102.205.164.49"),
            forwarded("brackets not opened", "::ffff:102.205.164.49]"),
            forwarded("junk behind brackets", "[::ffff:102.205.164.49]x"), forwarded("a neighbour", "102.205.164.48"),
            forwarded("another neighbour", "102.205.164.50"), forwarded("the bytes turned round", "49.164.205.102"),
            forwarded("wide digits", "１02.205.164.49"), forwarded("Arabic digits", "١02.205.164.49"),
            forwarded("a NUL behind", "\(vendor)\0"),
            forwarded("a tab within", "102.205.164\t.49"), forwarded("a semicolon between", "203.0.113.9; \(vendor)"),
            forwarded("a blank between", "203.0.113.9 \(vendor)"),
            forwarded("very long", String(repeating: "1", count: 9_000)),
            forwarded("folded", "203.0.113.9,\r\n \(vendor)"),
            forwarded("many", Array(repeating: vendor, count: 300).joined(separator: ",") + ",203.0.113.9"),
            .headers("no list"), .headers("Forwarded", "Forwarded: for=\(vendor)"),
            .headers("X-Real-IP", "X-Real-IP: \(vendor)"),
            .headers("True-Client-IP", "True-Client-IP: \(vendor)"),
            .headers("CF-Connecting-IP", "CF-Connecting-IP: \(vendor)"),
            .headers("X-Client-IP", "X-Client-IP: \(vendor)"), .headers("a name like it", "X-Forwarded-Fo: \(vendor)"),
            .headers("underscores", "X_Forwarded_For: \(vendor)"),
            .headers("a longer name", "X-Forwarded-For2: \(vendor)"),
            .headers("the host", "X-Forwarded-Host: \(vendor)", "X-Forwarded-Server: \(vendor)"),
            .headers("as a trailer to come", "Trailer: X-Forwarded-For"),
            .headers(
                "right, and another line in other case", "X-Forwarded-For: \(vendor)", "x-forwarded-for: 203.0.113.9"),
            Attempt(
                "the PROXY protocol, unasked", Array("PROXY TCP4 \(vendor) 127.0.0.1 1 2\r\n".utf8) + RawRequest().bytes
            ),
        ]
        return attempts
            + tricks(proofs: ["X-Forwarded-For: \(vendor)"], target: "/webhooks/delivery-status")
    }()

    @Test func behindAProxyTheAddressIsNotGotRound() throws {
        let right = [
            Self.vendor, "\(Self.vendor):443", "::ffff:\(Self.vendor)", "[::ffff:102.205.164.49]:1",
            "1.2.3.4, \(Self.vendor)",
            "junk, \(Self.vendor) , 10.0.0.7,\t10.255.0.1", "::FFFF:66cd:a431", "2001:db8::5", "[2001:db8:0::5]:99",
        ].map { RawRequest(headers: ["X-Forwarded-For: \($0)"]) }
        try check(
            Self.addressAttempts, kinds: ["address"],
            right: right + [
                RawRequest(headers: [
                    "X-Forwarded-For: junk", "x-forwarded-for: \(Self.vendor)", "X-FORWARDED-FOR: 10.0.0.1",
                ])
            ]
        ) {
            $0.authentication.addresses = (VendorAddresses.texts + ["2001:db8::/64"]).compactMap {
                try? AddressRange($0)
            }
            $0.authentication.trustedProxies = ["127.0.0.1", "10.0.0.0/8"].compactMap { try? AddressRange($0) }
        }
    }

    /// Who is no proxy of ours may say what they want.
    @Test func withoutAProxyNobodysWordIsTaken() throws {
        let refused = try GuardedServer { $0.authentication.addresses = [try! AddressRange(Self.vendor)] }
        defer { refused.stop() }
        let taken = try GuardedServer { $0.authentication.addresses = [try! AddressRange("127.0.0.0/8")] }
        defer { taken.stop() }
        let claims = [Self.vendor, "203.0.113.9", "junk", "", "127.0.0.1", "10.0.0.7"]
        for claim in claims {
            let request = RawRequest(headers: ["X-Forwarded-For: \(claim)"])
            #expect(try refused.send(request.bytes) == .init(statuses: [401], sources: []), "\(claim)")
            #expect(try taken.send(request.bytes).statuses == [200], "\(claim)")
        }
        for attempt in Self.addressAttempts {
            #expect(try refused.send(attempt.bytes).sources.isEmpty, "\(attempt.name)")
        }
        #expect(try refused.send(RawRequest(method: "GET", target: "/healthz", body: "").bytes).statuses == [200])
    }

    // MARK: - The signature

    private static let signer = Signer(key: "signature-secret-0123456789")
    private static let oldSigner = Signer(key: "signature-secret-9876543210")
    private static let base = "https://sms.example.com"
    private static let plain = "/webhooks/delivery-status"

    /// A request that is signed as it should be, but for what `adjust` changes of it afterwards.
    private static func signed(
        _ what: String, method: String = "POST", target: String = plain, body: String = RawRequest.callback,
        by signer: Signer = signer,
        at timestamp: String? = nil, url: String? = nil, message: String? = nil,
        _ adjust: (inout RawRequest, String, String) -> Void = { _, _, _ in }
    ) -> Attempt {
        let timestamp = timestamp ?? "\(now)"
        let text = message ?? "v1:\(timestamp)|\(method)|\(url ?? base + target)|\(body)"
        let code = signer.hex(text)
        var request = RawRequest(
            method: method, target: target, headers: ["X-Signature: \(code)", "X-Timestamp: \(timestamp)"], body: body)
        adjust(&request, code, timestamp)
        return Attempt(what, request)
    }

    private static var now: Int64 { Signer.now }

    private static func signatureAttempts() -> [Attempt] {
        func written(_ what: String, _ write: @escaping (String) -> String) -> Attempt {
            signed(what) { request, code, _ in request.headers[0] = "X-Signature: \(write(code))" }
        }
        func time(_ what: String, _ timestamp: String) -> Attempt { signed(what, at: timestamp) }
        func headers(_ what: String, _ make: @escaping (String, String) -> [String]) -> Attempt {
            signed(what) { $0.headers = make("X-Signature: \($1)", "X-Timestamp: \($2)") }
        }
        let get = "\(plain)?\(RawRequest.parameters)"
        let attempts: [Attempt] = [
            signed("another's secret", by: Signer(key: "signature-secret-0123456780")),
            signed("an empty secret", by: Signer(key: "")),
            signed("the secret in capitals", by: Signer(key: "SIGNATURE-SECRET-0123456789")),
            signed("a NUL behind the secret", by: Signer(key: "signature-secret-0123456789\0x")),
            signed("another body") { request, _, _ in
                request.body = request.body.replacing("27123456789", with: "27123456780")
            },
            signed("a longer body") { request, _, _ in request.body += " " },
            signed("a shorter body") { request, _, _ in request.body.removeLast() },
            signed("no body") { request, _, _ in request.body = "" },
            signed("a body for an empty one", body: "") { request, _, _ in request.body = RawRequest.callback },
            signed("another route") { request, _, _ in request.target = "/webhooks/reply" },
            signed("no type in the route") { request, _, _ in request.target = "/webhooks" },
            signed("a slash at the end of the route") { request, _, _ in request.target += "/" },
            signed("a parameter more") { request, _, _ in request.target += "?a=b" },
            signed("an empty query more") { request, _, _ in request.target += "?" },
            signed("another spelling of the route") { request, _, _ in request.target = "/webhooks/%64elivery-status" },
            signed("GET for POST") { request, _, _ in request.method = "GET" },
            signed("POST for GET", method: "GET", target: get, body: "") { request, _, _ in request.method = "POST" },
            signed("another value in the query", method: "GET", target: get, body: "") { request, _, _ in
                request.target = get.replacing("DELIVRD", with: "UNDELIV")
            },
            signed("another order in the query", method: "GET", target: get, body: "") { request, _, _ in
                request.target = "\(plain)?Status=DELIVRD&ID=322004213&EventID=32433326&Phonenumber=27830123456"
            },
            signed("no query", method: "GET", target: get, body: "") { request, _, _ in request.target = plain },
            signed("the query as the body", method: "GET", target: get, body: "") { request, _, _ in
                request = RawRequest(headers: request.headers, body: RawRequest.parameters)
            },
            signed("of another host", url: "https://other.example.com\(plain)"),
            signed("of another scheme", url: "http://sms.example.com\(plain)"),
            signed("of another port", url: "https://sms.example.com:443\(plain)"),
            signed("of the path alone", url: plain), signed("of no address", url: ""),
            signed("of a fragment", url: "\(base)\(plain)#x"),
            signed("of the host in capitals", url: "https://SMS.example.com\(plain)"),
            signed("of the body alone", message: RawRequest.callback),
            signed("of the time and the body", message: "\(now).\(RawRequest.callback)"),
            signed("without v1", message: "\(now)|POST|\(base)\(plain)|\(RawRequest.callback)"),
            signed("of v2", message: "v2:\(now)|POST|\(base)\(plain)|\(RawRequest.callback)"),
            signed("of other bars", message: "v1:\(now)||POST|\(base)\(plain)|\(RawRequest.callback)"),
            signed("of nothing", message: ""),
            time("6 minutes old", "\(now - 360)"), time("6 minutes ahead", "\(now + 360)"),
            time("a year old", "\(now - 31_536_000)"), time("of 1970", "1"),
            time("0", "0"), time("below zero", "-\(now)"), time("with a plus", "+\(now)"),
            time("with leading zeros", "00\(now)"), time("as a fraction", "\(now).0"),
            time("with an exponent", "1e9"), time("in hexadecimal", "0x" + String(now, radix: 16)),
            time("in nanoseconds", "\(now)000000000"), time("in microseconds", "\(now)000000"),
            time("too large for 64 bits", "9223372036854775808"),
            time("too large for anything", String(repeating: "9", count: 100)), time("a letter behind", "\(now)s"),
            time("a text", "2026-01-01T00:00:00Z"), time("blanks within", "\(now / 10) \(now % 10)"),
            time("an empty time", ""),
            time("wide digits", "１" + "\(now)".dropFirst()),
            time("twice by a comma", "\(now),\(now)"), time("old in milliseconds", "\((now - 360) * 1_000)"),
            time("ahead in milliseconds", "\((now + 360) * 1_000)"),
            signed("another time") { request, _, timestamp in
                request.headers[1] = "X-Timestamp: \((Int(timestamp) ?? 0) - 1)"
            },
            signed("the same time in milliseconds") { request, _, timestamp in
                request.headers[1] = "X-Timestamp: \(timestamp)000"
            },
            written("empty") { _ in "" }, written("zeros") { _ in String(repeating: "0", count: 64) },
            written("cut off by one") { "\($0.dropLast())" },
            written("cut off by a byte") { "\($0.dropLast(2))" }, written("half of it") { "\($0.prefix(32))" },
            written("a byte of it") { "\($0.prefix(2))" },
            written("one more") { $0 + "0" }, written("a byte more") { $0 + "00" }, written("twice in one") { $0 + $0 },
            written("by a comma") { "\($0),\($0)" },
            written("with v1") { "v1=\($0)" }, written("a list of v1") { "v1=wrong,v1=\($0)" },
            written("with sha256") { "sha256=\($0)" }, written("with 0x") { "0x\($0)" },
            written("in quotes") { "\"\($0)\"" },
            written("with colons") { code in
                stride(from: 0, to: 64, by: 2).map { code.dropFirst($0).prefix(2) }.joined(separator: ":")
            },
            written("a blank within") { $0.prefix(32) + " " + $0.dropFirst(32) },
            written("one digit changed") { ($0.first == "0" ? "1" : "0") + $0.dropFirst() },
            written("the last digit changed") { $0.dropLast() + ($0.last == "0" ? "1" : "0") },
            written("no digit of it") { "g" + $0.dropFirst() },
            written("turned round") { String($0.reversed()) },
            written("as Base64 of the digits") { Signer.base64(Array($0.utf8)) },
            written("Base64, one padding more") { Signer.base64(Signer.bytes($0)) + "=" },
            written("Base64, cut off") { "\(Signer.base64(Signer.bytes($0)).prefix(40))" },
            written("Base64, bits left over") { code in
                let text = Signer.base64(Signer.bytes(code)).dropLast()
                let next = Signer.alphabet[((Signer.alphabet.firstIndex(of: text.last ?? "A") ?? 0) | 1)]
                return "\(text.dropLast())\(next)"
            },
            written("Base64, padding within") { "=" + Signer.base64(Signer.bytes($0)).dropLast() },
            written("a NUL behind") { $0 + "\0" },
            headers("no signature") { [$1] }, headers("no time") { signature, _ in [signature] },
            headers("neither") { _, _ in [] },
            headers("the signature twice") { [$0, $0, $1] },
            headers("a wrong signature first") { ["X-Signature: " + String(repeating: "0", count: 64), $0, $1] },
            headers("a wrong signature last") { [$0, "x-signature: " + String(repeating: "0", count: 64), $1] },
            headers("the time twice") { [$0, $1, $1] },
            headers("an old time first") { [$0, "X-Timestamp: 1", $1] },
            headers("the signature's name longer") { [$0.replacing("X-Signature", with: "X-Signature2"), $1] },
            headers("underscores") { [$0.replacing("X-Signature", with: "X_Signature"), $1] },
            headers("another header") { [$0.replacing("X-Signature", with: "Authorization"), $1] },
            headers("folded") { [$0.replacing(": ", with: ":\r\n "), $1] },
            Attempt(
                "the key itself",
                RawRequest(headers: [
                    "X-Signature: signature-secret-0123456789", "X-Timestamp: \(now)",
                    "X-Webhook-Secret: signature-secret-0123456789",
                ])),
            Attempt(
                "signed by nothing but a hash",
                RawRequest(headers: [
                    "X-Signature: \(Signer.hex(Signer.sha256(Array("signature-secret-0123456789v1:\(now)|POST|\(base)\(plain)|\(RawRequest.callback)".utf8))))",
                    "X-Timestamp: \(now)",
                ])),
        ]
        let right = signed("")
        let lines = String(decoding: right.bytes, as: UTF8.self).split(separator: "\r\n").filter { $0.hasPrefix("X-") }
            .map(String.init)
        return attempts + tricks(proofs: lines, target: plain)
    }

    private static let scheme = {
        var scheme = SignatureScheme(headerName: "X-Signature", timestampHeaderName: "X-Timestamp")
        scheme.base = base
        return scheme
    }()

    @Test func theSignatureIsNotGotRound() throws {
        func request(
            _ method: String, _ target: String, _ body: String, by signer: Signer = Self.signer, at: Int64 = Self.now,
            _ write: (String) -> String = { $0 }
        ) -> RawRequest {
            let code = signer.hex("v1:\(at)|\(method)|\(Self.base)\(target)|\(body)")
            return RawRequest(
                method: method, target: target, headers: ["x-signature:\(write(code))", "X-TIMESTAMP: \(at)"],
                body: body)
        }
        let right = [
            request("POST", Self.plain, RawRequest.callback),
            request("POST", Self.plain, RawRequest.callback, by: Self.oldSigner),
            request("GET", "\(Self.plain)?\(RawRequest.parameters)", ""),
            request("POST", "/webhooks/delivery-status/?a=%20b&", RawRequest.callback),
            request("POST", Self.plain, RawRequest.callback, at: Self.now - 200),
            request("POST", Self.plain, RawRequest.callback, at: Self.now + 200),
            request("POST", Self.plain, RawRequest.callback, at: Self.now * 1_000),
            request("POST", Self.plain, RawRequest.callback) { $0.uppercased() },
            request("POST", Self.plain, RawRequest.callback) { Signer.base64(Signer.bytes($0)) },
            request("POST", Self.plain, RawRequest.callback) {
                Signer.base64(Signer.bytes($0)).replacing("+", with: "-").replacing("/", with: "_").replacing(
                    "=", with: "")
            },
            request("POST", Self.plain, String(repeating: " ", count: 200_000) + RawRequest.callback),
        ]
        // A repeat of the very same request is the vendor's own: the event's id tells it.
        try check(Self.signatureAttempts(), kinds: ["signature"], right: right + [right[0]]) {
            $0.authentication.accounts[0].signature = [Array(Self.signer.key.utf8), Array(Self.oldSigner.key.utf8)]
            $0.authentication.signature = Self.scheme
        }
    }

    // MARK: - Accounts

    /// Every combination of proofs of one account, of another, of nobody and none at all, for all four kinds: of 256, two are
    /// right.
    @Test func proofsOfSeveralAccountsAreNotMixed() throws {
        let sources = ["A", "B", "nobody", "none"]
        func configure(_ configuration: inout IngressConfiguration) {
            configuration.authentication.accounts = ["A", "B"].map { name in
                var account = AccountSecrets()
                account.header = [Array("header-\(name)".utf8), Array("header-new-\(name)".utf8)]
                account.path = [Array("path-\(name)".utf8)]
                account.query = [Array("query-\(name)".utf8)]
                account.signature = [Array("key-\(name)".utf8)]
                return account
            }
            configuration.authentication.signature = Self.scheme
        }
        func request(_ header: String, _ path: String, _ query: String, _ signature: String) -> RawRequest {
            let target =
                "/webhooks\(path == "none" ? "" : "/path-\(path)")/delivery-status\(query == "none" ? "" : "?secret=query-\(query)")"
            var headers = header == "none" ? [] : ["X-Webhook-Secret: header-\(header)"]
            if signature != "none" {
                let now = Self.now
                headers.append(
                    "X-Signature: \(Signer(key: "key-\(signature)").hex("v1:\(now)|POST|\(Self.base)\(target)|\(RawRequest.callback)"))"
                )
                headers.append("X-Timestamp: \(now)")
            }
            return RawRequest(target: target, headers: headers)
        }
        var attempts: [Attempt] = []
        for header in sources {
            for path in sources {
                for query in sources {
                    for signature in sources
                    where !(["A", "B"].contains(header) && Set([header, path, query, signature]).count == 1) {
                        attempts.append(
                            Attempt("\(header) \(path) \(query) \(signature)", request(header, path, query, signature)))
                    }
                }
            }
        }
        try check(
            attempts, kinds: ["header", "path", "query", "signature", "account"], atLeast: 254, accounts: ["A", "B"],
            right: [request("A", "A", "A", "A"), request("B", "B", "B", "B"), request("new-A", "A", "A", "A")],
            configure)
        let server = try GuardedServer(accounts: ["A", "B"], configure)
        defer { server.stop() }
        for name in ["A", "B"] {
            #expect(try server.send(request(name, name, name, name).bytes).sources == ["/smsportal/\(name)"])
        }
    }

    // MARK: - One connection, several requests

    @Test func theProofOfOneRequestIsNotTheNextOnes() throws {
        let server = try GuardedServer { $0.authentication.accounts[0].header = [Array(Self.header.utf8)] }
        defer { server.stop() }
        let right = RawRequest(headers: ["X-Webhook-Secret: \(Self.header)"]).bytes
        let wrong = RawRequest().bytes
        #expect(try server.send(right + wrong + right).statuses == [200, 401, 200])
        #expect(try server.send(wrong + right).sources.count == 1)
        #expect(try server.send(wrong.dropLast(10) + right).sources.isEmpty, "a refused body is not waited for")
    }
}
