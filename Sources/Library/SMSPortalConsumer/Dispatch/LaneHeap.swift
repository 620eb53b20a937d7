/// Lanes by a number, the lowest first: when they may go on, or their place in line. A binary heap.
struct LaneHeap {
    private var entries: [(deadline: UInt64, lane: LaneReference)] = []

    var count: Int { entries.count }
    var isEmpty: Bool { entries.isEmpty }

    /// The lowest number; nil when there is none.
    var soonest: UInt64? { entries.first?.deadline }

    mutating func insert(_ lane: LaneReference, at deadline: UInt64) {
        entries.append((deadline, lane))
        var child = entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard entries[child].deadline < entries[parent].deadline else { break }
            entries.swapAt(child, parent)
            child = parent
        }
    }

    /// Takes the lowest, if it is not above `now`.
    mutating func pop(until now: UInt64) -> LaneReference? {
        guard let first = entries.first, first.deadline <= now else { return nil }
        let last = entries.removeLast()
        guard !entries.isEmpty else { return first.lane }
        entries[0] = last
        var parent = 0
        while true {
            var smallest = parent
            let left = 2 * parent + 1
            if left < entries.count, entries[left].deadline < entries[smallest].deadline { smallest = left }
            let right = left + 1
            if right < entries.count, entries[right].deadline < entries[smallest].deadline { smallest = right }
            guard smallest != parent else { return first.lane }
            entries.swapAt(parent, smallest)
            parent = smallest
        }
    }
}
