internal import CSMSBridgeOpenSSL

/// TLS on one connection's socket.
///
/// OpenSSL reads and writes the socket through functions of ours and not with its own: a write to a client that has
/// gone raises no signal, and one call reads a bounded amount, so that no client keeps the loop busy with bytes that
/// never become a request (records without content, changes of keys). What OpenSSL has read and not handed out yet, the
/// loop cannot see in the socket any more: `hasBuffered` tells.
final class TLSSession {
    enum Handshake {
        case done
        case wouldBlock
        case failed(TLSFailure)
    }

    /// What the functions know that OpenSSL calls.
    private struct Wire {
        let descriptor: Int32
        /// How much may still be read in the present call.
        var budget = 0
        var hasEnded = false
    }

    /// Four records of the largest size: more than the buffer holds into which requests are read.
    private static let budget = 64 << 10

    /// Holds what the socket is read with.
    private let context: TLSContext
    private let ssl: OpaquePointer
    private let wire: UnsafeMutablePointer<Wire>
    /// Reading goes on when something can be written: the answer to a change of keys.
    private(set) var waitsToWrite = false
    /// After an error OpenSSL allows nothing more, not even a farewell.
    private var isBroken = false
    private var isEstablished = false
    private var mayHaveMore = false

    init?(_ context: TLSContext, descriptor: Int32) {
        guard let ssl = SSL_new(context.context) else { return nil }
        guard let bio = BIO_new(context.wireMethod) else {
            SSL_free(ssl)
            return nil
        }
        self.context = context
        self.ssl = ssl
        wire = .allocate(capacity: 1)
        wire.initialize(to: Wire(descriptor: descriptor))
        BIO_set_data(bio, wire)
        BIO_set_init(bio, 1)
        SSL_set_bio(ssl, bio, bio)
        SSL_set_accept_state(ssl)
    }

    deinit {
        SSL_free(ssl)
        wire.deinitialize(count: 1)
        wire.deallocate()
    }

    /// Whether bytes of the client's wait here, and not in the socket.
    var hasBuffered: Bool { mayHaveMore && SSL_has_pending(ssl) == 1 }

    /// Whether the client has shown a certificate, which then is one that is accepted.
    var hasClientCertificate: Bool {
        guard let certificate = SSL_get1_peer_certificate(ssl) else { return false }
        X509_free(certificate)
        return true
    }

    // MARK: Moving bytes

    /// Goes on with the handshake as far as what has come allows.
    func shakeHands() -> Handshake {
        let code = call { SSL_do_handshake($0) }
        if code == 1 {
            isEstablished = true
            // A request may have come with the handshake's last bytes.
            mayHaveMore = true
            return .done
        }
        switch SSL_get_error(ssl, code) {
        case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return .wouldBlock
        default:
            isBroken = true
            return .failed(wire.pointee.hasEnded ? .cutOff : Self.failure())
        }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) -> Transport.Outcome {
        let count = call { SSL_read($0, buffer.baseAddress, Int32(clamping: buffer.count)) }
        mayHaveMore = count > 0
        if count > 0 { return .moved(Int(count)) }
        switch SSL_get_error(ssl, count) {
        case SSL_ERROR_WANT_READ: return .wouldBlock
        case SSL_ERROR_WANT_WRITE:
            waitsToWrite = true
            return .wouldBlock
        case SSL_ERROR_ZERO_RETURN: return .ended
        default:
            isBroken = true
            return .lost
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer) -> Transport.Outcome {
        let count = call { SSL_write($0, bytes.baseAddress, Int32(clamping: bytes.count)) }
        if count > 0 { return .moved(Int(count)) }
        if SSL_get_error(ssl, count) == SSL_ERROR_WANT_WRITE { return .wouldBlock }
        // Without renegotiation a write never waits for the other side.
        isBroken = true
        return .lost
    }

    /// Says that nothing more comes (RFC 8446 section 6.1), if the socket takes it at once.
    func sayFarewell() {
        guard isEstablished, !isBroken else { return }
        isBroken = true
        _ = call { SSL_shutdown($0) }
    }

    private func call(_ body: (OpaquePointer) -> Int32) -> Int32 {
        // The thread's errors are OpenSSL's second result: what others have left would be taken for ours.
        ERR_clear_error()
        wire.pointee.budget = Self.budget
        waitsToWrite = false
        return body(ssl)
    }

    /// Why OpenSSL refuses, by the first of its errors that is about TLS: there may be some of what lies below before
    /// it.
    private static func failure() -> TLSFailure {
        var code = ERR_get_error()
        if code == 0 { return .cutOff }
        while code != 0, smsbridge_error_library(code) != ERR_LIB_SSL { code = ERR_get_error() }
        switch smsbridge_error_reason(code) {
        case SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST: return .plaintext
        case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_VERSION_TOO_LOW, SSL_R_INAPPROPRIATE_FALLBACK: return .version
        case SSL_R_NO_SHARED_CIPHER, SSL_R_NO_SUITABLE_KEY_SHARE, SSL_R_NO_SHARED_GROUPS,
            SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
            return .cipher
        case SSL_R_NO_APPLICATION_PROTOCOL: return .applicationProtocol
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, SSL_R_CERTIFICATE_VERIFY_FAILED: return .clientCertificate
        // Alerts of the client's (SSL_AD_REASON_OFFSET).
        case 1000...: return .refusedByClient
        default: return .malformed
        }
    }

    // MARK: What OpenSSL calls

    static func makeWireMethod() throws(TLSProblem) -> OpaquePointer {
        let kind = BIO_get_new_index() | BIO_TYPE_SOURCE_SINK
        guard let method = BIO_meth_new(kind, "connection") else { throw TLSProblem(.library, "no memory") }
        BIO_meth_set_read(method) { bio, buffer, count in
            BIO_clear_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_WRITE | BIO_FLAGS_SHOULD_RETRY)
            guard let wire = TLSSession.wire(of: bio), let buffer, count > 0 else { return -1 }
            let wanted = min(Int(count), wire.pointee.budget)
            guard wanted > 0 else {
                BIO_set_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY)
                return -1
            }
            switch Transport(descriptor: wire.pointee.descriptor).readPlain(
                into: UnsafeMutableRawBufferPointer(start: buffer, count: wanted))
            {
            case .moved(let count):
                wire.pointee.budget -= count
                return Int32(count)
            case .wouldBlock:
                BIO_set_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY)
                return -1
            case .ended:
                wire.pointee.hasEnded = true
                return 0
            case .lost:
                wire.pointee.hasEnded = true
                return -1
            }
        }
        BIO_meth_set_write(method) { bio, buffer, count in
            BIO_clear_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_WRITE | BIO_FLAGS_SHOULD_RETRY)
            guard let wire = TLSSession.wire(of: bio), let buffer, count > 0 else { return -1 }
            switch Transport(descriptor: wire.pointee.descriptor).writePlain(
                UnsafeRawBufferPointer(start: buffer, count: Int(count)))
            {
            case .moved(let count): return Int32(count)
            case .wouldBlock:
                BIO_set_flags(bio, BIO_FLAGS_WRITE | BIO_FLAGS_SHOULD_RETRY)
                return -1
            case .ended, .lost:
                wire.pointee.hasEnded = true
                return -1
            }
        }
        BIO_meth_set_ctrl(method) { bio, command, _, _ in
            switch command {
            case BIO_CTRL_FLUSH: 1
            case BIO_CTRL_EOF: TLSSession.wire(of: bio)?.pointee.hasEnded == true ? 1 : 0
            default: 0
            }
        }
        return method
    }

    private static func wire(of bio: OpaquePointer?) -> UnsafeMutablePointer<Wire>? {
        BIO_get_data(bio)?.assumingMemoryBound(to: Wire.self)
    }
}
