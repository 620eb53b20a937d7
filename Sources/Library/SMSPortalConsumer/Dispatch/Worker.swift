internal import Synchronization

/// What a worker has taken at once: it handles the records one after the other. The polling thread takes back what a worker
/// that does not come on has not begun.
///
/// `@unchecked Sendable`: `count`, `settled`, `nextBefore`, `since`, `began`, `isReported`, `isStuck`, `isCancelled` and `task` are guarded
/// by the dispatcher's lock. `taken` is written under that lock while the worker has nothing. From then on a position of
/// `taken`, `outcomes` and `results` is the worker's until it has advanced `next` behind the following one, and then belongs to
/// the holder of the lock.
final class Worker<Tools>: @unchecked Sendable {
    let tools: Tools
    let taken: UnsafeMutablePointer<Taken>
    /// Per position whether the record is done, or what else became of it is in `results`.
    let outcomes: UnsafeMutablePointer<Outcome>
    let results: UnsafeMutablePointer<WorkResult>
    /// How many have been begun, and a large number once the rest was taken back.
    let next = Atomic<Int>(0)
    /// Records that it has.
    var count = 0
    /// Of so many the outcome has been handed in.
    var settled = 0
    /// How many were begun at the last look, and since when it has been at that one.
    var nextBefore = -1
    var since: UInt64 = 0
    /// Whether it was at the same record at the last two looks.
    var isStuck = false
    /// When it took its batch.
    var began: UInt64 = 0
    var task: Task<Void, Never>?
    var isCancelled = false
    /// Whether the watchdog has reported the record that it is at.
    var isReported = false
    /// Whether its task has run at all: in a pool whose threads are all blocked it does not.
    let hasBegun = Atomic<Bool>(false)
    /// The time for an attempt is over, and the task was cancelled for it.
    let isTimedOut = Atomic<Bool>(false)

    enum Outcome: UInt8 {
        case open, done, other
    }

    /// What `next` is at least once the rest of a batch was taken back.
    static var takenBack: Int { 1 << 40 }

    init(_ tools: Tools) {
        self.tools = tools
        taken = .allocate(capacity: BatchLimit.most)
        outcomes = .allocate(capacity: BatchLimit.most)
        outcomes.initialize(repeating: .open, count: BatchLimit.most)
        results = .allocate(capacity: BatchLimit.most)
    }

    deinit {
        for position in 0..<BatchLimit.most where outcomes[position] == .other {
            (results + position).deinitialize(count: 1)
        }
        taken.deallocate()
        outcomes.deallocate()
        results.deallocate()
    }

    /// Stores the outcome of a record, before `next` is advanced.
    @inline(__always)
    func note(_ result: WorkResult, at position: Int) {
        if case .done = result {
            outcomes[position] = .done
        } else {
            (results + position).initialize(to: result)
            outcomes[position] = .other
        }
    }

    /// The position of the record that it is at; nil when it has none. Under the dispatcher's lock.
    var current: Int? {
        let begun = next.load(ordering: .acquiring)
        let last = begun >= Self.takenBack ? count : min(begun, count)
        return last > 0 ? last - 1 : nil
    }
}
