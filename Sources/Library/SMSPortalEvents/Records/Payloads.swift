/// The fields of each event type in the value of a record: written from a draft, put into a draft, and read.

extension ByteWriter {
    /// Writes the fields that only events of the draft's type have.
    mutating func appendFields(of draft: borrowing Draft) {
        switch draft.type {
        case .deliveryStatus: appendDeliveryStatus(draft)
        case .reply: appendReply(draft)
        case .shortCode: appendShortCode(draft)
        case .urlPreview, .urlClick: appendInteraction(draft)
        case .unrecognised: appendUnrecognised(draft)
        }
    }
}

extension EventEncoder {
    /// Puts the fields that only events of this type have into the draft.
    ///
    /// - Returns: Reason and detail of an event that could not be decoded; empty for others.
    mutating func add(fieldsOf event: Event) -> (reason: Range<Int>, detail: Range<Int>) {
        switch event {
        case .deliveryStatus(let event): add(event)
        case .reply(let event): add(event)
        case .shortCode(let event):
            add(.text, event.text)
            draft.isOptOut = event.isOptOut
            add(.shortCode, event.shortCode)
            add(.keyword, event.keyword)
        case .urlPreview(let event): add(event.interaction, event.url, event.landingPage)
        case .urlClick(let event): add(event.interaction, event.url, event.landingPage)
        case .unrecognised(let event): return (add(event.reason.rawValue), add(event.detail ?? ""))
        }
        return (0..<0, 0..<0)
    }
}

extension ReaderState {
    /// Reads the fields that only events of this type have.
    mutating func payload(of type: EventType, _ envelope: Envelope) throws(EventDecodingError) -> Event {
        switch type {
        case .deliveryStatus: return .deliveryStatus(try deliveryStatus(envelope))
        case .reply: return .reply(try reply(envelope))
        case .shortCode:
            return .shortCode(
                ShortCodeMessage(
                    envelope: envelope, text: try top.required(.text), isOptOut: try top.boolean(.optOut) ?? false,
                    shortCode: try top.optional(.shortCode), keyword: try top.optional(.keyword)))
        case .urlPreview:
            return .urlPreview(
                URLPreview(
                    envelope: envelope, interaction: try top.optional(.interaction), url: try top.optional(.url),
                    landingPage: try landingPage()))
        case .urlClick:
            return .urlClick(
                URLClick(
                    envelope: envelope, interaction: try top.optional(.interaction), url: try top.optional(.url),
                    landingPage: try landingPage()))
        case .unrecognised:
            return .unrecognised(
                Unrecognised(
                    envelope: envelope, reason: UnrecognisedReason(rawValue: try top.required(.reason)),
                    detail: try top.optional(.detail)))
        }
    }
}
