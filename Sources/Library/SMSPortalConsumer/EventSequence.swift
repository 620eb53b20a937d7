public import SMSPortalEvents
internal import Synchronization

extension EventConsumer {
    /// The events of these types as a sequence, for those who prefer a loop to handlers. Iterating runs the consumer.
    ///
    /// ```swift
    /// for try await delivery in consumer.events(.reply, .urlClick, until: .standard) {
    ///     print(delivery.event.type, delivery.context.eventID)
    ///     delivery.acknowledge()
    /// }
    /// ```
    ///
    /// A loop that is left early is followed by ``EventSequence/finish()``, which waits for the last commit. Nothing is
    /// committed that is not acknowledged. The next event of a key comes after the acknowledgement of the one
    /// before, and at most ``Configuration/concurrency`` events are out at once: acknowledge, or fail, each of them.
    /// One that is released without either has failed. The sequence ends with ``shutdown()`` or the end of the
    /// iteration, and can be iterated once; with the cancellation of the task it ends, too.
    ///
    /// - Parameters:
    ///   - types: At least one; a type may have a handler or a sequence, not both. Iterating throws otherwise.
    ///   - startAt: Where the group begins in topics in which it has committed no offset; see
    ///     ``onDeliveryStatus(startAt:_:)``.
    ///   - signals: Signals that end the sequence, as ``run(until:)`` says; none by default. What was acknowledged is
    ///     then committed, and the loop ends.
    public func events(
        _ types: EventType..., startAt: Configuration.Position? = nil, until signals: ShutdownSignals = []
    ) -> EventSequence {
        let channel = DeliveryChannel()
        for type in types {
            on(type, startAt: startAt) { event, context in try await channel.deliver(event, context) }
        }
        return EventSequence(consumer: self, channel: channel, signals: signals)
    }
}

/// The events of a consumer, each to be acknowledged. See ``EventConsumer/events(_:startAt:until:)``.
public struct EventSequence: AsyncSequence, Sendable {
    /// An event and its acknowledgement.
    public typealias Element = DeliveredEvent

    let consumer: EventConsumer
    let channel: DeliveryChannel
    let signals: ShutdownSignals

    /// Shuts the consumer down, if it still runs, and waits until it has ended: what was acknowledged is then
    /// committed. A program that leaves the loop and ends without it gets its last events again at the next start.
    ///
    /// - Throws: ``EventConsumerError``, as ``EventConsumer/run()`` does.
    public func finish() async throws {
        consumer.shutdown()
        channel.abandon()
        try await channel.untilEnd()
    }

    /// Runs the consumer; it shuts down when the iterator goes.
    public func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(run: Run(consumer, channel, signals))
    }

    /// Gives the events one after the other.
    public struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate let run: Run

        /// The next event; nil when the consumer was shut down or the task is cancelled.
        ///
        /// - Throws: ``EventConsumerError``, as ``EventConsumer/run()`` does.
        public mutating func next() async throws -> DeliveredEvent? {
            try await run.next()
        }
    }

    /// Ends the consumer when the iteration has ended.
    fileprivate final class Run: Sendable {
        private let consumer: EventConsumer
        private let channel: DeliveryChannel

        init(_ consumer: EventConsumer, _ channel: DeliveryChannel, _ signals: ShutdownSignals) {
            self.consumer = consumer
            self.channel = channel
            channel.begin()
            Task {
                do {
                    try await consumer.run(until: signals)
                    channel.finish(nil)
                } catch {
                    channel.finish(error)
                }
            }
        }

        deinit {
            consumer.shutdown()
            channel.abandon()
        }

        func next() async throws -> DeliveredEvent? {
            try await withTaskCancellationHandler {
                try await channel.next()
            } onCancel: {
                consumer.shutdown()
                channel.abandon()
            }
        }
    }
}

/// An event that waits for its acknowledgement.
public final class DeliveredEvent: Sendable {
    /// The event.
    public let event: Event
    /// Where it stands and how it came.
    public let context: EventContext
    private let receipt: DeliveryReceipt

    init(_ event: Event, _ context: EventContext, _ receipt: DeliveryReceipt) {
        self.event = event
        self.context = context
        self.receipt = receipt
    }

    var isSettled: Bool { receipt.isSettled }

    deinit {
        receipt.settle(.failure(NotAcknowledged()))
    }

    /// The event is handled, and may be committed. The first call counts, of this and ``fail(_:)``.
    public func acknowledge() {
        receipt.settle(.success(()))
    }

    /// The event could not be handled: it is tried again, as ``EventConsumer/Configuration/failure`` says.
    public func fail(_ error: any Error) {
        receipt.settle(.failure(error))
    }

    /// The failure of an event that was neither acknowledged nor failed.
    public struct NotAcknowledged: Error {}
}

/// Thrown by a handler that could not even begin: the event is left as it is.
struct DeliveryAbandoned: Error {}

/// What becomes of one delivered event: settled once, awaited once.
final class DeliveryReceipt: Sendable {
    private enum State {
        case open
        case awaited(CheckedContinuation<Void, any Error>)
        case settled(Result<Void, any Error>)
    }

    private let state = Mutex(State.open)

    var isSettled: Bool {
        state.withLock { if case .settled = $0 { true } else { false } }
    }

    func settle(_ result: Result<Void, any Error>) {
        let waiter = state.withLock { state -> CheckedContinuation<Void, any Error>? in
            switch state {
            case .open:
                state = .settled(result)
                return nil
            case .awaited(let waiter):
                state = .settled(result)
                return waiter
            case .settled: return nil
            }
        }
        waiter?.resume(with: result)
    }

    func wait() async throws {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let settled = state.withLock { state -> Result<Void, any Error>? in
                    if case .settled(let result) = state { return result }
                    state = .awaited(continuation)
                    return nil
                }
                if let settled { continuation.resume(with: settled) }
            }
        } onCancel: {
            settle(.failure(CancellationError()))
        }
    }
}

/// Between the handlers and the one who iterates.
final class DeliveryChannel: Sendable {
    private struct State {
        var waiting = Queue<DeliveredEvent>()
        var reader: CheckedContinuation<DeliveredEvent?, any Error>?
        var isAbandoned = false
        /// Whether anybody iterates, or has.
        var hasBegun = false
        var end: Result<DeliveredEvent?, any Error>?
        var waitingForEnd: [CheckedContinuation<Void, any Error>] = []
    }

    private let state = Mutex(State())

    /// How many wait for a reader.
    var waitingCount: Int { state.withLock { $0.waiting.count } }

    /// Hands an event over and waits for what becomes of it. At most as many wait as handlers run at once.
    func deliver(_ event: Event, _ context: EventContext) async throws {
        let receipt = DeliveryReceipt()
        try handOver(event, context, receipt)
        try await receipt.wait()
    }

    /// Does not suspend: a waiter for the receipt must not keep the delivery alive, because a released one has
    /// failed.
    private func handOver(_ event: Event, _ context: EventContext, _ receipt: DeliveryReceipt) throws {
        let reader = try state.withLock { state -> (CheckedContinuation<DeliveredEvent?, any Error>, DeliveredEvent)? in
            guard !state.isAbandoned else { throw DeliveryAbandoned() }
            let delivered = DeliveredEvent(event, context, receipt)
            if let reader = state.reader {
                state.reader = nil
                return (reader, delivered)
            }
            state.waiting.append(delivered)
            return nil
        }
        if let (reader, delivered) = reader { reader.resume(returning: delivered) }
    }

    func next() async throws -> DeliveredEvent? {
        try await withCheckedThrowingContinuation { continuation in
            let result = state.withLock { state -> Result<DeliveredEvent?, any Error>? in
                // One that was cancelled while it waited belongs to the present owner of its partition.
                while let delivered = state.waiting.popFirst() {
                    if !delivered.isSettled { return .success(delivered) }
                }
                if let end = state.end { return end }
                if state.isAbandoned || state.reader != nil { return .success(nil) }
                state.reader = continuation
                return nil
            }
            if let result { continuation.resume(with: result) }
        }
    }

    /// The consumer runs.
    func begin() { state.withLock { $0.hasBegun = true } }

    /// Waits until the consumer has ended; not at all without an iteration.
    func untilEnd() async throws {
        try await withCheckedThrowingContinuation { (waiter: CheckedContinuation<Void, any Error>) in
            let end = state.withLock { state -> Result<DeliveredEvent?, any Error>? in
                if let end = state.end { return end }
                if !state.hasBegun { return .success(nil) }
                state.waitingForEnd.append(waiter)
                return nil
            }
            if let end { waiter.resume(with: end.map { _ in }) }
        }
    }

    /// The consumer has ended.
    func finish(_ error: (any Error)?) {
        let end: Result<DeliveredEvent?, any Error> = error.map { .failure($0) } ?? .success(nil)
        let (reader, waiters) = state.withLock { state in
            state.end = end
            defer {
                state.reader = nil
                state.waitingForEnd = []
            }
            return (state.reader, state.waitingForEnd)
        }
        reader?.resume(with: end)
        for waiter in waiters { waiter.resume(with: end.map { _ in }) }
    }

    /// The iteration has ended. Events that were not taken out are neither handled nor failed.
    func abandon() {
        let (reader, left) = state.withLock { state in
            state.isAbandoned = true
            var left: [DeliveredEvent] = []
            while let delivered = state.waiting.popFirst() { left.append(delivered) }
            defer { state.reader = nil }
            return (state.reader, left)
        }
        for delivered in left { delivered.fail(DeliveryAbandoned()) }
        reader?.resume(returning: nil)
    }
}
