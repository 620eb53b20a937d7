import SMSBridgeTestSupport
import SMSPortalEvents
import Testing

/// Bodies in other charsets and content codings, and JSON that the text of one field has broken. Tests/Fixtures has the cases
/// that the contract suite sends over the wire, too.
@Suite struct ContentTests {
    private let decoder: CallbackDecoder

    init() throws { decoder = try CallbackDecoder() }

    private func reply(
        _ body: [UInt8], _ contentType: String = "application/json", encoding: String = "", query: String = "",
        _ decoder: CallbackDecoder? = nil
    ) throws -> Event {
        try Event(
            record: (decoder ?? self.decoder).record(
                .post, .reply, contentType: contentType, contentEncoding: encoding, query: Array(query.utf8), body: body
            ))
    }

    // MARK: - Charsets

    /// Every charset that is offered is one that this system's iconv has, and ASCII is the same in all that are based on it.
    @Test(arguments: DecoderConfiguration.charsets.filter { !$0.hasPrefix("utf-") })
    func everyCharsetIsKnownHere(_ charset: String) throws {
        let decoder = try CallbackDecoder(DecoderConfiguration(charset: charset))
        let body = Array(#"{"incomingId":7,"incomingData":"plain text 123"}"#.utf8)
        // The query string is what makes it look at the charset: it is no UTF-8 as it is.
        let event = try reply(body, query: "x=%E1%E1", decoder)
        #expect(event.reply?.text == "plain text 123", "\(event.unrecognised?.reason.rawValue ?? "")")
    }

    @Test(arguments: [
        "charset=iso-8859-1", "CHARSET=ISO-8859-1", #"charset="iso-8859-1""#, "charset = latin1", "charset=ISO8859_1",
        "format=flowed;charset=Latin-1", "charset=iso_8859-1 ", "x=y; charset=iso-8859-1; z",
    ])
    func aDeclaredCharsetIsFoundHoweverItIsWritten(_ parameter: String) throws {
        let body = Array(#"{"incomingId":7,"incomingData":"caf"#.utf8) + [0xE9] + Array(#""}"#.utf8)
        let isRead = try reply(body, "application/json; \(parameter)").reply?.text == "café"
        // Blanks around the equals sign are not allowed (RFC 9110, section 5.6.6).
        #expect(isRead == (parameter != "charset = latin1"), "\(parameter)")
    }

    /// What can be read as UTF-8 is: the id of such a callback was made from that reading before charsets were looked at.
    @Test func textThatIsUTF8StaysWhatItWas() throws {
        let body = Array(#"{"incomingData":"Môre","sourcePhoneNumber":"27123456789","incomingUtc":1735711200}"#.utf8)
        let plain = try reply(body)
        for charset in ["iso-8859-1", "windows-1252", "utf-16", "gb18030", "x-unknown"] {
            let declared = try reply(body, "application/json; charset=\(charset)")
            #expect(declared.reply?.text == "Môre")
            #expect(declared.id == plain.id)
            #expect(declared.idBasis == .fields)
        }
    }

    @Test func aCharsetThatIsAssumedReadsWhatDeclaresNone() throws {
        let latin = try CallbackDecoder(DecoderConfiguration(charset: "windows-1252"))
        let body = Array(#"{"incomingId":7,"incomingData":""#.utf8) + [0x80, 0xE9] + Array(#""}"#.utf8)
        let bare = try reply(body)
        #expect(bare.unrecognised?.reason == .invalidUTF8)
        let event = bare.redecoded(by: latin)
        #expect(event.reply?.text == "€é")
        #expect(event.raw == bare.raw)
        #expect(event.raw.body == body)
        let query = try decoder.event(.reply, query: "IncomingID=7&IncomingData=caf%E9+%26+%80")
        #expect(query.unrecognised?.reason == .invalidUTF8)
        #expect(query.redecoded(by: latin).reply?.text == "café & €")
        let form = try reply(Array("IncomingID=7&IncomingData=caf%E9".utf8), "application/x-www-form-urlencoded")
        #expect(form.redecoded(by: latin).reply?.text == "café")
        // What is UTF-8 stays so.
        #expect(try reply(Array(#"{"incomingId":7,"incomingData":"é"}"#.utf8), latin).reply?.text == "é")
        #expect(throws: DecoderConfigurationError.self) { try CallbackDecoder(DecoderConfiguration(charset: "UTF-7")) }
    }

    private func reply(_ body: [UInt8], _ decoder: CallbackDecoder) throws -> Event {
        try reply(body, "application/json", decoder)
    }

    @Test func theDetailNamesCharsetAndPlace() throws {
        let body = Array(#"{"a":""#.utf8) + [0x81] + Array(#""}"#.utf8)
        #expect(try reply(body, "text/plain; charset=cp1252").unrecognised?.detail == "CP1252, body, byte 6")
        #expect(try reply(body, "text/plain; charset=x-unknown").unrecognised?.detail == "x-unknown")
        #expect(try reply([0xFF], encoding: "br").unrecognised?.detail == "br")
        #expect(try reply([0x1F, 0x8B, 0x08, 0x00, 0xFF], encoding: "gzip").unrecognised?.detail == "gzip, byte 5")
    }

    /// Parameters are read in the charset and coding, too.
    @Test func parametersAreReadLikeTheEvent() throws {
        let body = Array("IncomingID=7&IncomingData=caf%E9&x=%26".utf8)
        let event = try reply(body, "application/x-www-form-urlencoded; charset=iso-8859-1")
        #expect(event.parameters?.map(\.name) == ["IncomingID", "IncomingData", "x"])
        #expect(event.parameters?.map(\.value) == ["7", "café", "&"])
        let broken = try reply(Array(#"{"incomingId":7,"incomingData":"a "b""}"#.utf8))
        #expect(broken.parameters?.map(\.value) == ["7", #"a "b""#])
    }

    // MARK: - Bounds

    /// A body of a megabyte in 1,000 bytes is not even inflated.
    @Test func whatIsInflatedIsBounded() throws {
        let fixture = try #require(Fixture.named("reply-of-a-compressed-megabyte"))
        #expect(fixture.callback.body.count < 2_000)
        let event = try Event(callback: fixture.callback, receivedAt: reception)
        #expect(event.unrecognised?.reason == .tooLong)
        #expect(event.unrecognised?.detail == "more than 262144 bytes in gzip")
        let larger = try CallbackDecoder(DecoderConfiguration(maxContentBytes: 2 << 20))
        // The fields are bounded as those of any other body.
        let whole = larger.event(from: fixture.callback, receivedAt: reception)
        #expect(whole.unrecognised?.reason == .missingFields || whole.unrecognised?.reason == .tooLong)
    }

    /// Many quotes do not take long: few are tried, in short bodies only.
    @Test func aBodyThatIsMadeToBeDearIsNot() throws {
        for (piece, count) in [
            ("\"", 250_000), ("\",\"a\":\"b", 30_000), ("\\\"", 120_000), ("\n", 250_000), ("\",", 5_000),
        ] {
            let body = Array((#"{"incomingId":7,"incomingData":""# + String(repeating: piece, count: count)).utf8)
            let time = try ContinuousClock().measure { _ = try reply(body) }
            #expect(time < .seconds(2), "\(piece)")
        }
    }

    // MARK: - Broken JSON

    private static let pieces = [
        "\"", "\\", "\n", "\r\n", "\t", "a", " ", "stop", "He said ", "é", "😀", ",", ":", "{", "}", "[", "]", "'",
        "C:\\dir",
        "50%", "\\u00e9", "\\n", "\\\"", "!", "null", "1", "\"\"", "\",", ",\"", "\"}", "\u{1}", "/",
    ]

    /// A template engine puts a text into a template as it is. Whatever becomes of it, no event has another text than the one that
    /// was put in, unless the JSON was sound by itself; and the other fields are those of the template.
    @Test func aRecoveredTextIsTheOneThatWasPutIn() throws {
        let seed = SeededRandom.seed
        var generator = SeededRandom(seed: seed)
        var recovered = 0
        var quarantined = 0
        for _ in 0..<20_000 {
            let text = (0..<Int.random(in: 1...6, using: &generator))
                .map { _ in Self.pieces.randomElement(using: &generator) ?? "" }.joined()
            var members = [
                #""incomingId":7"#, #""sourcePhoneNumber":"27123456789""#, #""customerId":"c d""#,
                #""extra":{"a":["\"",1]}"#,
            ].shuffled(using: &generator)
            members.insert("\"incomingData\":\"\(text)\"", at: Int.random(in: 0...members.count, using: &generator))
            let separator = [",", " , ", ",\n  "].randomElement(using: &generator) ?? ","
            let body = Array("{\(members.joined(separator: separator))}".utf8)
            let comment: Comment = "'\(text)' in \(members) SMSBRIDGE_TEST_SEED=\(seed)"
            let event = try reply(body)
            if let reply = event.reply {
                if (try? JSONValue(body)) != nil {
                    #expect(!reply.envelope.isRecovered, comment)
                    continue
                }
                recovered += 1
                #expect(reply.envelope.isRecovered, comment)
                #expect(reply.text == text || reply.text == escapesRead(text), comment)
                #expect(reply.messageID == "7", comment)
                #expect(reply.msisdn == "27123456789", comment)
                #expect(reply.envelope.reference == "c d", comment)
                #expect(reply.parameters?.count == 5, comment)
                #expect(event.redecoded(by: decoder) == event, comment)
            } else {
                quarantined += 1
                #expect(event.unrecognised?.reason == .invalidJSON, comment)
                #expect(!event.envelope.isRecovered, comment)
            }
        }
        #expect(recovered > 2_000, "\(recovered) SMSBRIDGE_TEST_SEED=\(seed)")
        #expect(quarantined > 500, "\(quarantined) SMSBRIDGE_TEST_SEED=\(seed)")
    }

    /// The text of an engine that has escaped quotes and backslashes, but neither line ends nor tabs.
    private func escapesRead(_ text: String) -> String? {
        let controlled = text.replacing("\r\n", with: "\\r\\n").replacing("\n", with: "\\n").replacing(
            "\t", with: "\\t")
        guard !text.replacing("\\\"", with: "").replacing("\\\\", with: "").contains("\""),
            let value = try? JSONValue(Array("\"\(controlled)\"".utf8))
        else { return nil }
        return value.string
    }

    @Test(arguments: [
        ("incomingData", "a \"b\"", true), ("customerId", "a \"b\"", true), ("note", "a \"b\"", true),
        ("keyword", "a\nb", true), ("phoneNumber", "27\"123456789", false), ("incomingId", "7\"8", false),
        ("incomingUtc", "17357112\n00", false), ("mnc", "0\t1", false),
    ])
    func onlyTextsAreRecovered(_ name: String, _ value: String, _ isRecovered: Bool) throws {
        var members = [
            "incomingId": "7", "incomingData": "Hi", "phoneNumber": "27123456789", "incomingUtc": "1735711200",
        ]
        members[name] = value
        let json = "{" + members.map { "\"\($0)\":\"\($1)\"" }.joined(separator: ",") + "}"
        let event = try Event(record: decoder.record(.post, .shortCode, body: Array(json.utf8)))
        #expect((event.shortCode != nil) == isRecovered, "\(json)")
        #expect(event.envelope.isRecovered == isRecovered)
    }

    /// Two names alike: a part of the text could be one of them.
    @Test func aTextBesideARepeatedNameIsNotRecovered() throws {
        let json = #"{"incomingId":7,"incomingData":"a "b","incomingID":"8"}"#
        #expect(try reply(Array(json.utf8)).unrecognised?.reason == .invalidJSON)
    }

    @Test func aRecoveredEventHasTheIDOfASoundOne() throws {
        let broken = try reply(Array(#"{"incomingId":7,"incomingData":"a "b""}"#.utf8))
        let sound = try reply(Array(#"{"incomingId":7,"incomingData":"a \"b\""}"#.utf8))
        #expect(broken.id == sound.id)
        #expect(broken.reply?.text == sound.reply?.text)
        #expect(!sound.envelope.isRecovered)
    }
}
