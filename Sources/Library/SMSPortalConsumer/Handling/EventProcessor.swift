internal import SMSBridgeKafka
internal import SMSBridgeTelemetry
internal import SMSPortalEvents

/// Processes one record: decodes, claims and handles it, and retries or dead-letters a failure.
struct EventProcessor: WorkProcessor {
    private let configuration: EventConsumer.Configuration
    private let handlers: EventHandlers
    private let deadLetters: DeadLetterQueue?
    private let metrics: ConsumerMetrics
    private let control: ConsumerControl
    private let replay: ReplayTask?
    private let readers = EventReaders()
    private let parked = ParkedKeys()
    private let log: Logger
    private let repeats = RepeatGuard()

    /// How long an event waits for a store of processed events that does not answer, or for Kafka to take a dead
    /// letter.
    private static let patience = RetryBackoff(initial: .milliseconds(500), maximum: .seconds(15))
    /// How often it is checked whether another consumer has completed an event.
    private static let claimPoll: Duration = .seconds(1)

    init(
        _ configuration: EventConsumer.Configuration, handlers: EventHandlers, deadLetters: DeadLetterQueue?,
        metrics: ConsumerMetrics, control: ConsumerControl, replay: ReplayTask? = nil
    ) {
        self.configuration = configuration
        self.handlers = handlers
        self.deadLetters = deadLetters
        self.metrics = metrics
        self.control = control
        self.replay = replay
        log = Logger(label: "consumer", sink: configuration.log.sink)
    }

    nonisolated(nonsending) func process(_ work: Work) async -> WorkResult {
        if let failure = work.failure { return await bury(work, failure) }
        guard !work.record.isTombstone else {
            // There is no event to handle, and compaction will remove the record.
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
        guard let handler = handlers.handler(of: event) else {
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
            event.envelope, work.record, group: configuration.group, attempt: work.attempt, replayName: replayName,
            log: configuration.log.sink)
        guard let store = configuration.processedEvents else {
            return await handle(work, event, context, handler, claim: nil)
        }
        do {
            let key = EventClaimKey(
                group: configuration.group, run: replayName ?? EventClaimKey.live, eventID: Self.claimedID(of: event))
            switch try await store.claim(key, expiry: configuration.claimExpiry) {
            case .claimed(let claim): return await handle(work, event, context, handler, claim: claim)
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
        _ work: Work, _ event: Event, _ context: EventContext, _ handler: EventHandlers.Handler, claim: EventClaim?
    ) async -> WorkResult {
        let type = event.type
        if work.attempt > 1 { metrics.retried(type) }
        let began = monotonicNow()
        do {
            try await handler(event, context)
        } catch {
            metrics.handled(type, nanoseconds: monotonicNow() - began)
            if let claim { await release(claim) }
            // What fails because it was cancelled has not failed.
            if Task.isCancelled || error is DeliveryAbandoned { return .abandoned }
            metrics.failed(type)
            return await failed(work, event, error)
        }
        metrics.handled(type, nanoseconds: monotonicNow() - began)
        metrics.aged(type, milliseconds: wallClockMilliseconds() - event.receivedAt.millisecondsSinceEpoch)
        metrics.count(.handled, type)
        replay?.tally.handled()
        if let claim { await complete(claim) }
        return .done
    }

    private func failed(_ work: Work, _ event: Event, _ error: any Error) async -> WorkResult {
        let policy = configuration.failureForError?(error) ?? configuration.failure
        let kind = Failure.kind(of: error)
        if work.attempt < policy.maxAttempts {
            let delay = policy.backoff.delay(after: work.attempt, chance: chance())
            log.log(
                .warning, onceIn: repeats, key: "failed \(event.type) \(kind)", "handler failed, retry scheduled",
                place(
                    of: work,
                    [
                        "type": event.type.rawValue, "event": event.id, "error": kind, "attempt": work.attempt,
                        "maxAttempts": policy.maxAttempts, "delay": delay,
                    ]))
            return .later(.init(delay: delay))
        }
        let failure = Failure(
            type: event.type, kind: kind, message: "\(error)", attempts: work.attempt, parks: policy.finally == .park,
            eventID: event.id)
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
