/// Understands callbacks of every generation and makes records of them.
///
/// One pass, no allocation in steady state: memory is kept from callback to callback. So a decoder belongs to one
/// thread. It never fails: what is not understood becomes an event of type ``EventType/unrecognised`` that keeps
/// everything.
public final class CallbackDecoder {
    // Unchecked: a decoder belongs to one thread, and decoding calls nothing that knows it.
    @exclusivity(unchecked) private var state: DecoderState

    /// - Parameter configuration: What to add to the vendor's contract.
    /// - Throws: ``DecoderConfigurationError`` with everything that is wrong with the configuration.
    public init(_ configuration: DecoderConfiguration = DecoderConfiguration()) throws(DecoderConfigurationError) {
        let problems = configuration.problems()
        guard problems.isEmpty else { throw DecoderConfigurationError(problems: problems) }
        state = DecoderState(configuration)
    }

    /// Makes the record of one callback. An empty span means that there was none.
    ///
    /// - Parameters:
    ///   - method: The method of the request.
    ///   - route: The type that the route named; nil for `/webhooks` without one.
    ///   - contentType: The `Content-Type` header.
    ///   - contentEncoding: The `Content-Encoding` header.
    ///   - query: What stood after the `?` of the target, its secret cut out.
    ///   - body: The body.
    ///   - traceparent: The header of that name; passed on when well formed (W3C Trace Context).
    ///   - tracestate: The header of that name; passed on when well formed and `traceparent` is, too.
    ///   - account: A position in the configuration's accounts; any other number counts as 0.
    ///   - receivedAt: The time of reception, in milliseconds since the epoch.
    ///   - record: Where the record goes; what it held is gone.
    package func decode(
        method: CallbackMethod, route: EventType?, contentType: RawSpan, contentEncoding: RawSpan, query: RawSpan,
        body: RawSpan, traceparent: RawSpan, tracestate: RawSpan, account: Int, receivedAt milliseconds: Int64,
        into record: RecordBuffer
    ) {
        query.withUnsafeBytes { query in
            body.withUnsafeBytes { body in
                contentType.withUnsafeBytes { contentType in
                    contentEncoding.withUnsafeBytes { contentEncoding in
                        traceparent.withUnsafeBytes { traceparent in
                            tracestate.withUnsafeBytes { tracestate in
                                state.decode(
                                    method: method, route: route, contentType: Bytes(contentType),
                                    contentEncoding: Bytes(contentEncoding), query: Bytes(query), body: Bytes(body),
                                    traceparent: Bytes(traceparent), tracestate: Bytes(tracestate), account: account,
                                    receivedAt: milliseconds, into: record)
                            }
                        }
                    }
                }
            }
        }
    }

    /// Makes the record of one callback without a `Content-Encoding`.
    package func decode(
        method: CallbackMethod, route: EventType?, contentType: RawSpan, query: RawSpan, body: RawSpan,
        traceparent: RawSpan, tracestate: RawSpan, account: Int, receivedAt milliseconds: Int64,
        into record: RecordBuffer
    ) {
        let none: [UInt8] = []
        decode(
            method: method, route: route, contentType: contentType, contentEncoding: none.span.bytes, query: query,
            body: body, traceparent: traceparent, tracestate: tracestate, account: account, receivedAt: milliseconds,
            into: record)
    }

    /// Makes the record of one callback.
    ///
    /// - Parameters:
    ///   - callback: The callback.
    ///   - receivedAt: The time of reception.
    ///   - account: A name that need not be configured; nil for the first that is.
    ///   - isImported: Whether the callback did not come through the webhook.
    ///   - record: Where the record goes; what it held is gone.
    package func decode(
        _ callback: Callback, receivedAt: EventTime, account: String? = nil, isImported: Bool = false,
        into record: RecordBuffer
    ) {
        let contentType = Array(callback.contentType.utf8)
        let contentEncoding = Array(callback.contentEncoding.utf8)
        contentType.withUnsafeBytes { contentType in
            contentEncoding.withUnsafeBytes { contentEncoding in
                callback.query.withUnsafeBytes { query in
                    callback.body.withUnsafeBytes { body in
                        state.decode(
                            method: callback.method, route: callback.route, contentType: Bytes(contentType),
                            contentEncoding: Bytes(contentEncoding), query: Bytes(query), body: Bytes(body),
                            traceparent: .empty, tracestate: .empty, account: 0,
                            accountName: account.map { Array($0.utf8) }, isImported: isImported,
                            receivedAt: receivedAt.millisecondsSinceEpoch, into: record)
                    }
                }
            }
        }
    }

    /// The text of a body that is compressed, or in a charset whose ASCII characters take more than a byte.
    ///
    /// - Returns: nil for a body that can be searched as it is, or not be decoded.
    package func decodedText(body: RawSpan, contentType: RawSpan, contentEncoding: RawSpan) -> [UInt8]? {
        body.withUnsafeBytes { body in
            contentType.withUnsafeBytes { contentType in
                contentEncoding.withUnsafeBytes { contentEncoding in
                    state.decodedText(
                        body: Bytes(body), contentType: Bytes(contentType), contentEncoding: Bytes(contentEncoding))
                }
            }
        }
    }

    /// The largest record that a request can become, in bytes as a topic's `max.message.bytes` counts them: value, key,
    /// headers and the framing of a batch with one record.
    ///
    /// The raw text at most doubles (beyond that it is Base64). Of what it says, at most 64 KiB become fields of the
    /// event. There a quote of a form becomes two bytes more, at one byte of the request; a `%00` becomes six, at three
    /// bytes of the request, which is three more than these could be as raw text alone. The bound is the best mixture
    /// of both. A body that is compressed or in another charset is Base64, and what it says has no part in that:
    /// escapes of a form, or characters of one byte that take three in UTF-8; quotes of the target fill up what is left
    /// of the 64 KiB.
    ///
    /// - Parameters:
    ///   - maxBody: The largest accepted body, compressed or not, in bytes; ``DecoderConfiguration/maxContentBytes`` is
    ///     as much.
    ///   - maxTarget: The largest accepted request target, in bytes.
    package static func maximumRecordBytes(maxBody: Int, maxTarget: Int) -> Int {
        let body = min(max(maxBody, 0), 1 << 40)
        let target = min(max(maxTarget, 0), 1 << 40)
        let bytes = body + target
        let fields = DecoderState.longestFields
        let plain = 2 * bytes + min(2 * bytes, 2 * fields + max(0, bytes - fields) / 2, 3 * fields)
        let escapes = min(body / 3, fields)
        let characters = min(3 * body, fields)
        let codedFields = max(
            6 * escapes + 2 * min(target + 2, fields - escapes), characters + 2 * min(target, fields - characters))
        let coded = (body + 2) / 3 * 4 + 2 * target + codedFields
        return max(plain, coded) + 4096
    }
}

/// The memory of a decoder, and the steps from bytes to a record.
struct DecoderState: ~Copyable {
    /// All fields of one event together, in bytes. An SMS has a few hundred; beyond this it is none.
    static let longestFields = 1 << 16

    private let vocabulary: Vocabulary
    private let optOut: OptOutMatcher
    private let charset: Charset?
    private let maxContentBytes: Int
    private var accounts = ByteWriter(capacity: 64)
    private var otherAccount = ByteWriter(capacity: 64)
    private var accountCuts: [Range<Int>] = []
    private var list = ParameterList()
    private var scratch = ByteWriter(capacity: 4096)
    private var content = ContentBuffers()
    private var contentTypeText = ByteWriter(capacity: Callback.longestContentType)
    private var contentEncodingText = ByteWriter(capacity: 64)
    /// How long the callback was when it was read, in bytes of UTF-8.
    private var contentLength = 0
    private var idText = ByteWriter(capacity: 64)
    private var detailText = ByteWriter(capacity: 128)
    private var identity = EventIdentity()
    private var draft = Draft()
    private let digits: UnsafeMutablePointer<UInt8>
    /// Per field, how preferred the name was that it came from.
    private let ranks: UnsafeMutablePointer<UInt8>
    /// Per position in a callback, the name that stood there last: callbacks of one kind have them in one order.
    private let expected: UnsafeMutablePointer<ExpectedName>
    private static let expectedCount = 64

    /// A name as it was written, of one to sixteen bytes, and what is known of it.
    private struct ExpectedName {
        /// 0 before the first.
        var count = 0
        var start: UInt64 = 0
        var end: UInt64 = 0
        var key: UInt64 = 0
        var index = NameTable.unknown

        /// The first eight bytes and the last; what is shorter than eight is both.
        @inline(__always)
        static func ends(of name: Bytes) -> (start: UInt64, end: UInt64) {
            if name.count < 8 { return (name.shortWord, 0) }
            return (name.word(at: 0), name.word(at: name.count &- 8))
        }
    }

    init(_ configuration: DecoderConfiguration) {
        vocabulary = Vocabulary(custom: configuration.customNames)
        optOut = OptOutMatcher(configuration.optOutPhrases)
        charset = configuration.namedCharset
        maxContentBytes = configuration.maxContentBytes
        digits = .allocate(capacity: MSISDN.room)
        ranks = .allocate(capacity: Field.allCases.count)
        expected = .allocate(capacity: Self.expectedCount)
        expected.initialize(repeating: ExpectedName(), count: Self.expectedCount)
        for account in configuration.accounts {
            let start = accounts.count
            accounts.append(string: account)
            accountCuts.append(start..<accounts.count)
        }
    }

    deinit {
        digits.deallocate()
        ranks.deallocate()
        expected.deallocate()
    }

    mutating func decode(
        method: CallbackMethod, route: EventType?, contentType: Bytes, contentEncoding: Bytes, query: Bytes,
        body: Bytes,
        traceparent: Bytes, tracestate: Bytes, account: Int, accountName: [UInt8]? = nil, isImported: Bool = false,
        receivedAt: Int64, into record: RecordBuffer
    ) {
        list.removeAll()
        scratch.removeAll(keepingAtMost: 1 << 16)
        contentTypeText.removeAll()
        contentTypeText.appendContentType(contentType)
        contentEncodingText.removeAll()
        contentEncodingText.appendContentType(contentEncoding)
        idText.removeAll()
        detailText.removeAll()

        draft.removeFields()
        if let accountName {
            otherAccount.removeAll()
            accountName.withUnsafeBytes { otherAccount.append(Bytes($0)) }
            draft.account = otherAccount.bytes
            draft.accountIsPlain = false
        } else {
            draft.account = accounts.bytes[accountCuts[accountCuts.indices.contains(account) ? account : 0]]
            draft.accountIsPlain = true
        }
        draft.receivedAt = receivedAt
        draft.isImported = isImported
        draft.method = method
        draft.route = route == .unrecognised ? nil : route
        draft.contentType = contentTypeText.bytes
        draft.contentEncoding = contentEncodingText.bytes
        draft.query = query
        draft.body = body
        let isTraced = TraceContext.isParent(traceparent)
        draft.traceparent = isTraced ? traceparent : .empty
        draft.tracestate = isTraced && TraceContext.isState(tracestate) ? tracestate : .empty

        let reader = ParameterReader(
            query: query, body: body, contentType: contentTypeText.bytes, contentEncoding: contentEncodingText.bytes,
            charset: charset, maxContentBytes: maxContentBytes)
        draft.queryIsUTF8 = reader.queryIsUTF8
        draft.bodyIsUTF8 = reader.bodyIsUTF8
        do throws(ScanFailure) {
            let outcome = try reader.read(into: &list, scratch: &scratch, content: &content)
            contentLength = outcome.length
            let evidence = nameParameters()
            if let type = draft.route ?? classify(evidence) {
                draft.type = type
                draft.isRecovered = outcome.recovered != nil
                fillFields()
                identify()
            } else {
                refuse(.unknownShape)
            }
            if let text = outcome.recovered, draft.type == .unrecognised || !mayBeText(text.parameter) {
                detailText.removeAll()
                refuse(ScanFailure(reason: .invalidJSON, offset: text.offset))
            }
        } catch {
            refuse(error)
        }
        record.fill(from: draft)
    }

    mutating func decodedText(body: Bytes, contentType: Bytes, contentEncoding: Bytes) -> [UInt8]? {
        ParameterReader(
            query: .empty, body: body, contentType: contentType, contentEncoding: contentEncoding, charset: charset,
            maxContentBytes: maxContentBytes
        ).decodedText(&content).map { Array($0.buffer) }
    }

    // MARK: - Steps

    /// Looks all names up.
    private mutating func nameParameters() -> Evidence {
        var evidence: Evidence = []
        var index = 0
        while index < list.count {
            let name = list[index].name
            let isShort = name.count <= 16 && index < Self.expectedCount
            let (start, end) = isShort ? ExpectedName.ends(of: name) : (0, 0)
            let nameIndex: UInt8
            if isShort, expected[index].count == name.count, expected[index].start == start,
                expected[index].end == end, name.count > 0
            {
                nameIndex = expected[index].index
                list.setName(index: nameIndex, key: expected[index].key, at: index)
            } else {
                let key = name.lowercaseSortKey
                nameIndex = vocabulary.names.index(of: name, key: key)
                list.setName(index: nameIndex, key: key, at: index)
                if isShort {
                    expected[index] = ExpectedName(
                        count: name.count, start: start, end: end, key: key, index: nameIndex)
                }
            }
            if nameIndex != NameTable.unknown {
                evidence.formUnion(vocabulary.evidence(of: nameIndex))
            } else if list[index].isFromBody, list[index].isSecret {
                draft.hasSecretField = true
            }
            index &+= 1
        }
        return evidence
    }

    /// The type of a callback whose route names none.
    private func classify(_ evidence: Evidence) -> EventType? {
        evidence.type(interaction: evidence.isDisjoint(with: [.landing, .interactionType]) ? nil : interactionType)
    }

    /// What the last `type` of an interaction says, if it says anything.
    private var interactionType: EventType? {
        var result: EventType?
        for index in 0..<list.count {
            let parameter = list[index]
            guard parameter.nameIndex != NameTable.unknown, parameter.kind == .text,
                vocabulary.evidence(of: parameter.nameIndex).contains(.interactionType)
            else { continue }
            if let type = EventType(interaction: parameter.value) { result = type }
        }
        return result
    }

    private mutating func fillFields() {
        ranks.initialize(repeating: 255, count: Field.allCases.count)
        let type = draft.type.index
        var index = 0
        while index < list.count {
            let parameter = list[index]
            index &+= 1
            guard parameter.nameIndex != NameTable.unknown else { continue }
            let meaning = vocabulary.meaning(of: parameter.nameIndex, in: type)
            guard let field = Field(rawValue: meaning.field) else { continue }
            // Of two names for one field the preferred wins, of two values of one name the last: the body's, if it has
            // one.
            guard meaning.rank <= ranks[Int(field.rawValue)], fill(field, from: parameter) else { continue }
            ranks[Int(field.rawValue)] = meaning.rank
        }
    }

    /// Whether a parameter may hold a written text: not a number, an id, a time or a status, in which there is
    /// nothing to be escaped.
    private func mayBeText(_ position: Int) -> Bool {
        let parameter = list[position]
        guard parameter.nameIndex != NameTable.unknown,
            let field = Field(rawValue: vocabulary.meaning(of: parameter.nameIndex, in: draft.type.index).field)
        else { return true }
        return Self.texts & Draft.mask(field) != 0
    }

    private static let texts = Draft.mask(
        .text, .sentText, .campaign, .reference, .keyword, .groupName, .groupDescription, .groupData, .numberValue1,
        .numberValue2, .numberValue3, .numberValue4, .numberValue5, .numberValue6, .url, .landingPageName,
        .landingPageVersion, .landingPageComponentID)

    /// Sets a field; false when the value is none for it. What is empty says nothing, except for a text, which may be
    /// empty.
    @inline(__always)
    private mutating func fill(_ field: Field, from parameter: Parameter) -> Bool {
        if parameter.kind == .null || (parameter.kind == .nested && field != .groupData) { return false }
        let value = parameter.value
        switch field {
        case .occurredAt:
            guard let time = VendorTime.milliseconds(value) else { return false }
            draft.occurredAt = time
            draft.mark(field)
        case .sentAt:
            guard let time = VendorTime.milliseconds(value) else { return false }
            draft.sentAt = time
            draft.mark(field)
        case .parts:
            let number = value.withoutZeroFraction
            guard number.isDigits, number.count <= 9 else { return false }
            draft.parts = number.reduceDigits()
            draft.mark(field)
        case .flash:
            draft.isFlash = value.equalsIgnoringCase("true")
            guard draft.isFlash || value.equalsIgnoringCase("false") else { return false }
            draft.mark(field)
        case .text:
            guard value.isEmpty else {
                draft.set(field, value)
                return true
            }
            // Empty only until some other name has more to say.
            if !draft.has(field) { draft.set(field, value) }
            return false
        case .msisdn:
            let number = value.trimmed
            guard !number.isEmpty else { return false }
            draft.set(field, number)
        case .status, .batchID, .messageID, .sentMessageID, .mcc, .mnc, .dataType, .shortCode, .interaction:
            let name = value.trimmed
            guard !name.isEmpty else { return false }
            draft.set(field, name)
        default:
            guard !value.isEmpty else { return false }
            draft.set(field, value)
        }
        return true
    }

    /// Checks that the event is whole, and gives it its key, id and topic.
    private mutating func identify() {
        if let missing = draft.missing {
            return refuse(ScanFailure(reason: .missingFields, offset: 0), detail: missing)
        }
        guard fieldsLength <= Self.longestFields else { return refuse(.tooLong) }
        draft.topic = draft.type.topic
        if draft.has(.msisdn), let number = MSISDN.normalised(draft.text(.msisdn), room: digits) {
            draft.set(.msisdn, number)
            draft.key = number
            if number.equals(MSISDN.sample) { draft.topic = .test }
        }
        draft.derive(optOut)
        if draft.hasVendorID {
            draft.idBasis = .vendor
            identity.vendor(
                type: draft.type, account: draft.account, messageID: draft.text(.messageID),
                discriminator: draft.text(.status), into: &idText)
        } else if draft.has(.occurredAt) {
            draft.idBasis = .fields
            identity.fields(type: draft.type, account: draft.account, list, into: &idText)
        } else {
            draft.idBasis = .reception
            identity.reception(into: &idText)
        }
        draft.id = idText.bytes
    }

    private var fieldsLength: Int {
        guard contentLength > Self.longestFields else { return 0 }
        var length = 0
        for field in Field.allCases where draft.has(field) { length += draft.text(field).count }
        return length
    }

    // MARK: - What is not understood

    private mutating func refuse(_ reason: UnrecognisedReason.Known) {
        refuse(ScanFailure(reason: reason, offset: 0))
    }

    /// Makes the event an unrecognised one. Its id is of basis ``EventIDBasis/reception``: nothing is known of the
    /// callback that would tell a repeat from another one alike.
    private mutating func refuse(_ failure: ScanFailure, detail: StaticString? = nil) {
        draft.removeFields()
        draft.type = .unrecognised
        draft.topic = .quarantine
        draft.reason = Bytes(failure.reason.name)
        switch failure.reason {
        case .invalidJSON, .tooDeep, .invalidForm:
            detailText.append(failure.isInBody ? "body, byte " : "query, byte ")
            detailText.append(decimal: failure.offset)
        case .invalidUTF8:
            detailText.append(failure.isInBody ? "body" : "query")
        case .unsupportedCharset, .invalidCharset: describeCharset(failure)
        case .unsupportedEncoding: detailText.append(draft.contentEncoding)
        case .invalidEncoding:
            detailText.append(draft.contentEncoding)
            detailText.append(", byte ")
            detailText.append(decimal: failure.offset)
        case .tooLong where failure.offset > 0:
            detailText.append("more than ")
            detailText.append(decimal: failure.offset)
            detailText.append(" bytes in ")
            detailText.append(draft.contentEncoding)
        default:
            if let detail { detailText.append(detail) }
        }
        draft.detail = detailText.bytes
        draft.idBasis = .reception
        idText.removeAll()
        identity.reception(into: &idText)
        draft.id = idText.bytes
    }

    /// The charset, and where the text is not in it.
    private mutating func describeCharset(_ failure: ScanFailure) {
        if let charset {
            detailText.append(charset.name)
        } else {
            switch Charset.declared(by: draft.contentType) {
            case .none: break
            case .known(let charset): detailText.append(charset.name)
            case .unknown(let name): detailText.append(name)
            }
        }
        guard failure.reason == .invalidCharset else { return }
        detailText.append(failure.isInBody ? ", body, byte " : ", query, byte ")
        detailText.append(decimal: failure.offset)
    }
}

extension Bytes {
    /// The number that at most nine digits write.
    fileprivate func reduceDigits() -> Int {
        var value = 0
        for index in 0..<count { value = value * 10 + Int(self[index] &- 0x30) }
        return value
    }
}
