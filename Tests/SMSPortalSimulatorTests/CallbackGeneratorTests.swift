import Foundation
import SMSPortalEvents
import Testing

@testable import SMSPortalSimulator

@Suite struct CallbackGeneratorTests {
    private static let types = EventType.allCases.filter { $0 != .unrecognised }

    private static func callbacks(_ count: Int, _ generator: CallbackGenerator) -> [SimulatedCallback] {
        var generator = generator
        return (0..<count).map { _ in generator.next() }
    }

    /// The fields of a well-formed callback, as an ordinary JSON or form decoder sees them.
    private static func fields(_ callback: SimulatedCallback) throws -> [String: String] {
        let json = callback.contentType.map { $0.contains("json") || $0 == "text/plain" } ?? false
        if json {
            let object = try JSONSerialization.jsonObject(with: Data(callback.body)) as? [String: Any]
            return try #require(object).mapValues { "\($0)" }
        }
        let text = callback.query.isEmpty ? String(decoding: callback.body, as: UTF8.self) : callback.query
        var fields: [String: String] = [:]
        for pair in text.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            try #require(parts.count == 2)
            let value = try #require(parts[1].replacingOccurrences(of: "+", with: " ").removingPercentEncoding)
            #expect(fields.updateValue(value, forKey: parts[0]) == nil, "\(parts[0]) twice")
        }
        return fields
    }

    @Test func everyPairOfTypeAndGenerationOccursInEachRound() {
        for round in 0..<3 {
            let all = Self.callbacks(30 * (round + 1), CallbackGenerator(seed: 7)).suffix(30)
            let pairs = Set(all.map { "\($0.eventType) \($0.generation)" })
            #expect(pairs.count == 30)
        }
    }

    @Test func onlyWhatIsAskedForOccurs() {
        let all = Self.callbacks(
            100, CallbackGenerator(seed: 1, types: [.reply, .urlClick], generations: [.v2POST, .legacyGET]))
        #expect(Set(all.map(\.eventType)) == [.reply, .urlClick])
        #expect(Set(all.map(\.generation)) == [.v2POST, .legacyGET])
        let unrecognised = Self.callbacks(100, CallbackGenerator(seed: 1, types: [.unrecognised]))
        #expect(Set(unrecognised.map(\.eventType)) == Set(Self.types))
    }

    @Test func theSeedGivesTheSequence() {
        let first = Self.callbacks(500, CallbackGenerator(seed: 42, malformed: 0.2, tests: 0.1))
        #expect(first == Self.callbacks(500, CallbackGenerator(seed: 42, malformed: 0.2, tests: 0.1)))
        #expect(first != Self.callbacks(500, CallbackGenerator(seed: 43, malformed: 0.2, tests: 0.1)))
    }

    @Test func theSequenceIsTheSameInEveryRelease() throws {
        var generator = CallbackGenerator(seed: 1, types: [.deliveryStatus], generations: [.v2POST])
        let callback = generator.next()
        #expect(callback.reference == "sim-1-1")
        var random = SeededRandom(seed: 1_234_567)
        // The reference values of SplitMix64 (Rosetta Code, Pseudo-random numbers/Splitmix64).
        #expect(random.next() == 6_457_827_717_110_365_317)
        #expect(random.next() == 3_203_168_211_198_807_973)
        #expect(random.next() == 9_817_491_932_198_370_423)
    }

    @Test func everyCallbackIsWellFormedAndCarriesItsNumber() throws {
        var textsBeyondASCII = 0
        var longIds = 0
        var optOuts = 0
        for callback in Self.callbacks(3000, CallbackGenerator(seed: 3)) {
            let fields = try Self.fields(callback)
            #expect(fields.values.contains(callback.msisdn), "\(callback)")
            #expect(fields.values.contains(callback.reference), "\(callback)")
            #expect(callback.msisdn.hasPrefix("27001") && callback.msisdn.utf8.count == 11)
            #expect(callback.path == "/webhooks/\(callback.eventType.rawValue)")
            #expect(callback.flaw == nil)
            if let text = callback.text {
                #expect(fields.values.contains(text), "\(callback)")
                if !text.utf8.allSatisfy({ $0 < 0x80 }) { textsBeyondASCII += 1 }
            }
            // An id beyond 2^53 is digits on the wire, whatever a JSON decoder makes of it.
            let wire = callback.query + String(decoding: callback.body, as: UTF8.self)
            if wire.firstMatch(of: /[=:][1-9][0-9]{16,18}[&,}]/) != nil { longIds += 1 }
            if callback.isOptOut {
                optOuts += 1
                #expect(callback.eventType == .reply || callback.eventType == .shortCode)
            }
            switch callback.generation {
            case .v1GET, .templateGET:
                #expect(callback.method == .get && callback.body.isEmpty && callback.contentType == nil)
            case .legacyGET: #expect(callback.body.isEmpty && !callback.query.isEmpty)
            case .v2POST, .templatePOST, .formPOST:
                #expect(callback.method == .post && !callback.body.isEmpty && callback.query.isEmpty)
            }
        }
        #expect(textsBeyondASCII > 200)
        #expect(longIds > 500)
        #expect(optOuts > 50)
    }

    @Test func referencesAreUnique() {
        let all = Self.callbacks(2000, CallbackGenerator(seed: 9, malformed: 0.5))
        #expect(Set(all.map(\.reference)).count == 2000)
    }

    @Test func everyFlawOccursAndIsOne() throws {
        var seen: Set<CallbackFlaw> = []
        for callback in Self.callbacks(2000, CallbackGenerator(seed: 5, malformed: 1)) {
            let flaw = try #require(callback.flaw)
            seen.insert(flaw)
            let object = try? JSONSerialization.jsonObject(with: Data(callback.body))
            switch flaw {
            case .empty: #expect(callback.query.isEmpty && callback.body.isEmpty)
            case .truncated where callback.contentType?.contains("form") == false: #expect(object == nil)
            case .truncated: break
            case .unescapedQuote: #expect(object == nil)
            case .invalidUTF8:
                #expect(
                    callback.body.isEmpty
                        ? callback.query.contains("%FF") : String(validating: callback.body, as: UTF8.self) == nil)
            case .notAnObject: #expect(object is [Any])
            case .unknownShape: #expect((object as? [String: Any])?["messageId"] as? String == callback.reference)
            case .badDate, .badNumber: break
            }
        }
        #expect(seen == Set(CallbackFlaw.allCases))
    }

    @Test func theTestNumberOccursOnlyWhenAskedFor() {
        let without = Self.callbacks(1000, CallbackGenerator(seed: 1, subscribers: 1_000_000))
        #expect(!without.contains { $0.msisdn == CallbackGenerator.vendorTestNumber })
        let with = Self.callbacks(1000, CallbackGenerator(seed: 1, tests: 0.3))
        #expect((200...400).contains(with.count { $0.msisdn == CallbackGenerator.vendorTestNumber }))
    }

    @Test func thereAreAsManySubscribersAsSaid() {
        #expect(Set(Self.callbacks(1000, CallbackGenerator(seed: 1, subscribers: 5)).map(\.msisdn)).count == 5)
        #expect(Set(Self.callbacks(50, CallbackGenerator(seed: 1, subscribers: -3)).map(\.msisdn)).count == 1)
    }

    @Test(arguments: [
        (0, true, "01/Jan/1970 02:00:00"), (1_609_509_862, true, "01/Jan/2021 16:04:22"),
        (1_609_509_862, false, "1/Jan/2021 16:04:22"), (1_602_843_934, false, "16/Oct/2020 12:25:34"),
        (1_735_681_200, true, "31/Dec/2024 23:40:00"), (1_709_200_000, true, "29/Feb/2024 11:46:40"),
        (951_782_399, true, "29/Feb/2000 01:59:59"), (4_107_542_400, true, "01/Mar/2100 02:00:00"),
    ])
    func datesAreSouthAfrican(seconds: Int64, padded: Bool, expected: String) {
        #expect(WireText.southAfrican(seconds, padded: padded) == expected)
    }

    @Test func jsonTextsComeBack() throws {
        for text in SampleTexts.incoming + SampleTexts.outgoing + ["\u{0}\u{1}\u{7F}\u{2028}"] {
            for ascii in [false, true] {
                let json = "[\(WireText.json(text, ascii: ascii))]"
                if ascii { #expect(json.utf8.allSatisfy { $0 < 0x80 }) }
                let array = try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String]
                #expect(array == [text])
            }
        }
    }
}

/// What the simulator sends is what the decoder understands: else one of the two misreads the contract.
@Suite struct GeneratedCallbacksAreUnderstood {
    private static func event(_ callback: SimulatedCallback, onCommonRoute: Bool = false) throws -> Event {
        try CallbackDecoder().event(
            from: Callback(
                method: callback.method == .get ? .get : .post, route: onCommonRoute ? nil : callback.eventType,
                contentType: callback.contentType ?? "", query: Array(callback.query.utf8), body: callback.body),
            receivedAt: EventTime(millisecondsSinceEpoch: 1_735_711_200_000))
    }

    @Test func everyOneIsAnEventOfItsType() throws {
        var generator = CallbackGenerator(seed: 17, tests: 0.05)
        for _ in 0..<1500 {
            let callback = generator.next()
            let event = try Self.event(callback)
            #expect(event.type == callback.eventType, "\(callback)")
            #expect(event.msisdn == callback.msisdn, "\(callback)")
            #expect(event.reference == callback.reference, "\(callback)")
            #expect(event.isOptOut == callback.isOptOut, "\(callback)")
            #expect(event.isTest == (callback.msisdn == CallbackGenerator.vendorTestNumber))
            switch event {
            case .reply(let reply): #expect(reply.text == callback.text)
            case .shortCode(let message): #expect(message.text == callback.text)
            case .deliveryStatus(let status) where callback.text != nil: #expect(status.sentText == callback.text)
            default: break
            }
            // A legacy or V1 landing page has no time; everything else says when it happened.
            let isClickByGET =
                !event.parameters!.contains { $0.name.lowercased().hasSuffix("utc") }
                && (event.type == .urlClick || event.type == .urlPreview)
            #expect((event.occurredAt == nil) == isClickByGET, "\(callback)")
        }
    }

    @Test func everyOneIsRecognisedByItsFields() throws {
        var generator = CallbackGenerator(seed: 18)
        for _ in 0..<600 {
            let callback = generator.next()
            #expect(try Self.event(callback, onCommonRoute: true).type == callback.eventType, "\(callback)")
        }
    }

    @Test func repeatsHaveTheSameId() throws {
        var generator = CallbackGenerator(seed: 19)
        var ids: [String: UInt64] = [:]
        for _ in 0..<1500 {
            let callback = generator.next()
            let (first, second) = (try Self.event(callback), try Self.event(callback))
            #expect((first.id == second.id) == (first.idBasis != .reception))
            #expect(ids.updateValue(callback.number, forKey: first.id) == nil)
        }
    }

    @Test func whatCannotBeUnderstoodIsUnrecognised() throws {
        var generator = CallbackGenerator(seed: 20, malformed: 1)
        for _ in 0..<500 {
            let callback = generator.next()
            switch callback.flaw {
            case .unescapedQuote:
                // One value is to blame, and the rest of the template is intact.
                let event = try Self.event(callback)
                if callback.eventType == .deliveryStatus {
                    #expect(event.type == .unrecognised, "\(callback)")
                } else {
                    #expect(event.type == callback.eventType && event.envelope.isRecovered, "\(callback)")
                }
            case .notAnObject, .empty, .invalidUTF8:
                #expect(try Self.event(callback).type == .unrecognised, "\(callback)")
            case .unknownShape:
                #expect(try Self.event(callback, onCommonRoute: true).type == .unrecognised, "\(callback)")
            default: _ = try Self.event(callback)
            }
        }
    }
}
