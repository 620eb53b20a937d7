internal import SMSBridgeKafka
internal import SMSBridgeTelemetry
internal import SMSBridgeThreads
internal import Synchronization

/// Tells the polling thread to end, and wakes it: from any thread, before it begins and after it has ended as well.
final class ConsumerControl: Sendable {
    enum Stop: Sendable {
        /// Handlers may finish.
        case graceful
        /// Handlers are cancelled.
        case cancelled
        /// Handlers may finish, and then `run()` throws.
        case failed(EventConsumerError)
    }

    private struct State {
        var stop: Stop?
        /// When it was asked to end, by the monotonic clock.
        var stoppedAt: UInt64?
        var onStop: (@Sendable (UInt64) -> Void)?
        var isCancelled = false
        var waker: ConsumerWaker?
    }

    private let state = Mutex(State())
    /// Whether the polling thread has been woken since it asked last.
    private let attention = Atomic<Bool>(false)
    /// Rung beside the waker, for the wait that is no poll; nil when the process has no descriptors left.
    private let doorbell = try? Doorbell()

    /// The first failure counts; a cancellation counts whenever it comes.
    func stop(_ wanted: Stop) {
        attention.store(true, ordering: .releasing)
        let now = monotonicNow()
        let (waker, onStop) = state.withLock { state in
            if case .cancelled = wanted { state.isCancelled = true }
            switch (state.stop, wanted) {
            case (nil, _), (.graceful, _): state.stop = wanted
            case (.failed, _), (.cancelled, _): break
            }
            guard state.stoppedAt == nil else { return (state.waker, nil as (@Sendable (UInt64) -> Void)?) }
            state.stoppedAt = now
            defer { state.onStop = nil }
            return (state.waker, state.onStop)
        }
        doorbell?.ring()
        waker?.wake()
        onStop?(now)
    }

    /// When the end was asked for first, by the monotonic clock; nil while it has not been.
    var stoppedAt: UInt64? { state.withLock { $0.stoppedAt } }

    /// Calls a closure once, when the end is asked for; at once when it has been.
    ///
    /// - Parameter body: Gets the time of the monotonic clock; must not block.
    func whenStopped(_ body: @escaping @Sendable (UInt64) -> Void) {
        let before = state.withLock { state in
            if state.stoppedAt == nil { state.onStop = body }
            return state.stoppedAt
        }
        if let before { body(before) }
    }

    /// The failure that ended the run, if it was one.
    var failure: EventConsumerError? {
        if case .failed(let error) = stopWanted { error } else { nil }
    }

    var stopWanted: Stop? { state.withLock { $0.stop } }

    /// Whether handlers are to be cancelled, whatever else is wanted.
    var isCancelled: Bool { state.withLock { $0.isCancelled } }

    func wake() {
        attention.store(true, ordering: .releasing)
        doorbell?.ring()
        state.withLock { $0.waker }?.wake()
    }

    /// Whether the polling thread has been woken since it asked last.
    func takeAttention() -> Bool {
        attention.load(ordering: .relaxed) && attention.exchange(false, ordering: .acquiring)
    }

    /// Blocks the polling thread until it is woken, so many milliseconds at most.
    func waitForRoom(milliseconds: Int32) {
        doorbell?.wait(milliseconds: milliseconds)
    }

    func setWaker(_ waker: ConsumerWaker) {
        state.withLock { $0.waker = waker }
    }
}
