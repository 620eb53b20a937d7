/// A hashed timing wheel: very many deadlines at the cost of an array entry each, none of them ever removed before it
/// is due.
///
/// It has no clock and no cancellation. An owner that extends a deadline does nothing, and on expiry looks
/// whether the token is still meant, and inserts it again if it is meant later.
package struct DeadlineRing {
    private struct Entry {
        var token: UInt64
        var deadline: UInt64
        var next: Int32
    }

    private static let none: Int32 = -1

    private let granularity: UInt64
    private let slots: Int
    /// The first entry of each slot.
    private var first: [Int32]
    /// A bit for each slot that is not empty.
    private var occupied: [UInt64]
    private var entries: [Entry] = []
    private var free: Int32 = none
    /// No entry lies in a granule before this one.
    private var cursor: UInt64 = 0
    /// How many deadlines wait.
    package private(set) var count = 0

    /// - Parameters:
    ///   - nanoseconds: width of a slot; at least 1.
    ///   - slots: number of slots, at least 1; further away than `slots` widths, an entry is only looked at once a
    ///     round.
    package init(granularity nanoseconds: UInt64, slots: Int) {
        granularity = max(1, nanoseconds)
        self.slots = max(1, slots)
        first = Array(repeating: Self.none, count: self.slots)
        occupied = Array(repeating: 0, count: (self.slots + 63) / 64)
    }

    /// Adds a deadline; the same token may be in it more than once.
    package mutating func insert(token: UInt64, at nanoseconds: UInt64) {
        let granule = nanoseconds / granularity
        if count == 0 || granule < cursor { cursor = granule }
        let slot = Int(granule % UInt64(slots))
        let entry = Entry(token: token, deadline: nanoseconds, next: first[slot])
        let index: Int32
        if free == Self.none {
            index = Int32(entries.count)
            entries.append(entry)
        } else {
            index = free
            free = entries[Int(index)].next
            entries[Int(index)] = entry
        }
        first[slot] = index
        occupied[slot / 64] |= 1 << UInt64(slot % 64)
        count += 1
    }

    /// Tells every token whose deadline is not after `now`, and forgets it; `body` may not touch the ring.
    package mutating func expire(upTo now: UInt64, _ body: (_ token: UInt64, _ deadline: UInt64) -> Void) {
        guard count > 0 else { return }
        let last = now / granularity
        guard last >= cursor else { return }
        // A whole round visits every slot.
        let visits = min(last - cursor, UInt64(slots - 1)) + 1
        var granule = cursor
        for _ in 0..<visits {
            let slot = Int(granule % UInt64(slots))
            granule &+= 1
            if occupied[slot / 64] & (1 << UInt64(slot % 64)) == 0 { continue }
            var index = first[slot]
            var kept = Self.none
            while index != Self.none {
                let entry = entries[Int(index)]
                if entry.deadline <= now {
                    entries[Int(index)].next = free
                    free = index
                    count -= 1
                    body(entry.token, entry.deadline)
                } else {
                    entries[Int(index)].next = kept
                    kept = index
                }
                index = entry.next
            }
            first[slot] = kept
            if kept == Self.none { occupied[slot / 64] &= ~(1 << UInt64(slot % 64)) }
        }
        // The present granule stays open: some of it may lie after `now`.
        cursor = last
    }

    /// No deadline is earlier than this; nil when none waits. It may be earlier than the first by whole rounds.
    package var next: UInt64? {
        guard count > 0 else { return nil }
        let start = Int(cursor % UInt64(slots))
        for distance in 0..<slots {
            let slot = start + distance < slots ? start + distance : start + distance - slots
            if occupied[slot / 64] & (1 << UInt64(slot % 64)) == 0 { continue }
            return lowerBound(granule: cursor &+ UInt64(distance), slot: slot)
        }
        return nil
    }

    private func lowerBound(granule: UInt64, slot: Int) -> UInt64 {
        var earliest = UInt64.max
        var index = first[slot]
        while index != Self.none {
            earliest = min(earliest, entries[Int(index)].deadline)
            index = entries[Int(index)].next
        }
        // What this slot holds may belong to a later round; every other slot lies behind this granule's end.
        let (end, overflow) = (granule &+ 1).multipliedReportingOverflow(by: granularity)
        return overflow || granule == .max ? earliest : min(earliest, end)
    }
}
