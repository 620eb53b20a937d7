internal import SMSBridgeKafka

/// Maps keys of records to numbers: records with the same one are handled one after the other.
///
/// Seeded by chance, for keys come from outside.
struct KeyHash: Sendable {
    private let seed = UInt64.random(in: 0...UInt64.max)

    private static let first: UInt64 = 0x9E37_79B9_7F4A_7C15
    private static let second: UInt64 = 0xC2B2_AE3D_27D4_EB4F
    private static let third: UInt64 = 0x1656_67B1_9E37_79F9

    /// - Parameters:
    ///   - key: nil for a record without a key, which waits for no other.
    ///   - domain: Keys of different ones have nothing to do with each other: the event topic's position.
    @inline(__always)
    func callAsFunction(_ key: UnsafeRawBufferPointer?, domain: Int32, partition: Int32, offset: Int64) -> UInt64 {
        var hash = seed ^ UInt64(UInt32(bitPattern: domain)) &* Self.second
        @inline(__always) func mix(_ word: UInt64) {
            let product = (hash ^ word).multipliedFullWidth(by: Self.first)
            hash = product.high ^ product.low
        }
        guard let key, let start = key.baseAddress, key.count > 0 else {
            if key != nil { return hash }
            mix(UInt64(UInt32(bitPattern: partition)) | 1 << 40)
            mix(UInt64(bitPattern: offset))
            mix(Self.third)
            return hash
        }
        let count = key.count
        hash ^= UInt64(count) &* Self.third
        if count >= 8 {
            var at = 0
            while at &+ 8 < count {
                mix(start.loadUnaligned(fromByteOffset: at, as: UInt64.self))
                at &+= 8
            }
            mix(start.loadUnaligned(fromByteOffset: count &- 8, as: UInt64.self))
        } else {
            var word: UInt64 = 0
            for at in 0..<count { word = word << 8 | UInt64(start.load(fromByteOffset: at, as: UInt8.self)) }
            mix(word)
        }
        mix(Self.third)
        return hash
    }
}
