extension ByteWriter {
    /// Writes the value of a record: one JSON object, its keys always in this order.
    ///
    /// - Returns: Where in the value the time for `ce_time` stands: when the event occurred, else when it was received.
    mutating func appendValue(of draft: borrowing Draft) -> Range<Int> {
        append("{\"id\":\"")
        appendEscaped(draft.id)
        append("\",\"idBasis\":\"")
        append(draft.idBasis.name)
        append("\",\"type\":\"")
        append(draft.type.name)
        append("\",\"account\":\"")
        appendEscaped(draft.account)
        append("\",\"receivedAt\":\"")
        var start = count
        append(time: draft.receivedAt, fraction: .always)
        var time = start..<count
        append(0x22)
        if draft.has(.occurredAt) {
            append(",\"occurredAt\":\"")
            start = count
            append(time: draft.occurredAt, fraction: .ifAny)
            time = start..<count
            append(0x22)
        }
        append(",\"msisdn\":\"", .msisdn, of: draft)
        appendFields(of: draft)
        append(",\"batchId\":\"", .batchID, of: draft)
        append(",\"messageId\":\"", .messageID, of: draft)
        append(",\"reference\":\"", .reference, of: draft)
        if draft.hasNetwork || draft.hasAny(of: Self.network) {
            append(",\"network\":{")
            var separator: StaticString = ""
            append(&separator, "\"mcc\":\"", .mcc, of: draft)
            append(&separator, "\"mnc\":\"", .mnc, of: draft)
            append(0x7D)
        }
        appendRaw(draft)
        append(0x7D)
        return time
    }

    private static let network = Draft.mask(.mcc, .mnc)
    private static let group = Draft.mask(.groupName, .groupDescription, .groupData)
    private static let landingPage = Draft.mask(.landingPageName, .landingPageVersion, .landingPageComponentID)

    /// A text field, if it is set; `opening` is everything up to the text.
    @inline(__always)
    mutating func append(_ opening: StaticString, _ field: Field, of draft: borrowing Draft) {
        guard draft.has(field) else { return }
        append(shared: opening)
        appendEscaped(draft.text(field))
        append(0x22)
    }

    /// The same inside an object, where the first member has no comma before it.
    private mutating func append(
        _ separator: inout StaticString, _ opening: StaticString, _ field: Field, of draft: borrowing Draft
    ) {
        guard draft.has(field) else { return }
        append(shared: separator)
        append(opening, field, of: draft)
        separator = ","
    }

    private mutating func appendSentAt(_ draft: borrowing Draft) {
        guard draft.has(.sentAt) else { return }
        append(",\"sentAt\":\"")
        append(time: draft.sentAt, fraction: .ifAny)
        append(0x22)
    }

    private mutating func appendGroup(_ draft: borrowing Draft) {
        guard draft.hasGroup || draft.hasAny(of: Self.group) else { return }
        append(",\"group\":{")
        var separator: StaticString = ""
        append(&separator, "\"name\":\"", .groupName, of: draft)
        append(&separator, "\"description\":\"", .groupDescription, of: draft)
        append(&separator, "\"data\":\"", .groupData, of: draft)
        append(0x7D)
    }

    mutating func appendDeliveryStatus(_ draft: borrowing Draft) {
        append(",\"status\":\"", .status, of: draft)
        append(",\"state\":\"")
        append(draft.state.name)
        append(0x22)
        if draft.has(.parts) {
            append(",\"parts\":")
            append(decimal: draft.parts)
        }
        append(",\"dataType\":\"", .dataType, of: draft)
        append(",\"sentText\":\"", .sentText, of: draft)
        appendSentAt(draft)
        if draft.has(.flash) { append(draft.isFlash ? ",\"flash\":true" : ",\"flash\":false") }
        appendGroup(draft)
    }

    mutating func appendReply(_ draft: borrowing Draft) {
        append(",\"text\":\"", .text, of: draft)
        if draft.isOptOut { append(",\"optOut\":true") }
        append(",\"destination\":\"", .destination, of: draft)
        append(",\"campaign\":\"", .campaign, of: draft)
        append(",\"sentMessageId\":\"", .sentMessageID, of: draft)
        append(",\"sentText\":\"", .sentText, of: draft)
        appendSentAt(draft)
        appendGroup(draft)
        append(",\"numberValue1\":\"", .numberValue1, of: draft)
        append(",\"numberValue2\":\"", .numberValue2, of: draft)
        append(",\"numberValue3\":\"", .numberValue3, of: draft)
        append(",\"numberValue4\":\"", .numberValue4, of: draft)
        append(",\"numberValue5\":\"", .numberValue5, of: draft)
        append(",\"numberValue6\":\"", .numberValue6, of: draft)
    }

    mutating func appendShortCode(_ draft: borrowing Draft) {
        append(",\"text\":\"", .text, of: draft)
        if draft.isOptOut { append(",\"optOut\":true") }
        append(",\"shortCode\":\"", .shortCode, of: draft)
        append(",\"keyword\":\"", .keyword, of: draft)
    }

    mutating func appendInteraction(_ draft: borrowing Draft) {
        append(",\"interaction\":\"", .interaction, of: draft)
        append(",\"url\":\"", .url, of: draft)
        guard draft.hasLandingPage || draft.hasAny(of: Self.landingPage) else { return }
        append(",\"landingPage\":{")
        var separator: StaticString = ""
        append(&separator, "\"name\":\"", .landingPageName, of: draft)
        append(&separator, "\"version\":\"", .landingPageVersion, of: draft)
        append(&separator, "\"componentId\":\"", .landingPageComponentID, of: draft)
        append(0x7D)
    }

    mutating func appendUnrecognised(_ draft: borrowing Draft) {
        append(",\"reason\":\"")
        appendEscaped(draft.reason)
        append(0x22)
        if !draft.detail.isEmpty {
            append(",\"detail\":\"")
            appendEscaped(draft.detail)
            append(0x22)
        }
    }

    private mutating func appendRaw(_ draft: borrowing Draft) {
        append(",\"raw\":{\"method\":\"")
        append(draft.method.name)
        append("\",\"route\":\"")
        append(Callback.path(of: draft.route))
        append(0x22)
        if !draft.contentType.isEmpty {
            append(",\"contentType\":\"")
            appendEscaped(draft.contentType)
            append(0x22)
        }
        if !draft.contentEncoding.isEmpty {
            append(",\"contentEncoding\":\"")
            appendEscaped(draft.contentEncoding)
            append(0x22)
        }
        if draft.isRecovered { append(",\"recovered\":true") }
        if draft.isImported { append(",\"imported\":true") }
        append(raw: draft.query, isUTF8: draft.queryIsUTF8, ",\"query\":\"", ",\"queryBase64\":\"")
        append(raw: draft.body, isUTF8: draft.bodyIsUTF8, ",\"body\":\"", ",\"bodyBase64\":\"")
        append(0x7D)
    }

    /// Bytes as text, or as Base64 where they are not UTF-8 or where escaping would more than double them: so much control
    /// is no text, and a body of zeros would grow sixfold and past what a topic takes.
    private mutating func append(raw bytes: Bytes, isUTF8: Bool, _ text: StaticString, _ base64: StaticString) {
        guard !bytes.isEmpty else { return }
        // Counting first costs a scan; small bodies are written and, in the rare case, written again.
        let isText = isUTF8 && (bytes.count <= 4096 || Self.escapedLength(of: bytes) <= bytes.count * 2)
        if isText {
            let start = count
            append(shared: text)
            let begin = count
            appendEscaped(bytes)
            if count - begin <= bytes.count * 2 {
                append(0x22)
                return
            }
            truncate(to: start)
        }
        append(shared: base64)
        appendBase64(bytes)
        append(0x22)
    }
}
