import SMSBridgeAddresses
import SMSBridgeHTTPServer
import SMSBridgeTestSupport
import Testing

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

@Suite("PROXY protocol")
struct ProxyHeaderTests {
    /// A header of version 2: command and family as they come, addresses and what follows them.
    static func binary(
        _ command: UInt8, _ family: UInt8, _ content: [UInt8], length: Int? = nil
    ) -> [UInt8] {
        let length = length ?? content.count
        let start: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A, command, family]
        return start + [UInt8(length >> 8), UInt8(length & 0xFF)] + content
    }

    /// 192.0.2.1:56324 → 198.51.100.7:443
    static let four: [UInt8] = [192, 0, 2, 1, 198, 51, 100, 7, 0xDC, 0x04, 0x01, 0xBB]
    /// [2001:db8::1]:56324 → [2001:db8::7]:443
    static let six: [UInt8] =
        [0x20, 0x01, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [1, 0x20, 0x01, 0x0D, 0xB8]
        + [UInt8](repeating: 0, count: 11) + [7, 0xDC, 0x04, 0x01, 0xBB]
    /// ALPN "h2", and a NOOP of four bytes.
    static let extras: [UInt8] = [0x01, 0x00, 0x02, 0x68, 0x32, 0x04, 0x00, 0x04, 0, 0, 0, 0]

    static func line(_ text: String) -> [UInt8] { Array("\(text)\r\n".utf8) }

    /// Headers, and whom they name; nil: nobody.
    static let right: [(header: [UInt8], source: String?)] = [
        (line("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443"), "192.0.2.1:56324"),
        (line("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535"), "255.255.255.255:65535"),
        (line("PROXY TCP4 0.0.0.0 0.0.0.0 0 0"), "0.0.0.0:0"),
        (line("PROXY TCP6 2001:db8::1 2001:db8::7 56324 443"), "[2001:db8::1]:56324"),
        (line("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2"), "192.0.2.1:1"),
        (
            line(
                "PROXY TCP6 ffff:f:f:ffff:ffff:ffff:ffff:ffff ffff:f:f:ffff:ffff:ffff:ffff:ffff 65535 65535"),
            "[ffff:f:f:ffff:ffff:ffff:ffff:ffff]:65535"
        ),
        (line("PROXY UNKNOWN"), nil), (line("PROXY UNKNOWN whatever it says"), nil),
        (line("PROXY UNKNOWN " + String(repeating: "f", count: 91)), nil),
        (binary(0x21, 0x11, four), "192.0.2.1:56324"), (binary(0x21, 0x21, six), "[2001:db8::1]:56324"),
        (binary(0x21, 0x11, four + extras), "192.0.2.1:56324"),
        (binary(0x21, 0x21, six + extras), "[2001:db8::1]:56324"),
        (binary(0x21, 0x11, four + [0xEE, 0x0F, 0xE1] + [UInt8](repeating: 7, count: 4065)), "192.0.2.1:56324"),
        (binary(0x20, 0x00, []), nil), (binary(0x20, 0x11, four), nil), (binary(0x20, 0x00, extras), nil),
        (binary(0x20, 0x11, [1, 2, 3]), nil), (binary(0x21, 0x00, [9, 9, 9]), nil),
        (binary(0x21, 0x12, four), nil), (binary(0x21, 0x31, [UInt8](repeating: 0, count: 216)), nil),
    ]

    @Test("a right header is understood, as soon as it is whole, and not a byte behind it is touched")
    func rightHeaders() {
        for (header, source) in Self.right {
            for length in 0..<header.count {
                #expect(read(Array(header[..<length])) == .needMore, "\(length) of \(header.prefix(60))")
            }
            let verdict = ProxyHeader.Verdict.header(
                byteCount: header.count, source: source.flatMap { PeerAddress($0) })
            #expect(read(header) == verdict)
            for next: [UInt8] in [Array("GET / HTTP/1.1\r\n".utf8), [0x16, 3, 1], [0], header] {
                #expect(read(header + next) == verdict)
            }
        }
    }

    static let wrong: [[UInt8]] = [
        Array("GET / HTTP/1.1\r\n".utf8), Array("POST /".utf8), [0x16, 0x03, 0x01], [0],
        line("proxy TCP4 1.1.1.1 1.1.1.1 1 1"),
        line("PROXY  TCP4 1.1.1.1 1.1.1.1 1 1"), line("PROXY TCP4  1.1.1.1 1.1.1.1 1 1"),
        line("PROXY TCP4 1.1.1.1 1.1.1.1 1 1 "), line("PROXY TCP4 1.1.1.1 1.1.1.1 1"),
        line("PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1"),
        line("PROXY TCP5 1.1.1.1 1.1.1.1 1 1"), line("PROXY UDP4 1.1.1.1 1.1.1.1 1 1"), line("PROXY TCP4"),
        line("PROXY "),
        line("PROXY TCP4 ::1 ::1 1 1"), line("PROXY TCP6 1.1.1.1 1.1.1.1 1 1"), line("PROXY TCP6 [::1] ::1 1 1"),
        line("PROXY TCP4 1.1.1.1:5 1.1.1.1 1 1"), line("PROXY TCP4 1.1.1 1.1.1.1 1 1"),
        line("PROXY TCP4 01.1.1.1 1.1.1.1 1 1"),
        line("PROXY TCP4 1.1.1.1 example.com 1 1"), line("PROXY TCP4 1.1.1.1 1.1.1.1 65536 1"),
        line("PROXY TCP4 1.1.1.1 1.1.1.1 1 65536"), line("PROXY TCP4 1.1.1.1 1.1.1.1 01 1"),
        line("PROXY TCP4 1.1.1.1 1.1.1.1 -1 1"),
        line("PROXY TCP4 1.1.1.1 1.1.1.1 +1 1"), line("PROXY TCP4 1.1.1.1 1.1.1.1  1"), line("PROXY UNKNOWNX"),
        Array("PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n".utf8), Array("PROXY TCP4 1.1.1.1\t1.1.1.1 1 1\r\n".utf8),
        Array("PROXY TCP4 1.1.1.1 1.1.1.1 1 1\rX".utf8), Array("PROXY UNKNOWN \0\r\n".utf8),
        line("PROXY UNKNOWN " + String(repeating: "f", count: 92)),
        Array(("PROXY " + String(repeating: "f", count: 101)).utf8),
        binary(0x11, 0x11, four), binary(0x22, 0x11, four), binary(0x31, 0x11, four), binary(0x21, 0x10, four),
        binary(0x21, 0x13, four), binary(0x21, 0x41, four), binary(0x21, 0x11, Array(four.dropLast())),
        binary(0x21, 0x21, Array(six.dropLast())), binary(0x21, 0x21, four), binary(0x21, 0x11, four + [1]),
        binary(0x21, 0x11, four + [1, 0]), binary(0x21, 0x11, four + [1, 0, 3, 1, 2]),
        binary(0x21, 0x11, four + [1, 0xFF, 0xFF]), binary(0x20, 0x00, [], length: 4081),
        binary(0x21, 0x11, four, length: 65_535),
        Array(binary(0x21, 0x11, four).dropFirst(1)), [0x0D, 0x0A, 0x0D, 0x0A, 0x01],
    ]

    @Test("what is no header is none, whatever follows it", arguments: wrong)
    func wrongHeaders(bytes: [UInt8]) {
        #expect(read(bytes) == .malformed)
        #expect(read(bytes + [UInt8](repeating: 0x20, count: 8192)) == .malformed)
        // Nor has any beginning of it been taken for a whole one.
        for length in 0..<bytes.count {
            let verdict = read(Array(bytes[..<length]))
            #expect(verdict == .needMore || verdict == .malformed)
        }
    }

    @Test("random bytes behind a right beginning neither trap nor go on for ever")
    func random() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var numbers = SeededRandom(seed: seed)
        for _ in 0..<20_000 {
            var bytes = Self.right.randomElement(using: &numbers)!.header
            for _ in 0..<Int.random(in: 1...4, using: &numbers) {
                bytes[Int.random(in: 0..<bytes.count, using: &numbers)] = UInt8.random(in: 0...255, using: &numbers)
            }
            switch read(bytes + [UInt8](repeating: 0x41, count: 5000)) {
            case .needMore: Issue.record("more than 4096 bytes are asked for, seed \(seed): \(bytes)")
            case .header(let count, _): #expect(count <= ProxyHeader.maxBinaryBytes, "seed \(seed)")
            case .malformed: break
            }
        }
    }

    private func read(_ bytes: [UInt8]) -> ProxyHeader.Verdict { bytes.withUnsafeBytes { ProxyHeader.read($0.bytes) } }

    // MARK: Through the server

    private static let get = "GET /now HTTP/1.1\r\nHost: a\r\n\r\n"

    @Test(
        "the handler is told of the client that a header names, in any pieces, before TLS too", arguments: Wire.allCases
    )
    func peer(wire: Wire) throws {
        let server = try TestServer(wire) { $0.proxyProtocolSources = [try! AddressRange("127.0.0.0/8")] }
        for (header, source) in Self.right {
            for pieces in [
                [header.count], [1, header.count - 1], [16, header.count - 16],
                Array(repeating: 1, count: header.count),
            ]
            where pieces.allSatisfy({ $0 >= 0 }) && pieces.count < 200 {
                let client = try server.connectPlain()
                var rest = header[...]
                for piece in pieces {
                    client.send(rest.prefix(piece))
                    rest = rest.dropFirst(piece)
                    if pieces.count > 1 { usleep(300) }
                }
                if wire == .tls { try client.startTLS() }
                client.send(Self.get)
                #expect(try client.answer().status == 200)
                client.close()
            }
            let told = try #require(server.told.now.peers.last)
            if let source { #expect(told == PeerAddress(source)) } else { #expect(told.host == "127.0.0.1") }
        }
        // The header and what follows in one piece.
        let client = try server.connectPlain()
        if wire == .plain {
            client.send(Self.right[0].header + Array((Self.get + Self.get).utf8))
            #expect(try client.answer().status == 200)
            #expect(try client.answer().status == 200)
        }
        #expect(server.counters.proxyHeadersMalformed == 0 && server.counters.proxyHeadersUntrusted == 0)
        server.stop()
    }

    @Test("without a right header nothing is served", arguments: Wire.allCases)
    func malformed(wire: Wire) throws {
        let server = try TestServer(wire) { $0.proxyProtocolSources = [try! AddressRange("127.0.0.1")] }
        for bytes in Self.wrong {
            let client = try server.connectPlain()
            client.send(bytes)
            #expect(client.rest().bytes.isEmpty)
        }
        #expect(server.counters.proxyHeadersMalformed == UInt64(Self.wrong.count))
        #expect(server.counters.requests == 0 && server.counters.responses == 0)
        server.stop()
    }

    @Test("a header of a stranger's is not even read")
    func untrusted() throws {
        let server = try TestServer { $0.proxyProtocolSources = [try! AddressRange("127.0.0.2/31")] }
        let client = try server.connectPlain()
        client.send(Self.right[0].header + Array(Self.get.utf8))
        #expect(client.rest().bytes.isEmpty)
        #expect(server.counters.proxyHeadersUntrusted == 1 && server.counters.requests == 0)
        server.stop()
    }

    @Test("a header that does not come is not waited for longer than a head")
    func late() throws {
        let server = try TestServer {
            $0.proxyProtocolSources = [try! AddressRange("127.0.0.0/8")]
            $0.headTimeout = .milliseconds(300)
        }
        for start in ["", "PROXY TCP4 1.1.1.1"] {
            let client = try server.connectPlain()
            client.send(start)
            let rest = client.rest()
            #expect(rest.bytes.isEmpty && rest.end != .silence)
        }
        #expect(server.counters.headTimeouts == 2)
        server.stop()
    }

    @Test("a client that leaves within its header leaves nothing behind")
    func leaves() throws {
        let server = try TestServer { $0.proxyProtocolSources = [try! AddressRange("127.0.0.0/8")] }
        let orderly = try server.connectPlain()
        orderly.send("PROXY")
        orderly.close()
        let reset = try server.connectPlain()
        reset.send("PROXY")
        usleep(2000)
        reset.abort()
        #expect(server.wait { $0.server.openConnections == 0 && $0.server.counters.accepted == 2 })
        server.stop()
    }
}
