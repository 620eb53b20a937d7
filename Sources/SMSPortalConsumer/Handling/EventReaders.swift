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
        let shelf = shelves[Int(UInt(bitPattern: turn) % UInt(shelves.count))]
        let result = shelf.reader.withLock { reader -> Result<Event, EventDecodingError> in
            record.withValue { value in
                do throws(EventDecodingError) {
                    return .success(try reader.event(value: value))
                } catch {
                    return .failure(error)
                }
            }
        }
        var event = try result.get()
        // Looked at here: an array of headers for the reader would cost more than all of this.
        var isOfType = true
        var trace: (parent: String?, state: String?)
        record.forEachHeader { name, value in
            if name.isEqual(to: "ce_type") {
                isOfType = EventReader.isType(value, of: event)
            } else if name.isEqual(to: "traceparent") {
                trace.parent = value.flatMap { String(validating: $0, as: UTF8.self) }
            } else if name.isEqual(to: "tracestate") {
                trace.state = value.flatMap { String(validating: $0, as: UTF8.self) }
            }
        }
        guard isOfType else { throw .otherType }
        if trace.parent != nil || trace.state != nil {
            event.envelope.traceparent = trace.parent
            event.envelope.tracestate = trace.state
        }
        return event
    }
}
