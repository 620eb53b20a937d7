/// Decides how the spool recovers when its file cannot be opened, is corrupt, or was removed: a pure state machine.
///
/// The writer carries out what `next` returns, one action at a time, and passes the outcome in. Nothing in here touches
/// a file, so that it can be tested by tables and by random runs.
///
/// ```
///            open               corrupt twice, or once at opening
///   closed ─────────▶ serving ──────────────────────────────────▶ recovering ──▶ closed
///     ▲  ◀──────────    │ ▲     or unreadable for 5 minutes         copy the sound rows, replace the file;
///     │ failed, retried │ │     (also from closed)                  or quarantine all of it
///     └── corrupt once ─┤ │ rows copied
///                       ▼ │
///                    restoring: the files were removed; rows are read from the open file and copied into a new one
/// ```
struct SpoolRecovery {
    typealias Instant = ContinuousClock.Instant

    /// What was being done when corruption, or a failure to read, was found. A disk may fail once: the same must find
    /// it again.
    enum Work: Hashable {
        case opening
        case reading(lane: Int)
        case writing
        case copying
    }

    enum Step: Equatable {
        case begin
        case copy
        case finish
    }

    enum State: Equatable {
        /// No file is open. It is opened at this time.
        case closed(until: Instant)
        /// The file is open.
        case serving
        /// The file is corrupt: its sound rows are copied into a new one, which replaces it.
        case recovering(Step, deadline: Instant)
        /// The corrupt file is moved aside without a copy, for this reason; a new one replaces it.
        case quarantining(reason: SpoolError)
        /// The files were removed. The open one is read, and copied into a new one.
        case restoring(Step, at: Instant)
        case stopped
    }

    enum Action: Equatable {
        /// Closes the file, if one is open, and opens it; with `verifies`, all of it is read.
        case open(verifies: Bool)
        /// Closes the file, if one is open, and begins a copy.
        case beginRecovery(of: SpoolError)
        /// Copies a part; `more` as long as there is one.
        case copyRows
        /// Completes the copy and puts it in the place of the corrupt file.
        case finishRecovery(of: SpoolError)
        /// Renames the corrupt file; `reason` says why no row of it is copied.
        case quarantine(SpoolError, reason: SpoolError)
        /// Makes the folder and a new file again, and begins a copy of the open one.
        case beginRestoring
        /// Goes on with the new file.
        case finishRestoring
    }

    enum Outcome: Equatable {
        case done
        case more
        case failed(SpoolError)
    }

    private(set) var state: State
    /// Why nothing can be stored now; nil while the file is open.
    private(set) var failure: SpoolError?
    /// Where corruption was found once, and not found not to be there since.
    private var suspects: Set<Work> = []
    /// What fails because the disk cannot read, and since when.
    private var unreadable: [Work: Instant] = [:]
    /// The problem of the file that is recovered.
    private var corruption = SpoolError(.corrupt, "")
    /// Whether the file could not be opened because the disk failed, and was not read since.
    private var isDoubtful = false
    private var lastRecovery: Instant?
    private var attempts = 0
    /// Whether rows that the disk cannot read are left out of the copy: they have been so for long.
    private(set) var skipsUnreadable = false
    private let recoveryLimit: Duration

    static let retryInterval = Duration.seconds(1)
    /// A file that is corrupt so soon after a recovery shows that the disk is broken: files are not quarantined one by
    /// one.
    static let calm = Duration.seconds(60)
    /// A disk that cannot read may read again soon, and nothing is lost then. A part of a file that it has not read for
    /// so long counts as lost: its sound rows are copied, and the file is kept.
    static let unreadableLimit = Duration.seconds(300)

    /// - Parameter recoveryLimit: how long sound rows are copied before the whole file is left to a person; nothing is
    ///   stored during the copy.
    init(recoveryLimit: Duration, now: Instant) {
        self.recoveryLimit = recoveryLimit
        state = .closed(until: now)
    }

    var isServing: Bool { state == .serving }
    var isRestoring: Bool { if case .restoring = state { true } else { false } }

    /// When something is tried again; nil where that is not a matter of time.
    var nextTime: Instant? {
        switch state {
        case .closed(let time), .restoring(_, let time): time
        case .serving, .recovering, .quarantining, .stopped: nil
        }
    }

    /// What is to be done now; nil for nothing.
    func next(now: Instant) -> Action? {
        switch state {
        case .serving, .stopped: return nil
        case .closed(let until): return now >= until ? .open(verifies: isDoubtful) : nil
        case .recovering(.begin, _): return .beginRecovery(of: corruption)
        case .recovering(.copy, _): return .copyRows
        case .recovering(.finish, _): return .finishRecovery(of: corruption)
        case .quarantining(let reason): return .quarantine(corruption, reason: reason)
        case .restoring(let step, let time):
            guard now >= time else { return nil }
            switch step {
            case .begin: return .beginRestoring
            case .copy: return .copyRows
            case .finish: return .finishRestoring
            }
        }
    }

    /// The outcome of the action that `next` returned.
    mutating func completed(_ outcome: Outcome, now: Instant) {
        switch (state, outcome) {
        case (.closed, .failed(let error)): openFailed(error, now)
        case (.closed, _):
            // A file that was read as a whole is sound.
            if isDoubtful { suspects = [] }
            isDoubtful = false
            unreadable[.opening] = nil
            serve()

        case (.recovering(.copy, let deadline), .more):
            guard now >= deadline else { return }
            state = .quarantining(reason: SpoolError(.io, "copying it takes longer than \(recoveryLimit)"))
        case (.recovering(_, _), .failed(let error)): recoveryFailed(error, now)
        case (.recovering(.begin, let deadline), _): state = .recovering(.copy, deadline: deadline)
        case (.recovering(.copy, let deadline), _): state = .recovering(.finish, deadline: deadline)
        case (.recovering(.finish, _), _), (.quarantining, .done), (.quarantining, .more): recovered(now)
        case (.quarantining, .failed(let error)): close(error, until: now + Self.retryInterval)

        case (.restoring(let step, _), .failed(let error)): restoringFailed(step, error, now)
        case (.restoring(.copy, _), .more): attempts = 0
        case (.restoring(.begin, _), _): state = .restoring(.copy, at: now)
        case (.restoring(.copy, _), _): state = .restoring(.finish, at: now)
        case (.restoring(.finish, _), _): serve()

        case (.serving, _), (.stopped, _): break
        }
    }

    private mutating func openFailed(_ error: SpoolError, _ now: Instant) {
        if error.code == .corrupt { return found(error, now) }
        if error.code == .unreadable, lasts(.opening, now) { return found(error, now) }
        if error.code == .io || error.code == .unreadable { isDoubtful = true }
        close(error, until: now + Self.retryInterval)
    }

    /// Rows that cannot be read now are not given up.
    private mutating func recoveryFailed(_ error: SpoolError, _ now: Instant) {
        guard error.code == .unreadable, !skipsUnreadable else { return state = .quarantining(reason: error) }
        _ = lasts(.copying, now)
        close(error, until: now + Self.retryInterval)
    }

    /// Whether this has failed to read for long.
    private mutating func lasts(_ work: Work, _ now: Instant) -> Bool {
        let since = unreadable[work] ?? now
        unreadable[work] = since
        return since.duration(to: now) >= Self.unreadableLimit
    }

    private mutating func serve() {
        state = .serving
        failure = nil
    }

    private mutating func close(_ error: SpoolError, until time: Instant) {
        state = .closed(until: time)
        failure = error
    }

    private mutating func recovered(_ now: Instant) {
        lastRecovery = now
        suspects = []
        unreadable = [:]
        isDoubtful = false
        state = .closed(until: now)
    }

    private mutating func restoringFailed(_ step: Step, _ error: SpoolError, _ now: Instant) {
        attempts += 1
        // What removes files may still be at it: at first it is tried again at once.
        let wait = attempts < 10 ? Duration.milliseconds(20) : Self.retryInterval
        // A new file that is gone, too, or is not what was written, is begun again; else the copy goes on where it was.
        let isLost = error.code == .moved || error.code == .corrupt
        state = .restoring(isLost ? .begin : step, at: now + wait)
    }

    // MARK: - What the writer finds

    /// The file is corrupt.
    mutating func foundCorruption(_ error: SpoolError, while work: Work, now: Instant) {
        guard state == .serving else { return }
        if suspects.insert(work).inserted {
            close(error, until: now)
        } else {
            found(error, now)
        }
    }

    private mutating func found(_ error: SpoolError, _ now: Instant) {
        if let lastRecovery, lastRecovery.duration(to: now) < Self.calm {
            let broken = SpoolError(
                .io, "the disk does not return what was written a moment ago: \(error.message)")
            isDoubtful = true
            close(broken, until: now + Self.retryInterval)
        } else {
            corruption = error
            skipsUnreadable = error.code == .unreadable || unreadable[.copying] != nil && lasts(.copying, now)
            failure = error
            state = .recovering(.begin, deadline: now + recoveryLimit)
        }
    }

    /// The disk failed to read. The file stays open: other rows may be read, and these in a moment.
    mutating func foundUnreadable(_ error: SpoolError, while work: Work, now: Instant) {
        guard state == .serving, lasts(work, now) else { return }
        found(error, now)
    }

    /// The same found nothing wrong.
    mutating func foundSound(_ work: Work) {
        suspects.remove(work)
        unreadable[work] = nil
    }

    /// The file, or its log, is not the one at its path any more.
    mutating func foundRemoved(_ error: SpoolError, now: Instant) {
        guard state == .serving else { return }
        failure = error
        attempts = 0
        state = .restoring(.begin, at: now)
    }

    mutating func stop() { state = .stopped }
}
