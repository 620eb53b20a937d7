internal import SMSBridgeAddresses
internal import SMSBridgeHTTPServer

/// From where callers may come.
///
/// A connection from a trusted proxy comes from whom the proxy says, in `X-Forwarded-For`: all its lines are one list,
/// and of that the rightmost address that is no trusted proxy's counts, for each proxy adds on the right whom it has
/// seen, and what is further left can be forged. `X-Forwarded-For` of other peers is ignored, and so is every other
/// header.
struct AddressCheck: Sendable {
    private let allowed: [AddressRange]
    private let trusted: [AddressRange]

    static let header = Array("x-forwarded-for".utf8)

    /// - Returns: nil when callers may come from anywhere.
    init?(allowed: [AddressRange], trusted: [AddressRange]) {
        guard !allowed.isEmpty else { return nil }
        self.allowed = allowed
        self.trusted = trusted
    }

    func admits(_ peer: PeerAddress, _ head: borrowing RequestHead, _ bytes: RawSpan) -> Bool {
        guard trusted.contain(peer) else { return allowed.contain(peer) }
        var lines: [Cut] = []
        head.forEachHeader { name, value in
            if bytes.matches(name, lowercase: Self.header) { lines.append(value) }
        }
        return admits(peer, lines, bytes)
    }

    /// - Parameter lines: the values of all `X-Forwarded-For` headers.
    func admits(_ peer: PeerAddress, _ lines: [Cut], _ bytes: RawSpan) -> Bool {
        client(behind: peer, lines, bytes).map { allowed.contain($0) } ?? false
    }

    /// The client of the first of our proxies; the leftmost proxy where the list holds no other address, as for a probe
    /// of its own. Nil when something on the way there is no address.
    func client(behind peer: PeerAddress, _ lines: [Cut], _ bytes: RawSpan) -> PeerAddress? {
        guard trusted.contain(peer) else { return peer }
        var client = peer
        for line in lines.reversed() {
            var end = line.end
            while true {
                var start = end
                while start > line.offset, bytes.byte(start - 1) != UInt8(ascii: ",") { start -= 1 }
                guard let address = PeerAddress(text(start, end, bytes)) else { return nil }
                client = address
                if !trusted.contain(address) { return address }
                if start == line.offset { break }
                end = start - 1
            }
        }
        return client
    }

    /// A member of the list, without the blanks around it.
    private func text(_ start: Int, _ end: Int, _ bytes: RawSpan) -> String {
        var start = start
        var end = end
        func isBlank(_ index: Int) -> Bool { [UInt8(ascii: " "), UInt8(ascii: "\t")].contains(bytes.byte(index)) }
        while start < end, isBlank(start) { start += 1 }
        while end > start, isBlank(end - 1) { end -= 1 }
        return bytes.extracting(start..<end).withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }
}

/// The addresses that SMSPortal sends webhooks from.
package enum VendorAddresses {
    /// As published for 20 October 2025 and later.
    package static let texts = ["102.205.164.49", "102.205.166.49"]
}
