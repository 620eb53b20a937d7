/// Whether changes to the spool's file can be made durable, and when they are tried again after a failure.
struct WriteHealth {
    enum State: Equatable {
        /// Inserts and deletes are committed.
        case working
        /// Deletes are committed, in small transactions. Inserts wait until the disk gives the reserved space again: what was released of it is for
        /// deletes.
        case full
        /// Nothing is committed. With `copiesLog`, the whole log must be copied into the file and synced before anything
        /// counts as durable: a sync, or a write, has failed.
        case failing(copiesLog: Bool)
    }

    private(set) var state = State.working
    /// Why writes fail, from the first failure until an insert is committed or none has failed for a while.
    private(set) var error: SpoolError?
    private var retryAt = ContinuousClock.now
    private var lastFailure = ContinuousClock.now

    static let retryInterval = Duration.seconds(1)
    /// A failure that does not come again within this time is over.
    static let calm = Duration.seconds(10)

    var takesInserts: Bool { state == .working }
    var isFailing: Bool { if case .failing = state { true } else { false } }
    func isRetryDue(_ now: ContinuousClock.Instant) -> Bool { state != .working && now >= retryAt }

    /// A change could not be committed.
    ///
    /// - Returns: whether this is to be reported: it is not the failure that lasts.
    mutating func failed(_ error: SpoolError, copiesLog: Bool = false, now: ContinuousClock.Instant) -> Bool {
        let copiesLog = copiesLog || state == .failing(copiesLog: true) || error.isFailedSync || error.code == .io
        let isNew = self.error?.code != error.code
        state = .failing(copiesLog: copiesLog)
        // The reserved space has just been released for the deletes.
        retryAt = isNew && error.code == .full ? now : now + Self.retryInterval
        lastFailure = now
        self.error = error
        return isNew
    }

    /// Pending changes, or a probe, were committed after a failure.
    mutating func succeeded(now: ContinuousClock.Instant) {
        guard isFailing else { return }
        state = error?.code == .full ? .full : .working
        retryAt = now
    }

    /// Whether the disk had room for the reserved space.
    mutating func foundRoom(_ hasRoom: Bool, now: ContinuousClock.Instant) {
        guard state == .full else { return }
        if hasRoom { state = .working } else { retryAt = now + Self.retryInterval }
    }

    /// The file was opened, and its log is copied.
    mutating func opened() { state = .working }

    /// - Returns: whether a failure is over with this.
    mutating func committedInserts() -> Bool { end() }

    /// - Returns: whether a failure is over because it has not come again.
    mutating func calmed(now: ContinuousClock.Instant) -> Bool {
        guard state == .working, lastFailure.duration(to: now) >= Self.calm else { return false }
        return end()
    }

    private mutating func end() -> Bool {
        defer { error = nil }
        return error != nil
    }
}
