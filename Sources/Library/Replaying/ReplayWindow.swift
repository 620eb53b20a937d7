/// A place in the topics, where a replay begins or ends.
package enum ReplayPoint: Sendable, Hashable {
    /// The first record that a partition still has.
    case earliest
    /// The end of a partition at the moment the replay is planned.
    case now
    /// A record's timestamp, in milliseconds since 1970: when the bridge received the event.
    case time(Int64)
    /// The same offset in every partition.
    case offset(Int64)
}

/// Which records a replay is about: by the records' timestamps, which are when the bridge received the events.
///
/// They are not in order: what a bridge kept in its spool during an outage stands behind what came later. So reading begins
/// at the first record at or after `from`, as Kafka's time index tells, goes on to the end of the partition, and takes what
/// lies in the window.
package struct ReplayWindow: Sendable, Hashable {
    /// Inclusive.
    package var from: ReplayPoint
    /// Exclusive.
    package var to: ReplayPoint
    /// Where reading ends: behind the first record that is so much later than `to`, in milliseconds. nil reads to the
    /// partition's end. What a spool has published later than that is missed. Only for a `to` that is a time.
    package var late: Int64?

    package init(from: ReplayPoint = .earliest, to: ReplayPoint = .now, late: Int64? = nil) {
        self.from = from
        self.to = to
        self.late = late
    }

    /// Whether a record of this timestamp is meant. One without a timestamp is, unless a time was asked for.
    package func contains(_ timestamp: Int64?) -> Bool {
        if case .time(let time) = from, timestamp.map({ $0 < time }) ?? true { return false }
        if case .time(let time) = to, timestamp.map({ $0 >= time }) ?? true { return false }
        return true
    }

    /// How far the vendor's clock may be ahead of the bridge's, and its local times from UTC, in milliseconds.
    package static let occurrenceMargin: Int64 = 3 * 3_600_000

    /// The records to read for a window of times at which something occurred: the bridge receives an event after it has
    /// occurred, by the vendor's retries hours after it.
    package var readForOccurrence: ReplayWindow {
        guard case .time(let time) = from else { return ReplayWindow(from: from) }
        return ReplayWindow(from: .time(time - Self.occurrenceMargin))
    }

    /// What makes no sense; nil for nothing.
    package var problem: String? {
        switch (from, to) {
        case (.time(let from), .time(let to)) where from >= to: return "from is not before to"
        case (.offset(let from), .offset(let to)) where from >= to: return "from is not before to"
        case (.now, _): return "from is now: nothing lies behind it"
        case (_, .earliest): return "to is earliest: nothing lies before it"
        default: break
        }
        guard let late else { return nil }
        guard case .time = to else { return "late goes with a to that is a time" }
        return late < 0 ? "late is negative" : nil
    }
}
