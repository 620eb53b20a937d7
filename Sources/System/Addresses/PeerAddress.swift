#if canImport(Glibc)
package import Glibc
#elseif canImport(Musl)
package import Musl
#else
package import Darwin
#endif

/// The address that a connection comes from.
package struct PeerAddress: Sendable, Hashable, CustomStringConvertible {
    /// The first eight bytes of the IPv6 address, most significant first.
    package let high: UInt64
    /// The last eight; an IPv4 address is mapped (`::ffff:192.0.2.1`).
    package let low: UInt64
    package let port: UInt16

    package init(high: UInt64, low: UInt64, port: UInt16) {
        self.high = high
        self.low = low
        self.port = port
    }

    /// An address of another family than IPv4 and IPv6 becomes `::`.
    package init(_ storage: sockaddr_storage) {
        switch Int32(storage.ss_family) {
        case AF_INET:
            let address = withUnsafeBytes(of: storage) { $0.loadUnaligned(as: sockaddr_in.self) }
            self.init(
                high: 0, low: 0xFFFF_0000_0000 | UInt64(UInt32(bigEndian: address.sin_addr.s_addr)),
                port: UInt16(bigEndian: address.sin_port))
        case AF_INET6:
            let address = withUnsafeBytes(of: storage) { $0.loadUnaligned(as: sockaddr_in6.self) }
            let (high, low) = Self.halves(of: address.sin6_addr)
            self.init(high: high, low: low, port: UInt16(bigEndian: address.sin6_port))
        default:
            self.init(high: 0, low: 0, port: 0)
        }
    }

    /// Reads an address as people, `X-Forwarded-For` and this type's `description` write it: `192.0.2.1`,
    /// `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`. Without a port it is 0.
    ///
    /// - Returns: nil for anything else: names, short forms such as `10.1`, leading zeros, zones (`fe80::1%eth0`).
    package init?(_ text: some StringProtocol) {
        // The longest is an IPv6 address that ends as an IPv4 one, in brackets, with a port.
        guard text.utf8.count <= 45 + 8 else { return nil }
        var host = String(text)
        var port: UInt16 = 0
        if host.utf8.first == UInt8(ascii: "[") {
            guard let close = host.utf8.firstIndex(of: UInt8(ascii: "]")) else { return nil }
            let rest = host[host.utf8.index(after: close)...]
            guard let read = Self.port(rest) else { return nil }
            port = read
            host = String(host[..<close].dropFirst())
            guard host.utf8.contains(UInt8(ascii: ":")) else { return nil }
        } else if let colon = host.utf8.firstIndex(of: UInt8(ascii: ":")),
            host.utf8.lastIndex(of: UInt8(ascii: ":")) == colon
        {
            guard let read = Self.port(host[colon...]) else { return nil }
            port = read
            host = String(host[..<colon])
        }
        self.init(bare: host, port: port)
    }

    /// Reads an address that nothing stands around.
    init?(bare text: String, port: UInt16 = 0) {
        // As C text it would end at the NUL.
        guard text.utf8.count <= 45, !text.utf8.contains(0) else { return nil }
        var six = in6_addr()
        var four = in_addr()
        if inet_pton(AF_INET6, text, &six) == 1 {
            let (high, low) = Self.halves(of: six)
            self.init(high: high, low: low, port: port)
        } else if inet_pton(AF_INET, text, &four) == 1 {
            self.init(high: 0, low: 0xFFFF_0000_0000 | UInt64(UInt32(bigEndian: four.s_addr)), port: port)
        } else {
            return nil
        }
    }

    /// What may follow an address: nothing, or a colon and a number.
    private static func port(_ text: Substring) -> UInt16? {
        if text.isEmpty { return 0 }
        let digits = text.utf8.dropFirst()
        guard text.utf8.first == UInt8(ascii: ":"), (1...5).contains(digits.count),
            digits.allSatisfy({ (48...57).contains($0) })
        else { return nil }
        return UInt16(Substring(digits))
    }

    private static func halves(of address: in6_addr) -> (high: UInt64, low: UInt64) {
        withUnsafeBytes(of: address) { bytes in
            (
                UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)),
                UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            )
        }
    }

    /// The IPv4 address, when it is one.
    package var ipv4: UInt32? {
        high == 0 && low >> 32 == 0xFFFF ? UInt32(truncatingIfNeeded: low) : nil
    }

    /// The address as people write it, without the port.
    package var host: String {
        if let ipv4 {
            return "\(ipv4 >> 24).\(ipv4 >> 16 & 0xFF).\(ipv4 >> 8 & 0xFF).\(ipv4 & 0xFF)"
        }
        var address = in6_addr()
        withUnsafeMutableBytes(of: &address) { bytes in
            bytes.storeBytes(of: high.bigEndian, as: UInt64.self)
            bytes.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
        }
        var text = [CChar](repeating: 0, count: 46)
        guard inet_ntop(AF_INET6, &address, &text, socklen_t(text.count)) != nil else { return "::" }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    package var description: String {
        ipv4 == nil ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}
