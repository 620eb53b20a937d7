/// What damage was met, and whether it is believed: a disk may slip once.
struct DamageSuspicion {
    enum Work: Hashable {
        case opening, reading, writing
    }

    private var met: [Work: (count: Int, since: ContinuousClock.Instant)] = [:]
    private var last: SpoolError?

    mutating func meet(_ error: SpoolError, while work: Work) {
        let before = met[work]
        met[work] = ((before?.count ?? 0) + 1, before?.since ?? .now)
        last = error
    }

    /// The work has been done: what was met before was a slip.
    mutating func clear(_ work: Work) { met[work] = nil }

    mutating func clear() { met = [:] }

    /// The damage, if it was met twice, or once on opening the file, which is looked at as a whole.
    ///
    /// - Parameter patience: how long it must have been met.
    func proven(after patience: Duration) -> SpoolError? {
        let isProven = met.contains { work, met in
            met.count > (work == .opening ? 0 : 1) && met.since.duration(to: .now) >= patience
        }
        return isProven ? last : nil
    }
}
