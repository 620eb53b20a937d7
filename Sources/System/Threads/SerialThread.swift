internal import Synchronization

/// A thread that runs closures one after the other: for blocking calls.
package final class SerialThread: Sendable {
    private struct State {
        var waiting: [@Sendable () -> Void] = []
        var isClosed = false
    }

    /// What the thread shares with this handle.
    private final class Core: Sendable {
        let state = Mutex(State())
        let doorbell: Doorbell

        init() throws(ThreadError) { doorbell = try Doorbell() }

        func run() {
            while true {
                let (work, isClosed) = state.withLock { state in
                    defer { state.waiting = [] }
                    return (state.waiting, state.isClosed)
                }
                for piece in work { piece() }
                if isClosed { return }
                if work.isEmpty { doorbell.wait(milliseconds: -1) }
            }
        }
    }

    private let core: Core
    private let thread: NamedThread

    /// - Parameter name: The thread's name, as debuggers show it.
    /// - Throws: `ThreadError` when the system has no descriptors or threads left.
    package init(_ name: String) throws(ThreadError) {
        let core = try Core()
        self.core = core
        thread = try NamedThread(name) { core.run() }
    }

    deinit { close() }

    /// Runs a piece of work after those that were given before.
    ///
    /// - Returns: false when the thread is closed; the work is then dropped.
    @discardableResult
    package func run(_ work: @escaping @Sendable () -> Void) -> Bool {
        let isTaken = core.state.withLock { state in
            guard !state.isClosed else { return false }
            state.waiting.append(work)
            return true
        }
        if isTaken { core.doorbell.ring() }
        return isTaken
    }

    /// Ends the thread. Queued work that has not begun is dropped. Does not block.
    package func close() {
        core.state.withLock { state in
            state.isClosed = true
            state.waiting = []
        }
        core.doorbell.ring()
    }

    /// Waits until the thread has ended, after `close()`.
    package func join() { thread.join() }
}
