/// How far one partition of a plan has been read: a state machine without I/O.
package struct RangeProgress: Sendable {
    package let planned: ReplayPlan.Partition
    /// The next offset to read.
    package private(set) var next: Int64
    /// How many offsets were deleted before they could be read, and skipped.
    package private(set) var missed: Int64 = 0
    /// How many offsets were left unread because of the maximum lateness.
    package private(set) var unread: Int64 = 0
    /// How many records of the window followed one that was later than the maximum lateness allows: a producer's clock was
    /// ahead, or a spool was drained later than that.
    package private(set) var afterLater: Int64 = 0
    /// When the readable end was reached before the planned one, in nanoseconds of the monotonic clock: an open transaction
    /// hides the rest. nil while records arrive.
    package private(set) var blockedSince: UInt64?
    private var hasSeenLater = false
    private var laterInARow: Int64 = 0

    /// With a maximum lateness, reading a partition ends after so many records in a row that are later. One record of a clock
    /// that is ahead must not end it.
    package static let laterRun: Int64 = 1_000

    package init(_ planned: ReplayPlan.Partition) {
        self.planned = planned
        next = planned.offsets.lowerBound
    }

    package var isRead: Bool { next >= planned.offsets.upperBound }
    /// The offsets that have not been read.
    package var remaining: Range<Int64> { next..<max(next, planned.offsets.upperBound) }

    /// Records that a record has arrived.
    ///
    /// - Returns: whether it belongs to the plan and to the window.
    package mutating func receive(offset: Int64, timestamp: Int64?, window: ReplayWindow) -> Bool {
        blockedSince = nil
        // What was appended after the plan was made is not part of this replay; what was passed has been delivered.
        guard offset < planned.offsets.upperBound, offset >= next else {
            advance(to: offset + 1)
            return false
        }
        advance(to: offset + 1)
        let isSelected = window.contains(timestamp)
        guard window.isLater(timestamp) else {
            laterInARow = 0
            if isSelected, hasSeenLater { afterLater += 1 }
            return isSelected
        }
        hasSeenLater = true
        laterInARow += 1
        if laterInARow >= Self.laterRun {
            unread += planned.offsets.upperBound - next
            next = planned.offsets.upperBound
        }
        return isSelected
    }

    /// Records that the readable end of the partition was reached. Its last offsets may be transaction markers, aborted, or
    /// compacted away: no record reports them.
    ///
    /// - Parameter now: nanoseconds of the monotonic clock.
    package mutating func reachEnd(at offset: Int64, now: UInt64) {
        advance(to: offset)
        blockedSince = isRead ? nil : blockedSince ?? now
    }

    /// Records that everything below an offset was deleted before it could be read.
    package mutating func skipDeleted(before offset: Int64) {
        let end = min(offset, planned.offsets.upperBound)
        missed += max(0, end - next)
        advance(to: end)
    }

    private mutating func advance(to offset: Int64) {
        next = max(next, min(offset, planned.offsets.upperBound))
    }
}

/// Offsets of a partition that cannot be read yet because a transaction before them is open.
package struct BlockedRange: Sendable, Hashable, CustomStringConvertible {
    package let topic: String
    package let partition: Int32
    package let offsets: Range<Int64>

    package init(topic: String, partition: Int32, offsets: Range<Int64>) {
        self.topic = topic
        self.partition = partition
        self.offsets = offsets
    }

    package var description: String {
        "\(offsets.count) offsets of \(topic)[\(partition)] lie behind an open transaction"
    }
}
