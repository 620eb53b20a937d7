/// What TLS is made of: the content of files, in PEM.
package struct TLSMaterial: Sendable, Equatable {
    /// Whether clients prove who they are, by a certificate that one of `clientAuthorities` has signed.
    package enum ClientCertificate: String, Sendable, CaseIterable {
        case required, optional
    }

    /// The server's certificate, and behind it those between it and a root, in this order.
    package var certificate: [UInt8]
    /// The private key of the first certificate, not encrypted.
    package var key: [UInt8]
    /// Nil: clients are not asked for a certificate.
    package var clientAuthorities: [UInt8]?
    package var clientCertificate = ClientCertificate.required

    package init(certificate: [UInt8], key: [UInt8]) {
        self.certificate = certificate
        self.key = key
    }
}

/// Why there is no TLS with this material. It never says what is in a file.
package struct TLSProblem: Error, Sendable, Equatable, CustomStringConvertible {
    /// Which part of the material it is about.
    package enum Part: Sendable { case certificate, key, clientAuthorities, library }

    package let part: Part
    package let description: String

    package init(_ part: Part, _ description: String) {
        self.part = part
        self.description = description
    }
}

/// Why a handshake came to nothing. The raw value is a fixed word, safe as a metric's label.
package enum TLSFailure: String, Sendable, CaseIterable {
    /// HTTP without TLS; answered 400 in plain text.
    case plaintext = "plaintext"
    /// A version below TLS 1.2.
    case version = "version"
    /// No cipher or group in common.
    case cipher = "cipher"
    /// The client speaks other protocols than HTTP/1.1 only (ALPN).
    case applicationProtocol = "application-protocol"
    /// No certificate of the client's, or one that is not accepted.
    case clientCertificate = "client-certificate"
    /// The client does not accept the server's certificate, or something else of its answer.
    case refusedByClient = "refused-by-client"
    /// Anything else that is not TLS as it should be.
    case malformed = "malformed"
    /// The client has left in the middle.
    case cutOff = "cut-off"
    /// It took longer than the configuration allows.
    case timeout = "timeout"
    /// Ended because too many others were waiting.
    case overload = "overload"
}
