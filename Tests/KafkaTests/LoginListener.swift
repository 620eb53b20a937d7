#if canImport(Glibc)
import Glibc
#endif

/// A port that speaks as much of Kafka's protocol as a login by SASL PLAIN takes, reads the token, and closes.
///
/// It knows ApiVersions (18) and SaslHandshake (17) in version 0 and nothing else, so that a client sends the token bare.
final class LoginListener: Sendable {
    let port: UInt16
    private let descriptor: Int32

    init() throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = descriptor
        let isListening = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, length) == 0 && listen(listener, 16) == 0 && getsockname(listener, $0, &length) == 0
            }
        }
        guard isListening else { throw Failure.noPort }
        port = UInt16(bigEndian: address.sin_port)
    }

    enum Failure: Error { case noPort }

    /// Answers clients until one logs in so, for up to a minute; `trigger` makes a client connect.
    func receivesLogin(user: String, password: String, trigger: () -> Void) -> Bool {
        // The token of RFC 4616.
        let wanted = [0] + Array(user.utf8) + [0] + Array(password.utf8)
        let deadline = monotonicMilliseconds() + 60_000
        while monotonicMilliseconds() < deadline {
            trigger()
            var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, 500) == 1 else { continue }
            let client = accept(descriptor, nil, nil)
            guard client >= 0 else { continue }
            defer { close(client) }
            if takeToken(client) == wanted { return true }
        }
        return false
    }

    deinit { close(descriptor) }

    private func takeToken(_ client: Int32) -> [UInt8]? {
        var limit = timeval(tv_sec: 5, tv_usec: 0)
        setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        while let request = frame(client), request.count >= 8 {
            let correlation = Array(request[4..<8])
            switch (request[1], request[3]) {
            case (18, 0):
                // ApiVersions: SaslHandshake and ApiVersions in version 0, and no error.
                answer(client, correlation + [0, 0, 0, 0, 0, 2, 0, 17, 0, 0, 0, 0, 0, 18, 0, 0, 0, 0])
            case (18, _):
                // UNSUPPORTED_VERSION, on which a client asks in version 0 again.
                answer(client, correlation + [0, 35, 0, 0, 0, 0])
            case (17, _):
                answer(client, correlation + [0, 0, 0, 0, 0, 1, 0, 5] + Array("PLAIN".utf8))
                return frame(client)
            default: return nil
            }
        }
        return nil
    }

    private func answer(_ client: Int32, _ body: [UInt8]) {
        let bytes = [0, 0, 0, UInt8(body.count)] + body
        _ = send(client, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    /// A frame: a length of four bytes, and as many bytes.
    private func frame(_ client: Int32) -> [UInt8]? {
        guard let length = read(client, 4) else { return nil }
        return read(client, length.reduce(0) { $0 << 8 | Int($1) })
    }

    private func read(_ client: Int32, _ count: Int) -> [UInt8]? {
        guard count <= 65_536 else { return nil }
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let got = bytes.withUnsafeMutableBytes { recv(client, $0.baseAddress! + filled, count - filled, 0) }
            guard got > 0 else { return nil }
            filled += got
        }
        return bytes
    }
}
