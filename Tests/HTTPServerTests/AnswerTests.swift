import SMSBridgeThreads
import Testing

@testable import SMSBridgeHTTPServer

@Suite("Answers")
struct AnswerTests {
    @Test(
        "dates are those of RFC 9110",
        arguments: [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"), (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"), (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (1_735_689_600, "Wed, 01 Jan 2025 00:00:00 GMT"), (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
        ] as [(Int64, String)])
    func dates(second: Int64, text: String) {
        #expect(HTTPDate.line(second) == Array("Date: \(text)\r\n".utf8))
    }

    @Test("an answer's bytes are its status line, headers, length and body")
    func bytes() {
        let response = PreparedResponse(status: 405, headers: [("Allow", "GET, POST")], body: Array("no".utf8))
        #expect(
            String(decoding: response.bytes, as: UTF8.self)
                == "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, POST\r\nCache-Control: no-store\r\nContent-Length: 2\r\nno"
        )
        #expect(response.bodyOffset == response.bytes.count - 2)
    }

    @Test("204 and 304 have neither body nor length", arguments: [204, 304])
    func bodyless(status: Int) {
        let response = PreparedResponse(status: status, body: Array("no".utf8))
        let text = String(decoding: response.bytes, as: UTF8.self)
        #expect(!text.contains("Content-Length") && text.hasSuffix("\r\n"))
    }

    @Test("a header's value cannot end its line")
    func injection() {
        let response = PreparedResponse(status: 200, headers: [("X\r\nA: b", "c\r\nD: e\u{0}\u{7F}\tf")])
        #expect(String(decoding: response.bytes, as: UTF8.self).hasPrefix("HTTP/1.1 200 OK\r\nXAb: cD: e\tf\r\n"))
    }

    @Test("an exchange keeps its slot while its generation goes on, and never meets another slot's")
    func exchanges() {
        let first = Exchange(slot: 5, generation: 1)
        #expect(first.successor.slot == 5 && first.successor != first)
        #expect(Exchange(slot: 6, generation: 1) != first)
        let last = Exchange(slot: Exchange.maxSlots - 1, generation: 1 << 40 - 1)
        #expect(last.successor.slot == Exchange.maxSlots - 1)
    }

    @Test("durations become nanoseconds without overflow")
    func durations() {
        #expect(Duration.milliseconds(1500).nanoseconds == 1_500_000_000)
        #expect(Duration.seconds(-1).nanoseconds == 0)
        #expect(Duration.seconds(Int64.max).nanoseconds == .max)
        #expect((Duration.seconds(18_446_744_073) + .milliseconds(900)).nanoseconds == .max)
    }
}
