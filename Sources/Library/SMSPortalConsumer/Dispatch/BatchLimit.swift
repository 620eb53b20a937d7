/// How many pieces of work a worker takes at once.
///
/// Taking costs a lock that all workers and the polling thread share: dear beside a handler of a few microseconds,
/// nothing beside one that waits for a database. So it grows while handlers are quick, and a slow one sets it back, for
/// what stands behind it waits until it is taken away again.
///
/// Where there are more threads than processors the system takes each of them away now and then, for a few milliseconds. A
/// worker that this befalls looks slow as well, and must not cost all of them their batches.
struct BatchLimit {
    static let most = 32
    /// Nanoseconds that a piece of work may take on average to count as quick.
    static let quick: UInt64 = 50_000
    /// How many quick ones must follow a slow one before it grows.
    static let probation = 64
    /// Over so many of the last ones the average is taken.
    static let window = 256
    /// How many nanoseconds these may take beyond what is quick.
    static let pardon: UInt64 = 4_000_000

    private(set) var value: Int
    /// The last ones, and their time.
    private var recent = 0
    private var time: UInt64 = 0

    init(_ value: Int = 1) {
        self.value = value
    }

    /// So many pieces of work, done one after the other, took so many nanoseconds.
    mutating func finished(_ count: Int, in nanoseconds: UInt64) {
        guard count > 0 else { return }
        recent += count
        time += nanoseconds
        if recent > Self.window {
            time = time / UInt64(recent) * UInt64(Self.window)
            recent = Self.window
        }
        let quick = UInt64(recent) * Self.quick
        if time > quick + Self.pardon {
            value = 1
            recent = 0
            time = 0
        } else if time <= quick, recent >= Self.probation {
            value = min(Self.most, value * 2)
        }
    }

    /// A worker does not get on, and what it has not begun goes to others. If it is the handler that is slow, more will follow.
    mutating func stuck() {
        value = max(1, value / 2)
    }
}
