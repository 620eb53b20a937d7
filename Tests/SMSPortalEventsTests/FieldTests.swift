import SMSPortalEvents
import Testing

/// What values become.
@Suite struct FieldTests {
    private let decoder: CallbackDecoder

    init() throws { decoder = try CallbackDecoder() }

    private func delivery(_ members: String) throws -> DeliveryStatus {
        try #require(
            try decoder.event(.deliveryStatus, json: "{\"Status\":\"DELIVRD\",\"x\":1,\(members)}").deliveryStatus)
    }

    // MARK: - Ids and numbers

    @Test(arguments: [
        ("9007199254740993", "9007199254740993"), ("18446744073709551616", "18446744073709551616"),
        ("\"007\"", "007"), ("1.0e3", "1.0e3"), ("-5", "-5"), ("\" 12 \"", "12"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
    ])
    func idsKeepTheirDigits(_ json: String, _ text: String) throws {
        #expect(try delivery("\"id\":\(json)").messageID == text)
        #expect(try delivery("\"id\":1,\"eventId\":\(json)").batchID == text)
    }

    @Test(arguments: [
        ("27123456789", "27123456789", "27123456789"), ("+27 12-345 (67) 89", "27123456789", "27123456789"),
        ("0027123456789", "27123456789", "27123456789"), ("0821234567", "0821234567", "0821234567"),
        ("27.12.345.6789", "27123456789", "27123456789"), ("40001", "40001", "40001"),
        ("123", "123", nil), ("1234567890123456", "1234567890123456", nil), ("MyShop", "MyShop", nil),
        ("27123456789x", "27123456789x", nil), ("@@PhoneNumber@@", "@@PhoneNumber@@", nil),
        ("27 123 456 789; 27 1", "27 123 456 789; 27 1", nil), ("٢٧١٢٣٤٥٦٧٨٩", "٢٧١٢٣٤٥٦٧٨٩", nil),
        ("++27123456789", "++27123456789", nil), ("00000001", "00000001", nil),
        ("0 0 27123456789", "0 0 27123456789", nil), ("+0027123456789", "+0027123456789", nil),
        ("00123456789012345", "123456789012345", "123456789012345"),
        ("001234567890123456", "001234567890123456", nil), ("000821234567", "000821234567", nil),
        ("+0821234567", "+0821234567", nil), ("+", "+", nil), ("()", "()", nil),
        // A fraction of zeros is dropped, any other makes it no number.
        ("27821234567.0", "27821234567", "27821234567"), ("+27 82 123 4567.00", "27821234567", "27821234567"),
        ("27821234567.5", "27821234567.5", nil), ("27821234567.", "27821234567.", nil), ("27.000", "27.000", nil),
        ("27.82.123.4567.0", "27.82.123.4567.0", nil), (".27821234567", ".27821234567", nil),
        // One number, not two, and none with a sign.
        ("2782123 2783456", "2782123 2783456", nil), ("40001-40002", "40001-40002", nil),
        ("-27821234567", "-27821234567", nil), ("27821234567-", "27821234567-", nil),
        ("+91 98765 43210", "919876543210", "919876543210"), ("98765 43210", "98765 43210", nil),
        // The trunk prefix.
        ("+27 (0)82 123 4567", "27821234567", "27821234567"), ("27(0)821234567", "27821234567", "27821234567"),
        ("0027 (0) 82-123-4567", "27821234567", "27821234567"), ("(0)82 123 4567", "0821234567", "0821234567"),
        ("(082) 123-4567", "0821234567", "0821234567"), ("+27 (082) 123 4567", "+27 (082) 123 4567", nil),
        ("082 (0) 123 4567", "082 (0) 123 4567", nil), ("+27 (0)082 123 4567", "+27 (0)082 123 4567", nil),
        ("+27 82 (0) 123 4567", "+27 82 (0) 123 4567", nil), ("+27.821234567", "27821234567", "27821234567"),
        ("27.821234567", "27.821234567", nil), ("(27 821234567", "(27 821234567", nil),
    ])
    func numbersAreKeysWhenTheyAreNumbers(_ given: String, _ msisdn: String, _ key: String?) throws {
        let body = "{\"Status\":\"DELIVRD\",\"Msisdn\":\"\(given)\"}"
        let record = try decoder.record(.post, .deliveryStatus, body: Array(body.utf8))
        #expect(record.key.map { String(decoding: $0, as: UTF8.self) } == key)
        let event = try Event(record: record)
        #expect(event.msisdn == msisdn)
        #expect(event.envelope.key == key)
        #expect(event.type == .deliveryStatus)
    }

    @Test func aNumberMayBeAJSONNumber() throws {
        #expect(try delivery("\"msisdn\":27123456789").envelope.key == "27123456789")
        #expect(try delivery("\"msisdn\":27123456789.0").envelope.key == "27123456789")
        #expect(try delivery("\"msisdn\":27123456789.000").msisdn == "27123456789")
        #expect(try delivery("\"msisdn\":27.123456789").envelope.key == nil)
        #expect(try delivery("\"msisdn\":-27123456789").envelope.key == nil)
        #expect(try delivery("\"msisdn\":2.7e10").envelope.key == nil)
        #expect(try delivery("\"msisdn\":27123456789.10").msisdn == "27123456789.10")
    }

    @Test(arguments: ["27000000001", "+27000000001", "0027000000001", "27 000 000 001"])
    func theSampleNumberIsATest(_ number: String) throws {
        let event = try decoder.event(.reply, json: #"{"incomingData":"x","msisdn":"\#(number)"}"#)
        #expect(event.topic == .test)
        #expect(event.isTest)
        #expect(event.type == .reply)
    }

    /// The vendor's other sample values are ordinary in the field.
    @Test func noOtherSampleIsATest() throws {
        let json = """
            {"phoneNumber":"27000000002","customerId":"your_optional_reference_id","type":"REDIRECT",
             "interactionUtc":1735718400,"landingPageName":"ExampleLandingTemplate","eventId":1}
            """
        #expect(try decoder.event(.urlClick, json: json).topic == .urlClick)
        let unknown = try decoder.event(nil, json: #"{"phoneNumber":"27000000001"}"#)
        #expect(unknown.topic == .quarantine)
    }

    // MARK: - Texts

    @Test(arguments: [
        "", " ", "Hi", "naïve café", "Ẃɪᴅᴇ", "你好，世界", "שלום", "مرحبا", "नमस्ते", "🇿🇦 👩‍👩‍👧‍👦 😀", "a\u{0}b", "\u{1}\u{1F}\u{7F}",
        "\"quoted\" \\ back / slash", "line\nand\r\nline\ttab", "\u{2028}\u{2029}", "e\u{301}", "\u{FEFF}x",
        "{\"a\":1}", "a=b&c=d%20+",
        String(repeating: "Ω", count: 1000),
    ])
    func anyTextStaysAsItIs(_ text: String) throws {
        var json = "{\"incomingId\":7,\"incomingData\":\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": json += "\\\(scalar)"
            case _ where scalar.value < 0x20:
                json += "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            default: json.unicodeScalars.append(scalar)
            }
        }
        let reply = try #require(try decoder.event(.reply, json: json + "\"}").reply)
        #expect(Array(reply.text.utf8) == Array(text.utf8))
        var query = "IncomingID=7&IncomingData="
        for byte in text.utf8 {
            query += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: byte % 2 == 0)
        }
        let other = try #require(try decoder.event(.reply, query: query).reply)
        #expect(Array(other.text.utf8) == Array(text.utf8))
        #expect(other.id == reply.id)
    }

    @Test(arguments: [
        (#"\ud83d\ude00"#, "😀"), (#"\uD83D\uDE00!"#, "😀!"), (#"\ud83d"#, "\u{FFFD}"), (#"\ude00"#, "\u{FFFD}"),
        (#"\ud83dx"#, "\u{FFFD}x"), (#"\ud83d\n"#, "\u{FFFD}\n"), (#"\ud83d\ud83d\ude00"#, "\u{FFFD}😀"),
        (#"\ud83d\u0041"#, "\u{FFFD}A"), (#"\u00e9\/\b\f\"\\"#, "é/\u{8}\u{C}\"\\"), (#"\u0000"#, "\0"),
    ])
    func escapesAreUnderstood(_ escaped: String, _ text: String) throws {
        let reply = try decoder.event(.reply, json: "{\"incomingId\":7,\"incomingData\":\"\(escaped)\"}").reply
        #expect(reply?.text == text)
    }

    @Test(arguments: [
        ("IncomingID=7&IncomingData=a+b%2bc", "a b+c"), ("IncomingID=7&IncomingData=a%26b%3dc", "a&b=c"),
        ("IncomingID=7&IncomingData=a=b", "a=b"),
        ("IncomingData&IncomingID=7", ""), ("&&IncomingID=7&IncomingData=x&", "x"),
        ("Incoming%49D=7&incomingdata=%f0%9F%98%80", "😀"),
        ("IncomingID=7&IncomingData=;", ";"),
    ])
    func formsAreUnderstood(_ query: String, _ text: String) throws {
        #expect(try decoder.event(.reply, query: query).reply?.text == text)
        let form = try Event(
            record: decoder.record(
                .post, .reply, contentType: "Application/X-WWW-Form-URLencoded", body: Array((query + "\r\n").utf8)))
        #expect(form.reply?.text == text)
    }

    // MARK: - Whose value counts

    @Test func theLastOfRepeatedNamesCounts() throws {
        #expect(try delivery(#""id":1,"ID":2,"Id":null,"iD":"""#).messageID == "2")
        let event = try decoder.event(.deliveryStatus, query: "Status=SUBMITD&ID=1&status=DELIVRD&ID=")
        #expect(event.deliveryStatus?.status == "DELIVRD")
        #expect(event.messageID == "1")
        #expect(event.parameters?.map(\.name) == ["Status", "ID", "status", "ID"])
    }

    @Test func queryAndBodyBothCountAndTheBodyWins() throws {
        let event = try decoder.event(
            .deliveryStatus, json: #"{"status":"UNDELIV","id":5}"#,
            query: "status=DELIVRD&phoneNumber=27123456789&source=url")
        #expect(event.deliveryStatus?.status == "UNDELIV")
        #expect(event.msisdn == "27123456789")
        #expect(event.parameters?.map(\.isFromBody) == [false, false, false, true, true])
    }

    @Test func preferredNamesWinWhateverTheirOrder() throws {
        for members in [
            #""receivedUtc":1735718400,"receivedDateTime":"01/Jan/2020 00:00:00""#,
            #""receivedDateTime":"01/Jan/2020 00:00:00","receivedUtc":1735718400"#,
            #""receivedUtc":0,"received":1735718400"#,
            #""receivedUtc":"@@ReceivedUtc@@","receivedDateTime":"1/Jan/2025 10:00:00""#,
        ] {
            #expect(try delivery("\"id\":1,\(members)").occurredAt?.rfc3339 == "2025-01-01T08:00:00Z", "\(members)")
        }
        #expect(try delivery(#""id":1,"customerId":"c","userReference":"u""#).reference == "u")
        #expect(
            try decoder.event(
                .reply,
                json:
                    #"{"id":1,"incomingId":2,"message":"m","incomingData":"d","phoneNumber":"27111111111","sourcePhoneNumber":"27222222222"}"#
            ).reply.map { [$0.messageID, $0.text, $0.msisdn] } == ["2", "d", "27222222222"])
        #expect(try decoder.event(.reply, json: #"{"id":1,"incomingData":"","message":"m"}"#).reply?.text == "m")
    }

    @Test func emptyAndUnknownParametersStayInRaw() throws {
        let event = try decoder.event(
            .deliveryStatus,
            json:
                #"{"Status":"DELIVRD","Id":1,"UserReference":"","Mcc":null,"Colour":"blue","Deep":{"a":[1,{}]},"Flag":true}"#
        )
        #expect(event.reference == nil)
        #expect(event.network == nil)
        #expect(event.parameters?.map(\.name) == ["Status", "Id", "UserReference", "Mcc", "Colour", "Deep", "Flag"])
        #expect(event.parameters?.map(\.value) == ["DELIVRD", "1", "", nil, "blue", #"{"a":[1,{}]}"#, "true"])
    }

    @Test func oddFieldsAreLeftOut() throws {
        let status = try delivery(#""id":1,"msgCount":"two","flash":"maybe","eventId":{"a":1},"customerId":["x"]"#)
        #expect(status.parts == nil)
        #expect(status.flash == nil)
        #expect(status.batchID == nil)
        #expect(status.reference == nil)
        #expect(try delivery(#""id":1,"msgCount":"3","flash":false"#).parts == 3)
        #expect(try delivery(#""id":1,"msgCount":3.0"#).parts == 3)
        #expect(try delivery(#""id":1,"msgCount":3.5"#).parts == nil)
        #expect(try delivery(#""id":1,"groupData":{"a":"\"x\""}"#).group?.data == #"{"a":"\"x\""}"#)
        #expect(try delivery(#""id":1,"groupData":"plain""#).group?.data == "plain")
    }

    @Test func nestingUpToTheBoundIsFine() throws {
        let deep = String(repeating: "[", count: 63) + String(repeating: "]", count: 63)
        #expect(try delivery("\"id\":1,\"groupData\":\(deep)").group?.data == deep)
    }

    @Test func aByteOrderMarkIsSkipped() throws {
        #expect(
            try decoder.event(.deliveryStatus, json: "\u{FEFF} {\"Status\":\"DELIVRD\",\"Id\":1}").type
                == .deliveryStatus)
    }

    // MARK: - Times

    @Test(arguments: [
        ("1530013907", "2018-06-26T11:51:47Z"), ("\"1530013907\"", "2018-06-26T11:51:47Z"),
        ("1530013907123", "2018-06-26T11:51:47.123Z"),
        ("1530013907.0", "2018-06-26T11:51:47Z"), ("\"1530013907.000\"", "2018-06-26T11:51:47Z"),
        ("1530013907000", "2018-06-26T11:51:47Z"), ("951782400", "2000-02-29T00:00:00Z"),
        ("4102444799", "2099-12-31T23:59:59Z"),
        ("\"1/Jan/2021 14:04:22\"", "2021-01-01T12:04:22Z"), ("\"01/JAN/2021 00:00:00\"", "2020-12-31T22:00:00Z"),
        ("\" 29/feb/2024 01:59:59 \"", "2024-02-28T23:59:59Z"),
        ("\"31/Dec/2024 9:05:07\"", "2024-12-31T07:05:07Z"), ("\"1/Mar/2100 00:00:00\"", nil),
        ("\"31/Feb/2021 00:00:00\"", nil), ("\"29/Feb/2023 00:00:00\"", nil),
        ("\"31/Apr/2021 00:00:00\"", nil), ("\"0/Jan/2021 00:00:00\"", nil), ("\"32/Jan/2021 00:00:00\"", nil),
        ("\"1/Foo/2021 00:00:00\"", nil), ("\"1/Jan/21 00:00:00\"", nil),
        ("\"1/Jan/2021 24:00:00\"", nil), ("\"1/Jan/2021 00:60:00\"", nil), ("\"1/Jan/2021 00:00:60\"", nil),
        ("\"1/Jan/2021\"", nil), ("\"1/Jan/2021 00:00:00 PM\"", nil),
        ("\"01/Jan/0001 00:00:00\"", nil), ("0", nil), ("1", nil), ("-1530013907", nil), ("1530013907.5", nil),
        ("1.53e9", nil), ("99999999999999999999", nil), ("\"\"", nil), ("\"@@ReceivedUtc@@\"", nil),
        ("true", nil),
        ("\"2021-01-01T12:04:22Z\"", "2021-01-01T12:04:22Z"), ("\"2021-01-01T14:04:22+02:00\"", "2021-01-01T12:04:22Z"),
        ("\"2021-01-01T06:34:22-0530\"", "2021-01-01T12:04:22Z"), ("\"2021-01-01T14:04:22\"", "2021-01-01T12:04:22Z"),
        ("\"2021-01-01 14:04:22\"", "2021-01-01T12:04:22Z"), ("\"2021-01-01T12:04:22.5Z\"", "2021-01-01T12:04:22.500Z"),
        ("\"2021-01-01T12:04:22.123456789Z\"", "2021-01-01T12:04:22.123Z"),
        ("\"2021-02-31T12:04:22Z\"", nil), ("\"2021-01-01T24:04:22Z\"", nil), ("\"2021-01-01T12:04Z\"", nil),
        ("\"2021-01-01T12:04:22.Z\"", nil), ("\"2021-01-01T12:04:22+2\"", nil), ("\"2021-01-01T12:04:22Zx\"", nil),
        ("\"2021-01-01T12:04:22+24:00\"", nil), ("\"2021-01-01\"", nil), ("\"0001-01-01T00:00:00Z\"", nil),
    ])
    func timesAreRead(_ json: String, _ text: String?) throws {
        let status = try delivery("\"id\":1,\"received\":\(json)")
        #expect(status.occurredAt?.rfc3339 == text)
    }

    @Test func timesAreWrittenAndReadAllTheWay() {
        for milliseconds: Int64 in [
            0, -1, 1, 999, -62_167_219_200_000, 253_402_300_799_999, .min, .max, 1_795_456_226_123, 951_782_400_000,
            -86_400_000, -86_400_001,
        ] {
            let time = EventTime(millisecondsSinceEpoch: milliseconds)
            #expect(EventTime(rfc3339: time.rfc3339) == time)
        }
        #expect(EventTime(rfc3339: "1970-01-01T00:00:00.1Z")?.millisecondsSinceEpoch == 100)
        #expect(EventTime(rfc3339: "1970-01-01T00:00:00.12Z")?.millisecondsSinceEpoch == 120)
        #expect(EventTime(millisecondsSinceEpoch: .min).rfc3339 == "0000-01-01T00:00:00Z")
        #expect(EventTime(millisecondsSinceEpoch: .max).rfc3339 == "9999-12-31T23:59:59.999Z")
        for text in [
            "", "2021-01-01", "2021-13-01T00:00:00Z", "2021-02-29T00:00:00Z", "2021-01-01T24:00:00Z",
            "2021-01-01T00:00:60Z", "2021-01-01 00:00:00Z", "2021-01-01T00:00:00+02:00", "2021-01-01T00:00:00.Z",
            "2021-01-01T00:00:00.1234Z", "-021-01-01T00:00:00Z",
        ] {
            #expect(EventTime(rfc3339: text) == nil, "\(text)")
        }
    }

    // MARK: - States and opt-outs

    @Test(arguments: [
        ("DELIVRD", DeliveryState.delivered), ("delivrd", .delivered), ("UNDELIV", .failed), ("EXPIRED", .failed),
        ("BLIST", .failed), ("SUBMITD", .pending), ("STAGED", .pending), ("CANCELLED", .failed), ("NOROUTE", .failed),
        ("DELIVERED", .unknown), ("@@Status@@", .unknown), ("😀", .unknown),
    ])
    func statesFollowStatuses(_ status: String, _ state: DeliveryState) throws {
        let event = try decoder.event(.deliveryStatus, json: "{\"Status\":\"\(status)\",\"id\":1}").deliveryStatus
        #expect(event?.status == status)
        #expect(event?.state == state)
        #expect(DeliveryState(status: status) == state)
    }

    @Test(arguments: [
        ("Stop", true), ("STOP", true), (" stop!\n", true), ("\"Stop.\"", true), ("Opt-Out", true), ("opt out", true),
        ("OPTOUT", true), ("unsubscribe…", true), ("¡Stop!", true), ("s.t.o.p", true), ("Quit", true), ("spam", true),
        ("remove", true), ("delete", true), ("stop\u{A0}", true), ("stop\u{200B}", true),
        ("stop it", false), ("don't stop", false), ("", false), ("!", false), ("stoppp", false), ("sto", false),
        ("STOP 😀", false), ("stóp", false), ("1stop", false),
    ])
    func optOutsAreWholeMessages(_ text: String, _ isOptOut: Bool) throws {
        let json = text.map { $0 == "\n" ? "\\n" : $0 == "\"" ? "\\\"" : "\($0)" }.joined()
        #expect(try decoder.event(.reply, json: "{\"incomingId\":1,\"incomingData\":\"\(json)\"}").isOptOut == isOptOut)
        let record = try decoder.record(.post, .shortCode, body: Array("{\"id\":1,\"incomingData\":\"\(json)\"}".utf8))
        #expect(try JSONValue(record.value)["optOut"] == (isOptOut ? .bool(true) : nil))
    }

    @Test func optOutPhrasesAreConfigurable() throws {
        let decoder = try CallbackDecoder(DecoderConfiguration(optOutPhrases: ["Arrêt", "haan band karo", "停止"]))
        for text in ["ARRÊT!", "arrêt", "Haan, band karo.", "停止。"] {
            #expect(try decoder.event(.reply, json: "{\"id\":1,\"message\":\"\(text)\"}").isOptOut, "\(text)")
        }
        #expect(try decoder.event(.reply, json: #"{"id":1,"message":"Stop"}"#).isOptOut == false)
        let none = try CallbackDecoder(DecoderConfiguration(optOutPhrases: []))
        #expect(try none.event(.reply, json: #"{"id":1,"message":"Stop"}"#).isOptOut == false)
        // Statuses have no text of a subscriber's.
        #expect(try decoder.event(.deliveryStatus, json: #"{"id":1,"status":"Arrêt"}"#).isOptOut == false)
    }
}
