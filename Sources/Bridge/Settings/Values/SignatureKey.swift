extension BridgeSettings.Auth.Signature {
    /// The decoded key of a secret; nil when it is not encoded as `keyEncoding` says, or is empty.
    package func key(_ secret: Secret) -> [UInt8]? {
        let text = Array(secret.exposed.utf8)
        switch keyEncoding {
        case .text: return text
        case .hex:
            guard !text.isEmpty, text.count.isMultiple(of: 2) else { return nil }
            let digits = text.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
            guard digits.count == text.count else { return nil }
            return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
        case .base64: return Self.decodedBase64(text)
        }
    }

    /// RFC 4648, either alphabet, padded or not.
    private static func decodedBase64(_ text: [UInt8]) -> [UInt8]? {
        let padding = text.reversed().prefix { $0 == UInt8(ascii: "=") }.count
        let digits = text.dropLast(padding)
        guard padding == 0 || padding <= 2 && text.count.isMultiple(of: 4), digits.count % 4 != 1 else { return nil }
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var bytes: [UInt8] = []
        var bits = 0
        var held = 0
        for digit in digits {
            let plain =
                digit == UInt8(ascii: "-") ? UInt8(ascii: "+") : digit == UInt8(ascii: "_") ? UInt8(ascii: "/") : digit
            guard let value = alphabet.firstIndex(of: plain) else { return nil }
            bits = (bits << 6 | value) & 0xFFFF
            held += 6
            if held >= 8 {
                held -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> held))
            }
        }
        return bytes.isEmpty || bits & (1 << held - 1) != 0 ? nil : bytes
    }
}
