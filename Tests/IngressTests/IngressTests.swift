import SMSBridgeAddresses
import SMSBridgeHTTPServer
import SMSBridgeTelemetry
import SMSPortalEvents
import Testing

@testable import SMSBridgeIngress
@testable import SMSBridgePublisher

/// An ingress between the real parser and a publisher that only writes down what it gets.
private final class Desk {
    struct Published {
        var topic: EventTopic
        var value: String
        var headers: [String: String]
    }

    let registry = MetricRegistry()
    var ready = true
    /// What the publisher says of the next events.
    var outcome = PublishOutcome.durable
    private(set) var published: [Published] = []
    private(set) var answers: [PreparedResponse] = []
    private var ingress: Ingress!

    init(_ adjust: (inout IngressConfiguration) -> Void = { _ in }) throws {
        var configuration = IngressConfiguration()
        adjust(&configuration)
        ingress = Ingress(
            configuration: configuration, decoder: try CallbackDecoder(), metrics: IngressMetrics(registry),
            isReady: { [unowned self] in ready },
            publish: { [unowned self] record, token in
                var headers: [String: String] = [:]
                record.forEachHeader { headers["\($0)"] = String(decoding: $1, as: UTF8.self) }
                published.append(
                    Published(
                        topic: record.topic, value: record.withValue { String(decoding: $0, as: UTF8.self) },
                        headers: headers))
                ingress.published(token, outcome)
            },
            respond: { [unowned self] _, response in answers.append(response) })
    }

    /// Sends one request; returns its status.
    @discardableResult
    func send(
        _ method: String = "POST", _ target: String, headers: [String] = [],
        body: String = #"{"Status":"DELIVRD","EventId":1,"Msisdn":"27123456789","Received":1530013907}"#
    ) throws -> Int {
        let text =
            ([method + " " + target + " HTTP/1.1", "Host: bridge"] + headers).joined(separator: "\r\n") + "\r\n\r\n"
        let bytes = Array(text.utf8)
        let content = Array(body.utf8)
        let before = answers.count
        var parser = RequestParser(limits: RequestParser.Limits())
        let event = parser.next(bytes.span.bytes)
        try #require(event == .head, "\(text)")
        let peer = PeerAddress(high: 0, low: 0xffff_7f00_0001, port: 1)
        switch ingress.receivedHead(
            parser.head, bytes: bytes.span.bytes, from: peer, exchange: Exchange(rawValue: 7))
        {
        case .refuse(let response):
            #expect(answers.count == before)
            return response.status
        case .accept(let tag):
            ingress.receivedRequest(
                parser.head, bytes: bytes.span.bytes, body: content.span.bytes, from: peer,
                exchange: Exchange(rawValue: 7), tag: tag)
            try #require(answers.count == before + 1, "a request is answered once")
            return answers[before].status
        }
    }

    func metric(_ line: String) -> Bool {
        String(decoding: registry.render(), as: UTF8.self).split(separator: "\n").contains { $0 == line }
    }
}

@Suite struct RoutingTests {
    @Test(arguments: [
        ("/webhooks/delivery-status", EventTopic.deliveryStatus), ("/webhooks/delivery-status/", .deliveryStatus),
        ("/webhooks/%64elivery-status", .deliveryStatus), ("/%77ebhooks/delivery%2Dstatus", .deliveryStatus),
        ("/webhooks", .deliveryStatus), ("/webhooks/", .deliveryStatus), ("/webhooks/reply", .quarantine),
        ("http://elsewhere/webhooks/delivery-status", .deliveryStatus),
        ("//webhooks/delivery-status", .deliveryStatus), ("///webhooks///delivery-status///", .deliveryStatus),
        ("/webhooks//delivery-status", .deliveryStatus), ("/webhooks/delivery-status//", .deliveryStatus),
        ("/webhooks//", .deliveryStatus), ("//webhooks", .deliveryStatus),
        ("/Webhooks/Delivery-Status", .deliveryStatus), ("/WEBHOOKS/DELIVERY-STATUS", .deliveryStatus),
        ("/%57ebhooks/%44elivery-status", .deliveryStatus), ("/webhooks/Reply", .quarantine),
        ("//webhooks/reply//", .quarantine), ("http://elsewhere//Webhooks//DELIVERY-status", .deliveryStatus),
    ])
    func callbacksFindTheirRoute(target: String, topic: EventTopic) throws {
        let desk = try Desk()
        #expect(try desk.send("POST", target) == 200)
        #expect(desk.published.map(\.topic) == [topic])
    }

    @Test(arguments: [
        "/", "//", "/webhook", "/webhooks/replies", "/webhooks/unrecognised", "/webhooks/reply/more",
        "/webhooks/reply//more", "/reply/webhooks", "/webhooks/webhooks", "/webhooks/webhooks/reply",
        "/webhooks/%2Freply",
        "/webhooks/reply%2F", "/webhooks/reply/%2F", "/webhooks/reply%00", "/webhooks/reply/%20", "/webhooks/reply/.",
        "/webhooks/%72eply%20", "/webhooks/reply;a=b", "/w%C3%ABbhooks/reply", "/webhoo%E2%84%AAs/reply",
        "/webhooks%2Freply", "/webhooks/%25reply", "/webhooks/./reply", "/webhooks/x/../reply", "/sms/webhooks/reply",
        "/a/b/c/d/e/f/g/h/i/j", "/healthz/x", "/metrics", "/readyz",
    ])
    func otherPathsAreNotFound(target: String) throws {
        let desk = try Desk()
        #expect(try desk.send("POST", target) == 404)
        #expect(desk.published.isEmpty)
    }

    @Test func aBasePathStandsInFront() throws {
        let desk = try Desk { $0.basePath = "/sms/in" }
        #expect(try desk.send("POST", "/sms/in/webhooks/delivery-status") == 200)
        #expect(try desk.send("POST", "/sms/%69n/webhooks") == 200)
        #expect(try desk.send("POST", "/webhooks/delivery-status") == 404)
        #expect(try desk.send("POST", "/sms/webhooks/delivery-status") == 404)
        #expect(try desk.send("GET", "/healthz") == 200)
        #expect(try desk.send("GET", "/sms/in/healthz") == 200)
        #expect(desk.published.count == 2)
        for target in ["//sms//in//webhooks//delivery-status//", "/SMS/In/Webhooks/Delivery-Status"] {
            #expect(try desk.send("POST", target) == 200, "\(target)")
        }
        for target in ["/in/sms/webhooks", "/smsin/webhooks", "/sms%2Fin/webhooks", "/sms/in/in/webhooks", "/sms/in"] {
            #expect(try desk.send("POST", target) == 404, "\(target)")
        }
        #expect(try desk.send("GET", "/SMS//in/Healthz/") == 200)
        #expect(desk.published.count == 4)
    }

    /// As many segments as the settings accept, and every route behind them.
    @Test func aBasePathMayBeLong() throws {
        let base = "/" + (1...100).map { "s\($0 % 10)" }.joined(separator: "/")
        let desk = try Desk {
            $0.basePath = base
            $0.authentication.accounts[0].path = [Array("p4th-secret".utf8)]
        }
        for type in ["", "/delivery-status", "/reply", "/short-code", "/url-preview", "/url-click"] {
            #expect(try desk.send("POST", "\(base)/webhooks/p4th-secret\(type)") == 200, "\(type)")
        }
        #expect(try desk.send("GET", "\(base)/healthz") == 200)
        #expect(try desk.send("POST", "\(base)/webhooks/reply") == 401)
        #expect(try desk.send("POST", "\(base)/s1/webhooks/p4th-secret/reply") == 404)
    }

    @Test(arguments: [
        ("HEAD", 405), ("PUT", 405), ("DELETE", 405), ("PATCH", 405), ("TRACE", 405), ("BREW", 405), ("OPTIONS", 204),
    ])
    func onlyGetAndPostPublish(method: String, status: Int) throws {
        let desk = try Desk()
        #expect(try desk.send(method, "/webhooks/delivery-status") == status)
        #expect(desk.published.isEmpty)
    }

    @Test func healthIsReadiness() throws {
        let desk = try Desk { $0.authentication.accounts[0].header = [Array("s".utf8)] }
        #expect(try desk.send("GET", "/healthz", body: "") == 200)
        #expect(try desk.send("HEAD", "/healthz", body: "") == 200)
        desk.ready = false
        #expect(try desk.send("GET", "/healthz", body: "") == 503)
        #expect(try desk.send("POST", "/healthz", body: "") == 405)
        #expect(desk.published.isEmpty)
    }

    @Test func whatIsNotDurableIsHonestlyRefused() throws {
        let desk = try Desk()
        for reason in PublishOutcome.Reason.allCases {
            desk.outcome = .unavailable(reason)
            #expect(try desk.send("POST", "/webhooks/delivery-status") == 503)
        }
        #expect(desk.metric(#"smsbridge_http_responses_total{status="503"} \#(PublishOutcome.Reason.allCases.count)"#))
    }

    @Test func traceContextIsHandedOn() throws {
        let desk = try Desk()
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        try desk.send("POST", "/webhooks/delivery-status", headers: ["TraceParent: \(parent)", "tracestate: a=b"])
        #expect(desk.published[0].headers["traceparent"] == parent)
        #expect(desk.published[0].headers["tracestate"] == "a=b")
    }
}

@Suite struct AuthenticationTests {
    private static let secret = "correct horse"
    private static func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    @Test func aHeaderCarriesOneOfTheSecrets() throws {
        let desk = try Desk {
            $0.authentication.accounts[0].header = [Self.bytes("old-secret"), Self.bytes("new-secret")]
        }
        let target = "/webhooks/delivery-status"
        for right in [
            "X-Webhook-Secret: old-secret", "x-webhook-secret:new-secret", "X-WEBHOOK-SECRET: \t new-secret \t",
        ] {
            #expect(try desk.send("POST", target, headers: [right]) == 200, "\(right)")
        }
        #expect(desk.published.count == 3)
        let wrong = [
            [], ["X-Webhook-Secret:"], ["X-Webhook-Secret: old-secre"], ["X-Webhook-Secret: old-secrets"],
            ["X-Webhook-Secret: OLD-SECRET"], ["X-Webhook-Secret: old-secret,new-secret"],
            ["X-Webhook-Secret: \"old-secret\""], ["X-Webhook-Secrets: old-secret"], ["X-Webhook-Secre: old-secret"],
            ["Authorization: Bearer old-secret"], ["X_Webhook_Secret: old-secret"], ["X-Webhook-Secret: old%2Dsecret"],
            ["X-Webhook-Secret: old-secret", "X-Webhook-Secret: old-secret"],
            ["X-Webhook-Secret: wrong", "X-Webhook-Secret: old-secret"],
        ]
        for headers in wrong { #expect(try desk.send("POST", target, headers: headers) == 401, "\(headers)") }
        for elsewhere in [target + "?secret=old-secret", "/webhooks/old-secret/delivery-status"] {
            #expect([401, 404].contains(try desk.send("POST", elsewhere)))
        }
        #expect(desk.published.count == 3)
        #expect(desk.metric(#"smsbridge_authentication_failures_total{proof="header"} \#(wrong.count + 1)"#))
    }

    @Test func aPathSegmentCarriesTheSecretAndIsStoredNowhere() throws {
        let desk = try Desk { $0.authentication.accounts[0].path = [Self.bytes("p4th-secret")] }
        for right in [
            "/webhooks/p4th-secret/delivery-status", "/webhooks/p4th-secret", "/webhooks/p4th-secret/",
            "/webhooks/%704th-secret/delivery-status", "/webhooks//p4th-secret", "//Webhooks//p4th-secret//Reply//",
        ] { #expect(try desk.send("POST", right) == 200, "\(right)") }
        for wrong in [
            "/webhooks", "/webhooks/", "/webhooks/delivery-status", "/webhooks/wrong/delivery-status",
            "/webhooks/p4th-secre/delivery-status", "/webhooks/P4TH-SECRET/delivery-status",
            "/webhooks/delivery-status/p4th-secret", "/webhooks//", "/webhooks//P4th-secret",
            "//webhooks//delivery-status",
            "/webhooks/p4th%2Dsecret%00/reply",
        ] { #expect(try desk.send("POST", wrong) == 401, "\(wrong)") }
        #expect(try desk.send("POST", "/webhooks/p4th-secret/nothing") == 404)
        #expect(try desk.send("POST", "/p4th-secret/delivery-status") == 404)
        #expect(desk.published.count == 6)
        for record in desk.published {
            #expect(!record.value.contains("p4th") && !record.headers.values.contains { $0.contains("p4th") })
        }
    }

    @Test func theQueryCarriesTheSecretAndIsStoredWithoutIt() throws {
        let desk = try Desk { $0.authentication.accounts[0].query = [Self.bytes(Self.secret)] }
        let parameters = "ID=322004213&EventID=32433326&Phonenumber=27830123456&Status=DELIVRD"
        for right in [
            "secret=correct+horse&\(parameters)", "\(parameters)&secret=correct%20horse",
            "ID=322004213&%73ecret=correct%20h%6Frse&EventID=32433326&Phonenumber=27830123456&Status=DELIVRD",
            "SECRET=correct%20horse&\(parameters)",
        ] {
            #expect(try desk.send("GET", "/webhooks/delivery-status?\(right)", body: "") == 200, "\(right)")
        }
        #expect(desk.published.count == 4)
        for record in desk.published {
            #expect(!record.value.contains("orse") && !record.value.lowercased().contains("ecret"), "\(record.value)")
            #expect(record.value.contains(parameters))
        }
        for wrong in [
            parameters, "secret=&\(parameters)", "secret&\(parameters)", "secret=correct&\(parameters)",
            "secrets=correct+horse&\(parameters)", "secret=wrong&secret=correct+horse&\(parameters)",
            "secret=correct+horse&secret=correct+horse&\(parameters)", "xsecret=correct+horse&\(parameters)",
            "secret%3Dcorrect+horse&\(parameters)",
        ] { #expect(try desk.send("GET", "/webhooks/delivery-status?\(wrong)", body: "") == 401, "\(wrong)") }
        #expect(try desk.send("POST", "/webhooks/delivery-status", body: "secret=correct+horse") == 401)
        #expect(desk.published.count == 4)
    }

    @Test func aSecretThatNobodyAskedForIsNotStoredEither() throws {
        let desk = try Desk()
        #expect(
            try desk.send(
                "GET", "/webhooks/delivery-status?secret=left-over&ID=1&Phonenumber=27830123456&Status=DELIVRD",
                body: "") == 200)
        #expect(!desk.published[0].value.contains("left-over"))
    }

    @Test func everyKindThatIsConfiguredIsRequired() throws {
        let desk = try Desk {
            $0.authentication.accounts[0].header = [Self.bytes("h")]
            $0.authentication.accounts[0].path = [Self.bytes("p")]
            $0.authentication.accounts[0].query = [Self.bytes("q")]
        }
        for (header, path, query) in [
            (true, true, true), (false, true, true), (true, false, true), (true, true, false), (false, false, false),
        ] {
            let target = "/webhooks\(path ? "/p" : "/x")/delivery-status\(query ? "?secret=q" : "")"
            let status = try desk.send("POST", target, headers: header ? ["X-Webhook-Secret: h"] : [])
            #expect(status == (header && path && query ? 200 : 401))
        }
        #expect(desk.published.count == 1)
    }

    @Test func theSecretOfOneRequestDoesNotLetInTheNext() throws {
        let desk = try Desk { $0.authentication.accounts[0].query = [Self.bytes("q")] }
        #expect(try desk.send("POST", "/webhooks/delivery-status?secret=q") == 200)
        #expect(try desk.send("POST", "/webhooks/delivery-status") == 401)
        #expect(try desk.send("POST", "/webhooks/delivery-status?x=y") == 401)
    }

    @Test func theRefusalSaysNothing() throws {
        #expect(Answers.unauthorized.status == 401)
        let desk = try Desk { $0.authentication.accounts[0].header = [Self.bytes("h")] }
        #expect(try desk.send("POST", "/webhooks/delivery-status") == 401)
        #expect(desk.published.isEmpty)
    }
}

@Suite struct QuerySecretTests {
    @Test(
        arguments: [
            ("", "", nil), ("a=b", "a=b", nil), ("secret=x", "", "x"), ("secret", "", ""),
            ("a=b&secret=x&c=d", "a=b&c=d", "x"),
            ("a=1&a=2&secret=%2", "a=1&a=2", "%2"), ("&&secret=x&&", "&&", "x"), ("&a=1&secret=x", "&a=1", "x"),
            ("secretive=x", "secretive=x", nil),
            ("a=secret=x", "a=secret=x", nil), ("Secret=%41%2b+", "", "A+ "), ("s%65cret=x", "", "x"),
            ("s%6=x", "s%6=x", nil), ("sec=ret", "sec=ret", nil),
        ] as [(String, String, String?)])
    func isCutOut(query: String, remainder: String, value: String?) {
        var secret = QuerySecret()
        let bytes = Array(query.utf8)
        secret.scan(bytes.span.bytes)
        #expect(secret.wasFound == (value != nil))
        if let value {
            #expect(String(decoding: secret.value, as: UTF8.self) == value)
            #expect(String(decoding: secret.remainder, as: UTF8.self) == remainder)
        }
    }

    /// What is left holds no secret any more, whatever the query.
    @Test(arguments: [1, 2] as [UInt64]) func nothingIsLeftBehind(seed: UInt64) {
        var state = seed
        func random(below bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        let pieces = ["secret", "=", "&", "%", "73", "x", "+", "Secret=y", "é", "&&"]
        var secret = QuerySecret()
        for _ in 0..<20_000 {
            let query = (0..<random(below: 9)).map { _ in pieces[random(below: pieces.count)] }.joined()
            secret.scan(Array(query.utf8).span.bytes)
            guard secret.wasFound else { continue }
            let remainder = secret.remainder
            secret.scan(remainder.span.bytes)
            #expect(!secret.wasFound, "seed \(seed): \(query) leaves \(String(decoding: remainder, as: UTF8.self))")
        }
    }
}
