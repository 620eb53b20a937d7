import SMSBridgeTestSupport
import SMSPortalEvents
import Testing

/// The record format, both ways.
@Suite struct RecordTests {
    /// event → record → event is the identity.
    @Test func eventsSurviveTheirRecords() throws {
        let seed = SeededRandom.seed
        var builder = EventBuilder(generator: SeededRandom(seed: seed))
        let comment: Comment = "SMSBRIDGE_TEST_SEED=\(seed)"
        print(comment)
        let reader = EventReader()
        for _ in 0..<2000 {
            let event = builder.event()
            let record = event.record()
            try RecordCheck.check(record, comment)
            let read = try record.value.withUnsafeBytes { bytes throws(EventDecodingError) in
                try reader.event(value: bytes, headers: record.headers)
            }
            #expect(read == event, comment)
            #expect(read.record() == record, comment)
            #expect(
                record.key.map { String(decoding: $0, as: UTF8.self) }
                    == (event.type == .unrecognised ? nil : event.envelope.key), comment)
            #expect(record.timestamp == event.receivedAt, comment)
        }
    }

    @Test func theRecordOfAnExampleIsThis() throws {
        let fixture = try #require(Fixture.named("v2-post-delivery-status"))
        let record = try Event(callback: fixture.callback, receivedAt: reception).record()
        let body = String(decoding: fixture.callback.body, as: UTF8.self).replacing("\"", with: "\\\"")
        #expect(
            String(decoding: record.value, as: UTF8.self) == """
                {"id":"693630ab7e8972a668ec6244f492da5d","idBasis":"fields","type":"delivery-status","account":"default",\
                "receivedAt":"2026-11-23T17:50:26.123Z","occurredAt":"2018-06-26T11:51:47Z","msisdn":"27123456789",\
                "status":"DELIVRD","state":"delivered","parts":1,"batchId":"1179504595","reference":"5b3228ad6c8d84001a6e6707",\
                "network":{"mcc":"655","mnc":"01"},"raw":{"method":"POST","route":"/webhooks/delivery-status",\
                "contentType":"application/json","body":"\(body)"}}
                """)
    }

    @Test func theSharedPartsAreReachedFromTheEvent() throws {
        let fixture = try #require(Fixture.named("v2-post-reply"))
        var event = try Event(callback: fixture.callback, receivedAt: reception)
        guard case .reply(let reply) = event else { throw EventDecodingErrorExpected() }
        #expect(reply.msisdn == "27821234567")
        #expect(reply.account == "default")
        #expect(reply.receivedAt == reception)
        #expect(reply.parameters?.count == 7)
        #expect(reply.topic == .reply)
        event.envelope.account = "other"
        #expect(event.account == "other")
        #expect(
            EventTopic.allCases.map { $0.name() } == [
                "smsportal.delivery-status", "smsportal.reply", "smsportal.short-code", "smsportal.url-preview",
                "smsportal.url-click", "smsportal.test", "smsportal.quarantine",
            ])
        #expect(EventTopic.test.name(prefix: "a") == "a.test")
    }

    /// A typed event may have a name for an account that a URI could not carry as it is.
    @Test func oddAccountsAreEscapedInTheSource() throws {
        let fixture = try #require(Fixture.named("v2-post-reply"))
        var event = try Event(callback: fixture.callback, receivedAt: reception)
        event.envelope.account = "Händler/1"
        #expect(event.record().header("ce_source") == "/smsportal/H%C3%A4ndler%2F1")
        #expect(try Event(record: event.record()) == event)
        event.envelope.traceparent = "nonsense"
        #expect(event.record().header("traceparent") == nil)
    }

    // MARK: - What is no event

    private static let good =
        #"{"id":"x","idBasis":"vendor","type":"reply","account":"a","receivedAt":"2021-01-01T00:00:00.000Z","text":"t","raw":{"method":"GET","route":"/webhooks"}}"#

    @Test(arguments: [
        ("", "empty"), ("x", "not-json"), ("{", "not-json"), ("[]", "not-an-object"), ("null", "not-an-object"),
        ("{}", "missing-field: type"),
        (good.replacing("reply", with: "carrier-pigeon"), "unknown-type: type"),
        (good.replacing(#""type":"reply","#, with: #""type":5,"#), "invalid-field: type"),
        (good.replacing(#""text":"t","#, with: ""), "missing-field: text"),
        (good.replacing(#""t""#, with: "null"), "invalid-field: text"),
        (good.replacing(#""id":"x","#, with: ""), "missing-field: id"),
        (good.replacing("vendor", with: "vibes"), "invalid-field: idBasis"),
        (good.replacing("2021-01-01T", with: "2021-02-30T"), "invalid-field: receivedAt"),
        (good.replacing(#""receivedAt""#, with: #""received""#), "missing-field: receivedAt"),
        (good.replacing(#""raw":{"method":"GET","route":"/webhooks"}"#, with: #""raw":[]"#), "invalid-field: raw"),
        (good.replacing(#""raw""#, with: #""roh""#), "missing-field: raw"),
        (good.replacing("GET", with: "BREW"), "invalid-field: raw.method"),
        (good.replacing(#""method""#, with: #""m""#), "missing-field: raw.method"),
        (good.replacing(#""route""#, with: #""r""#), "missing-field: raw.route"),
        (good.replacing(#""/webhooks"}"#, with: #""/webhooks","bodyBase64":"QQ="}"#), "invalid-field: raw.bodyBase64"),
        (
            good.replacing(#""/webhooks"}"#, with: #""/webhooks","queryBase64":"QR=="}"#),
            "invalid-field: raw.queryBase64"
        ),
        (good.replacing(#""/webhooks"}"#, with: #""/webhooks","body":5}"#), "invalid-field: raw.body"),
        (good.replacing(#""text""#, with: #""optOut":"yes","text""#), "invalid-field: optOut"),
        (good.replacing(#""text""#, with: #""network":5,"text""#), "invalid-field: network"),
        (good.replacing(#""text""#, with: #""sentAt":"soon","text""#), "invalid-field: sentAt"),
        (
            good.replacing("\"reply\"", with: "\"delivery-status\"").replacing(
                #""text""#, with: #""status":"x","state":"pending","parts":1.5,"text""#), "invalid-field: parts"
        ),
        (
            good.replacing("\"reply\"", with: "\"delivery-status\"").replacing(
                #""text""#, with: #""status":"x","text""#), "missing-field: state"
        ),
        (good.replacing("\"reply\"", with: "\"unrecognised\""), "missing-field: reason"),
        (good + "x", "not-json"), (good.replacing("\"t\"", with: "\"\u{1}\""), "not-json"),
    ])
    func whatIsNoEventIsAnError(_ value: String, _ error: String) {
        let thrown = #expect(throws: EventDecodingError.self) { try Event(value: Array(value.utf8)) }
        #expect(thrown?.description == error)
    }

    @Test func tombstonesAndBytesAreErrors() throws {
        #expect(throws: EventDecodingError.self) { try Event(value: nil) }
        #expect((#expect(throws: EventDecodingError.self) { try Event(value: nil) })?.code == .tombstone)
        #expect((#expect(throws: EventDecodingError.self) { try Event(value: [0xFF, 0x7B]) })?.code == .notJSON)
        let deep = Self.good.replacing("\"t\"", with: String(repeating: "[", count: 100_000))
        #expect((#expect(throws: EventDecodingError.self) { try Event(value: Array(deep.utf8)) })?.code == .notJSON)
        let reader = EventReader()
        #expect((#expect(throws: EventDecodingError.self) { try reader.event(value: nil) })?.code == .tombstone)
        #expect(
            (#expect(throws: EventDecodingError.self) {
                try reader.event(value: UnsafeRawBufferPointer(start: nil, count: 0))
            })?.code == .empty)
        #expect(try Event(value: Array(Self.good.utf8)).type == .reply)
    }

    @Test func otherVersionsAreErrors() throws {
        let value = Array(Self.good.utf8)
        for (type, code) in [
            ("com.smsportal.reply.v1", nil), ("com.smsportal.reply.v2", EventDecodingError.Code.unsupportedVersion),
            ("com.smsportal.url-click.v1", .unsupportedVersion), ("", .unsupportedVersion),
        ] {
            let headers = [EventRecord.Header(name: "ce_type", value: Array(type.utf8))]
            if let code {
                #expect(
                    (#expect(throws: EventDecodingError.self) { try Event(value: value, headers: headers) })?.code
                        == code)
            } else {
                #expect(try Event(value: value, headers: headers).type == .reply)
            }
        }
        // Headers of others, and without value, do not matter.
        #expect(
            try Event(value: value, headers: [.init(name: "x", value: nil), .init(name: "traceparent", value: nil)])
                .type == .reply)
    }

    /// A newer bridge may say more.
    @Test func whatIsUnknownIsSkipped() throws {
        let newer = Self.good.replacing(
            #""text""#, with: #""mood":{"deep":[1,{"x":null}]},"Text":"other","network":{"mcc":"1","band":"5G"},"text""#
        )
        .replacing(#""/webhooks"}"#, with: #""/webhooks/landing-page","colour":true}"#)
        let event = try Event(value: Array(newer.utf8))
        #expect(event.reply?.text == "t")
        #expect(event.network == Envelope.Network(mcc: "1"))
        #expect(event.raw.route == nil)
        let reason = Self.good.replacing("\"reply\"", with: "\"unrecognised\"").replacing(
            "\"text\"", with: "\"reason\"")
        #expect(try Event(value: Array(reason.utf8)).unrecognised?.reason.rawValue == "t")
    }

    /// Every cut of a record, and every byte of it changed, is an error or an event, never a trap.
    @Test func brokenRecordsNeverTrap() throws {
        let fixture = try #require(Fixture.named("v1-get-reply-optional-parameters"))
        let value = try Event(callback: fixture.callback, receivedAt: reception).record().value
        let reader = EventReader()
        var events = 0
        for length in 0..<value.count {
            var changed = value
            changed[length] = changed[length] &+ 1
            for bytes in [Array(value[..<length]), changed] {
                bytes.withUnsafeBytes { if (try? reader.event(value: $0)) != nil { events += 1 } }
            }
        }
        #expect(events > 0 && events < value.count)
    }
}

private struct EventDecodingErrorExpected: Error {}
