import SMSBridgeKafka
import SMSPortalEvents

/// An event of a topic as a line for people.
///
/// ```
/// 2026-11-23T18:04:05.123Z delivery-status 27…6         DELIVRD (delivered) smsportal.delivery-status[2]@17 id 9f86…
/// ```
/// Unless asked, nothing of a subscriber is shown: of a number at most a third, of texts, links and whatever else a
/// caller may choose only the length, and of what came in raw nothing.
struct EventPrinter {
    let showsContent: Bool
    private let reader = EventReader()

    init(showsContent: Bool) {
        self.showsContent = showsContent
    }

    /// - Returns: the line, and the event where the record holds one.
    func line(for message: borrowing Message) -> (text: String, event: Event?) {
        let place = "\(message.topic)[\(message.partition)]@\(message.offset)"
        let headers = message.headers.map { EventRecord.Header(name: $0.name, value: $0.value) }
        let result = message.withValue { value -> Result<Event, EventDecodingError> in
            do throws(EventDecodingError) {
                return .success(try reader.event(value: value, headers: headers))
            } catch {
                return .failure(error)
            }
        }
        switch result {
        case .failure(let error): return (visible("- not an event: \(error) \(place)"), nil)
        case .success(let event): return (line(for: event, at: place), event)
        }
    }

    /// - Parameter place: topic, partition and offset.
    func line(for event: Event, at place: String) -> String {
        let envelope = event.envelope
        var words = [padded(envelope.receivedAt.rfc3339, 24)] + columns(of: event)
        if let reference = envelope.reference, showsContent { words.append("reference \(reference)") }
        words += [place, "id \(word(envelope.id, if: isPlain(envelope.id, Self.isHexadecimal, 32)))"]
        if showsContent { words.append("raw \(raw(envelope.raw))") }
        // The line as a whole: no part of it can be forgotten.
        return visible(words.joined(separator: " "))
    }

    /// The column titles of `briefLine`.
    static let briefHeader = "TIME         TYPE            NUMBER       EVENT"

    /// The time of day, type, number and details, in columns; the rest is left out.
    ///
    /// - Parameter isColoured: Whether the type has a colour, for a terminal.
    func briefLine(for event: Event, isColoured: Bool) -> String {
        let time = event.envelope.receivedAt.rfc3339
        var columns = columns(of: event).map(visible)
        if isColoured { columns[0] = "\u{1B}[\(Self.colour(of: event))m\(columns[0])\u{1B}[0m" }
        // `HH:mm:ss.SSS` out of `yyyy-MM-ddTHH:mm:ss.SSSZ`.
        let clock = String(time.dropFirst(11).dropLast())
        return ([padded(clock, 12)] + columns).joined(separator: " ")
    }

    /// Green: delivered; red: failed; yellow: pending or unknown; cyan: written by a subscriber.
    private static func colour(of event: Event) -> Int {
        switch event {
        case .deliveryStatus(let status):
            switch status.state {
            case .delivered: 32
            case .failed: 31
            default: 33
            }
        case .reply, .shortCode: 36
        case .unrecognised: 35
        default: 34
        }
    }

    private func columns(of event: Event) -> [String] {
        let number = event.envelope.msisdn.map(number) ?? "-"
        return [padded(event.type.rawValue, 15), padded(number, 12), details(of: event).joined(separator: " ")]
    }

    private func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    private func details(of event: Event) -> [String] {
        switch event {
        case .deliveryStatus(let event):
            // The vendor's own values are not personal data; other values come from the caller.
            [
                word(event.status, if: DeliveryState(status: event.status) != .unknown), "(\(event.state.rawValue))",
            ]
        case .reply(let reply): [content(reply.text)] + (reply.isOptOut ? ["OPT-OUT"] : [])
        case .shortCode(let message):
            [
                "to",
                // Longer digits are a subscriber's number.
                message.shortCode.map { word($0, if: isPlain($0, Self.isDigit, 6)) } ?? "?", content(message.text),
            ] + (message.isOptOut ? ["OPT-OUT"] : [])
        case .unrecognised(let event):
            ["reason \(word(event.reason.rawValue, if: isPlain(event.reason.rawValue, Self.isPartOfReason, 32)))"]
        default: otherDetails(of: event)
        }
    }

    /// Of a type without details of its own, the number of its parameters.
    private func otherDetails(of event: Event) -> [String] {
        if case .urlPreview(let preview) = event {
            return interaction(preview.interaction, preview.url, preview.landingPage)
        }
        if case .urlClick(let click) = event { return interaction(click.interaction, click.url, click.landingPage) }
        return ["[\(event.parameters?.count ?? 0) parameters]"]
    }

    private func interaction(_ interaction: String?, _ url: String?, _ page: LandingPage?) -> [String] {
        [interaction.map { word($0, if: isPlain($0, Self.isCapital, 16)) }, url.map(content), page?.name.map(content)]
            .compactMap { $0 }
    }

    /// At most a third of the digits, with four of them hidden at least; of a short number none, and of what is no
    /// number nothing.
    private func number(_ msisdn: String) -> String {
        if showsContent { return msisdn }
        guard isPlain(msisdn, Self.isDigit, 15) else { return "not-a-number" }
        let shown = msisdn.count < 8 ? 0 : min(msisdn.count / 3, msisdn.count - 4)
        return "\(msisdn.prefix((shown + 1) / 2))…\(msisdn.suffix(shown / 2))"
    }

    private func content(_ text: String) -> String {
        showsContent ? "\"\(text)\"" : "[\(text.count) characters]"
    }

    /// A word that shows nothing of a subscriber when it is what it should be; otherwise only its length is shown.
    private func word(_ text: String, if isHarmless: Bool) -> String {
        showsContent || isHarmless ? text : content(text)
    }

    private func isPlain(_ text: String, _ isPart: (UInt8) -> Bool, _ longest: Int) -> Bool {
        (1...longest).contains(text.utf8.count) && text.utf8.allSatisfy(isPart)
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
    private static func isHexadecimal(_ byte: UInt8) -> Bool { isDigit(byte) || (0x61...0x66).contains(byte) }
    private static func isCapital(_ byte: UInt8) -> Bool { (0x41...0x5A).contains(byte) || byte == 0x5F }
    /// Of `invalid-utf-8` and the like.
    private static func isPartOfReason(_ byte: UInt8) -> Bool {
        (0x61...0x7A).contains(byte) || byte == 0x2D || byte == 0x38
    }

    private func raw(_ callback: Callback) -> String {
        let query = String(decoding: callback.query, as: UTF8.self)
        let body = String(decoding: callback.body, as: UTF8.self)
        return [callback.method.rawValue, query, body].filter { !$0.isEmpty }.joined(separator: " ")
    }

    /// What came from outside cannot steer the terminal.
    private func visible(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate:
                // Emoji are joined by a format character, which is harmless between two of them.
                if scalar == "\u{200D}" { result.unicodeScalars.append(scalar) } else { result += "·" }
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
