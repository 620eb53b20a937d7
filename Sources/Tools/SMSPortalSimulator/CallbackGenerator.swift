package import SMSPortalEvents

/// Makes callbacks as SMSPortal sends them: every event type in every generation, with values as they occur.
///
/// The sequence is a function of the seed, the other arguments and ``clock`` alone. Each run of as many callbacks as
/// there are pairs of type and generation contains every pair once, so that a short demo shows them all.
///
/// The shapes are those of `docs/control-panel.md`. Where the vendor documents none (short codes and landing pages by
/// legacy or V1 GET and by V2 POST), the names are those of the nearest documented shape.
///
/// The numbers begin with 27001: no South African number has a zero after the country code, so none can belong to
/// anybody.
package struct CallbackGenerator: Sendable {
    /// The number in the vendor's own samples; a callback that carries it is a test.
    package static let vendorTestNumber = "27000000001"

    /// The vendor's clock, in UNIX seconds: the dates in the next callback lie at it or shortly before.
    package var clock: Int64 = 1_735_711_200

    private struct Pair {
        var type: EventType
        var generation: CallbackGeneration
    }

    private let seed: UInt64
    private let subscribers: Int
    private let malformed: Double
    private let tests: Double
    private let pairs: [Pair]
    private var deck: [Pair] = []
    private var random: SeededRandom
    private var count: UInt64 = 0

    /// Makes a generator.
    ///
    /// - Parameters:
    ///   - seed: gives the sequence.
    ///   - types: the event types to make; ``EventType/unrecognised`` is not one that the vendor sends and is left out.
    ///     An empty set means all.
    ///   - generations: the generations to make; an empty set means all.
    ///   - subscribers: how many different phone numbers occur, 1 to 1,000,000 (others are moved to the nearest bound).
    ///   - malformed: the share of callbacks that are malformed on purpose, 0 to 1.
    ///   - tests: the share of callbacks that carry the vendor's test number, 0 to 1.
    package init(
        seed: UInt64, types: Set<EventType> = [], generations: Set<CallbackGeneration> = [], subscribers: Int = 1000,
        malformed: Double = 0, tests: Double = 0
    ) {
        self.seed = seed
        self.subscribers = min(1_000_000, max(1, subscribers))
        self.malformed = malformed
        self.tests = tests
        random = SeededRandom(seed: seed)
        let sent = EventType.allCases.filter { $0 != .unrecognised }
        let wanted = sent.filter { types.contains($0) }
        var pairs: [Pair] = []
        for type in wanted.isEmpty ? sent : wanted {
            for generation in CallbackGeneration.allCases where generations.isEmpty || generations.contains(generation)
            {
                pairs.append(Pair(type: type, generation: generation))
            }
        }
        self.pairs = pairs
    }

    /// Makes the next callback.
    package mutating func next() -> SimulatedCallback {
        if deck.isEmpty { deck = pairs.shuffled(using: &random) }
        let pair = deck.removeLast()
        count += 1
        var draft = Draft(
            number: count, msisdn: number(), reference: "sim-\(String(seed, radix: 16))-\(count)",
            received: clock - Int64.random(in: 0...4, using: &random), generation: pair.generation)
        draft.sent = draft.received - Int64.random(in: 1...90, using: &random)
        let flaw = random.chance(malformed) ? random.pick(CallbackFlaw.allCases) : nil
        switch flaw {
        case .badDate: draft.badDate = true
        case .badNumber: draft.msisdn = random.pick(["", "not-a-number", "+", "0"])
        default: break
        }
        let fields =
            switch pair.type {
            case .deliveryStatus: deliveryStatus(&draft)
            case .reply: reply(&draft)
            case .shortCode: shortCode(&draft)
            case .urlClick: landingPage(&draft, interaction: "REDIRECT")
            case .urlPreview, .unrecognised: landingPage(&draft, interaction: "PREVIEW")
            }
        var callback = SimulatedCallback(
            number: count, method: .get, path: "/webhooks/\(pair.type.rawValue)", query: "", contentType: nil, body: [],
            eventType: pair.type, generation: pair.generation, msisdn: draft.msisdn, reference: draft.reference,
            text: draft.text, isOptOut: draft.isOptOut, flaw: flaw)
        encode(fields, into: &callback)
        if let flaw { spoil(&callback, by: flaw) }
        return callback
    }

    // MARK: - Values

    /// What the fields of one callback are made from.
    private struct Draft {
        var number: UInt64
        var msisdn: String
        var reference: String
        var received: Int64
        var sent: Int64 = 0
        var generation: CallbackGeneration
        var badDate = false
        var text: String?
        var isOptOut = false

        var isTemplate: Bool { generation == .templateGET || generation == .templatePOST }

        func date(_ seconds: Int64) -> Value {
            // The vendor pads the day in some callbacks and not in others.
            .text(badDate ? "32/Foo/2025 25:61:00" : WireText.southAfrican(seconds, padded: number % 2 == 0))
        }

        func utc(_ seconds: Int64) -> Value { badDate ? .text("yesterday") : .integer(String(seconds)) }
    }

    /// A value as JSON knows it; queries and forms know only text.
    private enum Value {
        case text(String)
        case integer(String)
        case json(String)
    }

    private typealias Fields = [(name: String, value: Value)]

    private mutating func number() -> String {
        if random.chance(tests) { return Self.vendorTestNumber }
        let subscriber = String(Int.random(in: 0..<subscribers, using: &random))
        return "27001" + String(repeating: "0", count: 6 - subscriber.count) + subscriber
    }

    /// An id: one in four is beyond 2^53, where a number that was read as floating point is no longer the same.
    private mutating func id() -> String {
        random.chance(0.25)
            ? String(UInt64.random(in: 9_007_199_254_740_993...9_223_372_036_854_775_807, using: &random))
            : String(UInt64.random(in: 1_000_000...4_000_000_000, using: &random))
    }

    private mutating func status() -> String {
        random.chance(0.7) ? "DELIVRD" : random.chance(0.02) ? "QUEUED" : random.pick(SampleTexts.statuses)
    }

    private mutating func answer(_ draft: inout Draft) -> String {
        draft.isOptOut = random.chance(0.15)
        let text = random.pick(draft.isOptOut ? SampleTexts.optOut : SampleTexts.incoming)
        draft.text = text
        return text
    }

    // MARK: - Shapes (docs/control-panel.md)

    private mutating func deliveryStatus(_ draft: inout Draft) -> Fields {
        let status = status()
        switch draft.generation {
        case .legacyGET, .v1GET, .formPOST:
            let text = random.pick(SampleTexts.outgoing)
            draft.text = text
            var fields: Fields = [
                ("ID", .integer(id())), ("EventID", .integer(id())), ("Phonenumber", .text(draft.msisdn)),
                ("DataType", .text(draft.generation == .legacyGET ? "Sms" : "SMS")), ("Data", .text(text)),
                ("SentDataTime", draft.date(draft.received)), ("Status", .text(status)),
                ("CustomerID", .text(draft.reference)),
            ]
            if draft.generation == .legacyGET {
                fields += [
                    ("Flash", .text("False")), ("MsgCount", .integer("1")),
                    ("GRPName", .text(random.pick(SampleTexts.groups))),
                ]
            }
            return fields
        case .v2POST:
            // The letter case differs between copies of the vendor's documentation.
            let shouting = random.chance(0.3)
            return [
                ("Status", .text(status)), (shouting ? "EventID" : "EventId", .integer(id())), ("Mcc", .integer("655")),
                ("Mnc", .text(random.pick(SampleTexts.networks))), (shouting ? "Msgcount" : "MsgCount", .integer("1")),
                ("Msisdn", .text(draft.msisdn)), ("Received", draft.utc(draft.received)),
                ("UserReference", .text(draft.reference)),
            ]
        case .templateGET, .templatePOST:
            var fields: Fields = [
                ("customerId", .text(draft.reference)), ("eventId", .integer(id())), ("id", .integer(id())),
                ("phoneNumber", .text(draft.msisdn)), ("status", .text(status)), ("sentUtc", draft.utc(draft.sent)),
                ("receivedUtc", draft.utc(draft.received)), ("mcc", .integer("655")),
                ("mnc", .text(random.pick(SampleTexts.networks))),
            ]
            if draft.generation == .templatePOST, random.chance(0.3) {
                fields.append(
                    ("groupData", .json("{\"name\":\(WireText.json(random.pick(SampleTexts.groups))),\"size\":3}")))
            }
            return fields
        }
    }

    private mutating func reply(_ draft: inout Draft) -> Fields {
        let text = answer(&draft)
        switch draft.generation {
        case .legacyGET, .v1GET, .formPOST:
            var fields: Fields = [
                ("IncomingID", .integer(id())), ("Phonenumber", .text(draft.msisdn)), ("IncomingData", .text(text)),
                ("IncomingDataTime", draft.date(draft.received)), ("SentID", .integer(id())),
                ("EventID", .integer(id())),
                ("SentData", .text(random.pick(SampleTexts.outgoing))), ("SentDataTime", draft.date(draft.sent)),
                ("CustomerID", .text(draft.reference)), ("Campaign", .text("")), ("SentMessageGRPName", .text("")),
                ("SentMessageGRPDesc", .text("")),
            ]
            if draft.generation == .legacyGET {
                for index in 1...6 { fields.append(("NumberValue\(index)", .text(index == 1 ? "250.00" : ""))) }
            }
            return fields
        case .v2POST:
            return [
                ("To", .text(random.pick(SampleTexts.codes))), ("Id", .integer(id())), ("EventId", .integer(id())),
                ("Message", .text(text)), ("Msisdn", .text(draft.msisdn)), ("Received", draft.utc(draft.received)),
                ("UserReference", .text(draft.reference)),
            ]
        case .templateGET, .templatePOST:
            return [
                ("sourcePhoneNumber", .text(draft.msisdn)), ("incomingData", .text(text)),
                ("destinationPhoneNumber", .text("27" + random.pick(SampleTexts.codes))),
                ("incomingId", .integer(id())),
                ("eventId", .integer(id())), ("incomingUtc", draft.utc(draft.received)),
                ("customerId", .text(draft.reference)),
            ]
        }
    }

    private mutating func shortCode(_ draft: inout Draft) -> Fields {
        let text = answer(&draft)
        let code = random.pick(SampleTexts.codes)
        let keyword = random.pick(SampleTexts.keywords)
        let network = random.pick(SampleTexts.networks)
        switch draft.generation {
        case .legacyGET, .v1GET, .formPOST:
            // The columns of the vendor's polling API.
            return [
                ("ChangeID", .integer(id())), ("ShortCode", .text(code)), ("Keyword", .text(keyword)),
                ("PhoneNumber", .text(draft.msisdn)), ("Message", .text(text)),
                ("Received", draft.date(draft.received)),
                ("Mnc", .text(network)), ("Mcc", .text("655")), ("CustomerID", .text(draft.reference)),
            ]
        case .v2POST:
            return [
                ("Id", .integer(id())), ("Msisdn", .text(draft.msisdn)), ("Message", .text(text)),
                ("Mcc", .integer("655")),
                ("Mnc", .text(network)), ("ShortCode", .text(code)), ("Keyword", .text(keyword)),
                ("Received", draft.utc(draft.received)), ("UserReference", .text(draft.reference)),
            ]
        case .templateGET, .templatePOST:
            return [
                ("id", .integer(id())), ("phoneNumber", .text(draft.msisdn)), ("incomingData", .text(text)),
                ("mcc", .integer("655")), ("mnc", .text(network)), ("sc", .text(code)), ("keyword", .text(keyword)),
                ("incomingUtc", draft.utc(draft.received)), ("customerId", .text(draft.reference)),
            ]
        }
    }

    private mutating func landingPage(_ draft: inout Draft, interaction: String) -> Fields {
        let page = random.pick(SampleTexts.pages)
        let component = random.pick(SampleTexts.components)
        switch draft.generation {
        case .legacyGET, .v1GET, .templateGET:
            // The vendor's example: neither an id nor a time.
            return [
                ("type", .text(interaction)), ("customerRef", .text(draft.reference)),
                ("msgNumTo", .text(draft.msisdn)),
                ("landingPageVersion", .text("Version1")), ("landingPageName", .text(page)),
            ]
        case .v2POST:
            return [
                ("Type", .text(interaction)), ("Msisdn", .text(draft.msisdn)),
                ("UserReference", .text(draft.reference)),
                ("InteractionUtc", draft.utc(draft.received)), ("LandingPageName", .text(page)),
                ("LandingPageVersion", .text("Version1")), ("LandingPageComponentId", .text(component)),
            ]
        case .templatePOST, .formPOST:
            return [
                ("phoneNumber", .text(draft.msisdn)), ("customerId", .text(draft.reference)),
                ("type", .text(interaction)),
                ("interactionUtc", draft.utc(draft.received)), ("landingPageName", .text(page)),
                ("landingPageVersion", .text("Version1")), ("landingPageComponentId", .text(component)),
            ]
        }
    }

    // MARK: - Encoding

    private mutating func encode(_ fields: Fields, into callback: inout SimulatedCallback) {
        switch callback.generation {
        case .legacyGET, .v1GET, .templateGET:
            callback.query = form(fields)
            // "POST" with the data still in the URL, as legacy forwarding does it for some customers.
            if callback.generation == .legacyGET, random.chance(0.2) { callback.method = .post }
        case .formPOST:
            callback.method = .post
            callback.contentType = "application/x-www-form-urlencoded"
            callback.body = Array(form(fields).utf8)
        case .v2POST, .templatePOST:
            callback.method = .post
            // V2's body is "plain text" to the vendor's own documentation.
            callback.contentType =
                callback.generation == .v2POST && random.chance(0.3)
                ? "text/plain" : random.pick(["application/json", "application/json; charset=utf-8"])
            let ascii = random.chance(0.3)
            let members = fields.map { field in
                let value =
                    switch field.value {
                    case .text(let text): WireText.json(text, ascii: ascii)
                    case .integer(let digits): digits
                    case .json(let json): json
                    }
                return "\"\(field.name)\":\(value)"
            }
            callback.body = Array("{\(members.joined(separator: ","))}".utf8)
        }
    }

    private mutating func form(_ fields: Fields) -> String {
        let lowercase = random.chance(0.5)
        return fields.map { field in
            switch field.value {
            case .text(let text), .integer(let text), .json(let text):
                "\(field.name)=\(WireText.form(text, lowercase: lowercase))"
            }
        }.joined(separator: "&")
    }

    /// Makes the flaw in what was encoded; where it cannot be in a query, the callback becomes a JSON one.
    private mutating func spoil(_ callback: inout SimulatedCallback, by flaw: CallbackFlaw) {
        func send(_ json: String) {
            callback.method = .post
            callback.query = ""
            callback.contentType = "application/json"
            callback.body = Array(json.utf8)
        }
        switch flaw {
        case .truncated:
            if callback.body.isEmpty {
                callback.query = String(callback.query.prefix(callback.query.count / 2))
                // Not within an escape: curl would correct the URL.
                if let percent = callback.query.suffix(2).lastIndex(of: "%") {
                    callback.query = String(callback.query[..<percent])
                }
            } else {
                callback.body.removeLast(callback.body.count / 2)
            }
        case .unescapedQuote:
            send(
                "{\"sourcePhoneNumber\":\"\(callback.msisdn)\",\"incomingData\":\"He said \"no\"\",\"customerId\":\"\(callback.reference)\"}"
            )
        case .invalidUTF8:
            if callback.body.isEmpty {
                callback.query += "&Extra=%FF%FE"
            } else {
                callback.body.insert(0xFF, at: callback.body.count / 2)
            }
        case .notAnObject:
            send(
                "[{\"Status\":\"DELIVRD\",\"Msisdn\":\"\(callback.msisdn)\",\"UserReference\":\"\(callback.reference)\"}]"
            )
        case .empty:
            callback.query = ""
            callback.body = []
            callback.contentType = nil
        case .unknownShape:
            send("{\"messageId\":\"\(callback.reference)\",\"statusCode\":200,\"receipts\":[1,null,{\"deep\":[[[]]]}]}")
        case .badDate, .badNumber:
            break  // made with the values
        }
    }
}

/// A variable of the Control Panel's templates.
package struct TemplateVariable: Sendable {
    package let name: String
    /// How many characters its value may take in a query.
    package let room: Int

    init(name: String, room: Int) {
        self.name = name
        self.room = room
    }

    /// `SourcePhoneNumber` → `sourcePhoneNumber`.
    package var key: String { name.prefix(1).lowercased() + name.dropFirst() }
}

extension EventType {
    /// The text comes last: should the caller cut a long address, nothing else is lost.
    package var templateVariables: [TemplateVariable] {
        let id = 19
        let time = 10
        let number = 15
        // A reference has up to 100 characters; each may be escaped.
        let reference = TemplateVariable(name: "CustomerId", room: 300)
        switch self {
        case .deliveryStatus:
            return [
                TemplateVariable(name: "Id", room: id), TemplateVariable(name: "EventId", room: id),
                TemplateVariable(name: "PhoneNumber", room: number), TemplateVariable(name: "Status", room: 16),
                TemplateVariable(name: "ReceivedUtc", room: time), TemplateVariable(name: "SentUtc", room: time),
                TemplateVariable(name: "SentDataPartsCount", room: 3), TemplateVariable(name: "Mcc", room: 3),
                TemplateVariable(name: "Mnc", room: 3), reference,
            ]
        case .reply:
            return [
                TemplateVariable(name: "IncomingId", room: id), TemplateVariable(name: "EventId", room: id),
                TemplateVariable(name: "SourcePhoneNumber", room: number),
                TemplateVariable(name: "DestinationPhoneNumber", room: number),
                TemplateVariable(name: "IncomingUtc", room: time),
                reference, TemplateVariable(name: "IncomingData", room: 0),
            ]
        case .shortCode:
            return [
                TemplateVariable(name: "Id", room: id), TemplateVariable(name: "PhoneNumber", room: number),
                TemplateVariable(name: "Sc", room: 8), TemplateVariable(name: "Keyword", room: 90),
                TemplateVariable(name: "IncomingUtc", room: time), TemplateVariable(name: "Mcc", room: 3),
                TemplateVariable(name: "Mnc", room: 3), TemplateVariable(name: "IncomingData", room: 0),
            ]
        case .urlPreview, .urlClick, .unrecognised:
            return [
                TemplateVariable(name: "PhoneNumber", room: number), TemplateVariable(name: "Type", room: 16),
                TemplateVariable(name: "InteractionUtc", room: time),
                TemplateVariable(name: "LandingPageName", room: 150),
                TemplateVariable(name: "LandingPageVersion", room: 60),
                TemplateVariable(name: "LandingPageComponentId", room: 60),
                reference,
            ]
        }
    }
}
