internal import CSMSBridgeOpenSSL

/// HMAC with SHA-256 (RFC 2104) under one key. What the key contributes is hashed once, here; a code then costs its message,
/// two more blocks, and no allocation.
struct HMACKey: Sendable {
    /// The hash after the key's inner and outer block.
    private let inner: SHA256_CTX
    private let outer: SHA256_CTX

    static let size = 32
    private static let blockSize = 64

    init(_ key: [UInt8]) {
        var block = [UInt8](repeating: 0, count: Self.blockSize)
        if key.count > Self.blockSize {
            var digest = [UInt8](repeating: 0, count: Self.size)
            var context = SHA256_CTX()
            _ = smsbridge_sha256(&context, key, key.count, &digest)
            block.replaceSubrange(..<Self.size, with: digest)
        } else {
            block.replaceSubrange(..<key.count, with: key)
        }
        inner = Self.hash(block.map { $0 ^ 0x36 })
        outer = Self.hash(block.map { $0 ^ 0x5C })
    }

    private static func hash(_ block: [UInt8]) -> SHA256_CTX {
        var context = SHA256_CTX()
        _ = smsbridge_sha256_init(&context)
        _ = smsbridge_sha256_update(&context, block, block.count)
        return context
    }

    /// Whether `code` is that of the message whose pieces `feed` gives, compared in constant time.
    func authenticates(_ code: InlineArray<32, UInt8>, _ feed: ((RawSpan) -> Void) -> Void) -> Bool {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Self.size) { digest in
            var context = inner
            feed { piece in
                piece.withUnsafeBytes { bytes in
                    if let base = bytes.baseAddress { _ = smsbridge_sha256_update(&context, base, bytes.count) }
                }
            }
            _ = smsbridge_sha256_final(&context, digest.baseAddress)
            context = outer
            _ = smsbridge_sha256_update(&context, digest.baseAddress, Self.size)
            _ = smsbridge_sha256_final(&context, digest.baseAddress)
            return code.span.bytes.withUnsafeBytes {
                CRYPTO_memcmp($0.baseAddress, digest.baseAddress, Self.size) == 0
            }
        }
    }
}
