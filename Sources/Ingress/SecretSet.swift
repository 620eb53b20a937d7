internal import COpenSSL

/// Secrets of which any one is right.
///
/// Both what is expected and what was given are hashed (SHA-256), and every digest is compared, each in constant time:
/// neither the length nor the content of a secret, nor which of them matched, shows in the time that it takes.
struct SecretSet {
    private let digests: [[UInt8]]

    /// - Returns: nil when there are no secrets.
    init?(_ secrets: [[UInt8]]) {
        guard !secrets.isEmpty else { return nil }
        digests = secrets.map { secret in
            withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { digest in
                SecretSet.hash(secret.span.bytes, into: digest)
                return Array(digest)
            }
        }
    }

    /// Whether `candidate` is one of the secrets.
    func contains(_ candidate: RawSpan) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { digest in
            Self.hash(candidate, into: digest)
            var matches: Int32 = 0
            for expected in digests {
                expected.withUnsafeBytes {
                    matches |= CRYPTO_memcmp($0.baseAddress, digest.baseAddress, 32) == 0 ? 1 : 0
                }
            }
            return matches != 0
        }
    }

    private static func hash(_ bytes: RawSpan, into digest: UnsafeMutableRawBufferPointer) {
        var context = SHA256_CTX()
        bytes.withUnsafeBytes { bytes in
            _ = smsbridge_sha256(
                &context, bytes.baseAddress, bytes.count, digest.baseAddress?.assumingMemoryBound(to: UInt8.self))
        }
    }
}
