import CSMSBridgeOpenSSL

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Signs as RFC 2104 says it, from the text and in no other way than by the book.
struct Signer: Sendable {
    let key: String

    static var now: Int64 { Int64(time(nil)) }

    func hex(_ message: String) -> String { Self.hex(code(Array(message.utf8))) }

    func code(_ message: [UInt8]) -> [UInt8] {
        var block = Array(key.utf8)
        if block.count > 64 { block = Self.sha256(block) }
        block += [UInt8](repeating: 0, count: 64 - block.count)
        return Self.sha256(block.map { $0 ^ 0x5C } + Self.sha256(block.map { $0 ^ 0x36 } + message))
    }

    static func sha256(_ bytes: [UInt8]) -> [UInt8] {
        var context = SHA256_CTX()
        var digest = [UInt8](repeating: 0, count: 32)
        _ = smsbridge_sha256(&context, bytes, bytes.count, &digest)
        return digest
    }

    static func hex(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    static func bytes(_ hex: String) -> [UInt8] {
        stride(from: 0, to: hex.utf8.count, by: 2).compactMap { UInt8(hex.dropFirst($0).prefix(2), radix: 16) }
    }

    static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")

    static func base64(_ bytes: [UInt8]) -> String {
        var text = ""
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let number = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
            for digit in 0..<4 {
                text.append(digit <= group.count ? alphabet[number >> (18 - 6 * digit) & 63] : "=")
            }
        }
        return text
    }
}
