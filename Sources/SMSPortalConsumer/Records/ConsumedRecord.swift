internal import Kafka
internal import SMSPortalEvents

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// A record as it came, copied out of librdkafka's memory into one allocation: a record that waits for its turn must not
/// keep the whole response alive that it came in.
final class ConsumedRecord: Sendable {
    let topic: String
    let partition: Int32
    let offset: Int64
    /// Milliseconds since 1970; nil where the record has none.
    let timestamp: Int64?
    let isCreateTime: Bool
    /// Which records must be handled one after the other: those with the same value here. A record without a key has one
    /// of its own. Two keys may share a value; they then wait for each other, which harms nobody.
    let order: UInt64
    /// Key, value, and the headers, each of them two sizes, name and value; sizes are four bytes, -1 for null.
    private let bytes: [UInt8]
    private let keyCount: Int
    private let valueCount: Int

    /// - Parameter topic: the record's, as a string that the caller keeps.
    init(_ message: borrowing Message, topic: String) {
        self.topic = topic
        partition = message.partition
        offset = message.offset
        timestamp = message.timestamp
        isCreateTime = message.isCreateTime
        var bytes: [UInt8] = []
        bytes.reserveCapacity(message.size + 256)
        keyCount = message.withKey { key in
            guard let key else { return -1 }
            bytes.append(contentsOf: key)
            return key.count
        }
        valueCount = message.withValue { value in
            guard let value else { return -1 }
            bytes.append(contentsOf: value)
            return value.count
        }
        message.forEachRawHeader { name, value in
            Self.append(size: name.count, to: &bytes)
            Self.append(size: value?.count ?? -1, to: &bytes)
            bytes.append(contentsOf: name)
            if let value { bytes.append(contentsOf: value) }
        }
        self.bytes = bytes
        order = keyCount >= 0 ? Self.order(ofKey: bytes, keyCount) : UInt64(bitPattern: offset) &* 0x9E37_79B9_7F4A_7C15
    }

    /// What the record counts for against the bound of bytes: what it holds, and about what holding it costs.
    var size: Int { bytes.count + 192 }

    var key: [UInt8]? { keyCount < 0 ? nil : Array(bytes[..<keyCount]) }

    var value: [UInt8]? { withValue { $0.map(Array.init) } }

    func withValue<R>(_ body: (UnsafeRawBufferPointer?) -> R) -> R {
        guard valueCount >= 0 else { return body(nil) }
        let start = max(0, keyCount)
        return bytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[start..<start + valueCount])) }
    }

    private static func order(ofKey bytes: [UInt8], _ count: Int) -> UInt64 {
        var hasher = Hasher()
        bytes.withUnsafeBytes { hasher.combine(bytes: UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }

    var headers: [EventRecord.Header] {
        var headers: [EventRecord.Header] = []
        forEachHeader { headers.append(.init(name: String(decoding: $0, as: UTF8.self), value: $1.map(Array.init))) }
        return headers
    }

    func header(_ wanted: StaticString) -> [UInt8]? {
        var found: [UInt8]?
        forEachHeader { name, value in
            if found == nil, let value, name.isEqual(to: wanted) { found = Array(value) }
        }
        return found
    }

    func forEachHeader(_ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer?) -> Void) {
        bytes.withUnsafeBytes { bytes in
            var place = max(0, keyCount) + max(0, valueCount)
            func part(_ count: Int) -> UnsafeRawBufferPointer {
                defer { place += count }
                return UnsafeRawBufferPointer(rebasing: bytes[place..<place + count])
            }
            while place < bytes.count {
                let nameCount = Int(bytes.loadUnaligned(fromByteOffset: place, as: Int32.self))
                let valueCount = Int(bytes.loadUnaligned(fromByteOffset: place + 4, as: Int32.self))
                place += 8
                let name = part(nameCount)
                body(name, valueCount < 0 ? nil : part(valueCount))
            }
        }
    }

    private static func append(size: Int, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: Int32(truncatingIfNeeded: size)) { bytes.append(contentsOf: $0) }
    }
}

extension UnsafeRawBufferPointer {
    /// Whether these are the bytes of a text.
    func isEqual(to text: StaticString) -> Bool {
        count == text.utf8CodeUnitCount && (count == 0 || memcmp(baseAddress!, text.utf8Start, count) == 0)
    }
}
