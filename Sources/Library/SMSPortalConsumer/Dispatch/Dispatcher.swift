internal import SMSBridgeTelemetry
internal import SMSBridgeThreads
internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// What workers do with records.
protocol WorkProcessor: Sendable {
    /// What a worker keeps from record to record.
    associatedtype Tools

    func makeTools() -> Tools

    /// Handles a record, and frees its memory unless the result is `.later` or `.abandoned` and says that it is kept.
    ///
    /// Runs where its worker runs: to change over, and back, would cost more than most of what it does.
    nonisolated(nonsending) func process(_ taken: UnsafeMutablePointer<Taken>, _ worker: Worker<Tools>) async
        -> WorkResult

    /// A worker has handled so many records in this time, in nanoseconds; zero when the time says nothing.
    func batchEnded(_ tools: Tools, count: Int, nanoseconds: UInt64)

    /// Copies the record that a handler has been at for long out of librdkafka's memory. From the polling thread.
    func copyMessage(_ tools: Tools)
}

/// Hands records out to workers, which are tasks, and wakes the polling thread when it has something to do.
///
/// A worker lives while there is something to do, and starts the next one when there is more than it takes: so many handlers
/// run at once as there are keys with work, up to the bound; while handlers are quick, a few workers do.
///
/// While handlers are quick a worker takes several records at once, each the first of its key. The polling thread takes
/// back what a worker does not get to (``serve(now:)``): a handler that is slow after all holds back its own key only.
final class Dispatcher<Processor: WorkProcessor>: Sendable {
    private let state: Mutex<State<Processor>>
    private let processor: Processor
    private let wakeLoop: @Sendable () -> Void
    private let executor: HandlerExecutor

    /// - Parameters:
    ///   - batchLimit: how many records a worker takes at once, to begin with.
    ///   - executor: where workers run.
    ///   - attemptTimeout: how long an attempt may take, in nanoseconds; `.max` for ever.
    ///   - overdueAfter: how long a handler may take before it is reported, in nanoseconds.
    ///   - wakeLoop: called from any thread, at any time, also after the polling thread has ended.
    init(
        limits: DispatchCore.Limits, batchLimit: BatchLimit = BatchLimit(), executor: HandlerExecutor = .shared,
        attemptTimeout: UInt64 = .max, overdueAfter: UInt64 = 30_000_000_000, wakeLoop: @escaping @Sendable () -> Void,
        processor: Processor
    ) {
        state = Mutex(
            State(
                core: DispatchCore(limits: limits), batchLimit: batchLimit, attemptTimeout: attemptTimeout,
                overdueAfter: overdueAfter))
        self.executor = executor
        self.wakeLoop = wakeLoop
        self.processor = processor
    }

    // MARK: The polling thread

    /// Runs on the state, from the polling thread, and acts on what follows from it.
    @discardableResult
    func update<R: Sendable>(_ body: (inout DispatchCore) -> R) -> R {
        let (result, startsWorker) = state.withLock { state in
            let result = body(&state.core)
            return (result, state.shouldStartWorker())
        }
        if startsWorker { start() }
        return result
    }

    /// Looks at the state.
    func read<R: Sendable>(_ body: (borrowing DispatchCore) -> R) -> R {
        state.withLock { body($0.core) }
    }

    /// How many records are being handled at this moment: what workers have taken and not begun does not count.
    var handlers: Int { state.withLock { state in state.workers.count { $0.current != nil } } }

    /// What is being handled at this moment.
    var runningHandlers: [TakenPosition] { state.withLock { $0.runningHandlers } }

    /// Takes nothing more of these partitions.
    ///
    /// - Parameter givingBack: whether of what workers have taken only what they are at goes on. Else they do the rest,
    ///   too, so that no hole is left between what is done, and what gets stuck is taken back by ``serve(now:)``.
    func fence(_ assignments: [AssignmentID], givingBack: Bool) {
        state.withLock { state in
            state.core.fence(assignments)
            if givingBack { state.settleAll(now: monotonicNow()) }
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

    /// Copies the records of handlers that have not ended out of librdkafka's memory: its client is about to be destroyed. The
    /// partitions are closed.
    func detachMessages() {
        // A worker may have taken a record and not begun it yet, for a moment.
        for _ in 0..<200 {
            let isComplete = state.withLock { $0.detachMessages { [processor] in processor.copyMessage($0) } }
            if isComplete { return }
            usleep(1_000)
        }
    }

    /// Puts keys whose waiting is over back to the others, and takes from workers that do not come on what others could
    /// do. All that the polling thread does between two polls takes the lock once: every time costs it a turn.
    ///
    /// - Returns: how things stand, and when to come again, in the clock of `now`. `nil`: when a key's waiting is over, or
    ///   `wakeLoop` is called.
    func serve(now: UInt64) -> (standing: DispatchCore.Standing, nextLook: UInt64?, overdue: [OverdueHandler]) {
        let (standing, next, startsWorker, overdue, cancelled) = state.withLock { state in
            let (next, overdue, cancelled) = state.reclaim(now: now) { [processor] in processor.copyMessage($0) }
            state.core.copyOldMessages(window: State<Processor>.messageWindow, limit: 2_048)
            let standing = state.core.standing(now: now)
            return (standing, next, state.shouldStartWorker(), overdue, cancelled)
        }
        for task in cancelled { task.cancel() }
        if startsWorker { start() }
        return (standing, next, overdue)
    }

    // MARK: The workers

    private func start() {
        let worker = Worker(processor.makeTools())
        state.withLock { $0.begin(worker) }
        let task = executor.run { [self] in await self.work(as: worker) }
        let isCancelled = state.withLock { _ in
            worker.task = task
            return worker.isCancelled
        }
        if isCancelled { task.cancel() }
    }

    /// The life of a worker.
    private nonisolated(nonsending) func work(as worker: Worker<Processor.Tools>) async {
        worker.hasBegun.store(true, ordering: .relaxed)
        var sinceYield = 0
        var count = takeBatch(worker, handled: 0)
        while count > 0 {
            var handled = 0
            while true {
                // The polling thread may have taken the rest.
                let position = worker.next.wrappingAdd(1, ordering: .acquiringAndReleasing).oldValue
                guard position < count else { break }
                let result = await processor.process(worker.taken + position, worker)
                worker.note(result, at: position)
                handled += 1
            }
            sinceYield += handled
            if sinceYield >= 512 {
                // Handlers that never suspend must not keep a thread of the pool for themselves. All other workers may come
                // first: what is done does not wait for them, and the wait does not count as the handlers' time.
                sinceYield = 0
                handIn(worker, handled: handled)
                handled = 0
                await Task.yield()
            }
            count = takeBatch(worker, handled: handled)
        }
    }

    /// Hands in what a worker has done.
    private func handIn(_ worker: Worker<Processor.Tools>, handled: Int) {
        let now = monotonicNow()
        let (began, wakesLoop) = state.withLock { state in
            (worker.began, state.handIn(worker, handled: handled, now: now))
        }
        processor.batchEnded(worker.tools, count: handled, nanoseconds: now - began)
        if wakesLoop { wakeLoop() }
    }

    /// Hands in what a worker has done, and gives it the next batch.
    ///
    /// - Returns: how many records it has got; the worker ends when there is none.
    private func takeBatch(_ worker: Worker<Processor.Tools>, handled: Int) -> Int {
        let now = monotonicNow()
        let (count, began, wakesLoop, startsWorker) = state.withLock { state in
            let began = worker.began
            let (count, wakesLoop) = state.takeBatch(worker, handled: handled, now: now)
            // One that ends because it was cancelled leaves work behind that others can do.
            return (count, began, wakesLoop, state.shouldStartWorker())
        }
        if handled > 0 { processor.batchEnded(worker.tools, count: handled, nanoseconds: now - began) }
        if wakesLoop { wakeLoop() }
        if startsWorker { start() }
        return count
    }
}

/// A handler that has been at one record for long.
struct OverdueHandler: Sendable {
    let record: TakenPosition
    /// Nanoseconds.
    let time: UInt64
    /// Whether it was cancelled because its time is over.
    let isCancelled: Bool
    /// Whether its task has not even begun to run.
    let isStarved: Bool
}

/// Where a taken record stands.
struct TakenPosition: Sendable {
    let assignment: AssignmentID
    let offset: Int64
    let topic: Int
    let attempt: Int
}

/// Who works, and on what there is to do.
private struct State<Processor: WorkProcessor>: ~Copyable {
    var core: DispatchCore
    var workers: [Worker<Processor.Tools>] = []
    private var batchLimit: BatchLimit
    private let attemptTimeout: UInt64
    private let overdueAfter: UInt64
    /// Whether the polling thread looks after workers that do not come on.
    private var isWatched = false
    private var lastLook: UInt64 = 0
    /// Whether the polling thread comes back only after a while.
    private var isLookFar = false
    /// Workers that are about to be started.
    private var starting = 0
    /// Workers that were at the same record at the last two looks.
    private var stuck = 0

    /// How long a worker may be at one record before others get what it has not begun: nanoseconds, up to twice as many.
    private static var patience: UInt64 { 2_000_000 }
    /// How long a worker may wait for a thread before that is reported.
    private static var starvedAfter: UInt64 { 2_000_000_000 }
    /// A record that waits, or a handler that is slow, keeps no fetch response in memory that lies further back than this.
    static var messageWindow: UInt64 { 16 << 20 }
    /// So many workers are enough while handlers are quick.
    private static var quickWorkers: Int { max(2, processorCount / 2) }

    init(core: consuming DispatchCore, batchLimit: BatchLimit, attemptTimeout: UInt64, overdueAfter: UInt64) {
        self.core = core
        self.batchLimit = batchLimit
        self.attemptTimeout = attemptTimeout
        self.overdueAfter = overdueAfter
    }

    /// Whether a worker is to be started: there is something to do, and room for one. It starts the others itself.
    mutating func shouldStartWorker() -> Bool {
        let count = workers.count + starting
        guard core.hasWork, count < core.limits.concurrency else { return false }
        // While handlers are quick a few workers do; those that are stuck at a slow one are not among them.
        guard batchLimit.value < 8 || count - stuck < Self.quickWorkers else { return false }
        starting += 1
        return true
    }

    /// What is being handled, with the topic's position in place of its name.
    var runningHandlers: [TakenPosition] {
        workers.compactMap { worker in
            worker.current.map {
                let taken = worker.taken[$0]
                return TakenPosition(
                    assignment: taken.assignment, offset: taken.offset, topic: Int(taken.topic),
                    attempt: Int(taken.attempt))
            }
        }
    }

    /// A worker that ``shouldStartWorker()`` has asked for is about to begin.
    mutating func begin(_ worker: Worker<Processor.Tools>) {
        starting -= 1
        workers.append(worker)
    }

    /// - Parameter handled: how many records the worker has handled since it took its batch, or handed in last.
    /// - Returns: whether the polling thread has something to do.
    mutating func handIn(_ worker: Worker<Processor.Tools>, handled: Int, now: UInt64) -> Bool {
        batchLimit.finished(handled, in: now - worker.began)
        let wakesLoop = settle(worker, until: worker.count, now: now)
        worker.count = 0
        worker.settled = 0
        worker.nextBefore = -1
        setStuck(worker, false)
        return wakesLoop
    }

    mutating func takeBatch(
        _ worker: Worker<Processor.Tools>, handled: Int, now: UInt64
    ) -> (count: Int, wakesLoop: Bool) {
        var wakesLoop = handIn(worker, handled: handled, now: now)
        var wanted = min(batchLimit.value, BatchLimit.most)
        // What is ready is shared with others that may come.
        if wanted > 1 { wanted = min(wanted, max(1, core.readyCount / 2)) }
        let count = worker.isCancelled ? 0 : core.take(into: worker.taken, limit: wanted)
        worker.outcomes.update(repeating: .open, count: count)
        worker.count = count
        worker.began = now
        worker.isReported = false
        worker.next.store(0, ordering: .releasing)
        guard count > 0 else {
            if let position = workers.firstIndex(where: { $0 === worker }) { workers.remove(at: position) }
            return (0, wakesLoop)
        }
        if !isWatched || isLookFar && count > 1 {
            isWatched = true
            isLookFar = false
            wakesLoop = true
        }
        return (count, wakesLoop)
    }

    /// Hands in the outcome of a worker's records up to a position.
    ///
    /// - Returns: whether the polling thread has something to do.
    private mutating func settle(_ worker: Worker<Processor.Tools>, until end: Int, now: UInt64) -> Bool {
        var wakesLoop = false
        while worker.settled < end {
            let position = worker.settled
            worker.settled &+= 1
            let index = worker.taken[position].index
            switch worker.outcomes[position] {
            case .done: if core.finish(index) { wakesLoop = true }
            case .open: continue
            case .other:
                worker.outcomes[position] = .open
                let record = worker.taken[position].record
                switch (worker.results + position).move() {
                case .done: if core.finish(index) { wakesLoop = true }
                case .later(let later): if core.retry(index, later, record: record, now: now) { wakesLoop = true }
                case .abandoned: if core.abandon(index, record: record, now: now) { wakesLoop = true }
                }
            }
        }
        return wakesLoop
    }

    /// Takes back what a worker has not begun, and hands in what it has done.
    ///
    /// - Returns: whether the polling thread has something to do.
    private mutating func takeBack(_ worker: Worker<Processor.Tools>, now: UInt64) -> Bool {
        let begun = worker.next.exchange(Worker<Processor.Tools>.takenBack, ordering: .acquiringAndReleasing)
        // It may have been so before.
        guard begun < Worker<Processor.Tools>.takenBack else { return false }
        let count = min(begun, worker.count)
        for position in count..<worker.count { core.giveBack(worker.taken[position].index) }
        worker.count = count
        // It is at the last one that was begun, or has done that too and is on its way here.
        return settle(worker, until: max(0, count - 1), now: now)
    }

    /// From the polling thread, which needs no waking.
    mutating func settleAll(now: UInt64) {
        for worker in workers { _ = takeBack(worker, now: now) }
    }

    /// - Returns: false when a worker is between taking a record and beginning it.
    mutating func detachMessages(_ copyMessage: (Processor.Tools) -> Void) -> Bool {
        var isComplete = true
        for worker in workers {
            _ = takeBack(worker, now: monotonicNow())
            copyMessage(worker.tools)
            if let current = worker.current, worker.taken[current].message != nil { isComplete = false }
        }
        return isComplete
    }

    mutating func cancel(_ assignments: [AssignmentID]) -> [Task<Void, Never>] {
        var tasks: [Task<Void, Never>] = []
        for worker in workers {
            guard let current = worker.current, assignments.contains(worker.taken[current].assignment) else { continue }
            worker.isCancelled = true
            _ = takeBack(worker, now: monotonicNow())
            if let task = worker.task { tasks.append(task) }
        }
        return tasks
    }

    /// Looks after workers that do not come on.
    ///
    /// - Parameter copyMessage: copies the record that a worker has been at for long.
    /// - Returns: when to look again, handlers to report, and tasks to cancel.
    mutating func reclaim(
        now: UInt64, copyMessage: (Processor.Tools) -> Void
    ) -> (next: UInt64?, overdue: [OverdueHandler], cancelled: [Task<Void, Never>]) {
        guard isWatched else { return (nil, [], []) }
        guard now >= lastLook + Self.patience else { return (lastLook + Self.patience, [], []) }
        lastLook = now
        var overdue: [OverdueHandler] = []
        var cancelled: [Task<Void, Never>] = []
        var isQuick = false
        for worker in workers {
            let begun = worker.next.load(ordering: .acquiring)
            guard begun == worker.nextBefore else {
                worker.nextBefore = begun
                worker.since = now
                worker.isReported = false
                setStuck(worker, false)
                isQuick = true
                continue
            }
            setStuck(worker, worker.current != nil)
            // What is done and not handed in keeps its key and the watermark waiting as well.
            if begun < Worker<Processor.Tools>.takenBack, worker.count - worker.settled > 1 {
                if worker.count > begun { batchLimit.stuck() }
                _ = takeBack(worker, now: now)
                worker.nextBefore = worker.next.load(ordering: .relaxed)
            }
            let time = now - min(now, worker.since)
            if time >= 50_000_000 { copyMessage(worker.tools) }
            watch(worker, time, &overdue, &cancelled)
        }
        isWatched = !workers.isEmpty
        guard isWatched else { return (nil, overdue, cancelled) }
        // Handlers that take long need no look every two milliseconds.
        isLookFar = !isQuick && !(core.hasWork && workers.count < core.limits.concurrency)
        return (now + (isLookFar ? 25 * Self.patience : Self.patience), overdue, cancelled)
    }

    private mutating func setStuck(_ worker: Worker<Processor.Tools>, _ isStuck: Bool) {
        guard worker.isStuck != isStuck else { return }
        worker.isStuck = isStuck
        stuck += isStuck ? 1 : -1
    }

    private func watch(
        _ worker: Worker<Processor.Tools>, _ time: UInt64, _ overdue: inout [OverdueHandler],
        _ cancelled: inout [Task<Void, Never>]
    ) {
        let isStarved = !worker.hasBegun.load(ordering: .relaxed) && time >= Self.starvedAfter
        let isOver = time >= attemptTimeout && !worker.isTimedOut.load(ordering: .relaxed)
        guard let current = worker.current else {
            if isStarved, !worker.isReported {
                worker.isReported = true
                overdue.append(
                    OverdueHandler(
                        record: TakenPosition(
                            assignment: .init(index: 0, generation: 0), offset: 0, topic: -1, attempt: 0),
                        time: time, isCancelled: false, isStarved: true))
            }
            return
        }
        let taken = worker.taken[current]
        guard isOver || time >= overdueAfter && !worker.isReported else { return }
        if isOver {
            worker.isTimedOut.store(true, ordering: .releasing)
            worker.isCancelled = true
            if let task = worker.task { cancelled.append(task) }
        }
        worker.isReported = true
        overdue.append(
            OverdueHandler(
                record: TakenPosition(
                    assignment: taken.assignment, offset: taken.offset, topic: Int(taken.topic),
                    attempt: Int(taken.attempt)),
                time: time, isCancelled: isOver, isStarved: false))
    }
}
