/// Attempts that wait for their time: a binary heap, the earliest on top, equal ones in the order they came.
struct WaitingAttempts {
    private struct Entry {
        var due: UInt64
        var order: UInt64
        var attempt: Transfer.Attempt

        func isBefore(_ other: Entry) -> Bool { (due, order) < (other.due, other.order) }
    }

    private var entries: [Entry] = []
    private var order: UInt64 = 0

    var count: Int { entries.count }
    /// The earliest time; nil when none waits.
    var next: UInt64? { entries.first?.due }

    mutating func insert(_ attempt: Transfer.Attempt, at due: UInt64) {
        order += 1
        entries.append(Entry(due: due, order: order, attempt: attempt))
        var child = entries.count - 1
        while child > 0, entries[child].isBefore(entries[(child - 1) / 2]) {
            entries.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// Takes the earliest; nil when it is not due.
    mutating func take(dueBy now: UInt64) -> Transfer.Attempt? {
        guard let first = entries.first, first.due <= now else { return nil }
        entries.swapAt(0, entries.count - 1)
        entries.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < entries.count && entries[child].isBefore(entries[least]) {
                least = child
            }
            if least == parent { return first.attempt }
            entries.swapAt(parent, least)
            parent = least
        }
    }

    /// All that wait, in no order; none waits afterwards.
    mutating func removeAll() -> [Transfer.Attempt] {
        defer { entries = [] }
        return entries.map(\.attempt)
    }
}
