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
                    return .success(try reader.event(value: value, headers: record.eventHeaders))
                } catch {
                    return .failure(error)
                }
            }
        }
        return try result.get()
    }
}
