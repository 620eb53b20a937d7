/// A record in memory of its own: value, key and headers, in one allocation at a fixed address. Copies share it.
///
/// `@unchecked Sendable`: it is written once, when it is made, and only read from then on, by whatever thread: the loop
/// that made it, librdkafka's that send it, the spool's that stores it. Its memory lives as long as the last copy.
package struct SpoolRecord: @unchecked Sendable {
    @usableFromInline
    struct Layout {
        @usableFromInline let lane: Int
        @usableFromInline let timestamp: Int64
        @usableFromInline let valueCount: Int
        /// -1 for none, which differs from an empty one.
        @usableFromInline let keyCount: Int
        @usableFromInline let headersCount: Int
    }

    /// The bytes follow the object in its own memory: one allocation for both.
    @usableFromInline
    let storage: ManagedBuffer<Layout, UInt8>

    /// Copies a record.
    ///
    /// - Parameters:
    ///   - key: nil for none, which differs from an empty one.
    ///   - headers: as `HeaderCoding` writes them.
    package init(
        lane: Int, timestamp: Int64, key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer,
        headers: UnsafeRawBufferPointer
    ) {
        let layout = Layout(
            lane: lane, timestamp: timestamp, valueCount: value.count, keyCount: key?.count ?? -1,
            headersCount: headers.count)
        storage = ManagedBuffer.create(minimumCapacity: value.count + (key?.count ?? 0) + headers.count) { _ in layout }
        storage.withUnsafeMutablePointerToElements { elements in
            var end = UnsafeMutableRawPointer(elements)
            for part in [value, key, headers] {
                guard let part, let bytes = part.baseAddress, part.count > 0 else { continue }
                end.copyMemory(from: bytes, byteCount: part.count)
                end += part.count
            }
        }
    }

    /// Copies a record whose parts lie one behind the other: value, key (an empty one is none), headers as `HeaderCoding`
    /// writes them.
    package init(lane: Int, timestamp: Int64, parts: UnsafeRawBufferPointer, valueCount: Int, keyCount: Int) {
        precondition(valueCount >= 0 && keyCount >= 0 && valueCount + keyCount <= parts.count)
        let layout = Layout(
            lane: lane, timestamp: timestamp, valueCount: valueCount, keyCount: keyCount == 0 ? -1 : keyCount,
            headersCount: parts.count - valueCount - keyCount)
        storage = ManagedBuffer.create(minimumCapacity: parts.count) { _ in layout }
        storage.withUnsafeMutablePointerToElements { elements in
            guard let base = parts.baseAddress else { return }
            UnsafeMutableRawPointer(elements).copyMemory(from: base, byteCount: parts.count)
        }
    }

    /// Which queue it belongs to.
    @inlinable
    package var lane: Int { layout.lane }
    /// Milliseconds since 1970.
    @inlinable
    package var timestamp: Int64 { layout.timestamp }

    /// Through the pointer: each use of `header` itself would be checked for exclusive access at run time.
    @inlinable
    var layout: Layout { storage.withUnsafeMutablePointerToHeader { $0.pointee } }

    @inlinable
    var memory: UnsafeRawPointer { storage.withUnsafeMutablePointerToElements { UnsafeRawPointer($0) } }

    /// The value; the address holds as long as the record does.
    @inlinable
    package var value: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: memory, count: layout.valueCount)
    }

    /// The key, nil for none.
    @inlinable
    package var key: UnsafeRawBufferPointer? {
        let layout = self.layout
        guard layout.keyCount >= 0 else { return nil }
        return UnsafeRawBufferPointer(start: memory + layout.valueCount, count: layout.keyCount)
    }

    /// The headers as they are stored.
    @inlinable
    package var headers: UnsafeRawBufferPointer {
        let layout = self.layout
        return UnsafeRawBufferPointer(
            start: memory + layout.valueCount + max(0, layout.keyCount), count: layout.headersCount)
    }

    /// What the record counts against bounds, in bytes: its content and what memory and tables need beside it.
    @inlinable
    package var size: Int {
        let layout = self.layout
        return layout.valueCount + max(0, layout.keyCount) + layout.headersCount + Self.overhead
    }

    @inlinable
    package static var overhead: Int { 128 }
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
