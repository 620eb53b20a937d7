internal import SMSBridgeKafka
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
        var isCancelled = false
        var waker: ConsumerWaker?
    }

    private let state = Mutex(State())
    /// Rung beside the waker, for the wait that is no poll; nil when the process has no descriptors left.
    private let doorbell = try? Doorbell()

    /// The first failure counts; a cancellation counts whenever it comes.
    func stop(_ wanted: Stop) {
        let waker = state.withLock { state in
            if case .cancelled = wanted { state.isCancelled = true }
            switch (state.stop, wanted) {
            case (nil, _), (.graceful, _): state.stop = wanted
            case (.failed, _), (.cancelled, _): break
            }
            return state.waker
        }
        doorbell?.ring()
        waker?.wake()
    }

    var stopWanted: Stop? { state.withLock { $0.stop } }

    /// Whether handlers are to be cancelled, whatever else is wanted.
    var isCancelled: Bool { state.withLock { $0.isCancelled } }

    func wake() {
        doorbell?.ring()
        state.withLock { $0.waker }?.wake()
    }

    /// Blocks the polling thread until it is woken, so many milliseconds at most.
    func waitForRoom(milliseconds: Int32) {
        doorbell?.wait(milliseconds: milliseconds)
    }

    func setWaker(_ waker: ConsumerWaker) {
        state.withLock { $0.waker = waker }
    }
}
