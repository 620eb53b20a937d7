internal import SMSBridgeKafka
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
final class ConsumedRecord: RecordHeaders, Sendable {
    let topic: String
    let partition: Int32
    let offset: Int64
    /// Milliseconds since 1970; nil where the record has none.
    let timestamp: Int64?
    let isCreateTime: Bool
    /// Key, value, and the headers, each of them two sizes, name and value; sizes are four bytes, -1 for null.
    private let bytes: [UInt8]
    private let keyCount: Int
    private let valueCount: Int

    /// - Parameter topic: the record's, as a string that the caller keeps.
    init(_ message: PolledMessage, topic: String) {
        self.topic = topic
        partition = message.partition
        offset = message.offset
        (timestamp, isCreateTime) = message.timestampAndKind
        let keyCount = message.key?.count ?? -1
        let valueCount = message.value?.count ?? -1
        bytes = message.withRawHeaders { headers in
            var count = max(0, keyCount) + max(0, valueCount)
            for header in headers { count += 8 + header.name.count + (header.value?.count ?? 0) }
            return Array(unsafeUninitializedCapacity: count) { buffer, filled in
                var writer = Writer(rest: UnsafeMutableRawBufferPointer(buffer))
                writer.put(message.key)
                writer.put(message.value)
                for header in headers { writer.putHeader(header.name, header.value) }
                filled = count - writer.rest.count
            }
        }
        self.keyCount = keyCount
        self.valueCount = valueCount
    }

    /// A record of these parts.
    init(
        topic: String, partition: Int32, offset: Int64, timestamp: Int64? = nil, isCreateTime: Bool = true,
        key: [UInt8]?, value: [UInt8]?, headers: [(name: String, value: [UInt8]?)] = []
    ) {
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.timestamp = timestamp
        self.isCreateTime = isCreateTime
        var bytes = (key ?? []) + (value ?? [])
        for (name, value) in headers {
            for count in [name.utf8.count, value?.count ?? -1] {
                withUnsafeBytes(of: Int32(truncatingIfNeeded: count)) { bytes.append(contentsOf: $0) }
            }
            bytes.append(contentsOf: name.utf8)
            bytes.append(contentsOf: value ?? [])
        }
        keyCount = key?.count ?? -1
        valueCount = value?.count ?? -1
        self.bytes = bytes
    }

    private struct Writer {
        var rest: UnsafeMutableRawBufferPointer

        @inline(__always)
        mutating func put(_ part: UnsafeRawBufferPointer?) {
            guard let part else { return }
            rest.copyMemory(from: part)
            rest = UnsafeMutableRawBufferPointer(rebasing: rest[part.count...])
        }

        @inline(__always)
        mutating func putHeader(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer?) {
            rest.storeBytes(of: Int32(truncatingIfNeeded: name.count), as: Int32.self)
            rest.storeBytes(of: Int32(truncatingIfNeeded: value?.count ?? -1), toByteOffset: 4, as: Int32.self)
            rest = UnsafeMutableRawBufferPointer(rebasing: rest[8...])
            put(name)
            put(value)
        }
    }

    /// What the record counts for against the bound of bytes: what it holds, and about what holding it costs.
    var size: Int { bytes.count + 192 }

    var key: [UInt8]? { keyCount < 0 ? nil : Array(bytes[..<keyCount]) }

    /// Whether it has no value: Kafka's mark for a deleted key.
    var isTombstone: Bool { valueCount < 0 }

    var value: [UInt8]? { withValue { $0.map(Array.init) } }

    func withValue<R>(_ body: (UnsafeRawBufferPointer?) -> R) -> R { withParts { _, value, _ in body(value) } }

    /// Key, value and headers where they are; valid during the call.
    func withParts<R>(_ body: (UnsafeRawBufferPointer?, UnsafeRawBufferPointer?, RawHeaders) -> R) -> R {
        let start = max(0, keyCount)
        let end = start + max(0, valueCount)
        return bytes.withUnsafeBytes { bytes in
            body(
                keyCount < 0 ? nil : UnsafeRawBufferPointer(rebasing: bytes[..<start]),
                valueCount < 0 ? nil : UnsafeRawBufferPointer(rebasing: bytes[start..<end]),
                RawHeaders(rest: UnsafeRawBufferPointer(rebasing: bytes[end...])))
        }
    }

    /// Names and values of headers, in their order.
    struct RawHeaders: Sequence, IteratorProtocol {
        fileprivate var rest: UnsafeRawBufferPointer

        mutating func next() -> (name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer?)? {
            guard rest.count >= 8 else { return nil }
            let nameEnd = 8 + Int(rest.loadUnaligned(as: Int32.self))
            let valueCount = Int(rest.loadUnaligned(fromByteOffset: 4, as: Int32.self))
            let end = nameEnd + Swift.max(0, valueCount)
            defer { rest = UnsafeRawBufferPointer(rebasing: rest[end...]) }
            return (
                UnsafeRawBufferPointer(rebasing: rest[8..<nameEnd]),
                valueCount < 0 ? nil : UnsafeRawBufferPointer(rebasing: rest[nameEnd..<end])
            )
        }
    }

    func forEachHeader(_ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer?) -> Void) {
        withParts { _, _, headers in
            for (name, value) in headers { body(name, value) }
        }
    }
}

extension UnsafeRawBufferPointer {
    /// Whether these are the bytes of a text.
    func isEqual(to text: StaticString) -> Bool {
        count == text.utf8CodeUnitCount && (count == 0 || memcmp(baseAddress!, text.utf8Start, count) == 0)
    }
}

/// The headers of a record, wherever it is kept.
protocol RecordHeaders {
    /// Visits the headers in their order.
    func forEachHeader(_ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer?) -> Void)
}

extension RecordHeaders {
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
}
