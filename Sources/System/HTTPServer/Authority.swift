/// The authority of an http URI: `uri-host [ ":" port ]` (RFC 9110 section 4.2, RFC 3986 section 3.2.2).
enum Authority {
    /// - Parameter mayBeEmpty: whether no host at all is allowed, as in a `Host` header (RFC 9112 section 3.2).
    static func isValid(_ bytes: RawSpan, _ cut: Cut, mayBeEmpty: Bool) -> Bool {
        guard !cut.isEmpty else { return mayBeEmpty }
        var index = cut.offset
        if ByteScan.byte(bytes, index) == UInt8(ascii: "[") {
            // An IP literal. What is between the brackets is only looked at for its characters: it is never used.
            let close = ByteScan.first(UInt8(ascii: "]"), in: bytes, from: index, to: cut.end)
            guard close < cut.end, close > index + 1 else { return false }
            for inner in (index + 1)..<close {
                let byte = ByteScan.byte(bytes, inner)
                guard isNameByte(byte) || byte == UInt8(ascii: ":") else { return false }
            }
            index = close + 1
        } else {
            while index < cut.end {
                let byte = ByteScan.byte(bytes, index)
                if byte == UInt8(ascii: "%") {
                    guard PercentEncoding.escape(bytes, at: index, end: cut.end) != nil else { return false }
                    index += 3
                } else if isNameByte(byte) {
                    index += 1
                } else {
                    break
                }
            }
            guard index > cut.offset else { return false }
        }
        guard index < cut.end else { return true }
        guard ByteScan.byte(bytes, index) == UInt8(ascii: ":") else { return false }
        for digit in (index + 1)..<cut.end where !ByteScan.isDigit(ByteScan.byte(bytes, digit)) { return false }
        return true
    }

    /// `unreserved / sub-delims`: letters, digits and ``-._~!$&'()*+,;=``.
    private static func isNameByte(_ byte: UInt8) -> Bool {
        let bits: UInt64 = byte < 64 ? 0x2BFF_7FD2_0000_0000 : byte < 128 ? 0x47FF_FFFE_87FF_FFFE : 0
        return (bits >> UInt64(byte & 63)) & 1 == 1
    }
}
