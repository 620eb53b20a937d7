/// What is done with events where durability is insisted on, by what is known of the topics.
package enum DurabilityGate: Sendable, Equatable {
    /// The topics keep what Kafka acknowledges, or nobody insists on it.
    case open
    /// They have not been judged yet: events are durable in the spool, and nothing is handed to Kafka.
    case unjudged
    /// An acknowledged event could be lost: events are refused, and nothing is handed to Kafka.
    case refusing
}
