internal import SMSBridgeSpool

/// The common state: a direct topic queue, Kafka acknowledging, everything within its bounds. What `accept` and `report` do
/// then, without a list of actions and without copies of the event.
///
/// Each returns nil, and has changed nothing, where the state is another: then `accept` or `report` decides. Random runs hold
/// both against each other in every state that they reach.
extension PublisherCore {
    /// Accepts an event that is to be handed to the shared producer at once.
    ///
    /// - Returns: what `accept` would give to the one action that it would append, a `produce`; a failure to carry it out is
    ///   reported by `notProduced`.
    @inline(__always)
    mutating func acceptDirect(_ record: SpoolRecord, token: UInt64, now: UInt64) -> UInt64? {
        let index = record.lane
        let size = record.size
        guard actions.isEmpty, gate == .open, isProducerReady, !isStopped, !kafkaTrouble.isNoted,
            queues[index].isPlain,
            events.count < limits.maxInFlight, events.bytes + size <= limits.maxInFlightBytes,
            queues[index].sent < limits.maxInFlight / 2,
            queues[index].sentBytes + size <= limits.maxInFlightBytes / 2
        else { return nil }
        queues[index].sent += 1
        queues[index].sentBytes += size
        var event = PendingEvent(token: token, accepted: now, record: record, number: nextNumber)
        event.isSent = true
        nextNumber += 1
        let opaque = events.insert(event)
        deadlines.append(opaque, deadline: now &+ limits.deadline)
        if hasSpool { hedges.append(opaque, deadline: now &+ limits.hedge) }
        return opaque
    }

    /// What is to be answered after a delivery.
    struct Delivery {
        var token: UInt64
        var accepted: UInt64
    }

    /// Takes note that Kafka has acknowledged an event.
    ///
    /// - Returns: what `report` would give to the one action that it would append, an `answer` that the event is durable.
    @inline(__always)
    mutating func deliverDirect(_ opaque: UInt64) -> Delivery? {
        guard let (index, token, accepted, size) = events.plainDelivery(opaque), queues[index].isPlain else {
            return nil
        }
        events.remove(opaque)
        queues[index].sent -= 1
        queues[index].sentBytes -= size
        queues[index].succeeded()
        counters.acknowledged[index] += 1
        kafkaTrouble.end()
        return Delivery(token: token, accepted: accepted)
    }
}
