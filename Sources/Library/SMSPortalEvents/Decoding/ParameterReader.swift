/// Everything that a callback says, as a list of names and values, whatever way they came.
struct ParameterReader {
    let query: Bytes
    let body: Bytes
    let contentType: Bytes
    let queryIsUTF8: Bool
    let bodyIsUTF8: Bool

    init(query: Bytes, body: Bytes, contentType: Bytes) {
        self.query = query
        self.body = body
        self.contentType = contentType
        queryIsUTF8 = query.isUTF8
        bodyIsUTF8 = body.isUTF8
    }

    /// Appends what the query string holds, then what the body holds.
    ///
    /// The body is JSON when it begins like an object or an array, whatever its content type: the vendor calls its JSON "plain
    /// text", and curl calls everything a form. Otherwise it is a form when its content type says so or it looks like one.
    func read(into list: inout ParameterList, scratch: inout ByteWriter) throws(ScanFailure) {
        let content = body.trimmed
        guard !query.isEmpty || !content.isEmpty else { throw ScanFailure(reason: .empty, offset: 0) }
        guard queryIsUTF8 else { throw ScanFailure(reason: .invalidUTF8, offset: 0, isInBody: false) }
        guard bodyIsUTF8 else { throw ScanFailure(reason: .invalidUTF8, offset: 0) }
        scratch.reserve(query.count + body.count)
        if !query.isEmpty { try FormScanner(query, isFromBody: false).read(into: &list, scratch: &scratch) }
        guard !content.isEmpty else { return }
        if isForm(content) {
            try FormScanner(body, isFromBody: true).read(into: &list, scratch: &scratch)
        } else {
            var scanner = JSONScanner(body)
            try scanner.readObject(into: &list, scratch: &scratch)
        }
    }

    private func isForm(_ content: Bytes) -> Bool {
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
