internal import CUV

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// The step between a socket and its connection: bytes in, bytes out. Plain TCP passes them through; whatever
/// encrypts them belongs here, and the connection need not know.
struct Transport {
    let descriptor: Int32

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

    func read(into buffer: UnsafeMutableRawBufferPointer) -> Outcome {
        while true {
            let count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
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
    func write(_ bytes: UnsafeRawBufferPointer) -> Outcome {
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
        _ = shutdown(descriptor, Int32(SHUT_WR))
    }

    func close() {
        #if canImport(Glibc)
        _ = Glibc.close(descriptor)
        #else
        _ = Darwin.close(descriptor)
        #endif
    }
}
