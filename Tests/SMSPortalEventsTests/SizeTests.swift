import SMSPortalEvents
import Testing

/// The largest record that a request can become.
@Suite struct SizeTests {
    private static let framing = 61 + 32

    /// As a broker counts a batch with this one record, to within a few bytes above.
    private func size(_ record: EventRecord) -> Int {
        Self.framing + record.value.count + (record.key?.count ?? 0)
            + record.headers.reduce(0) { $0 + $1.name.utf8.count + ($1.value?.count ?? 0) + 4 }
    }

    static let worst: [(name: String, make: @Sendable (Int) -> [UInt8])] = [
        ("zeros", { [UInt8](repeating: 0, count: $0) }),
        ("quotes", { [UInt8](repeating: 0x22, count: $0) }),
        ("control characters and letters, just text", { count in (0..<count).map { $0 % 5 == 0 ? 1 : 0x61 } }),
        ("not UTF-8", { [UInt8](repeating: 0xFF, count: $0) }),
        (
            "a reply of escapes and then quotes",
            { count in
                let head = Array("IncomingID=1&IncomingData=".utf8)
                let escapes = min(65_500, max(0, (count - head.count - 3) / 3))
                let text = head + Array(String(repeating: "%00", count: escapes).utf8) + Array("&x=".utf8)
                return text + [UInt8](repeating: 0x22, count: max(0, count - text.count))
            }
        ),
        (
            "a group of quotes in a form",
            { count in
                Array("IncomingID=1&IncomingData=".utf8)
                    + [UInt8](repeating: 0x22, count: min(65_500, max(0, count - 26)))
            }
        ),
        (
            "a reply of escaped quotes",
            { count in
                Array(#"{"id":1,"incomingData":""#.utf8)
                    + Array(String(repeating: #"\""#, count: min(65_500, max(0, (count - 26) / 2))).utf8)
                    + Array("\"}".utf8)
            }
        ),
        (
            "a reply of escaped zeros",
            { count in
                Array(#"{"id":1,"incomingData":""#.utf8)
                    + Array(String(repeating: #"\u0000"#, count: max(0, (count - 26) / 6)).utf8) + Array("\"}".utf8)
            }
        ),
        (
            "a reply of quotes and escapes, the dearest mixture",
            { count in
                let room = max(0, count - 26)
                let limit = 65_500
                let escapes = room <= limit ? 0 : min((room - limit) / 2, limit)
                let quotes = min(room - 3 * escapes, limit - escapes)
                return Array("IncomingID=1&IncomingData=".utf8) + Array(String(repeating: "%00", count: escapes).utf8)
                    + [UInt8](repeating: 0x22, count: quotes)
            }
        ),
        ("an unknown parameter of quotes", { Array("x=".utf8) + [UInt8](repeating: 0x22, count: max(0, $0 - 2)) }),
        (
            "group data of empty texts",
            { count in
                Array(#"{"id":1,"status":"x","groupData":["#.utf8)
                    + Array(String(repeating: #""","#, count: min(21_000, max(0, (count - 40) / 3))).utf8)
                    + Array(#"""]}"#.utf8)
            }
        ),
    ]

    @Test(arguments: [100, 5_000, 100_000, 262_144])
    func noRecordIsLarger(_ maxBody: Int) throws {
        let decoder = try CallbackDecoder(DecoderConfiguration(accounts: [String(repeating: "a", count: 64)]))
        let contentType = String(repeating: "\"", count: 1000)
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        let state = "a=" + String(repeating: "\"", count: 250) + ",b=" + String(repeating: "x", count: 250)
        for maxTarget in [0, 65_536] {
            let bound = CallbackDecoder.maximumRecordBytes(maxBody: maxBody, maxTarget: maxTarget)
            var largest = 0
            for (name, make) in Self.worst {
                let body = make(maxBody)
                #expect(body.count <= maxBody, "\(name)")
                let queries = [
                    "zeros", "a reply of quotes and escapes, the dearest mixture", "an unknown parameter of quotes",
                ]
                for query in Self.worst.filter({ queries.contains($0.name) }).map({ $0.make(maxTarget) })
                where query.count <= maxTarget {
                    let buffer = RecordBuffer()
                    decoder.decode(
                        method: .post, route: .reply, contentType: Array(contentType.utf8).span.bytes,
                        query: query.span.bytes, body: body.span.bytes, traceparent: Array(parent.utf8).span.bytes,
                        tracestate: Array(state.utf8).span.bytes, account: 0, receivedAt: 0, into: buffer)
                    largest = max(largest, size(buffer.record))
                    #expect(size(buffer.record) <= bound, "\(name)")
                }
            }
            // Close enough to compare with a topic's limit.
            #expect(Double(largest) >= Double(bound - 4096) * 0.9, "\(largest) of \(bound)")
        }
    }

    /// With the default limits the largest record passes the default limit of a topic (1,048,588 bytes).
    @Test func defaultsFitTheDefaultTopic() {
        #expect(CallbackDecoder.maximumRecordBytes(maxBody: 256 << 10, maxTarget: 64 << 10) < 1_048_588)
        #expect(CallbackDecoder.maximumRecordBytes(maxBody: -1, maxTarget: .min) > 0)
        #expect(CallbackDecoder.maximumRecordBytes(maxBody: .max, maxTarget: .max) > 0)
    }

    @Test func largeCallbacksAreKeptWhole() throws {
        let decoder = try CallbackDecoder()
        for (_, make) in Self.worst {
            let body = make(262_144)
            let record = try decoder.record(.post, .reply, body: body)
            #expect(try Event(record: record).raw.body == body)
        }
    }

    /// What is little and readable stays readable, however odd.
    @Test func oneControlCharacterIsNoReasonForBase64() throws {
        let record = try CallbackDecoder().record(.post, .reply, body: Array("{\"incomingData\":\"a\0b\"}".utf8))
        #expect(try JSONValue(record.value)["raw"]?["body"] == .string("{\"incomingData\":\"a\0b\"}"))
        let zeros = try CallbackDecoder().record(.post, .reply, body: [0, 0, 0])
        #expect(try JSONValue(zeros.value)["raw"]?["bodyBase64"] == .string("AAAA"))
    }

    @Test func contentTypesAreCutAndCleaned() throws {
        let callback = Callback(
            method: .post, route: .reply, contentType: "text/plain; x=é\n" + String(repeating: "y", count: 300),
            body: "{}")
        #expect(callback.contentType.utf8.count == 255)
        #expect(callback.contentType.hasPrefix("text/plain; x=???y"))
        #expect(Callback(method: .post, route: .reply, contentType: callback.contentType, body: "{}") == callback)
        #expect(try Event(callback: callback, receivedAt: reception).raw == callback)
    }
}
