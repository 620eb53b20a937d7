import SMSBridgeKafka
import SMSPortalEvents

/// A record as a line of NDJSON: what `replay --to-file`, `tail --json` and `spool export` write, and `replay --from-file` and
/// `spool import` read.
///
/// One JSON object a line: `topic`, `partition` and `offset` (of records that come from Kafka), `timestamp` (milliseconds),
/// `key` (text, or null), `headers` (an object; a value is text or null), `value` (the object as it is in Kafka, or null), and of
/// rows of a spool `state`, of parked ones `reason`. What is no such thing is in `keyHex` and `valueHex`, and in `headersHex`
/// as `NAME:VALUE,…`, names and values in hexadecimal, null without a colon. `schemas/record-line.json` describes it.
struct ArchiveRecord: Sendable, Equatable {
    struct Header: Sendable, Equatable {
        var name: String
        var value: [UInt8]?
    }

    var topic: String
    /// nil, as the offset, for a record that was not read from Kafka.
    var partition: Int32?
    var offset: Int64?
    var timestamp: Int64
    var key: [UInt8]?
    var headers: [Header]
    var value: [UInt8]?
    /// Of a row of a spool: `waiting` or `parked`.
    var state: String?
    /// Of a parked row: why.
    var reason: String?

    init(
        topic: String, partition: Int32?, offset: Int64?, timestamp: Int64, key: [UInt8]?, headers: [Header],
        value: [UInt8]?, state: String? = nil, reason: String? = nil
    ) {
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.timestamp = timestamp
        self.key = key
        self.headers = headers
        self.value = value
        self.state = state
        self.reason = reason
    }

    init(_ message: borrowing Message) {
        self.init(
            topic: message.topic, partition: message.partition, offset: message.offset,
            timestamp: message.timestamp ?? 0, key: message.key,
            headers: message.headers.map { Header(name: $0.name, value: $0.value) }, value: message.value)
    }

    /// `topic/partition/offset`; nil for a record that was not read from Kafka.
    var origin: String? {
        guard let partition, let offset else { return nil }
        return "\(topic)/\(partition)/\(offset)"
    }

    /// `partition:offset`, as the commands list and select records.
    var position: String { "\(partition.map(String.init) ?? "?"):\(offset.map(String.init) ?? "?")" }

    // MARK: Writing

    /// With its line feed.
    func append(to line: inout [UInt8]) {
        line += "{\"topic\":\(JSONText.string(topic))".utf8
        if let partition { line += ",\"partition\":\(partition)".utf8 }
        if let offset { line += ",\"offset\":\(offset)".utf8 }
        line += ",\"timestamp\":\(timestamp),\"key".utf8
        Self.append(text: key, to: &line)
        // An object has each name once.
        let isPlain =
            Set(headers.map(\.name)).count == headers.count && headers.allSatisfy { $0.value.map(Self.isText) ?? true }
        if isPlain {
            line += ",\"headers\":{".utf8
            for (index, header) in headers.enumerated() {
                if index > 0 { line.append(UInt8(ascii: ",")) }
                JSONText.append(header.name.utf8, to: &line)
                line.append(UInt8(ascii: ":"))
                if let value = header.value { JSONText.append(value, to: &line) } else { line += "null".utf8 }
            }
            line += "},\"value".utf8
        } else {
            let texts = headers.map { header in
                Self.hexadecimal(Array(header.name.utf8)) + (header.value.map { ":" + Self.hexadecimal($0) } ?? "")
            }
            line += ",\"headersHex\":\"\(texts.joined(separator: ","))\",\"value".utf8
        }
        switch value {
        case nil: line += "\":null".utf8
        // A line ends where it ends.
        case .some(let value)
        where value.first == UInt8(ascii: "{") && value.last == UInt8(ascii: "}") && !value.contains(10)
            && JSONMember.members(of: value).members != nil:
            line += "\":".utf8
            line += value
        case .some(let value): line += "Hex\":\"\(Self.hexadecimal(value))\"".utf8
        }
        if let state { line += ",\"state\":\(JSONText.string(state))".utf8 }
        if let reason { line += ",\"reason\":\(JSONText.string(reason))".utf8 }
        line += "}\n".utf8
    }

    private static func append(text bytes: [UInt8]?, to line: inout [UInt8]) {
        guard let bytes else { return line += "\":null".utf8 }
        guard isText(bytes) else { return line += "Hex\":\"\(hexadecimal(bytes))\"".utf8 }
        line += "\":".utf8
        JSONText.append(bytes, to: &line)
    }

    private static func isText(_ bytes: [UInt8]) -> Bool { bytes.withUnsafeBytes(JSONText.isUTF8) }
    private static func hexadecimal(_ bytes: [UInt8]) -> String { bytes.withUnsafeBytes(JSONText.hexadecimal) }

    // MARK: Reading

    /// Why a line is no record.
    struct Malformed: Error, Equatable { let message: String }

    init(line: [UInt8]) throws(Malformed) {
        let (members, wrongAt) = JSONMember.members(of: line)
        guard let members else { throw Malformed(message: "no JSON object, wrong at byte \(wrongAt + 1)") }
        func member(_ name: String) -> JSONMember? { members.last { $0.name == name } }
        func number<N: FixedWidthInteger>(_ name: String) throws(Malformed) -> N {
            guard let found = member(name), found.kind == .literal,
                let number = N(String(decoding: found.value, as: UTF8.self))
            else { throw Malformed(message: "\(name): missing, or not a whole number") }
            return number
        }
        func optionalNumber<N: FixedWidthInteger>(_ name: String) throws(Malformed) -> N? {
            guard let found = member(name), found.kind != .null else { return nil }
            let value: N = try number(name)
            guard value >= 0 else { throw Malformed(message: "\(name): negative") }
            return value
        }
        func optionalText(_ name: String) throws(Malformed) -> String? {
            guard let found = member(name), found.kind != .null else { return nil }
            guard let text = found.text else { throw Malformed(message: "\(name): not text") }
            return text
        }
        func bytes(_ name: String, _ kind: JSONMember.Kind) throws(Malformed) -> [UInt8]? {
            if let hex = member("\(name)Hex") {
                guard let text = hex.text, let bytes = Self.bytes(hexadecimal: text) else {
                    throw Malformed(message: "\(name)Hex: no hexadecimal text")
                }
                return bytes
            }
            guard let found = member(name) else { throw Malformed(message: "\(name): missing") }
            if found.kind == .null { return nil }
            guard found.kind == kind else {
                throw Malformed(message: "\(name): neither \(kind == .text ? "text" : "an object") nor null")
            }
            return found.value
        }
        guard let topic = member("topic")?.text, !topic.isEmpty else {
            throw Malformed(message: "topic: missing, or not text")
        }
        self.init(
            topic: topic, partition: try optionalNumber("partition"), offset: try optionalNumber("offset"),
            timestamp: try number("timestamp"), key: try bytes("key", .text), headers: try Self.headers(members),
            value: try bytes("value", .nested), state: try optionalText("state"), reason: try optionalText("reason"))
        guard (partition == nil) == (offset == nil) else {
            throw Malformed(message: "partition and offset: one without the other")
        }
    }

    private static func headers(_ members: [JSONMember]) throws(Malformed) -> [Header] {
        if let hex = members.last(where: { $0.name == "headersHex" }) {
            guard let text = hex.text else { throw Malformed(message: "headersHex: no text") }
            var all: [Header] = []
            for part in text.split(separator: ",") {
                let words = part.split(separator: ":", omittingEmptySubsequences: false).map {
                    bytes(hexadecimal: String($0))
                }
                guard (1...2).contains(words.count), let name = words[0], words.last != .some(nil) else {
                    throw Malformed(message: "headersHex: an element is not NAME:VALUE in hexadecimal")
                }
                all.append(
                    Header(name: String(decoding: name, as: UTF8.self), value: words.count == 2 ? words[1] : nil))
            }
            return all
        }
        guard let headers = members.last(where: { $0.name == "headers" }), headers.kind == .nested,
            let pairs = JSONMember.members(of: headers.value).members
        else { throw Malformed(message: "headers: missing, or not an object") }
        var all: [Header] = []
        for pair in pairs {
            guard pair.kind == .text || pair.kind == .null else {
                throw Malformed(message: "headers.\(pair.name): neither text nor null")
            }
            all.append(Header(name: pair.name, value: pair.kind == .null ? nil : pair.value))
        }
        return all
    }

    private static func bytes(hexadecimal text: String) -> [UInt8]? {
        let digits = Array(text.utf8)
        // A sign would do for `UInt8`.
        guard digits.count % 2 == 0, text.allSatisfy(\.isHexDigit) else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let byte = UInt8(String(decoding: digits[index...index + 1], as: UTF8.self), radix: 16) else {
                return nil
            }
            bytes.append(byte)
        }
        return bytes
    }
}
