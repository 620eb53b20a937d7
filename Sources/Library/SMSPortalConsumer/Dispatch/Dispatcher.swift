internal import SMSBridgeTelemetry
internal import Synchronization

/// What workers do with records.
protocol WorkProcessor: Sendable {
    /// Runs where its worker runs: to change over, and back, would cost more than most of what it does.
    nonisolated(nonsending) func process(_ work: Work) async -> WorkResult
}

/// Hands records out to workers, which are tasks of Swift's cooperative pool, and wakes the polling thread when it has
/// something to do.
///
/// A worker lives while there is something to do, and starts the next one when there is more than it takes: so many
/// handlers run at once as there are keys with work, up to the bound.
///
/// While handlers are quick a worker takes several records at once, each the first of its key. The polling thread takes
/// away what a worker does not get to (``serve(now:)``): a handler that is slow after all holds back its own key only.
final class Dispatcher<Processor: WorkProcessor>: Sendable {
    private let state: Mutex<State>
    private let processor: Processor
    private let wakeLoop: @Sendable () -> Void

    /// - Parameters:
    ///   - batchLimit: how many records a worker takes at once, to begin with.
    ///   - wakeLoop: called from any thread, at any time, also after the polling thread has ended.
    init(
        limits: DispatchCore.Limits, batchLimit: BatchLimit = BatchLimit(), wakeLoop: @escaping @Sendable () -> Void,
        processor: Processor
    ) {
        state = Mutex(State(core: DispatchCore(limits: limits), batchLimit: batchLimit))
        self.wakeLoop = wakeLoop
        self.processor = processor
    }

    // MARK: The polling thread

    /// Runs on the state, from the polling thread, and acts on what follows from it.
    @discardableResult
    func update<R: Sendable>(_ body: (inout DispatchCore) -> R) -> R {
        let (result, worker) = state.withLock { state in
            let result = body(&state.core)
            return (result, state.hire())
        }
        if let worker { start(worker) }
        return result
    }

    /// Looks at the state.
    func read<R: Sendable>(_ body: (borrowing DispatchCore) -> R) -> R {
        state.withLock { body($0.core) }
    }

    /// How many records are being handled at this moment: what workers have taken and not begun does not count.
    var handlers: Int { state.withLock { $0.handlers } }

    /// What is being handled at this moment.
    var runningHandlers: [RunningHandler] { state.withLock { $0.runningHandlers } }

    /// Takes nothing more of these partitions.
    ///
    /// - Parameter givingBack: whether of what workers have taken only what they are at goes on. Else they do the rest,
    ///   too, so that no hole is left between what is done, and what gets stuck is taken away by ``serve(now:)``.
    func fence(_ assignments: [AssignmentID], givingBack: Bool) {
        state.withLock { state in
            state.core.fence(assignments)
            if givingBack { state.settleAll() }
        }
    }

    /// Takes nothing more at all; what workers have taken they do, as far as they do not get stuck.
    func stop() {
        state.withLock { $0.core.stop() }
    }

    /// Cancels the handlers that work on these partitions.
    func cancel(_ assignments: [AssignmentID]) {
        let tasks = state.withLock { $0.cancel(assignments) }
        for task in tasks { task.cancel() }
    }

    /// Puts lanes whose waiting is over back to the others, and takes from workers that do not get on what others could
    /// do. All that the polling thread does between two polls takes the lock once: every time costs it a turn.
    ///
    /// - Returns: how things stand, and when to come again, in the clock of `now`. `nil`: when a lane's waiting is over, or
    ///   `wakeLoop` is called.
    func serve(now: UInt64) -> (standing: DispatchCore.Standing, nextLook: UInt64?) {
        let (standing, next, worker) = state.withLock { state in
            let next = state.reclaim(now: now)
            let standing = state.core.standing(now: now)
            return (standing, next, state.hire())
        }
        if let worker { start(worker) }
        return (standing, next)
    }

    // MARK: The workers

    private func start(_ worker: Worker) {
        let task = Task { await self.work(as: worker) }
        if state.withLock({ $0.started(worker, task) }) { task.cancel() }
    }

    /// The life of a worker.
    private nonisolated(nonsending) func work(as worker: Worker) async {
        var sinceYield = 0
        while takeBatch(worker) {
            var work = worker.batch.withLock { $0.next(after: nil) }
            while let current = work {
                let result = await processor.process(current)
                work = worker.batch.withLock { $0.next(after: result) }
                sinceYield += 1
            }
            if sinceYield >= 64 {
                // Handlers that never suspend must not keep a thread of the pool for themselves. All other workers may come
                // first: what is done does not wait for them, and the wait does not count as the handlers' time.
                sinceYield = 0
                handIn(worker)
                await Task.yield()
            }
        }
    }

    /// Hands in what a worker has done.
    private func handIn(_ worker: Worker) {
        if state.withLock({ $0.handIn(worker, now: monotonicNow()) }) { wakeLoop() }
    }

    /// Hands in what a worker has done, and gives it the next batch.
    ///
    /// - Returns: whether there is one; if not, the worker ends.
    private func takeBatch(_ worker: Worker) -> Bool {
        let (goesOn, wakesLoop, other) = state.withLock { state in
            let (goesOn, wakesLoop) = state.takeBatch(worker, now: monotonicNow())
            // One that ends because it was cancelled leaves work behind that others can do.
            return (goesOn, wakesLoop, state.hire())
        }
        if wakesLoop { wakeLoop() }
        if let other { start(other) }
        return goesOn
    }
}

/// Takes pieces of work, and does them one after the other.
private final class Worker: Sendable {
    let id: UInt64
    /// The lock is taken inside that of the dispatcher's state, never around it.
    let batch = Mutex(WorkBatch())

    init(id: UInt64) {
        self.id = id
    }
}

/// Who works, and on what there is to do.
private struct State {
    var core: DispatchCore
    private var members: [UInt64: Member] = [:]
    private var nextID: UInt64 = 0
    private var batchLimit: BatchLimit
    /// Whether the polling thread looks after workers that do not get on.
    private var isWatched = false
    private var lastLook: UInt64 = 0

    private struct Member {
        let worker: Worker
        var task: Task<Void, Never>?
        /// When it took its batch.
        var began: UInt64 = 0
    }

    /// How long a worker may be at one record before others get what it has not begun: nanoseconds, up to twice as many.
    private static let patience: UInt64 = 2_000_000

    init(core: DispatchCore, batchLimit: BatchLimit) {
        self.core = core
        self.batchLimit = batchLimit
    }

    /// A worker to start, if there is something to do and room for one. It starts the others itself.
    mutating func hire() -> Worker? {
        guard core.hasWork, members.count < core.limits.concurrency else { return nil }
        nextID += 1
        let worker = Worker(id: nextID)
        members[worker.id] = Member(worker: worker)
        return worker
    }

    var handlers: Int { members.values.count { $0.worker.batch.withLock { $0.current != nil } } }

    var runningHandlers: [RunningHandler] {
        members.values.compactMap { member in
            member.worker.batch.withLock { batch in
                batch.current.map {
                    RunningHandler(
                        topic: $0.record.topic, partition: $0.record.partition, offset: $0.record.offset,
                        attempt: $0.attempt)
                }
            }
        }
    }

    /// The task of a worker that has been started. It may have ended already.
    ///
    /// - Returns: whether it is to be cancelled at once.
    mutating func started(_ worker: Worker, _ task: Task<Void, Never>) -> Bool {
        members[worker.id]?.task = task
        return members[worker.id] != nil && worker.batch.withLock { $0.isCancelled }
    }

    /// - Returns: whether the polling thread has something to do.
    mutating func handIn(_ worker: Worker, now: UInt64) -> Bool {
        worker.batch.withLock { batch in
            batchLimit.finished(batch.finished, in: now - (members[worker.id]?.began ?? now))
            return settle(&batch, now: now)
        }
    }

    mutating func takeBatch(_ worker: Worker, now: UInt64) -> (goesOn: Bool, wakesLoop: Bool) {
        var wakesLoop = handIn(worker, now: now)
        return worker.batch.withLock { batch in
            var wanted = batchLimit.value
            // What is ready is shared with others that may come.
            if wanted > 1 { wanted = min(wanted, max(1, core.readyCount / 2)) }
            while wanted > 0, !batch.isCancelled, let work = core.next() {
                batch.add(work)
                wanted -= 1
            }
            guard batch.waiting > 0 else {
                members[worker.id] = nil
                return (false, wakesLoop)
            }
            members[worker.id]?.began = now
            if batch.waiting > 1, !isWatched {
                isWatched = true
                wakesLoop = true
            }
            return (true, wakesLoop)
        }
    }

    /// - Returns: whether the polling thread has something to do.
    private mutating func settle(_ batch: inout WorkBatch, now: UInt64) -> Bool {
        var wakesLoop = false
        batch.settle(
            finish: { if core.finish($0, $1, now: now) { wakesLoop = true } },
            giveBack: { core.giveBack($0) })
        return wakesLoop
    }

    /// From the polling thread, which needs no waking.
    mutating func settleAll(now: UInt64 = monotonicNow()) {
        for member in members.values {
            member.worker.batch.withLock { _ = settle(&$0, now: now) }
        }
    }

    mutating func cancel(_ assignments: [AssignmentID]) -> [Task<Void, Never>] {
        var tasks: [Task<Void, Never>] = []
        for member in members.values {
            let isMeant = member.worker.batch.withLock { batch in
                guard let current = batch.current, assignments.contains(current.assignment) else { return false }
                batch.cancel()
                return true
            }
            if isMeant, let task = member.task { tasks.append(task) }
        }
        return tasks
    }

    mutating func reclaim(now: UInt64) -> UInt64? {
        guard isWatched else { return nil }
        guard now - lastLook >= Self.patience else { return lastLook + Self.patience }
        lastLook = now
        var isNeeded = batchLimit.value > 1
        for member in members.values {
            member.worker.batch.withLock { batch in
                if batch.isStuck() {
                    batchLimit.stuck()
                    _ = settle(&batch, now: now)
                }
                // What is done and not handed in keeps its key and the watermark waiting as well.
                if batch.waiting + batch.finished > 0 { isNeeded = true }
            }
        }
        isWatched = isNeeded && !members.isEmpty
        return isWatched ? now + Self.patience : nil
    }
}
