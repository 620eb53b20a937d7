internal import CSMSBridgeOpenSSL

/// Secrets of one kind, each of one account.
///
/// Both what is expected and what was given are hashed (SHA-256), and every digest is compared, each in constant time:
/// neither the length nor the content of a secret, nor which of them matched, shows in the time that it takes.
struct SecretSet: Sendable {
    private static let size = 32

    /// One behind the other.
    private let digests: [UInt8]
    /// Whose each is.
    private let owners: [Int]

    /// - Parameter secrets: of each account, by its position; any of an account's own is right.
    /// - Returns: nil when there are no secrets.
    init?(_ secrets: [[[UInt8]]]) {
        owners = secrets.enumerated().flatMap { account, secrets in secrets.map { _ in account } }
        guard !owners.isEmpty else { return nil }
        digests = secrets.joined().flatMap { secret in
            withUnsafeTemporaryAllocation(byteCount: Self.size, alignment: 8) { digest in
                SecretSet.hash(secret.span.bytes, into: digest)
                return Array(digest)
            }
        }
    }

    /// The account with the secret `candidate`; nil when no account has it.
    func owner(of candidate: RawSpan) -> Int? {
        withUnsafeTemporaryAllocation(byteCount: Self.size, alignment: 8) { digest in
            Self.hash(candidate, into: digest)
            // One more than the account, so that 0 is no account.
            var owner = 0
            digests.withUnsafeBytes { digests in
                guard let base = digests.baseAddress else { return }
                for index in owners.indices {
                    let matches = CRYPTO_memcmp(base + index * Self.size, digest.baseAddress, Self.size) == 0
                    owner |= matches ? owners[index] + 1 : 0
                }
            }
            return owner == 0 ? nil : owner - 1
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
