/// What is said over a running bridge's socket, version 1: one question a connection, each line ends with a line feed.
///
/// ```
/// > 1 status                         > 1 rows <lane|parked> <after> <count>
/// < ok <n>                           < error <code> <text>
/// < format <version>                 (n lines)
/// < lane <id> <rows> <bytes> <oldest|-> <name>
/// < parked <rows> <reason>
/// < <number> <lane> <timestamp> <key|-> <headers> <value> <reason|->      of rows; bytes as hexadecimal, "." for none
/// ```
/// A question of another version is answered `error version`.
enum SpoolProtocol {
    static let version = "1"
    static let socketName = "inspect.sock"
    /// A question is not longer, in bytes.
    static let maxQuestion = 256
    /// An answer has not more rows.
    static let maxRows = 500
    /// An answer ends with the row that reaches these bytes of records.
    static let maxBytes = 1 << 20

    enum Question: Sendable, Equatable {
        case status
        case rows(SpoolTable, after: Int64, count: Int)
    }

    enum Answer: Sendable {
        case status(SpoolStatus)
        case rows([InspectedRow])
        case failure(SpoolError)
    }

    // MARK: - Questions

    static func line(_ question: Question) -> String {
        switch question {
        case .status: "\(version) status\n"
        case .rows(.lane(let id), let after, let count): "\(version) rows \(id) \(after) \(count)\n"
        case .rows(.parked, let after, let count): "\(version) rows parked \(after) \(count)\n"
        }
    }

    static func question(_ line: String) -> Result<Question, SpoolError> {
        let words = line.split(separator: " ")
        guard words.first == version[...] else {
            return .failure(SpoolError(.version, "this bridge speaks version \(version) of the spool's protocol"))
        }
        if words.count == 2, words[1] == "status" { return .success(.status) }
        if words.count == 5, words[1] == "rows", let after = Int64(words[3]), let count = Int(words[4]), count > 0 {
            let bounded = min(count, maxRows)
            if words[2] == "parked" { return .success(.rows(.parked, after: after, count: bounded)) }
            if let id = Int64(words[2]), id > 0 { return .success(.rows(.lane(id), after: after, count: bounded)) }
        }
        return .failure(SpoolError(.io, "not a question of the spool's protocol"))
    }

    // MARK: - Answers

    static func bytes(_ answer: Answer) -> [UInt8] {
        var bytes: [UInt8] = []
        switch answer {
        case .failure(let error): bytes += "error \(error.code.rawValue) \(oneLine(error.message))\n".utf8
        case .status(let status):
            bytes += "ok \(1 + status.lanes.count + status.parked.count)\nformat \(status.formatVersion)\n".utf8
            for lane in status.lanes {
                let oldest = lane.oldest.map { "\($0)" } ?? "-"
                bytes +=
                    "lane \(lane.id) \(lane.totals.rows) \(lane.totals.bytes) \(oldest) \(oneLine(lane.name))\n".utf8
            }
            for (reason, rows) in status.parked.sorted(by: { $0.key < $1.key }) {
                bytes += "parked \(rows) \(oneLine(reason))\n".utf8
            }
        case .rows(let rows):
            bytes += "ok \(rows.count)\n".utf8
            for row in rows {
                bytes += "\(row.number) \(row.lane) \(row.record.timestamp) ".utf8
                append(row.record.key, to: &bytes)
                append(row.record.headers, to: &bytes)
                append(row.record.value, to: &bytes)
                bytes += (row.reason.map(oneLine) ?? "-").utf8
                bytes.append(UInt8(ascii: "\n"))
            }
        }
        return bytes
    }

    static func status(_ lines: [Substring]) -> SpoolStatus? {
        var status = SpoolStatus(formatVersion: 0, lanes: [], parked: [:])
        for line in lines {
            let words = line.split(separator: " ", maxSplits: 5)
            switch words.first {
            case "format":
                guard words.count == 2, let version = Int64(words[1]) else { return nil }
                status.formatVersion = version
            case "lane":
                guard words.count == 6, let id = Int64(words[1]), let rows = Int64(words[2]),
                    let bytes = Int64(words[3])
                else { return nil }
                status.lanes.append(
                    SpoolStatus.Lane(
                        id: id, name: String(words[5]), totals: SpoolTotals(rows: rows, bytes: bytes),
                        oldest: Int64(words[4])))
            case "parked":
                let parts = line.split(separator: " ", maxSplits: 2)
                guard parts.count >= 2, let rows = Int64(parts[1]) else { return nil }
                status.parked[parts.count > 2 ? String(parts[2]) : ""] = rows
            default: return nil
            }
        }
        return status
    }

    static func row(_ line: Substring) -> InspectedRow? {
        let words = line.split(separator: " ", maxSplits: 6)
        guard words.count == 7, let number = Int64(words[0]), let lane = Int64(words[1]), let time = Int64(words[2]),
            let headers = decoded(words[4]), let value = decoded(words[5])
        else { return nil }
        var key: [UInt8]?
        if words[3] != "-" {
            key = decoded(words[3])
            if key == nil { return nil }
        }
        let record = headers.withUnsafeBytes { headers in
            value.withUnsafeBytes { value in
                guard let key else {
                    return SpoolRecord(
                        lane: Int(clamping: lane), timestamp: time, key: nil, value: value, headers: headers)
                }
                return key.withUnsafeBytes {
                    SpoolRecord(lane: Int(clamping: lane), timestamp: time, key: $0, value: value, headers: headers)
                }
            }
        }
        return InspectedRow(
            number: number, lane: lane, record: record, reason: words[6] == "-" ? nil : String(words[6]))
    }

    private static func oneLine(_ text: String) -> String { String(text.map { $0.isNewline ? " " : $0 }) }

    private static func append(_ part: UnsafeRawBufferPointer?, to bytes: inout [UInt8]) {
        switch part {
        case nil: bytes.append(UInt8(ascii: "-"))
        case let part? where part.isEmpty: bytes.append(UInt8(ascii: "."))
        case let part?:
            for byte in part {
                bytes.append(digit(byte >> 4))
                bytes.append(digit(byte & 15))
            }
        }
        bytes.append(UInt8(ascii: " "))
    }

    private static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 48 + value : 87 + value }

    private static func decoded(_ text: Substring) -> [UInt8]? {
        if text == "." { return [] }
        let digits = Array(text.utf8)
        guard digits.count % 2 == 0 else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(digits.count / 2)
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let high = value(digits[index]), let low = value(digits[index + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    private static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case 48...57: digit - 48
        case 97...102: digit - 87
        default: nil
        }
    }
}
