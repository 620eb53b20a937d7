/// What happens to an event whose handler throws.
///
/// It is tried again, while the events of other keys go on; those of its own key wait behind it. When it has been tried
/// often enough, ``finally`` decides.
public struct FailurePolicy: Sendable {
    /// How often an event is handled before ``finally`` decides; at least 1, which means that nothing is tried again.
    public var maxAttempts: Int
    /// How long an attempt waits for the next one.
    public var backoff: RetryBackoff
    /// What happens after the last attempt.
    public var finally: FailureAction

    /// - Parameters:
    ///   - maxAttempts: How often an event is handled.
    ///   - backoff: How long an attempt waits for the next one.
    ///   - finally: What happens after the last attempt.
    public init(maxAttempts: Int = 5, backoff: RetryBackoff = RetryBackoff(), finally: FailureAction = .deadLetter) {
        self.maxAttempts = maxAttempts
        self.backoff = backoff
        self.finally = finally
    }

    /// Dead-lettered at once, without retries: for permanent errors.
    public static let deadLetterNow = FailurePolicy(maxAttempts: 1)
    /// Not tried again, and left out.
    public static let skipNow = FailurePolicy(maxAttempts: 1, finally: .skip)
}

/// What happens to an event that has failed for good. More may be added.
public struct FailureAction: Sendable, Hashable {
    enum Kind: Hashable { case deadLetter, park, skip, stop }
    let kind: Kind

    /// It goes to the dead-letter topic of the group, and its key goes on with the next event.
    public static let deadLetter = FailureAction(kind: .deadLetter)
    /// It goes to the dead-letter topic, and so do the events that follow on its key, untried, for as long as this
    /// member has the partition: for handlers that must not see a later event without the earlier one. At most 10,000
    /// keys are kept so; beyond that the one that was parked first goes on.
    public static let park = FailureAction(kind: .park)
    /// It counts as handled. A log line and a metric say so.
    public static let skip = FailureAction(kind: .skip)
    /// The consumer ends, and ``EventConsumer/run()`` throws. The event is not committed: it is the first one after the
    /// restart.
    public static let stop = FailureAction(kind: .stop)
}

/// Exponential back-off with jitter.
public struct RetryBackoff: Sendable {
    /// Before the second attempt.
    public var initial: Duration
    /// What each further wait is longer by; at least 1.
    public var multiplier: Double
    /// The longest wait.
    public var maximum: Duration
    /// The share of a wait that chance decides, 0 to 1: 0.2 waits between 80 % and 100 %.
    public var jitter: Double

    /// - Parameters:
    ///   - initial: Before the second attempt.
    ///   - multiplier: What each further wait is longer by.
    ///   - maximum: The longest wait.
    ///   - jitter: The share of a wait that chance decides.
    public init(
        initial: Duration = .seconds(1), multiplier: Double = 2, maximum: Duration = .seconds(60), jitter: Double = 0.2
    ) {
        self.initial = initial
        self.multiplier = multiplier
        self.maximum = maximum
        self.jitter = jitter
    }

    /// How long to wait after an attempt.
    ///
    /// - Parameters:
    ///   - attempt: 1 for the first.
    ///   - chance: 0 to 1.
    func delay(after attempt: Int, chance: Double) -> Duration {
        var delay = initial
        // Compared before each step: the product itself may be larger than a Duration.
        for _ in 1..<max(1, min(attempt, 1_000)) where delay < maximum && delay > .zero {
            delay = multiplier < maximum / delay ? delay * multiplier : maximum
        }
        // A policy for certain errors is not checked beforehand.
        let share = jitter.isNaN ? 0 : min(max(jitter, 0), 1)
        return min(delay, maximum) * (1 - share * chance)
    }
}
