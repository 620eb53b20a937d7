import SMSBridgeTestSupport
import SMSPortalEvents

/// Random typed events, within what the schemas allow.
struct EventBuilder {
    var generator: SeededRandom

    mutating func event() -> Event {
        switch Int.random(in: 0..<6, using: &generator) {
        case 0:
            let status = maybe(in: 2) { $0.pick(["DELIVRD", "UNDELIV", "SUBMITD", "wat"]) } ?? text()
            return .deliveryStatus(
                DeliveryStatus(
                    envelope: envelope(), status: status,
                    state: maybe { $0.pick(DeliveryState.allCases) },
                    parts: maybe { Int.random(in: 0...Int.max, using: &$0.generator) },
                    dataType: maybe { $0.text() }, sentText: maybe { $0.text() }, sentAt: maybe { $0.time() },
                    flash: maybe { Bool.random(using: &$0.generator) }, group: maybe { $0.group() }))
        case 1:
            var reply = Reply(
                envelope: envelope(), text: text(), isOptOut: Bool.random(using: &generator),
                destination: maybe { $0.text() },
                campaign: maybe { $0.text() }, sentMessageID: maybe { $0.text() }, sentText: maybe { $0.text() },
                sentAt: maybe { $0.time() }, group: maybe { $0.group() })
            reply.numberValue1 = maybe { $0.text() }
            reply.numberValue2 = maybe { $0.text() }
            reply.numberValue3 = maybe { $0.text() }
            reply.numberValue4 = maybe { $0.text() }
            reply.numberValue5 = maybe { $0.text() }
            reply.numberValue6 = maybe { $0.text() }
            return .reply(reply)
        case 2:
            return .shortCode(
                ShortCodeMessage(
                    envelope: envelope(), text: text(), isOptOut: Bool.random(using: &generator),
                    shortCode: maybe { $0.text() }, keyword: maybe { $0.text() }))
        case 3:
            return .urlPreview(
                URLPreview(
                    envelope: envelope([.fields, .reception]), interaction: maybe { $0.text() },
                    url: maybe { $0.text() },
                    landingPage: maybe { $0.landingPage() }))
        case 4:
            return .urlClick(
                URLClick(
                    envelope: envelope([.fields, .reception]), interaction: maybe { $0.text() },
                    url: maybe { $0.text() },
                    landingPage: maybe { $0.landingPage() }))
        default:
            var envelope = envelope([.reception])
            envelope.occurredAt = nil
            envelope.msisdn = nil
            envelope.batchID = nil
            envelope.messageID = nil
            envelope.reference = nil
            envelope.network = nil
            return .unrecognised(
                Unrecognised(envelope: envelope, reason: pick(UnrecognisedReason.all), detail: maybe { $0.text() }))
        }
    }

    // MARK: - Pieces

    mutating func pick<Element>(_ list: [Element]) -> Element {
        list[Int.random(in: 0..<list.count, using: &generator)]
    }

    mutating func maybe<Value>(in chances: Int = 3, _ make: (inout EventBuilder) -> Value) -> Value? {
        Int.random(in: 0..<chances, using: &generator) == 0 ? nil : make(&self)
    }

    /// Text of any script, with whatever has a meaning in JSON, forms and control sequences.
    mutating func text() -> String {
        var text = ""
        for _ in 0..<Int.random(in: 0...12, using: &generator) {
            switch Int.random(in: 0..<5, using: &generator) {
            case 0: text.unicodeScalars.append(Unicode.Scalar(UInt8.random(in: 0..<128, using: &generator)))
            case 1:
                text += pick(["\"", "\\", "/", "{", "&", "=", "%", "+", "\u{2028}", "\u{FEFF}", "👩‍👩‍👧", "ß", "\u{FFFD}"])
            case 2: text += pick(["hello ", "27123456789", "0123456789 0123456789"])
            default:
                if let scalar = Unicode.Scalar(UInt32.random(in: 0..<0x11_0000, using: &generator)) {
                    text.unicodeScalars.append(scalar)
                }
            }
        }
        return text
    }

    mutating func time() -> EventTime {
        EventTime(
            millisecondsSinceEpoch: Int64.random(in: -62_167_219_200_000...253_402_300_799_999, using: &generator))
    }

    mutating func group() -> ContactGroup {
        ContactGroup(name: maybe { $0.text() }, description: maybe { $0.text() }, data: maybe { $0.text() })
    }

    mutating func landingPage() -> LandingPage {
        LandingPage(name: maybe { $0.text() }, version: maybe { $0.text() }, componentID: maybe { $0.text() })
    }

    mutating func bytes() -> [UInt8] {
        switch Int.random(in: 0..<3, using: &generator) {
        case 0: []
        case 1: Array(text().utf8)
        default:
            (0..<Int.random(in: 0..<40, using: &generator)).map { _ in UInt8.random(in: 0...255, using: &generator) }
        }
    }

    mutating func envelope(_ bases: [EventIDBasis] = EventIDBasis.allCases) -> Envelope {
        let id = (0..<32).map { _ in String(Int.random(in: 0..<16, using: &generator), radix: 16) }.joined()
        let raw = Callback(
            method: pick(CallbackMethod.allCases), route: maybe { $0.pick(EventType.allCases) },
            contentType: maybe { $0.text() } ?? "", contentEncoding: maybe { $0.text() } ?? "",
            query: bytes(), body: bytes())
        return Envelope(
            id: id, idBasis: pick(bases), account: pick(["default", "shop-2", "a.b_c"]), receivedAt: time(),
            occurredAt: maybe { $0.time() }, msisdn: maybe { $0.pick(["27123456789", "+27 12 345", "x", ""]) },
            batchID: maybe { $0.text() }, messageID: maybe { $0.text() }, reference: maybe { $0.text() },
            network: maybe { Envelope.Network(mcc: $0.maybe { $0.text() }, mnc: $0.maybe { $0.text() }) }, raw: raw,
            isRecovered: bases != [.reception] && Bool.random(using: &generator),
            isImported: Bool.random(using: &generator),
            traceparent: maybe { _ in "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" })
    }
}
