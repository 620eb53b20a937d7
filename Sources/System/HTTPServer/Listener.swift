internal import CSMSBridgeUV
internal import SMSBridgeAddresses
import SMSBridgeEventLoop

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// An address of a name that is not listened on, because this machine does not have it.
package struct SkippedAddress: Sendable, Equatable {
    /// In numbers.
    package let address: String
    /// The system's reason.
    package let reason: String
}

/// A socket that accepts connections.
final class Listener {
    let descriptor: Int32
    let port: UInt16
    var watch: DescriptorWatch?

    enum Accepted {
        case connection(Transport, PeerAddress)
        /// No connection waits.
        case none
        /// One that waited has gone again.
        case gone
        /// No descriptors or memory for another.
        case exhausted
    }

    private init(descriptor: Int32, port: UInt16) {
        self.descriptor = descriptor
        self.port = port
    }

    /// Listens on every address of `host`, all with one port. Of a name, addresses that this machine does not have are
    /// skipped if there is another.
    ///
    /// - Returns: the listeners, and the addresses that were skipped.
    /// - Throws: when no address is left, or listening on one of them fails for another reason, such as a port that is taken.
    static func listen(
        host: String, port: UInt16, backlog: Int32
    ) throws(HTTPServerError) -> (listeners: [Listener], skipped: [SkippedAddress]) {
        var hints = addrinfo()
        hints.ai_flags = AI_PASSIVE
        hints.ai_family = AF_UNSPEC
        #if canImport(Glibc)
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        #else
        hints.ai_socktype = SOCK_STREAM
        #endif
        var found: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, nil, &hints, &found)
        guard code == 0, let found else {
            throw HTTPServerError(operation: "look up \(host)", reason: String(cString: gai_strerror(code)))
        }
        defer { freeaddrinfo(found) }
        var listeners: [Listener] = []
        var skipped: [SkippedAddress] = []
        var seen: Set<String> = []
        var lastFailure: HTTPServerError?
        var next: UnsafeMutablePointer<addrinfo>? = found
        // With IPv4 addresses beside it, an IPv6 socket must not take theirs.
        let isAlone = found.pointee.ai_next == nil
        while let info = next?.pointee {
            next = info.ai_next
            let address = text(of: info) ?? host
            // A name that the hosts file has twice.
            guard seen.insert(address).inserted else { continue }
            do throws(HTTPServerError) {
                let chosen = listeners.first?.port ?? port
                listeners.append(
                    try listen(on: info, address: address, port: chosen, backlog: backlog, takesIPv4: isAlone))
            } catch {
                guard let code = error.code, [EADDRNOTAVAIL, EAFNOSUPPORT, EPROTONOSUPPORT].contains(code) else {
                    for listener in listeners { listener.close() }
                    throw error
                }
                skipped.append(SkippedAddress(address: address, reason: error.reason))
                lastFailure = error
            }
        }
        if listeners.isEmpty, let lastFailure { throw lastFailure }
        return (listeners, skipped)
    }

    /// The address in numbers.
    private static func text(of info: addrinfo) -> String? {
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        guard getnameinfo(info.ai_addr, info.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0
        else { return nil }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func listen(
        on info: addrinfo, address text: String, port: UInt16, backlog: Int32, takesIPv4: Bool
    ) throws(HTTPServerError) -> Listener {
        let operation = "listen on \(info.ai_family == AF_INET6 ? "[\(text)]" : text):\(port)"
        func failure() -> HTTPServerError {
            let code = errno
            return HTTPServerError(operation: operation, reason: String(cString: strerror(code)), code: code)
        }
        var storage = sockaddr_storage()
        guard let address = info.ai_addr, Int(info.ai_addrlen) <= MemoryLayout<sockaddr_storage>.size else {
            throw HTTPServerError(operation: operation, reason: "unknown address family")
        }
        withUnsafeMutableBytes(of: &storage) { bytes in
            bytes.copyMemory(from: UnsafeRawBufferPointer(start: address, count: Int(info.ai_addrlen)))
            if info.ai_family == AF_INET {
                bytes.baseAddress?.assumingMemoryBound(to: sockaddr_in.self).pointee.sin_port = port.bigEndian
            } else {
                bytes.baseAddress?.assumingMemoryBound(to: sockaddr_in6.self).pointee.sin6_port = port.bigEndian
            }
        }
        let descriptor = socket(info.ai_family, info.ai_socktype, 0)
        guard descriptor >= 0 else { throw failure() }
        var isListening = false
        defer { if !isListening { Transport(descriptor: descriptor).close() } }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        guard fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK) >= 0 else { throw failure() }
        setOption(descriptor, SOL_SOCKET, SO_REUSEADDR, 1)
        if info.ai_family == AF_INET6 {
            setOption(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, takesIPv4 ? 0 : 1)
        }
        let length = info.ai_addrlen
        let bound = withUnsafePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
        }
        guard bound == 0 else { throw failure() }
        #if canImport(Glibc)
        let code = Glibc.listen(descriptor, backlog)
        #else
        let code = Darwin.listen(descriptor, backlog)
        #endif
        guard code == 0 else { throw failure() }
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let named = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) }
        }
        guard named == 0 else { throw failure() }
        isListening = true
        return Listener(descriptor: descriptor, port: PeerAddress(storage).port)
    }

    /// Takes one connection that waits.
    func accept() -> Accepted {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let accepted = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { cuv_accept(descriptor, $0, &length) }
        }
        guard accepted >= 0 else {
            switch errno {
            case EAGAIN, EWOULDBLOCK: return .none
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: return .exhausted
            // Linux hands errors of the new connection over here (accept(2)).
            default: return .gone
            }
        }
        // Answers are written whole: nothing is gained by waiting for more to send.
        Self.setOption(accepted, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        #if !os(Linux)
        Self.setOption(accepted, SOL_SOCKET, SO_NOSIGPIPE, 1)
        #endif
        return .connection(Transport(descriptor: accepted), PeerAddress(storage))
    }

    private static func setOption(_ descriptor: Int32, _ level: Int32, _ name: Int32, _ value: Int32) {
        var value = value
        _ = setsockopt(descriptor, level, name, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    /// Has the system take no new connection, while those whose handshake is under way are still to be accepted.
    ///
    /// A client whose SYN is dropped sends it again after a second, and finds the port closed by then. Without this, a
    /// client that believes to be connected would be reset when the socket is closed.
    func dropNewConnections() { _ = cuv_drop_syns(descriptor) }

    func close() {
        watch?.cancel()
        watch = nil
        Transport(descriptor: descriptor).close()
    }
}
