import Foundation
import Testing

@testable import SMSBridgeIngress

/// What a body holds reaches no log line, and a field named `secret` no record, whatever form the body has.
@Suite struct BodySecretTests {
    private static let secret = "marker-of-a-secret-0123456789"
    private static let number = "27831112223"
    private static let text = "text-of-a-subscriber"

    /// A body in one form, and how it is declared.
    struct Form: Sendable, CustomStringConvertible {
        let name: String
        let contentType: String
        var contentEncoding = ""
        let bytes: [UInt8]
        var description: String { name }
    }

    /// Raw deflate (RFC 1951) with one stored block: its bytes are in the body as they are.
    private static func deflated(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        let count = UInt16(bytes.count)
        return [1, UInt8(count & 0xFF), UInt8(count >> 8), UInt8(~count & 0xFF), UInt8(~count >> 8)] + bytes
    }

    private static let json =
        #"{"incomingId":7,"phoneNumber":"\#(number)","incomingData":"\#(text)","secret":"\#(secret)"}"#
    private static let form = "IncomingID=7&Phonenumber=\(number)&IncomingData=\(text)&secret=\(secret)"
    private static let parts =
        [("IncomingID", "7"), ("Phonenumber", number), ("IncomingData", text), ("secret", secret)]
        .map { "--b\r\nContent-Disposition: form-data; name=\"\($0)\"\r\n\r\n\($1)\r\n" }.joined() + "--b--\r\n"

    static let forms: [Form] = [
        Form(name: "a form", contentType: "application/x-www-form-urlencoded", bytes: Array(form.utf8)),
        Form(
            name: "a form with semicolons", contentType: "text/plain",
            bytes: Array(form.replacing("&secret", with: ";secret").utf8)),
        Form(
            name: "a form in ISO 8859-1", contentType: "application/x-www-form-urlencoded; charset=iso-8859-1",
            bytes: Array(form.utf8) + Array("&x=caf".utf8) + [0xE9]),
        Form(
            name: "a compressed form", contentType: "application/x-www-form-urlencoded", contentEncoding: "deflate",
            bytes: deflated(form)),
        Form(
            name: "a compressed form with semicolons", contentType: "application/x-www-form-urlencoded",
            contentEncoding: "deflate", bytes: deflated(form.replacing("&secret", with: ";SECRET"))),
        Form(
            name: "a form whose header says another encoding", contentType: "application/x-www-form-urlencoded",
            contentEncoding: "utf-8", bytes: Array(form.utf8)),
        Form(name: "JSON", contentType: "application/json", bytes: Array(json.utf8)),
        Form(name: "JSON as text", contentType: "text/plain", bytes: Array(("\u{FEFF} " + json).utf8)),
        Form(
            name: "JSON with an escape in the name", contentType: "application/json",
            bytes: Array(json.replacing("\"secret\"", with: #""S\u0065cret[0]""#).utf8)),
        Form(
            name: "JSON within JSON", contentType: "application/json",
            bytes: Array(
                json.replacing(
                    "\"secret\":\"\(secret)\"", with: #""more":{"list":[{"secret":"\#(secret)"}]}"#
                ).utf8)),
        Form(
            name: "JSON in UTF-16", contentType: "application/json; charset=utf-16le",
            bytes: json.utf16.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }),
        Form(
            name: "compressed JSON", contentType: "application/json", contentEncoding: "deflate", bytes: deflated(json)),
        Form(
            name: "JSON that a text has broken", contentType: "application/json",
            bytes: Array(json.replacing(text, with: "\(text) 5\" and 6\" tall").utf8)),
        Form(name: "JSON that is cut off", contentType: "application/json", bytes: Array(json.utf8.dropLast(2))),
        Form(name: "an array", contentType: "application/json", bytes: Array("[\(json)]".utf8)),
        Form(name: "multipart", contentType: "multipart/form-data; boundary=b", bytes: Array(parts.utf8)),
        Form(
            name: "multipart with line feeds", contentType: "multipart/form-data; boundary=b",
            bytes: Array(parts.replacing("\r\n", with: "\n").replacing("name=\"secret\"", with: "Name = secret").utf8)),
        Form(
            name: "compressed multipart", contentType: "multipart/form-data; boundary=b", contentEncoding: "deflate",
            bytes: deflated(parts)),
    ]

    private func request(_ form: Form, _ target: String) -> [UInt8] {
        var lines = [
            "POST \(target) HTTP/1.1", "Host: bridge", "Content-Type: \(form.contentType)",
            "Content-Length: \(form.bytes.count)",
        ]
        if !form.contentEncoding.isEmpty { lines.append("Content-Encoding: \(form.contentEncoding)") }
        return Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8) + form.bytes
    }

    /// The body that a record keeps, as text.
    private func rawBody(_ value: String) throws -> String {
        struct Value: Decodable {
            struct Raw: Decodable {
                let body: String?
                let bodyBase64: String?
            }
            let raw: Raw
        }
        let raw = try JSONDecoder().decode(Value.self, from: Data(value.utf8)).raw
        if let body = raw.body { return body }
        let bytes = raw.bodyBase64.flatMap { Data(base64Encoded: $0) } ?? Data()
        return String(decoding: bytes.filter { $0 != 0 }, as: UTF8.self)
    }

    @Test(arguments: forms, [true, false]) func nothingOfABodyIsLogged(form: Form, isEnforced: Bool) throws {
        let server = try GuardedServer {
            $0.authentication.isEnforced = isEnforced
            $0.authentication.accounts = [AccountSecrets()]
            $0.authentication.accounts[0].header = [Array(Self.secret.utf8)]
            $0.accessSample = 1
        }
        for target in ["/webhooks/reply", "/webhooks", "/webhooks/replies", "/webhooks/reply?secret=\(Self.secret)"] {
            _ = try server.send(request(form, target))
        }
        server.stop()
        #expect(server.logLines.count >= 4)
        for line in server.logLines {
            for word in [Self.secret, Self.number, Self.text] { #expect(!line.contains(word), "\(line)") }
        }
        #expect(server.values.count == (isEnforced ? 0 : 3))
        for value in server.values {
            let body = try rawBody(value)
            #expect(!value.contains(Self.secret) && !body.contains(Self.secret), "\(form): \(value)")
            #expect(body.contains(Self.number) && body.contains(Self.text), "\(form), the rest is kept: \(value)")
        }
    }

    @Test func whatIsCutIsStillUnderstood() throws {
        for form in Self.forms
        where !form.name.contains("multipart") && form.name != "an array" && !form.name.contains("cut off") {
            let server = try GuardedServer { $0.authentication.accounts = [] }
            let outcome = try server.send(request(form, "/webhooks/reply"))
            server.stop()
            #expect(outcome.statuses == [200])
            let value = try #require(server.values.first)
            #expect(value.contains("\"msisdn\":\"\(Self.number)\""), "\(form): \(value)")
            #expect(value.contains("\"text\":\"\(Self.text)"), "\(form): \(value)")
        }
    }

    @Test(
        arguments: [
            (#"{"secret":"x","a":1}"#, #"{"secret":"","a":1}"#),
            (#"{"a":1, "SECRET" : "x\"y\\" }"#, #"{"a":1, "SECRET" : "" }"#),
            (#"{"secret":12345}"#, #"{"secret":""}"#), (#"{"secret":null,"a":1}"#, #"{"secret":"","a":1}"#),
            (#"{"secret":{"v":"}x"},"a":[1]}"#, #"{"secret":"","a":[1]}"#),
            (#"{"secret":["x","y"]}"#, #"{"secret":""}"#),
            (#"{"s\u0065cret":"x"}"#, #"{"s\u0065cret":""}"#), (#"{"d":{"secret":"x"}}"#, #"{"d":{"secret":""}}"#),
            (#"[{"secret":"x"},{"secret":"y"}]"#, #"[{"secret":""},{"secret":""}]"#),
            (#"{"secret[a][b]":"x"}"#, #"{"secret[a][b]":""}"#), (#"{"$secret":"x"}"#, #"{"$secret":""}"#),
            (#"{"m":"5" tall","secret":"x"}"#, #"{"m":"5" tall","secret":""}"#), (#"{"secret":"x"#, #"{"secret":"""#),
            (#"{"secret":"#, #"{"secret":"""#),
        ])
    func theValueOfAMemberIsCut(body: String, expected: String) {
        #expect(BodySecret.cut(Array(body.utf8)).map { String(decoding: $0, as: UTF8.self) } == expected)
    }

    /// Texts that mention the word, and other names.
    @Test(arguments: [
        #"{"secrets":"x"}"#, #"{"topsecret":"x"}"#, #"{"secret_question":"x"}"#, #"{"m":"\"secret\":\"x\""}"#,
        #"{"m":"secret","a":"b"}"#, #"{"m":"the secret: \"x\""}"#, #"{"m":"\\","n":"secret"}"#, "secret", "",
        "\"secret",
        #"{"m":"\u0022secret\u0022:1"}"#, "--b\r\nX: y; name=\"secrets\"\r\n\r\nx\r\n--b--", "--secret\r\nx\r\n",
    ])
    func otherBodiesStay(body: String) {
        #expect(BodySecret.cut(Array(body.utf8)) == nil)
    }

    @Test func ofAPartTheHeaderStays() {
        let body =
            "--b\r\nContent-Disposition: form-data; name*=utf-8''secret\r\n\r\nx\ny\r\n--b\r\nA: b\r\n\r\nz\r\n--b--"
        let cut = BodySecret.cut(Array(body.utf8)).map { String(decoding: $0, as: UTF8.self) }
        #expect(cut == body.replacing("x\ny\r\n", with: ""))
    }
}
