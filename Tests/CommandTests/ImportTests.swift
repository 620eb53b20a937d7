import Foundation
import SMSBridgeSettings
import SMSPortalEvents
import Testing

@testable import smsbridge

/// Bytes in parts of one size.
private final class Parts: ImportBytes {
    let name = "input"
    private var bytes: [UInt8]
    private let size: Int

    init(_ text: String, size: Int) {
        bytes = Array(text.utf8)
        self.size = size
    }

    init(bytes: [UInt8], size: Int) {
        self.bytes = bytes
        self.size = size
    }

    func next() -> [UInt8]? {
        guard !bytes.isEmpty else { return nil }
        defer { bytes.removeFirst(min(size, bytes.count)) }
        return Array(bytes.prefix(size))
    }
}

private func items(_ rows: any ImportRows) throws -> [ImportItem] {
    var all: [ImportItem] = []
    while let item = try rows.next() { all.append(item) }
    return all
}

/// What is compared of an item: the line, and the body or the problem's first words.
private func summary(_ item: ImportItem) -> String {
    switch item {
    case .row(let row): "\(row.line) \(String(decoding: row.body, as: UTF8.self))"
    case .malformed(let line, let problem): "\(line)! \(problem)"
    case .skipped(let reason): "skipped \(reason)"
    }
}

/// Every way in which the parts of a stream can fall.
private func atEverySplit(_ text: String, _ make: (Parts) throws -> any ImportRows) throws -> [String] {
    let whole = try items(make(Parts(text, size: text.utf8.count + 1))).map(summary)
    for size in 1...max(1, min(64, text.utf8.count)) {
        #expect(try items(make(Parts(text, size: size))).map(summary) == whole, "parts of \(size)")
    }
    return whole
}

@Suite struct ImportCSVTests {
    private func csv(_ text: String, _ options: ImportOptions = ImportOptions(), delimiter: Character = ",") throws
        -> [String]
    {
        try atEverySplit(text) { CSVRows($0, options, delimiter: delimiter.asciiValue ?? 44) }
    }

    @Test func cellsAreReadAsRFC4180HasThem() throws {
        let rows = try csv(
            "a,b,c\r\n1,\"two, \"\"quoted\"\"\r\nlines\",3\r\n\r\n,\"\",x\n\"last\",2,3")
        #expect(
            rows == [
                "2 {\"a\":\"1\",\"b\":\"two, \\\"quoted\\\"\\u000d\\u000alines\",\"c\":\"3\"}",
                "5 {\"b\":\"\",\"c\":\"x\"}",
                "6 {\"a\":\"last\",\"b\":\"2\",\"c\":\"3\"}",
            ])
    }

    @Test func anEmptyCellIsAbsentUnlessQuotedOrAskedFor() throws {
        var options = ImportOptions()
        options.keepsEmptyCells = true
        #expect(try csv("a;b\n;\n", options, delimiter: ";") == ["2 {\"a\":\"\",\"b\":\"\"}"])
        #expect(try csv("a;b\n;\n", delimiter: ";") == ["2 {}"])
        #expect(try csv("\u{FEFF}a\tb\n1\t2\n", delimiter: "\t") == ["2 {\"a\":\"1\",\"b\":\"2\"}"])
    }

    @Test func whatIsMalformedIsReportedWithItsLineAndStopsNothing() throws {
        let rows = try csv("a,b\n1,2,3\n4,5\nx\"y,6\n\"7\"z,8\n9,10\n\"open,11\n12,13\n14,15\n")
        #expect(
            rows == [
                "2! 3 cells, and the header has 2", "3 {\"a\":\"4\",\"b\":\"5\"}",
                "4! a quote within a cell without quotes", "5! text after the closing quote of a cell",
                "6 {\"a\":\"9\",\"b\":\"10\"}", "7! a quote that is not closed", "8 {\"a\":\"12\",\"b\":\"13\"}",
                "9 {\"a\":\"14\",\"b\":\"15\"}",
            ])
        // Two quotes that are not closed make one cell of what is between them.
        #expect(
            try csv("a,b\n\"1,2\n3,4\n5,\"6\n7,8\n") == [
                "2! text after the closing quote of a cell", "3 {\"a\":\"3\",\"b\":\"4\"}",
                "4! a quote that is not closed",
                "5 {\"a\":\"7\",\"b\":\"8\"}",
            ])
        #expect(
            try csv("a,b,c\n\"1,2\n3\",4\n5,6,7\n") == [
                "2! 2 cells, and the header has 3", "3! a quote within a cell without quotes",
                "4 {\"a\":\"5\",\"b\":\"6\",\"c\":\"7\"}",
            ])
    }

    @Test func aRowThatIsTooLongIsPassed() throws {
        let long = String(repeating: "x", count: ImportLines.longest + 1_000)
        let rows = try items(CSVRows(Parts("a\n\(long)\nshort\n", size: 65_536), ImportOptions(), delimiter: 44)).map(
            summary)
        #expect(rows.count == 2 && rows[0].hasPrefix("2! longer than") && rows[1] == "3 {\"a\":\"short\"}", "\(rows)")
        let open = "a\n\"\(long)\nshort\n"
        let others = try items(CSVRows(Parts(open, size: 65_536), ImportOptions(), delimiter: 44)).map(summary)
        #expect(
            others.count == 2 && others[0].hasPrefix("2! longer than") && others[1] == "3 {\"a\":\"short\"}",
            "\(others)")
    }

    @Test func theTimeOfReceptionIsNoPartOfTheCallback() throws {
        var options = ImportOptions()
        options.receivedAt = "at"
        let rows = try items(
            CSVRows(
                Parts("at,a\n2026-11-17T02:00:00+02:00,1\n1794873600,2\n16/Nov/2026 26:00:00,3\n", size: 7), options,
                delimiter: 44))
        #expect(rows.map(summary) == ["2 {\"a\":\"1\"}", "3 {\"a\":\"2\"}", "4! at: not a time"])
        for case .row(let row) in rows { #expect(row.receivedAt == 1_794_873_600_000) }
        #expect(throws: ReplayFailure.self) {
            _ = try items(CSVRows(Parts("b,a\n1,2\n", size: 9), options, delimiter: 44))
        }
    }

    @Test(arguments: ["a,a\n1,2\n", "a,\n1,2\n", "\"a\n"]) func aHeaderThatIsWrongIsAFailure(text: String) {
        #expect(throws: ReplayFailure.self) {
            _ = try items(CSVRows(Parts(text, size: 3), ImportOptions(), delimiter: 44))
        }
    }
}

@Suite struct ImportXMLTests {
    private func xml(_ text: String, _ options: ImportOptions = ImportOptions()) throws -> [String] {
        try atEverySplit(text) { try XMLRows($0, options, encoding: nil) }
    }

    private let head = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<api_result>\n"
    private let tail = "<call_result><result>True</result><error /></call_result></api_result>\n"

    @Test func rowsOfTheVendorAreCallbacksByTheirColumns() throws {
        let rows = try xml(
            head
                + "<data><changeid>7</changeid><sentid>9120243</sentid><eventid>1</eventid><smstype>Sms</smstype>\n"
                + "<numto>27000000001</numto><data>Hi &amp; bye</data><customerid/><status>DELIVRD</status>"
                + "<statusdate>16/Oct/2020 12:25:36</statusdate></data>\n"
                + "<data><replyid>5</replyid><numfrom>27821234567</numfrom><receiveddata><![CDATA[a<b]]></receiveddata></data>\n"
                + "<data><changeid>3</changeid><shortcode>40001</shortcode><message>x</message></data>\n" + tail)
        #expect(
            rows == [
                "3 {\"changeid\":\"7\",\"ID\":\"9120243\",\"EventID\":\"1\",\"DataType\":\"Sms\",\"Phonenumber\":\"27000000001\","
                    + "\"Data\":\"Hi & bye\",\"CustomerID\":\"\",\"Status\":\"DELIVRD\",\"SentDataTime\":\"16/Oct/2020 12:25:36\"}",
                "5 {\"IncomingID\":\"5\",\"Phonenumber\":\"27821234567\",\"IncomingData\":\"a<b\"}",
                "6 {\"changeid\":\"3\",\"shortcode\":\"40001\",\"message\":\"x\"}",
            ])
        let types = try items(
            XMLRows(Parts(head + "<data><replyid>5</replyid></data>" + tail, size: 9), ImportOptions(), encoding: nil))
        guard case .row(let row) = types[0] else {
            Issue.record("\(types)")
            return
        }
        #expect(row.route == .reply)
    }

    @Test func whatIsNotWellFormedIsReportedAndReadingGoesOnWithTheNextRow() throws {
        let rows = try xml(
            head
                + "<data><replyid>1</replyid></data>\n<data><replyid>2</replyid><receiveddata>Tom & Jerry</receiveddata></data>\n"
                + "<data><replyid>3</replyid><receiveddata>a < b</receiveddata></data>\n<data><replyid>4</replyid></data>\n"
                + tail
                + head + "<data><replyid>5</replyid></data>" + tail)
        #expect(rows.count == 5, "\(rows)")
        #expect(rows[0] == "3 {\"IncomingID\":\"1\"}" && rows[3] == "6 {\"IncomingID\":\"4\"}")
        #expect(rows[1].hasPrefix("4! not well-formed XML") && rows[2].hasPrefix("5! not well-formed XML"))
        #expect(rows[4] == "10 {\"IncomingID\":\"5\"}", "a second document follows")
    }

    @Test func anAnswerThatIsAnErrorIsReported() throws {
        #expect(
            try xml(
                "<api_result><call_result><result>False</result><error>invalid login</error></call_result></api_result>"
            )
                == ["1! the vendor's answer is an error: invalid login"])
        #expect(try xml("<api_result><call_result><result>True</result><error/></call_result></api_result>") == [])
        #expect(
            try xml("<api_result><data><foo>1</foo></data></api_result>")
                == ["1! neither a sent message, a reply nor a message to a short code (see --type)"])
        #expect(
            try xml("<api_result>\n<data><replyid>1</replyid></data>\n").last?.hasPrefix("3! not well-formed") == true)
        #expect(try xml("") == [] && xml("\n \n") == [])
        #expect(try xml("no XML").count == 1)
    }

    @Test func encodingsAreThoseThatTheDocumentDeclares() throws {
        let body =
            "<api_result><data><replyid>1</replyid><receiveddata>caf\u{E9} \u{80}</receiveddata></data>\n"
            + "<data><replyid>2</replyid><receiveddata>& \u{E9}</receiveddata></data><data><replyid>3</replyid>"
            + "<receiveddata>\u{E9}</receiveddata></data></api_result>"
        func rows(_ encoding: String) throws -> [String] {
            let text = "<?xml version=\"1.0\" encoding=\"\(encoding)\"?>" + body
            let bytes = text.unicodeScalars.map { UInt8($0.value) }
            return try items(XMLRows(Parts(bytes: bytes, size: 11), ImportOptions(), encoding: nil)).map(summary)
        }
        let latin = try rows("ISO-8859-1")
        #expect(latin[0] == "1 {\"IncomingID\":\"1\",\"IncomingData\":\"caf\u{E9} \u{80}\"}")
        #expect(latin.last == "2 {\"IncomingID\":\"3\",\"IncomingData\":\"\u{E9}\"}", "also after an error")
        #expect(try rows("windows-1252")[0] == "1 {\"IncomingID\":\"1\",\"IncomingData\":\"caf\u{E9} \u{20AC}\"}")
    }

    @Test func entitiesThatExpandToGigabytesAreNotAccepted() throws {
        let rows = try xml(
            "<!DOCTYPE a [<!ENTITY b \"bbbbbbbbbb\"><!ENTITY c \"&b;&b;&b;&b;\">]>\n<a><data><replyid>&c;</replyid></data></a>"
        )
        #expect(rows.count == 1 && rows[0].contains("document type"), "\(rows)")
    }
}

@Suite struct ImportLineTests {
    private let options = ImportOptions()

    private func accessLog(_ line: String, _ options: ImportOptions = ImportOptions()) -> LineRows.ParsedLine {
        AccessLogRows.parse(Array(line.utf8), options)
    }

    private func row(_ line: LineRows.ParsedLine) -> ImportRow? {
        if case .row(let row) = line { row } else { nil }
    }

    private func words(_ line: LineRows.ParsedLine) -> String {
        switch line {
        case .row: "row"
        case .malformed(let problem): problem
        case .skipped(let reason): reason
        }
    }

    @Test func aCallbackOfAnAccessLogIsWhatWasRequested() throws {
        let combined = try #require(
            row(
                accessLog(
                    "102.205.164.49 - - [17/Nov/2026:02:00:00 +0200] \"GET /webhooks/a-secret/reply?IncomingID=1&secret=x&a=b%20c "
                        + "HTTP/1.1\" 503 11 \"-\" \"agent \\\"quoted\\\"\"")))
        #expect(combined.method == .get && combined.route == .reply && combined.receivedAt == 1_794_873_600_000)
        #expect(String(decoding: combined.query, as: UTF8.self) == "IncomingID=1&a=b%20c")
        let common = try #require(
            row(accessLog("::1 - some user [16/Nov/2026:19:30:00 -0430] \"POST /webhooks?ID=1\\x41 HTTP/1.0\" 404 -")))
        #expect(common.method == .post && common.route == nil && common.receivedAt == 1_794_873_600_000)
        #expect(String(decoding: common.query, as: UTF8.self) == "ID=1A")
        var behind = ImportOptions()
        behind.basePath = "/sms"
        #expect(
            row(
                accessLog(
                    "h - - [17/Nov/2026:00:00:00 +0000] \"GET /SMS/webhooks/url-click?a=1 HTTP/1.1\" 502 0", behind))?
                .route
                == .urlClick)
    }

    @Test(arguments: [
        ("h - - [17/Nov/2026:00:00:00 +0000] \"GET /webhooks?a=1 HTTP/1.1\" 200 4", "answered with other statuses"),
        ("h - - [17/Nov/2026:00:00:00 +0000] \"GET /other?a=1 HTTP/1.1\" 503 4", "other requests"),
        ("h - - [17/Nov/2026:00:00:00 +0000] \"GET /webhooks HTTP/1.1\" 503 4", "without data"),
        (
            "h - - [17/Nov/2026:00:00:00 +0000] \"POST /webhooks/reply HTTP/1.1\" 503 4",
            "POST, whose body is not in the log"
        ),
        ("h - - [17/Nov/2026:00:00:00 +0000] \"OPTIONS /webhooks/reply?a=1 HTTP/1.1\" 405 4", "other methods"),
        ("h - - [17/Nov/2026:00:00:00 +0000] \"GET /webhooks/a/b/reply?a=1 HTTP/1.1\" 503 4", "other requests"),
        ("h - - [17/Nov/2026:00:00:00] \"GET /webhooks?a=1 HTTP/1.1\" 503 4", "not a line of"),
        ("h - - [31/Feb/2026:00:00:00 +0000] \"GET /webhooks?a=1 HTTP/1.1\" 503 4", "not a line of"),
        ("h - - [17/Nov/2026:00:00:00 +0000] \"GET /webhooks?a=1 HTTP/1.1", "no request or no status"),
        ("h - - [17/Nov/2026:00:00:00 +0000] \"GET /webhooks?a=1 HTTP/1.1\" abc 4", "no request or no status"),
        ("h - - [17/Nov/2026:00:00:00 +0000] \"-\" 408 0", "no method or no target"),
        ("nonsense", "not a line of"),
    ])
    func whatIsNoLostCallbackSaysWhy(line: String, expected: String) {
        #expect(words(accessLog(line)).contains(expected), "\(words(accessLog(line)))")
    }

    @Test func aCallbackIsReadWithWhatItHas() throws {
        func parse(_ text: String) -> LineRows.ParsedLine { CallbackRows.parse(Array(text.utf8), options) }
        let post = try #require(
            row(
                parse(
                    "{\"method\":\"post\",\"route\":\"/webhooks/reply\",\"body\":{\"Id\":9007199254740993,\"Message\":\"ja\"},"
                        + "\"contentType\":\"application/json\",\"receivedAt\":\"2026-11-17T00:00:00.250Z\",\"account\":\"crm\"}"
                )))
        #expect(String(decoding: post.body, as: UTF8.self) == "{\"Id\":9007199254740993,\"Message\":\"ja\"}")
        #expect(
            post.route == .reply && post.receivedAt == 1_794_873_600_250 && post.account == "crm"
                && post.contentType == "application/json")
        #expect(row(parse("{\"route\":\"url-click\",\"query\":\"?a=1&secret=s\"}"))?.query == Array("a=1".utf8))
        #expect(row(parse("{\"query\":\"a=1\",\"receivedAt\":1794873600250}"))?.receivedAt == 1_794_873_600_250)
        #expect(row(parse("{\"method\":\"POST\",\"bodyBase64\":\"/wA=\",\"imported\":true}"))?.body == [0xFF, 0])
        for (text, word) in [
            ("[1]", "JSON"), ("{\"method\":\"PUT\",\"query\":\"a=1\"}", "method"), ("{\"query\":1}", "query"),
            ("{\"route\":\"/x\",\"query\":\"a\"}", "route"), ("{}", "neither"),
            ("{\"content_type\":\"x\",\"query\":\"a\"}", "unknown"),
            ("{\"query\":\"a\",\"receivedAt\":\"noon\"}", "receivedAt"),
            ("{\"query\":\"a\",\"account\":\"a b\"}", "account"),
            ("{\"bodyBase64\":\"!\"}", "Base64"), ("{\"body\":1}", "body"),
        ] {
            guard case .malformed(let problem) = parse(text) else {
                Issue.record("\(text)")
                continue
            }
            #expect(problem.contains(word), "\(problem)")
        }
    }

    @Test func anObjectIsTheBodyAsItIs() throws {
        var options = ImportOptions()
        options.type = .reply
        let text = "{\"Id\" : 1, \"Message\":\"a \\u00fc\"}"
        let plain = try #require(self.row(ObjectRows.parse(Array(text.utf8), options)))
        #expect(String(decoding: plain.body, as: UTF8.self) == text && plain.route == .reply)
        options.receivedAt = "at"
        let other = try #require(
            self.row(ObjectRows.parse(Array("{\"a\":\"x\\\"\",\"at\":1794873600,\"b\":[1],\"c\":null}".utf8), options)))
        #expect(String(decoding: other.body, as: UTF8.self) == "{\"a\":\"x\\\"\",\"b\":[1],\"c\":null}")
        #expect(other.receivedAt == 1_794_873_600_000)
    }

    @Test func linesAreCountedWhateverTheirLength() throws {
        let long = String(repeating: "x", count: ImportLines.longest + 70_000)
        let text = "{\"Id\":1}\r\n\n\(long)\n\u{FF}\n{\"Id\":2}"
        for size in [1_000, 65_536, 1 << 22] {
            let rows = try items(LineRows(Parts(text, size: size)) { ObjectRows.parse($0, ImportOptions()) }).map(
                summary)
            #expect(
                rows.count == 4 && rows[0] == "1 {\"Id\":1}" && rows[3] == "5 {\"Id\":2}",
                "\(rows.map { $0.prefix(60) })")
            #expect(rows[1].hasPrefix("3! longer than") && rows[2].hasPrefix("4! not a JSON object"))
        }
        let bytes = Array("{\"Id\":1}\n".utf8) + [0x7B, 0xFF, 0x7D, 10]
        let rows = try items(LineRows(Parts(bytes: bytes, size: 3)) { ObjectRows.parse($0, ImportOptions()) }).map(
            summary)
        #expect(rows == ["1 {\"Id\":1}", "2! not UTF-8 (see --encoding)"])
    }

    @Test func statusesAreReadInClassesToo() {
        #expect(ImportPlan.statuses("5xx, 429") == Set(500...599).union([429]))
        for text in ["", "6xx", "99", "5x", "4xx,"] { #expect(ImportPlan.statuses(text) == nil, "\(text)") }
        #expect(ImportFormat.of("a/b.NDJSON.gz", hasType: false) == .callbacks)
        #expect(ImportFormat.of("b.jsonl", hasType: true) == .objects && ImportFormat.of("b.txt", hasType: true) == nil)
    }
}

@Suite struct EventIDIndexTests {
    /// In memory and on disk alike, against a dictionary.
    @Test(arguments: [1 << 30, 24 * 100]) func idsAreFoundWhereverTheyAreKept(memoryBytes: Int) throws {
        var generator = SystemRandomNumberGenerator()
        let index = EventIDIndex(memoryBytes: memoryBytes)
        var first: [EventID: Int] = [:]
        var expectedDuplicates: Set<Int> = []
        var rows: [EventID] = []
        for row in 0..<5_000 {
            let id =
                row % 7 == 3
                ? rows[Int.random(in: 0..<row, using: &generator)]
                : EventID(high: .random(in: 0...(.max), using: &generator), low: UInt64(row))
            if first[id] == nil { first[id] = row } else { expectedDuplicates.insert(row) }
            rows.append(id)
            try index.add(id, row: row)
        }
        #expect(index.isOnDisk == (memoryBytes < 5_000 * 24))
        try index.seal()
        let known = Set(rows.shuffled().prefix(1_000))
        for id in known { try index.addFromKafka(id) }
        for number in 0..<3_000 { try index.addFromKafka(EventID(high: UInt64(number) << 52, low: .max)) }
        try index.finish()
        for row in rows.indices {
            #expect(index.duplicates.contains(row) == expectedDuplicates.contains(row))
            #expect(index.present.contains(row) == known.contains(rows[row]))
        }
        #expect(index.duplicates.count == expectedDuplicates.count)
    }

    @Test func anIDIsThirtyTwoDigits() {
        #expect(EventID("0123456789abcdef00000000000000ff".utf8) == EventID(high: 0x0123_4567_89AB_CDEF, low: 255))
        for text in [
            "", "0123456789abcdef00000000000000f", "0123456789ABCDEF00000000000000ff",
            "g123456789abcdef00000000000000ff",
        ] {
            #expect(EventID(text.utf8) == nil)
        }
    }
}
