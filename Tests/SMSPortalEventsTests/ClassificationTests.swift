import SMSPortalEvents
import Testing

/// Which type a callback has, and which names mean what.
@Suite struct ClassificationTests {
    @Test(arguments: [
        (#"{"status":"DELIVRD","id":1}"#, EventType.deliveryStatus),
        (#"{"STATUS":"x","MSISDN":"27123456789","message":"m"}"#, .deliveryStatus),
        (#"{"message":"Hi","to":"40001","id":7}"#, .reply), (#"{"incomingData":"Hi","id":1}"#, .reply),
        (#"{"incomingData":"Hi","id":1,"status":"x"}"#, .reply),
        (#"{"incomingData":"Hi","id":1,"keyword":"x"}"#, .shortCode), (#"{"message":"Hi","changeid":1}"#, .shortCode),
        (#"{"type":"REDIRECT","phoneNumber":"27123456789"}"#, .urlClick),
        (#"{"type":"url_preview","phoneNumber":"27123456789"}"#, .urlPreview),
        (#"{"landingPageName":"x"}"#, .urlClick), (#"{"landingPageName":"x","type":"Preview"}"#, .urlPreview),
        (#"{"landingPageName":"x","type":"SUBMIT"}"#, .urlClick),
        (#"{"interactionUtc":1735718400,"msgNumTo":"27123456789"}"#, .urlClick),
    ])
    func fieldsTellTheType(_ json: String, _ type: EventType) throws {
        #expect(try CallbackDecoder().event(nil, json: json).type == type)
    }

    @Test func theRouteWinsOverGuessing() throws {
        let both =
            #"{"type":"PREVIEW","phoneNumber":"27123456789","status":"DELIVRD","incomingData":"Hi","landingPageName":"x","sc":"1"}"#
        let decoder = try CallbackDecoder()
        for route: EventType in [.deliveryStatus, .reply, .shortCode, .urlClick, .urlPreview] {
            let event = try decoder.event(route, json: both)
            #expect(event.type == route)
            #expect(event.topic.suffix == route.rawValue)
        }
    }

    @Test func configuredNamesComeFirst() throws {
        let decoder = try CallbackDecoder(
            DecoderConfiguration(fields: [
                .reply: [
                    "Nummer": "msisdn", "bericht": "text", "id": "batchId", "wann": "occurredAt", "land": "network.mcc",
                ],
                .deliveryStatus: ["Zustand": "status", "msisdn": "reference", "anzahl": "parts"],
                .urlPreview: ["vorschau": "url"], .urlClick: ["klick": "url"], .shortCode: ["Kurzwahl": "shortCode"],
            ]))
        let reply = try #require(
            try decoder.event(
                .reply,
                json:
                    #"{"NUMMER":"27123456789","phoneNumber":"27999999999","Bericht":"Hallo","incomingData":"x","id":5,"incomingId":6,"wann":1735718400,"land":655}"#
            ).reply)
        #expect(reply.msisdn == "27123456789")
        #expect(reply.text == "Hallo")
        #expect(reply.batchID == "5")
        #expect(reply.messageID == "6")
        #expect(reply.occurredAt?.rfc3339 == "2025-01-01T08:00:00Z")
        #expect(reply.network?.mcc == "655")
        let status = try #require(
            try decoder.event(
                .deliveryStatus,
                json: #"{"zustand":"DELIVRD","status":"UNDELIV","msisdn":"A-1","phoneNumber":"27123456789","anzahl":2}"#
            ).deliveryStatus)
        #expect(status.status == "DELIVRD")
        #expect(status.reference == "A-1")
        #expect(status.msisdn == "27123456789")
        #expect(status.parts == 2)
        // Without a route they tell the type, too.
        #expect(try decoder.event(nil, json: #"{"nummer":"27123456789","bericht":"Hallo"}"#).type == .reply)
        #expect(
            try decoder.event(nil, json: #"{"zustand":"DELIVRD","phoneNumber":"27123456789"}"#).type == .deliveryStatus)
        #expect(try decoder.event(nil, json: #"{"vorschau":"https://x"}"#).type == .urlPreview)
        #expect(try decoder.event(nil, json: #"{"klick":"https://x"}"#).urlClick?.url == "https://x")
        #expect(
            try decoder.event(nil, json: #"{"kurzwahl":"40001","message":"x","phoneNumber":"27123456789"}"#).shortCode?
                .shortCode == "40001")
    }

    @Test func aConfigurationThatMakesNoSenseIsRefusedAllAtOnce() {
        let configuration = DecoderConfiguration(
            accounts: ["ok", "ok", "not ok", ""],
            fields: [
                .reply: ["a": "status", "": "text", "B": "text", "b": "msisdn"], .unrecognised: ["x": "y"],
                .urlClick: ["u": "landingPage"],
            ], optOutPhrases: ["!!", String(repeating: "x", count: 201)])
        #expect(configuration.problems().count == 10)
        let error = #expect(throws: DecoderConfigurationError.self) { try CallbackDecoder(configuration) }
        #expect(error?.problems == configuration.problems())
        #expect(error?.description.contains("fields.reply.a: 'status' is not a field of this type") == true)
        #expect(throws: DecoderConfigurationError.self) { try CallbackDecoder(DecoderConfiguration(accounts: [])) }
        let many = Dictionary(uniqueKeysWithValues: (0..<200).map { ("name\($0)", "text") })
        #expect(DecoderConfiguration(fields: [.reply: many]).problems().count == 1)
        #expect(DecoderConfiguration().problems() == [])
    }

    @Test func accountsAreNamed() throws {
        let decoder = try CallbackDecoder(DecoderConfiguration(accounts: ["default", "shop-2"]))
        let body = Array(#"{"status":"DELIVRD","id":1}"#.utf8)
        for (index, name) in [(0, "default"), (1, "shop-2"), (2, "default"), (-1, "default"), (.max, "default")] {
            let record = try decoder.record(.post, .deliveryStatus, body: body, account: index)
            #expect(record.header("ce_source") == "/smsportal/\(name)")
            #expect(try Event(record: record).account == name)
        }
    }

    @Test(arguments: [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "", true, false),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", "a=1,b@c=2 , ,d=3", true, true),
        ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", "a=1", true, true),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", "a=1", false, false),
        ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=1", false, false),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", "", false, false),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", "", false, false),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", "", false, false),
        ("", "a=1", false, false), ("x", "", false, false),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "A=1", true, false),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=", true, false),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=\u{1}", true, false),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", String(repeating: "a=1,", count: 33), true, false),
        (
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=" + String(repeating: "x", count: 511), true,
            false
        ),
    ])
    func traceContextIsPassedOnWhenWellFormed(_ parent: String, _ state: String, _ hasParent: Bool, _ hasState: Bool)
        throws
    {
        let record = try CallbackDecoder().record(.post, .reply, traceparent: parent, tracestate: state)
        #expect(record.header("traceparent") == (hasParent ? parent : nil))
        #expect(record.header("tracestate") == (hasState ? state : nil))
    }
}
