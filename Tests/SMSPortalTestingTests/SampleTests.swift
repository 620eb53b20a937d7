import SMSPortalEvents
import SMSPortalTesting
import Testing

/// Samples are the events that the bridge would make.
struct SampleTests {
    static var samples: [Event] {
        [
            .deliveryStatus(.sample()), .deliveryStatus(.sample(state: .failed, sentText: "Hello & goodbye")),
            .reply(.sample(text: "Ja, 100 % + ☎️", campaign: "spring", sentMessageID: "42", sentText: "Interested?")),
            .shortCode(.sample(keyword: "WIN")), .urlPreview(.sample()),
            .urlClick(.sample(landingPage: LandingPage(name: "Offer", version: "2", componentID: "button_77"))),
            .unrecognised(.sample()),
        ]
    }

    @Test(arguments: samples)
    func surviveTheirRecord(_ event: Event) throws {
        let record = event.record()
        #expect(try Event(value: record.value, headers: record.headers) == event)
        #expect(record.topic == event.topic && !event.isTest)
        #expect(record.key.map { String(decoding: $0, as: UTF8.self) } == event.msisdn)
    }

    @Test(arguments: samples)
    func areWhatTheirCallbackSays(_ event: Event) throws {
        let decoder = try CallbackDecoder()
        #expect(event.redecoded(by: decoder) == event)
    }

    @Test func sayWhatTheyAreTold() {
        #expect(DeliveryStatus.sample(state: .failed).status == "UNDELIV")
        for state in DeliveryState.allCases { #expect(DeliveryStatus.sample(state: state).state == state) }
        #expect(DeliveryStatus.sample(status: "EXPIRED").state == .failed)
        let reply = Reply.sample(
            text: "Yes", msisdn: "27830000001", messageID: "7", batchID: "8", reference: "r", campaign: "c",
            sentMessageID: "9", sentText: "Well?", account: "north")
        #expect(reply.text == "Yes" && reply.msisdn == "27830000001" && reply.messageID == "7")
        #expect(reply.batchID == "8" && reply.reference == "r" && reply.campaign == "c" && reply.account == "north")
        #expect(reply.sentMessageID == "9" && reply.sentText == "Well?" && !reply.isOptOut)
        #expect(Reply.sample(text: " STOP!").isOptOut && ShortCodeMessage.sample(text: "quit").isOptOut)
        #expect(ShortCodeMessage.sample(shortCode: "31222", keyword: "WIN").shortCode == "31222")
        #expect(URLClick.sample(url: "https://x.test/?a=b&c").url == "https://x.test/?a=b&c")
        #expect(URLPreview.sample(msisdn: nil).msisdn == nil)
        #expect(Unrecognised.sample().reason == .invalidJSON)
    }

    @Test func timesAreExact() throws {
        let time = try #require(EventTime(rfc3339: "2026-03-01T12:00:00.250Z"))
        let later = try #require(EventTime(rfc3339: "2026-03-01T12:00:09Z"))
        let status = DeliveryStatus.sample(occurredAt: time, receivedAt: later)
        #expect(status.occurredAt == time && status.receivedAt == later)
        let (first, second) = (Reply.sample(), Reply.sample())
        #expect(first.receivedAt < second.receivedAt)
    }

    @Test func noTwoAreAlikeUnlessTold() {
        let ids = [
            Reply.sample().id, Reply.sample().id, DeliveryStatus.sample().id, DeliveryStatus.sample().id,
            URLClick.sample().id, URLClick.sample().id, ShortCodeMessage.sample().id, ShortCodeMessage.sample().id,
            URLPreview.sample().id, URLPreview.sample().id, Unrecognised.sample().id, Unrecognised.sample().id,
        ]
        #expect(Set(ids).count == ids.count)
        #expect(Reply.sample(messageID: "5").id == Reply.sample(messageID: "5").id)
        #expect(
            DeliveryStatus.sample(state: .pending, messageID: "5").id
                != DeliveryStatus.sample(state: .delivered, messageID: "5").id)
    }

    /// What no callback can say does not trap: neither an impossible account nor a text beyond the decoder's limit.
    @Test func whatNoCallbackCanSayIsAnEventNevertheless() {
        #expect(Reply.sample(account: "").msisdn == "27821234567")
        let long = String(repeating: "x", count: 100_000)
        #expect(Reply.sample(text: long).text == long)
        #expect(Unrecognised.sample(body: #"{"status":"DELIVRD","id":1}"#).raw.bodyText?.isEmpty == false)
    }
}
