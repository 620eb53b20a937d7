import CSMSBridgeOpenSSL
import SMSBridgeHTTPServer
import Testing

@testable import SMSBridgeIngress

@Suite struct SignatureTests {
    /// RFC 4231, test cases 1 to 4, 6 and 7.
    @Test(arguments: [
        (
            [UInt8](repeating: 0x0B, count: 20), "Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        ),
        (
            Array("Jefe".utf8), "what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        ),
        (
            [UInt8](repeating: 0xAA, count: 131), "Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        ),
        (
            [UInt8](repeating: 0xAA, count: 131),
            "This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.",
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"
        ),
    ])
    func theCodeIsThatOfTheStandard(key: [UInt8], message: String, code: String) {
        let expected = Signer.bytes(code)
        let text = Array(message.utf8)
        // However it is cut.
        for cut in [0, 1, text.count / 2, text.count] {
            for wrong in [nil, 0, 31] as [Int?] {
                var code = InlineArray<32, UInt8> { expected[$0] }
                if let wrong { code[wrong] ^= 1 }
                let isRight = HMACKey(key).authenticates(code) { update in
                    update(text.span.bytes.extracting(0..<cut))
                    update(text.span.bytes.extracting(cut..<text.count))
                }
                #expect(isRight == (wrong == nil))
            }
        }
        #expect(
            Signer.hex(Signer(key: String(decoding: key, as: UTF8.self)).code(text)) == code
                || key.contains { $0 > 0x7F })
    }

    private static let now: Int64 = 1_735_711_200
    private static let body = #"{"Status":"DELIVRD"}"#

    /// Whether a request is taken that carries `headers` and is signed over `message`.
    private func isTaken(
        _ scheme: SignatureScheme, method: String = "POST", target: String, headers: (String) -> [String],
        message: String, baseSegments: Int = 0
    ) throws -> Bool {
        let check = try #require(SignatureCheck(scheme, secrets: [[Array("key".utf8)]], baseSegments: baseSegments))
        let code = Signer(key: "key").hex(message)
        let bytes =
            Array((["\(method) \(target) HTTP/1.1", "Host: a"] + headers(code)).joined(separator: "\r\n").utf8)
            + Array("\r\n\r\n".utf8)
        var parser = RequestParser(limits: RequestParser.Limits())
        try #require(parser.next(bytes.span.bytes) == .head)
        let body = Array(Self.body.utf8)
        guard let claim = check.claim(parser.head, bytes.span.bytes, now: Self.now * 1_000) else { return false }
        return check.owner(of: claim, parser.head, bytes.span.bytes, body: body.span.bytes, among: nil) == 0
    }

    private func scheme(_ value: String = "{signature}", _ adjust: (inout SignatureScheme) -> Void = { _ in })
        -> SignatureScheme
    {
        var scheme = SignatureScheme(
            headerName: "X-Sig", timestampHeaderName: value.contains("{timestamp}") ? nil : "X-Time")
        scheme.value = value
        scheme.base = "https://sms.example.com"
        adjust(&scheme)
        return scheme
    }

    @Test(arguments: [
        ("{signature}", "CODE", true), ("sha256={signature}", "sha256=CODE", true),
        ("sha256={signature}", "CODE", false),
        ("sha256={signature}", "SHA256=CODE", false), ("t={timestamp},v1={signature}", "t=1735711200,v1=CODE", true),
        ("t={timestamp},v1={signature}", "v1=CODE,t=1735711200", false),
        ("t={timestamp},v1={signature}", "t=1735711200,v1=CODE,v0=x", false),
        ("t={timestamp},v1={signature}", "t=,v1=CODE", false),
        ("t={timestamp},v1={signature}", "t=1735711200, v1=CODE", false),
        ("t={timestamp},v1={signature}{any}", "t=1735711200,v1=CODE,v0=x", true),
        ("{any}v1={signature}", "a=b,v1=CODE", true),
        ("{any}v1={signature}", "a=b,v1=", false),
        ("{any},t={timestamp},v1={signature}", "k=7,t=1735711200,v1=CODE", true),
        ("{any},t={timestamp},v1={signature}", "k=7", false),
        ("v1:{timestamp}:{signature}", "v1:1735711200:CODE", true),
        ("v1:{timestamp}:{signature}", "v1:1735711201:CODE", false),
        ("v1:{timestamp}:{signature}", "v1:01735711200:CODE", false),
    ])
    func theHeaderIsReadByItsTemplate(value: String, header: String, isRight: Bool) throws {
        let taken = try isTaken(
            scheme(value), target: "/webhooks/reply",
            headers: {
                ["X-Sig: " + header.replacing("CODE", with: $0)]
                    + (value.contains("{timestamp}") ? [] : ["X-Time: 1735711200"])
            },
            message: "v1:1735711200|POST|https://sms.example.com/webhooks/reply|\(Self.body)")
        #expect(taken == isRight)
    }

    @Test(arguments: [
        ("{base}{path}{query}", "/webhooks/reply?a=b%20c", "https://sms.example.com/webhooks/reply?a=b%20c", 0),
        ("{base}{path}{query}", "/webhooks/reply", "https://sms.example.com/webhooks/reply", 0),
        ("{base}{path}", "/webhooks/reply?a=b", "https://sms.example.com/webhooks/reply", 0),
        ("{path}{query}", "/webhooks/reply?a=b", "/webhooks/reply?a=b", 0),
        ("{path}", "/webhooks/reply", "/webhooks/reply", 0),
        ("https://x.example{tail}", "/webhooks/s3cret/reply", "https://x.example/s3cret/reply", 0),
        ("{base}{tail}{query}", "/a/b/webhooks/reply?x", "https://sms.example.com/reply?x", 2),
        ("{base}{tail}", "/webhooks", "https://sms.example.com", 0),
        ("{base}{path}{query}", "http://inside:80/webhooks/reply?a", "https://sms.example.com/webhooks/reply?a", 0),
    ])
    func theAddressIsOfTheFormThatIsSet(url: String, target: String, signed: String, baseSegments: Int) throws {
        for (text, isRight) in [(signed, true), (signed + "/", false)] {
            #expect(
                try isTaken(
                    scheme { $0.url = url }, target: target, headers: { ["X-Sig: \($0)", "X-Time: 1735711200"] },
                    message: "v1:1735711200|POST|\(text)|\(Self.body)", baseSegments: baseSegments) == isRight)
        }
    }

    @Test(arguments: [
        ("auto", "1735711200", true), ("auto", "1735711200000", true), ("auto", "1735711499", true),
        ("auto", "1735711500", true), ("auto", "1735711501", false),
        ("auto", "1735710900", true), ("auto", "1735710899", false), ("auto", "1735711500001", false),
        ("auto", "1735711500000", true), ("auto", "1735710899999", false),
        ("s", "1735711200", true), ("s", "1735711200000", false), ("ms", "1735711200000", true),
        ("ms", "1735711200", false), ("auto", "0", false), ("auto", "", false),
        ("auto", "999999999999999999", false), ("s", "999999999999999999", false),
        ("auto", "9999999999999999999", false), ("auto", "1735711200 ", true), ("auto", "1735711200.5", false),
    ])
    func theTimeIsOfNow(unit: String, time: String, isRight: Bool) throws {
        let scheme = scheme { $0.unit = unit == "s" ? .seconds : unit == "ms" ? .milliseconds : .auto }
        let text = time.split(separator: " ").first ?? ""
        #expect(
            try isTaken(
                scheme, target: "/webhooks", headers: { ["X-Sig: \($0)", "X-Time: \(time)"] },
                message: "v1:\(text)|POST|https://sms.example.com/webhooks|\(Self.body)") == isRight)
    }

    @Test(arguments: [
        ("auto", true, true, true), ("hex", true, false, false), ("base64", false, true, true),
    ])
    func theCodeIsWrittenAsIsSet(encoding: String, takesHex: Bool, takesBase64: Bool, takesUnpadded: Bool) throws {
        let scheme = scheme { $0.encoding = encoding == "hex" ? .hex : encoding == "base64" ? .base64 : .auto }
        let forms: [((String) -> String, Bool)] = [
            ({ $0 }, takesHex), ({ Signer.base64(Signer.bytes($0)) }, takesBase64),
            ({ "\(Signer.base64(Signer.bytes($0)).dropLast())" }, takesUnpadded),
        ]
        for (write, isRight) in forms {
            #expect(
                try isTaken(
                    scheme, target: "/webhooks", headers: { ["X-Sig: \(write($0))", "X-Time: 1735711200"] },
                    message: "v1:1735711200|POST|https://sms.example.com/webhooks|\(Self.body)") == isRight)
        }
    }

    @Test func anotherTextMayBeSigned() throws {
        let scheme = scheme { $0.signed = "{method}\n{timestamp}.{url}.{body}" }
        #expect(
            try isTaken(
                scheme, target: "/webhooks", headers: { ["X-Sig: \($0)", "X-Time: 1735711200"] },
                message: "POST\n1735711200.https://sms.example.com/webhooks.\(Self.body)"))
    }

    /// Where the query is not signed, its parameters are nobody's.
    @Test func parametersThatAreNotSignedAreRefused() throws {
        let server = try GuardedServer {
            $0.authentication.accounts[0].signature = [Array("key".utf8)]
            $0.authentication.accounts[0].query = [Array("query-secret".utf8)]
            var scheme = scheme()
            scheme.url = "{base}{path}"
            $0.authentication.signature = scheme
        }
        defer { server.stop() }
        for (query, status) in [
            ("?secret=query-secret", 200), ("?secret=query-secret&ID=1", 401), ("?ID=1&secret=query-secret", 401),
            ("?secret=query-secret&", 200), ("?a", 401),
        ] {
            let now = Signer.now
            let code = Signer(key: "key").hex("v1:\(now)|POST|https://sms.example.com/webhooks|\(RawRequest.callback)")
            let request = RawRequest(target: "/webhooks\(query)", headers: ["X-Sig: \(code)", "X-Time: \(now)"])
            #expect(try server.send(request.bytes).statuses == [status], "\(query)")
        }
    }

    /// The body is not asked for before the head is right.
    @Test func aBodyIsNotAskedForWithoutASignature() throws {
        let server = try GuardedServer {
            $0.authentication.accounts[0].signature = [Array("key".utf8)]
            $0.authentication.signature = scheme()
        }
        defer { server.stop() }
        let request = RawRequest(
            headers: ["Expect: 100-continue", "Content-Length: 1000"], body: "", saysLength: false)
        #expect(try server.send(request.bytes).statuses == [401])
    }

    /// One step: what is asked for changes with a new authenticator, and only then.
    @Test func secretsChangeWhileItServes() throws {
        var configuration = IngressConfiguration()
        configuration.authentication.accounts[0].header = [Array("new".utf8)]
        let server = try GuardedServer { $0.authentication.accounts[0].header = [Array("old".utf8)] }
        defer { server.stop() }
        func status(_ secret: String) throws -> [Int] {
            try server.send(RawRequest(headers: ["X-Webhook-Secret: \(secret)"]).bytes).statuses
        }
        #expect(try status("old") == [200] && status("new") == [401])
        server.replace(Authenticator(configuration))
        var isNew = false
        for _ in 0..<1_000 where !isNew { isNew = try status("new") == [200] }
        #expect(try isNew && status("old") == [401])
    }

    /// No secret of any kind is in what is published.
    @Test func noProofIsPublished() throws {
        let server = try GuardedServer {
            $0.authentication.accounts[0].header = [Array("s3cr3t-header".utf8)]
            $0.authentication.accounts[0].path = [Array("s3cr3t-path".utf8)]
            $0.authentication.accounts[0].query = [Array("s3cr3t-query".utf8)]
            $0.authentication.isEnforced = false
        }
        defer { server.stop() }
        for target in [
            "/webhooks/s3cr3t-path/delivery-status?secret=s3cr3t-query&a=b",
            "/webhooks/s3cr3t-old?a=b&SECRET=s3cr3t-old", "/webhooks/s3cr3t-old/reply",
        ] {
            let request = RawRequest(target: target, headers: ["X-Webhook-Secret: s3cr3t-header"])
            #expect(try server.send(request.bytes).statuses == [200])
        }
        #expect(server.values.count == 3 && server.values.allSatisfy { !$0.contains("s3cr3t") })
    }
}
