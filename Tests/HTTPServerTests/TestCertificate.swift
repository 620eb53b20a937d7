import CSMSBridgeOpenSSL
import SMSBridgeHTTPServer
import Testing

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// A certificate with its key, made on the spot.
struct TestCertificate: Sendable {
    /// PEM.
    let certificate: [UInt8]
    /// PEM, and the same with a password.
    let key: [UInt8]
    let encryptedKey: [UInt8]

    /// - Parameters:
    ///   - begins: from when on it is valid, in seconds from now.
    ///   - ends: until when.
    ///   - issuer: who signs it; nil: itself, as an authority.
    ///   - bits: of an RSA key; nil: P-256.
    init(
        _ name: String, begins: Int = -60, ends: Int = 3600, issuer: TestCertificate? = nil, bits: Int32? = nil
    ) {
        let context = EVP_PKEY_CTX_new_id(bits == nil ? EVP_PKEY_EC : EVP_PKEY_RSA, nil)!
        defer { EVP_PKEY_CTX_free(context) }
        EVP_PKEY_keygen_init(context)
        if let bits {
            EVP_PKEY_CTX_set_rsa_keygen_bits(context, bits)
        } else {
            EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1)
        }
        var key: OpaquePointer?
        EVP_PKEY_keygen(context, &key)
        defer { EVP_PKEY_free(key) }
        let made = X509_new()!
        defer { X509_free(made) }
        X509_set_version(made, 2)
        ASN1_INTEGER_set(X509_get_serialNumber(made), Int.random(in: 1...(1 << 30)))
        X509_gmtime_adj(X509_getm_notBefore(made), begins)
        X509_gmtime_adj(X509_getm_notAfter(made), ends)
        X509_set_pubkey(made, key)
        let subject = X509_get_subject_name(made)
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, name, -1, -1, 0)
        let value = issuer == nil ? "critical,CA:TRUE" : "critical,CA:FALSE"
        let constraint = X509V3_EXT_conf_nid(nil, nil, NID_basic_constraints, value)
        X509_add_ext(made, constraint, -1)
        X509_EXTENSION_free(constraint)
        if let issuer {
            let (authority, authorityKey) = issuer.read()
            defer {
                X509_free(authority)
                EVP_PKEY_free(authorityKey)
            }
            X509_set_issuer_name(made, X509_get_subject_name(authority))
            X509_sign(made, authorityKey, EVP_sha256())
        } else {
            X509_set_issuer_name(made, subject)
            X509_sign(made, key, EVP_sha256())
        }
        certificate = Self.text { PEM_write_bio_X509($0, made) }
        self.key = Self.text { PEM_write_bio_PrivateKey($0, key, nil, nil, 0, nil, nil) }
        encryptedKey = Self.text { target in
            var password = Array("password".utf8)
            return PEM_write_bio_PrivateKey(
                target, key, EVP_aes_128_cbc(), &password, Int32(password.count), nil, nil)
        }
    }

    var material: TLSMaterial { TLSMaterial(certificate: certificate, key: key) }

    /// As OpenSSL has them; the caller frees both.
    func read() -> (certificate: OpaquePointer?, key: OpaquePointer?) {
        let certificate = certificate.withUnsafeBytes { bytes in
            let source = BIO_new_mem_buf(bytes.baseAddress, Int32(bytes.count))
            defer { BIO_free(source) }
            return PEM_read_bio_X509(source, nil, nil, nil)
        }
        let key = key.withUnsafeBytes { bytes in
            let source = BIO_new_mem_buf(bytes.baseAddress, Int32(bytes.count))
            defer { BIO_free(source) }
            return PEM_read_bio_PrivateKey(source, nil, nil, nil)
        }
        return (certificate, key)
    }

    private static func text(_ write: (OpaquePointer?) -> Int32) -> [UInt8] {
        let target = BIO_new(BIO_s_mem())
        defer { BIO_free(target) }
        _ = write(target)
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = BIO_read(target, &bytes, Int32(bytes.count))
        return Array(bytes[..<Int(max(0, count))])
    }

    /// The one that servers of tests have.
    static let server = TestCertificate("localhost")
}

/// How a test's client speaks to its server.
enum Wire: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case plain, tls

    var testDescription: String { rawValue }
}
