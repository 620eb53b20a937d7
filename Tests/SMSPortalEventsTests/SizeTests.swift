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

    /// Bodies that say more than they hold, and are Base64 all the same.
    static let worstCoded: [(name: String, contentType: String, encoding: String, make: @Sendable (Int) -> [UInt8])] = [
        (
            "compressed escapes, behind a long comment", "", "gzip",
            { count in
                let head = "IncomingID=1&IncomingData="
                return gzip(head, "%00", times: max(2, min(65_500, (count - head.utf8.count) / 3)), filledUpTo: count)
            }
        ),
        (
            "a text of euro signs", "text/plain; charset=windows-1252", "",
            { count in
                Array(#"{"id":1,"incomingData":""#.utf8)
                    + [UInt8](repeating: 0x80, count: min(21_800, max(0, count - 26))) + Array("\"}".utf8)
            }
        ),
    ]

    /// A gzip file (RFC 1952) of a text and a repeated pattern of three bytes, compressed by hand with fixed codes (RFC 1951, section
    /// 3.2.6), with a comment of as many bytes as are left.
    private static func gzip(_ head: String, _ pattern: String, times: Int, filledUpTo size: Int) -> [UInt8] {
        let text = Array(head.utf8) + Array(pattern.utf8)
        var bits: [UInt8] = []
        func append(_ value: Int, _ count: Int) { for bit in 0..<count { bits.append(UInt8(value >> bit & 1)) } }
        func appendCode(_ code: Int, _ count: Int) {
            for bit in (0..<count).reversed() { bits.append(UInt8(code >> bit & 1)) }
        }
        append(0b011, 3)
        for byte in text { appendCode(0x30 + Int(byte), 8) }
        // Lengths of 258 and, for the rest, of 3, each from three bytes before.
        let rest = (times - 1) * 3
        for _ in 0..<rest / 258 {
            appendCode(0b1100_0101, 8)
            appendCode(2, 5)
        }
        for _ in 0..<rest % 258 / 3 {
            appendCode(0b000_0001, 7)
            appendCode(2, 5)
        }
        appendCode(0, 7)
        var deflated = [UInt8](repeating: 0, count: (bits.count + 7) / 8)
        for (index, bit) in bits.enumerated() { deflated[index / 8] |= bit << UInt8(index % 8) }
        let whole = Array(head.utf8) + (0..<times).flatMap { _ in Array(pattern.utf8) }
        var file: [UInt8] = [0x1F, 0x8B, 8, 16, 0, 0, 0, 0, 0, 255]
        file += [UInt8](repeating: 0x61, count: max(0, size - file.count - deflated.count - 9)) + [0] + deflated
        for word in [checksum(whole), UInt32(whole.count)] {
            for shift in [0, 8, 16, 24] as [UInt32] { file.append(UInt8(truncatingIfNeeded: word >> shift)) }
        }
        return file
    }

    /// CRC-32 as gzip has it.
    private static func checksum(_ bytes: [UInt8]) -> UInt32 {
        var sum: UInt32 = .max
        for byte in bytes {
            sum ^= UInt32(byte)
            for _ in 0..<8 { sum = sum & 1 == 1 ? sum >> 1 ^ 0xEDB8_8320 : sum >> 1 }
        }
        return ~sum
    }

    @Test(arguments: [100, 5_000, 100_000, 262_144])
    func noRecordIsLarger(_ maxBody: Int) throws {
        let decoder = try CallbackDecoder(
            DecoderConfiguration(
                accounts: [String(repeating: "a", count: 64)], maxContentBytes: max(maxBody, 1_024)))
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
            for (name, contentType, encoding, make) in Self.worstCoded where maxBody > 200 {
                let body = make(maxBody)
                #expect(body.count <= maxBody, "\(name)")
                // As many quotes in a field as the body leaves room for.
                let room = max(0, 65_500 - (encoding.isEmpty ? 3 * (body.count - 26) : body.count / 3))
                let reference =
                    Array("CustomerID=".utf8) + [UInt8](repeating: 0x22, count: min(room, maxTarget))
                    + Array("&x=".utf8)
                let query = Array((reference + [UInt8](repeating: 0x22, count: maxTarget)).prefix(maxTarget))
                let buffer = RecordBuffer()
                decoder.decode(
                    method: .post, route: .reply, contentType: Array(contentType.utf8).span.bytes,
                    contentEncoding: Array(encoding.utf8).span.bytes, query: query.span.bytes, body: body.span.bytes,
                    traceparent: Array(parent.utf8).span.bytes, tracestate: Array(state.utf8).span.bytes, account: 0,
                    receivedAt: 0, into: buffer)
                #expect(
                    buffer.type == .reply,
                    "\(name) is decoded: \(buffer.withValue { String(decoding: $0.prefix(300), as: UTF8.self) })")
                largest = max(largest, size(buffer.record))
                #expect(size(buffer.record) <= bound, "\(name)")
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
