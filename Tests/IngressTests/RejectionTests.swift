import Foundation
import SMSBridgeAddresses
import SMSBridgeHTTPServer
import Testing

@testable import SMSBridgeIngress

/// Requests that are rejected are counted and logged with their reason, and those that are callbacks are told from scans.
@Suite struct RejectionTests {
    private static let secret = "header-secret-0123456789"
    private static let pathSecret = "path-secret-0123456789"
    private static let querySecret = "query-secret-0123456789"
    private static let right = "X-Webhook-Secret: \(secret)"
    private static let plain = "/webhooks/delivery-status"

    struct Line: Decodable {
        let level: String
        let message: String
        let status: Int
        let rule: String
        let method: String
        let route: String
        let proof: String
        let client: String
        let count: Int
        let requestId: String
    }

    private func lines(_ server: GuardedServer) throws -> [Line] {
        try server.logLines.map { try JSONDecoder().decode(Line.self, from: Data($0.utf8)) }
    }

    /// A request that is rejected, and what is to be told of it.
    struct Case: Sendable {
        let name: String
        let bytes: [UInt8]
        let status: Int
        let rule: String
        let proof: String
        let route: String
        /// `valid` or `invalid` where it counts as a callback.
        let secret: String?

        init(
            _ name: String, _ request: RawRequest, _ status: Int, _ rule: String, _ proof: String,
            route: String = plain,
            secret: String?
        ) {
            self.init(name, request.bytes, status, rule, proof, route: route, secret: secret)
        }

        init(
            _ name: String, _ bytes: [UInt8], _ status: Int, _ rule: String, _ proof: String, route: String = plain,
            secret: String?
        ) {
            (self.name, self.bytes, self.status, self.rule) = (name, bytes, status, rule)
            (self.proof, self.route, self.secret) = (proof, route, secret)
        }
    }

    private static func raw(_ text: String) -> [UInt8] { Array(text.utf8) }

    static let headerCases: [Case] = [
        Case("no secret", RawRequest(), 401, "unauthorized", "header:missing", secret: "invalid"),
        Case(
            "a wrong secret", RawRequest(headers: ["X-Webhook-Secret: wrong"]), 401, "unauthorized", "header:wrong",
            secret: "invalid"),
        Case(
            "the secret twice", RawRequest(headers: [right, right]), 401, "unauthorized", "header:repeated",
            secret: "valid"),
        Case(
            "a mistyped route", RawRequest(target: "/webhook/delivery_status", headers: [right]), 404, "no-route",
            "header:valid", route: "/webhook/delivery_status", secret: "valid"),
        Case(
            "another route", RawRequest(target: "/sms/incoming/27831234567", headers: [right]), 404, "no-route",
            "header:valid", route: "/…/…/…", secret: "valid"),
        Case(
            "the root", RawRequest(target: "/", headers: [right]), 404, "no-route", "header:valid", route: "/",
            secret: "valid"),
        Case(
            "a type that does not exist", RawRequest(target: "/webhooks/replies"), 404, "no-route", "header:missing",
            route: "/webhooks/…", secret: "invalid"),
        Case(
            "a scan", RawRequest(method: "GET", target: "/wp-login.php", body: ""), 404, "no-route", "header:missing",
            route: "/…", secret: nil),
        Case(
            "another method", RawRequest(method: "PUT", headers: [right]), 405, "method-not-allowed", "header:valid",
            secret: "valid"),
        Case(
            "no host", raw("POST \(plain) HTTP/1.1\r\n\(right)\r\nContent-Length: 0\r\n\r\n"), 400, "host-missing",
            "header:valid", secret: "valid"),
        Case(
            "a blank in the target", raw("GET \(plain)?a=b c HTTP/1.1\r\nHost: a\r\n\(right)\r\n\r\n"), 400, "version",
            "header:valid", secret: "valid"),
        Case(
            "lines without carriage returns", raw("GET \(plain) HTTP/1.1\nHost: a\n\(right)\n\n"), 400, "bare-lf",
            "header:valid", secret: "valid"),
        Case(
            "two lengths", RawRequest(headers: [right, "Content-Length: 1"]), 400, "length-repeated", "header:valid",
            secret: "valid"),
        Case(
            "a blank before the colon",
            raw("GET \(plain) HTTP/1.1\r\nHost: a\r\nX-Webhook-Secret : \(secret)\r\n\r\n"), 400,
            "space-before-colon", "header:valid", secret: "valid"),
        Case(
            "a chunk that is none",
            RawRequest(headers: [right, "Transfer-Encoding: chunked"], body: "zz\r\n", saysLength: false), 400,
            "chunk-size", "header:valid", secret: "valid"),
        Case(
            "TLS on a port without TLS", raw("\u{16}\u{3}\u{1}\r\n\r\n"), 400, "tls", "header:missing", route: "/",
            secret: nil),
        Case(
            "HTTP/2 without TLS", raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 400, "http2", "header:missing",
            route: "/…", secret: nil),
        Case(
            "no HTTP at all", raw("\u{16}\u{4}\u{1}\r\n\r\n"), 400, "method", "header:missing", route: "/", secret: nil),
        Case(
            "a body too large", RawRequest(headers: [right, "Content-Length: 999999999"], body: "", saysLength: false),
            413,
            "body-too-large", "header:valid", secret: "valid"),
        Case(
            "a target too long",
            RawRequest(method: "GET", target: plain + "?a=" + String(repeating: "x", count: 70_000)),
            414, "target-too-long", "header:missing", secret: "invalid"),
        Case(
            "an unknown expectation", RawRequest(headers: [right, "Expect: tea"]), 417, "expectation", "header:valid",
            secret: "valid"),
        Case(
            "headers too large", RawRequest(headers: [right, "X: " + String(repeating: "x", count: 20_000)]), 431,
            "headers-too-large", "header:valid", secret: "valid"),
        Case(
            "too many headers", RawRequest(headers: [right] + Array(repeating: "X: y", count: 200)), 431,
            "too-many-headers", "header:valid", secret: "valid"),
    ]

    private func check(_ cases: [Case], _ adjust: @escaping (inout IngressConfiguration) -> Void) throws {
        for expected in cases {
            // A server each, so that no line is held back.
            let server = try GuardedServer(adjust)
            let answer = try server.answers(expected.bytes)
            server.stop()
            #expect(answer.hasPrefix("HTTP/1.1 \(expected.status) "), "\(expected.name): \(answer)")
            let lines = try lines(server)
            let line = try #require(lines.first, "\(expected.name) is logged")
            #expect(lines.count == 1)
            #expect(line.message == "request rejected")
            #expect(line.status == expected.status && line.rule == expected.rule, "\(expected.name): \(line)")
            #expect(line.proof == expected.proof && line.route == expected.route, "\(expected.name): \(line)")
            #expect(line.level == (expected.secret == nil ? "info" : "warning") && line.count == 1)
            #expect(line.client == "127.0.0.1")
            #expect(answer.contains("\r\nX-Request-Id: \(line.requestId)\r\n"), "\(expected.name): \(answer)")
            func count(_ secret: String) -> Int {
                server.metric(
                    "smsbridge_callbacks_rejected_total{status=\"\(expected.status)\",secret=\"\(secret)\"}")
            }
            #expect(count("valid") == (expected.secret == "valid" ? 1 : 0), "\(expected.name)")
            #expect(count("invalid") == (expected.secret == "invalid" ? 1 : 0), "\(expected.name)")
            #expect(server.metric("smsbridge_http_responses_total{status=\"\(expected.status)\"}") == 1)
            for secret in [Self.secret, Self.pathSecret, Self.querySecret, "27831234567"] {
                #expect(!server.logLines.joined().contains(secret), "\(expected.name) shows a secret")
            }
        }
    }

    @Test func aRejectedRequestIsLoggedWithItsReason() throws {
        try check(Self.headerCases) { $0.authentication.accounts[0].header = [Array(Self.secret.utf8)] }
    }

    @Test func secretsInPathAndQueryAreRecognizedAndNeverShown() throws {
        try check([
            Case(
                "the path secret before a wrong type", RawRequest(target: "/webhooks/\(Self.pathSecret)/replies"), 404,
                "no-route", "path:valid", route: "/webhooks/…/…", secret: "valid"),
            Case(
                "the path secret in the wrong place", RawRequest(target: "/\(Self.pathSecret)/reply"), 404, "no-route",
                "path:valid", route: "/…/reply", secret: "valid"),
            Case(
                "the path secret, encoded", RawRequest(target: "/hooks/%70\(Self.pathSecret.dropFirst())"), 404,
                "no-route", "path:valid", route: "/…/…", secret: "valid"),
            Case(
                "no path secret", RawRequest(), 401, "unauthorized", "path:missing", secret: "invalid"),
            Case(
                "the path secret in capitals", RawRequest(target: "/webhooks/\(Self.pathSecret.uppercased())/reply"),
                401,
                "unauthorized", "path:missing", route: "/webhooks/…/reply", secret: "invalid"),
        ]) { $0.authentication.accounts[0].path = [Array(Self.pathSecret.utf8)] }
        try check([
            Case(
                "the query secret on a wrong path", RawRequest(target: "/reply?secret=\(Self.querySecret)&a=b"), 404,
                "no-route", "query:valid", route: "/reply", secret: "valid"),
            Case(
                "the query secret twice",
                RawRequest(target: "\(Self.plain)?secret=\(Self.querySecret)&secret=\(Self.querySecret)"), 401,
                "unauthorized", "query:repeated", secret: "valid"),
            Case(
                "the query secret in a request without a host",
                Array("GET \(Self.plain)?secret=\(Self.querySecret) HTTP/1.1\r\n\r\n".utf8), 400, "host-missing",
                "query:valid", secret: "valid"),
        ]) { $0.authentication.accounts[0].query = [Array(Self.querySecret.utf8)] }
    }

    @Test func aSignatureIsRecognizedOnAWrongPath() throws {
        let signer = Signer(key: "signature-secret-0123456789")
        func signed(_ method: String, _ target: String, _ body: String) -> RawRequest {
            let now = Signer.now
            let code = signer.hex("v1:\(now)|\(method)|https://sms.example.com\(target)|\(body)")
            return RawRequest(
                method: method, target: target, headers: ["X-Signature: \(code)", "X-Timestamp: \(now)"], body: body)
        }
        var wrong = signed("POST", "/reply", RawRequest.callback)
        wrong.body += " "
        try check([
            Case(
                "a signed POST", signed("POST", "/reply", RawRequest.callback), 404, "no-route", "signature:valid",
                route: "/reply", secret: "valid"),
            Case(
                "a signed GET", signed("GET", "/reply?\(RawRequest.parameters)", ""), 404, "no-route",
                "signature:valid",
                route: "/reply", secret: "valid"),
            Case(
                "a POST signed for another body", wrong, 404, "no-route", "signature:wrong", route: "/reply",
                secret: nil),
            Case(
                "no signature", RawRequest(target: "/reply"), 404, "no-route", "signature:missing", route: "/reply",
                secret: nil),
        ]) {
            $0.authentication.accounts[0].signature = [Array(signer.key.utf8)]
            var scheme = SignatureScheme(headerName: "X-Signature", timestampHeaderName: "X-Timestamp")
            scheme.base = "https://sms.example.com"
            $0.authentication.signature = scheme
        }
    }

    /// A vendor that calls from a new address, with the right secret.
    @Test func aRightSecretFromAWrongAddressCounts() throws {
        try check([
            Case(
                "a new address", RawRequest(headers: [Self.right]), 401, "unauthorized", "header:valid,address:wrong",
                secret: "valid")
        ]) {
            $0.authentication.accounts[0].header = [Array(Self.secret.utf8)]
            $0.authentication.addresses = VendorAddresses.texts.compactMap { try? AddressRange($0) }
        }
        // Where no secret is asked for, the address is the proof.
        try check([
            Case(
                "an address", RawRequest(target: "/reply"), 404, "no-route", "address:valid", route: "/reply",
                secret: "valid")
        ]) { $0.authentication.addresses = [try! AddressRange("127.0.0.0/8")] }
        try check([
            Case(
                "nothing asked for", RawRequest(target: "/reply"), 404, "no-route", "none", route: "/reply", secret: nil
            ),
            Case(
                "a callback all the same", RawRequest(target: "/webhooks/replies"), 404, "no-route", "none",
                route: "/webhooks/…", secret: "invalid"),
        ]) { _ in }
    }

    @Test func aRequestOfTheVendorsAddressIsACallbackWhateverItsPath() throws {
        let server = try GuardedServer {
            $0.authentication.accounts[0].header = [Array(Self.secret.utf8)]
            $0.authentication.trustedProxies = [try! AddressRange("127.0.0.1")]
        }
        _ = try server.answers(
            RawRequest(target: "/hooks", headers: ["X-Forwarded-For: \(VendorAddresses.texts[0])"]).bytes)
        server.stop()
        #expect(server.metric(#"smsbridge_callbacks_rejected_total{status="404",secret="invalid"}"#) == 1)
        #expect(try lines(server).map(\.client) == [VendorAddresses.texts[0]])
    }

    @Test func aReasonIsLoggedOnceInAWhileWithItsCount() throws {
        let server = try GuardedServer { $0.authentication.accounts[0].header = [Array(Self.secret.utf8)] }
        for _ in 0..<25 { _ = try server.answers(RawRequest(target: "/reply", headers: [Self.right]).bytes) }
        for _ in 0..<7 { _ = try server.answers(RawRequest().bytes) }
        #expect(try lines(server).map(\.count) == [1, 1])
        server.stop()
        let lines = try lines(server)
        #expect(lines.count == 4, "what was counted is logged at the latest when the process ends")
        #expect(lines.filter { $0.status == 404 }.map(\.count).reduce(0, +) == 25)
        #expect(lines.filter { $0.status == 401 }.map(\.count).reduce(0, +) == 7)
        #expect(Set(lines.map(\.requestId)).count == 4)
    }

    @Test func everyAnswerHasARequestIDOfItsOwn() throws {
        let server = try GuardedServer { _ in }
        var ids: Set<String> = []
        for _ in 0..<3 {
            let answers = try server.answers(
                RawRequest().bytes + RawRequest(target: "/healthz").bytes + RawRequest().bytes)
            for line in answers.split(separator: "\r\n") where line.hasPrefix("X-Request-Id: ") {
                ids.insert(String(line.dropFirst(14)))
            }
        }
        server.stop()
        #expect(ids.count == 9, "\(ids)")
        #expect(Set(ids.map { $0.prefix(8) }).count == 1)
    }

    struct Access: Decodable {
        let message: String
        let status: Int
        let method: String
        let route: String
        let client: String
        let bytes: Int
        let durationMs: Double
        let requestId: String
    }

    @Test func oneOfSoManyRequestsIsLogged() throws {
        let server = try GuardedServer { $0.accessSample = 3 }
        for _ in 0..<9 { _ = try server.answers(RawRequest().bytes) }
        server.stop()
        let lines = try server.logLines.map { try JSONDecoder().decode(Access.self, from: Data($0.utf8)) }
        #expect(lines.count == 3)
        for line in lines {
            #expect(line.message == "request" && line.status == 200 && line.method == "POST")
            #expect(line.route == Self.plain && line.client == "127.0.0.1" && line.bytes == RawRequest().bytes.count)
            #expect(line.durationMs >= 0 && line.durationMs < 60_000 && !line.requestId.isEmpty)
        }
    }

    /// What the reader for the log makes of anything at all stays within the bytes.
    @Test(arguments: [1, 2, 3] as [UInt64]) func anyBytesCanBeLookedAt(seed: UInt64) {
        var state = seed
        func random(below bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        let pieces = [
            "GET ", "/", "//", "?", " HTTP/1.1", "\r\n", "\n", "\r", ":", " ", "\t", "x", "%", "%41", "http://",
            "https:",
            "X-Webhook-Secret", "webhooks", "\u{0}", "é", "&secret=",
        ]
        let router = Router(basePath: "/sms")
        for _ in 0..<20_000 {
            let bytes = Array((0..<random(below: 14)).map { _ in pieces[random(below: pieces.count)] }.joined().utf8)
            let head = LooseHead(bytes.span.bytes)
            for cut in head.segments + [head.path, head.query, head.method]
                + head.values(of: Array("x".utf8), in: bytes.span.bytes)
            {
                #expect(cut.offset >= 0 && cut.count >= 0 && cut.end <= bytes.count, "seed \(seed): \(bytes)")
            }
            #expect(head.segments.allSatisfy { !$0.isEmpty })
            _ = router.shown(head, bytes.span.bytes)
        }
    }
}
