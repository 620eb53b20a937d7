extension Event {
    /// The record of this event: what the bridge would publish for it. ``init(record:)`` gives the event back.
    public func record() -> EventRecord {
        let buffer = RecordBuffer()
        write(into: buffer)
        return buffer.record
    }

    /// Makes the record of this event in a buffer.
    package func write(into buffer: RecordBuffer) {
        var encoder = EventEncoder()
        encoder.encode(self, into: buffer)
    }
}

/// Fills a draft from a typed event, so that the one writer of values writes it.
struct EventEncoder: ~Copyable {
    private var arena = ByteWriter(capacity: 4096)
    var draft = Draft()
    private var texts: [(field: Field, range: Range<Int>)] = []

    mutating func encode(_ event: Event, into buffer: RecordBuffer) {
        let envelope = event.envelope
        let raw = envelope.raw
        let id = add(envelope.id)
        let account = add(envelope.account)
        let contentType = add(raw.contentType)
        let contentEncoding = add(raw.contentEncoding)
        let key = add(event.type == .unrecognised ? "" : envelope.key ?? "")
        let traceparent = add(envelope.traceparent ?? "")
        let tracestate = add(envelope.tracestate ?? "")
        draft.type = event.type
        draft.topic = event.topic
        draft.idBasis = envelope.idBasis
        draft.receivedAt = envelope.receivedAt.millisecondsSinceEpoch
        draft.method = raw.method
        draft.route = raw.route
        add(.msisdn, envelope.msisdn)
        add(.batchID, envelope.batchID)
        add(.messageID, envelope.messageID)
        add(.reference, envelope.reference)
        draft.hasNetwork = envelope.network != nil
        add(.mcc, envelope.network?.mcc)
        add(.mnc, envelope.network?.mnc)
        if let time = envelope.occurredAt {
            draft.occurredAt = time.millisecondsSinceEpoch
            draft.mark(.occurredAt)
        }
        let (reason, detail) = add(fieldsOf: event)
        // From here on the arena does not move.
        for (field, range) in texts { draft.set(field, arena.bytes[range]) }
        draft.id = arena.bytes[id]
        draft.account = arena.bytes[account]
        draft.contentType = arena.bytes[contentType]
        draft.contentEncoding = arena.bytes[contentEncoding]
        draft.isRecovered = envelope.isRecovered
        draft.isImported = envelope.isImported
        draft.key = arena.bytes[key]
        draft.reason = arena.bytes[reason]
        draft.detail = arena.bytes[detail]
        if TraceContext.isParent(arena.bytes[traceparent]) {
            draft.traceparent = arena.bytes[traceparent]
            if TraceContext.isState(arena.bytes[tracestate]) { draft.tracestate = arena.bytes[tracestate] }
        }
        raw.query.withUnsafeBytes { query in
            raw.body.withUnsafeBytes { body in
                draft.query = Bytes(query)
                draft.body = Bytes(body)
                draft.queryIsUTF8 = draft.query.isUTF8
                draft.bodyIsUTF8 = draft.body.isUTF8
                buffer.fill(from: draft)
            }
        }
    }

    mutating func add(_ text: String) -> Range<Int> {
        let start = arena.count
        arena.append(string: text)
        return start..<arena.count
    }

    mutating func add(_ field: Field, _ text: String?) {
        guard let text else { return }
        let range = add(text)
        texts.append((field, range))
    }

    mutating func add(sentAt time: EventTime?) {
        guard let time else { return }
        draft.sentAt = time.millisecondsSinceEpoch
        draft.mark(.sentAt)
    }

    mutating func add(_ group: ContactGroup?) {
        draft.hasGroup = group != nil
        add(.groupName, group?.name)
        add(.groupDescription, group?.description)
        add(.groupData, group?.data)
    }

    mutating func add(_ event: DeliveryStatus) {
        add(.status, event.status)
        draft.state = event.state
        if let parts = event.parts {
            draft.parts = parts
            draft.mark(.parts)
        }
        add(.dataType, event.dataType)
        add(.sentText, event.sentText)
        add(sentAt: event.sentAt)
        if let flash = event.flash {
            draft.isFlash = flash
            draft.mark(.flash)
        }
        add(event.group)
    }

    mutating func add(_ event: Reply) {
        add(.text, event.text)
        draft.isOptOut = event.isOptOut
        add(.destination, event.destination)
        add(.campaign, event.campaign)
        add(.sentMessageID, event.sentMessageID)
        add(.sentText, event.sentText)
        add(sentAt: event.sentAt)
        add(event.group)
        add(.numberValue1, event.numberValue1)
        add(.numberValue2, event.numberValue2)
        add(.numberValue3, event.numberValue3)
        add(.numberValue4, event.numberValue4)
        add(.numberValue5, event.numberValue5)
        add(.numberValue6, event.numberValue6)
    }

    mutating func add(_ interaction: String?, _ url: String?, _ landingPage: LandingPage?) {
        add(.interaction, interaction)
        add(.url, url)
        draft.hasLandingPage = landingPage != nil
        add(.landingPageName, landingPage?.name)
        add(.landingPageVersion, landingPage?.version)
        add(.landingPageComponentID, landingPage?.componentID)
    }
}
