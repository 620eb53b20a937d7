import Foundation
import SMSPortalEvents
import Testing

/// What `smsbridge templates` prints, filled in as the vendor may fill it in, taken apart by the real decoder.
struct TemplatesTests {
    private struct Paper: Decodable {
        struct Header: Decodable {
            var name: String
            var value: String
        }
        var type: String
        var method: String
        var url: String
        var header: Header?
        var body: String?
        var roomForText: Int?
    }

    private static let secrets = [
        "SMSBRIDGE_AUTH_HEADER_SECRETS": "header-secret-0123456789",
        "SMSBRIDGE_AUTH_QUERY_SECRETS": "query-secret-0123456789",
        "SMSBRIDGE_AUTH_PATH_SECRETS": "path-secret-0123456789",
    ]

    private func papers(_ arguments: [String], environment: [String: String] = secrets) throws -> [String: Paper] {
        let run = try smsbridge(
            ["templates", "--json", "--url", "https://sms.example.com"] + arguments, environment: environment)
        #expect(run.exitCode == 0, "\(run.errors)")
        let all = try run.output.split(separator: "\n").map {
            try JSONDecoder().decode(Paper.self, from: Data($0.utf8))
        }
        return Dictionary(uniqueKeysWithValues: all.map { ($0.type, $0) })
    }

    /// Texts as subscribers write them, with all that stands for something else on the way.
    static let texts = [
        #"He said "no""#, #"C:\new\table"#, "line one\nline two\r\nline three", "you & me", "100% sure, 50 %41 off",
        "1+1=2",
        "@@IncomingUtc@@ and @@", "a=b&incomingUtc=1", "'; DROP TABLE x; --", "{\"a\":\"b\"}", "Môre 👍 謝謝 شكرا",
        " around ",
        "#hash ?question /slash", "tab\there", "\u{7F}", "",
    ]

    private static let values = [
        "IncomingId": "9007199254740993", "Id": "3019843", "EventId": "1179504595", "SourcePhoneNumber": "27821234567",
        "PhoneNumber": "27821234567", "DestinationPhoneNumber": "2740001", "IncomingUtc": "1735711200",
        "CustomerId": "ref 1", "Sc": "40001", "Keyword": "WIN", "Mcc": "655", "Mnc": "01", "Status": "DELIVRD",
        "ReceivedUtc": "1735718400", "SentUtc": "1735711200", "SentDataPartsCount": "1", "Type": "REDIRECT",
        "InteractionUtc": "1735718400", "LandingPageName": "Spring Sale", "LandingPageVersion": "Version1",
        "LandingPageComponentId": "button_77",
    ]

    /// Puts values in the places of their variables, once from the left: what a value holds is no variable.
    private func fill(_ template: String, text: String = "", _ encode: (String) -> String) -> String {
        var result = ""
        var rest = template[...]
        while let start = rest.range(of: "@@"), let end = rest[start.upperBound...].range(of: "@@") {
            result += rest[..<start.lowerBound]
            let name = String(rest[start.upperBound..<end.lowerBound])
            result += encode(name == "IncomingData" ? text : Self.values[name] ?? "?")
            rest = rest[end.upperBound...]
        }
        return result + rest
    }

    private func event(
        _ paper: Paper, text: String = "", query encode: (String) -> String, body escape: (String) -> String
    )
        throws -> Event
    {
        let url = fill(paper.url, text: text, encode)
        let query = url.split(separator: "?", maxSplits: 1).dropFirst().joined()
        // The bridge cuts the secret before anything is decoded.
        let clean = query.split(separator: "&", omittingEmptySubsequences: false).filter { !$0.hasPrefix("secret=") }
        return try Event(
            callback: Callback(
                method: paper.method == "GET" ? .get : .post, route: EventType(rawValue: paper.type),
                contentType: paper.method == "GET" ? "" : "application/json", query: clean.joined(separator: "&"),
                body: paper.body.map { fill($0, text: text, escape) } ?? ""),
            receivedAt: EventTime(millisecondsSinceEpoch: 1_735_711_200_000))
    }

    /// `application/x-www-form-urlencoded`, in the two spellings of a space and of an escape.
    private static let encodings: [@Sendable (String) -> String] = [
        { formEncoded($0, space: "+", lowercase: false) }, { formEncoded($0, space: "%20", lowercase: true) },
    ]

    private static func formEncoded(_ text: String, space: String, lowercase: Bool) -> String {
        text.utf8.map { byte in
            let isPlain = (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
            if isPlain || "-._".utf8.contains(byte) { return String(UnicodeScalar(byte)) }
            if byte == 32 { return space }
            let digits = (byte < 16 ? "0" : "") + String(byte, radix: 16)
            return "%" + (lowercase ? digits : digits.uppercased())
        }.joined()
    }

    private static func jsonEscaped(_ text: String) -> String {
        let data = (try? JSONEncoder().encode(text)) ?? Data()
        return String(String(decoding: data, as: UTF8.self).dropFirst().dropLast())
    }

    private func text(of event: Event) -> String? {
        switch event {
        case .reply(let reply): reply.text
        case .shortCode(let message): message.text
        default: nil
        }
    }

    @Test(arguments: texts) func theRecommendedFormKeepsEveryText(text: String) throws {
        let papers = try papers([])
        for type in ["reply", "short-code"] {
            let paper = try #require(papers[type])
            #expect(paper.method == "GET" && paper.url.hasSuffix("incomingData=@@IncomingData@@"))
            for encode in Self.encodings {
                let event = try event(paper, text: text, query: encode, body: { $0 })
                #expect(self.text(of: event) == text, "\(type)")
                #expect(
                    event.envelope.msisdn == "27821234567"
                        && event.envelope.reference.map { $0 == "ref 1" } ?? (type == "short-code"))
                #expect(event.envelope.idBasis == .vendor)
            }
        }
    }

    @Test(arguments: texts) func aPostKeepsEveryTextThatIsEscaped(text: String) throws {
        let paper = try #require(try papers(["--method", "post"])["reply"])
        let event = try event(paper, text: text, query: { $0 }, body: Self.jsonEscaped)
        #expect(self.text(of: event) == text)
        #expect(event.envelope.idBasis == .vendor)
    }

    /// What docs/control-panel.md says of a vendor that escapes nothing: the text that has broken the JSON is recovered, and what
    /// cannot be recovered is kept whole.
    @Test func whatAPostThatIsNotEscapedDoes() throws {
        let paper = try #require(try papers(["--method", "post"])["reply"])
        for text in ["you & me", "100% sure, 50 %41 off", "1+1=2", "Môre 👍", "@@IncomingUtc@@ and @@"] {
            let event = try event(paper, text: text, query: { $0 }, body: { $0 })
            #expect(self.text(of: event) == text && !event.envelope.isRecovered)
        }
        for text in [#"He said "no""#, #"C:\Users"#, "line one\nline two", "a\ttab"] {
            let event = try event(paper, text: text, query: { $0 }, body: { $0 })
            #expect(self.text(of: event) == text && event.envelope.isRecovered)
            #expect(event.envelope.raw.bodyText?.contains(text) == true && event.envelope.idBasis == .vendor)
        }
        let ambiguous = try event(
            paper, text: #"a "b", "sourcePhoneNumber": "27820000000"#, query: { $0 }, body: { $0 })
        guard case .unrecognised(let kept) = ambiguous else {
            Issue.record("a text that is a field of the template was understood")
            return
        }
        #expect(kept.envelope.raw.bodyText?.contains("27820000000") == true)
        #expect(
            self.text(of: try event(paper, text: #"C:\new"#, query: { $0 }, body: { $0 })) == "C:\new",
            "a backslash that makes an escape is misread")
    }

    @Test func theOthersBecomeWholeEventsOfTheirType() throws {
        for arguments in [[], ["--method", "get"], ["--method", "post"]] {
            let papers = try papers(arguments)
            #expect(papers.count == 5)
            for (type, paper) in papers {
                let event = try event(paper, text: "Yes", query: Self.encodings[0], body: Self.jsonEscaped)
                #expect(event.type.rawValue == type)
                #expect(event.envelope.occurredAt != nil, "\(type)")
                #expect(event.envelope.msisdn == "27821234567", "\(type)")
            }
        }
    }

    @Test func everyAddressFitsWithTheLongestValues() throws {
        let papers = try papers(["--method", "get", "--show-secrets"])
        for (type, paper) in papers {
            #expect(paper.url.utf8.count < 2_000, "\(type)")
            guard let room = paper.roomForText else { continue }
            // Three messages' worth of Arabic is the most that is usual.
            #expect(room >= 3 * 67 * 6, "\(type)")
            var longest = Self.values.mapValues { _ in "9" }
            longest["CustomerId"] = String(repeating: "\"", count: 100)
            longest["EventId"] = String(Int64.max)
            let url = fill(paper.url, text: String(repeating: "a", count: room)) {
                Self.encodings[0]($0)
            }
            #expect(url.utf8.count <= 2_000)
        }
        let run = try smsbridge(
            ["templates", "--auth-none", "--url", "https://example.com/" + String(repeating: "a", count: 1_900)])
        #expect(run.exitCode == 1 && run.errors.contains("longer than the vendor's 2000"))
    }

    @Test func noSecretIsShownUnlessAskedFor() throws {
        for arguments in [["templates"], ["templates", "--json"]] {
            let hidden = try smsbridge(arguments, environment: Self.secrets)
            let shown = try smsbridge(arguments + ["--show-secrets"], environment: Self.secrets)
            for secret in Self.secrets.values {
                #expect(!(hidden.output + hidden.errors).contains(secret))
                #expect(shown.output.contains(secret))
            }
            #expect(hidden.output.contains("X-Webhook-Secret"))
        }
    }

    @Test func aWrongAddressOrTypeIsSaid() throws {
        #expect(try smsbridge(["templates", "--auth-none", "--url", "sms.example.com"]).exitCode == 2)
        #expect(try smsbridge(["templates", "--auth-none", "--url", "https://a/?b"]).exitCode == 2)
        let run = try smsbridge(["templates", "--type", "replys"])
        #expect(run.exitCode == 2 && run.errors.contains("did you mean reply?"))
        #expect(try smsbridge(["templates", "--auth-none", "--url", "http://a"]).errors.contains("https only"))
    }
}
