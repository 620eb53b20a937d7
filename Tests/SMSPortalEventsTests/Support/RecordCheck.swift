import Foundation
import SMSBridgeTestSupport
import SMSPortalEvents
import Synchronization
import Testing

/// What every record must be, whatever it was made from: valid JSON that satisfies its schema, headers that agree with it, a
/// raw part that gives the callback back. Every record that a test makes passes through here.
enum RecordCheck {
    private static let validators: [EventType: SchemaValidator] = {
        var validators: [EventType: SchemaValidator] = [:]
        for type in EventType.allCases { validators[type] = try? SchemaValidator(type: type.rawValue) }
        return validators
    }()

    static func check(_ record: EventRecord, _ comment: Comment? = nil) throws {
        dump(record)
        let value = try JSONValue(record.value)
        let type = try #require(value["type"]?.string.flatMap(EventType.init(rawValue:)), comment)
        let problems = try #require(validators[type], comment).problems(of: value)
        #expect(problems.isEmpty, "\(problems) \(comment ?? "")")
        let expected: [(String, String?)] = [
            ("ce_specversion", "1.0"), ("ce_id", value["id"]?.string),
            ("ce_type", "com.smsportal.\(type.rawValue).v1"),
            ("ce_source", value["account"]?.string.map { "/smsportal/\($0)" }),
            ("ce_time", value["occurredAt"]?.string ?? value["receivedAt"]?.string),
            ("ce_idbasis", value["idBasis"]?.string), ("content-type", "application/json"),
        ]
        #expect(record.headers.prefix(7).map(\.name) == expected.map(\.0), comment)
        for (name, text) in expected { #expect(record.header(name) == text, comment) }
    }

    // MARK: - The dump for the independent validator

    /// Opened once, kept for the life of the process.
    private static let dumpFile: Mutex<FileHandle?> = {
        guard let path = ProcessInfo.processInfo.environment["SMSBRIDGE_RECORD_DUMP"] else { return Mutex(nil) }
        _ = FileManager.default.createFile(atPath: path, contents: nil)
        return Mutex(FileHandle(forWritingAtPath: path))
    }()

    private static func dump(_ record: EventRecord) {
        dumpFile.withLock { file in
            guard let file else { return }
            var headers: [String: String] = [:]
            for header in record.headers { headers[header.name] = header.text ?? "" }
            let line: [String: Any] = [
                "topic": record.topic.suffix, "key": record.key.map { String(decoding: $0, as: UTF8.self) } ?? NSNull(),
                "headers": headers, "value": String(decoding: record.value, as: UTF8.self),
            ]
            guard var data = try? JSONSerialization.data(withJSONObject: line) else { return }
            data.append(0x0A)
            file.write(data)
        }
    }
}

/// One moment for all tests: 2026-11-23T17:50:26.123Z.
let reception = EventTime(millisecondsSinceEpoch: 1_795_456_226_123)

extension CallbackDecoder {
    /// The record of a callback by the hot path, checked as every record is.
    func record(
        _ method: CallbackMethod = .post, _ route: EventType?, contentType: String = "", contentEncoding: String = "",
        query: [UInt8] = [], body: [UInt8] = [], traceparent: String = "", tracestate: String = "", account: Int = 0,
        receivedAt: EventTime = reception, _ comment: Comment? = nil
    ) throws -> EventRecord {
        let buffer = RecordBuffer()
        decode(
            method: method, route: route, contentType: Array(contentType.utf8).span.bytes,
            contentEncoding: Array(contentEncoding.utf8).span.bytes, query: query.span.bytes, body: body.span.bytes,
            traceparent: Array(traceparent.utf8).span.bytes,
            tracestate: Array(tracestate.utf8).span.bytes, account: account,
            receivedAt: receivedAt.millisecondsSinceEpoch, into: buffer)
        let record = buffer.record
        try RecordCheck.check(record, comment)
        let event = try Event(record: record)
        #expect(event.raw.query == query, comment)
        #expect(event.raw.body == body, comment)
        #expect(event.raw.contentEncoding == contentEncoding, comment)
        #expect(event.raw.method == method, comment)
        #expect(event.raw.route == route, comment)
        return record
    }

    /// The event of a JSON body, by the hot path.
    func event(_ route: EventType?, json: String, query: String = "") throws -> Event {
        try Event(record: record(.post, route, query: Array(query.utf8), body: Array(json.utf8), "\(json)"))
    }

    /// The event of a query string, by the hot path.
    func event(_ route: EventType?, query: String) throws -> Event {
        try Event(record: record(.get, route, query: Array(query.utf8), "\(query)"))
    }
}

extension Event {
    var deliveryStatus: DeliveryStatus? { if case .deliveryStatus(let event) = self { event } else { nil } }
    var reply: Reply? { if case .reply(let event) = self { event } else { nil } }
    var shortCode: ShortCodeMessage? { if case .shortCode(let event) = self { event } else { nil } }
    var urlClick: URLClick? { if case .urlClick(let event) = self { event } else { nil } }
    var unrecognised: Unrecognised? { if case .unrecognised(let event) = self { event } else { nil } }
}

extension SeededRandom {
    /// The seed from `SMSBRIDGE_TEST_SEED`, else a new one.
    static var seed: UInt64 {
        ProcessInfo.processInfo.environment["SMSBRIDGE_TEST_SEED"].flatMap(UInt64.init) ?? .random(in: 0...UInt64.max)
    }
}
