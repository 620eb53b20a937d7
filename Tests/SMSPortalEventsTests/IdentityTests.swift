import SMSBridgeTestSupport
import SMSPortalEvents
import Testing

/// Which callbacks have the same event id.
@Suite struct IdentityTests {
    /// Pinned: they may not change between releases, or a repeat that arrives across an update is no longer known.
    @Test(arguments: [
        ("v1-get-delivery-status", "121b510c43bc14056ac1e783ff8b7f80"),
        ("legacy-get-delivery-status-test", "ac7bf7ee595990b1d58f817720cf708c"),
        ("legacy-post-delivery-status-with-data-in-url", "121b510c43bc14056ac1e783ff8b7f80"),
        ("v1-form-body-delivery-status", "121b510c43bc14056ac1e783ff8b7f80"),
        ("v1-form-body-without-content-type", "121b510c43bc14056ac1e783ff8b7f80"),
        ("v1-get-reply", "70f8ca4e22875f9c922e4217624f1e7c"),
        ("v1-get-reply-optional-parameters", "70f8ca4e22875f9c922e4217624f1e7c"),
        ("v1-get-reply-opt-out", "70f8ca4e22875f9c922e4217624f1e7c"),
        ("v2-post-delivery-status", "693630ab7e8972a668ec6244f492da5d"),
        ("v2-post-delivery-status-as-plain-text", "693630ab7e8972a668ec6244f492da5d"),
        ("v2-post-delivery-status-declared-a-form", "693630ab7e8972a668ec6244f492da5d"),
        ("v2-post-delivery-status-other-letter-case", "693630ab7e8972a668ec6244f492da5d"),
        ("v2-post-delivery-status-long-id", "3237bbb064322a0f3cf584c322abb402"),
        ("v2-post-delivery-status-UNDELIV", "51bb6c64df32ea5938e4d2096a46489f"),
        ("v2-post-delivery-status-EXPIRED", "84e9ac98c138b51ce72af56a574babd7"),
        ("v2-post-delivery-status-BLIST", "8eff8f085b53eacf36eec20b2cc0e234"),
        ("v2-post-delivery-status-SUBMITD", "7aa08b8fc5aebf24849b642487e87826"),
        ("v2-post-delivery-status-STAGED", "b04efba15d0dd156082a93dfba53968c"),
        ("v2-post-delivery-status-CANCELLED", "8bef2b71be0636411aeb0774310167fb"),
        ("v2-post-delivery-status-NOROUTE", "b6fc70cef495ecf90f127b1fbd1bb123"),
        ("v2-post-delivery-status-delivrd", "26fc98bd11651011baa855c92f4f5fc8"),
        ("v2-post-reply", "e9638d4c9bf0d205ddd0b218bbdd4535"),
        ("v2-post-reply-confirmed-fields-only", "108afff844f2f12fce2587bbd8d05966"),
        ("template-post-delivery-status-test", "ac7bf7ee595990b1d58f817720cf708c"),
        ("template-post-delivery-status", "ac7bf7ee595990b1d58f817720cf708c"),
        ("template-post-delivery-status-every-variable", "2c1c3b2cbd5dbe66a1ee58d0a1efb00f"),
        ("template-get-delivery-status", "d2a4b34f85dbd8ff4a407cbd178cf57a"),
        ("template-post-reply", "f686f18d7bcc8e7494251ca7346b3291"),
        ("template-post-short-code-test", "9e2b8c5d777953a68e73ef74d7ba5eea"),
        ("template-post-short-code", "9e2b8c5d777953a68e73ef74d7ba5eea"),
        ("get-short-code-polling-names", "9e2b8c5d777953a68e73ef74d7ba5eea"),
        ("template-post-click-test", "08f3bd9dc9ac6b511dad2cded30e8d04"),
        ("template-post-click", "9289fb86fdc11ee631fa3ff9974ff8d7"),
        ("template-post-preview", "6ce939656f18b7ef340dfe6a3b785899"),
    ])
    func goldenIDs(_ name: String, _ id: String) throws {
        let fixture = try #require(Fixture.named(name))
        #expect(try Event(callback: fixture.callback, receivedAt: reception).id == id)
    }

    @Test func allGoldenIDsDiffer() throws {
        let decoder = try CallbackDecoder()
        var names: [String: [String]] = [:]
        for fixture in Fixture.all {
            names[decoder.event(from: fixture.callback, receivedAt: reception).id, default: []].append(fixture.name)
        }
        // The same event by another way in, and nothing else.
        let twins = Set(names.values.filter { $0.count > 1 }.map { $0.sorted() })
        #expect(twins == Set(Self.twins.map { $0.sorted() }))
    }

    /// Fixtures that are one event: the same callback to another route, with another content type or letter case, or with
    /// the same id of the vendor's.
    private static let twins = [
        [
            "v1-get-delivery-status", "v1-get-delivery-status-without-route",
            "legacy-post-delivery-status-with-data-in-url", "v1-form-body-delivery-status",
            "v1-form-body-without-content-type",
        ],
        ["v1-get-reply", "v1-get-reply-without-route", "v1-get-reply-optional-parameters", "v1-get-reply-opt-out"],
        [
            "v2-post-delivery-status", "v2-post-delivery-status-as-plain-text",
            "v2-post-delivery-status-declared-a-form", "v2-post-delivery-status-without-route",
            "v2-post-delivery-status-other-letter-case",
        ],
        ["v2-post-reply", "v2-post-reply-without-route"],
        ["template-post-delivery-status-test", "template-post-delivery-status", "legacy-get-delivery-status-test"],
        ["template-post-reply", "template-post-reply-without-route"],
        [
            "template-post-short-code", "template-post-short-code-test", "template-post-short-code-without-route",
            "get-short-code-polling-names",
        ],
        ["template-post-click", "template-post-click-without-route"],
        ["template-post-preview", "template-post-preview-without-route"],
    ]

    // MARK: - Basis fields

    private static let click =
        #"{"phoneNumber":"27123456789","customerId":"c","type":"REDIRECT","interactionUtc":1735718400}"#

    @Test(arguments: [
        #"{"customerId":"c","interactionUtc":1735718400,"phoneNumber":"27123456789","type":"REDIRECT"}"#,
        #"{"PHONENUMBER":"27123456789","CustomerID":"c","Type":"REDIRECT","interactionutc":1735718400}"#,
        #" { "phoneNumber" : "27123456789", "customerId":"\u0063","type":"REDIRECT","interactionUtc":"1735718400"}"#,
    ])
    func orderAndLetterCaseOfKeysDoNotMatter(_ json: String) throws {
        let decoder = try CallbackDecoder()
        #expect(try decoder.event(.urlClick, json: json).id == decoder.event(.urlClick, json: Self.click).id)
        #expect(
            try decoder.event(
                .urlClick, query: "type=REDIRECT&customerId=c&phoneNumber=27123456789&interactionUtc=1735718400"
            ).id == decoder.event(.urlClick, json: Self.click).id)
    }

    @Test(arguments: [
        #"{"phoneNumber":"27123456788","customerId":"c","type":"REDIRECT","interactionUtc":1735718400}"#,
        #"{"phoneNumber":"27123456789","customerId":"C","type":"REDIRECT","interactionUtc":1735718400}"#,
        #"{"phoneNumber":"27123456789","customerId":"","type":"REDIRECT","interactionUtc":1735718400}"#,
        #"{"phoneNumber":"27123456789","customerId":null,"type":"REDIRECT","interactionUtc":1735718400}"#,
        #"{"phoneNumber":"27123456789","type":"REDIRECT","interactionUtc":1735718400}"#,
        #"{"phoneNumber":"27123456789","customerId":"c","type":"REDIRECT","interactionUtc":1735718401}"#,
        #"{"phoneNumber":"27123456789","customerId":"c","type":"REDIRECT","interactionUtc":1735718400,"new":1}"#,
        #"{"phoneNumber":"27123456789","customerId":"c","type":"REDIRECT","interactionUtc":1735718400,"new":""}"#,
        #"{"phoneNumber":"27123456789","customerId":"c","type":"REDIRECT","interactionUtc":1735718400,"new":{}}"#,
        #"{"phoneNumber":"27123456789","customerId":"c","type":"REDIRECT","interactionUtc":1735718400,"new":"{}"}"#,
        #"{"phoneNumber":"27123456789","customerId":"c","customerId":"d","type":"REDIRECT","interactionUtc":1735718400}"#,
        #"{"phoneNumber":"27123456789","customerId":"d","customerId":"c","type":"REDIRECT","interactionUtc":1735718400}"#,
        #"{"phoneNumber":"27123456789","customerIdc":"","type":"REDIRECT","interactionUtc":1735718400}"#,
    ])
    func anyOtherValueIsAnotherEvent(_ json: String) throws {
        let decoder = try CallbackDecoder()
        let event = try decoder.event(.urlClick, json: json)
        #expect(event.idBasis == .fields)
        #expect(event.id != (try decoder.event(.urlClick, json: Self.click).id))
        #expect(event.id == (try decoder.event(.urlClick, json: json).id))
    }

    @Test func typeAndAccountAreOfTheID() throws {
        let decoder = try CallbackDecoder(DecoderConfiguration(accounts: ["default", "other"]))
        let body = Array(Self.click.utf8)
        let click = try decoder.record(.post, .urlClick, body: body).header("ce_id")
        #expect(click != (try decoder.record(.post, .urlPreview, body: body).header("ce_id")))
        #expect(click != (try decoder.record(.post, .urlClick, body: body, account: 1).header("ce_id")))
        #expect(click == (try decoder.record(.get, nil, contentType: "text/plain", body: body).header("ce_id")))
    }

    /// More parameters than are sorted by insertion: the same rules.
    @Test func manyParametersAreSortedAlike() throws {
        let seed = SeededRandom.seed
        var generator = SeededRandom(seed: seed)
        let decoder = try CallbackDecoder()
        for count in [2, 31, 32, 33, 34, 100, 1000] {
            var members = ["interactionUtc=1735718400", "phoneNumber=27123456789"]
            for index in 0..<count { members.append("x\(index % 97)abcdefgh\(index)=\(index)") }
            let id = try decoder.event(.urlClick, query: members.joined(separator: "&")).id
            members.shuffle(using: &generator)
            #expect(
                try decoder.event(
                    .urlClick,
                    query: members.map { $0.uppercased().replacing("REDIRECT", with: "x") }.joined(separator: "&")
                ).id == id, "SMSBRIDGE_TEST_SEED=\(seed)")
            members[0] += "1"
            #expect(try decoder.event(.urlClick, query: members.joined(separator: "&")).id != id)
        }
    }

    // MARK: - Basis vendor

    @Test func theVendorsIDCountsWhateverTheGeneration() throws {
        let decoder = try CallbackDecoder()
        let get = try decoder.event(
            .deliveryStatus,
            query:
                "ID=9120243&EventID=1&Phonenumber=27123456789&Status=DELIVRD&SentDataTime=1%2FJan%2F2021+14%3A04%3A22")
        let template = try decoder.event(
            .deliveryStatus,
            json: #"{"id":9120243,"phoneNumber":"27123456789","status":"DELIVRD","receivedUtc":1735718400}"#)
        #expect(get.id == template.id)
        #expect(get.idBasis == .vendor)
        let other = try decoder.event(
            .deliveryStatus,
            json: #"{"id":9120243,"phoneNumber":"27123456789","status":"SUBMITD","receivedUtc":1735718400}"#)
        #expect(other.id != get.id)
        let reply = try decoder.event(.reply, query: "IncomingID=9120243&IncomingData=x")
        #expect(reply.id == (try decoder.event(.reply, json: #"{"id":9120243,"message":"x"}"#).id))
        #expect(reply.id != (try decoder.event(.shortCode, json: #"{"id":9120243,"message":"x"}"#).id))
        #expect(reply.id != get.id)
    }

    /// What is the same in every callback is no id.
    @Test(arguments: [
        "0", "\"000\"", "\"\"", "\" \"", "null", "\"null\"", "\"@@ID@@\"", "\"@@Id@@\"", "-1", "1.5", "1e5", "{}",
        "[1]",
        "true",
    ])
    func whatNamesNothingIsNoID(_ id: String) throws {
        let decoder = try CallbackDecoder()
        let timed = try decoder.event(
            .deliveryStatus,
            json: "{\"id\":\(id),\"phoneNumber\":\"27123456789\",\"status\":\"DELIVRD\",\"receivedUtc\":1735718400}")
        #expect(timed.idBasis == .fields)
        let bare = try decoder.event(
            .deliveryStatus, json: "{\"id\":\(id),\"phoneNumber\":\"27123456789\",\"status\":\"DELIVRD\"}")
        #expect(bare.idBasis == .reception)
    }

    /// The batch is no event: many messages have it.
    @Test func theBatchAloneIsNeverTheID() throws {
        let decoder = try CallbackDecoder()
        let json = #"{"EventId":5,"Status":"DELIVRD","Msisdn":"27123456789"}"#
        let event = try decoder.event(.deliveryStatus, json: json)
        #expect(event.idBasis == .reception)
        #expect(event.id != (try decoder.event(.deliveryStatus, json: json).id))
    }

    /// The id in a click is that of the message: two clicks have it.
    @Test func aMessageIDIsNoIDOfAClick() throws {
        let decoder = try CallbackDecoder()
        let bare = #"{"id":5,"phoneNumber":"27123456789","type":"REDIRECT"}"#
        #expect(try decoder.event(.urlClick, json: bare).idBasis == .reception)
        #expect(try decoder.event(.urlClick, json: bare).id != decoder.event(.urlClick, json: bare).id)
        #expect(
            try decoder.event(.urlClick, json: #"{"id":5,"phoneNumber":"27123456789","interactionUtc":1735718400}"#)
                .idBasis == .fields)
    }

    /// When the message was sent does not tell one reply to it from another.
    @Test func theTimeOfSendingIsNoTimeOfTheEvent() throws {
        let decoder = try CallbackDecoder()
        #expect(
            try decoder.event(.reply, json: #"{"message":"yes","msisdn":"27123456789","sentUtc":1735711200}"#).idBasis
                == .reception)
        #expect(
            try decoder.event(
                .deliveryStatus,
                json: #"{"status":"DELIVRD","msisdn":"27123456789","receivedUtc":"31/Feb/2025 00:00:00"}"#
            ).idBasis == .reception)
    }

    /// The list of twins that the wire cannot tell apart (docs/events.md, "Twins"): different events, one id.
    @Test(arguments: [
        (
            EventType.deliveryStatus, #"{"Status":"DELIVRD","EventId":1,"Msisdn":"27123456789","Received":1530013907}"#,
            #"{"Status":"DELIVRD","EventId":1,"Msisdn":"27123456789","Received":1530013907}"#
        ),
        (.urlClick, click, click),
        (
            .reply, #"{"message":"yes","msisdn":"27123456789","received":1530013907}"#,
            #"{"message":"yes","msisdn":"27123456789","received":1530013907}"#
        ),
        (
            .deliveryStatus, #"{"id":5,"status":"SUBMITD","receivedUtc":1735718400}"#,
            #"{"id":5,"status":"SUBMITD","receivedUtc":1735718499}"#
        ),
    ])
    func twins(_ type: EventType, _ one: String, _ other: String) throws {
        let decoder = try CallbackDecoder()
        #expect(try decoder.event(type, json: one).id == decoder.event(type, json: other).id)
    }

    @Test func randomIDsDoNotRepeat() throws {
        let decoder = try CallbackDecoder()
        var ids: Set<String> = []
        let callback = Callback(method: .get, route: .urlClick, query: "type=REDIRECT&msgNumTo=27123456789", body: "")
        for _ in 0..<5000 { ids.insert(decoder.event(from: callback, receivedAt: reception).id) }
        #expect(ids.count == 5000)
        #expect(ids.allSatisfy { $0.utf8.count == 32 })
    }
}
