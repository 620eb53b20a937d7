/// One event as its record's bytes, and where in them its fields are. Texts are made when they are read: most handlers read
/// a few of them, and making all of them cost more than everything else.
///
/// `@unchecked Sendable`: it is filled by one thread before any other knows it, and changed again only once no other does.
package final class EventBlock: @unchecked Sendable {
    /// What ``EventScanner`` has found.
    struct Head {
        var valueCount = 0
        /// -1 for a record without a key.
        var keyCount = -1
        /// A bit for each ``ValueKey`` that is there.
        var present: UInt64 = 0
        /// A bit for each text that needs unescaping.
        var escaped: UInt64 = 0
        /// Where a text, an object or a literal stands: the start in the low 32 bits, the count above. Undefined for a key that is
        /// not there.
        var cuts = InlineArray<38, UInt64>(repeating: 0)
        /// Milliseconds since 1970.
        var receivedAt: Int64 = 0
        var occurredAt: Int64 = 0
        var sentAt: Int64 = 0
        var parts = 0
        var type = EventType.unrecognised
        var idBasis = EventIDBasis.reception
        var state = DeliveryState.unknown
        var isOptOut = false
        var isFlash = false
    }

    /// Through a pointer: a class's own properties would be checked for exclusive access, each time.
    let head: UnsafeMutablePointer<Head>
    /// The record's headers, for the fields that are not in its value.
    private let headers: (any EventHeaders)?
    private var memory: UnsafeMutableRawPointer
    private var capacity: Int
    /// So many bytes may be read behind the end: the scanner reads whole words.
    static let padding = 32

    package init(capacity: Int = 2_048, headers: (any EventHeaders)? = nil) {
        self.headers = headers
        head = .allocate(capacity: 1)
        head.initialize(to: Head())
        self.capacity = capacity
        memory = .allocate(byteCount: capacity, alignment: 16)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: capacity)
    }

    deinit {
        head.deallocate()
        memory.deallocate()
    }

    /// Replaces the bytes. What was found in the ones before is gone.
    ///
    /// - Parameter key: nil for a record without a key.
    @inline(__always)
    package func fill(value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer?) {
        let count = value.count &+ (key?.count ?? 0)
        if count &+ Self.padding > capacity { grow(to: count &+ Self.padding) }
        if let start = value.baseAddress { memory.copyMemory(from: start, byteCount: value.count) }
        if let key, let start = key.baseAddress {
            (memory + value.count).copyMemory(from: start, byteCount: key.count)
        }
        head.pointee.valueCount = value.count
        head.pointee.keyCount = key?.count ?? -1
        head.pointee.present = 0
        head.pointee.escaped = 0
    }

    private func grow(to needed: Int) {
        var larger = capacity
        while larger < needed { larger *= 2 }
        memory.deallocate()
        memory = .allocate(byteCount: larger, alignment: 16)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: larger)
        capacity = larger
    }

    /// The record's value, without a check of its content.
    @inline(__always)
    var value: Bytes {
        Bytes(base: UnsafePointer(memory.assumingMemoryBound(to: UInt8.self)), count: head.pointee.valueCount)
    }

    /// What the event tells, once it has been scanned.
    @inline(__always)
    package var type: EventType { head.pointee.type }
    /// Whether it is an opt-out, once it has been scanned.
    @inline(__always)
    package var isOptOut: Bool {
        head.pointee.isOptOut && (head.pointee.type == .reply || head.pointee.type == .shortCode)
    }

    /// The bytes that the block holds in memory.
    package var byteCount: Int { capacity + MemoryLayout<Head>.size }

    /// The value's bytes, valid during the call.
    package func withValue<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        defer { withExtendedLifetime(self) {} }
        return body(UnsafeRawBufferPointer(start: memory, count: head.pointee.valueCount))
    }

    /// The key's bytes, valid during the call; nil for a record without a key.
    package func withKey<R>(_ body: (UnsafeRawBufferPointer?) -> R) -> R {
        defer { withExtendedLifetime(self) {} }
        let count = head.pointee.keyCount
        return body(count < 0 ? nil : UnsafeRawBufferPointer(start: memory + head.pointee.valueCount, count: count))
    }

    /// When the bridge received the callback, in milliseconds since 1970, once it has been scanned.
    @inline(__always)
    package var receivedAtMilliseconds: Int64 { head.pointee.receivedAt }

    /// W3C Trace Context from the record's headers; nil where there is none.
    package var traceparent: String? {
        headers?.header("traceparent").flatMap { String(validating: $0, as: UTF8.self) }
    }
    /// The state that belongs to ``traceparent``.
    package var tracestate: String? {
        headers?.header("tracestate").flatMap { String(validating: $0, as: UTF8.self) }
    }
}

/// The headers of a record, read when they are asked for.
package protocol EventHeaders: AnyObject, Sendable {
    /// - Returns: The value of the first header of a name that has a value; nil when there is none.
    func header(_ name: StaticString) -> [UInt8]?
}

// MARK: - Fields

extension EventBlock {
    @inline(__always)
    func has(_ key: ValueKey) -> Bool { head.pointee.present & key.bit != 0 }

    /// The source of a field; of a text the part between the quotes.
    func source(_ key: ValueKey) -> Bytes {
        let cut = head.pointee.cuts[key.rawValue]
        let start = Int(cut & 0xFFFF_FFFF)
        return value[start..<start + Int(cut >> 32)]
    }

    func text(_ key: ValueKey) -> String? {
        guard has(key) else { return nil }
        defer { withExtendedLifetime(self) {} }
        let source = source(key)
        return head.pointee.escaped & key.bit == 0 ? source.string : source.unescapedString
    }

    /// A text that the scanner has found in every event of the type.
    func required(_ key: ValueKey) -> String { text(key) ?? "" }

    var receivedAt: EventTime { EventTime(millisecondsSinceEpoch: head.pointee.receivedAt) }
    var occurredAt: EventTime? {
        has(.occurredAt) ? EventTime(millisecondsSinceEpoch: head.pointee.occurredAt) : nil
    }
    var parts: Int? { has(.parts) ? head.pointee.parts : nil }
    var flash: Bool? { has(.flash) ? head.pointee.isFlash : nil }
    var sentAt: EventTime? { has(.sentAt) ? EventTime(millisecondsSinceEpoch: head.pointee.sentAt) : nil }

    /// The members of a nested object, whose texts the scanner has checked.
    func members(_ key: ValueKey) -> [String: String]? {
        guard has(key) else { return nil }
        defer { withExtendedLifetime(self) {} }
        let source = source(key)
        var list = ParameterList()
        var scratch = ByteWriter(capacity: source.count)
        var scanner = JSONScanner(source)
        do throws(ScanFailure) { try scanner.readObject(into: &list, scratch: &scratch) } catch { return [:] }
        var members: [String: String] = [:]
        for index in 0..<list.count where list[index].kind == .text {
            members[list[index].name.string] = list[index].value.string
        }
        return members
    }

    var network: Envelope.Network? {
        members(.network).map { Envelope.Network(mcc: $0["mcc"], mnc: $0["mnc"]) }
    }

    var group: ContactGroup? {
        members(.group).map { ContactGroup(name: $0["name"], description: $0["description"], data: $0["data"]) }
    }

    var landingPage: LandingPage? {
        members(.landingPage).map {
            LandingPage(name: $0["name"], version: $0["version"], componentID: $0["componentId"])
        }
    }

    var callback: Callback {
        let members = members(.raw) ?? [:]
        let path = members["route"] ?? ""
        return Callback(
            method: CallbackMethod(rawValue: members["method"] ?? "") ?? .post,
            route: EventType.recognised.first { path == "\(Callback.path(of: $0))" },
            contentType: members["contentType"] ?? "", query: Array((members["query"] ?? "").utf8),
            body: Array((members["body"] ?? "").utf8))
    }
}

extension Bytes {
    /// The text of a JSON string whose escapes were checked and name no surrogate.
    fileprivate var unescapedString: String {
        // Unescaping never makes text longer.
        String(unsafeUninitializedCapacity: count) { room in
            var filled = 0
            var at = 0
            while at < count {
                let byte = base[at]
                guard byte == 0x5C else {
                    room[filled] = byte
                    filled += 1
                    at += 1
                    continue
                }
                let kind = base[at + 1]
                at += 2
                switch kind {
                case 0x62: room[filled] = 0x08
                case 0x66: room[filled] = 0x0C
                case 0x6E: room[filled] = 0x0A
                case 0x72: room[filled] = 0x0D
                case 0x74: room[filled] = 0x09
                case 0x75:
                    var unit: UInt32 = 0
                    for _ in 0..<4 {
                        unit = unit << 4 | UInt32(hexValue(base[at]))
                        at += 1
                    }
                    if unit >= 0x800 {
                        room[filled] = UInt8(0xE0 | unit >> 12)
                        room[filled + 1] = UInt8(0x80 | (unit >> 6 & 0x3F))
                        filled += 2
                        room[filled] = UInt8(0x80 | (unit & 0x3F))
                    } else if unit >= 0x80 {
                        room[filled] = UInt8(0xC0 | unit >> 6)
                        filled += 1
                        room[filled] = UInt8(0x80 | (unit & 0x3F))
                    } else {
                        room[filled] = UInt8(unit)
                    }
                default: room[filled] = kind
                }
                filled += 1
            }
            return filled
        }
    }
}
