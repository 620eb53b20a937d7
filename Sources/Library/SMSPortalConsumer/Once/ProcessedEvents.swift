/// Remembers which events have been handled, so that a repeat is handled once.
///
/// Kafka delivers at least once, and the vendor may call twice: the same event id can reach a handler again. A consumer
/// with a store of processed events asks it for a claim before every attempt, and reports to it afterwards the outcome
/// of the event. What the store promises is up to where it is kept: ``InMemoryProcessedEvents`` forgets with the
/// process.
///
/// A claim has an owner and an expiry. A member of the group that dies while it handles an event leaves its claim
/// behind; once that has expired, another may take it. So `expiry` must be longer than the longest time that a handler
/// takes, and a handler that takes longer may run twice.
///
/// Every call must be atomic: of two members that claim the same event at once, one gets it. No call may block its
/// thread.
public protocol ProcessedEvents: Sendable {
    /// Asks for the right to handle an event.
    ///
    /// - Parameters:
    ///   - key: Which event, for whom.
    ///   - expiry: For how long the claim holds, unless it is completed or released before.
    /// - Returns: Whether the event is the caller's to handle.
    /// - Throws: Whatever keeps the store from answering; the consumer tries again later, and neither handles nor
    ///   commits the event until then.
    func claim(_ key: EventClaimKey, expiry: Duration) async throws -> EventClaimOutcome

    /// The event has been handled, and will never have to be again.
    ///
    /// - Returns: False when the claim had expired and another consumer holds it or has completed it.
    @discardableResult
    func complete(_ claim: EventClaim) async throws -> Bool

    /// The event could not be handled: the next claim gets it at once. A claim that is no longer the caller's is
    /// left as it is.
    func release(_ claim: EventClaim) async throws
}

/// Which event, for whom.
public struct EventClaimKey: Sendable, Hashable {
    /// The consumer group: each group handles an event independently.
    public let group: String
    /// `live`, or the name of a replay: a replay handles again what the live consumer has handled.
    public let run: String
    /// The event's id, as ``EventContext/eventID``; of a callback that was not understood `unrecognised/` and its id,
    /// for the event comes again under that id once it is understood.
    public let eventID: String

    /// The name of the run that is no replay.
    public static let live = "live"

    /// - Parameters:
    ///   - group: The consumer group.
    ///   - run: ``live``, or the name of a replay.
    ///   - eventID: The event's id.
    public init(group: String, run: String = Self.live, eventID: String) {
        self.group = group
        self.run = run
        self.eventID = eventID
    }
}

/// The right to handle an event, until it expires.
public struct EventClaim: Sendable, Hashable {
    /// Which event, for whom.
    public let key: EventClaimKey
    /// Tells this claim from every other one on the same event, earlier and later ones included.
    public let token: UInt64

    /// - Parameters:
    ///   - key: Which event, for whom.
    ///   - token: Tells this claim from every other one on the same event.
    public init(key: EventClaimKey, token: UInt64) {
        self.key = key
        self.token = token
    }
}

/// What came of asking for a claim.
public enum EventClaimOutcome: Sendable, Hashable {
    /// The event is the caller's to handle.
    case claimed(EventClaim)
    /// Another consumer is handling it; with the time left until its claim expires.
    case processing(remaining: Duration)
    /// It has been handled.
    case processed
}
