internal import CSMSBridgeOpenSSL

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// The validity of the certificates, or of the revocation lists, in a file.
package struct CertificateFile: Sendable, Equatable {
    /// The period in which one of them is valid, in seconds since 1970.
    package struct Validity: Sendable, Equatable {
        /// The subject's name, such as `CN=smsbridge`; the issuer's of a revocation list.
        package let subject: String
        package let begin: Int64
        package let end: Int64

        package init(subject: String, begin: Int64, end: Int64) {
            self.subject = subject
            self.begin = begin
            self.end = end
        }
    }

    /// In the order of the file; never empty.
    package let validities: [Validity]

    /// - Parameter validities: not empty.
    package init(validities: [Validity]) { self.validities = validities }

    /// Reads certificates in PEM (`-----BEGIN CERTIFICATE-----`); other blocks of the file are skipped.
    ///
    /// - Throws: ``CertificateProblem`` where there is none, or one that cannot be read.
    package init(pem: [UInt8]) throws(CertificateProblem) {
        try self.init(pem: pem, what: "certificate") { source in
            guard let certificate = PEM_read_bio_X509(source, nil, nil, nil) else { return nil }
            defer { X509_free(certificate) }
            return Self.validity(of: certificate)
        }
    }

    /// Reads revocation lists in PEM (`-----BEGIN X509 CRL-----`). Each is valid until its next update.
    ///
    /// - Throws: ``CertificateProblem`` where there is none, or one that cannot be read.
    package init(revocationLists pem: [UInt8]) throws(CertificateProblem) {
        try self.init(pem: pem, what: "revocation list") { source in
            guard let list = PEM_read_bio_X509_CRL(source, nil, nil, nil) else { return nil }
            defer { X509_CRL_free(list) }
            return Validity(
                subject: Self.text(X509_CRL_get_issuer(list)), begin: Self.seconds(X509_CRL_get0_lastUpdate(list)),
                end: X509_CRL_get0_nextUpdate(list).map { Self.seconds($0) } ?? .max)
        }
    }

    /// Reads the certificates of a PKCS #12 key store.
    ///
    /// - Throws: ``CertificateProblem`` where it cannot be read, as with a wrong password, or has no certificate.
    package init(keyStore bytes: [UInt8], password: String) throws(CertificateProblem) {
        ERR_clear_error()
        defer { ERR_clear_error() }
        let store: OpaquePointer? = bytes.withUnsafeBytes {
            guard let source = BIO_new_mem_buf($0.baseAddress, Int32(clamping: $0.count)) else { return nil }
            defer { BIO_free(source) }
            return d2i_PKCS12_bio(source, nil)
        }
        guard let store else { throw CertificateProblem(description: "it is no PKCS #12 key store") }
        defer { PKCS12_free(store) }
        var key: OpaquePointer?
        var certificate: OpaquePointer?
        var others: OpaquePointer?
        guard PKCS12_parse(store, password, &key, &certificate, &others) == 1 else {
            throw CertificateProblem(description: "the key store cannot be opened with its password")
        }
        defer {
            EVP_PKEY_free(key)
            X509_free(certificate)
            smsbridge_free_certificates(others)
        }
        var found = certificate.map { [Self.validity(of: $0)] } ?? []
        for index in 0..<smsbridge_certificate_count(others) {
            if let other = smsbridge_certificate(others, index) { found.append(Self.validity(of: other)) }
        }
        guard !found.isEmpty else { throw CertificateProblem(description: "there is no certificate in it") }
        validities = found
    }

    /// - Parameter next: reads one block and steps over it; nil where there is none any more, or it cannot be read.
    private init(
        pem: [UInt8], what: String, _ next: (OpaquePointer) -> Validity?
    ) throws(CertificateProblem) {
        ERR_clear_error()
        defer { ERR_clear_error() }
        var found: [Validity] = []
        let code: UInt = pem.withUnsafeBytes { bytes in
            guard let source = BIO_new_mem_buf(bytes.baseAddress, Int32(clamping: bytes.count)) else { return 0 }
            defer { BIO_free(source) }
            while let validity = next(source) { found.append(validity) }
            return ERR_peek_last_error()
        }
        let isAtEnd =
            smsbridge_error_library(code) == ERR_LIB_PEM && smsbridge_error_reason(code) == PEM_R_NO_START_LINE
        guard isAtEnd else {
            throw CertificateProblem(description: "\(what) \(found.count + 1) in it cannot be read")
        }
        guard !found.isEmpty else { throw CertificateProblem(description: "there is no \(what) in it (PEM)") }
        validities = found
    }

    private static func validity(of certificate: OpaquePointer) -> Validity {
        Validity(
            subject: text(X509_get_subject_name(certificate)), begin: seconds(X509_get0_notBefore(certificate)),
            end: seconds(X509_get0_notAfter(certificate)))
    }

    /// RFC 2253, at most 200 characters.
    private static func text(_ name: OpaquePointer?) -> String {
        guard let name, let output = BIO_new(BIO_s_mem()) else { return "" }
        defer { BIO_free(output) }
        guard smsbridge_print_name(output, name) >= 0 else { return "" }
        var bytes = [UInt8](repeating: 0, count: 200)
        let count = BIO_read(output, &bytes, Int32(bytes.count))
        return count > 0 ? String(decoding: bytes[..<Int(count)], as: UTF8.self) : ""
    }

    /// Seconds since 1970; 0 for a time that cannot be read, so that it counts as past.
    private static func seconds(_ time: UnsafePointer<ASN1_TIME>?) -> Int64 {
        var parts = tm()
        guard let time, ASN1_TIME_to_tm(time, &parts) == 1 else { return 0 }
        return Int64(timegm(&parts))
    }
}

extension CertificateFile {
    /// When a chain that is presented to others stops being valid: with the first of its certificates.
    package var chainEnd: Int64 { validities.map(\.end).min() ?? 0 }

    /// When a list of trusted authorities should have been renewed.
    ///
    /// A short list, of up to 20, is maintained by hand: the first that expires counts. A collection of public
    /// authorities always has expired ones in it; it counts as valid until the last one has expired.
    package var authoritiesEnd: Int64 {
        (validities.count <= Self.mostKeptAuthorities ? validities.map(\.end).min() : validities.map(\.end).max()) ?? 0
    }

    private static let mostKeptAuthorities = 20
}

/// Why no certificates were read. It never says what is in the file.
package struct CertificateProblem: Error, Sendable, Equatable, CustomStringConvertible {
    package let description: String

    package init(description: String) { self.description = description }
}
