/// Reads `application/x-www-form-urlencoded` text, a query string or a body, known to be UTF-8.
///
/// `+` is a space, percent escapes count in either case, empty pieces between `&` are skipped, a piece without `=` is a name
/// with an empty value. Refused: a percent sign without two hexadecimal digits, a control character, and escapes that do not
/// make UTF-8. Text that was not escaped on substitution is thus caught as far as it can be, not misread.
struct FormScanner {
    private let bytes: Bytes
    private let isFromBody: Bool

    init(_ bytes: Bytes, isFromBody: Bool) {
        var end = bytes.count
        // Hand-made bodies often end with the line end of the file that they came from.
        while isFromBody, end > 0, bytes[end - 1] == 0x0A || bytes[end - 1] == 0x0D { end -= 1 }
        self.bytes = bytes[0..<end]
        self.isFromBody = isFromBody
    }

    /// Appends the parameters to `list`; `scratch` must have room for as many bytes as there are in the source.
    func read(into list: inout ParameterList, scratch: inout ByteWriter) throws(ScanFailure) {
        var at = 0
        while at < bytes.count {
            let name = try piece(at: &at, endsAtEquals: true, into: &scratch)
            var value = Bytes.empty
            var hasValue = false
            if at < bytes.count, bytes[at] == 0x3D {
                at += 1
                hasValue = true
                value = try piece(at: &at, endsAtEquals: false, into: &scratch)
            }
            // Whatever ended the piece, it is an ampersand or the end.
            at += 1
            if name.isEmpty, !hasValue { continue }
            try list.append(name: name, value: value, kind: .text, isFromBody: isFromBody)
        }
    }

    private func failure(_ reason: UnrecognisedReason.Known, _ offset: Int) -> ScanFailure {
        ScanFailure(reason: reason, offset: offset, isInBody: isFromBody)
    }

    /// A name or a value, unescaped; `at` ends on the byte that ended it.
    @inline(__always)
    private func piece(at: inout Int, endsAtEquals: Bool, into scratch: inout ByteWriter) throws(ScanFailure) -> Bytes {
        let start = at
        while at < bytes.count {
            let byte = bytes[at]
            if byte == 0x26 || (endsAtEquals && byte == 0x3D) { break }
            if byte == 0x25 || byte == 0x2B {
                return try unescaped(from: start, at: &at, endsAtEquals: endsAtEquals, into: &scratch)
            }
            if byte < 0x20 || byte == 0x7F { throw failure(.invalidForm, at) }
            at &+= 1
        }
        return bytes[start..<at]
    }

    private func unescaped(
        from start: Int, at: inout Int, endsAtEquals: Bool, into scratch: inout ByteWriter
    ) throws(ScanFailure) -> Bytes {
        let begin = scratch.count
        scratch.append(bytes[start..<at])
        var isPlain = true
        while at < bytes.count {
            let byte = bytes[at]
            if byte == 0x26 || (endsAtEquals && byte == 0x3D) { break }
            switch byte {
            case 0x2B:
                scratch.append(0x20)
            case 0x25:
                guard bytes.count - at >= 3 else { throw failure(.invalidForm, at) }
                let high = hexValue(bytes[at + 1])
                let low = hexValue(bytes[at + 2])
                guard high < 16, low < 16 else { throw failure(.invalidForm, at) }
                scratch.append(high << 4 | low)
                if high >= 8 { isPlain = false }
                at += 2
            default:
                if byte < 0x20 || byte == 0x7F { throw failure(.invalidForm, at) }
                scratch.append(byte)
            }
            at += 1
        }
        let text = scratch.bytes[begin..<scratch.count]
        guard isPlain || text.isUTF8 else { throw failure(.invalidUTF8, start) }
        return text
    }
}
