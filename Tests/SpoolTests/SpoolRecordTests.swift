import Testing

@testable import SMSBridgeSpool

/// A record keeps what it was made of, whichever way it was made.
@Suite("Spool record")
struct SpoolRecordTests {
    private let value = Array(0..<UInt8(200))
    private let headers = Array("\u{1}a\u{1}\0\0\0b".utf8)

    private func record(_ key: [UInt8]?) -> SpoolRecord {
        value.withUnsafeBytes { value in
            headers.withUnsafeBytes { headers in
                guard let key else {
                    return SpoolRecord(lane: 3, timestamp: 1_790_000_000_123, key: nil, value: value, headers: headers)
                }
                return key.withUnsafeBytes {
                    SpoolRecord(lane: 3, timestamp: 1_790_000_000_123, key: $0, value: value, headers: headers)
                }
            }
        }
    }

    private func record(parts key: [UInt8]) -> SpoolRecord {
        (value + key + headers).withUnsafeBytes {
            SpoolRecord(
                lane: 3, timestamp: 1_790_000_000_123, parts: $0, valueCount: value.count, keyCount: key.count)
        }
    }

    private func check(_ record: SpoolRecord, key: [UInt8]?) {
        #expect(record.lane == 3)
        #expect(record.timestamp == 1_790_000_000_123)
        #expect(record.value.elementsEqual(value))
        #expect(record.key.map(Array.init) == key)
        #expect(record.headers.elementsEqual(headers))
        #expect(record.size == value.count + (key?.count ?? 0) + headers.count + SpoolRecord.overhead)
    }

    @Test("made of its parts, a record has them; no key differs from an empty one")
    func parts() {
        for key in [Array("27820000000".utf8), [], nil] { check(record(key), key: key) }
    }

    @Test("made of one run of bytes, a record has its parts; an empty key is none")
    func run() {
        check(record(parts: Array("27820000000".utf8)), key: Array("27820000000".utf8))
        check(record(parts: []), key: nil)
    }

    @Test("a copy shares the bytes, and keeps them when the original is gone")
    func copies() throws {
        var original: SpoolRecord? = record(Array("1".utf8))
        let copy = try #require(original)
        #expect(copy.value.baseAddress == original?.value.baseAddress)
        original = nil
        check(copy, key: Array("1".utf8))
        let moved = copy.inLane(5)
        #expect(moved.lane == 5)
        #expect(moved.value.baseAddress != copy.value.baseAddress)
        #expect(moved.value.elementsEqual(value))
    }
}
