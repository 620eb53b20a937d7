import SMSBridgeTestSupport
import SMSPortalEvents
import Testing

/// Callbacks bent at random: whatever comes in, a whole record comes out.
@Suite struct FuzzTests {
    @Test func mutatedCallbacksAreNeverLost() throws {
        let seed = SeededRandom.seed
        var generator = SeededRandom(seed: seed)
        let comment: Comment = "SMSBRIDGE_TEST_SEED=\(seed)"
        print(comment)
        let decoder = try CallbackDecoder()
        let good = Fixture.all.map(\.callback)
        let bad = BadPayload.all.filter { $0.body.count < 2000 }.map {
            Callback(
                method: $0.method, route: $0.route, contentType: $0.contentType, contentEncoding: $0.contentEncoding,
                query: $0.query, body: $0.body)
        }
        var types: [EventType: Int] = [:]
        for _ in 0..<6000 {
            let seeds = Int.random(in: 0..<5, using: &generator) == 0 ? bad : good
            let callback = mutated(seeds[Int.random(in: 0..<seeds.count, using: &generator)], good, &generator)
            let record = try decoder.record(
                callback.method, callback.route, contentType: callback.contentType,
                contentEncoding: callback.contentEncoding, query: callback.query, body: callback.body, comment)
            let event = try Event(record: record)
            #expect(event.raw == callback, comment)
            #expect(event.record() == record, comment)
            #expect(event.redecoded(by: decoder) == event, comment)
            types[event.type, default: 0] += 1
        }
        // The run has seen both sides.
        #expect(types[.unrecognised] ?? 0 > 500, comment)
        #expect(types.count == 6, comment)
    }

    private static let spice: [[UInt8]] =
        [
            "\"", "\\", "{", "}", "[", "]", ":", ",", "&", "=", "%", "+", "%00", "%C3%28", "\\u0000", "\\ud800", "null",
            "true", "1e999", "\0", "\u{1}", "\u{7F}", "😀", "é", "@@Id@@", "27000000001",
            "999999999999999999999999", "31/Feb/2021 00:00:00", "status", "incomingData", "id", "type", "\"id\":1,",
            "sc", "landingPageName", " ", "\r\n", "\u{FEFF}", "Stop",
        ].map { Array($0.utf8) } + [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0x80]]

    private func mutated(_ callback: Callback, _ seeds: [Callback], _ generator: inout SeededRandom) -> Callback {
        var query = callback.query
        var body = callback.body
        for _ in 0..<Int.random(in: 0...4, using: &generator) {
            if Bool.random(using: &generator) {
                mutate(&body, seeds, &generator)
            } else {
                mutate(&query, seeds, &generator)
            }
        }
        let route =
            Bool.random(using: &generator)
            ? callback.route
            : (EventType.allCases.filter { $0 != .unrecognised } + [nil]).randomElement(using: &generator) ?? nil
        return Callback(
            method: Bool.random(using: &generator) ? .get : .post, route: route, contentType: callback.contentType,
            contentEncoding: callback.contentEncoding, query: query, body: body)
    }

    private func mutate(_ bytes: inout [UInt8], _ seeds: [Callback], _ generator: inout SeededRandom) {
        let at = Int.random(in: 0...bytes.count, using: &generator)
        switch Int.random(in: 0..<7, using: &generator) {
        case 0: bytes.insert(contentsOf: Self.spice[Int.random(in: 0..<Self.spice.count, using: &generator)], at: at)
        case 1: bytes.removeLast(bytes.count - at)
        case 2: if at < bytes.count { bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &generator) }
        case 3: if at < bytes.count { bytes[at] = UInt8.random(in: 0...255, using: &generator) }
        case 4: bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 0..<8, using: &generator)))
        case 5:
            let other = seeds[Int.random(in: 0..<seeds.count, using: &generator)]
            bytes =
                Array(bytes[..<at])
                + (other.body.isEmpty ? other.query : other.body).suffix(Int.random(in: 0..<80, using: &generator))
        default: if at < bytes.count { bytes.insert(contentsOf: bytes[at..<min(bytes.count, at + 20)], at: at) }
        }
    }
}
