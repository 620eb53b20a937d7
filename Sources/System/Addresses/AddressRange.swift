/// The addresses that begin with the same bits: `10.0.0.0/8`, `2001:db8::/32`, or one address by itself.
///
/// IPv4 is one thing however it is written: `::ffff:192.0.2.1` is `192.0.2.1`, and `::ffff:10.0.0.0/104` is
/// `10.0.0.0/8`. A range of IPv6 holds no IPv4 address: all addresses are `0.0.0.0/0` and `::/0`.
package struct AddressRange: Sendable, Hashable, CustomStringConvertible {
    private let base: PeerAddress
    /// Bits that count, of 128.
    private let bits: Int
    private let highMask: UInt64
    private let lowMask: UInt64

    /// Why a text is no range of addresses; `description` is a part of a sentence.
    package struct Problem: Error, Sendable, Equatable, CustomStringConvertible {
        package let description: String
    }

    /// Reads `address/bits`, or an address alone, which is the range of just this one.
    ///
    /// - Throws: The problem. Bits behind the prefix are an error, not dropped: `10.1.2.3/8` may be a mistyped `/32`
    ///   as well as a mistyped `10.0.0.0`, and one of them lets sixteen million addresses in.
    package init(_ text: some StringProtocol) throws(Problem) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = PeerAddress(bare: String(parts[0])) else {
            let hasPort = PeerAddress(parts[0]) != nil
            throw Problem(
                description: hasPort
                    ? "an address here stands without brackets and port" : "not an IPv4 or IPv6 address")
        }
        let isShort = !parts[0].utf8.contains(UInt8(ascii: ":"))
        let width = isShort ? 32 : 128
        var length = width
        if parts.count == 2 {
            let digits = parts[1].utf8
            guard (1...3).contains(digits.count), digits.allSatisfy({ (48...57).contains($0) }),
                digits.count == 1 || digits.first != UInt8(ascii: "0"), let read = Int(parts[1]), read <= width
            else {
                throw Problem(
                    description: "the prefix length is a whole number from 0 to \(width)"
                        + (parts[1].contains(".") ? ", not a mask" : ""))
            }
            length = read
        }
        bits = isShort ? length + 96 : length
        highMask = bits == 0 ? 0 : bits >= 64 ? .max : .max << UInt64(64 - bits)
        lowMask = bits <= 64 ? 0 : bits == 128 ? .max : .max << UInt64(128 - bits)
        base = PeerAddress(high: address.high & highMask, low: address.low & lowMask, port: 0)
        guard base == address else {
            let meant = isShort || base.ipv4 == nil ? base.host : "::ffff:\(base.host)"
            throw Problem(
                description: "the address has bits behind the prefix: \(meant)/\(length) is the range, and "
                    + "\(parts[0])/\(width) the one address")
        }
    }

    /// Whether the address is in the range, whatever its port.
    package func contains(_ address: PeerAddress) -> Bool {
        guard address.high & highMask == base.high, address.low & lowMask == base.low else { return false }
        return bits >= 96 || address.ipv4 == nil
    }

    /// The first and the last address of a range of IPv4.
    fileprivate var ipv4Bounds: ClosedRange<UInt64>? {
        guard bits >= 96, base.high == 0, base.low >> 32 == 0xFFFF else { return nil }
        let first = base.low & 0xFFFF_FFFF
        return first...(first | ~lowMask & 0xFFFF_FFFF)
    }

    /// The first half of the first and the last address of a range of IPv6.
    fileprivate var ipv6Bounds: ClosedRange<UInt64>? {
        bits <= 64 ? base.high...(base.high | ~highMask) : nil
    }

    /// As it is written: an IPv4 range in its short form.
    package var description: String {
        bits >= 96 && base.ipv4 != nil ? "\(base.host)/\(bits - 96)" : "\(base.host)/\(bits)"
    }
}

extension Sequence<AddressRange> {
    /// Whether one of the ranges holds the address.
    package func contain(_ address: PeerAddress) -> Bool { contains { $0.contains(address) } }

    /// Whether each IPv4 address is in one of the ranges.
    package var coverEveryIPv4Address: Bool {
        // The part of a range behind the first 96 bits is that of IPv4.
        Self.cover(compactMap(\.ipv4Bounds), upTo: UInt64(UInt32.max))
    }

    /// Whether each IPv6 address is in one of the ranges. Those of more than 64 bits are too narrow to matter.
    package var coverEveryIPv6Address: Bool { Self.cover(compactMap(\.ipv6Bounds), upTo: .max) }

    private static func cover(_ bounds: [ClosedRange<UInt64>], upTo last: UInt64) -> Bool {
        var next: UInt64 = 0
        for range in bounds.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if range.lowerBound > next { return false }
            if range.upperBound >= last { return true }
            next = Swift.max(next, range.upperBound + 1)
        }
        return false
    }
}
