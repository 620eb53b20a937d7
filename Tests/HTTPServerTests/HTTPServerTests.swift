import SMSBridgeAddresses
import SMSBridgeEventLoop
import SMSBridgeHTTPServer
import SMSBridgeThreads
import Testing

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The server against real sockets. Deadlines are either far beyond a test's length, or short and awaited: no test
/// asks that something be fast.
@Suite("HTTP server", .serialized)
struct HTTPServerTests {
    private let get = "GET /now HTTP/1.1\r\nHost: a\r\n\r\n"

    private func post(_ path: String, _ body: String, _ more: String = "") -> String {
        "POST \(path) HTTP/1.1\r\nHost: a\r\n\(more)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    // MARK: Serving

    @Test("a request is answered with its headers, a date and nothing about the connection", arguments: Wire.allCases)
    func basic(wire: Wire) throws {
        let server = try TestServer(wire)
        let client = try server.connect()
        client.send(post("/now", "hello"))
        let answer = try client.answer()
        #expect(answer.status == 200)
        #expect(answer.text == "now")
        #expect(answer.header("content-type") == "text/plain")
        #expect(answer.header("connection") == nil)
        let date = try #require(answer.header("date"))
        #expect(date.utf8.count == 29 && date.hasSuffix(" GMT"))
        #expect(server.told.now.bodies == [Array("hello".utf8)])
        #expect(server.told.now.peers.first?.ipv4 == 0x7F00_0001)
        server.stop()
    }

    @Test(
        "every answer has a request id of its own and may not be cached, the server's own answers too",
        arguments: Wire.allCases)
    func requestIDs(wire: Wire) throws {
        let server = try TestServer(wire) { $0.headTimeout = .milliseconds(100) }
        var ids: [String] = []
        for text in [
            get + get, post("/later", "x"), "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "GET",
        ] {
            let client = try server.connect()
            client.send(text)
            for _ in 0..<(text == get + get ? 2 : 1) {
                let answer = try client.answer()
                ids.append(try #require(answer.header("x-request-id"), "\(text)"))
                #expect(answer.header("cache-control") == "no-store", "\(text)")
            }
        }
        #expect(ids.count == 6 && Set(ids).count == 6, "\(ids)")
        #expect(Set(ids.map { $0.prefix(9) }).count == 1, "one word for the server, and a number: \(ids)")
        #expect(server.told.now.rejections.map(\.label) == ["host-missing", "head-timeout"])
        server.stop()
    }

    @Test("a connection serves one request after another, answered now or later", arguments: Wire.allCases)
    func keepAlive(wire: Wire) throws {
        let server = try TestServer(wire)
        let client = try server.connect()
        for round in 0..<100 {
            client.send(post(round % 2 == 0 ? "/now" : "/later", "\(round)"))
            #expect(try client.answer().text == (round % 2 == 0 ? "now" : "later"))
        }
        #expect(server.counters.accepted == 1)
        #expect(server.counters.requests == 100)
        #expect(server.told.now.bodies == (0..<100).map { Array("\($0)".utf8) })
        server.stop()
    }

    @Test("pipelined requests are answered in order, one at a time", arguments: Wire.allCases)
    func pipelining(wire: Wire) throws {
        let server = try TestServer(wire)
        let client = try server.connect()
        var text = ""
        for round in 0..<300 { text += post(["/now", "/later", "/held"][round % 3], "\(round)") }
        client.send(text)
        for round in 0..<300 {
            if round % 3 == 2 {
                #expect(server.wait { $0.server.requestsInFlight == 1 })
                // The next waits for this one's answer.
                #expect(server.told.now.requests.count == round + 1)
                server.onLoop { $0.answerHeld() }
            }
            #expect(try client.answer().text == (round % 3 == 1 ? "later" : "now"))
        }
        #expect(server.told.now.bodies == (0..<300).map { Array("\($0)".utf8) })
        server.stop()
    }

    @Test("a request that comes byte by byte is served", arguments: ["/now", "/later"])
    func slowly(path: String) throws {
        let server = try TestServer()
        let client = try server.connect()
        for _ in 0..<2 {
            for byte in post(path, "hello").utf8 {
                client.send([byte])
                usleep(200)
            }
            #expect(try client.answer().status == 200)
        }
        #expect(server.told.now.bodies == [Array("hello".utf8), Array("hello".utf8)])
        server.stop()
    }

    @Test("chunked bodies arrive whole, in any pieces, and what follows is the next request", arguments: Wire.allCases)
    func chunked(wire: Wire) throws {
        let server = try TestServer(wire)
        let client = try server.connect()
        let body = (0..<5000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        var wire = Array("POST /later HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".utf8)
        var offset = 0
        var size = 1
        while offset < body.count {
            let piece = body[offset..<min(body.count, offset + size)]
            wire += Array("\(String(piece.count, radix: 16));x=\"y\"\r\n".utf8) + piece + Array("\r\n".utf8)
            offset += size
            size = size % 700 + 37
        }
        wire += Array("0\r\nTrailer: dropped\r\n\r\n".utf8)
        var rest = (wire + wire + Array(get.utf8))[...]
        while !rest.isEmpty {
            client.send(rest.prefix(611))
            rest = rest.dropFirst(611)
            usleep(500)
        }
        #expect(try client.answer().text == "later")
        #expect(try client.answer().text == "later")
        #expect(try client.answer().text == "now")
        #expect(server.told.now.bodies == [body, body, []])
        server.stop()
    }

    @Test("HEAD is answered without a body and with its length", arguments: Wire.allCases)
    func head(wire: Wire) throws {
        let server = try TestServer(wire)
        let client = try server.connect()
        client.send("HEAD /now HTTP/1.1\r\nHost: a\r\n\r\n" + get)
        let answer = try client.answer(isHead: true)
        #expect(answer.header("content-length") == "3")
        #expect(try client.answer().text == "now")
        server.stop()
    }

    @Test("OPTIONS * is the server's to answer", arguments: Wire.allCases)
    func options(wire: Wire) throws {
        let server = try TestServer(wire)
        let client = try server.connect()
        client.send("OPTIONS * HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi" + get)
        let answer = try client.answer()
        #expect(answer.status == 200)
        #expect(answer.header("content-length") == "0")
        #expect(try client.answer().text == "now")
        #expect(server.told.now.heads == ["/now"])
        server.stop()
    }

    @Test("absolute form reaches the handler with its path", arguments: Wire.allCases)
    func absoluteForm(wire: Wire) throws {
        let server = try TestServer(wire)
        let client = try server.connect()
        client.send("GET http://b.example/later?x HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.answer().text == "later")
        server.stop()
    }

    @Test("HTTP/1.0 closes, unless keep-alive is asked for, which is then said", arguments: Wire.allCases)
    func http10(wire: Wire) throws {
        let server = try TestServer(wire)
        let closing = try server.connect()
        closing.send("GET /now HTTP/1.0\r\n\r\n")
        #expect(try closing.answer().header("connection") == "close")
        #expect(closing.rest().end == .orderly)
        let staying = try server.connect()
        for _ in 0..<2 {
            staying.send("GET /later HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            #expect(try staying.answer().header("connection") == "keep-alive")
        }
        staying.send("GET /now HTTP/1.0\r\n\r\n")
        #expect(try staying.answer().header("connection") == "close")
        #expect(staying.rest().bytes.isEmpty)
        server.stop()
    }

    @Test("Connection: close is obeyed, said, and what follows is not served", arguments: Wire.allCases)
    func close(wire: Wire) throws {
        let server = try TestServer(wire)
        let client = try server.connect()
        client.send("GET /later HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + get)
        let answer = try client.answer()
        #expect(answer.text == "later")
        #expect(answer.header("connection") == "close")
        let rest = client.rest()
        #expect(rest.bytes.isEmpty && rest.end == .orderly)
        #expect(server.told.now.requests == ["/later"])
        server.stop()
    }

    @Test("an empty line between two requests is skipped", arguments: Wire.allCases)
    func emptyLine(wire: Wire) throws {
        let server = try TestServer(wire)
        let client = try server.connect()
        client.send(post("/now", "a") + "\r\n" + get)
        #expect(try client.answer().status == 200)
        #expect(try client.answer().status == 200)
        client.send("\r\n")
        usleep(2000)
        client.send(get)
        #expect(try client.answer().status == 200)
        server.stop()
    }

    @Test("IPv6 and names are listened on", arguments: ["::1", "localhost", "::", "0.0.0.0"])
    func hosts(host: String) throws {
        let server = try TestServer { $0.host = host }
        let client = try server.connect()
        client.send(get)
        #expect(try client.answer().status == 200)
        let peer = try #require(server.told.now.peers.first)
        #expect(peer.host == (host == "::1" ? "::1" : "127.0.0.1") || host == "localhost")
        if host == "localhost" {
            let other = try TestClient(host: "127.0.0.1", port: server.port)
            other.send(get)
            #expect(try other.answer().status == 200)
        }
        server.stop()
    }

    @Test("a port that is taken, and a host that is none, are errors that say so", arguments: Wire.allCases)
    func listenErrors(wire: Wire) throws {
        let server = try TestServer(wire)
        let port = server.port
        let taken = #expect(throws: HTTPServerError.self) { _ = try TestServer { $0.port = port } }
        #expect(taken.map { "\($0)".contains("127.0.0.1:\(port)") } == true)
        #expect(throws: HTTPServerError.self) { _ = try TestServer { $0.host = "256.1.1.1" } }
        server.stop()
    }

    // MARK: Refusing

    @Test(
        "a request that breaks a rule is answered with the rule's status, told to close, and followed by nothing",
        arguments: [
            ("GET / HTTP/1.1\r\n\r\n", 400), ("GET / HTTP/3.0\r\n\r\n", 400), ("GET /\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\nabc", 413),
            ("GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", 417), ("\u{16}\u{3}\u{1}", 400),
        ])
    func refusal(request: String, status: Int) throws {
        let server = try TestServer()
        let client = try server.connect()
        client.send(request + get)
        let answer = try client.answer()
        #expect(answer.status == status)
        #expect(answer.header("connection") == "close")
        let rest = client.rest()
        #expect(rest.bytes.isEmpty && rest.end == .orderly)
        #expect(server.told.now.requests == [])
        let counters = server.counters
        #expect(RequestRule.allCases.map(counters.refused(by:)).reduce(0, +) == 1)
        let rejections = server.told.now.rejections
        #expect(rejections.map(\.status) == [status])
        #expect(rejections.first.map { $0.count > 0 } == true, "the handler is given what has come")
        server.stop()
    }

    @Test(
        "every case of the table, over a socket, in one piece and in two: what the table says, and never a reset",
        arguments: Wire.allCases)
    func table(wire: Wire) throws {
        let server = try TestServer(wire) { $0.drainTimeout = .seconds(30) }
        for expected in try RequestCase.all() where expected.bytes.count < 100_000 {
            for split in [nil, expected.bytes.count / 2] {
                let client = try server.connect()
                let before = server.told.now.bodies.count
                if let split {
                    client.send(expected.bytes[..<split])
                    usleep(300)
                    client.send(expected.bytes[split...])
                } else {
                    client.send(expected.bytes)
                }
                client.endWriting()
                var statuses: [Int] = []
                for request in expected.requests {
                    let answer = try client.answer(isHead: request[0] == Array("HEAD".utf8))
                    statuses.append(answer.status)
                    if answer.header("connection") == "close" { break }
                }
                #expect(statuses.allSatisfy { $0 == 200 }, "\(expected)")
                let isClosed = statuses.count < expected.requests.count
                if let refusal = expected.refusal, !isClosed {
                    let isHead = expected.bytes.starts(with: "HEAD".utf8)
                    #expect(try client.answer(isHead: isHead).status == refusal.status, "\(expected)")
                }
                let rest = client.rest()
                #expect(rest.bytes.isEmpty && rest.end == .orderly, "\(expected): \(rest.end)")
                let bodies = server.told.now.bodies[before...]
                let told = expected.requests.prefix(statuses.count).filter { $0[1] != Array("*".utf8) }.map { $0[3] }
                #expect(Array(bodies) == told, "\(expected)")
            }
        }
        server.stop()
    }

    @Test(
        "an early refusal is readable though the client goes on sending, and then the connection closes",
        arguments: Wire.allCases)
    func earlyRefusal(wire: Wire) throws {
        let server = try TestServer(wire)
        for path in ["/refused", "/now"] {
            let client = try server.connect()
            let length = path == "/now" ? 99_999_999 : 200_000
            client.send("POST \(path) HTTP/1.1\r\nHost: a\r\nContent-Length: \(length)\r\n\r\n")
            // The body is on its way when the answer comes.
            for _ in 0..<20 { client.send([UInt8](repeating: 98, count: 10_000)) }
            let answer = try client.answer()
            #expect(answer.status == (path == "/now" ? 413 : 401))
            #expect(answer.header("connection") == "close")
            client.endWriting()
            let rest = client.rest()
            #expect(rest.bytes.isEmpty && rest.end == .orderly)
        }
        #expect(server.told.now.requests == [])
        server.stop()
    }

    @Test("what a refused client goes on sending is bounded in bytes", arguments: Wire.allCases)
    func drainBytes(wire: Wire) throws {
        let server = try TestServer(wire) {
            $0.maxDrainBytes = 100_000
            $0.drainTimeout = .seconds(3600)
        }
        let client = try server.connect()
        client.send("GET / HTTP/1.1\r\n\r\n")
        #expect(try client.answer().status == 400)
        let sent = client.send([UInt8](repeating: 98, count: 64 << 20))
        #expect(sent < 64 << 20)
        #expect(server.wait { $0.server.openConnections == 0 })
        server.stop()
    }

    @Test("a refused client that never closes is closed in the end", arguments: Wire.allCases)
    func drainTime(wire: Wire) throws {
        let server = try TestServer(wire) { $0.drainTimeout = .milliseconds(50) }
        let client = try server.connect()
        client.send("GET / HTTP/1.1\r\n\r\n")
        #expect(try client.answer().status == 400)
        #expect(server.wait { $0.server.openConnections == 0 })
        server.stop()
    }

    @Test(
        "a refusal by the handler keeps the connection when the request is whole, and closes it when it is not",
        arguments: Wire.allCases)
    func handlerRefusal(wire: Wire) throws {
        let server = try TestServer(wire)
        let client = try server.connect()
        client.send("GET /refused HTTP/1.1\r\nHost: a\r\n\r\n")
        let first = try client.answer()
        #expect(first.status == 401)
        #expect(first.header("connection") == nil)
        #expect(first.header("www-authenticate") == "Secret")
        client.send(post("/refused", "all of it") + get)
        #expect(try client.answer().status == 401)
        #expect(try client.answer().text == "now")
        client.send("POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
        #expect(try client.answer().header("connection") == "close")
        client.send("lo" + get)
        client.endWriting()
        let rest = client.rest()
        #expect(rest.bytes.isEmpty && rest.end == .orderly)
        #expect(server.told.now.requests == ["/now"])
        #expect(server.counters.refusedByHandler == 3)
        server.stop()
    }

    @Test(
        "a broken body behind a refused head is answered with the refusal, and the connection closes",
        arguments: Wire.allCases)
    func refusedAndBroken(wire: Wire) throws {
        let server = try TestServer(wire)
        let client = try server.connect()
        client.send("POST /refused HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + get)
        #expect(try client.answer().status == 401)
        #expect(client.rest().bytes.isEmpty)
        server.stop()
    }

    // MARK: 100-continue

    @Test(
        "100 Continue is sent when the handler has accepted the head, and not before the body is asked for",
        arguments: Wire.allCases)
    func expectContinue(wire: Wire) throws {
        let server = try TestServer(wire)
        let client = try server.connect()
        for _ in 0..<2 {
            client.send("POST /later HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            #expect(try client.answer().status == 100)
            client.send("hi")
            #expect(try client.answer().text == "later")
        }
        client.send("POST /now HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
        #expect(try client.answer().status == 100)
        client.send("2\r\nho\r\n0\r\n\r\n")
        #expect(try client.answer().text == "now")
        #expect(server.told.now.bodies.last == Array("ho".utf8))
        server.stop()
    }

    @Test(
        "100 Continue is not sent when the head is refused, when the body has come, when there is none, and in 1.0",
        arguments: [
            ("POST /refused HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", 401),
            ("POST /now HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9999999\r\n\r\n", 413),
            ("POST /now HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", 200),
            ("POST /now HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", 200),
            ("POST /now HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", 200),
        ])
    func noContinue(request: String, status: Int) throws {
        let server = try TestServer()
        let client = try server.connect()
        client.send(request)
        #expect(try client.answer().status == status)
        server.stop()
    }

    // MARK: Deadlines

    @Test(
        "a head that is not whole in time is answered 408; nothing at all is closed in silence",
        arguments: ["GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n", "\r\nG", "", "\r\n"])
    func headTimeout(sent: String) throws {
        let server = try TestServer { $0.headTimeout = .milliseconds(60) }
        let client = try server.connect()
        client.send(sent)
        if sent.contains("G") {
            #expect(try client.answer().status == 408)
            #expect(server.counters.headTimeouts == 1)
        }
        let rest = client.rest()
        #expect(rest.bytes.isEmpty)
        server.stop()
    }

    @Test("a client that drips does not move its deadline", arguments: Wire.allCases)
    func drip(wire: Wire) throws {
        let server = try TestServer(wire) {
            $0.headTimeout = .milliseconds(200)
            $0.bodyTimeout = .milliseconds(200)
        }
        for start in ["GET /", "POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"] {
            let client = try server.connect()
            client.send(start)
            var sent = 0
            while client.send("a") == 1, sent < 10_000 {
                sent += 1
                usleep(5000)
                if server.onLoop({ $0.server.counters.headTimeouts + $0.server.counters.bodyTimeouts })
                    == (start.hasPrefix("GET") ? 1 : 2)
                {
                    break
                }
            }
            #expect(sent < 10_000)
            #expect(try client.answer().status == 408)
        }
        #expect(server.counters.headTimeouts == 1)
        #expect(server.counters.bodyTimeouts == 1)
        server.stop()
    }

    @Test("the time of a head begins with its first byte, not with the answer before", arguments: Wire.allCases)
    func headTimeAfterAnswer(wire: Wire) throws {
        let server = try TestServer(wire) {
            $0.headTimeout = .milliseconds(150)
            $0.idleTimeout = .seconds(3600)
        }
        let client = try server.connect()
        client.send(get)
        #expect(try client.answer().status == 200)
        usleep(300_000)
        client.send(get + "GET")
        #expect(try client.answer().status == 200)
        #expect(try client.answer().status == 408)
        server.stop()
    }

    @Test("a process that was paused does not take its own lateness for its clients'", arguments: [true, false])
    func paused(isHead: Bool) throws {
        let server = try TestServer {
            $0.headTimeout = .milliseconds(150)
            $0.bodyTimeout = .milliseconds(150)
        }
        let client = try server.connect()
        let text = post("/now", "hello")
        let cut = text.utf8.count - (isHead ? 30 : 3)
        client.send(Array(text.utf8.prefix(cut)))
        #expect(server.wait { $0.server.counters.bytesRead == UInt64(cut) })
        let rest = String(decoding: text.utf8.dropFirst(cut), as: UTF8.self)
        server.onLoop { [client = SendingClient(client)] _ in
            // The rest comes in time, and the loop turns long after.
            client.send(rest)
            usleep(500_000)
        }
        #expect(try client.answer().status == 200)
        server.stop()
    }

    @Test("an idle connection is closed, in silence and orderly", arguments: Wire.allCases)
    func idle(wire: Wire) throws {
        let server = try TestServer(wire) { $0.idleTimeout = .milliseconds(60) }
        let client = try server.connect()
        client.send(get)
        #expect(try client.answer().status == 200)
        let rest = client.rest()
        #expect(rest.bytes.isEmpty && rest.end == .orderly)
        #expect(server.counters.idleTimeouts == 1)
        server.stop()
    }

    @Test(
        "with as many connections as there may be, the one that has been idle for longest makes room",
        arguments: Wire.allCases)
    func idleMakesRoom(wire: Wire) throws {
        let server = try TestServer(wire) { $0.maxConnections = 3 }
        var clients: [TestClient] = []
        for _ in 0..<3 {
            let client = try server.connect()
            client.send(get)
            #expect(try client.answer().status == 200)
            clients.append(client)
        }
        // Used again: now the second has been idle for longest, then the third.
        clients[0].send(get)
        #expect(try clients[0].answer().status == 200)
        for round in 1...2 {
            let new = try server.connect()
            new.send(post("/held", "x"))
            #expect(server.wait { $0.server.requestsInFlight == round })
            let rest = clients[round].rest()
            #expect(rest.bytes.isEmpty && rest.end == .orderly, "\(rest.end)")
            clients.append(new)
        }
        #expect(server.counters.displaced == 2 && server.counters.surplus == 0)
        // The first is busy by now, so that none is idle: as before.
        clients[0].send(post("/held", "x"))
        #expect(server.wait { $0.server.requestsInFlight == 3 })
        if wire == .plain {
            let surplus = try server.connect()
            #expect(try surplus.answer().status == 503)
        } else {
            #expect(throws: (any Error).self) { try server.connect() }
        }
        #expect(server.counters.surplus == 1)
        server.onLoop { $0.answerHeld() }
        for client in [clients[0], clients[3], clients[4]] { #expect(try client.answer().status == 200) }
        server.stop()
    }

    @Test("of idle connections none is closed whose request has come", arguments: Wire.allCases)
    func idleWithRequest(wire: Wire) throws {
        let server = try TestServer(wire) { $0.maxConnections = 2 }
        let clients = try [server.connect(), server.connect()]
        for client in clients {
            client.send(get)
            #expect(try client.answer().status == 200)
        }
        if wire == .tls {
            // The handshake of a third needs the loop's help, which here stands still.
            server.stop()
            return
        }
        let third = try server.onLoop { [port = server.port, sending = SendingClient(clients[0])] _ in
            // Both wait in the kernel when the loop turns: the request on the connection that would have to go, and a third.
            sending.send("GET /now HTTP/1.1\r\nHost: a\r\n\r\n")
            usleep(50_000)
            return Result { SendingClient(try TestClient(host: "127.0.0.1", port: port)) }
        }.get()
        third.send(get)
        #expect(try clients[0].answer().status == 200)
        #expect(clients[1].rest().bytes.isEmpty)
        #expect(server.wait { $0.server.counters.requests == 4 })
        #expect(server.counters.displaced == 1)
        server.stop()
    }

    @Test("where waiting connections may be displaced, a new client is always served")
    func displacing() throws {
        let server = try TestServer {
            $0.maxConnections = 8
            $0.displacesWaiting = true
            $0.headTimeout = .seconds(3600)
        }
        var crowd: [TestClient] = []
        for number in 0..<30 {
            let client = try server.connect()
            // Nothing, a part of a head, a part of a body, a whole request.
            client.send(
                ["", "GET /now HT", "POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc", get][number % 4])
            crowd.append(client)
            let probe = try server.connect()
            probe.send(get)
            #expect(try probe.answer().status == 200, "the probe after \(number)")
            probe.close()
        }
        #expect(server.counters.surplus == 0 && server.counters.displaced > 20)
        server.stop()
    }

    @Test("connections that wait to be accepted when listening ends are served", arguments: Wire.allCases)
    func stopWithBacklog(wire: Wire) throws {
        let server = try TestServer(wire)
        let clients = try server.onLoop { [port = server.port] handler in
            let clients = Result {
                try (0..<100).map { _ in
                    let client = SendingClient(try TestClient(host: "127.0.0.1", port: port))
                    if wire == .plain { client.send("GET /now HTTP/1.1\r\nHost: a\r\n\r\n") }
                    return client
                }
            }
            handler.server.stopListening()
            return clients
        }.get()
        for client in clients {
            if wire == .tls {
                try client.startTLS()
                client.send(get)
            }
            let answer = try client.answer()
            #expect(answer.status == 200 && answer.header("connection") == "close")
        }
        #expect(throws: (any Error).self) { try server.connect() }
        server.stop()
    }

    @Test("a connection whose handshake is under way when listening ends is served; no new one begins")
    func stopDuringHandshake() throws {
        #if os(Linux)
        let server = try TestServer()
        let early = try server.connect()
        server.onLoop { $0.server.stopListening(after: .milliseconds(400)) }
        // The SYN is dropped, so nothing comes back before it is sent again, a second later, and refused.
        let began = ContinuousClock.now
        #expect(throws: (any Error).self) { try server.connect() }
        #expect(.now - began > .milliseconds(500))
        early.send(get)
        #expect(try early.answer().header("connection") == "close")
        #expect(server.wait { !$0.server.isListening })
        #expect(throws: (any Error).self) { try server.connect() }
        server.stop()
        #endif
    }

    @Test("while an answer is owed no deadline of the connection's runs out", arguments: Wire.allCases)
    func noDeadlineWhileOwed(wire: Wire) throws {
        let server = try TestServer(wire) {
            $0.idleTimeout = .milliseconds(50)
            $0.headTimeout = .milliseconds(50)
            $0.bodyTimeout = .milliseconds(50)
        }
        let client = try server.connect()
        client.send(post("/held", "x"))
        #expect(server.wait { $0.server.requestsInFlight == 1 })
        usleep(400_000)
        server.onLoop { $0.answerHeld() }
        #expect(try client.answer().text == "now")
        server.stop()
    }

    @Test(
        "an answer that is not read ends the connection; one that is read slowly arrives whole",
        arguments: Wire.allCases)
    func writeTimeout(wire: Wire) throws {
        let server = try TestServer(wire) { $0.writeTimeout = .milliseconds(300) }
        let client = try server.connect(receiveBuffer: 4096)
        client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(server.wait { $0.server.counters.writeTimeouts == 1 && $0.server.openConnections == 0 })
        client.close()
        server.stop()

        let patient = try TestServer()
        let reader = try patient.connect(receiveBuffer: 4096)
        reader.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n" + get)
        usleep(50_000)
        #expect(try reader.answer().body.count == 4 << 20)
        #expect(try reader.answer().text == "now")
        patient.stop()
    }

    // MARK: Bounds

    @Test("a client that sends ahead is read up to a bound, and served whole afterwards", arguments: Wire.allCases)
    func sendsAhead(wire: Wire) throws {
        let server = try TestServer(wire) { $0.maxPipelinedBytes = 10_000 }
        let client = try server.connect()
        let many = 60_000
        client.send(post("/held", "x"))
        #expect(server.wait { $0.server.requestsInFlight == 1 })
        let text = String(repeating: get, count: many)
        let sending = SendingClient(client)
        let writer = try NamedThread("writer") { sending.send(text) }
        #expect(server.wait { $0.server.counters.bytesRead > 10_000 })
        usleep(100_000)
        #expect(server.counters.bytesRead < 10_000 + 65_536 + 200)
        server.onLoop { $0.answerHeld() }
        for _ in 0...many { #expect(try client.answer().status == 200) }
        writer.join()
        #expect(server.counters.requests == UInt64(many + 1))
        server.stop()
    }

    @Test(
        "unfinished requests take so much memory together and no more: the next is told 503", arguments: Wire.allCases)
    func unfinishedBytes(wire: Wire) throws {
        let server = try TestServer(wire) {
            $0.maxUnfinishedBytes = 1 << 20
            $0.bodyTimeout = .seconds(3600)
        }
        var clients: [TestClient] = []
        var refused = 0
        for _ in 0..<40 {
            let client = try server.connect()
            client.send("POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n")
            client.send([UInt8](repeating: 99, count: 100_000))
            clients.append(client)
            let expected = UInt64(clients.count) * 60_000
            let hasRead = server.wait { handler in
                handler.server.counters.bytesRead >= expected || handler.server.counters.refusedForMemory > 0
            }
            #expect(hasRead)
            refused = Int(server.counters.refusedForMemory)
            if refused > 0 { break }
        }
        #expect(refused > 0)
        let told = try clients.last!.answer()
        #expect(told.status == 503)
        #expect(told.header("retry-after") == "1")
        #expect(told.header("connection") == "close")
        // Small requests, which need no memory of their own, are served all the same; so is the first, once whole.
        let other = try server.connect()
        other.send(get)
        #expect(try other.answer().status == 200)
        for client in clients { client.close() }
        #expect(server.wait { $0.server.openConnections == 1 })
        let again = try server.connect()
        again.send("POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n")
        again.send([UInt8](repeating: 99, count: 200_000))
        #expect(try again.answer().status == 200)
        server.stop()
    }

    @Test(
        "connections beyond the cap are told 503 and closed; when one leaves, another is served")
    func connectionCap() throws {
        let server = try TestServer {
            $0.maxConnections = 3
            $0.maxSurplusConnections = 2
            $0.drainTimeout = .seconds(3600)
        }
        let served = try (0..<3).map { _ in try server.connect() }
        // None is idle: each has begun a request.
        for client in served {
            client.send(get + "G")
            #expect(try client.answer().status == 200)
        }
        let surplus = try (0..<2).map { _ in try server.connect() }
        for client in surplus {
            let answer = try client.answer()
            #expect(answer.status == 503)
            #expect(answer.header("connection") == "close")
        }
        // The two are still there: a sixth waits to be accepted.
        let waiting = try server.connect()
        waiting.send(get)
        usleep(50_000)
        #expect(server.onLoop { $0.server.openConnections } == 5)
        surplus[0].close()
        #expect(try waiting.answer().status == 503)
        served[0].close()
        #expect(server.wait { $0.server.openConnections == 4 })
        let next = try server.connect()
        next.send(get)
        #expect(try next.answer().status == 200)
        #expect(server.counters.surplus == 3)
        server.stop()
    }

    // MARK: Leaving

    @Test("a client that only ends its sending side gets its answers, the pipelined ones too", arguments: Wire.allCases)
    func halfClose(wire: Wire) throws {
        let server = try TestServer(wire)
        for text in [post("/later", "x"), post("/held", "x") + get, get + post("/held", "x"), get + get + "GET / HT"] {
            let client = try server.connect()
            client.send(text)
            client.endWriting()
            if text.contains("held") {
                #expect(server.wait { $0.server.requestsInFlight == 1 })
                usleep(20_000)
                server.onLoop { $0.answerHeld() }
            }
            for _ in 0..<(text.components("HTTP/1.1")) { #expect(try client.answer().status == 200) }
            let rest = client.rest()
            #expect(rest.bytes.isEmpty && rest.end == .orderly)
        }
        #expect(server.wait { $0.server.openConnections == 0 })
        #expect(server.told.now.left == 0)
        server.stop()
    }

    @Test(
        "a client that is gone before the answer is told of, once, and the late answer harms nobody",
        arguments: Wire.allCases)
    func clientLeaves(wire: Wire) throws {
        let server = try TestServer(wire)
        for more in ["", get] {
            let before = server.told.now.left
            let client = try server.connect()
            client.send(post("/held", "x") + more)
            #expect(server.wait { $0.server.requestsInFlight == 1 })
            client.abort()
            #expect(server.wait { $0.server.openConnections == 0 })
            #expect(server.told.now.left == before + 1)
            // Another connection takes the same slot; the old exchange must not reach it.
            let other = try server.connect()
            other.send(post("/held?other", "y"))
            #expect(server.wait { $0.server.requestsInFlight == 1 })
            server.onLoop { $0.answerOldest() }
            #expect(server.onLoop { $0.server.requestsInFlight } == 1)
            server.onLoop { $0.answerHeld() }
            #expect(try other.answer().text == "now")
            other.send(get)
            #expect(try other.answer().text == "now")
            other.close()
            #expect(server.wait { $0.server.openConnections == 0 })
        }
        #expect(server.counters.clientsLeft == 2)
        server.stop()
    }

    @Test("a client that half-closes, and then is gone, is noticed while it waits", arguments: Wire.allCases)
    func leavesAfterHalfClose(wire: Wire) throws {
        let server = try TestServer(wire)
        let client = try server.connect()
        client.send(post("/held", "x"))
        client.endWriting()
        #expect(server.wait { $0.server.requestsInFlight == 1 })
        usleep(20_000)
        client.abort()
        #expect(server.wait { $0.server.openConnections == 0 })
        #expect(server.told.now.left == 1)
        server.stop()
    }

    @Test("clients that leave in the middle of a request or an answer leave nothing behind")
    func leavesInTheMiddle() throws {
        // No deadline ends them here.
        let server = try TestServer {
            $0.headTimeout = .seconds(3600)
            $0.bodyTimeout = .seconds(3600)
            $0.writeTimeout = .seconds(3600)
        }
        for _ in 0..<20 {
            let partial = try server.connect()
            partial.send("POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nabc")
            partial.abort()
            let ending = try server.connect()
            ending.send("POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nabc")
            ending.close()
            let reading = try server.connect(receiveBuffer: 4096)
            reading.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
            usleep(1000)
            reading.abort()
        }
        #expect(server.wait { $0.server.openConnections == 0 })
        let client = try server.connect()
        client.send(get)
        #expect(try client.answer().status == 200)
        server.stop()
    }

    // MARK: Stopping

    @Test(
        "after stopListening an answer is the last of its connection, idle ones close, new ones are not taken",
        arguments: Wire.allCases)
    func stopping(wire: Wire) throws {
        let server = try TestServer(wire)
        let idle = try server.connect()
        idle.send(get)
        #expect(try idle.answer().status == 200)
        let busy = try server.connect()
        busy.send(post("/held", "x"))
        #expect(server.wait { $0.server.requestsInFlight == 1 })
        server.onLoop {
            $0.server.stopListening()
            $0.server.closeIdle()
        }
        #expect(idle.rest().end == .orderly)
        #expect(throws: TestClient.Failure.self) { _ = try server.connect() }
        #expect(server.onLoop { $0.server.openConnections } == 1)
        server.onLoop { $0.answerHeld() }
        #expect(try busy.answer().header("connection") == "close")
        #expect(busy.rest().end == .orderly)
        server.stop()
    }

    @Test(
        "while connections are drained new ones are served, and every answer is the last of its connection",
        arguments: Wire.allCases)
    func draining(wire: Wire) throws {
        let server = try TestServer(wire)
        let kept = try server.connect()
        kept.send(get)
        #expect(try kept.answer().header("connection") == nil)
        let busy = try server.connect()
        busy.send(post("/held", "x"))
        #expect(server.wait { $0.server.requestsInFlight == 1 })
        server.onLoop { $0.server.drainConnections() }
        // Between two requests it stays open: a request may be on its way.
        kept.send(get)
        let new = try server.connect()
        new.send(get)
        server.onLoop { $0.answerHeld() }
        for client in [kept, busy, new] {
            let answer = try client.answer()
            #expect(answer.status == 200)
            #expect(answer.header("connection") == "close")
            #expect(client.rest().end == .orderly)
        }
        server.stop()
    }

    @Test(
        "a request that waits in the kernel is served before its connection is closed as idle", arguments: Wire.allCases
    )
    func closeIdleServesFirst(wire: Wire) throws {
        let server = try TestServer(wire)
        let client = try server.connect()
        client.send(get)
        #expect(try client.answer().status == 200)
        server.onLoop { [request = get, client = SendingClient(client)] handler in
            // The loop is busy here, so the request can only lie in the kernel.
            client.send(request)
            usleep(20_000)
            handler.server.stopListening()
            handler.server.closeIdle()
        }
        let answer = try client.answer()
        #expect(answer.status == 200)
        #expect(answer.header("connection") == "close")
        server.stop()
    }

    @Test("the handler may stop the server, or close it, from within a request", arguments: Wire.allCases)
    func stopFromWithin(wire: Wire) throws {
        let server = try TestServer(wire)
        let others = try (0..<3).map { _ in try server.connect() }
        for client in others {
            client.send(get)
            #expect(try client.answer().status == 200)
        }
        others[0].send(post("/stop", "body") + get)
        let answer = try others[0].answer()
        #expect(answer.text == "now")
        #expect(answer.header("connection") == "close")
        for client in others { #expect(client.rest().end == .orderly) }
        server.stop()

        let closing = try TestServer()
        let client = try closing.connect()
        let held = try closing.connect()
        held.send(post("/held", "x"))
        #expect(closing.wait { $0.server.requestsInFlight == 1 })
        client.send(post("/close", "x") + get)
        #expect(client.rest().bytes.isEmpty)
        #expect(held.rest().bytes.isEmpty)
        #expect(closing.onLoop { $0.server.requestsInFlight } == 0)
        #expect(closing.told.now.left == 2)
        closing.stop()
    }

    // MARK: Descriptors

    @Test("out of descriptors: those that wait are served when others leave")
    func outOfDescriptors() async {
        // In a process of its own: other tests need their descriptors.
        await #expect(processExitsWith: .success) {
            try HTTPServerTests.serveWithFewDescriptors()
        }
    }

    private static func serveWithFewDescriptors() throws {
        func demand(_ isSo: Bool, _ what: String) throws {
            if !isSo { throw TestClient.Failure(description: what) }
        }
        let get = "GET /now HTTP/1.1\r\nHost: a\r\n\r\n"
        let server = try TestServer { $0.acceptRetryDelay = .milliseconds(20) }
        var clients: [TestClient] = []
        for _ in 0..<10 { clients.append(try server.connect()) }
        try demand(server.wait { $0.server.openConnections == 10 }, "ten are open")
        let used = (0..<1000 as Range<Int32>).last { fcntl($0, F_GETFD) >= 0 } ?? 0
        var limit = rlimit(rlim_cur: rlim_t(used + 11), rlim_max: rlim_t(used + 11))
        #if canImport(Glibc)
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        #else
        let resource = RLIMIT_NOFILE
        #endif
        try demand(setrlimit(resource, &limit) == 0, "the limit is set")
        // Both ends take descriptors here, so what can be connected cannot all be accepted.
        var waiting: [TestClient] = []
        while let client = try? server.connect() { waiting.append(client) }
        try demand(waiting.count > 2, "some wait")
        try demand(server.wait { $0.server.counters.acceptPauses > 0 }, "accepting has paused")
        // Those that were in before are served all the while.
        for client in clients.prefix(5) {
            client.send(get)
            try demand(client.answer().status == 200, "an open one is served")
        }
        for client in clients { client.close() }
        for client in waiting {
            client.send(get)
            try demand(client.answer().status == 200, "one that waited is served")
        }
        server.stop()
    }
}

/// Sends from another thread while the test reads: the two directions of a socket do not touch each other.
private final class SendingClient: @unchecked Sendable {
    private let client: TestClient

    init(_ client: TestClient) { self.client = client }

    func send(_ text: String) { client.send(text) }
    func answer() throws -> TestClient.Answer { try client.answer() }
    func startTLS() throws { try client.startTLS() }
}

extension String {
    /// How often `other` is in it.
    fileprivate func components(_ other: String) -> Int {
        var count = 0
        var rest = self[...]
        while let range = rest.firstRange(of: other) {
            count += 1
            rest = rest[range.upperBound...]
        }
        return count
    }
}
