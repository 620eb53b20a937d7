import Kafka
import SMSPortalEvents

/// An event of a topic as a line for people.
///
/// ```
/// 2026-11-23T18:04:05.123Z delivery-status 2783…56 DELIVRD (delivered) smsportal.delivery-status[2]@17 id 9f86…
/// ```
/// Unless asked, nothing of a subscriber is shown: numbers are cut, texts and links are only measured, and what came in
/// raw is left out.
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
        case .failure(let error): return ("- not an event: \(error) \(place)", nil)
        case .success(let event):
            let envelope = event.envelope
            var words = [envelope.receivedAt.rfc3339, event.type.rawValue, number(envelope.msisdn)]
            words += details(of: event)
            if let reference = envelope.reference, showsContent { words.append("reference \(reference)") }
            words += [place, "id \(envelope.id)"]
            if showsContent { words.append("raw \(raw(envelope.raw))") }
            return (words.joined(separator: " "), event)
        }
    }

    private func details(of event: Event) -> [String] {
        switch event {
        case .deliveryStatus(let status): ["\(visible(status.status)) (\(status.state.rawValue))"]
        case .reply(let reply): [content(reply.text)] + (reply.isOptOut ? ["OPT-OUT"] : [])
        case .shortCode(let message):
            ["to \(message.shortCode.map(visible) ?? "?")", content(message.text)]
                + (message.isOptOut ? ["OPT-OUT"] : [])
        case .urlPreview(let preview): interaction(preview.interaction, preview.url, preview.landingPage)
        case .urlClick(let click): interaction(click.interaction, click.url, click.landingPage)
        case .unrecognised(let event): ["reason \(event.reason.rawValue)"]
        }
    }

    private func interaction(_ interaction: String?, _ url: String?, _ page: LandingPage?) -> [String] {
        [interaction.map(visible), url.map(content), page?.name.map(visible)].compactMap { $0 }
    }

    private func number(_ msisdn: String?) -> String {
        guard let msisdn else { return "-" }
        return showsContent ? visible(msisdn) : visible("\(msisdn.prefix(4))…\(msisdn.suffix(2))")
    }

    private func content(_ text: String) -> String {
        showsContent ? "\"\(visible(text))\"" : "[\(text.count) characters]"
    }

    private func raw(_ callback: Callback) -> String {
        let query = String(decoding: callback.query, as: UTF8.self)
        let body = String(decoding: callback.body, as: UTF8.self)
        return visible([callback.method.rawValue, query, body].filter { !$0.isEmpty }.joined(separator: " "))
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
