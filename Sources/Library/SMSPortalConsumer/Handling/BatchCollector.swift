internal import Synchronization

/// Gathers events of a partition that are handled at the same time, and hands them to one call of a batch handler.
///
/// It stands where the handler of single events does: every event of a batch is being handled until the batch is, so that
/// commits, order, retries and revocations need not know of batches. The first event of a batch runs it in its own task; the others
/// wait for the outcome.
final class BatchCollector<Payload: Sendable>: Sendable {
    typealias Handler = @Sendable ([BatchedEvent<Payload>]) async throws -> Void

    private struct Key: Hashable {
        let topic: String
        let partition: Int32
        /// Live events and those of a replay are of different runs.
        let replay: String?
    }

    private let maxCount: Int
    private let maxDelay: Duration
    private let handler: Handler
    private let gathering = Mutex<[Key: Batch<Payload>]>([:])

    init(maxCount: Int, maxDelay: Duration, handler: @escaping Handler) {
        self.maxCount = maxCount
        self.maxDelay = maxDelay
        self.handler = handler
    }

    func handle(_ payload: Payload, _ context: EventContext) async throws {
        let event = BatchedEvent(event: payload, context: context)
        // One that has failed in a batch is tried alone: another one may be the cause.
        if context.attempt > 1 || maxCount == 1 { return try await handler([event]) }
        let key = Key(topic: context.topic, partition: context.partition, replay: context.replayName)
        while true {
            let (batch, member) = gathering.withLock { gathering in
                if let batch = gathering[key], let member = batch.join(event) {
                    if batch.isFull { gathering[key] = nil }
                    return (batch, member as Int?)
                }
                let batch = Batch(event, maxCount: maxCount)
                gathering[key] = batch
                return (batch, nil)
            }
            guard let member else { return try await lead(batch, key) }
            if try await batch.outcome(of: member) { return }
            // The task that ran the batch was cancelled, and this one was not.
            try Task.checkCancellation()
        }
    }

    /// Waits for others, and runs the batch.
    private func lead(_ batch: Batch<Payload>, _ key: Key) async throws {
        let timer = Task { [maxDelay] in
            try? await Task.sleep(for: maxDelay)
            batch.close()
        }
        await withTaskCancellationHandler {
            await batch.untilClosed()
        } onCancel: {
            batch.close()
        }
        timer.cancel()
        gathering.withLock { if $0[key] === batch { $0[key] = nil } }
        do {
            try Task.checkCancellation()
            try await handler(batch.begin())
            batch.end(.success(true))
        } catch {
            batch.end(Task.isCancelled ? .success(false) : .failure(error))
            throw error
        }
    }
}

/// Events that are handled together.
private final class Batch<Payload: Sendable>: Sendable {
    /// Whether the batch was handled; false when it was given up.
    typealias Outcome = Result<Bool, any Error>

    private struct State {
        var events: [BatchedEvent<Payload>?]
        var waiting: [Int: CheckedContinuation<Bool, any Error>] = [:]
        var leader: CheckedContinuation<Void, Never>?
        var isClosed = false
        var hasBegun = false
        var outcome: Outcome?
    }

    private let state: Mutex<State>
    private let maxCount: Int

    init(_ first: BatchedEvent<Payload>, maxCount: Int) {
        state = Mutex(State(events: [first]))
        self.maxCount = maxCount
    }

    var isFull: Bool { state.withLock { $0.isClosed || $0.events.count >= maxCount } }

    /// - Returns: the position in the batch; nil when it is closed.
    func join(_ event: BatchedEvent<Payload>) -> Int? {
        let (member, leader) = state.withLock { state -> (Int?, CheckedContinuation<Void, Never>?) in
            guard !state.isClosed, state.events.count < maxCount else { return (nil, nil) }
            state.events.append(event)
            let member = state.events.count - 1
            return (member, state.events.count >= maxCount ? Self.close(&state) : nil)
        }
        leader?.resume()
        return member
    }

    /// Takes no more events.
    func close() {
        state.withLock { Self.close(&$0) }?.resume()
    }

    private static func close(_ state: inout State) -> CheckedContinuation<Void, Never>? {
        state.isClosed = true
        defer { state.leader = nil }
        return state.leader
    }

    func untilClosed() async {
        await withCheckedContinuation { continuation in
            let isClosed = state.withLock { state in
                if !state.isClosed { state.leader = continuation }
                return state.isClosed
            }
            if isClosed { continuation.resume() }
        }
    }

    /// The events, in the order of their offsets, without those whose task was cancelled before.
    func begin() -> [BatchedEvent<Payload>] {
        state.withLock { state in
            state.hasBegun = true
            return state.events.compactMap(\.self).sorted { $0.context.offset < $1.context.offset }
        }
    }

    func end(_ outcome: Outcome) {
        let waiting = state.withLock { state in
            state.outcome = outcome
            defer { state.waiting = [:] }
            return state.waiting.values.map(\.self)
        }
        for continuation in waiting { continuation.resume(with: outcome) }
    }

    /// Waits until the batch has been handled. A task that is cancelled leaves a batch that has not begun; it waits for one that
    /// has, because its event is being handled.
    ///
    /// - Returns: false when the batch was given up.
    func outcome(of member: Int) async throws -> Bool {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let outcome = state.withLock { state -> Outcome? in
                    if let outcome = state.outcome { return outcome }
                    // Cancelled before it began to wait.
                    if state.events[member] == nil { return .failure(CancellationError()) }
                    state.waiting[member] = continuation
                    return nil
                }
                if let outcome { continuation.resume(with: outcome) }
            }
        } onCancel: {
            let waiting = state.withLock { state -> CheckedContinuation<Bool, any Error>? in
                guard !state.hasBegun else { return nil }
                state.events[member] = nil
                return state.waiting.removeValue(forKey: member)
            }
            waiting?.resume(throwing: CancellationError())
        }
    }
}
