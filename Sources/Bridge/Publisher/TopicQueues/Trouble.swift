/// Failures without a success in between. Old ones do not count: without events there is no news, and an instance that
/// gets none would never be well again.
struct Trouble {
    private var last: UInt64 = 0
    private var since: UInt64?

    mutating func note(_ now: UInt64) {
        if since == nil || !isRecent(now) { since = now }
        last = now
    }

    /// Whether there was a failure, and no success since.
    var isNoted: Bool { since != nil }

    /// Something has succeeded.
    mutating func end() { since = nil }

    /// Whether nothing has succeeded for so long.
    func lasts(longerThan time: UInt64, _ now: UInt64) -> Bool {
        guard let since else { return false }
        return now &- since > time && isRecent(now)
    }

    /// Whether failures, not only the first of them, have come for so long.
    func recurs(over time: UInt64, _ now: UInt64) -> Bool {
        guard let since else { return false }
        return last &- since > time && isRecent(now)
    }

    private func isRecent(_ now: UInt64) -> Bool { now &- last < Self.memory }

    private static let memory: UInt64 = 10_000_000_000
}
