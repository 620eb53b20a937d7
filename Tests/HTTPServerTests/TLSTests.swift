import CSMSBridgeOpenSSL
import SMSBridgeAddresses
import SMSBridgeHTTPServer
import SMSBridgeTestSupport
import SMSBridgeThreads
import Testing

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

@Suite("TLS", .serialized)
struct TLSTests {
    private let get = "GET /now HTTP/1.1\r\nHost: a\r\n\r\n"

    // MARK: What is agreed on

    @Test("TLS 1.2 and 1.3 are spoken", arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func versions(version: Int32) throws {
        let server = try TestServer(.tls)
        let client = try server.connectPlain()
        try client.startTLS(.init(versions: version...version, trusts: TestCertificate.server))
        #expect(SSL_version(client.ssl) == version)
        #expect(SSL_session_reused(client.ssl) == 0)
        client.send(get)
        #expect(try client.answer().text == "now")
        #expect(server.counters.handshakes == 1)
        server.stop()
    }

    @Test("older versions are refused with an alert, and counted", arguments: [TLS1_VERSION, TLS1_1_VERSION])
    func oldVersions(version: Int32) throws {
        let server = try TestServer(.tls)
        let client = try server.connectPlain()
        #expect { try client.startTLS(.init(versions: version...version)) } throws: {
            "\($0)".contains("protocol version")
        }
        #expect(server.wait { $0.server.counters.handshakes(failedBy: .version) == 1 })
        server.stop()
    }

    @Test(
        "weak ciphers are refused",
        arguments: [
            "AES128-SHA", "AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "NULL", "aNULL", "DHE-RSA-AES128-GCM-SHA256",
        ])
    func ciphers(name: String) throws {
        let server = try TestServer(.tls)
        let client = try server.connectPlain()
        #expect(throws: TestClient.Failure.self) {
            try client.startTLS(.init(versions: TLS1_2_VERSION...TLS1_2_VERSION, ciphers: "\(name):@SECLEVEL=0"))
        }
        client.close()
        #expect(
            server.wait {
                $0.server.counters.handshakes(failedBy: .cipher) + $0.server.counters.handshakes(failedBy: .cutOff) == 1
            })
        server.stop()
    }

    @Test(
        "HTTP/1.1 is agreed on by ALPN, and is what a client without ALPN gets",
        arguments: [["http/1.1"], ["h2", "http/1.1"], []])
    func alpn(offered: [String]) throws {
        let server = try TestServer(.tls)
        let client = try server.connectPlain()
        try client.startTLS(.init(protocols: offered))
        var name: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        SSL_get0_alpn_selected(client.ssl, &name, &count)
        let chosen = String(decoding: UnsafeBufferPointer(start: name, count: Int(count)), as: UTF8.self)
        #expect(chosen == (offered.isEmpty ? "" : "http/1.1"))
        client.send(get)
        #expect(try client.answer().status == 200)
        server.stop()
    }

    @Test(
        "a client that speaks other protocols only is told so", arguments: [["h2"], ["h2", "http/1.0", "http/1.1x"]])
    func noProtocol(offered: [String]) throws {
        let server = try TestServer(.tls)
        let client = try server.connectPlain()
        #expect { try client.startTLS(.init(protocols: offered)) } throws: {
            "\($0)".contains("no application protocol")
        }
        #expect(server.wait { $0.server.counters.handshakes(failedBy: .applicationProtocol) == 1 })
        server.stop()
    }

    @Test("a client that wants other keys in the middle is refused, one that changes its own is served")
    func renegotiation() throws {
        let server = try TestServer(.tls)
        let old = try server.connectPlain()
        try old.startTLS(.init(versions: TLS1_2_VERSION...TLS1_2_VERSION))
        old.send(get)
        #expect(try old.answer().status == 200)
        SSL_renegotiate(old.ssl)
        #expect(SSL_do_handshake(old.ssl) <= 0)
        #expect(server.counters.handshakes == 1)
        let new = try server.connect()
        for round in 0..<200 {
            #expect(
                SSL_key_update(new.ssl, round % 2 == 0 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED) == 1)
            new.send(get)
            #expect(try new.answer().status == 200)
        }
        server.stop()
    }

    // MARK: Bytes

    @Test("large bodies pass in both directions, and what was read ahead is served")
    func large() throws {
        let server = try TestServer(.tls)
        let client = try server.connect(receiveBuffer: 8192)
        let body = String(repeating: "0123456789abcdef", count: 16_000)
        client.send("POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)" + get + get)
        #expect(try client.answer().body == [UInt8](repeating: 97, count: 4 << 20))
        #expect(try client.answer().text == "now")
        #expect(try client.answer().text == "now")
        #expect(server.told.now.bodies.first == Array(body.utf8))
        server.stop()
    }

    @Test("a record that arrives byte by byte is a record")
    func bytewise() throws {
        let server = try TestServer(.tls)
        let client = try server.connectTrickling()
        try client.startTLS()
        for _ in 0..<2 {
            client.send("POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
            #expect(try client.answer().status == 200)
        }
        #expect(server.told.now.bodies == [Array("hello".utf8), Array("hello".utf8)])
        client.close()
        server.stop()
    }

    @Test("a client that closes its sending side gets its answers", arguments: [true, false])
    func halfClosed(saysFarewell: Bool) throws {
        let server = try TestServer(.tls)
        let client = try server.connect()
        client.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n" + get)
        if saysFarewell { client.endWriting() } else { client.endWritingAbruptly() }
        #expect(server.wait { $0.server.requestsInFlight == 1 })
        usleep(20_000)
        server.onLoop { $0.answerHeld() }
        #expect(try client.answer().text == "now")
        #expect(try client.answer().text == "now")
        #expect(client.rest().end == .orderly)
        server.stop()
    }

    @Test("the server's end is said, so that a client knows that nothing was cut off")
    func farewell() throws {
        let server = try TestServer(.tls) { $0.idleTimeout = .milliseconds(200) }
        let closing = try server.connect()
        closing.send("GET /now HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        #expect(try closing.answer().status == 200)
        #expect(closing.rest().end == .orderly)
        let idle = try server.connect()
        idle.send(get)
        #expect(try idle.answer().status == 200)
        #expect(idle.rest().end == .orderly)
        server.stop()
    }

    @Test("records without content and warnings keep nobody's loop busy")
    func emptyRecords() throws {
        let server = try TestServer(.tls)
        let client = try server.connect()
        for _ in 0..<20_000 where SSL_key_update(client.ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 {
            if SSL_do_handshake(client.ssl) != 1 { break }
        }
        let other = try server.connect()
        other.send(get)
        #expect(try other.answer().status == 200)
        server.stop()
    }

    // MARK: Handshakes that come to nothing

    @Test(
        "who speaks HTTP without TLS is told so in plain HTTP",
        arguments: ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST /x HTTP/1.1\r\n"])
    func plaintext(request: String) throws {
        let server = try TestServer(.tls)
        let client = try server.connectPlain()
        client.send(request)
        let answer = try client.answer()
        #expect(answer.status == 400 && answer.text.contains("https"))
        #expect(client.rest().end == .orderly)
        #expect(server.counters.handshakes(failedBy: .plaintext) == 1)
        #expect(server.wait { $0.server.openConnections == 0 || $0.server.openHandshakes == 0 })
        server.stop()
    }

    @Test("garbage is answered with an alert at most, and the connection ends")
    func garbage() throws {
        let server = try TestServer(.tls)
        let seed = UInt64.random(in: 0...UInt64.max)
        var numbers = SeededRandom(seed: seed)
        for round in 0..<200 {
            let client = try server.connectPlain()
            var bytes = (0..<600).map { _ in UInt8.random(in: 0...255, using: &numbers) }
            // Half of it has a record's beginning.
            if round % 2 == 0 { bytes.replaceSubrange(0..<5, with: [0x16, 0x03, 0x01, 0x02, 0x00]) }
            client.send(bytes)
            client.endWriting()
            #expect(client.rest().bytes.count < 64, "seed \(seed)")
        }
        #expect(server.wait { $0.server.openHandshakes == 0 })
        #expect(server.counters.handshakes == 0 && server.counters.requests == 0)
        let client = try server.connect()
        client.send(get)
        #expect(try client.answer().status == 200)
        server.stop()
    }

    @Test("a client that refuses the certificate is counted as that")
    func refused() throws {
        let server = try TestServer(.tls)
        let client = try server.connectPlain()
        #expect { try client.startTLS(.init(trusts: TestCertificate("other"))) } throws: {
            "\($0)".contains("certificate verify failed")
        }
        // A close with unread bytes resets the connection, and a reset may overtake the alert: stay open until it is counted.
        withExtendedLifetime(client) {
            #expect(server.wait { $0.server.counters.handshakes(failedBy: .refusedByClient) == 1 })
        }
        server.stop()
    }

    @Test("a handshake that does not get on ends at its own time, before and after its first byte")
    func late() throws {
        let server = try TestServer(.tls) { $0.handshakeTimeout = .milliseconds(300) }
        for start: [UInt8] in [[], [0x16], [0x16, 3, 1, 2, 0, 1, 0]] {
            let client = try server.connectPlain()
            client.send(start)
            let rest = client.rest()
            #expect(rest.bytes.isEmpty && rest.end != .silence)
        }
        #expect(server.counters.handshakes(failedBy: .timeout) == 3)
        #expect(server.onLoop { $0.server.openHandshakes } == 0)
        // A connection that is through is judged by the times of requests.
        let client = try server.connect()
        usleep(600_000)
        client.send(get)
        #expect(try client.answer().status == 200)
        server.stop()
    }

    @Test("too many handshakes: those end that have waited longest, and who answers in time is served")
    func flood() throws {
        let server = try TestServer(.tls) { $0.maxHandshakes = 8 }
        var crowd: [TestClient] = []
        for round in 0..<200 {
            let client = try server.connectPlain()
            if round % 2 == 0 { client.send([0x16, 3, 1, 2, 0, 1, 0]) }
            crowd.append(client)
            if round % 10 == 9 {
                let good = try server.connect()
                good.send(get)
                #expect(try good.answer().status == 200)
                #expect(server.onLoop { $0.server.openHandshakes } <= 8)
            }
        }
        #expect(server.counters.handshakes == 20)
        // A good one takes the place of another for as long as it lasts.
        #expect(server.wait { (192...212).contains($0.server.counters.handshakes(failedBy: .overload)) })
        for client in crowd[..<192] { #expect(client.rest().end != .silence) }
        crowd.removeAll()
        #expect(server.wait { $0.server.openHandshakes == 0 && $0.server.openConnections < 21 })
        server.stop()
    }

    @Test("many handshakes at a time are all taken, a few a turn")
    func crowd() throws {
        let server = try TestServer(.tls)
        let threads = try (0..<8).map { number in
            let count = Box<Int>()
            let thread = try NamedThread("client-\(number)") {
                var served = 0
                for _ in 0..<40 {
                    guard let client = try? server.connect() else { continue }
                    client.send("GET /now HTTP/1.1\r\nHost: a\r\n\r\n")
                    if (try? client.answer().status) == 200 { served += 1 }
                }
                count.put(served)
            }
            return (thread, count)
        }
        for (thread, count) in threads {
            #expect(count.take() == 40)
            thread.join()
        }
        #expect(server.counters.handshakes == 320)
        server.stop()
    }

    @Test("beyond maxConnections a connection is closed without the cost of a handshake")
    func surplus() throws {
        let server = try TestServer(.tls) { $0.maxConnections = 1 }
        let client = try server.connect()
        let surplus = try server.connectPlain()
        #expect(surplus.rest().bytes.isEmpty)
        client.send(get)
        #expect(try client.answer().status == 200)
        #expect(server.counters.surplus == 1 && server.counters.handshakes == 1)
        server.stop()
    }

    @Test("at the end open handshakes are closed with what is idle")
    func shutdown() throws {
        let server = try TestServer(.tls)
        let silent = try server.connectPlain()
        let begun = try server.connectPlain()
        begun.send([0x16, 3, 1])
        let idle = try server.connect()
        idle.send(get)
        #expect(try idle.answer().status == 200)
        #expect(server.wait { $0.server.openConnections == 3 })
        server.onLoop {
            $0.server.stopListening()
            $0.server.closeIdle()
        }
        #expect(silent.rest().end != .silence)
        #expect(begun.rest().end != .silence)
        #expect(idle.rest().end == .orderly)
        #expect(server.onLoop { $0.server.openConnections } == 0)
        #expect(server.onLoop { $0.server.openHandshakes } == 0)
        server.stop()
    }

    // MARK: Certificates

    @Test("another certificate serves new connections, and open ones go on with theirs")
    func replaced() throws {
        let server = try TestServer(.tls, material: TestCertificate("first").material)
        let before = try server.connect()
        before.send(get)
        #expect(try before.answer().status == 200)
        let second = TestCertificate("second")
        server.onLoop { $0.server.tls = try? TLSContext(second.material) }
        let after = try server.connect()
        for client in [before, after, before] {
            client.send(get)
            #expect(try client.answer().status == 200)
        }
        #expect(before.serverName == "first" && after.serverName == "second")
        server.stop()
    }

    @Test(
        "client certificates: required, optional, of the right authority",
        arguments: TLSMaterial.ClientCertificate.allCases)
    func clientCertificates(wanted: TLSMaterial.ClientCertificate) throws {
        let authority = TestCertificate("authority")
        var material = TestCertificate.server.material
        material.clientAuthorities = authority.certificate
        material.clientCertificate = wanted
        let server = try TestServer(.tls, material: material)
        func isServed(_ certificate: TestCertificate?, _ version: Int32) throws -> Bool {
            let client = try server.connectPlain()
            do {
                try client.startTLS(.init(versions: version...version, certificate: certificate))
                client.send(get)
                return try client.answer().status == 200
            } catch { return false }
        }
        for version in [TLS1_2_VERSION, TLS1_3_VERSION] {
            #expect(try isServed(TestCertificate("client", issuer: authority), version))
            #expect(try isServed(nil, version) == (wanted == .optional))
            #expect(try !isServed(TestCertificate("client", issuer: TestCertificate("authority")), version))
            #expect(try !isServed(TestCertificate("client"), version))
            #expect(try !isServed(TestCertificate("client", begins: -100, ends: -50, issuer: authority), version))
        }
        #expect(server.counters.clientCertificates == 2)
        #expect(server.counters.handshakes(failedBy: .clientCertificate) == (wanted == .optional ? 6 : 8))
        server.stop()
    }

    @Test("the time of a certificate is read, and what is wrong with one is said")
    func material() throws {
        let good = TestCertificate("good", begins: -10, ends: 1000)
        let context = try TLSContext(good.material)
        let now = Int64(time(nil))
        #expect((990...1000).contains(context.expiry - now) && (-20...(-8)).contains(context.validFrom - now))
        let both = good.key + good.certificate
        _ = try TLSContext(TLSMaterial(certificate: both, key: both))
        // The chain's first end counts.
        let authority = TestCertificate("authority", ends: 500)
        let leaf = TestCertificate("leaf", issuer: authority)
        let chained = try TLSContext(TLSMaterial(certificate: leaf.certificate + authority.certificate, key: leaf.key))
        #expect(chained.expiry - now <= 500)

        func problem(_ change: (inout TLSMaterial) -> Void) -> (TLSProblem.Part, String)? {
            var material = good.material
            change(&material)
            do throws(TLSProblem) {
                _ = try TLSContext(material)
                return nil
            } catch { return (error.part, error.description) }
        }
        let cases: [((inout TLSMaterial) -> Void, TLSProblem.Part, String)] = [
            ({ $0.certificate = [] }, .certificate, "there is no certificate in it"),
            ({ $0.certificate = Array("garbage".utf8) }, .certificate, "there is no certificate in it"),
            ({ $0.certificate = good.key }, .certificate, "there is no certificate in it"),
            (
                { $0.certificate = Array(good.certificate.dropLast(60)) }, .certificate,
                "certificate 1 in it cannot be read"
            ),
            ({ $0.certificate += $0.certificate.dropLast(60) }, .certificate, "certificate 2 in it cannot be read"),
            ({ $0.key = [] }, .key, "there is no private key in it"),
            ({ $0.key = good.certificate }, .key, "there is no private key in it"),
            ({ $0.key = good.encryptedKey }, .key, "the key is encrypted"),
            ({ $0.key = TestCertificate("other").key }, .key, "the key is not that of the certificate"),
            ({ $0.clientAuthorities = [] }, .clientAuthorities, "there is no certificate in it"),
            ({ $0 = TestCertificate("weak", bits: 1024).material }, .certificate, "ee key too small"),
        ]
        for (change, part, says) in cases {
            let found = try #require(problem(change))
            #expect(found.0 == part && found.1.contains(says), "\(found)")
        }
    }
}
