import SMSPortalEvents
import Testing

/// Every example of the vendor's contract becomes the event that it means.
@Suite struct ContractTests {
    @Test func allFixturesAreRead() { #expect(Fixture.all.count >= 49) }

    @Test(arguments: Fixture.all)
    func becomesWhatItMeans(_ fixture: Fixture) throws {
        let callback = fixture.callback
        let record = try CallbackDecoder().record(
            callback.method, callback.route, contentType: callback.contentType,
            contentEncoding: callback.contentEncoding, query: callback.query, body: callback.body)
        #expect(record.topic.suffix == fixture.topic)
        #expect(record.key.map { String(decoding: $0, as: UTF8.self) } == fixture.key)
        #expect(record.timestamp == reception)
        let value = try JSONValue(record.value)
        #expect(value["type"]?.string == fixture.type)
        #expect(value["idBasis"]?.string == fixture.idBasis)
        #expect(value["account"]?.string == "default")
        #expect(value["receivedAt"]?.string == "2026-11-23T17:50:26.123Z")
        for (field, expected) in fixture.fields { #expect(value[field] == expected, "\(field)") }
    }

    /// What the fixture does not name, the value does not have.
    @Test(arguments: Fixture.all.filter { $0.name.hasPrefix("v1") || $0.name.hasPrefix("v2-post-delivery") })
    func saysNoMore(_ fixture: Fixture) throws {
        let callback = fixture.callback
        let record = try CallbackDecoder().record(
            callback.method, callback.route, contentType: callback.contentType,
            contentEncoding: callback.contentEncoding, query: callback.query, body: callback.body)
        let envelope: Set = ["id", "idBasis", "type", "account", "receivedAt", "raw"]
        let own = Set(try JSONValue(record.value).object.map { Array($0.keys) } ?? []).subtracting(envelope)
        #expect(own == Set(fixture.fields.keys))
    }

    /// The same callback twice has the same id, unless it says too little to know a repeat by.
    @Test(arguments: Fixture.all)
    func isKnownAgain(_ fixture: Fixture) throws {
        let first = try Event(callback: fixture.callback, receivedAt: reception)
        let later = EventTime(millisecondsSinceEpoch: reception.millisecondsSinceEpoch + 60_000)
        let second = try Event(callback: fixture.callback, receivedAt: later)
        #expect((first.id == second.id) == (first.idBasis != .reception))
    }

    /// What the record keeps as raw decodes to the same event again.
    @Test(arguments: Fixture.all)
    func rawDecodesToTheSameEvent(_ fixture: Fixture) throws {
        let event = try Event(callback: fixture.callback, receivedAt: reception)
        let read = try Event(record: event.record())
        #expect(read == event)
        #expect(read.raw == fixture.callback)
        #expect(read.redecoded(by: try CallbackDecoder()) == event)
    }

    /// The hot path and the typed event are written by one writer.
    @Test(arguments: Fixture.all)
    func typedEventMakesTheSameRecord(_ fixture: Fixture) throws {
        let callback = fixture.callback
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        let record = try CallbackDecoder().record(
            callback.method, callback.route, contentType: callback.contentType,
            contentEncoding: callback.contentEncoding, query: callback.query, body: callback.body,
            traceparent: traceparent, tracestate: "vendor=1")
        #expect(record.headers.map(\.name).suffix(2) == ["traceparent", "tracestate"])
        let event = try Event(record: record)
        #expect(event.envelope.traceparent == traceparent)
        #expect(event.record() == record)
    }
}
