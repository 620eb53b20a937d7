/// A boundary of a replay.
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

/// Selects records by their timestamps, which are the times at which the bridge received the events.
///
/// Timestamps are not in order: what a bridge kept in its spool during an outage follows newer records. So reading begins at
/// the first record at or after `from`, as Kafka's time index reports it, continues to the end of the partition, and takes
/// what lies in the window.
package struct ReplayWindow: Sendable, Hashable {
    /// Inclusive.
    package var from: ReplayPoint
    /// Exclusive.
    package var to: ReplayPoint
    /// How late after `to` a record of the window may have been published, in milliseconds. Reading a partition ends after a
    /// run of records that are all later than that (``RangeProgress/laterRun``). nil reads to the partition's end. Only for a
    /// `to` that is a time.
    package var maxLateness: Int64?

    package init(from: ReplayPoint = .earliest, to: ReplayPoint = .now, maxLateness: Int64? = nil) {
        self.from = from
        self.to = to
        self.maxLateness = maxLateness
    }

    /// Whether a record with this timestamp is selected. One without a timestamp is, unless the window has a time.
    package func contains(_ timestamp: Int64?) -> Bool {
        if case .time(let time) = from, timestamp.map({ $0 < time }) ?? true { return false }
        if case .time(let time) = to, timestamp.map({ $0 >= time }) ?? true { return false }
        return true
    }

    /// Whether a record with this timestamp is later than `to` and the maximum lateness allow.
    func isLater(_ timestamp: Int64?) -> Bool {
        guard let maxLateness, case .time(let to) = to, let timestamp else { return false }
        return timestamp >= to && timestamp - to >= maxLateness
    }

    /// How far the vendor's clock may be ahead of the bridge's, and its local times from UTC, in milliseconds.
    package static let occurrenceMargin: Int64 = 3 * 3_600_000

    /// The records to read for a window of times at which something occurred: the bridge receives an event after it has
    /// occurred, hours after it where the vendor retried.
    package var readForOccurrence: ReplayWindow {
        guard case .time(let time) = from else { return ReplayWindow(from: from) }
        return ReplayWindow(from: .time(time - Self.occurrenceMargin))
    }

    /// Why the window is invalid; nil when it is valid.
    package var problem: String? {
        switch (from, to) {
        case (.time(let from), .time(let to)) where from >= to: return "from is not before to"
        case (.offset(let from), .offset(let to)) where from >= to: return "from is not before to"
        case (.now, _): return "from is now: no event follows it"
        case (_, .earliest): return "to is earliest: no event precedes it"
        default: break
        }
        guard let maxLateness else { return nil }
        guard case .time = to else { return "a maximum lateness requires a to that is a time" }
        return maxLateness < 0 ? "the maximum lateness is negative" : nil
    }
}
