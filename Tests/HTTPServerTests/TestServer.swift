import CSMSBridgeOpenSSL
import SMSBridgeAddresses
import SMSBridgeEventLoop
import SMSBridgeHTTPServer
import SMSBridgeThreads
import Synchronization

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// What a test's handler was told.
final class Told: Sendable {
    struct State: Sendable {
        var heads: [String] = []
        var requests: [String] = []
        var bodies: [[UInt8]] = []
        var peers: [PeerAddress] = []
        var left = 0
        /// What the server itself has rejected: status, label, and how many bytes of the request were there.
        var rejections: [(status: Int, label: String, count: Int)] = []
    }

    private let state = Mutex(State())

    func note(_ change: (inout State) -> Void) { state.withLock { change(&$0) } }
    var now: State { state.withLock { $0 } }
}

/// What lives on a test server's loop.
///
/// By path: `/later` is answered at the end of the turn, `/held` when the test says so, `/refused` is refused 401 by
/// its head, `/large` is answered with 4 MiB; `/stop` stops listening and closes idle connections from within the
/// handler, `/close` closes the server; all else is answered at once, twice.
final class TestHandler: RequestHandler {
    let loop: EventLoop
    let server: HTTPServer
    private let told: Told
    private var held: [Exchange] = []
    private var later: [Exchange] = []

    private let soon = PreparedResponse(
        status: 200, headers: [("Content-Type", "text/plain")], body: Array("now".utf8))
    private let late = PreparedResponse(status: 200, body: Array("later".utf8))
    private let refusal = PreparedResponse(
        status: 401, headers: [("WWW-Authenticate", "Secret")], body: Array("refused".utf8))
    private let large = PreparedResponse(status: 200, body: [UInt8](repeating: 97, count: 4 << 20))

    /// Passes calls on, as the server is made before its handler.
    private final class Relay: RequestHandler {
        weak var handler: TestHandler?

        func receivedHead(
            _ head: borrowing RequestHead, bytes: RawSpan, from peer: PeerAddress, exchange: Exchange
        ) -> HeadVerdict {
            handler?.receivedHead(head, bytes: bytes, from: peer, exchange: exchange)
                ?? .refuse(PreparedResponse(status: 500))
        }

        func receivedRequest(
            _ head: borrowing RequestHead, bytes: RawSpan, body: RawSpan, from peer: PeerAddress, exchange: Exchange,
            tag: UInt64
        ) {
            handler?.receivedRequest(head, bytes: bytes, body: body, from: peer, exchange: exchange, tag: tag)
        }

        func clientLeft(_ exchange: Exchange) { handler?.clientLeft(exchange) }

        func rejected(_ rejection: ServerRejection, bytes: RawSpan, from peer: PeerAddress, exchange: Exchange) {
            handler?.rejected(rejection, bytes: bytes, from: peer, exchange: exchange)
        }
    }

    init(loop: EventLoop, configuration: HTTPServerConfiguration, told: Told) {
        self.loop = loop
        self.told = told
        let relay = Relay()
        server = HTTPServer(loop: loop, configuration: configuration, handler: relay)
        relay.handler = self
        loop.afterTurn { [unowned self] in
            let answered = later
            later = []
            for exchange in answered { server.respond(to: exchange, with: late) }
        }
    }

    private func text(_ cut: Cut, _ bytes: RawSpan) -> String {
        bytes.withUnsafeBytes { String(decoding: $0[cut.offset..<cut.end], as: UTF8.self) }
    }

    func receivedHead(
        _ head: borrowing RequestHead, bytes: RawSpan, from peer: PeerAddress, exchange: Exchange
    ) -> HeadVerdict {
        let target = text(head.target, bytes)
        told.note {
            $0.heads.append(target)
            $0.peers.append(peer)
        }
        return target.hasPrefix("/refused") ? .refuse(refusal) : .accept(tag: UInt64(head.headerCount))
    }

    func receivedRequest(
        _ head: borrowing RequestHead, bytes: RawSpan, body: RawSpan, from peer: PeerAddress, exchange: Exchange,
        tag: UInt64
    ) {
        let target = text(head.target, bytes)
        let copy = body.withUnsafeBytes { Array($0) }
        let isTagged = tag == UInt64(head.headerCount)
        told.note {
            $0.requests.append(isTagged ? target : "another tag")
            $0.bodies.append(copy)
        }
        switch text(head.path, bytes) {
        case "/later": later.append(exchange)
        case "/held": held.append(exchange)
        case "/large": server.respond(to: exchange, with: large)
        case "/stop":
            server.stopListening()
            server.closeIdle()
            server.respond(to: exchange, with: soon)
        case "/close": server.close()
        default:
            server.respond(to: exchange, with: soon)
            // Once is once.
            server.respond(to: exchange, with: late)
        }
    }

    func rejected(_ rejection: ServerRejection, bytes: RawSpan, from peer: PeerAddress, exchange: Exchange) {
        let count = bytes.byteCount
        told.note { $0.rejections.append((rejection.status, rejection.label, count)) }
    }

    func clientLeft(_ exchange: Exchange) {
        told.note { $0.left += 1 }
        server.respond(to: exchange, with: soon)
    }

    /// Answers the one that has waited longest, and forgets it.
    func answerOldest() {
        if !held.isEmpty { server.respond(to: held.removeFirst(), with: late) }
    }

    func answerHeld() {
        let answered = held
        held = []
        for exchange in answered { server.respond(to: exchange, with: soon) }
    }
}

/// A server on a loop and a thread of its own.
final class TestServer: Sendable {
    typealias Work = @Sendable (TestHandler) -> Void

    let told = Told()
    let port: UInt16
    private let host: String
    private let wire: Wire
    private let mailbox: Mailbox<Work>
    private let thread: NamedThread

    /// - Parameter material: of a server that speaks TLS; nil: a certificate of its own.
    init(
        _ wire: Wire = .plain, material: TLSMaterial? = nil,
        _ configure: @Sendable @escaping (inout HTTPServerConfiguration) -> Void = { _ in }
    ) throws {
        self.wire = wire
        var configuration = HTTPServerConfiguration()
        configuration.host = "127.0.0.1"
        configure(&configuration)
        host = configuration.host
        let told = told
        let result = Box<Result<(UInt16, Mailbox<Work>), any Error>>()
        thread = try NamedThread("http-test") { [configuration] in
            do {
                let loop = try EventLoop()
                let handler = TestHandler(loop: loop, configuration: configuration, told: told)
                if wire == .tls {
                    handler.server.tls = try TLSContext(material ?? TestCertificate.server.material)
                }
                let mailbox = try loop.makeMailbox(of: Work.self) { batch in
                    for work in batch { work(handler) }
                }
                do {
                    result.put(.success((try handler.server.listen(), mailbox)))
                    loop.run()
                } catch {
                    result.put(.failure(error))
                }
                handler.server.close()
                loop.destroy()
            } catch {
                result.put(.failure(error))
            }
        }
        (port, mailbox) = try result.take().get()
    }

    /// Runs on the loop, and waits for what comes of it.
    func onLoop<Value: Sendable>(_ work: @Sendable @escaping (TestHandler) -> Value) -> Value {
        let box = Box<Value>()
        mailbox.post { box.put(work($0)) }
        return box.take()
    }

    /// What the server has counted.
    var counters: HTTPServerCounters { onLoop { $0.server.counters } }

    /// Waits until something is so; a minute at most.
    func wait(until isSo: @Sendable @escaping (TestHandler) -> Bool) -> Bool {
        for _ in 0..<60_000 {
            if onLoop(isSo) { return true }
            usleep(1000)
        }
        return false
    }

    /// Ends the loop and its thread.
    func stop() {
        mailbox.post { $0.loop.stop() }
        thread.join()
    }

    func connect(receiveBuffer: Int32? = nil) throws -> TestClient {
        let client = try connectPlain(receiveBuffer: receiveBuffer)
        if wire == .tls { try client.startTLS() }
        return client
    }

    /// A client whose bytes reach the server one at a time. Close it before the server stops.
    func connectTrickling() throws -> TestClient {
        let relay = try connectPlain()
        var pair: [Int32] = [0, 0]
        #if canImport(Glibc)
        socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair)
        #else
        socketpair(AF_UNIX, SOCK_STREAM, 0, &pair)
        #endif
        let client = TestClient(descriptor: pair[0])
        let other = pair[1]
        let threads = try relay.relay(other)
        client.onClose = {
            for thread in threads { thread.join() }
            #if canImport(Glibc)
            _ = Glibc.close(other)
            #else
            _ = Darwin.close(other)
            #endif
            relay.close()
        }
        return client
    }

    /// A client that says nothing by itself, not even in a handshake.
    func connectPlain(receiveBuffer: Int32? = nil) throws -> TestClient {
        try TestClient(
            host: host == "0.0.0.0" || host == "::" ? "127.0.0.1" : host, port: port, receiveBuffer: receiveBuffer)
    }
}

/// A value that one thread leaves for another.
final class Box<Value: Sendable>: Sendable {
    private let value = Mutex<Value?>(nil)

    func put(_ new: Value) {
        value.withLock { if $0 == nil { $0 = new } }
    }

    /// Waits for the value.
    func take() -> Value {
        while true {
            if let value = value.withLock({ $0 }) { return value }
            usleep(200)
        }
    }
}

/// A client that writes what a test says and reads what comes.
final class TestClient {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    struct Answer {
        var status = 0
        var headers: [String] = []
        var body: [UInt8] = []

        var text: String { String(decoding: body, as: UTF8.self) }

        func header(_ name: String) -> String? {
            headers.first { $0.lowercased().hasPrefix("\(name.lowercased()): ") }.map {
                String($0.dropFirst(name.count + 2))
            }
        }
    }

    /// How the server's side ended.
    enum End: Equatable {
        case orderly, reset, silence
        /// TLS has not said that it is over.
        case truncated
    }

    /// How a client speaks TLS.
    struct TLS: Sendable {
        /// ALPN; none when empty.
        var protocols: [String] = ["http/1.1"]
        var versions: ClosedRange<Int32> = TLS1_2_VERSION...TLS1_3_VERSION
        var certificate: TestCertificate?
        /// Only this certificate is accepted.
        var trusts: TestCertificate?
        var ciphers: String?
    }

    private let descriptor: Int32
    private var isOpen = true
    private var received: [UInt8] = []
    var onClose: (() -> Void)?
    private var context: OpaquePointer?
    private(set) var ssl: OpaquePointer?

    init(host: String, port: UInt16, receiveBuffer: Int32? = nil) throws {
        var hints = addrinfo()
        #if canImport(Glibc)
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        #else
        hints.ai_socktype = SOCK_STREAM
        #endif
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, "\(port)", &hints, &found) == 0, let info = found?.pointee else {
            throw Failure(description: "no address \(host)")
        }
        defer { freeaddrinfo(found) }
        descriptor = socket(info.ai_family, info.ai_socktype, 0)
        guard descriptor >= 0 else { throw Failure(description: "socket: \(errno)") }
        if var size = receiveBuffer {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        }
        var limit = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        #if canImport(Glibc)
        let code = Glibc.connect(descriptor, info.ai_addr, info.ai_addrlen)
        #else
        let code = Darwin.connect(descriptor, info.ai_addr, info.ai_addrlen)
        #endif
        guard code == 0 else {
            close()
            throw Failure(description: "connect: \(errno)")
        }
    }

    /// A client on a socket that is there already.
    init(descriptor: Int32) { self.descriptor = descriptor }

    deinit { close() }

    func close() {
        guard isOpen else { return }
        isOpen = false
        SSL_free(ssl)
        SSL_CTX_free(context)
        ssl = nil
        context = nil
        #if canImport(Glibc)
        _ = Glibc.close(descriptor)
        #else
        _ = Darwin.close(descriptor)
        #endif
        onClose?()
        onClose = nil
    }

    /// Closes with a reset, so that the server learns that nobody reads.
    func abort() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        close()
    }

    func endWriting() {
        if let ssl { SSL_shutdown(ssl) }
        shutdown(descriptor, Int32(SHUT_WR))
    }

    /// As `endWriting`, without a word of TLS.
    func endWritingAbruptly() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Passes on what another end of a socket sends, a byte at a time, until it closes; and back what comes.
    func relay(_ other: Int32) throws -> [NamedThread] {
        let mine = descriptor
        func pass(_ from: Int32, _ to: Int32, _ size: Int) throws -> NamedThread {
            try NamedThread("relay") {
                var block = [UInt8](repeating: 0, count: size)
                while true {
                    let count = recv(from, &block, block.count, 0)
                    if count <= 0 { break }
                    if size == 1 { usleep(20) }
                    #if os(Linux)
                    if Glibc.send(to, &block, count, Int32(MSG_NOSIGNAL)) != count { break }
                    #else
                    if Darwin.send(to, &block, count, 0) != count { break }
                    #endif
                }
                shutdown(to, Int32(SHUT_WR))
            }
        }
        return [try pass(other, mine, 1), try pass(mine, other, 4096)]
    }

    /// Shakes hands.
    ///
    /// - Throws: the first alert or error, in OpenSSL's words.
    func startTLS(_ tls: TLS = TLS()) throws {
        // OpenSSL's own way of writing to a socket knows no other.
        signal(SIGPIPE, SIG_IGN)
        context = SSL_CTX_new(TLS_client_method())
        _ = smsbridge_tls_set_versions(context, tls.versions.lowerBound, tls.versions.upperBound)
        // Whatever the system's configuration wants: a test asks for what it asks for.
        SSL_CTX_set_security_level(context, 0)
        if let ciphers = tls.ciphers { SSL_CTX_set_cipher_list(context, ciphers) }
        if !tls.protocols.isEmpty {
            let list = tls.protocols.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
            SSL_CTX_set_alpn_protos(context, list, UInt32(list.count))
        }
        if let identity = tls.certificate {
            let (certificate, key) = identity.read()
            SSL_CTX_use_certificate(context, certificate)
            SSL_CTX_use_PrivateKey(context, key)
            X509_free(certificate)
            EVP_PKEY_free(key)
        }
        if let trusts = tls.trusts {
            let (certificate, key) = trusts.read()
            X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate)
            X509_free(certificate)
            EVP_PKEY_free(key)
            SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
        }
        ssl = SSL_new(context)
        SSL_set_fd(ssl, descriptor)
        ERR_clear_error()
        guard SSL_connect(ssl) == 1 else {
            let reason = ERR_reason_error_string(ERR_peek_error()).map { String(cString: $0) } ?? "closed"
            throw Failure(description: reason)
        }
    }

    /// The name in the server's certificate.
    var serverName: String? {
        guard let certificate = SSL_get1_peer_certificate(ssl) else { return nil }
        defer { X509_free(certificate) }
        var text = [CChar](repeating: 0, count: 256)
        let count = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, &text, 256)
        return count < 0 ? nil : String(decoding: text[..<Int(count)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Writes everything.
    ///
    /// - Returns: how much the server's side took before it failed.
    @discardableResult
    func send(_ bytes: some Collection<UInt8>) -> Int {
        let bytes = Array(bytes)
        var sent = 0
        while sent < bytes.count {
            if let ssl {
                ERR_clear_error()
                let count = bytes.withUnsafeBytes {
                    SSL_write(ssl, $0.baseAddress! + sent, Int32(min($0.count - sent, 16_384)))
                }
                if count <= 0 { return sent }
                sent += Int(count)
                continue
            }
            #if os(Linux)
            let count = bytes.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            #else
            let count = bytes.withUnsafeBytes { Darwin.send(descriptor, $0.baseAddress! + sent, $0.count - sent, 0) }
            #endif
            if count <= 0 { return sent }
            sent += count
        }
        return sent
    }

    @discardableResult
    func send(_ text: String) -> Int { send(text.utf8) }

    /// Reads more; nil when something came.
    private func receive() -> End? {
        var block = [UInt8](repeating: 0, count: 65_536)
        while true {
            if let ssl {
                ERR_clear_error()
                errno = 0
                let count = SSL_read(ssl, &block, Int32(block.count))
                if count > 0 {
                    received += block[..<Int(count)]
                    return nil
                }
                switch SSL_get_error(ssl, count) {
                case SSL_ERROR_ZERO_RETURN: return .orderly
                case SSL_ERROR_SYSCALL: return errno == ECONNRESET || errno == EPIPE ? .reset : .silence
                case SSL_ERROR_WANT_READ: return .silence
                default: return .truncated
                }
            }
            let count = recv(descriptor, &block, block.count, 0)
            if count > 0 {
                received += block[..<count]
                return nil
            }
            if count == 0 { return .orderly }
            if errno == EINTR { continue }
            return errno == EAGAIN ? .silence : .reset
        }
    }

    /// Reads one answer.
    ///
    /// - Parameter isHead: whether it answers HEAD and so has no body.
    func answer(isHead: Bool = false) throws -> Answer {
        func fill() throws {
            if let end = receive() { throw Failure(description: "\(end) after \(received.count) bytes") }
        }
        var answer = Answer()
        var headEnd = 0
        while true {
            if let end = received.firstRange(of: Array("\r\n\r\n".utf8)) {
                headEnd = end.upperBound
                break
            }
            try fill()
        }
        let lines = String(decoding: received[..<(headEnd - 4)], as: UTF8.self).split(separator: "\r\n").map(
            String.init)
        let status = lines.first?.split(separator: " ") ?? []
        guard status.count >= 2, status[0] == "HTTP/1.1", let code = Int(status[1]) else {
            throw Failure(description: "no answer: \(lines)")
        }
        answer.status = code
        answer.headers = Array(lines.dropFirst())
        received.removeFirst(headEnd)
        if !isHead, code >= 200, let length = answer.header("content-length").flatMap({ Int($0) }) {
            while received.count < length { try fill() }
            answer.body = Array(received[..<length])
            received.removeFirst(length)
        }
        return answer
    }

    /// Reads to the end of what the server sends.
    ///
    /// - Returns: what had not been read before, and how it ended.
    func rest() -> (bytes: [UInt8], end: End) {
        while true {
            if let end = receive() { return (received, end) }
        }
    }
}

extension [UInt8] {
    /// Where `other` is first found.
    fileprivate func firstRange(of other: [UInt8]) -> Range<Int>? {
        guard count >= other.count else { return nil }
        for start in 0...(count - other.count) where self[start..<(start + other.count)].elementsEqual(other) {
            return start..<(start + other.count)
        }
        return nil
    }
}
