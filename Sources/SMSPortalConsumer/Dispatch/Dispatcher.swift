internal import Kafka
internal import Synchronization
internal import Telemetry
internal import Threads

/// Hands records out to workers, which are tasks of Swift's cooperative pool, and wakes the polling thread when it has
/// something to do.
///
/// A worker lives while there is something to do, and starts the next one when there is more than it takes: so many
/// handlers run at once as there are keys with work, up to the bound.
final class Dispatcher: Sendable {
    /// What a worker does with a record.
    typealias Handle = @Sendable (Work) async -> WorkResult

    private let core: Mutex<DispatchCore>
    private let handle: Handle
    private let wakeLoop: @Sendable () -> Void

    /// - Parameter wakeLoop: called from any thread, at any time, also after the polling thread has ended.
    init(limits: DispatchCore.Limits, wakeLoop: @escaping @Sendable () -> Void, handle: @escaping Handle) {
        core = Mutex(DispatchCore(limits: limits))
        self.wakeLoop = wakeLoop
        self.handle = handle
    }

    /// Runs on the state, from the polling thread, and acts on what follows from it.
    @discardableResult
    func update<R: Sendable>(_ body: (inout DispatchCore) -> R) -> R {
        let (result, signals) = core.withLock { core in
            let result = body(&core)
            return (result, core.signals())
        }
        if let worker = signals.startsWorker { start(worker) }
        return result
    }

    /// Looks at the state.
    func read<R: Sendable>(_ body: (borrowing DispatchCore) -> R) -> R {
        core.withLock { body($0) }
    }

    /// Cancels the handlers that work on these partitions.
    func cancel(_ assignments: [AssignmentID]) {
        let tasks = core.withLock { $0.cancel(assignments) }
        for task in tasks { task.cancel() }
    }

    private func start(_ worker: UInt64) {
        let task = Task { await self.work(as: worker) }
        if core.withLock({ $0.started(worker, task) }) { task.cancel() }
    }

    /// The life of a worker.
    private func work(as worker: UInt64) async {
        var finished: (work: Work, result: WorkResult)?
        var sinceYield = 0
        while true {
            let done = finished
            let (work, signals) = core.withLock { core in
                var signals = DispatchCore.Signals()
                if let done { signals = core.finish(done.work, by: worker, done.result, now: monotonicNow()) }
                let next = core.next(for: worker)
                if let next { signals.add(next.signals) }
                return (next?.work, signals)
            }
            if signals.wakesLoop { wakeLoop() }
            if let other = signals.startsWorker { start(other) }
            guard let work else { return }
            finished = (work, await handle(work))
            sinceYield += 1
            if sinceYield == 64 {
                // Handlers that never suspend must not keep a thread of the pool for themselves.
                sinceYield = 0
                await Task.yield()
            }
        }
    }
}
