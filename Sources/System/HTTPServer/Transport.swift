internal import CSMSBridgeUV

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// The step between a socket and its connection: bytes in, bytes out. Plain TCP passes them through, TLS is between
/// once there is a session; the connection need not know which.
struct Transport {
    let descriptor: Int32
    /// Nil: plain TCP, or TLS whose handshake has not begun.
    var session: TLSSession?

    init(descriptor: Int32) { self.descriptor = descriptor }

    enum Outcome: Equatable {
        /// So many bytes, at least one.
        case moved(Int)
        /// Nothing now; readiness will tell.
        case wouldBlock
        /// The other side sends no more.
        case ended
        /// The connection is lost.
        case lost
    }

    @inline(__always)
    func read(into buffer: UnsafeMutableRawBufferPointer) -> Outcome {
        if let session { return session.read(into: buffer) }
        return readPlain(into: buffer)
    }

    @inline(__always)
    func write(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        if let session { return session.write(bytes) }
        return writePlain(bytes)
    }

    /// Whether there is something to read of which the socket knows nothing any more.
    var hasBuffered: Bool { session?.hasBuffered ?? false }
    /// Whether reading goes on only once something can be written.
    var waitsToWrite: Bool { session?.waitsToWrite ?? false }

    /// Reads what is in the socket, encrypted or not.
    ///
    /// - Parameter leaves: whether it is to be read again.
    func readPlain(into buffer: UnsafeMutableRawBufferPointer, leaves: Bool = false) -> Outcome {
        while true {
            let count = recv(descriptor, buffer.baseAddress, buffer.count, leaves ? Int32(MSG_PEEK) : 0)
            if count > 0 { return .moved(count) }
            if count == 0 { return .ended }
            switch errno {
            case EINTR: continue
            case EAGAIN, EWOULDBLOCK: return .wouldBlock
            default: return .lost
            }
        }
    }

    /// A client that has gone makes an outcome, not a signal.
    func writePlain(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        #if os(Linux)
        let flags = Int32(MSG_NOSIGNAL)
        #else
        let flags: Int32 = 0
        #endif
        while true {
            let count = send(descriptor, bytes.baseAddress, bytes.count, flags)
            if count > 0 { return .moved(count) }
            if count == 0 { return .wouldBlock }
            switch errno {
            case EINTR: continue
            case EAGAIN, EWOULDBLOCK, ENOBUFS: return .wouldBlock
            default: return .lost
            }
        }
    }

    /// Tells the other side that nothing more comes; it may still send.
    func endWriting() {
        session?.sayFarewell()
        _ = shutdown(descriptor, Int32(SHUT_WR))
    }

    func close() {
        session?.sayFarewell()
        #if canImport(Glibc)
        _ = Glibc.close(descriptor)
        #else
        _ = Darwin.close(descriptor)
        #endif
    }
}
