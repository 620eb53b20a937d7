internal import SMSBridgeThreads
internal import SMSPortalEvents
internal import Synchronization

/// A few readers of events, each with memory that it keeps, for whichever workers come. A thread finds the same one
/// each time, whose memory is in its processor's cache, while no other thread has it.
final class EventReaders: Sendable {
    private let shelves: [Shelf]

    private final class Shelf: Sendable {
        let reader = Mutex(EventReader())
    }

    init(count: Int = 8) {
        shelves = (0..<count).map { _ in Shelf() }
    }

    /// An event, and the replay that its record says it is of.
    typealias ReadEvent = (event: Event, replayName: String?)

    func event(of record: ConsumedRecord) throws(EventDecodingError) -> ReadEvent {
        let first = Int(currentThreadHash % UInt(shelves.count))
        // The owner of a reader may have been suspended; another one is free.
        for index in first..<first + shelves.count {
            let result = shelves[index % shelves.count].reader.withLockIfAvailable { Self.read(record, with: $0) }
            if let result { return try result.get() }
        }
        return try shelves[first].reader.withLock { Self.read(record, with: $0) }.get()
    }

    private static func read(
        _ record: ConsumedRecord, with reader: EventReader
    ) -> Result<ReadEvent, EventDecodingError> {
        record.withParts { _, value, headers in
            // Picked out here: an array of headers for the reader would cost more than all of this.
            var type: UnsafeRawBufferPointer?
            var traceparent: String?
            var tracestate: String?
            var replayName: String?
            for (name, value) in headers {
                if name.isEqual(to: "ce_type") {
                    type = value
                } else if name.isEqual(to: "traceparent") {
                    traceparent = value.flatMap { String(validating: $0, as: UTF8.self) }
                } else if name.isEqual(to: "tracestate") {
                    tracestate = value.flatMap { String(validating: $0, as: UTF8.self) }
                } else if let value, replayName == nil, name.isEqual(to: DeadLetterHeaders.replayName) {
                    replayName = String(decoding: value, as: UTF8.self)
                }
            }
            do throws(EventDecodingError) {
                let event = try reader.event(
                    value: value, type: type, traceparent: traceparent, tracestate: tracestate)
                return .success((event, replayName))
            } catch {
                return .failure(error)
            }
        }
    }
}
