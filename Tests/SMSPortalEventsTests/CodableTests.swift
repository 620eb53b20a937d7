import Foundation
import SMSPortalEvents
import Testing

struct CodableTests {
    private func event(_ fixture: Fixture) throws -> Event {
        try Event(callback: fixture.callback, receivedAt: EventTime(millisecondsSinceEpoch: 1_767_254_400_123))
    }

    /// Every callback that a test knows, valid or not.
    @Test(arguments: Fixture.all)
    private func anEventSurvivesJSON(_ fixture: Fixture) throws {
        var event = try event(fixture)
        for encoder in [JSONEncoder(), snakeCase] {
            #expect(try JSONDecoder().decode(Event.self, from: encoder.encode(event)) == event)
        }
        event.envelope.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        event.envelope.tracestate = "vendor=1"
        let list = PropertyListEncoder()
        #expect(try PropertyListDecoder().decode([Event].self, from: list.encode([event, event])) == [event, event])
    }

    /// A strategy for keys must not rename what the schemas name.
    private var snakeCase: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        return encoder
    }

    @Test func theJSONIsTheRecordsValue() throws {
        let fixture = try #require(Fixture.all.first { $0.type == "reply" })
        let event = try event(fixture)
        let encoded = try JSONValue([UInt8](JSONEncoder().encode(event)))
        #expect(encoded == (try JSONValue(event.record().value)))
    }

    @Test func aTypeDecodesItselfOnly() throws {
        let callback = Callback(method: .get, route: .reply, query: "Id=1&Msisdn=27821234567&Message=Yes", body: "")
        let event = try Event(callback: callback, receivedAt: EventTime(millisecondsSinceEpoch: 0))
        guard case .reply(let reply) = event else {
            throw DecodingError.valueNotFound(Reply.self, .init(codingPath: [], debugDescription: ""))
        }
        let data = try JSONEncoder().encode(["it": reply])
        #expect(try JSONDecoder().decode([String: Reply].self, from: data) == ["it": reply])
        #expect {
            try JSONDecoder().decode([String: DeliveryStatus].self, from: data)
        } throws: { error in
            "\(error)".contains("expected a delivery-status event, found reply")
        }
        #expect(throws: DecodingError.self) { try JSONDecoder().decode(Event.self, from: Data("{}".utf8)) }
        #expect(throws: DecodingError.self) { try JSONDecoder().decode(Event.self, from: Data("[1,2.5,true]".utf8)) }
    }

    @Test func aTimeIsText() throws {
        let time = EventTime(millisecondsSinceEpoch: 1_767_254_400_123)
        let data = try JSONEncoder().encode([time])
        #expect(String(decoding: data, as: UTF8.self) == #"["2026-01-01T08:00:00.123Z"]"#)
        #expect(try JSONDecoder().decode([EventTime].self, from: data) == [time])
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode([EventTime].self, from: Data(#"["yesterday"]"#.utf8))
        }
    }

    /// Numbers and texts of subscribers belong in no log: neither print, interpolation nor dump shows them.
    @Test func nothingThatIsPrintedShowsTheSubscriber() throws {
        let number = "27821234567"
        let secret = "MyOwnWords"
        let callback = Callback(
            method: .post, route: .reply, contentType: "application/json",
            body: #"{"Id":9007199254740993,"Msisdn":"\#(number)","Message":"\#(secret)","Received":1735718400}"#)
        let event = try Event(callback: callback, receivedAt: EventTime(millisecondsSinceEpoch: 1_735_718_401_000))
        guard case .reply(let reply) = event else {
            throw DecodingError.valueNotFound(Reply.self, .init(codingPath: [], debugDescription: ""))
        }
        #expect(reply.text == secret && reply.msisdn == number, "it is there")
        let parameter = try #require(reply.parameters?.first { $0.value == secret })
        for value in [event, reply, reply.envelope, callback, parameter, event.record()] as [any Sendable] {
            var dumped = ""
            dump(value, to: &dumped)
            for text in ["\(value)", String(reflecting: value), "\([value])", dumped] {
                #expect(!text.contains(number) && !text.contains(secret), "\(type(of: value))")
                #expect(!text.contains(Array(secret.utf8).map(String.init).joined(separator: ", ")), "as bytes")
            }
        }
        #expect("\(reply)" == "reply \(reply.id) of account default at 2025-01-01T08:00:01Z")
    }
}
