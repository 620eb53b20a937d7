import SMSBridgeTestSupport
import SMSPortalEvents
import Testing

/// Normalising never makes a valid value of what a strict reader would not take for one: everything that the decoder gives is held
/// against ``StrictReading``.
@Suite struct StrictReadingTests {
    private struct Way: CaseIterable {
        var name: String
        static let allCases = [Way(name: "text"), Way(name: "literal"), Way(name: "query")]
    }

    private static let alphabets: [(field: String, characters: [String], seeds: [String])] = [
        (
            "msisdn",
            [
                "0", "0", "00", "1", "2", "27", "82", "123", "4567", ".0", "(0)", "(", ")", " ", "-", ".", "+", ",",
                "e3", "\t",
            ],
            [
                "27821234567", "+27821234567", "0027821234567", "0821234567", "+27 82 123 4567", "27821234567.0",
                "+27 (0)82 123 4567", "(082) 123-4567", "27.82.123.4567", "+27.821234567", "2782123 2783456", "40001",
                "+91 98765 43210", "00-27-82-123-4567", "27 821 234 567",
            ]
        ),
        (
            "received",
            [
                "0", "1", "9", ".0", ".", "/", ":", " ", "-", "Jan", "feb", "29", "31", "2024", "2023", "e9", "+", "T",
                "Z",
            ],
            [
                "1735718400", "1735718400123", "1735718400.0", "1735718400.5", "29/Feb/2024 23:59:59",
                "29/Feb/2023 00:00:00", "1/Jan/2021 14:04:22", "31/Apr/2021 00:00:00", "01/Jan/0001 00:00:00",
                "2021-01-01T12:04:22Z", "0", "31/Dec/2099 23:59:59", "915148800", "4102444799", "20210101120422",
            ]
        ),
        (
            "id", ["0", "1", "9", ".", ".0", "-", "+", " ", "e", "x", "@@", "٣"],
            ["9120243", "9007199254740993", "0", "007", "9120243.0", "-5", "@@Id@@", "1e5", "null", "true"]
        ),
        (
            "status", ["D", "E", "L", "I", "V", "R", "d", " ", "\t", ".", "0", "_"],
            [
                "DELIVRD", "delivrd", "UNDELIV", "EXPIRED", "BLIST", "SUBMITD", "STAGED", "CANCELLED", "NOROUTE",
                "DELIVERED", "DELIVRD.", "true", "1",
            ]
        ),
        (
            "msgCount", ["0", "1", "9", ".", ".0", "-", "+", " ", "e1"],
            ["1", "2.0", "2.5", "007", "999999999", "-1", "1e1"]
        ),
        ("flash", ["t", "r", "u", "e", " ", "1", "0"], ["true", "FALSE", "True", "1", "0", "yes", " true"]),
    ]

    @Test func normalisingNeverMakesAValidValueOfSomethingElse() throws {
        let seed = SeededRandom.seed
        var generator = SeededRandom(seed: seed)
        let decoder = try CallbackDecoder()
        var accepted: [String: Int] = [:]
        var rejected: [String: Int] = [:]
        for round in 0..<12_000 {
            let (field, characters, seeds) = Self.alphabets[round % Self.alphabets.count]
            let value = mutated(seeds, characters, &generator)
            let way = Way.allCases.randomElement(using: &generator)?.name ?? "text"
            let comment: Comment = "\(field) \(way) '\(value)' SMSBRIDGE_TEST_SEED=\(seed)"
            guard let event = try event(decoder, field, value, way, comment) else { continue }
            let isValid = try check(event, field, value, comment)
            if isValid { accepted[field, default: 0] += 1 } else { rejected[field, default: 0] += 1 }
        }
        // The run has seen both sides of every field.
        for (field, _, _) in Self.alphabets {
            #expect(accepted[field] ?? 0 > 100, "\(field) \(accepted) SMSBRIDGE_TEST_SEED=\(seed)")
            #expect(rejected[field] ?? 0 > 100, "\(field) \(rejected) SMSBRIDGE_TEST_SEED=\(seed)")
        }
    }

    /// A number written in any way that is one number becomes its digits.
    @Test func groupedNumbersBecomeTheirDigits() throws {
        let seed = SeededRandom.seed
        var generator = SeededRandom(seed: seed)
        let decoder = try CallbackDecoder()
        for _ in 0..<3000 {
            let code = ["27", "1", "44", "264", "91"].randomElement(using: &generator) ?? "27"
            let groups = (0..<3).map { _ in
                (0..<Int.random(in: 2...4, using: &generator)).map { _ in
                    String(Int.random(in: 1...9, using: &generator))
                }.joined()
            }
            let prefix = ["+", "00", "", "+ ", "00 ", "00-"].randomElement(using: &generator) ?? ""
            let separator = [" ", "-", ".", "  "].randomElement(using: &generator) ?? " "
            let trunk =
                prefix.isEmpty || separator == "." ? "" : ["", "(0)", " (0) "].randomElement(using: &generator) ?? ""
            let after = trunk.isEmpty ? separator : ""
            let text = prefix + code + trunk + after + groups.joined(separator: separator)
            let comment: Comment = "'\(text)' SMSBRIDGE_TEST_SEED=\(seed)"
            let event = try decoder.event(.deliveryStatus, json: #"{"status":"DELIVRD","msisdn":"\#(text)"}"#)
            #expect(event.envelope.key == code + groups.joined(), comment)
            #expect(StrictReading.number(text) == code + groups.joined(), comment)
        }
    }

    // MARK: - One value

    private func mutated(_ seeds: [String], _ characters: [String], _ generator: inout SeededRandom) -> String {
        var text = Array(seeds.randomElement(using: &generator) ?? "")
        for _ in 0..<Int.random(in: 0...3, using: &generator) {
            let at = Int.random(in: 0...text.count, using: &generator)
            let piece = Array(characters.randomElement(using: &generator) ?? "")
            switch Int.random(in: 0..<4, using: &generator) {
            case 0: if at < text.count { text.remove(at: at) }
            case 1: if at < text.count { text.replaceSubrange(at...at, with: piece) }
            default: text.insert(contentsOf: piece, at: at)
            }
        }
        return String(text)
    }

    /// The event of a delivery status with one value in it; nil where the value cannot travel that way.
    private func event(
        _ decoder: CallbackDecoder, _ field: String, _ value: String, _ way: String, _ comment: Comment
    ) throws -> DeliveryStatus? {
        var members = ["status": "\"DELIVRD\"", "eventId": "1"]
        switch way {
        case "text": members[field] = "\"" + value.replacing("\t", with: "\\t") + "\""
        case "literal":
            guard value.wholeMatch(of: /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?|true|false/) != nil else {
                return nil
            }
            members[field] = value
        default:
            let escaped = value.utf8.map { "%" + ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            let query =
                field == "status" ? "eventId=1&status=\(escaped)" : "status=DELIVRD&eventId=1&\(field)=\(escaped)"
            return try Event(record: decoder.record(.get, .deliveryStatus, query: Array(query.utf8), comment))
                .deliveryStatus
        }
        let json = "{" + members.map { "\"\($0)\":\($1)" }.joined(separator: ",") + "}"
        return try Event(record: decoder.record(.post, .deliveryStatus, body: Array(json.utf8), comment)).deliveryStatus
    }

    /// Whether the value was taken for a valid one.
    private func check(
        _ event: DeliveryStatus, _ field: String, _ value: String, _ comment: Comment
    ) throws -> Bool {
        switch field {
        case "msisdn":
            let strict = StrictReading.number(value)
            #expect(event.envelope.key == strict, comment)
            #expect(
                event.msisdn == strict ?? (StrictReading.trimmed(value).isEmpty ? nil : StrictReading.trimmed(value)),
                comment)
            return strict != nil
        case "received":
            // Times of ISO 8601 have tests of their own.
            guard StrictReading.trimmed(value).wholeMatch(of: /[0-9]{4}-[0-9]{2}-[0-9]{2}.*/) == nil else {
                return event.occurredAt != nil
            }
            #expect(event.occurredAt?.millisecondsSinceEpoch == StrictReading.time(value), comment)
            return event.occurredAt != nil
        case "id":
            #expect((event.idBasis == .vendor) == (StrictReading.id(value) != nil), comment)
            #expect(
                event.messageID == (StrictReading.trimmed(value).isEmpty ? nil : StrictReading.trimmed(value)), comment)
            return event.idBasis == .vendor
        case "status":
            #expect(event.state.rawValue == StrictReading.state(value), comment)
            #expect(event.status == StrictReading.trimmed(value), comment)
            return event.state != .unknown
        case "msgCount":
            #expect(event.parts == StrictReading.parts(value), comment)
            return event.parts != nil
        default:
            #expect(event.flash == StrictReading.flash(value), comment)
            return event.flash != nil
        }
    }
}
