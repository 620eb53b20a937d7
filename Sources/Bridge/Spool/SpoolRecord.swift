/// A record in memory of its own: value, key and headers, in one allocation at a fixed address.
///
/// `@unchecked Sendable`: it is written once, when it is made, and only read from then on, by whatever thread: the loop
/// that made it, librdkafka's that send it, the spool's that stores it. Its memory lives as long as the object.
package final class SpoolRecord: @unchecked Sendable {
    /// Which queue it belongs to.
    package let lane: Int
    /// Milliseconds since 1970.
    package let timestamp: Int64
    private let memory: UnsafeMutableRawPointer
    private let valueCount: Int
    private let keyCount: Int
    private let headersCount: Int

    /// Copies a record.
    ///
    /// - Parameters:
    ///   - key: nil for none, which differs from an empty one.
    ///   - headers: as `HeaderCoding` writes them.
    package init(
        lane: Int, timestamp: Int64, key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer,
        headers: UnsafeRawBufferPointer
    ) {
        self.lane = lane
        self.timestamp = timestamp
        valueCount = value.count
        keyCount = key?.count ?? -1
        headersCount = headers.count
        // 16 bytes are what malloc aligns to by itself; for less the runtime asks for aligned memory, which takes longer.
        memory = .allocate(byteCount: max(1, value.count + max(0, keyCount) + headers.count), alignment: 16)
        var end = memory
        for part in [value, key, headers] {
            guard let part, let bytes = part.baseAddress, part.count > 0 else { continue }
            end.copyMemory(from: bytes, byteCount: part.count)
            end += part.count
        }
    }

    /// Copies a record whose parts lie one behind the other: value, key (an empty one is none), headers as `HeaderCoding`
    /// writes them.
    package init(lane: Int, timestamp: Int64, parts: UnsafeRawBufferPointer, valueCount: Int, keyCount: Int) {
        precondition(valueCount >= 0 && keyCount >= 0 && valueCount + keyCount <= parts.count)
        self.lane = lane
        self.timestamp = timestamp
        self.valueCount = valueCount
        self.keyCount = keyCount == 0 ? -1 : keyCount
        headersCount = parts.count - valueCount - keyCount
        memory = .allocate(byteCount: max(1, parts.count), alignment: 16)
        if let base = parts.baseAddress { memory.copyMemory(from: base, byteCount: parts.count) }
    }

    deinit {
        memory.deallocate()
    }

    /// The value; the address holds as long as the record does.
    package var value: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: memory, count: valueCount) }

    /// The key, nil for none.
    package var key: UnsafeRawBufferPointer? {
        keyCount < 0 ? nil : UnsafeRawBufferPointer(start: memory + valueCount, count: keyCount)
    }

    /// The headers as they are stored.
    package var headers: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: memory + valueCount + max(0, keyCount), count: headersCount)
    }

    /// What the record counts against bounds, in bytes: its content and what memory and tables need beside it.
    package var size: Int { valueCount + max(0, keyCount) + headersCount + Self.overhead }

    package static let overhead = 128
}

/// Headers as bytes: for each, the length of its name (1 byte), the name, the length of its value (4 bytes, little
/// endian; all bits set for Kafka's null), the value.
package enum HeaderCoding {
    package static func append(_ name: StaticString, _ value: UnsafeRawBufferPointer?, to bytes: inout [UInt8]) {
        name.withUTF8Buffer { append(name: UnsafeRawBufferPointer($0), value, to: &bytes) }
    }

    package static func append(
        name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer?, to bytes: inout [UInt8]
    ) {
        bytes.append(UInt8(truncatingIfNeeded: name.count))
        bytes.append(contentsOf: name)
        let count = value.map { UInt32(truncatingIfNeeded: $0.count) } ?? .max
        for shift: UInt32 in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: count >> shift)) }
        if let value { bytes.append(contentsOf: value) }
    }

    /// Visits the headers.
    ///
    /// - Returns: false when the bytes are not what `append` writes; the headers before the fault were visited.
    @discardableResult
    @inlinable
    package static func forEach(
        in bytes: UnsafeRawBufferPointer,
        _ body: (_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer?) -> Void
    ) -> Bool {
        guard let base = bytes.baseAddress else { return true }
        let count = bytes.count
        var index = 0
        while index < count {
            let nameCount = Int(base.load(fromByteOffset: index, as: UInt8.self))
            index &+= 1
            guard nameCount &+ 4 <= count &- index else { return false }
            let name = UnsafeRawBufferPointer(start: base + index, count: nameCount)
            index &+= nameCount
            let size = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: index, as: UInt32.self))
            index &+= 4
            if size == .max {
                body(name, nil)
                continue
            }
            guard Int(size) <= count &- index else { return false }
            body(name, UnsafeRawBufferPointer(start: base + index, count: Int(size)))
            index &+= Int(size)
        }
        return true
    }
}

extension SpoolRecord {
    /// The same record for another lane.
    package func inLane(_ lane: Int) -> SpoolRecord {
        SpoolRecord(lane: lane, timestamp: timestamp, key: key, value: value, headers: headers)
    }
}
