/// Deadlines that all lie equally far in the future when they are set, so that they come due in the order of their
/// setting: a queue in a ring of its own.
struct DeadlineQueue {
    private var entries: [(opaque: UInt64, deadline: UInt64)] = []
    private var head = 0
    private(set) var count = 0

    var first: (opaque: UInt64, deadline: UInt64)? { count == 0 ? nil : entries[head] }

    mutating func append(_ opaque: UInt64, deadline: UInt64) {
        if count == entries.count { grow() }
        entries[(head + count) & (entries.count - 1)] = (opaque, deadline)
        count += 1
    }

    mutating func removeFirst() {
        guard count > 0 else { return }
        head = (head + 1) & (entries.count - 1)
        count -= 1
    }

    private mutating func grow() {
        var larger: [(opaque: UInt64, deadline: UInt64)] = []
        larger.reserveCapacity(max(64, entries.count * 2))
        for index in 0..<count { larger.append(entries[(head + index) & (entries.count - 1)]) }
        while larger.count < max(64, entries.count * 2) { larger.append((opaque: 0, deadline: 0)) }
        entries = larger
        head = 0
    }
}
