import Foundation
import SMSPortalEvents
import Testing

/// Prints what the hot path costs; judges nothing. Run with `SMSBRIDGE_TIMING=1 swift test -c release --filter TimingTests`.
@Suite struct TimingTests {
    private static let isAsked = ProcessInfo.processInfo.environment["SMSBRIDGE_TIMING"] != nil

    @Test(.enabled(if: isAsked, "asked for by SMSBRIDGE_TIMING"))
    func decodingAndReading() throws {
        for name in ["v2-post-delivery-status", "v1-get-delivery-status", "template-post-reply"] {
            let fixture = try #require(Fixture.named(name))
            let callback = fixture.callback
            let contentType = Array(callback.contentType.utf8)
            let none: [UInt8] = []
            let decoder = try CallbackDecoder()
            let buffer = RecordBuffer()
            let decoding = best {
                decoder.decode(
                    method: callback.method, route: callback.route, contentType: contentType.span.bytes,
                    query: callback.query.span.bytes, body: callback.body.span.bytes, traceparent: none.span.bytes,
                    tracestate: none.span.bytes, account: 0, receivedAt: reception.millisecondsSinceEpoch, into: buffer)
            }
            let record = buffer.record
            let reader = EventReader()
            let reading = best {
                record.value.withUnsafeBytes { _ = try? reader.event(value: $0, headers: record.headers) }
            }
            let bytes = callback.query.count + callback.body.count
            print(
                "\(name): \(bytes) bytes to a record of \(record.value.count) in \(decoding) ns, read in \(reading) ns")
        }
    }

    /// Nanoseconds of one turn, the best of many rounds.
    private func best(_ work: () -> Void) -> Int64 {
        let clock = ContinuousClock()
        let turns = 500
        let rounds = (0..<400).map { _ in
            clock.measure { for _ in 0..<turns { work() } }
        }
        return (rounds.min() ?? .zero).components.attoseconds / 1_000_000_000 / Int64(turns)
    }
}
