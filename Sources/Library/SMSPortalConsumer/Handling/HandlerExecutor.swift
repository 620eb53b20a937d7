internal import SMSBridgeThreads
internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// Where handlers run.
public struct HandlerExecutor: Sendable {
    private let pool: HandlerThreads?

    /// Swift's cooperative pool, which has a thread per processor: for handlers that suspend while they wait. One that blocks
    /// its thread (a synchronous database driver, `sleep`) keeps others, and everything else in the process, from running.
    public static let shared = HandlerExecutor(pool: nil)

    /// Threads of the consumer's own, for handlers that block theirs.
    ///
    /// What a handler calls runs there, too, unless it belongs to an actor or another executor.
    ///
    /// - Parameter count: How many; 1 to 1,000. No more handlers than that can block at once.
    public static func threads(_ count: Int) -> HandlerExecutor {
        HandlerExecutor(pool: HandlerThreads(count: min(max(1, count), 1_000)))
    }

    func run(_ body: @escaping @Sendable () async -> Void) -> Task<Void, Never> {
        guard let pool else { return Task.detached { await body() } }
        return Task.detached(executorPreference: pool) { await body() }
    }

    /// Whether handlers have threads of their own.
    var hasOwnThreads: Bool { pool != nil }
}

/// Threads that run jobs. They live as long as there is something to do and for a while after it.
private final class HandlerThreads: TaskExecutor {
    private struct State {
        var jobs: [UnownedJob] = []
        var first = 0
        var threads = 0
        var idle = 0
    }

    private let count: Int
    private let state = Mutex(State())
    private let available: Semaphore

    init(count: Int) {
        self.count = count
        available = Semaphore(limit: count)
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let needsThread = state.withLock { state in
            state.jobs.append(job)
            guard state.idle < state.jobs.count - state.first, state.threads < count else { return false }
            state.threads += 1
            return true
        }
        if needsThread {
            let executor = asUnownedTaskExecutor()
            do { _ = try NamedThread("sms-handler") { [self] in work(executor) } } catch {
                // Others run the job when they are free; without any, it runs here.
                let isAlone = state.withLock { state in
                    state.threads -= 1
                    return state.threads == 0
                }
                if isAlone { while let job = takeJob() { job.runSynchronously(on: executor) } }
            }
        }
        available.post()
    }

    private func takeJob() -> UnownedJob? {
        state.withLock { state in
            guard state.first < state.jobs.count else { return nil }
            defer {
                state.first += 1
                if state.first == state.jobs.count {
                    state.jobs.removeAll(keepingCapacity: true)
                    state.first = 0
                } else if state.first >= 1_024 {
                    state.jobs.removeFirst(state.first)
                    state.first = 0
                }
            }
            return state.jobs[state.first]
        }
    }

    private func work(_ executor: UnownedTaskExecutor) {
        while true {
            while let job = takeJob() { job.runSynchronously(on: executor) }
            state.withLock { $0.idle += 1 }
            let isWoken = available.wait(seconds: 10)
            let ends = state.withLock { state in
                state.idle -= 1
                guard !isWoken, state.first == state.jobs.count else { return false }
                state.threads -= 1
                return true
            }
            if ends { return }
        }
    }
}

/// A counting semaphore with an upper bound: more than wake every waiting thread are of no use.
///
/// `@unchecked Sendable`: `count` is guarded by `mutex`; both are freed with the last reference.
private final class Semaphore: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    private var count = 0
    private let limit: Int

    init(limit: Int) {
        self.limit = limit
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    func post() {
        pthread_mutex_lock(mutex)
        count = min(count + 1, limit)
        pthread_cond_signal(condition)
        pthread_mutex_unlock(mutex)
    }

    /// - Returns: false when the time is over.
    func wait(seconds: Int) -> Bool {
        var until = timespec()
        clock_gettime(CLOCK_REALTIME, &until)
        until.tv_sec += seconds
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while count == 0 {
            if pthread_cond_timedwait(condition, mutex, &until) == ETIMEDOUT { return false }
        }
        count -= 1
        return true
    }
}
