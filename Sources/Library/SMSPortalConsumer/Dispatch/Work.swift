internal import SMSBridgeTelemetry
internal import SMSPortalEvents

/// An assignment of a partition to this member. A partition that comes back is another assignment, so that nothing that
/// belongs to the earlier one can touch it.
struct AssignmentID: Hashable, Sendable {
    let index: Int
    let generation: UInt32
}

/// A record that is handled, in a copy: of what fails, is claimed, belongs to a replay or is no plain event.
struct Work: Sendable {
    let record: ConsumedRecord
    /// 1 for the first.
    let attempt: Int
    /// Why it goes to the dead letters; nil while it is to be handled.
    let failure: Failure?
    let assignment: AssignmentID
    /// The topic's position among those of the consumer.
    var topic = 0
}

/// What became of a piece of work.
enum WorkResult: Sendable {
    /// Handled, or in the dead letters, or skipped: it is never looked at again.
    case done
    /// Not now. Its successors wait with it.
    case later(Later)
    /// The work was cancelled; it is left as it was, for whoever gets the partition next.
    case abandoned

    struct Later: Sendable {
        var delay: Duration
        /// Whether the attempt has been used up.
        var countsAttempt = true
        /// Why it goes to the dead letters, once that is decided.
        var failure: Failure?
    }
}

/// Why an event has failed for good.
final class Failure: Sendable {
    let type: EventType
    /// A name of a bounded set: the type of the error.
    let kind: String
    /// What the error says of itself. It may quote the event, so it goes into the dead letter and nowhere else.
    let message: String
    let attempts: Int
    /// Whether its successors on the key follow it.
    let parks: Bool
    /// Whether it is such a successor.
    let isParked: Bool
    /// The event's id; nil where the record is no event, or was not read.
    let eventID: String?

    init(
        type: EventType, kind: String, message: String, attempts: Int, parks: Bool = false, isParked: Bool = false,
        eventID: String? = nil
    ) {
        self.eventID = eventID
        self.type = type
        self.kind = kind
        self.message = message
        self.attempts = attempts
        self.parks = parks
        self.isParked = isParked
    }

    /// The same without the error's own words.
    var withoutMessage: Failure {
        Failure(
            type: type, kind: kind, message: "", attempts: attempts, parks: parks, isParked: isParked, eventID: eventID)
    }

    /// What a log line says of it. Of the error only its type: its text may quote the event.
    var fields: LogFields {
        var fields: LogFields = ["type": type.rawValue, "error": kind, "attempts": attempts]
        if let eventID { fields.append("event", eventID) }
        return fields
    }

    /// The type of an error; domain and code where the type says nothing.
    static func kind(of error: any Error) -> String {
        let name = "\(Swift.type(of: error))"
        return name == "NSError" ? "\(error._domain) \(error._code)" : name
    }

    /// A redriven event that was read by a member of the group without a handler for its type.
    static func noHandler(_ type: EventType) -> Failure {
        Failure(
            type: type, kind: "NoHandler", message: "the member of the group that read it has no handler for this type",
            attempts: 0)
    }

    static func parked(_ type: EventType) -> Failure {
        Failure(
            type: type, kind: "Parked", message: "an earlier event of its key has failed", attempts: 0, isParked: true)
    }
}
