internal import SMSBridgeKafka
internal import SMSBridgeTelemetry
internal import SMSPortalEvents
internal import Synchronization

/// What a worker keeps from record to record.
final class WorkerTools {
    /// The record that is being handled. Used again for the next one unless a handler has kept it; replaced under the lock only,
    /// for the polling thread may be at it.
    let block: UnsafeMutablePointer<ConsumedBlock>
    let blockLock = Mutex(())
    let scanner = EventScanner()
    /// Handled since the last batch, per type, and how old they were per bound of the ages.
    let handled: UnsafeMutablePointer<UInt64>
    let ages: UnsafeMutablePointer<UInt64>
    let ageSums: UnsafeMutablePointer<UInt64>
    static let ageBuckets = ConsumerMetrics.ageBounds.count + 1
    static let types = EventType.allCases.count

    init(_ facts: RunFacts) {
        block = .allocate(capacity: 1)
        block.initialize(to: ConsumedBlock(facts))
        handled = .allocate(capacity: Self.types)
        handled.initialize(repeating: 0, count: Self.types)
        ages = .allocate(capacity: Self.types * Self.ageBuckets)
        ages.initialize(repeating: 0, count: Self.types * Self.ageBuckets)
        ageSums = .allocate(capacity: Self.types)
        ageSums.initialize(repeating: 0, count: Self.types)
    }

    deinit {
        block.deinitialize(count: 1)
        block.deallocate()
        handled.deallocate()
        ages.deallocate()
        ageSums.deallocate()
    }

    /// The event has ended. A block that its handler has kept is given up, with a copy of the record.
    @inline(__always)
    func endBlock() {
        if isKnownUniquelyReferenced(&block.pointee), block.pointee.isEventUnique {
            block.pointee.holder.end()
        } else {
            giveUpBlock()
        }
    }

    @inline(never)
    private func giveUpBlock() {
        block.pointee.holder.copyMessage()
        let fresh = ConsumedBlock(block.pointee.facts)
        blockLock.withLock { _ in block.pointee = fresh }
    }

    @inline(__always)
    func count(_ type: EventType, age milliseconds: Int64) {
        handled[type.index] &+= 1
        let age = UInt64(max(0, milliseconds))
        ageSums[type.index] &+= age
        let bounds = Self.ageBounds
        var bucket = 0
        while bucket < Self.ageBuckets - 1, age > bounds[bucket] { bucket &+= 1 }
        ages[type.index &* Self.ageBuckets &+ bucket] &+= 1
    }

    /// In milliseconds. Never freed: one for the process.
    private nonisolated(unsafe) static let ageBounds: UnsafePointer<UInt64> = {
        let bounds = UnsafeMutablePointer<UInt64>.allocate(capacity: ageBuckets)
        for (index, bound) in ConsumerMetrics.ageBounds.enumerated() {
            (bounds + index).initialize(to: UInt64((bound * 1_000).rounded()))
        }
        return UnsafePointer(bounds)
    }()
}

/// Processes records: decodes, claims and handles each, and retries or dead-letters a failure.
struct EventProcessor: WorkProcessor {
    private let configuration: EventConsumer.Configuration
    private let facts: RunFacts
    private let handlers: EventHandlers
    private let deadLetters: DeadLetterQueue?
    private let metrics: ConsumerMetrics
    private let control: ConsumerControl
    private let replay: ReplayTask?
    private let readers = EventReaders()
    private let parked = ParkedKeys()
    private let log: Logger
    private let repeats = RepeatGuard()
    /// Whether events are handled without a look at their headers and without a claim.
    private let isPlain: Bool
    /// The position of the redrive topic; -1 for none.
    private let redriveTopic: Int32

    /// How long an event waits for a store of processed events that does not answer, or for Kafka to take a dead
    /// letter.
    private static let patience = RetryBackoff(initial: .milliseconds(500), maximum: .seconds(15))
    /// How often it is checked whether another consumer has completed an event.
    private static let claimPoll: Duration = .seconds(1)

    /// - Parameter topics: The topics that are read, by the position that records carry.
    init(
        _ configuration: EventConsumer.Configuration, handlers: EventHandlers, deadLetters: DeadLetterQueue?,
        metrics: ConsumerMetrics, control: ConsumerControl, topics: [String] = [], replay: ReplayTask? = nil
    ) {
        self.configuration = configuration
        self.handlers = handlers
        self.deadLetters = deadLetters
        self.metrics = metrics
        self.control = control
        self.replay = replay
        facts = RunFacts(
            group: configuration.group, topics: topics, log: configuration.log.sink, replayName: replay?.name)
        isPlain = configuration.processedEvents == nil && replay == nil
        redriveTopic = Int32(topics.firstIndex(of: configuration.redriveTopic) ?? -1)
        log = Logger(label: "consumer", sink: configuration.log.sink)
    }

    // MARK: The ordinary way

    func makeTools() -> WorkerTools { WorkerTools(facts) }

    nonisolated(nonsending) func process(
        _ taken: UnsafeMutablePointer<Taken>, _ worker: Worker<WorkerTools>
    ) async -> WorkResult {
        let tools = worker.tools
        guard let address = taken.pointee.message, isPlain, taken.pointee.failure == nil,
            taken.pointee.topic != redriveTopic, parked.isEmpty
        else { return await processCopy(taken, worker) }
        let message = PolledMessage(address: address)
        guard let value = message.value else {
            // There is no event to handle, and compaction will remove the record.
            metrics.tombstones.increment()
            taken.pointee.message = nil
            message.destroy()
            return .done
        }
        tools.block.pointee.begin(message, taken.pointee, value: value)
        // The block has it from now on.
        taken.pointee.message = nil
        guard tools.scanner.scan(tools.block.pointee.event, hint: Int(taken.pointee.topic)) else {
            keepCopy(taken, tools)
            return await processCopy(taken, worker)
        }
        let type = tools.block.pointee.event.type
        guard let handler = handlers.handler(of: type, isOptOut: tools.block.pointee.event.isOptOut) else {
            tools.block.pointee.holder.end()
            metrics.count(.ignored, type)
            return .done
        }
        if taken.pointee.attempt > 1 { metrics.retried(type) }
        do {
            try await call(handler, tools)
        } catch {
            return await failed(taken, worker, type, error)
        }
        tools.count(type, age: coarseWallClockMilliseconds() &- tools.block.pointee.event.receivedAtMilliseconds)
        tools.endBlock()
        return .done
    }

    /// By itself, so that nothing but the handler can keep the event.
    @inline(never)
    private nonisolated(nonsending) func call(_ handler: EventHandlers.Handler, _ tools: WorkerTools) async throws {
        try await handler(Event(tools.block.pointee.event), EventContext(tools.block.pointee))
    }

    @inline(never)
    private func eventID(_ tools: WorkerTools) -> String { Event(tools.block.pointee.event).id }

    /// Copies the record that the block has, and gives the copy to the slot.
    private func keepCopy(_ taken: UnsafeMutablePointer<Taken>, _ tools: WorkerTools) {
        let record = tools.block.pointee.holder.copyMessage()
        taken.pointee.record = record.map { Unmanaged.passRetained($0) }
        tools.endBlock()
    }

    private nonisolated(nonsending) func failed(
        _ taken: UnsafeMutablePointer<Taken>, _ worker: Worker<WorkerTools>, _ type: EventType, _ error: any Error
    ) async -> WorkResult {
        let id = eventID(worker.tools)
        keepCopy(taken, worker.tools)
        guard let record = taken.pointee.record?.takeUnretainedValue() else { return .abandoned }
        var error = error
        if worker.isTimedOut.load(ordering: .acquiring) {
            error = AttemptTimedOut()
        } else if Task.isCancelled || error is DeliveryAbandoned {
            // What fails because it was cancelled has not failed.
            return .abandoned
        }
        metrics.failed(type)
        let work = Work(
            record: record, attempt: Int(taken.pointee.attempt), failure: nil, assignment: taken.pointee.assignment,
            topic: Int(taken.pointee.topic))
        return release(await failed(work, type, id, error), taken)
    }

    /// Frees the copy of a record that is done.
    private func release(_ result: WorkResult, _ taken: UnsafeMutablePointer<Taken>) -> WorkResult {
        if case .done = result {
            taken.pointee.record?.release()
            taken.pointee.record = nil
        }
        return result
    }

    func batchEnded(_ tools: WorkerTools, count: Int, nanoseconds: UInt64) {
        guard count > 0 else { return }
        let each = nanoseconds / UInt64(count)
        for type in EventType.allCases where tools.handled[type.index] > 0 {
            let ages = tools.ages + type.index * WorkerTools.ageBuckets
            metrics.handled(
                type, count: tools.handled[type.index], nanoseconds: each &* tools.handled[type.index],
                ages: UnsafeBufferPointer(start: ages, count: WorkerTools.ageBuckets), ageSum: tools.ageSums[type.index]
            )
            tools.handled[type.index] = 0
            tools.ageSums[type.index] = 0
            ages.update(repeating: 0, count: WorkerTools.ageBuckets)
        }
    }

    func copyMessage(_ tools: WorkerTools) {
        let block = tools.blockLock.withLock { _ in tools.block.pointee }
        block.holder.copyMessage()
    }

    // MARK: With a copy

    private nonisolated(nonsending) func processCopy(
        _ taken: UnsafeMutablePointer<Taken>, _ worker: Worker<WorkerTools>
    ) async -> WorkResult {
        if let address = taken.pointee.message {
            let message = PolledMessage(address: address)
            taken.pointee.record = Unmanaged.passRetained(
                ConsumedRecord(message, topic: facts.topics[Int(taken.pointee.topic)]))
            taken.pointee.message = nil
            message.destroy()
        }
        guard let record = taken.pointee.record?.takeUnretainedValue() else { return .done }
        let work = Work(
            record: record, attempt: Int(taken.pointee.attempt), failure: taken.pointee.failure?.takeUnretainedValue(),
            assignment: taken.pointee.assignment, topic: Int(taken.pointee.topic))
        return release(await process(work, isTimedOut: { worker.isTimedOut.load(ordering: .acquiring) }), taken)
    }

    nonisolated(nonsending) func process(_ work: Work, isTimedOut: () -> Bool = { false }) async -> WorkResult {
        if let failure = work.failure { return await bury(work, failure) }
        guard !work.record.isTombstone else {
            metrics.tombstones.increment()
            return .done
        }
        let event: Event
        let writtenReplay: String?
        do { (event, writtenReplay) = try readers.event(of: work.record) } catch {
            metrics.undecodable.increment()
            if let replay, replay.isDryRun {
                replay.tally.failed()
                return .done
            }
            let failure = Failure(
                type: .unrecognised, kind: "EventDecodingError", message: error.description, attempts: 0)
            return await end(work, failure, error, configuration.undecodable)
        }
        let type = event.type
        guard let handler = handlers.handler(of: type, isOptOut: event.isOptOut) else {
            // Every member reads the redrive topic. The members of a group differ while a new version is rolled out,
            // and when a service is split: what this one cannot handle must not be lost.
            if replay == nil, work.record.topic == configuration.redriveTopic {
                return await bury(work, .noHandler(type))
            }
            metrics.count(.ignored, type)
            return .done
        }
        if let replay {
            guard replay.includes(event) else { return .done }
            if replay.isDryRun {
                replay.tally.handled()
                return .done
            }
        }
        if parked.isParked(work) {
            return await bury(work, .parked(type))
        }
        let replayName = replay?.name ?? writtenReplay
        let context = EventContext(
            ConsumedBlock(facts, work.record, envelope: event.envelope, attempt: work.attempt, topic: work.topic))
        guard let store = configuration.processedEvents else {
            return await handle(work, event, context, handler, claim: nil, isTimedOut)
        }
        do {
            let key = EventClaimKey(
                group: configuration.group, run: replayName ?? EventClaimKey.live, eventID: Self.claimedID(of: event))
            switch try await store.claim(key, expiry: configuration.claimExpiry) {
            case .claimed(let claim): return await handle(work, event, context, handler, claim: claim, isTimedOut)
            case .processed:
                metrics.count(.duplicate, type)
                return .done
            case .processing(let remaining):
                // Its fate is open: done by the other, or left behind.
                return .later(
                    .init(delay: min(max(remaining, .milliseconds(10)), Self.claimPoll), countsAttempt: false))
            }
        } catch {
            if Task.isCancelled { return .abandoned }
            metrics.claimFailures.increment()
            log.log(
                .error, onceIn: repeats, key: "claim", "the store of processed events fails; events wait",
                ["error": "\(Swift.type(of: error))"])
            return .later(.init(delay: Self.patience.delay(after: 1, chance: chance()), countsAttempt: false))
        }
    }

    /// An event that is understood later comes again under its first id, and must not count as handled for having been
    /// handled as one that was not understood.
    static func claimedID(of event: Event) -> String {
        event.type == .unrecognised ? "unrecognised/\(event.id)" : event.id
    }

    private nonisolated(nonsending) func handle(
        _ work: Work, _ event: Event, _ context: EventContext, _ handler: EventHandlers.Handler, claim: EventClaim?,
        _ isTimedOut: () -> Bool
    ) async -> WorkResult {
        let type = event.type
        if work.attempt > 1 { metrics.retried(type) }
        let began = monotonicNow()
        do {
            try await handler(event, context)
        } catch {
            metrics.handled(type, nanoseconds: monotonicNow() - began)
            if let claim { await release(claim) }
            var error = error
            if isTimedOut() {
                error = AttemptTimedOut()
            } else if Task.isCancelled || error is DeliveryAbandoned {
                // What fails because it was cancelled has not failed.
                return .abandoned
            }
            metrics.failed(type)
            return await failed(work, type, event.id, error)
        }
        metrics.handled(type, nanoseconds: monotonicNow() - began)
        metrics.aged(type, milliseconds: wallClockMilliseconds() - event.receivedAt.millisecondsSinceEpoch)
        metrics.count(.handled, type)
        replay?.tally.handled()
        if let claim { await complete(claim) }
        return .done
    }

    private func failed(_ work: Work, _ type: EventType, _ id: String, _ error: any Error) async -> WorkResult {
        let policy = configuration.failureForError?(error) ?? configuration.failure
        let kind = Failure.kind(of: error)
        if work.attempt < policy.maxAttempts {
            let delay = policy.backoff.delay(after: work.attempt, chance: chance())
            log.log(
                .warning, onceIn: repeats, key: "failed \(type) \(kind)", "handler failed, retry scheduled",
                place(
                    of: work,
                    [
                        "type": type.rawValue, "event": id, "error": kind, "attempt": work.attempt,
                        "maxAttempts": policy.maxAttempts, "delay": delay,
                    ]))
            return .later(.init(delay: delay))
        }
        let failure = Failure(
            type: type, kind: kind, message: "\(error)", attempts: work.attempt, parks: policy.finally == .park,
            eventID: id)
        // The task was cancelled for this attempt: another task writes the dead letter.
        if Task.isCancelled, [.deadLetter, .park].contains(policy.finally) {
            return .later(.init(delay: .zero, countsAttempt: false, failure: failure))
        }
        return await end(work, failure, error, policy.finally)
    }

    /// The last word on an event that has failed. Of the error only its type is logged: its text may quote the event.
    private func end(
        _ work: Work, _ failure: Failure, _ error: any Error, _ action: FailureAction
    ) async -> WorkResult {
        let fields = place(of: work, failure.fields)
        switch action.kind {
        case .deadLetter, .park: return await bury(work, failure)
        case .skip:
            metrics.count(.skipped, failure.type)
            replay?.tally.failed()
            log.log(.warning, onceIn: repeats, key: "skip \(failure.kind)", "event skipped", fields)
            return .done
        case .stop:
            log.error("event failed, the consumer stops", fields)
            control.stop(
                .failed(
                    EventConsumerError(
                        .handler,
                        "\(work.record.topic)[\(work.record.partition)]@\(work.record.offset) has failed: \(failure.kind)",
                        underlying: error)))
            return .abandoned
        }
    }

    private func bury(_ work: Work, _ failure: Failure) async -> WorkResult {
        let fields = place(of: work, failure.fields)
        do {
            guard let deadLetters else { throw KafkaError(.unknown, "no dead-letter topic") }
            try await deadLetters.write(work.record, failure, replay: replay?.name)
        } catch {
            if Task.isCancelled { return .abandoned }
            metrics.deadLetterFailures.increment()
            var all = fields
            all.append("deadLetterTopic", configuration.deadLetterTopic)
            all.append("reason", "\(error)")
            log.log(
                .error, onceIn: repeats, key: "dead letter",
                "a dead letter could not be written; its event is not committed, and tried again", all)
            return .later(
                .init(
                    delay: Self.patience.delay(after: 3, chance: chance()), countsAttempt: false, failure: failure))
        }
        metrics.count(failure.isParked ? .parked : .deadLettered, failure.type)
        replay?.tally.failed()
        log.log(.warning, onceIn: repeats, key: "deadLettered \(failure.kind)", "event dead-lettered", fields)
        if failure.parks, !parked.park(work) {
            log.log(
                .warning, onceIn: repeats, key: "parked", "too many parked keys; the first one goes on",
                ["limit": ParkedKeys.capacity])
        }
        return .done
    }

    private func complete(_ claim: EventClaim) async {
        // The event is handled. If the store does not hear of it, a repeat that comes after the claim's expiry is
        // handled again: at least once.
        for attempt in 1...3 {
            do {
                _ = try await uncancelled { try await configuration.processedEvents?.complete(claim) }
                return
            } catch {
                metrics.claimFailures.increment()
                if attempt < 3 { try? await Task.sleep(for: .milliseconds(50 * attempt)) }
            }
        }
        log.log(.error, onceIn: repeats, key: "complete", "a handled event could not be remembered as processed", [:])
    }

    private func release(_ claim: EventClaim) async {
        do { try await uncancelled { try await configuration.processedEvents?.release(claim) } } catch {
            metrics.claimFailures.increment()
        }
    }

    /// Reports to a store also for a cancelled handler: a database's driver would throw at once, and the next owner
    /// that gets the partition would wait until the claim expires.
    private func uncancelled<R: Sendable>(_ body: @escaping @Sendable () async throws -> R) async throws -> R {
        try await Task { try await body() }.value
    }

    private func chance() -> Double { Double.random(in: 0...1) }

    private func place(of work: Work, _ own: LogFields) -> LogFields {
        var fields: LogFields = [
            "topic": work.record.topic, "partition": work.record.partition, "offset": work.record.offset,
        ]
        fields.append(own)
        return fields
    }
}

/// The failure of an attempt that took longer than ``EventConsumer/Configuration/attemptTimeout``.
public struct AttemptTimedOut: Error, CustomStringConvertible {
    init() {}

    /// A sentence.
    public var description: String { "the handler did not finish within its attempt timeout" }
}
