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

    /// - Returns: false when another key was let go for want of room.
    func park(_ work: Work) -> Bool {
        guard let key = work.record.key else { return true }
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

    func isParked(_ work: Work) -> Bool {
        state.withLock { state in
            guard !state.keys.isEmpty, let key = work.record.key else { return false }
            return state.keys[Key(assignment: work.assignment, key: key)] != nil
        }
    }
}
