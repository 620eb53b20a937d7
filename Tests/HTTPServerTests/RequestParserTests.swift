import SMSBridgeParserProbe
import SMSBridgeTestSupport
import Testing

@testable import SMSBridgeHTTPServer

@Suite("Request parser")
struct RequestParserTests {
    @Test("the table is large and names each case once")
    func table() throws {
        let cases = try RequestCase.all()
        #expect(cases.count >= 240)
        #expect(Set(cases.map(\.name)).count == cases.count)
    }

    @Test("every case means what the table says, however its bytes come", arguments: try RequestCase.all())
    func meaning(_ expected: RequestCase) throws {
        let count = expected.bytes.count
        // Every split; of long cases, the splits near both ends and a sample between.
        let splits =
            Array(1..<max(2, min(count, 700))) + Array(stride(from: 700, to: count, by: 4999))
            + Array(max(700, count - 40)..<max(700, count))
        let stream = try ParserProbe.check(expected.bytes, splits: count <= 2000 ? Array(1..<max(2, count)) : splits)
        let told = stream.requests.map { [$0.method, $0.target, Array($0.version.utf8), $0.body] }
        #expect(told == expected.requests)
        switch (stream.ending, expected.refusal) {
        case (.needsMore, nil): break
        case (.refused(let rule), let refusal?):
            #expect(rule.rawValue == refusal.rule)
            #expect(rule.status == refusal.status)
        default: Issue.record("ends with \(stream.ending), not \(String(describing: expected.refusal))")
        }
    }

    @Test("every rule has a case, a status of a refusal and a section")
    func rules() throws {
        let shown = Set(try RequestCase.all().compactMap { $0.refusal?.rule })
        for rule in RequestRule.allCases {
            #expect(shown.contains(rule.rawValue), "\(rule)")
            #expect((400...499).contains(rule.status))
            #expect(rule.section.hasPrefix("RFC "))
        }
    }

    @Test("the documentation lists every rule with its status and section")
    func documentation() throws {
        let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
        let text = String(decoding: try readFile("\(root)/docs/control-panel.md"), as: UTF8.self)
        let rows = text.split(separator: "\n").filter { $0.hasPrefix("| `") }
        for rule in RequestRule.allCases {
            let row = rows.first { $0.hasPrefix("| `\(rule.rawValue)` |") }
            #expect(row?.hasSuffix("| \(rule.status) | \(rule.section) |") == true, "\(rule)")
        }
    }

    @Test("random streams of cases, split at random places, mean what the cases mean one by one")
    func randomSplits() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededRandom(seed: seed)
        let cases = try RequestCase.all().filter { $0.bytes.count < 1000 }
        let served = cases.filter { $0.refusal == nil && !$0.requests.isEmpty && whole($0) }
        for round in 0..<400 {
            let chosen = (0..<Int.random(in: 0...4, using: &random)).map { _ in served.randomElement(using: &random) }
            let last = cases.randomElement(using: &random)
            var bytes: [UInt8] = []
            var requests: [[[UInt8]]] = []
            for part in chosen + [last] {
                guard let part else { continue }
                bytes += part.bytes
                requests += part.requests
            }
            let cuts = (0..<Int.random(in: 0...12, using: &random)).map { _ in
                Int.random(in: 0...bytes.count, using: &random)
            }.sorted()
            for stream in [
                try ParserProbe.parse(bytes, splitAt: cuts), try ParserProbe.parseBuffered(bytes, splitAt: cuts),
            ] {
                let told = stream.requests.map { [$0.method, $0.target, Array($0.version.utf8), $0.body] }
                #expect(told == requests, "seed \(seed), round \(round), cuts \(cuts)")
                let rule: String? = if case .refused(let rule) = stream.ending { rule.rawValue } else { nil }
                #expect(rule == last?.refusal?.rule, "seed \(seed), round \(round), cuts \(cuts)")
            }
        }
    }

    /// Whether nothing is left behind the last request of the case.
    private func whole(_ one: RequestCase) -> Bool {
        (try? ParserProbe.parse(one.bytes, splitAt: []))?.requests.last?.end == one.bytes.count
    }

    @Test("random damage never reads outside, and means the same however it comes")
    func damage() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededRandom(seed: seed)
        let cases = try RequestCase.all().filter { $0.bytes.count < 600 && !$0.bytes.isEmpty }
        for round in 0..<3000 {
            guard var bytes = cases.randomElement(using: &random)?.bytes else { continue }
            for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: place)
                case 2: bytes.insert(Array("\r\n \t:;,0\0".utf8).randomElement(using: &random) ?? 0, at: place)
                default: bytes.insert(bytes[place], at: place)
                }
            }
            let split = Int.random(in: 0...bytes.count, using: &random)
            #expect(throws: Never.self, "seed \(seed), round \(round)") {
                _ = try ParserProbe.check(bytes, splits: [split])
            }
        }
    }

    @Test("the parts of a target are told apart")
    func targets() throws {
        func probe(_ line: String, host: String = "h") throws -> ProbedRequest {
            let stream = try ParserProbe.parse(Array("\(line) HTTP/1.1\r\nHost: \(host)\r\n\r\n".utf8), splitAt: [])
            return try #require(stream.requests.first)
        }
        func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

        let origin = try probe("GET /a/b?c=d?e")
        #expect(text(origin.path) == "/a/b")
        #expect(origin.query.map(text) == "c=d?e")
        #expect(text(origin.host) == "h")
        let plain = try probe("GET /a")
        #expect(plain.query == nil)
        let empty = try probe("GET /a?")
        #expect(empty.query == [])
        let absolute = try probe("GET http://x.example:81/p?q")
        #expect(text(absolute.host) == "x.example:81")
        #expect(text(absolute.path) == "/p")
        #expect(absolute.query.map(text) == "q")
        let bare = try probe("GET http://x.example?q")
        #expect(text(bare.path) == "")
        #expect(bare.query.map(text) == "q")
        let asterisk = try probe("OPTIONS *")
        #expect(text(asterisk.path) == "*")
    }

    @Test(
        "whether the connection stays open follows version and Connection",
        arguments: [
            ("1.1", "", true), ("1.1", "close", false), ("1.1", "Close", false), ("1.1", "keep-alive", true),
            ("1.1", "keep-alive, close", false), ("1.1", "a,close ,b", false), ("1.1", "closed", true),
            ("1.0", "", false), ("1.0", "keep-alive", true), ("1.0", "Keep-Alive", true), ("1.0", "close", false),
            ("1.0", "keep-alive, close", false), ("1.0", "upgrade, keep-alive", true),
        ])
    func persistence(version: String, value: String, expected: Bool) throws {
        let line = value.isEmpty ? "" : "Connection: \(value)\r\n"
        let stream = try ParserProbe.parse(
            Array("GET / HTTP/\(version)\r\nHost: h\r\n\(line)\r\n".utf8), splitAt: [])
        #expect(stream.requests.first?.keepAlive == expected)
    }

    @Test("two Connection lines count together")
    func twoConnectionLines() throws {
        let stream = try ParserProbe.parse(
            Array("GET / HTTP/1.1\r\nHost: h\r\nConnection: x\r\nConnection: close\r\n\r\n".utf8), splitAt: [])
        #expect(stream.requests.first?.keepAlive == false)
    }

    @Test("100-continue is expected in HTTP/1.1 only")
    func expectation() throws {
        for (version, expected) in [("1.1", true), ("1.0", false)] {
            let stream = try ParserProbe.parse(
                Array("POST / HTTP/\(version)\r\nHost: h\r\nExpect: 100-continue\r\n\r\n".utf8), splitAt: [])
            #expect(stream.requests.first?.expectsContinue == expected)
        }
    }

    @Test("headers are found in any case, the first of a name, without blanks around the value")
    func headers() throws {
        let text = "GET / HTTP/1.1\r\nHost: h\r\nX-One:  a b\t\r\nx-one: second\r\nX-Empty:\r\n\r\n"
        let bytes = Array(text.utf8)
        var parser = RequestParser(limits: .init())
        #expect(parser.next(bytes.span.bytes) == .head)
        func value(_ name: StaticString) -> String? {
            parser.head.header(name, in: bytes.span.bytes).map {
                String(decoding: bytes[$0.offset..<$0.end], as: UTF8.self)
            }
        }
        #expect(value("x-one") == "a b")
        #expect(value("x-empty") == "")
        #expect(value("x-two") == nil)
        #expect(value("host") == "h")
        #expect(parser.head.headerCount == 4)
    }

    @Test("a header name is matched in no other way than by case")
    func headerNamesAreNotFolded() {
        // 0x20 apart, and both of a token: a careless comparison takes them for each other.
        let bytes = Array("GET / HTTP/1.1\r\nHost: h\r\nX^Y: a\r\nX`Y: b\r\n\r\n".utf8)
        var parser = RequestParser(limits: .init())
        #expect(parser.next(bytes.span.bytes) == .head)
        #expect(parser.head.header("x~y", in: bytes.span.bytes) == nil)
        let cut = parser.head.header("x`y", in: bytes.span.bytes)
        #expect(cut.map { bytes[$0.offset] } == UInt8(ascii: "b"))
    }

    @Test("limits other than the defaults hold to the byte")
    func otherLimits() throws {
        var limits = RequestParser.Limits()
        limits.maxTargetBytes = 10
        limits.maxHeaderBytes = 40
        limits.maxHeaders = 2
        limits.maxBodyBytes = 4
        func ending(_ text: String) throws -> ProbedEnding {
            try ParserProbe.check(Array(text.utf8), splits: 1..<text.utf8.count, limits: limits).ending
        }
        #expect(try ending("GET /123456789 HTTP/1.1\r\nHost: a\r\n\r\n") == .needsMore)
        #expect(try ending("GET /1234567890 HTTP/1.1\r\nHost: a\r\n\r\n") == .refused(.targetTooLong))
        // 9 bytes of Host, 2 of the empty line, 29 for another.
        #expect(try ending("GET / HTTP/1.1\r\nHost: a\r\nX: 012345678901234567890123\r\n\r\n") == .needsMore)
        #expect(
            try ending("GET / HTTP/1.1\r\nHost: a\r\nX: 0123456789012345678901234\r\n\r\n")
                == .refused(.headersTooLarge))
        #expect(try ending("GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY:\r\n\r\n") == .refused(.tooManyHeaders))
        #expect(try ending("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n") == .refused(.bodyTooLarge))
        let chunked = "GET / HTTP/1.1\r\nHost:\r\nTransfer-Encoding:chunked\r\n\r\n"
        #expect(try ending(chunked + "2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n") == .needsMore)
        #expect(try ending(chunked + "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n") == .refused(.bodyTooLarge))
    }

    @Test("a request fed byte by byte costs work in proportion to its length")
    func noQuadraticWork() {
        // Were each step to begin anew, this would be 2 × 10⁹ byte steps; as it is, it is 65 thousand.
        let bytes = Array("GET /\(String(repeating: "a", count: 65_000)) HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
        var parser = RequestParser(limits: .init())
        var last = RequestParser.Event.needMore
        for end in 1...bytes.count {
            let before = parser.position
            last = parser.next(bytes.span.extracting(0..<end).bytes)
            // At most the byte that came and one before it, a carriage return that waits, are looked at.
            if end < bytes.count { #expect(parser.position >= end - 1 && before >= end - 2) }
        }
        #expect(last == .head)
    }
}

@Suite("Byte scans")
struct ByteScanTests {
    /// Asks about every byte value at every place of a text, at every alignment.
    private func everywhere(_ check: (_ bytes: [UInt8], _ place: Int, _ value: UInt8, _ start: Int) -> Void) {
        for length in [1, 7, 8, 9, 15, 16, 17, 25] {
            for place in 0..<length {
                for value in UInt8.min...UInt8.max {
                    var bytes = [UInt8](repeating: UInt8(ascii: "a"), count: length)
                    bytes[place] = value
                    check(bytes, place, value, 0)
                }
            }
        }
        for start in 0..<9 {
            for place in start..<26 {
                for value in UInt8.min...UInt8.max {
                    // What lies before the start is special and must not be seen.
                    var bytes = [UInt8](repeating: 0, count: start) + [UInt8](repeating: 0x7E, count: 26 - start)
                    bytes[place] = value
                    check(bytes, place, value, start)
                }
            }
        }
    }

    @Test("the end of a target")
    func target() {
        everywhere { bytes, place, value, start in
            let special = value <= 0x20 || value >= 0x7F || value == UInt8(ascii: "#")
            let found = ByteScan.endOfTarget(bytes.span.bytes, from: start, to: bytes.count, highBytes: false)
            if found != (special ? place : bytes.count) { Issue.record("\(value) at \(place) from \(start): \(found)") }
            let isHigh = value >= 0x80
            let end = ByteScan.endOfTarget(bytes.span.bytes, from: start, to: bytes.count, highBytes: true)
            if end != (special && !isHigh ? place : bytes.count) {
                Issue.record("\(value) at \(place) from \(start), high bytes allowed: \(end)")
            }
        }
    }

    @Test("the first control character")
    func control() {
        everywhere { bytes, place, value, start in
            let special = value < 0x20 || value == 0x7F
            let found = ByteScan.firstControl(bytes.span.bytes, from: start, to: bytes.count)
            if found != (special ? place : bytes.count) { Issue.record("\(value) at \(place) from \(start): \(found)") }
        }
    }

    @Test("the end of a token")
    func endOfToken() {
        everywhere { bytes, place, value, start in
            // `~`, which fills the texts, is of a token, too.
            let found = ByteScan.endOfToken(bytes.span.bytes, from: start, to: bytes.count)
            if found != (ByteScan.isToken(value) ? bytes.count : place) {
                Issue.record("\(value) at \(place) from \(start): \(found)")
            }
        }
    }

    @Test("a name matches in any case of its letters, and with no other byte")
    func name() {
        for (name, length) in [
            ("h" as StaticString, 1), ("tls", 3), ("host", 4), ("expect", 6), ("x-secret", 8), ("content-type", 12),
            ("transfer-encoding", 17),
        ] {
            let lower = name.withUTF8Buffer { Array($0) }
            #expect(lower.count == length)
            for place in 0..<length {
                for value in UInt8.min...UInt8.max {
                    for fill in [0, 3] {
                        var bytes = [UInt8](repeating: UInt8(ascii: "z"), count: fill) + lower
                        bytes[fill + place] = value
                        let cut = Cut(offset: fill, count: length)
                        if ByteScan.matches(bytes.span.bytes, cut, name) != (ByteScan.lowercased(value) == lower[place])
                        {
                            Issue.record("\(name): \(value) at \(place)")
                        }
                    }
                }
            }
            let isShorter = ByteScan.matches(lower.span.bytes, Cut(offset: 0, count: length - 1), name)
            #expect(!isShorter)
        }
    }

    @Test("the first of a byte")
    func first() {
        for wanted in [UInt8(ascii: "?"), 0x00, 0x7F, 0x80, 0xFF, UInt8(ascii: "\r")] {
            everywhere { bytes, place, value, start in
                let found = ByteScan.first(wanted, in: bytes.span.bytes, from: start, to: bytes.count)
                if found != (value == wanted ? place : bytes.count) {
                    Issue.record("\(value) at \(place) from \(start): \(found)")
                }
            }
        }
    }

    @Test("two special bytes in a word: the first is found")
    func firstOfTwo() {
        for first in 0..<8 {
            for second in (first + 1)..<9 {
                for (one, other): (UInt8, UInt8) in [
                    (0x00, 0x01), (0x7F, 0x00), (0x0D, 0x0A), (0x23, 0x80), (0x1F, 0x20),
                ] {
                    var bytes = [UInt8](repeating: UInt8(ascii: "a"), count: 16)
                    bytes[first] = one
                    bytes[second] = other
                    #expect(ByteScan.endOfTarget(bytes.span.bytes, from: 0, to: 16, highBytes: false) == first)
                    #expect(ByteScan.endOfTarget(bytes.span.bytes, from: 0, to: 16, highBytes: true) == first)
                    if one < 0x20 || one == 0x7F {
                        #expect(ByteScan.firstControl(bytes.span.bytes, from: 0, to: 16) == first)
                    }
                }
            }
        }
    }

    @Test("token characters are those of RFC 9110")
    func token() {
        let allowed = Set("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)
        for byte in UInt8.min...UInt8.max { #expect(ByteScan.isToken(byte) == allowed.contains(byte)) }
    }

    @Test("characters of a host name are those of RFC 3986")
    func host() {
        let allowed = Set("-._~!$&'()*+,;=0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)
        for byte in UInt8.min...UInt8.max where byte != UInt8(ascii: ":") && byte != UInt8(ascii: "%") {
            let bytes: [UInt8] = [UInt8(ascii: "a"), byte]
            let isValid = Authority.isValid(bytes.span.bytes, Cut(offset: 0, count: 2), mayBeEmpty: false)
            #expect(isValid == allowed.contains(byte), "\(byte)")
        }
    }
}

@Suite("Paths")
struct PathTests {
    @Test(
        "segments are split first and decoded once",
        arguments: [
            ("/", [""]), ("/a", ["a"]), ("/a/", ["a", ""]), ("/a//b", ["a", "", "b"]), ("/a%2Fb/c", ["a/b", "c"]),
            ("/%2525", ["%25"]), ("/%41%c3%A9", ["Aé"]), ("/.%2e/x", ["..", "x"]),
        ])
    func segments(path: String, expected: [String]) {
        let bytes = Array("GET \(path)?q HTTP/1.1\r\nHost: h\r\n\r\n".utf8)
        var parser = RequestParser(limits: .init())
        #expect(parser.next(bytes.span.bytes) == .head)
        var found: [String] = []
        parser.head.forEachPathSegment(in: bytes.span.bytes) { cut in
            var decoded: [UInt8] = []
            #expect(PercentEncoding.decode(cut, in: bytes.span.bytes, into: &decoded))
            found.append(String(decoding: decoded, as: UTF8.self))
        }
        #expect(found == expected)
    }

    @Test(
        "a segment is compared as it decodes",
        arguments: [
            ("webhooks", true), ("%77ebhooks", true), ("web%68ooks", true), ("webhook", false), ("webhooksx", false),
            ("webhooks%00", false), ("WEBHOOKS", false), ("web%6", false), ("%", false), ("", false),
        ])
    func matching(text: String, expected: Bool) {
        let bytes = Array(text.utf8)
        #expect(
            PercentEncoding.matches(Cut(offset: 0, count: bytes.count), in: bytes.span.bytes, "webhooks") == expected)
    }
}
