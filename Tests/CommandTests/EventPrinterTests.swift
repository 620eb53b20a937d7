import SMSPortalEvents
import Testing

@testable import smsbridge

/// What a line of `tail` shows of a caller's choosing, and what it does to a terminal.
@Suite struct EventPrinterTests {
    private func envelope(
        id: String = "00112233445566778899aabbccddeeff", msisdn: String? = nil, reference: String? = nil
    ) -> Envelope {
        Envelope(
            id: id, idBasis: .vendor, receivedAt: EventTime(millisecondsSinceEpoch: 0), msisdn: msisdn,
            reference: reference,
            raw: Callback(method: .get, route: nil, contentType: "", query: Array("a=\u{9B}2J".utf8), body: []))
    }

    private func line(_ event: Event, showsContent: Bool = false) -> String {
        EventPrinter(showsContent: showsContent).line(for: event, at: "t[0]@1")
    }

    /// Clears the screen, sets the title, turns the direction round, begins a line of its own.
    static let attack = "\u{1B}[2J\u{1B}]0;x\u{07}\u{9B}31m\u{202E}\r\nforged\u{2028}\u{7F}\u{85}"

    @Test(arguments: [true, false]) func nothingFromOutsideDrivesTheTerminal(showsContent: Bool) {
        let attack = Self.attack
        let envelope = envelope(id: attack, msisdn: attack, reference: attack)
        var page = LandingPage()
        page.name = attack
        let events: [Event] = [
            .deliveryStatus(DeliveryStatus(envelope: envelope, status: attack)),
            .reply(Reply(envelope: envelope, text: attack, isOptOut: false)),
            .shortCode(ShortCodeMessage(envelope: envelope, text: attack, isOptOut: true, shortCode: attack)),
            .urlPreview(URLPreview(envelope: envelope, interaction: attack, url: attack, landingPage: page)),
            .urlClick(URLClick(envelope: envelope, interaction: attack, url: attack, landingPage: page)),
            .unrecognised(Unrecognised(envelope: envelope, reason: UnrecognisedReason(rawValue: attack))),
        ]
        for event in events {
            let text = line(event, showsContent: showsContent)
            let bad = text.unicodeScalars.filter {
                [.control, .format, .lineSeparator, .paragraphSeparator].contains($0.properties.generalCategory)
            }
            #expect(bad.isEmpty, "\(event.type): \(text.debugDescription)")
            #expect(text.contains("forged") == showsContent)
        }
    }

    @Test(arguments: [
        ("27831234567", "27…7"), ("278312345678", "27…78"), ("123456789012345", "123…45"), ("12345678", "1…8"),
        ("1234567", "…"), ("12345", "…"), ("1", "…"), ("+27831234567", "not-a-number"), ("Anna", "not-a-number"),
        ("1234567890123456", "not-a-number"),
    ])
    func atMostAThirdOfANumberIsShown(number: String, shown: String) {
        let event = Event.reply(Reply(envelope: envelope(msisdn: number), text: "", isOptOut: false))
        func words(_ line: String) -> [Substring] { line.split(separator: " ") }
        #expect(words(line(event)).dropFirst().prefix(3) == ["reply", Substring(shown), "[0"], "\(line(event))")
        #expect(words(line(event, showsContent: true)).dropFirst().prefix(2) == ["reply", Substring(number)])
    }

    @Test func wordsOfTheVendorAreShownAndThoseOfACallerMeasured() {
        func status(_ text: String, _ showsContent: Bool = false) -> String {
            line(.deliveryStatus(DeliveryStatus(envelope: envelope(), status: text)), showsContent: showsContent)
        }
        #expect(status("DELIVRD").contains(" DELIVRD (delivered) "))
        #expect(status("Anna 27831234567").contains(" [16 characters] (unknown) "))
        #expect(status("Anna", true).contains(" Anna (unknown) "))

        func click(_ interaction: String, _ showsContent: Bool = false) -> String {
            var page = LandingPage()
            page.name = "Anna's page"
            return line(
                .urlClick(URLClick(envelope: envelope(), interaction: interaction, url: "http://a", landingPage: page)),
                showsContent: showsContent)
        }
        #expect(click("REDIRECT").contains(" REDIRECT [8 characters] [11 characters] "))
        for word in ["redirect", "A1", "ABCDEFGHIJKLMNOPQ", "A B", "É"] {
            #expect(click(word).contains(" [\(word.count) characters] [8 characters] "), "\(word)")
        }
        #expect(click("A_B", true).contains(" A_B \"http://a\" \"Anna's page\" "))

        func shortCode(_ code: String) -> String {
            line(.shortCode(ShortCodeMessage(envelope: envelope(), text: "x", isOptOut: false, shortCode: code)))
        }
        #expect(shortCode("312345").contains(" to 312345 [1 characters] "))
        #expect(shortCode("3123456").contains(" to [7 characters] [1 characters] "))
        #expect(shortCode("Anna").contains(" to [4 characters] "))
    }

    @Test func whatIsHiddenStandsNowhere() {
        let text = line(
            .reply(Reply(envelope: envelope(msisdn: "27831234567", reference: "my-ref"), text: "hi", isOptOut: false)))
        #expect(!text.contains("my-ref") && !text.contains("raw") && !text.contains("a="))
    }

    @Test func columnsAreAligned() {
        let status = Event.deliveryStatus(DeliveryStatus(envelope: envelope(msisdn: "1"), status: "CANCELLED"))
        let reply = Event.reply(Reply(envelope: envelope(msisdn: "27831234567"), text: "hi", isOptOut: false))
        let printer = EventPrinter(showsContent: false)
        #expect(EventPrinter.briefHeader == "TIME         TYPE            NUMBER       EVENT")
        #expect(
            printer.briefLine(for: status, isColoured: false)
                == "00:00:00     delivery-status …            CANCELLED (failed)")
        #expect(
            printer.briefLine(for: reply, isColoured: false)
                == "00:00:00     reply           27…7         [2 characters]")
        #expect(
            printer.briefLine(for: status, isColoured: true)
                == "00:00:00     \u{1B}[31mdelivery-status\u{1B}[0m …            CANCELLED (failed)")
    }

    @Test(arguments: [true, false]) func briefLinesHaveNoControlCharactersOfACaller(isColoured: Bool) {
        let attack = Self.attack
        let event = Event.deliveryStatus(DeliveryStatus(envelope: envelope(msisdn: attack), status: attack))
        let text = EventPrinter(showsContent: true).briefLine(for: event, isColoured: isColoured)
        #expect(text.unicodeScalars.count { $0.properties.generalCategory == .control } == (isColoured ? 2 : 0))
    }
}
