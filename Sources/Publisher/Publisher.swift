package import EventLoop
package import Kafka
package import SMSPortalEvents
package import Telemetry
internal import Threads

#if canImport(Glibc)
internal import Glibc
#endif

/// Hands events to Kafka and says of each, once, whether it is durable.
///
/// It lives on the event loop of the public port and is polled there: librdkafka wakes the loop through a descriptor,
/// and one wake-up brings the reports of many events. Nothing here blocks.
///
/// An event that Kafka has not acknowledged by the deadline is answered; librdkafka keeps it until its own timeout, so it
/// may still arrive, under the same id. A fatal error of the producer (librdkafka before 2.3.0 can lose its sequence
/// after a mere disconnect, its issue 3584) is ordinary: what it holds is purged and reported, and another thread
/// destroys it and makes a new one, while events are refused.
package final class Publisher {
    private enum State {
        case running
        /// After a fatal error: reports of what was purged are still to come.
        case purging(since: UInt64)
        /// Another thread makes the next producer.
        case replacing
        case stopped
    }

    private let loop: EventLoop
    private let configuration: PublisherConfiguration
    private let metrics: PublisherMetrics
    private let log: KafkaLog
    private let outcome: (_ token: UInt64, PublishOutcome) -> Void

    private var state = State.running
    private var producer: Producer?
    private var topics: [Producer.Topic] = []
    private var watch: DescriptorWatch?
    private var inFlight = InFlight()
    private var deadlines = DeadlineQueue()
    private var deadlineTimer: LoopTimer?
    private var isDeadlineTimerArmed = false
    private var retryTimer: LoopTimer?
    private var replacements: Mailbox<Result<Client, KafkaError>>?
    private let deadline: UInt64

    /// Makes the publisher on its loop's thread.
    ///
    /// - Parameters:
    ///   - client: what `makeClient` has made, on whatever thread.
    ///   - outcome: called once for every event, inside `publish` or later, with the token given there.
    package init(
        loop: EventLoop, configuration: PublisherConfiguration, client: Client, metrics: PublisherMetrics,
        logger: Logger, outcome: @escaping (_ token: UInt64, PublishOutcome) -> Void
    ) throws {
        self.loop = loop
        self.configuration = configuration
        self.metrics = metrics
        self.outcome = outcome
        log = KafkaLog(logger: logger, metrics: metrics)
        deadline = configuration.deadline.nanoseconds
        deadlineTimer = try loop.pausedTimer { [unowned self] in
            isDeadlineTimerArmed = false
            // Reports first: a loop that was held up must not call an event late whose report is already there.
            poll()
            expireDeadlines()
        }
        retryTimer = try loop.pausedTimer { [unowned self] in retry() }
        replacements = try loop.makeMailbox(of: Result<Client, KafkaError>.self) { [unowned self] batch in
            for result in batch { replaced(with: result) }
        }
        try adopt(client)
    }

    /// Makes the client for a publisher: names resolve and certificates are read, so not on an event loop.
    package static func makeClient(_ configuration: PublisherConfiguration) throws(KafkaError) -> Client {
        try Producer.makeClient(configuration.producer)
    }

    /// Events that librdkafka holds.
    package var eventsInFlight: Int { inFlight.count }

    // MARK: - The path of an event

    /// Publishes the record that `record` holds; its memory is free again on return.
    package func publish(_ record: RecordBuffer, token: UInt64) {
        let topic = record.topic.rawValue
        guard case .running = state, let producer else {
            if case .stopped = state { return refuse(topic, token, .stopping) }
            return refuse(topic, token, .replacingProducer)
        }
        let size = record.withValue { $0.count }
        guard inFlight.count < configuration.maxInFlight, inFlight.bytes + size <= configuration.maxInFlightBytes else {
            return refuse(topic, token, .inFlightLimit)
        }
        let now = loop.now
        let opaque = inFlight.insert(.init(token: token, accepted: now, bytes: size, topic: topic))
        var headers = RecordHeaders(capacity: 9)
        record.forEachHeader { headers.add($0, $1) }
        let error = record.withKey { key in
            record.withValue { value in
                producer.produce(
                    to: topics[topic], key: key, value: value, timestamp: record.timestamp, headers: &headers,
                    opaque: opaque)
            }
        }
        guard let error else {
            deadlines.append(opaque, deadline: now + deadline)
            if !isDeadlineTimerArmed { armDeadlineTimer(now) }
            return
        }
        _ = inFlight.remove(opaque)
        metrics.kafkaError(error, kind: "produce")
        refuse(topic, token, error == .queueFull ? .inFlightLimit : .failed)
        if error == .fatal { beginReplacement() }
    }

    private func refuse(_ topic: Int, _ token: UInt64, _ reason: PublishOutcome.Reason) {
        metrics.refused(topic, reason)
        outcome(token, .unavailable(reason))
    }

    private func poll() {
        guard let producer else { return }
        let isEmpty = producer.poll(reports: { report($0) }, events: { event($0) })
        // The descriptor speaks only when the queue was empty before; the loop must not sleep on a queue that is not.
        if !isEmpty { loop.soon { [weak self] in self?.poll() } }
        settleDeadlines()
        if case .purging(let since) = state { continueReplacement(since: since) }
    }

    private func report(_ report: DeliveryReport) {
        guard let event = inFlight.remove(report.opaque) else { return }
        guard let token = event.token else {
            (report.error == nil ? metrics.lateAcknowledged : metrics.lateFailed).increment()
            return
        }
        if let error = report.error {
            metrics.kafkaError(error, kind: "delivery")
            log.deliveryFailed(error, topic: event.topic)
            refuse(event.topic, token, .failed)
        } else {
            let now = loop.now
            metrics.acknowledged[event.topic].increment()
            metrics.acknowledgement.observe(nanoseconds: now &- event.accepted)
            lastAcknowledgedTopics |= 1 << UInt64(event.topic)
            outcome(token, .durable)
        }
    }

    /// Topics acknowledged since the gauges were last set: the clock is asked once a turn, not once an event.
    private var lastAcknowledgedTopics: UInt64 = 0

    /// Sets what is read rather than counted. Called once a turn of the loop at most.
    package func updateGauges() {
        metrics.inFlight.set(Double(inFlight.count))
        metrics.inFlightBytes.set(Double(inFlight.bytes))
        guard lastAcknowledgedTopics != 0 else { return }
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        let seconds = Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
        for topic in metrics.lastEvent.indices where lastAcknowledgedTopics & (1 << UInt64(topic)) != 0 {
            metrics.lastEvent[topic].set(seconds)
        }
        lastAcknowledgedTopics = 0
    }

    private func event(_ event: ProducerEvent) {
        switch event {
        case .error(let error):
            metrics.kafkaError(error.code, kind: "client")
            log.clientError(error)
            if error.isFatal { beginReplacement() }
        case .log(let level, let facility, let text): log.line(level: level, facility: facility, text: text)
        case .statistics: break
        }
    }

    // MARK: - Deadlines

    private func armDeadlineTimer(_ now: UInt64) {
        guard let first = deadlines.first else { return }
        isDeadlineTimerArmed = true
        deadlineTimer?.rearm(after: first.deadline > now ? first.deadline - now : 0)
    }

    /// Drops the entries at the head whose events have been answered, so that the queue stays as short as what waits.
    private func settleDeadlines() {
        while let first = deadlines.first, !inFlight.isWaiting(first.opaque) { deadlines.removeFirst() }
    }

    private func expireDeadlines() {
        let now = loop.now
        while let first = deadlines.first, first.deadline <= now || !inFlight.isWaiting(first.opaque) {
            deadlines.removeFirst()
            guard let topic = inFlight.topic(of: first.opaque), let token = inFlight.abandon(first.opaque) else {
                continue
            }
            refuse(topic, token, .deadline)
        }
        if deadlines.count > 0 { armDeadlineTimer(now) }
    }

    // MARK: - A fatal error

    private func adopt(_ client: Client) throws {
        let producer = try Producer(client)
        do {
            topics = try EventTopic.allCases.map { topic throws(KafkaError) in
                try producer.topic(configuration.topicName(topic))
            }
            watch = try loop.watch(descriptor: producer.wakeDescriptor) { [unowned self] in poll() }
        } catch {
            _ = producer.close()
            throw error
        }
        self.producer = producer
        state = .running
        poll()
    }

    private func beginReplacement() {
        guard case .running = state, let producer else { return }
        log.replacing(producer.fatalError)
        metrics.replacements.increment()
        state = .purging(since: loop.now)
        producer.purge()
        // The reports of what was purged come through the queue; a timer sees to it that they are not waited for for ever.
        retryTimer?.rearm(after: 10_000_000, repeating: 10_000_000)
    }

    private func continueReplacement(since: UInt64) {
        guard inFlight.count == 0 || loop.now &- since > Self.purgePatience else { return }
        retryTimer?.pause()
        for token in inFlight.removeAll() { outcome(token, .unavailable(.replacingProducer)) }
        state = .replacing
        let old = release()
        makeReplacement(after: old)
    }

    /// How long the reports of purged events are waited for, in nanoseconds.
    private static let purgePatience: UInt64 = 5_000_000_000
    /// How long after a failed attempt the next one is made, in nanoseconds.
    private static let replacementRetry: UInt64 = 1_000_000_000

    private func release() -> Client? {
        watch?.cancel()
        watch = nil
        defer { producer = nil }
        topics = []
        return producer?.close()
    }

    private func makeReplacement(after old: Client?) {
        let configuration = configuration.producer
        guard let mailbox = replacements else { return }
        do {
            _ = try NamedThread("kafka-replace") {
                old?.destroy()
                let made: Result<Client, KafkaError>
                do throws(KafkaError) { made = .success(try Producer.makeClient(configuration)) } catch {
                    made = .failure(error)
                }
                if !mailbox.post(made), case .success(let client) = made { client.destroy() }
            }
        } catch {
            log.replacementFailed(error.description)
            retryTimer?.rearm(after: Self.replacementRetry)
        }
    }

    private func replaced(with result: Result<Client, KafkaError>) {
        guard case .replacing = state else {
            if case .success(let client) = result { destroyElsewhere(client) }
            return
        }
        do {
            let client = try result.get()
            do { try adopt(client) } catch {
                destroyElsewhere(client)
                throw error
            }
            log.replaced()
        } catch {
            log.replacementFailed("\(error)")
            retryTimer?.rearm(after: Self.replacementRetry)
        }
    }

    private func retry() {
        switch state {
        case .purging(let since):
            poll()
            if case .purging = state { continueReplacement(since: since) }
        case .replacing: makeReplacement(after: nil)
        case .running, .stopped: break
        }
    }

    private func destroyElsewhere(_ client: Client) {
        // Without a thread the client is left to the process's end: the loop must not wait for librdkafka.
        _ = try? NamedThread("kafka-destroy") { client.destroy() }
    }

    // MARK: - The end

    /// Takes no more events. What is in flight goes on to its report or its deadline.
    package func stop() {
        state = .stopped
    }

    /// Lets go of the producer. What is still in flight is answered as unavailable.
    ///
    /// - Returns: the client, to be destroyed by a thread that may block.
    package func close() -> Client? {
        stop()
        for token in inFlight.removeAll() { outcome(token, .unavailable(.stopping)) }
        deadlineTimer?.cancel()
        retryTimer?.cancel()
        replacements?.close()
        replacements = nil
        return release()
    }

    /// Makes the producer fail fatally, as a test.
    package func injectFatalError() {
        producer?.injectFatalError(.outOfOrderSequence, "injected")
    }
}
