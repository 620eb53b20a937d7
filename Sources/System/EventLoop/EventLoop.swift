internal import CSMSBridgeUV

/// One thread's event loop, on libuv: descriptors, timers, signals and messages from other threads, one after another.
///
/// The thread that makes it owns it, runs it and destroys it. Nothing here may be touched from another thread but a
/// `Mailbox`. A watch, a timer or a signal lives until it is cancelled or its loop is destroyed, whether or not anyone
/// holds the object.
package final class EventLoop {
    private let loop: UnsafeMutablePointer<uv_loop_t>
    private var clock: UInt64 = 0
    private var hooks: [() -> Void] = []
    private var jobs: [() -> Void] = []
    private var runningJobs: [() -> Void] = []
    private var keepAwake: TurnHandle<uv_idle_t>?
    private var isRunning = false
    private var isDestroyed = false

    /// - Throws: when the system has no descriptors or memory for a loop.
    package init() throws(EventLoopError) {
        let loop = UnsafeMutablePointer<uv_loop_t>.allocate(capacity: 1)
        let code = uv_loop_init(loop)
        if code < 0 {
            loop.deallocate()
            throw EventLoopError(code: code, operation: "make an event loop")
        }
        self.loop = loop
        do throws(EventLoopError) {
            // The clock is asked again after the loop has slept, and after a turn, whose timers come next.
            let prepare = try TurnHandle(uv_prepare_t.self, { uv_prepare_init(loop, $0) }) { [unowned self] in clock = 0
            }
            if let handle = prepare.pointer(as: uv_prepare_t.self) {
                uv_prepare_start(handle) { TurnHandle<uv_prepare_t>.of($0)?.turn?() }
            }
            prepare.unreference()
            let check = try TurnHandle(uv_check_t.self, { uv_check_init(loop, $0) }) { [unowned self] in endTurn() }
            if let handle = check.pointer(as: uv_check_t.self) {
                uv_check_start(handle) { TurnHandle<uv_check_t>.of($0)?.turn?() }
            }
            check.unreference()
            keepAwake = try TurnHandle(uv_idle_t.self, { uv_idle_init(loop, $0) }) {}
            // Referenced and never rung: `run()` goes on until `stop()`, whatever is watched.
            _ = try WakeUp(loop: loop)
        } catch {
            destroy()
            throw error
        }
    }

    deinit {
        destroy()
    }

    /// Nanoseconds of a clock that never goes back, read once a wake-up (at the first use in it).
    package var now: UInt64 {
        if clock == 0 { clock = uv_hrtime() }
        return clock
    }

    /// Serves events until `stop()`. Called before, `stop()` makes it return at once.
    package func run() {
        guard !isDestroyed, !isRunning else { return }
        isRunning = true
        uv_run(loop, UV_RUN_DEFAULT)
        isRunning = false
    }

    /// Lets `run()` return once the present turn is over. On the loop's thread: others post to a mailbox.
    package func stop() {
        if !isDestroyed { uv_stop(loop) }
    }

    /// Cancels everything that is still watched and frees the loop. Harmless when repeated; not from within `run()`.
    ///
    /// A closure given to the loop that holds the loop itself keeps it alive: then this is what ends both.
    package func destroy() {
        guard !isDestroyed, !isRunning else { return }
        isDestroyed = true
        hooks = []
        jobs = []
        uv_walk(loop, { handle, _ in LoopHandle.of(handle)?.cancel() }, nil)
        uv_run(loop, UV_RUN_DEFAULT)
        keepAwake = nil
        uv_loop_close(loop)
        loop.deallocate()
    }

    /// A way for other threads to reach this one.
    ///
    /// - Parameter deliver: gets what was posted, in order, on this thread; never an empty batch.
    package func makeMailbox<Message: Sendable>(
        of type: Message.Type, _ deliver: @escaping ([Message]) -> Void
    ) throws(EventLoopError) -> Mailbox<Message> {
        try checkAlive()
        let wakeUp = try WakeUp(loop: loop)
        guard let bell = wakeUp.bell else {
            throw EventLoopError(code: UV_EINVAL.rawValue, operation: "make a mailbox")
        }
        let mailbox = Mailbox<Message>(bell: bell)
        var batch: [Message] = []
        wakeUp.onRing = { [unowned wakeUp] in
            let isOpen = mailbox.collect(&batch)
            if !batch.isEmpty {
                deliver(batch)
                batch.removeAll(keepingCapacity: batch.count <= 4096)
            }
            if !isOpen { wakeUp.cancel() }
        }
        wakeUp.onClose = { mailbox.detach() }
        return mailbox
    }

    /// Calls whenever reading `descriptor` would not block, until cancelled. The descriptor becomes non-blocking.
    package func watch(
        descriptor: Int32, _ onReadable: @escaping () -> Void
    ) throws(EventLoopError) -> DescriptorWatch {
        try watch(descriptor: descriptor, for: .readable) { _ in onReadable() }
    }

    /// Calls whenever `descriptor` is ready for what `interest` names, or is in error, until cancelled. The descriptor
    /// becomes non-blocking.
    package func watch(
        descriptor: Int32, for interest: Readiness, _ onReady: @escaping (Readiness) -> Void
    ) throws(EventLoopError) -> DescriptorWatch {
        try checkAlive()
        return try DescriptorWatch(loop: loop, descriptor: descriptor, interest: interest, onReady: onReady)
    }

    /// Calls after a time, and then at an interval unless that is 0.
    ///
    /// - Parameters:
    ///   - delay: nanoseconds from now, rounded up to milliseconds.
    ///   - interval: nanoseconds between later calls; 0 calls once.
    package func timer(
        after delay: UInt64, repeating interval: UInt64 = 0, _ fire: @escaping () -> Void
    ) throws(EventLoopError) -> LoopTimer {
        try checkAlive()
        let timer = try LoopTimer(loop: loop, fire: fire)
        timer.rearm(after: delay, repeating: interval)
        return timer
    }

    /// A timer that does not run before `rearm`.
    package func pausedTimer(_ fire: @escaping () -> Void) throws(EventLoopError) -> LoopTimer {
        try checkAlive()
        return try LoopTimer(loop: loop, fire: fire)
    }

    /// Calls when the process gets `signal`.
    package func onSignal(_ signal: Int32, _ fire: @escaping () -> Void) throws(EventLoopError) -> SignalWatch {
        try checkAlive()
        return try SignalWatch(loop: loop, signal: signal, fire: fire)
    }

    /// Calls once a turn, when everything that was ready has been served and what `soon` was given has run.
    package func afterTurn(_ hook: @escaping () -> Void) {
        hooks.append(hook)
    }

    /// Calls once, at the end of this turn; given at a turn's end, at the end of the next, with no sleep between.
    package func soon(_ job: @escaping () -> Void) {
        guard !isDestroyed else { return }
        jobs.append(job)
        // While it is active libuv does not sleep.
        if jobs.count == 1, let idle = keepAwake?.pointer(as: uv_idle_t.self) { uv_idle_start(idle) { _ in } }
    }

    private func endTurn() {
        if !jobs.isEmpty {
            swap(&jobs, &runningJobs)
            for job in runningJobs { job() }
            runningJobs.removeAll(keepingCapacity: true)
            if jobs.isEmpty, let idle = keepAwake?.pointer(as: uv_idle_t.self) { uv_idle_stop(idle) }
        }
        for hook in hooks { hook() }
        clock = 0
    }

    private func checkAlive() throws(EventLoopError) {
        if isDestroyed { throw EventLoopError(code: UV_EINVAL.rawValue, operation: "use a destroyed event loop") }
    }
}

/// A callback at a fixed place of each turn.
private final class TurnHandle<Handle>: LoopHandle {
    private(set) var turn: (() -> Void)?

    init(
        _ type: Handle.Type, _ initialise: (UnsafeMutablePointer<Handle>) -> Int32, turn: @escaping () -> Void
    ) throws(EventLoopError) {
        try super.init(type, "make an event loop", initialise: initialise)
        self.turn = turn
    }

    override func release() { turn = nil }
}
