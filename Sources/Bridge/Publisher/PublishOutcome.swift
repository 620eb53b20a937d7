/// The outcome of an event that was given to the publisher.
package enum PublishOutcome: Sendable, Equatable {
    /// Kafka has acknowledged it (`acks=all`), or the spool has it on disk.
    case durable
    /// Nothing has made it durable. It may still arrive later, with the same id.
    case unavailable(Reason)

    /// Why an event could not be made durable; a closed set, fit for a metric's label.
    package enum Reason: String, Sendable, CaseIterable {
        /// Kafka has not acknowledged it in time.
        case deadline
        /// Too many events, or too many bytes, wait for their acknowledgement already.
        case inFlightLimit = "in_flight_limit"
        /// Kafka refused it, or librdkafka gave it up.
        case failed
        /// The spool, to which it had to go, is full.
        case spoolFull = "spool_full"
        /// The spool, to which it had to go, cannot store it.
        case spoolFailed = "spool_failed"
        /// The producer is being replaced after a fatal error.
        case replacingProducer = "recreating_producer"
        /// A topic could lose what Kafka acknowledges, and that is not to be served with.
        case notDurable = "not_durable"
        /// The bridge is ending.
        case stopping
    }
}
