/// How many pieces of work a worker takes at once.
///
/// Taking costs a lock that all workers and the polling thread share: dear beside a handler of a few microseconds,
/// nothing beside one that waits for a database. So it grows while handlers are quick, and a slow one sets it back, for
/// what stands behind it waits until it is taken away again.
struct BatchLimit {
    static let most = 32
    /// Nanoseconds that a piece of work may take on average to count as quick.
    static let quick: UInt64 = 50_000
    /// How many quick ones must follow a slow one before it grows.
    static let probation = 64

    private(set) var value: Int
    private var quickInARow = 0

    init(_ value: Int = 1) {
        self.value = value
    }

    /// So many pieces of work, done one after the other, took so many nanoseconds.
    mutating func finished(_ count: Int, in nanoseconds: UInt64) {
        guard count > 0 else { return }
        guard nanoseconds / UInt64(count) <= Self.quick else { return setBack() }
        quickInARow = min(quickInARow + count, Self.probation)
        if quickInARow == Self.probation { value = min(Self.most, value * 2) }
    }

    /// A worker does not get on.
    mutating func setBack() {
        value = 1
        quickInARow = 0
    }
}
