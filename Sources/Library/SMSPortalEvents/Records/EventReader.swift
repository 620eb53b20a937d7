/// Reads events from Kafka records. It keeps its memory from record to record, so it belongs to one thread.
///
/// It takes what a newer bridge writes, too: unknown keys are skipped.
public final class EventReader {
    private var state = ReaderState()

    /// A reader; for a single record ``Event/init(value:headers:)`` is simpler.
    public init() {}

    /// Reads one record.
    ///
    /// - Parameters:
    ///   - value: The record's value; nil for a tombstone.
    ///   - headers: The record's headers. None are needed; `ce_type` is checked when it is there, and `traceparent` and
    ///     `tracestate` are taken over.
    /// - Returns: The event.
    /// - Throws: ``EventDecodingError``.
    public func event(
        value: UnsafeRawBufferPointer?, headers: [EventRecord.Header] = []
    ) throws(EventDecodingError) -> Event {
        guard let value else { throw EventDecodingError(.tombstone) }
        guard value.count > 0 else { throw EventDecodingError(.empty) }
        var trace: (parent: String?, state: String?)
        var typeHeader: [UInt8]?
        for header in headers {
            switch header.name {
            // A header without a value is no type.
            case "ce_type": typeHeader = header.value ?? []
            case "traceparent": trace.parent = header.text
            case "tracestate": trace.state = header.text
            default: break
            }
        }
        guard let typeHeader else {
            return try state.event(Bytes(value), type: nil, traceparent: trace.parent, tracestate: trace.state)
        }
        let reader = self
        let result = typeHeader.withUnsafeBytes { type in
            Result { () throws(EventDecodingError) in
                try reader.event(value: value, type: type, traceparent: trace.parent, tracestate: trace.state)
            }
        }
        return try result.get()
    }

    /// The same from headers that stay where they are.
    ///
    /// - Parameters:
    ///   - value: The record's value; nil for a tombstone.
    ///   - type: The `ce_type` header; nil where there is none.
    ///   - traceparent: The header of that name.
    ///   - tracestate: The header of that name.
    package func event(
        value: UnsafeRawBufferPointer?, type: UnsafeRawBufferPointer?, traceparent: String?, tracestate: String?
    ) throws(EventDecodingError) -> Event {
        guard let value else { throw EventDecodingError(.tombstone) }
        guard value.count > 0 else { throw EventDecodingError(.empty) }
        return try state.event(
            Bytes(value), type: type.map { Bytes($0) }, traceparent: traceparent, tracestate: tracestate)
    }
}

extension Event {
    /// Reads an event from a Kafka record.
    ///
    /// - Parameters:
    ///   - value: The record's value; nil for a tombstone.
    ///   - headers: The record's headers; see ``EventReader/event(value:headers:)``.
    /// - Throws: ``EventDecodingError`` for whatever is no event, a tombstone and an empty value included.
    public init(value: [UInt8]?, headers: [EventRecord.Header] = []) throws(EventDecodingError) {
        guard let value else { throw EventDecodingError(.tombstone) }
        let reader = EventReader()
        let result: Result<Event, EventDecodingError> = value.withUnsafeBytes { bytes in
            do throws(EventDecodingError) {
                return .success(try reader.event(value: bytes, headers: headers))
            } catch {
                return .failure(error)
            }
        }
        self = try result.get()
    }

    /// Reads an event from a Kafka record.
    ///
    /// - Parameter record: What ``record()`` made, or a consumer got.
    /// - Throws: ``EventDecodingError``.
    public init(record: EventRecord) throws(EventDecodingError) {
        try self.init(value: record.value, headers: record.headers)
    }
}

/// The keys of a value, those of its objects included.
enum MemberKey: UInt8, CaseIterable {
    case id, idBasis, type, account, receivedAt, occurredAt, msisdn, batchId, messageId, reference, network, raw
    case status, state, parts, dataType, sentText, sentAt, flash, group
    case text, optOut, destination, campaign, sentMessageId
    case numberValue1, numberValue2, numberValue3, numberValue4, numberValue5, numberValue6
    case shortCode, keyword, interaction, url, landingPage, reason, detail
    case mcc, mnc, name, description, data, version, componentId
    case method, route, contentType, contentEncoding, recovered, imported, query, queryBase64, body, bodyBase64

    /// Made once: a case's own name is found by reflection.
    private static let texts = allCases.map { "\($0)" }

    var text: String { Self.texts[Int(rawValue)] }
}

struct ReaderState: ~Copyable {
    private let names = NameTable(MemberKey.allCases.map(\.text), ignoringCase: false)
    private(set) var top = Members()
    private var inner = Members()
    private var scratch = ByteWriter(capacity: 4096)

    mutating func event(
        _ value: Bytes, type header: Bytes?, traceparent: String?, tracestate: String?
    ) throws(EventDecodingError) -> Event {
        guard value.isUTF8 else { throw EventDecodingError(.notJSON) }
        scratch.removeAll(keepingAtMost: 1 << 16)
        // Nested objects are read from their source a second time, and need room of their own.
        scratch.reserve(value.count * 2)
        do throws(ScanFailure) {
            try top.read(value, scratch: &scratch, names: names)
        } catch {
            throw EventDecodingError(error.reason == .notAnObject ? .notAnObject : .notJSON)
        }
        let typeName = try top.requiredText(.type)
        guard let type = EventType.allCases.first(where: { typeName.equals($0.name) }) else {
            throw EventDecodingError(.unknownType, field: "type")
        }
        let envelope = try envelope(traceparent, tracestate)
        if let header, !header.equals(type.cloudEventsType) {
            throw EventDecodingError(.unsupportedVersion, field: "ce_type")
        }
        return try payload(of: type, envelope)
    }

    private mutating func envelope(
        _ traceparent: String?, _ tracestate: String?
    ) throws(EventDecodingError) -> Envelope {
        let basisName = try top.requiredText(.idBasis)
        guard let basis = EventIDBasis.allCases.first(where: { basisName.equals($0.name) }) else {
            throw EventDecodingError(.invalidField, field: "idBasis")
        }
        guard let receivedAt = try top.time(.receivedAt) else {
            throw EventDecodingError(.missingField, field: "receivedAt")
        }
        guard try open(.raw) else { throw EventDecodingError(.missingField, field: "raw") }
        let raw = try callback()
        let isRecovered = try inner.boolean(.recovered) ?? false
        let isImported = try inner.boolean(.imported) ?? false
        var network: Envelope.Network?
        if try open(.network) {
            network = Envelope.Network(mcc: try inner.optional(.mcc), mnc: try inner.optional(.mnc))
        }
        return Envelope(
            id: try top.required(.id), idBasis: basis, account: try top.required(.account), receivedAt: receivedAt,
            occurredAt: try top.time(.occurredAt), msisdn: try top.optional(.msisdn),
            batchID: try top.optional(.batchId), messageID: try top.optional(.messageId),
            reference: try top.optional(.reference), network: network, raw: raw, isRecovered: isRecovered,
            isImported: isImported, traceparent: traceparent, tracestate: tracestate)
    }

    /// Reads an object of the value into `inner`; false when there is none.
    private mutating func open(_ key: MemberKey) throws(EventDecodingError) -> Bool {
        guard let object = try top.object(key) else { return false }
        do throws(ScanFailure) {
            if object.members >= 0 {
                try inner.takeMembers(of: key, in: top, names: names)
            } else {
                try inner.read(object.value, scratch: &scratch, names: names)
            }
        } catch {
            throw EventDecodingError(.invalidField, field: key.text)
        }
        inner.parent = key
        return true
    }

    private func callback() throws(EventDecodingError) -> Callback {
        let methodName = try inner.requiredText(.method)
        guard let method = CallbackMethod.allCases.first(where: { methodName.equals($0.name) }) else {
            throw EventDecodingError(.invalidField, field: "raw.method")
        }
        let path = try inner.requiredText(.route)
        // A route that a newer bridge has counts as none: the event has its type already.
        let route = EventType.recognised.first { path.equals(Callback.path(of: $0)) }
        return Callback(
            method: method, route: route, contentType: try inner.text(.contentType) ?? .empty,
            contentEncoding: try inner.text(.contentEncoding) ?? .empty,
            query: try inner.bytes(.query, base64: .queryBase64), body: try inner.bytes(.body, base64: .bodyBase64))
    }

    mutating func group() throws(EventDecodingError) -> ContactGroup? {
        guard try open(.group) else { return nil }
        return ContactGroup(
            name: try inner.optional(.name), description: try inner.optional(.description),
            data: try inner.optional(.data))
    }

    mutating func landingPage() throws(EventDecodingError) -> LandingPage? {
        guard try open(.landingPage) else { return nil }
        return LandingPage(
            name: try inner.optional(.name), version: try inner.optional(.version),
            componentID: try inner.optional(.componentId))
    }

    mutating func deliveryStatus(_ envelope: Envelope) throws(EventDecodingError) -> DeliveryStatus {
        // A state that a newer bridge knows is unknown here.
        let stateName = try top.requiredText(.state)
        let state = DeliveryState.allCases.first { stateName.equals($0.name) } ?? .unknown
        return DeliveryStatus(
            envelope: envelope, status: try top.required(.status), state: state, parts: try top.integer(.parts),
            dataType: try top.optional(.dataType), sentText: try top.optional(.sentText),
            sentAt: try top.time(.sentAt), flash: try top.boolean(.flash), group: try group())
    }

    mutating func reply(_ envelope: Envelope) throws(EventDecodingError) -> Reply {
        var reply = Reply(
            envelope: envelope, text: try top.required(.text), isOptOut: try top.boolean(.optOut) ?? false,
            destination: try top.optional(.destination), campaign: try top.optional(.campaign),
            sentMessageID: try top.optional(.sentMessageId), sentText: try top.optional(.sentText),
            sentAt: try top.time(.sentAt), group: try group())
        reply.numberValue1 = try top.optional(.numberValue1)
        reply.numberValue2 = try top.optional(.numberValue2)
        reply.numberValue3 = try top.optional(.numberValue3)
        reply.numberValue4 = try top.optional(.numberValue4)
        reply.numberValue5 = try top.optional(.numberValue5)
        reply.numberValue6 = try top.optional(.numberValue6)
        return reply
    }
}

/// The members of one object, by key.
struct Members: ~Copyable {
    private var list = ParameterList()
    /// Per key the position of its member plus one; 0 for none. Of repeated keys the last counts. A list is shorter than
    /// these numbers go.
    private let positions: UnsafeMutablePointer<UInt16>
    /// The keys of the object that was read before, in their order: those of the next one are mostly the same.
    private var before: [UInt8] = []
    /// The key of the object itself, which stands before its keys in errors.
    var parent: MemberKey?

    private static let keyCount = MemberKey.allCases.count

    init() {
        positions = .allocate(capacity: Self.keyCount)
        positions.initialize(repeating: 0, count: Self.keyCount)
    }

    deinit { positions.deallocate() }

    mutating func read(_ source: Bytes, scratch: inout ByteWriter, names: NameTable) throws(ScanFailure) {
        list.removeAll()
        var scanner = JSONScanner(source)
        try scanner.readObject(into: &list, scratch: &scratch) {
            $0.equals("raw") || $0.equals("network") || $0.equals("group") || $0.equals("landingPage")
        }
        index(names)
    }

    /// Takes over the members of an object that were read together with the object around it.
    mutating func takeMembers(of key: MemberKey, in other: borrowing Members, names: NameTable) throws(ScanFailure) {
        list.removeAll()
        let position = Int(other.positions[Int(key.rawValue)])
        for index in position..<position + Int(other.list[position - 1].members) {
            try list.append(other.list[index])
        }
        index(names)
    }

    private mutating func index(_ names: NameTable) {
        positions.update(repeating: 0, count: Self.keyCount)
        var index = 0
        var ordinal = 0
        while index < list.count {
            let parameter = list[index]
            let expected = ordinal < before.count ? before[ordinal] : NameTable.unknown
            let key = names.index(of: parameter.name, expecting: expected)
            if key != expected { expect(key, at: ordinal) }
            if key != NameTable.unknown { positions[Int(key)] = UInt16(index + 1) }
            index += 1 + Int(max(0, parameter.members))
            ordinal += 1
        }
    }

    private mutating func expect(_ key: UInt8, at ordinal: Int) {
        if ordinal < before.count {
            before[ordinal] = key
        } else if ordinal == before.count, ordinal < Self.keyCount {
            before.append(key)
        }
    }

    private func member(_ key: MemberKey) -> Parameter? {
        let position = Int(positions[Int(key.rawValue)])
        return position == 0 ? nil : list[position - 1]
    }

    private func invalid(_ key: MemberKey) -> EventDecodingError {
        EventDecodingError(.invalidField, field: path(to: key))
    }

    private func path(to key: MemberKey) -> String { (parent.map { $0.text + "." } ?? "") + key.text }

    func text(_ key: MemberKey) throws(EventDecodingError) -> Bytes? {
        guard let member = member(key) else { return nil }
        guard member.kind == .text else { throw invalid(key) }
        return member.value
    }

    func optional(_ key: MemberKey) throws(EventDecodingError) -> String? { try text(key)?.string }

    func required(_ key: MemberKey) throws(EventDecodingError) -> String { try requiredText(key).string }

    func requiredText(_ key: MemberKey) throws(EventDecodingError) -> Bytes {
        guard let text = try text(key) else { throw EventDecodingError(.missingField, field: path(to: key)) }
        return text
    }

    func time(_ key: MemberKey) throws(EventDecodingError) -> EventTime? {
        guard let text = try text(key) else { return nil }
        guard let milliseconds = EventTime.milliseconds(rfc3339: text) else { throw invalid(key) }
        return EventTime(millisecondsSinceEpoch: milliseconds)
    }

    func boolean(_ key: MemberKey) throws(EventDecodingError) -> Bool? {
        guard let member = member(key) else { return nil }
        guard member.kind == .literal else { throw invalid(key) }
        if member.value.equals("true") { return true }
        guard member.value.equals("false") else { throw invalid(key) }
        return false
    }

    func integer(_ key: MemberKey) throws(EventDecodingError) -> Int? {
        guard let member = member(key) else { return nil }
        guard member.kind == .literal, let value = Int(member.value.string) else { throw invalid(key) }
        return value
    }

    func object(_ key: MemberKey) throws(EventDecodingError) -> Parameter? {
        guard let member = member(key) else { return nil }
        guard member.kind == .nested, member.value[0] == 0x7B else { throw invalid(key) }
        return member
    }

    func bytes(_ key: MemberKey, base64: MemberKey) throws(EventDecodingError) -> [UInt8] {
        if let text = try text(key) { return text.array }
        guard let text = try text(base64) else { return [] }
        guard let bytes = ByteWriter.base64Decoded(text) else { throw invalid(base64) }
        return bytes
    }
}
