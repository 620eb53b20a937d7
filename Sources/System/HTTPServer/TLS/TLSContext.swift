internal import CSMSBridgeOpenSSL

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// How a server speaks TLS: its certificate and key, and the rules for all its connections. It belongs to the loop's
/// thread; connections hold the one that they began with, so it may be replaced at any time.
///
/// TLS 1.2 and 1.3, ciphers with forward secrecy and authenticated encryption only (Mozilla's "intermediate" without
/// finite-field Diffie-Hellman, whose cost a stranger could make us bear), HTTP/1.1 by ALPN, no renegotiation, no
/// compression. No session is ever resumed: no key of tickets that must be guarded and changed, and a new certificate
/// or other client authorities count from the next connection on. Callers keep connections, so handshakes are few.
package final class TLSContext {
    let context: OpaquePointer
    /// How OpenSSL reads and writes a connection's socket: through `TLSSession`.
    let wireMethod: OpaquePointer
    /// Whether clients are asked for certificates.
    let asksClients: Bool
    /// When the first of the certificates expires, and when the last of them begins to be valid; seconds since 1970.
    package let expiry: Int64
    package let validFrom: Int64

    private static let ciphers =
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
        + "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
    private static let groups = "X25519:P-256:P-384"

    package init(_ material: TLSMaterial) throws(TLSProblem) {
        guard let context = SSL_CTX_new(TLS_server_method()) else { throw Self.failure(.library, "no TLS") }
        do throws(TLSProblem) {
            try Self.prepare(context)
            (validFrom, expiry) = try Self.use(certificate: material.certificate, in: context)
            try Self.use(key: material.key, in: context)
            if let authorities = material.clientAuthorities {
                try Self.ask(for: material.clientCertificate, signedBy: authorities, in: context)
            }
            wireMethod = try TLSSession.makeWireMethod()
        } catch {
            SSL_CTX_free(context)
            throw error
        }
        self.context = context
        asksClients = material.clientAuthorities != nil
    }

    deinit {
        SSL_CTX_free(context)
        BIO_meth_free(wireMethod)
    }

    private static func prepare(_ context: OpaquePointer) throws(TLSProblem) {
        smsbridge_tls_set_options(context)
        // Level 2: keys of 112 bits of security, RSA from 2048 on; whatever the system's openssl.cnf says.
        SSL_CTX_set_security_level(context, 2)
        guard smsbridge_tls_set_versions(context, TLS1_2_VERSION, 0) == 1,
            SSL_CTX_set_cipher_list(context, ciphers) == 1,
            smsbridge_tls_set_groups(context, groups) == 1, SSL_CTX_set_num_tickets(context, 0) == 1
        else { throw failure(.library, "cannot be set up") }
        SSL_CTX_set_alpn_select_cb(
            context,
            { _, chosen, chosenCount, offered, offeredCount, _ in
                guard let chosen, let chosenCount, let offered else { return SSL_TLSEXT_ERR_ALERT_FATAL }
                let name: StaticString = "http/1.1"
                var index = 0
                while index < Int(offeredCount) {
                    let count = Int(offered[index])
                    guard index + 1 + count <= Int(offeredCount) else { break }
                    if count == name.utf8CodeUnitCount, memcmp(offered + index + 1, name.utf8Start, count) == 0 {
                        chosen.pointee = offered + index + 1
                        chosenCount.pointee = UInt8(count)
                        return SSL_TLSEXT_ERR_OK
                    }
                    index += 1 + count
                }
                return SSL_TLSEXT_ERR_ALERT_FATAL
            }, nil)
    }

    // MARK: Certificate and key

    private static func use(
        certificate pem: [UInt8], in context: OpaquePointer
    ) throws(TLSProblem) -> (from: Int64, to: Int64) {
        let certificates = try read(certificates: pem, .certificate)
        var validity = (from: Int64.min, to: Int64.max)
        for (index, certificate) in certificates.enumerated() {
            validity.from = max(validity.from, seconds(X509_get0_notBefore(certificate)))
            validity.to = min(validity.to, seconds(X509_get0_notAfter(certificate)))
            if index == 0 {
                let isUsed = SSL_CTX_use_certificate(context, certificate) == 1
                // The context has a reference of its own.
                X509_free(certificate)
                if !isUsed {
                    for other in certificates.dropFirst() { X509_free(other) }
                    throw failure(.certificate, "the certificate is not accepted")
                }
            } else if smsbridge_tls_add_chain(context, certificate) != 1 {
                for other in certificates[index...] { X509_free(other) }
                throw failure(.certificate, "certificate \(index + 1) in it is not accepted")
            }
        }
        return validity
    }

    /// Every certificate of a file, at least one.
    private static func read(certificates pem: [UInt8], _ part: TLSProblem.Part) throws(TLSProblem) -> [OpaquePointer] {
        ERR_clear_error()
        var found: [OpaquePointer] = []
        let code: UInt = pem.withUnsafeBytes { bytes in
            guard let source = BIO_new_mem_buf(bytes.baseAddress, Int32(clamping: bytes.count)) else { return 0 }
            defer { BIO_free(source) }
            while let certificate = PEM_read_bio_X509(source, nil, nil, nil) { found.append(certificate) }
            return ERR_peek_last_error()
        }
        let isAtEnd =
            smsbridge_error_library(code) == ERR_LIB_PEM && smsbridge_error_reason(code) == PEM_R_NO_START_LINE
        ERR_clear_error()
        guard isAtEnd, !found.isEmpty else {
            for certificate in found { X509_free(certificate) }
            throw TLSProblem(
                part,
                isAtEnd
                    ? "there is no certificate in it (PEM: -----BEGIN CERTIFICATE-----)"
                    : "certificate \(found.count + 1) in it cannot be read")
        }
        return found
    }

    private static func use(key pem: [UInt8], in context: OpaquePointer) throws(TLSProblem) {
        ERR_clear_error()
        var isEncrypted = false
        let key: OpaquePointer? = pem.withUnsafeBytes { bytes in
            guard let source = BIO_new_mem_buf(bytes.baseAddress, Int32(clamping: bytes.count)) else { return nil }
            defer { BIO_free(source) }
            return withUnsafeMutablePointer(to: &isEncrypted) { flag in
                // Asked for a password only when the key needs one. Without a function OpenSSL would ask the terminal.
                PEM_read_bio_PrivateKey(
                    source, nil,
                    { _, _, _, flag in
                        flag?.assumingMemoryBound(to: Bool.self).pointee = true
                        return -1
                    }, flag)
            }
        }
        guard let key else {
            ERR_clear_error()
            throw TLSProblem(
                .key,
                isEncrypted
                    ? "the key is encrypted: give it without a password (openssl pkey -in … -out …)"
                    : "there is no private key in it (PEM: -----BEGIN PRIVATE KEY-----)")
        }
        defer { EVP_PKEY_free(key) }
        guard let certificate = SSL_CTX_get0_certificate(context), X509_check_private_key(certificate, key) == 1 else {
            ERR_clear_error()
            throw TLSProblem(.key, "the key is not that of the certificate")
        }
        guard SSL_CTX_use_PrivateKey(context, key) == 1 else { throw failure(.key, "the key is not accepted") }
    }

    private static func ask(
        for wanted: TLSMaterial.ClientCertificate, signedBy pem: [UInt8], in context: OpaquePointer
    ) throws(TLSProblem) {
        let store = SSL_CTX_get_cert_store(context)
        var isDone = true
        for certificate in try read(certificates: pem, .clientAuthorities) {
            if X509_STORE_add_cert(store, certificate) != 1 || SSL_CTX_add_client_CA(context, certificate) != 1 {
                isDone = false
            }
            X509_free(certificate)
        }
        guard isDone else { throw failure(.clientAuthorities, "a certificate in it is not accepted") }
        SSL_CTX_set_verify(
            context, SSL_VERIFY_PEER | (wanted == .required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nil)
    }

    /// Seconds since 1970; far away from every real time when it cannot be read.
    private static func seconds(_ time: UnsafePointer<ASN1_TIME>?) -> Int64 {
        var parts = tm()
        guard let time, ASN1_TIME_to_tm(time, &parts) == 1 else { return 0 }
        return Int64(timegm(&parts))
    }

    /// With OpenSSL's own words for it.
    private static func failure(_ part: TLSProblem.Part, _ text: String) -> TLSProblem {
        let code = ERR_get_error()
        ERR_clear_error()
        guard code != 0, let reason = ERR_reason_error_string(code) else { return TLSProblem(part, text) }
        return TLSProblem(part, "\(text): \(String(cString: reason))")
    }
}
