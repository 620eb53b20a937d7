import SMSPortalEvents
import Testing

/// A callback that makes no sense, and why.
struct BadPayload: CustomTestStringConvertible, Sendable {
    let name: String
    let reason: UnrecognisedReason
    var method = CallbackMethod.post
    var route: EventType? = .deliveryStatus
    var contentType = "application/json"
    var contentEncoding = ""
    var query: [UInt8] = []
    var body: [UInt8] = []

    var testDescription: String { name }

    static func json(_ name: String, _ reason: UnrecognisedReason, _ body: String, route: EventType? = .deliveryStatus)
        -> BadPayload
    {
        BadPayload(name: name, reason: reason, route: route, body: Array(body.utf8))
    }

    static func bytes(_ name: String, _ reason: UnrecognisedReason, _ body: [UInt8]) -> BadPayload {
        BadPayload(name: name, reason: reason, body: body)
    }

    static func query(
        _ name: String, _ reason: UnrecognisedReason, _ query: String, route: EventType? = .deliveryStatus
    )
        -> BadPayload
    {
        BadPayload(name: name, reason: reason, method: .get, route: route, contentType: "", query: Array(query.utf8))
    }

    static func form(_ name: String, _ reason: UnrecognisedReason, _ body: [UInt8]) -> BadPayload {
        BadPayload(
            name: name, reason: reason, contentType: "application/x-www-form-urlencoded; charset=utf-8", body: body)
    }

    private static let whole = #""Status":"DELIVRD","Msisdn":"27123456789""#
    private static func nested(_ levels: Int) -> String {
        "{\(whole),\"x\":" + String(repeating: "[", count: levels - 1) + String(repeating: "]", count: levels - 1) + "}"
    }

    /// A whole delivery status with so many parameters.
    static func formOf(_ count: Int) -> String {
        "Status=DELIVRD&Msisdn=27123456789" + String(repeating: "&a", count: count - 2)
    }

    static func objectOf(_ count: Int) -> String { "{\(whole)" + String(repeating: ",\"a\":1", count: count - 2) + "}" }

    static let all: [BadPayload] = [
        // Nothing at all.
        .json("nothing", .empty, ""), .json("white space", .empty, " \t\r\n "),
        BadPayload(name: "GET with nothing", reason: .empty, method: .get, route: nil, contentType: ""),

        // JSON that is broken.
        .json("an open brace", .invalidJSON, "{"), .json("a closing brace", .invalidJSON, "}"),
        .json("cut in a name", .invalidJSON, #"{"Sta"#), .json("cut after a name", .invalidJSON, #"{"Status""#),
        .json("cut after a colon", .invalidJSON, #"{"Status":"#),
        .json("cut in a value", .invalidJSON, #"{"Status":"DELI"#),
        .json("cut after a value", .invalidJSON, #"{"Status":"DELIVRD""#),
        .json("cut after a comma", .invalidJSON, #"{"Status":"DELIVRD","#),
        .json("cut in an escape", .invalidJSON, #"{"Status":"\"#),
        .json("cut in a Unicode escape", .invalidJSON, #"{"Status":"\u00"#),
        .json("a comma too many", .invalidJSON, "{\(whole),}"), .json("a comma at first", .invalidJSON, "{,\(whole)}"),
        .json("two commas", .invalidJSON, #"{"a":1,,"b":2}"#), .json("no comma", .invalidJSON, #"{"a":1 "b":2}"#),
        .json("no colon", .invalidJSON, #"{"a" 1}"#), .json("two colons", .invalidJSON, #"{"a"::1}"#),
        .json("a name without quotes", .invalidJSON, #"{Status:"DELIVRD"}"#),
        .json("single quotes", .invalidJSON, "{'Status':'DELIVRD'}"),
        .json("a number for a name", .invalidJSON, #"{1:"DELIVRD"}"#),
        .json("no value", .invalidJSON, #"{"Status":}"#),
        .json("a bare word", .invalidJSON, #"{"Status":DELIVRD}"#),
        .json("True with a capital", .invalidJSON, #"{"Status":True}"#),
        .json("half a word", .invalidJSON, #"{"Status":tru}"#), .json("NaN", .invalidJSON, #"{"Status":NaN}"#),
        .json("undefined", .invalidJSON, #"{"Status":undefined}"#),
        .json("a leading zero", .invalidJSON, #"{"Id":01}"#), .json("a plus sign", .invalidJSON, #"{"Id":+1}"#),
        .json("a minus alone", .invalidJSON, #"{"Id":-}"#), .json("a point at the end", .invalidJSON, #"{"Id":1.}"#),
        .json("a point at first", .invalidJSON, #"{"Id":.5}"#), .json("half an exponent", .invalidJSON, #"{"Id":1e}"#),
        .json("a hexadecimal number", .invalidJSON, #"{"Id":0x10}"#),
        .json("an unknown escape", .invalidJSON, #"{"Status":"\x41"}"#),
        .json("an escape that is no hexadecimal", .invalidJSON, #"{"Status":"\u00zz"}"#),
        .json("a line end in a text", .invalidJSON, "{\"Status\":\"DELI\nVRD\"}"),
        .json("a tab in a text", .invalidJSON, "{\"Status\":\"DELI\tVRD\"}"),
        .json("a NUL in a text", .invalidJSON, "{\"Status\":\"DELI\0VRD\"}"),
        .json("a control character in a name", .invalidJSON, "{\"Sta\u{1}tus\":\"DELIVRD\"}"),
        .json(
            "a quote in a reply's text, and no sender", .invalidJSON, #"{"incomingData":"He said "no""}"#, route: .reply
        ),
        .json(
            "a quote in two texts", .invalidJSON, #"{"incomingData":"a "b" c","id":1,"sentData":"d "e" f"}"#,
            route: .reply),
        .json(
            "a quote in a text of unknown type", .invalidJSON, #"{"note":"He said "no"","colour":"blue"}"#, route: nil),
        .json("something after the end", .invalidJSON, "{\(whole)} x"),
        .json("two objects", .invalidJSON, "{\(whole)}{}"),
        .json("a NUL after the end", .invalidJSON, "{\(whole)}\0"), .json("a comment", .invalidJSON, "{\(whole)/*x*/}"),
        .json("a bracket for a brace", .invalidJSON, "{\(whole)]"),
        .json("brackets crossed", .invalidJSON, #"{"x":[{"y":1]}}"#),
        .json("a nested comma too many", .invalidJSON, #"{"x":[1,]}"#),
        .json("a nested name without value", .invalidJSON, #"{"x":{"y"}}"#),
        .json("a nested bad escape", .invalidJSON, #"{"x":["\q"]}"#),
        .json("two byte order marks", .invalidJSON, "\u{FEFF}\u{FEFF}{\(whole)}"),
        .json("a byte order mark alone", .invalidJSON, "\u{FEFF}"),
        .json("a no-break space before", .invalidJSON, "\u{A0}{\(whole)}"),
        .json("plain words", .invalidJSON, "hello world"), .json("a form feed before", .invalidJSON, "\u{C}{\(whole)}"),
        .json("XML", .invalidJSON, #"<?xml version="1.0"?><Status>DELIVRD</Status>"#),
        .json("HTML", .invalidJSON, "<html><body>502 Bad Gateway</body></html>"),
        .json(
            "multipart", .invalidJSON, "--b\r\nContent-Disposition: form-data; name=\"Status\"\r\n\r\nDELIVRD\r\n--b--"),
        .json("UTF-16 as UTF-8", .invalidJSON, "{\0\"\0S\0\"\0:\0001\0}\0"),
        .json("placeholders that were not filled", .invalidJSON, "{\"id\":@@Id@@}"),

        // JSON of another kind.
        .json("an array", .notAnObject, "[{\(whole)}]"), .json("an empty array", .notAnObject, "[]"),
        .json("a text", .notAnObject, #""DELIVRD""#), .json("a number", .notAnObject, "42"),
        .json("a number with an exponent", .notAnObject, "-1.5e+10"),
        .json("true", .notAnObject, "true"), .json("null", .notAnObject, " null "),
        .json("JSON in a text", .notAnObject, #""{\"Status\":\"DELIVRD\"}""#),

        // Deep.
        .json("65 levels", .tooDeep, nested(65)), .json("20,000 levels", .tooDeep, nested(20_000)),
        .json(
            "65 levels of objects", .tooDeep,
            "{" + String(repeating: #""a":{"#, count: 64) + String(repeating: "}", count: 65)),

        // Not UTF-8.
        .bytes("Latin-1", .invalidUTF8, Array(#"{"Status":"caf"#.utf8) + [0xE9] + Array(#""}"#.utf8)),
        .bytes("a lone continuation", .invalidUTF8, [0x80]), .bytes("an overlong slash", .invalidUTF8, [0xC0, 0xAF]),
        .bytes("an overlong of three", .invalidUTF8, [0xE0, 0x80, 0xAF]),
        .bytes("an overlong of four", .invalidUTF8, [0xF0, 0x80, 0x80, 0xAF]),
        .bytes("a surrogate", .invalidUTF8, [0xED, 0xA0, 0x80]),
        .bytes("past the end", .invalidUTF8, [0xF4, 0x90, 0x80, 0x80]),
        .bytes("cut in a character", .invalidUTF8, Array("{\"a\":\"".utf8) + [0xF0, 0x9F, 0x98]),
        .bytes("0xFF", .invalidUTF8, [0xFF, 0xFE, 0x7B, 0x00]),
        .bytes("gzip", .invalidUTF8, [0x1F, 0x8B, 0x08, 0x00, 0xFF]),
        .bytes(
            "valid JSON but for one byte in an unknown field", .invalidUTF8,
            Array("{\(whole),\"x\":\"".utf8) + [0xC3, 0x28] + Array("\"}".utf8)),
        BadPayload(
            name: "a query with bytes", reason: .invalidUTF8, method: .get, query: Array("Status=".utf8) + [0xE9]),
        .query("Latin-1 in percent escapes", .invalidUTF8, "IncomingData=caf%E9&IncomingID=1", route: .reply),
        .query("a surrogate in percent escapes", .invalidUTF8, "IncomingData=%ED%A0%80", route: .reply),
        .query("a name in bad percent escapes", .invalidUTF8, "%FF=1"),

        // Forms that are broken.
        .query("a percent sign alone", .invalidForm, "Status=100%"), .query("one digit", .invalidForm, "Status=%4"),
        .query("no digits", .invalidForm, "Status=%zz&ID=1"), .query("a bad name", .invalidForm, "%=1"),
        .query("a sign for a digit", .invalidForm, "Status=%+1"),
        .form("a control character", .invalidForm, Array("Status=DELIVRD\u{1}&ID=1".utf8)),
        .form("a line end", .invalidForm, Array("Status=DELIVRD\r\nID=1".utf8)),
        .form("a NUL", .invalidForm, Array("Status=\0".utf8)), .form("DEL", .invalidForm, Array("Status=\u{7F}".utf8)),
        .form("broken JSON called a form", .invalidJSON, Array(#"{"Status":"a=b"#.utf8)),

        // Well formed, but of no type.
        .json("an empty object", .unknownShape, "{}", route: nil),
        .json("an empty name", .unknownShape, #"{"":1}"#, route: nil),
        .json("a number alone", .unknownShape, #"{"Msisdn":"27123456789"}"#, route: nil),
        .json("a status alone", .unknownShape, #"{"status":"ok"}"#, route: nil),
        .json("somebody else's error", .unknownShape, #"{"status":"error","message":"no"}"#, route: nil),
        .json("somebody else's receipt", .unknownShape, #"{"messageId":"1","statusCode":2}"#, route: nil),
        .json("somebody else's type", .unknownShape, #"{"type":"push","id":7}"#, route: nil),
        .query("a query of no type", .unknownShape, "utm_source=x&gclid=y", route: nil),
        .query("a name alone", .unknownShape, "ping", route: nil),
        .query("ampersands", .unknownShape, "&&&", route: nil),

        // Of a type, but without what makes it one.
        .json("no status", .missingFields, #"{"Msisdn":"27123456789","EventId":1}"#),
        .json("an empty status", .missingFields, #"{"Status":"","Msisdn":"27123456789"}"#),
        .json("a blank status", .missingFields, #"{"Status":"  ","Msisdn":"27123456789"}"#),
        .json("a null status", .missingFields, #"{"Status":null,"Msisdn":"27123456789"}"#),
        .json("an object for a status", .missingFields, #"{"Status":{"a":1},"Msisdn":"27123456789"}"#),
        .json("a status of nobody", .missingFields, #"{"Status":"DELIVRD","Received":1530013907}"#),
        .json("an empty object with a type", .missingFields, "{}"),
        .json("a reply without text", .missingFields, #"{"sourcePhoneNumber":"27123456789"}"#, route: .reply),
        .json("a reply of nobody", .missingFields, #"{"incomingData":"Hi"}"#, route: .reply),
        .json(
            "a short code without text", .missingFields, #"{"sc":"40001","phoneNumber":"27123456789"}"#,
            route: .shortCode),
        .json("a short code that is guessed, without text", .missingFields, #"{"sc":"40001","id":1}"#, route: nil),
        .json("a click on nothing by nobody", .missingFields, #"{"interactionUtc":1735718400}"#, route: .urlClick),
        .query("a preview of nothing", .missingFields, "x=1", route: .urlPreview),
        .json(
            "a reply sent to the route of delivery statuses", .missingFields, #"{"incomingData":"Hi","incomingId":1}"#),

        // Too much to be an SMS.
        .json(
            "a text of 64 KiB and more", .tooLong,
            #"{"incomingId":1,"incomingData":""# + String(repeating: "x", count: 65_540) + "\"}", route: .reply),

        // In a charset or coding that cannot be undone.
        BadPayload(
            name: "an unknown charset", reason: .unsupportedCharset,
            contentType: "application/json; charset=x-klingon", body: [0xE9]),
        BadPayload(
            name: "UTF-7", reason: .unsupportedCharset, contentType: "application/json;charset=utf-7", body: [0xFF]),
        BadPayload(
            name: "no Windows-1252", reason: .invalidCharset, contentType: "application/json; charset=windows-1252",
            body: Array(#"{"Status":""#.utf8) + [0x81] + Array(#"","ID":1}"#.utf8)),
        BadPayload(
            name: "half a character of UTF-16", reason: .invalidCharset,
            contentType: "application/json; charset=utf-16le",
            body: [0xFF, 0xFE, 0x7B, 0x00, 0x00, 0xD8]),
        BadPayload(
            name: "Latin-1 that is no JSON", reason: .invalidJSON, contentType: "text/plain; charset=ISO-8859-1",
            body: [0xE9]),
        BadPayload(
            name: "UTF-8 that is none", reason: .invalidUTF8, contentType: "application/json; charset=utf-8",
            body: [0xE9]),
        BadPayload(name: "Brotli", reason: .unsupportedEncoding, contentEncoding: "br", body: [0x8B, 0x00, 0x80]),
        BadPayload(
            name: "two codings", reason: .unsupportedEncoding, contentEncoding: "gzip, gzip", body: [0x1F, 0x8B]),
        BadPayload(
            name: "no gzip", reason: .invalidEncoding, contentEncoding: "gzip", body: [0x1F, 0x8B, 0x08, 0x00, 0xFF]),
        BadPayload(name: "no deflate", reason: .invalidEncoding, contentEncoding: "deflate", body: [0xFF, 0xFF, 0xFF]),

        // Too many to be a callback.
        .form("131,072 parameters", .tooMany, Array(String(repeating: "a&", count: 131_072).utf8)),
        .form("one too many in a form", .tooMany, Array(formOf(4_097).utf8)),
        .query("one too many in a query", .tooMany, formOf(4_097)),
        .json("one too many in an object", .tooMany, objectOf(4_097)),
        .json("one too many, and then broken", .tooMany, String(objectOf(4_097).dropLast()) + ",,"),
        BadPayload(
            name: "one too many in query and body together", reason: .tooMany, query: Array(formOf(4_000).utf8),
            body: Array(objectOf(97).utf8)),
    ]
}

/// Nothing that comes in is lost or stops anything.
@Suite struct BadPayloadTests {
    @Test func thereAreEnough() {
        #expect(BadPayload.all.count >= 100)
        #expect(Set(BadPayload.all.map(\.name)).count == BadPayload.all.count)
        #expect(Set(BadPayload.all.map(\.reason)) == Set(UnrecognisedReason.all))
    }

    @Test(arguments: [
        BadPayload.form("the most in a form", .empty, Array(BadPayload.formOf(4_096).utf8)),
        .query("the most in a query", .empty, BadPayload.formOf(4_096)),
        .json("the most in an object", .empty, BadPayload.objectOf(4_096)),
    ])
    func asManyParametersAsAreLetInAreRead(_ good: BadPayload) throws {
        let decoder = try CallbackDecoder()
        let record = try decoder.record(
            good.method, good.route, contentType: good.contentType, query: good.query, body: good.body)
        let event = try Event(record: record)
        #expect(event.type == .deliveryStatus)
        #expect(event.envelope.raw.parameters?.count == 4_096)
    }

    @Test(arguments: BadPayload.all)
    func isKeptWithItsReason(_ bad: BadPayload) throws {
        let decoder = try CallbackDecoder()
        let record = try decoder.record(
            bad.method, bad.route, contentType: bad.contentType, contentEncoding: bad.contentEncoding, query: bad.query,
            body: bad.body)
        #expect(record.topic == .quarantine)
        #expect(record.key == nil)
        let event = try #require(try Event(record: record).unrecognised)
        #expect(event.reason == bad.reason, "\(event.detail ?? "")")
        #expect(event.idBasis == .reception)
        #expect(event.raw.contentType == bad.contentType)
        // Whatever came before leaves no trace in what comes after.
        let good = try decoder.event(.deliveryStatus, json: #"{"Status":"DELIVRD","Msisdn":"27123456789"}"#)
        #expect(good.deliveryStatus?.msisdn == "27123456789")
        #expect(good.batchID == nil)
    }

    /// A repeat cannot be told from another callback alike, so each has an id of its own; nothing is merged.
    @Test func eachHasItsOwnID() throws {
        let decoder = try CallbackDecoder()
        let ids = try (0..<200).map { _ in try decoder.record(.post, .reply, body: Array("{".utf8)).header("ce_id") }
        #expect(Set(ids).count == 200)
    }

    @Test func theDetailSaysWhere() throws {
        let decoder = try CallbackDecoder()
        #expect(try decoder.event(.reply, json: #"{"a":x}"#).unrecognised?.detail == "body, byte 5")
        #expect(try decoder.event(.reply, query: "a=%x").unrecognised?.detail == "query, byte 2")
        #expect(try decoder.event(.reply, json: "{}").unrecognised?.detail == "text")
        #expect(try decoder.event(.deliveryStatus, json: "{}").unrecognised?.detail == "status")
    }
}
