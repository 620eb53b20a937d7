/// Everything that a callback says, as a list of names and values, whatever way they came.
struct ParameterReader {
    let query: Bytes
    let body: Bytes
    let contentType: Bytes
    let contentEncoding: Bytes
    /// The charset of what is not UTF-8, whatever is declared; nil where the declaration counts.
    let charset: Charset?
    /// The most bytes that a compressed body may become.
    let maxContentBytes: Int
    let queryIsUTF8: Bool
    let bodyIsUTF8: Bool

    /// A text that had broken its JSON.
    struct RecoveredText {
        /// The position of its parameter in the list.
        var parameter: Int
        /// Where a strict reader stops.
        var offset: Int
    }

    /// Where in JSON a strict reader has stopped: the text that may have broken it.
    private struct Breakage {
        var text: Bytes
        /// Offset of the quote with which the text begins; -1 where none has begun.
        var quote = -1
        var parameter = 0
    }

    /// What more is known of a callback that was read.
    struct Outcome {
        /// The text that had broken the JSON and was recovered; nil where the JSON was sound.
        var recovered: RecoveredText?
        /// How long the query string and the body were when they were read, in bytes of UTF-8.
        var length = 0
    }

    init(
        query: Bytes, body: Bytes, contentType: Bytes, contentEncoding: Bytes, charset: Charset?, maxContentBytes: Int
    ) {
        self.query = query
        self.body = body
        self.contentType = contentType
        self.contentEncoding = contentEncoding
        self.charset = charset
        self.maxContentBytes = maxContentBytes
        queryIsUTF8 = query.isUTF8
        bodyIsUTF8 = body.isUTF8
    }

    /// Appends what the query string holds, then what the body holds.
    ///
    /// The body is JSON when it begins like an object or an array, whatever its content type: the vendor calls its JSON "plain
    /// text", and curl calls everything a form. Otherwise it is a form when its content type says so or it looks like one.
    /// Only what cannot be read as it is, in UTF-8, is read in the coding and charset that its headers declare.
    func read(
        into list: inout ParameterList, scratch: inout ByteWriter, content: inout ContentBuffers
    ) throws(ScanFailure) -> Outcome {
        guard !query.isEmpty || !body.trimmed.isEmpty else { throw ScanFailure(reason: .empty, offset: 0) }
        guard queryIsUTF8 || charset != nil else { throw ScanFailure(reason: .invalidUTF8, offset: 0, isInBody: false) }
        if contentEncoding.isEmpty, charset == nil, bodyIsUTF8 {
            // Almost all callbacks end here.
            scratch.reserve(query.count + body.count)
            do throws(ScanFailure) {
                if !query.isEmpty { try FormScanner(query, isFromBody: false).read(into: &list, scratch: &scratch) }
                var breakage = Breakage(text: body)
                try scan(body, into: &list, scratch: &scratch, breakage: &breakage)
                return Outcome(length: query.count + body.count)
            } catch {
                guard error.isInBody, error.isOfSyntax else { throw error }
            }
            list.removeAll()
            scratch.removeAll()
        }
        return try readWithCodings(into: &list, scratch: &scratch, content: &content)
    }

    /// The same where something is compressed, in another charset, or broken.
    private func readWithCodings(
        into list: inout ParameterList, scratch: inout ByteWriter, content: inout ContentBuffers
    ) throws(ScanFailure) -> Outcome {
        let plain = try inflated(&content)
        let isUTF8 = plain.isUTF8
        var transcoded: Bytes?
        var failure = ScanFailure(reason: .invalidUTF8, offset: 0)
        if let charset = try charsetOfBody(isUTF8: isUTF8), !plain.isEmpty {
            do throws(ScanFailure) {
                transcoded = try content.transcodeBody(plain, in: charset, isForm: isForm(plain.trimmed))
            } catch {
                failure = error
            }
        }
        // What was unescaped must not move, so there is room for each reading from the beginning. The correction of a broken
        // template makes it twice as long at most.
        let longest = max(plain.count, transcoded?.count ?? 0)
        try readQuery(into: &list, scratch: &scratch, content: &content, reserving: 2 * longest + 16)
        var outcome = Outcome(length: query.count + longest)
        guard !plain.trimmed.isEmpty else { return outcome }

        let position = list.count
        let mark = scratch.count
        var broken: Breakage?
        for text in [isUTF8 ? plain : nil, transcoded] {
            guard let text else { continue }
            list.removeAll(from: position)
            scratch.truncate(to: mark)
            var breakage = Breakage(text: text)
            do throws(ScanFailure) {
                try scan(text, into: &list, scratch: &scratch, breakage: &breakage)
                return outcome
            } catch {
                guard error.isOfSyntax else { throw error }
                // The first reading's reason counts: it is of the bytes as they are.
                if broken == nil { failure = error }
                if error.reason == .invalidJSON { broken = breakage }
            }
        }
        guard let broken else { throw failure }
        scratch.truncate(to: mark)
        guard recover(broken, into: &list, from: position, scratch: &scratch, content: &content) else { throw failure }
        outcome.recovered = RecoveredText(parameter: broken.parameter, offset: failure.offset)
        return outcome
    }

    // MARK: - The query string

    /// - Parameter room: How much more room the scratch memory must have afterwards.
    private func readQuery(
        into list: inout ParameterList, scratch: inout ByteWriter, content: inout ContentBuffers, reserving room: Int
    ) throws(ScanFailure) {
        scratch.reserve(query.count + room)
        guard !query.isEmpty else { return }
        do throws(ScanFailure) {
            guard queryIsUTF8 else { throw ScanFailure(reason: .invalidUTF8, offset: 0, isInBody: false) }
            try FormScanner(query, isFromBody: false).read(into: &list, scratch: &scratch)
        } catch {
            guard let charset, error.reason == .invalidUTF8 else { throw error }
            list.removeAll()
            scratch.removeAll()
            let text = try content.transcodeQuery(query, in: charset)
            scratch.reserve(text.count + room)
            try FormScanner(text, isFromBody: false).read(into: &list, scratch: &scratch)
        }
    }

    // MARK: - The body

    /// The body without its content coding. One that looks like JSON or a form was decoded on the way, by a proxy that has
    /// left the header, or the header means something else (`Content-Encoding: utf-8`).
    private func inflated(_ content: inout ContentBuffers) throws(ScanFailure) -> Bytes {
        let name = contentEncoding.trimmed
        guard !name.isEmpty, !name.equalsIgnoringCase("identity"), !body.isEmpty else { return body }
        if bodyIsUTF8, looksPlain { return body }
        guard let coding = Inflater.Coding(name) else { throw ScanFailure(reason: .unsupportedEncoding, offset: 0) }
        do throws(Inflater.Failure) {
            return try content.inflate(body, coding, atMost: maxContentBytes)
        } catch {
            switch error {
            case .invalid(let offset): throw ScanFailure(reason: .invalidEncoding, offset: offset)
            case .tooLong: throw ScanFailure(reason: .tooLong, offset: maxContentBytes)
            }
        }
    }

    /// The body as text, where it has to be decoded before it can be searched for ASCII characters.
    func decodedText(_ content: inout ContentBuffers) -> Bytes? {
        guard let plain = try? inflated(&content) else { return nil }
        let isCoded = plain.base != body.base
        guard !plain.isUTF8 || plain.buffer.contains(0), let charset = try? charsetOfBody(isUTF8: false),
            charset.form != .asciiBased, let text = try? content.transcodeBody(plain, in: charset, isForm: false)
        else { return isCoded ? plain : nil }
        return text
    }

    /// Whether the body begins like JSON or a form, which no compressed data do.
    private var looksPlain: Bool {
        let text = body.trimmed
        return text.isEmpty || text[0] == 0x7B || text[0] == 0x5B || isForm(text)
    }

    /// The charset that is tried where the body cannot be read as UTF-8.
    private func charsetOfBody(isUTF8: Bool) throws(ScanFailure) -> Charset? {
        if let charset { return charset }
        switch Charset.declared(by: contentType) {
        case .none: return nil
        case .known(let charset): return charset
        case .unknown:
            if isUTF8 { return nil }
            throw ScanFailure(reason: .unsupportedCharset, offset: 0)
        }
    }

    /// Reads text in UTF-8 strictly.
    ///
    /// - Parameter breakage: on failure, which text may have broken the JSON.
    private func scan(
        _ text: Bytes, into list: inout ParameterList, scratch: inout ByteWriter, breakage: inout Breakage
    ) throws(ScanFailure) {
        let trimmed = text.trimmed
        guard !trimmed.isEmpty else { return }
        guard !isForm(trimmed) else {
            return try FormScanner(text, isFromBody: true).read(into: &list, scratch: &scratch)
        }
        var scanner = JSONScanner(text)
        do throws(ScanFailure) {
            try scanner.readObject(into: &list, scratch: &scratch)
        } catch {
            breakage.quote = scanner.lastText
            breakage.parameter = scanner.lastTextMember
            throw error
        }
    }

    /// See ``BrokenTemplate``.
    private func recover(
        _ broken: Breakage, into list: inout ParameterList, from position: Int,
        scratch: inout ByteWriter, content: inout ContentBuffers
    ) -> Bool {
        guard var template = BrokenTemplate(broken.text, quote: broken.quote) else { return false }
        let mark = scratch.count
        while template.next(into: &content.corrected) {
            list.removeAll(from: position)
            scratch.truncate(to: mark)
            var scanner = JSONScanner(content.corrected.bytes)
            do throws(ScanFailure) {
                try scanner.readObject(into: &list, scratch: &scratch)
                return list.hasDistinctNames(from: position)
            } catch { continue }
        }
        return false
    }

    private func isForm(_ content: Bytes) -> Bool {
        guard !content.isEmpty else { return false }
        switch content[0] {
        case 0x7B, 0x5B, 0xEF: return false
        default: break
        }
        let form = Bytes("application/x-www-form-urlencoded")
        let declared = contentType.trimmed
        if declared.count >= form.count, declared[0..<form.count].equalsIgnoringCase(form),
            declared.count == form.count || declared[form.count] == 0x3B || isWhitespace(declared[form.count])
        {
            return true
        }
        // `name=`: letters, digits and what occurs in names of forms, then an equals sign.
        var at = 0
        while at < content.count {
            let byte = content[at]
            if byte == 0x3D { return at > 0 }
            let isNamePart =
                isDigit(byte) || asciiLowercase(byte) &- 0x61 < 26 || byte == 0x5F || byte == 0x2D || byte == 0x2E
                || byte == 0x25 || byte == 0x2B || byte == 0x5B || byte == 0x5D
            if !isNamePart { return false }
            at += 1
        }
        return false
    }
}

extension ScanFailure {
    /// Whether another charset, or the recovery of a broken text, may make sense of it.
    fileprivate var isOfSyntax: Bool {
        reason == .invalidJSON || reason == .invalidForm || reason == .invalidUTF8 || reason == .notAnObject
    }
}

/// What a body becomes on the way from its bytes to text in UTF-8. The parameters that were read point into it.
struct ContentBuffers: ~Copyable {
    private var plain = ByteWriter(capacity: 64)
    private var text = ByteWriter(capacity: 64)
    private var piece = ByteWriter(capacity: 64)
    private var convertedPiece = ByteWriter(capacity: 64)
    private var transcoder = Transcoder()
    private var query = ByteWriter(capacity: 64)
    /// A template whose broken text was escaped.
    var corrected = ByteWriter(capacity: 64)

    private static let kept = 1 << 16

    /// Undoes a content coding.
    mutating func inflate(
        _ body: Bytes, _ coding: Inflater.Coding, atMost limit: Int
    ) throws(Inflater.Failure) -> Bytes {
        plain.removeAll(keepingAtMost: Self.kept)
        try Inflater.append(body, coding, atMost: limit, to: &plain)
        return plain.bytes
    }

    /// Converts a body to UTF-8. Of a form whose charset is based on ASCII, the bytes of percent escapes are converted, too.
    mutating func transcodeBody(_ body: Bytes, in charset: Charset, isForm: Bool) throws(ScanFailure) -> Bytes {
        text.removeAll(keepingAtMost: Self.kept)
        if isForm, charset.form == .asciiBased {
            try append(form: body, in: charset, isFromBody: true)
        } else {
            do throws(Transcoder.Failure) {
                try transcoder.append(body, in: charset, to: &text)
            } catch { throw Self.failure(error, at: 0, isFromBody: true) }
        }
        return text.bytes
    }

    /// Converts a query string to UTF-8, with the bytes of its percent escapes.
    mutating func transcodeQuery(_ form: Bytes, in charset: Charset) throws(ScanFailure) -> Bytes {
        guard charset.form == .asciiBased else { throw ScanFailure(reason: .invalidUTF8, offset: 0, isInBody: false) }
        query.removeAll(keepingAtMost: Self.kept)
        try append(form: form, in: charset, isFromBody: false)
        return query.bytes
    }

    private static func failure(_ failure: Transcoder.Failure, at start: Int, isFromBody: Bool) -> ScanFailure {
        switch failure {
        case .unsupported: ScanFailure(reason: .unsupportedCharset, offset: 0, isInBody: isFromBody)
        case .invalid(let offset): ScanFailure(reason: .invalidCharset, offset: start + offset, isInBody: isFromBody)
        }
    }

    /// Appends a form in UTF-8 with the same names and values.
    private mutating func append(form: Bytes, in charset: Charset, isFromBody: Bool) throws(ScanFailure) {
        var end = form.count
        while isFromBody, end > 0, form[end - 1] == 0x0A || form[end - 1] == 0x0D { end -= 1 }
        var at = 0
        var isName = true
        while at <= end {
            let start = at
            piece.removeAll()
            while at < end, form[at] != 0x26, !(isName && form[at] == 0x3D) {
                let byte = form[at]
                if byte == 0x2B {
                    piece.append(0x20)
                } else if byte == 0x25 {
                    guard end - at >= 3, hexValue(form[at + 1]) < 16, hexValue(form[at + 2]) < 16 else {
                        throw ScanFailure(reason: .invalidForm, offset: at, isInBody: isFromBody)
                    }
                    piece.append(hexValue(form[at + 1]) << 4 | hexValue(form[at + 2]))
                    at += 2
                } else if byte < 0x20 || byte == 0x7F {
                    throw ScanFailure(reason: .invalidForm, offset: at, isInBody: isFromBody)
                } else {
                    piece.append(byte)
                }
                at += 1
            }
            convertedPiece.removeAll()
            do throws(Transcoder.Failure) {
                try transcoder.append(piece.bytes, in: charset, to: &convertedPiece)
            } catch { throw Self.failure(error, at: start, isFromBody: isFromBody) }
            let separator: UInt8? = at < end ? form[at] : nil
            if isFromBody {
                text.appendFormPiece(convertedPiece.bytes)
                if let separator { text.append(separator) }
            } else {
                query.appendFormPiece(convertedPiece.bytes)
                if let separator { query.append(separator) }
            }
            isName = separator == 0x26
            at += 1
        }
    }
}

extension ByteWriter {
    /// Text as a name or value of a form: letters, digits and what is not ASCII as they are, the rest as percent escapes.
    fileprivate mutating func appendFormPiece(_ text: Bytes) {
        let digits = Bytes("0123456789ABCDEF")
        for index in 0..<text.count {
            let byte = text[index]
            if isDigit(byte) || asciiLowercase(byte) &- 0x61 < 26 || byte >= 0x80 {
                append(byte)
            } else {
                append(0x25)
                append(digits[Int(byte >> 4)])
                append(digits[Int(byte & 15)])
            }
        }
    }
}
