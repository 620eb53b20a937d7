package import SMSBridgeAddresses

/// What a balancer that passes TCP through says, before anything else, of where a client comes from: the PROXY
/// protocol, versions 1 and 2 (haproxy's `doc/proxy-protocol.txt`).
///
/// Pure: bytes in, a verdict out. It never asks for bytes behind the header, and nothing in it is unbounded.
package enum ProxyHeader {
    package enum Verdict: Equatable {
        /// It may become a header.
        case needMore
        /// A header of so many bytes. No source: the connection is the balancer's own, or of a kind without addresses.
        case header(byteCount: Int, source: PeerAddress?)
        /// It is no header, whatever follows.
        case malformed
    }

    /// The longest line of version 1, with its end (section 2.1).
    package static let maxLineBytes = 107
    /// The longest header of version 2 that is read, with everything that a balancer adds to the addresses.
    package static let maxBinaryBytes = 4096

    private static let lineStart: [UInt8] = Array("PROXY ".utf8)
    private static let signature: [UInt8] = [
        0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A,
    ]

    /// - Parameter bytes: what the connection has begun with.
    package static func read(_ bytes: RawSpan) -> Verdict {
        guard bytes.byteCount > 0 else { return .needMore }
        if ByteScan.byte(bytes, 0) == lineStart[0] { return readLine(bytes) }
        return readBinary(bytes)
    }

    /// Whether the bytes begin as `start` does, as far as they have come; nil for: they do, and more must come.
    private static func begins(_ bytes: RawSpan, with start: [UInt8]) -> Bool? {
        for index in 0..<min(bytes.byteCount, start.count) where ByteScan.byte(bytes, index) != start[index] {
            return false
        }
        return bytes.byteCount < start.count ? nil : true
    }

    // MARK: Version 1: a line

    private static func readLine(_ bytes: RawSpan) -> Verdict {
        switch begins(bytes, with: lineStart) {
        case nil: return .needMore
        case false?: return .malformed
        case true?: break
        }
        let limit = min(bytes.byteCount, maxLineBytes)
        let end = ByteScan.firstControl(bytes, from: lineStart.count, to: limit)
        guard end < limit else { return limit == maxLineBytes ? .malformed : .needMore }
        guard ByteScan.byte(bytes, end) == UInt8(ascii: "\r"), end + 1 < maxLineBytes else { return .malformed }
        guard end + 1 < bytes.byteCount else { return .needMore }
        guard ByteScan.byte(bytes, end + 1) == UInt8(ascii: "\n") else { return .malformed }
        let line = bytes.withUnsafeBytes { String(decoding: $0[lineStart.count..<end], as: UTF8.self) }
        let words = line.split(separator: " ", omittingEmptySubsequences: false)
        // Section 2.1: what follows UNKNOWN is ignored, and the connection's own address is kept.
        if words[0] == "UNKNOWN" { return .header(byteCount: end + 2, source: nil) }
        guard words.count == 5, let isSix = ["TCP4": false, "TCP6": true][words[0]],
            let source = address(words[1], isSix), address(words[2], isSix) != nil,
            let port = port(words[3]), Self.port(words[4]) != nil
        else { return .malformed }
        return .header(byteCount: end + 2, source: PeerAddress(high: source.high, low: source.low, port: port))
    }

    private static func address(_ text: Substring, _ isSix: Bool) -> PeerAddress? {
        guard text.utf8.contains(UInt8(ascii: ":")) == isSix, !text.hasPrefix("[") else { return nil }
        return PeerAddress(text)
    }

    private static func port(_ text: Substring) -> UInt16? {
        guard text.utf8.allSatisfy(ByteScan.isDigit), text == "0" || !text.hasPrefix("0") else { return nil }
        return UInt16(text)
    }

    // MARK: Version 2: binary

    private static func readBinary(_ bytes: RawSpan) -> Verdict {
        switch begins(bytes, with: signature) {
        case nil: return .needMore
        case false?: return .malformed
        case true?: break
        }
        guard bytes.byteCount > signature.count else { return .needMore }
        let command = ByteScan.byte(bytes, 12)
        guard command == 0x20 || command == 0x21 else { return .malformed }
        guard bytes.byteCount >= 16 else { return .needMore }
        let length = Int(ByteScan.byte(bytes, 14)) << 8 | Int(ByteScan.byte(bytes, 15))
        let end = 16 + length
        guard end <= maxBinaryBytes else { return .malformed }
        let family = ByteScan.byte(bytes, 13)
        let addressBytes: Int
        switch family {
        case 0x11: addressBytes = 12
        case 0x21: addressBytes = 36
        // Section 2.2: other kinds are accepted, and the connection's own address is kept; so is it for LOCAL.
        case 0x00, 0x12, 0x22, 0x31, 0x32: addressBytes = 0
        default: return .malformed
        }
        let isLocal = command == 0x20
        guard isLocal || length >= addressBytes else { return .malformed }
        guard bytes.byteCount >= end else { return .needMore }
        if isLocal || addressBytes == 0 { return .header(byteCount: end, source: nil) }
        guard areWhole(bytes, from: 16 + addressBytes, to: end) else { return .malformed }
        let source: PeerAddress
        if family == 0x11 {
            source = PeerAddress(
                high: 0, low: 0xFFFF_0000_0000 | number(bytes, 16, 4), port: UInt16(number(bytes, 24, 2)))
        } else {
            source = PeerAddress(
                high: number(bytes, 16, 8), low: number(bytes, 24, 8), port: UInt16(number(bytes, 48, 2)))
        }
        return .header(byteCount: end, source: source)
    }

    /// Whether the addresses are followed by type-length-value fields only, each within the header.
    private static func areWhole(_ bytes: RawSpan, from start: Int, to end: Int) -> Bool {
        var index = start
        while index < end {
            guard index + 3 <= end else { return false }
            index += 3 + Int(number(bytes, index + 1, 2))
        }
        return index == end
    }

    private static func number(_ bytes: RawSpan, _ offset: Int, _ count: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in offset..<(offset + count) { value = value << 8 | UInt64(ByteScan.byte(bytes, index)) }
        return value
    }
}
