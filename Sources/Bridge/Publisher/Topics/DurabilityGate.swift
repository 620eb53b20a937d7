/// The handling of events with `durability.strict`, by what is known about the topics.
package enum DurabilityGate: Sendable, Equatable {
    /// The topics are durable, or durability is not enforced.
    case open
    /// They have not been judged yet: events are durable in the spool, and nothing is handed to Kafka.
    case unjudged
    /// An acknowledged event could be lost: events are refused, and nothing is handed to Kafka.
    case refusing
}
