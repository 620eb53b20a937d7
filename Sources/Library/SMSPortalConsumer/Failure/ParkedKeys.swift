internal import Synchronization

/// Keys whose events follow an earlier one to the dead letters.
final class ParkedKeys: Sendable {
    private struct Key: Hashable {
        let assignment: AssignmentID
        let key: [UInt8]
    }

    private struct State {
        var keys: [Key: UInt64] = [:]
        var next: UInt64 = 0
    }

    static let capacity = 10_000
    private let state = Mutex(State())
    /// Whether there ever was one: every event asks, and most consumers never park any.
    private let hasAny = Atomic(false)

    /// - Returns: False when another key was dropped because the table is full.
    func park(_ work: Work) -> Bool {
        guard let key = work.record.key else { return true }
        hasAny.store(true, ordering: .releasing)
        return state.withLock { state in
            state.next += 1
            state.keys[Key(assignment: work.assignment, key: key)] = state.next
            guard state.keys.count > Self.capacity, let oldest = state.keys.min(by: { $0.value < $1.value }) else {
                return true
            }
            state.keys[oldest.key] = nil
            return false
        }
    }

    /// Whether any key was ever parked.
    var isEmpty: Bool { !hasAny.load(ordering: .acquiring) }

    func isParked(_ work: Work) -> Bool {
        guard hasAny.load(ordering: .acquiring), let key = work.record.key else { return false }
        return state.withLock { $0.keys[Key(assignment: work.assignment, key: key)] != nil }
    }
}
