internal import SMSPortalEvents
internal import Synchronization

/// A few readers of events, each with memory that it keeps, for whichever workers come.
final class EventReaders: Sendable {
    private let shelves: [Shelf]
    private let turn = Atomic<Int>(0)

    private final class Shelf: Sendable {
        let reader = Mutex(EventReader())
    }

    init(count: Int = 8) {
        shelves = (0..<count).map { _ in Shelf() }
    }

    func event(of record: ConsumedRecord) throws(EventDecodingError) -> Event {
        let turn = turn.wrappingAdd(1, ordering: .relaxed).oldValue
        let first = Int(UInt(bitPattern: turn) % UInt(shelves.count))
        // Whoever has a reader may have been interrupted; another one is free.
        for index in first..<first + shelves.count {
            let result = shelves[index % shelves.count].reader.withLockIfAvailable { Self.read(record, with: $0) }
            if let result { return try result.get() }
        }
        return try shelves[first].reader.withLock { Self.read(record, with: $0) }.get()
    }

    private static func read(
        _ record: ConsumedRecord, with reader: EventReader
    ) -> Result<Event, EventDecodingError> {
        record.withParts { value, headers in
            // Picked out here: an array of headers for the reader would cost more than all of this.
            var type: UnsafeRawBufferPointer?
            var traceparent: String?
            var tracestate: String?
            for (name, value) in headers {
                if name.isEqual(to: "ce_type") {
                    type = value
                } else if name.isEqual(to: "traceparent") {
                    traceparent = value.flatMap { String(validating: $0, as: UTF8.self) }
                } else if name.isEqual(to: "tracestate") {
                    tracestate = value.flatMap { String(validating: $0, as: UTF8.self) }
                }
            }
            do throws(EventDecodingError) {
                return .success(
                    try reader.event(value: value, type: type, traceparent: traceparent, tracestate: tracestate))
            } catch {
                return .failure(error)
            }
        }
    }
}
