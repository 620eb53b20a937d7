package import SMSBridgeEventLoop
package import SMSBridgeKafka
package import SMSBridgeSpool
package import SMSBridgeTelemetry
internal import SMSBridgeThreads
package import SMSPortalEvents

#if canImport(Glibc)
internal import Glibc
#endif

/// Makes events durable, and says of each, once, whether it is: acknowledged by Kafka, or synced in the spool.
///
/// It lives on the event loop of the public port: librdkafka and the spool wake the loop, and one wake-up brings the
/// reports of many events. Nothing here blocks. What is decided is decided by `PublisherCore`; this carries it out.
///
/// A fatal error of the producer (librdkafka before 2.3.0 can lose its sequence after a mere disconnect, its issue 3584)
/// is ordinary: what it holds is purged and reported, and another thread destroys it and makes a new one.
package final class Publisher {
    private enum State {
        case running
        /// After a fatal error: reports of what was purged are still to come.
        case purging(since: UInt64)
        /// Another thread makes the next producer.
        case replacing
    }

    private let loop: EventLoop
    private var configuration: PublisherConfiguration
    private let metrics: PublisherMetrics
    private let log: KafkaLog
    private let outcome: (_ token: UInt64, PublishOutcome) -> Void

    private var core: PublisherCore
    private var state = State.running
    private var producer: Producer?
    private var topics: [Producer.Topic] = []
    private var watch: DescriptorWatch?
    private var spool: Spool?
    private var spoolEvents: Mailbox<[SpoolEvent]>?
    private var spoolCommands: [SpoolCommand] = []
    private var timer: LoopTimer?
    private var timerDue: UInt64?
    private var retryTimer: LoopTimer?
    private var replacements: Mailbox<Result<Client, KafkaError>>?
    private var replacementDelay: UInt64 = 0
    /// Whether the configuration has changed since the producer that is being made was begun.
    private var isReplacementOutdated = false
    /// Producers that have ended, until a thread has taken them.
    private(set) var remains: [Remains] = []
    /// How threads are started; tests let it fail.
    var startThread: (_ name: String, _ body: @escaping @Sendable () -> Void) throws -> Void = {
        _ = try NamedThread($0, $1)
    }
    private var headerBytes: [UInt8] = []
    private var isPerforming = false
    private var isPollPlanned = false
    private var isJudging = false
    private var isClosed = false

    /// Why the spool's file is not open; nil when it is, before it has been tried, and without a spool.
    package private(set) var spoolFailure: SpoolError?

    /// Called once the spool's file is open, or cannot be opened for now.
    package var onSpoolSettled: (() -> Void)?

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
        core = PublisherCore(
            topics: EventTopic.allCases.map(configuration.topicName), quarantineLane: EventTopic.quarantine.rawValue,
            hasSpool: configuration.spool != nil, limits: configuration.limits)
        timer = try loop.pausedTimer { [unowned self] in timerFired() }
        retryTimer = try loop.pausedTimer { [unowned self] in retry() }
        replacements = try loop.makeMailbox(of: Result<Client, KafkaError>.self) { [unowned self] batch in
            for result in batch { replaced(with: result) }
        }
        if let spool = configuration.spool {
            metrics.maxSpoolBytes.set(Double(configuration.limits.maxSpoolBytes))
            let mailbox = try loop.makeMailbox(of: [SpoolEvent].self) { [unowned self] batches in
                for events in batches { for event in events { told(event) } }
                perform()
            }
            spoolEvents = mailbox
            self.spool = try Spool(spool) { mailbox.post($0) }
        }
        loop.afterTurn { [weak self] in self?.endTurn() }
        try adopt(client)
    }

    /// Makes the client for a publisher: names resolve and certificates are read, so not on an event loop.
    package static func makeClient(_ configuration: PublisherConfiguration) throws(KafkaError) -> Client {
        try Producer.makeClient(configuration.producer)
    }

    // MARK: - The path of an event

    /// Publishes the record that `record` holds; its memory is free again on return.
    package func publish(_ record: RecordBuffer, token: UInt64) {
        headerBytes.removeAll(keepingCapacity: true)
        record.forEachHeader { HeaderCoding.append($0, $1, to: &headerBytes) }
        let copy = record.withKey { key in
            record.withValue { value in
                headerBytes.withUnsafeBytes { headers in
                    SpoolRecord(
                        lane: record.topic.rawValue, timestamp: record.timestamp, key: key, value: value,
                        headers: headers)
                }
            }
        }
        core.accept(copy, token: token, now: loop.now)
        perform()
    }

    /// Does what the core has decided. An answer may bring the connection's next event along, which only adds to it.
    private func perform() {
        guard !isPerforming else { return }
        isPerforming = true
        var index = 0
        var isFatal = false
        while index < core.actions.count {
            let action = core.actions[index]
            index += 1
            switch action {
            case .produce(let opaque, let record):
                guard let error = produce(record, opaque) else { continue }
                metrics.kafkaError(error, kind: "produce")
                isFatal = isFatal || error == .fatal
                core.refused(
                    opaque, failure: Self.failure(error), followedBy: index, now: loop.now)
            case .spool(let command): spoolCommands.append(command)
            case .laneChanged(let lane, let isOpen): log.laneChanged(lane, isOpen: isOpen)
            case .nothing: continue
            case .answer(let token, let lane, let accepted, let result):
                switch result {
                case .durable: metrics.durable(lane, after: loop.now &- accepted)
                case .unavailable(let reason):
                    metrics.refused(lane, reason)
                    log.unavailable(lane, reason)
                }
                outcome(token, result)
            }
        }
        core.actions.removeAll(keepingCapacity: true)
        isPerforming = false
        if isFatal { beginReplacement() }
    }

    private static func failure(_ error: KafkaError.Code) -> PublisherCore.Failure {
        error.refusesRecord ? .record(error.description) : .passing
    }

    /// The record's memory is librdkafka's to read until the report is in; the core keeps it so long.
    private func produce(_ record: SpoolRecord, _ opaque: UInt64) -> KafkaError.Code? {
        guard let producer else { return .destroyed }
        var headers = RecordHeaders(capacity: 9)
        HeaderCoding.forEach(in: record.headers) { headers.add($0, $1) }
        return producer.produce(
            to: topics[record.lane], key: record.key, value: record.value, timestamp: record.timestamp,
            headers: &headers, copies: false, opaque: opaque)
    }

    private func poll() {
        guard let producer else { return }
        let now = loop.now
        let isEmpty = producer.poll(
            reports: { report in
                if let error = report.error {
                    metrics.kafkaError(error, kind: "delivery")
                    if let lane = core.events[report.opaque]?.lane { log.deliveryFailed(error, topic: lane) }
                    core.report(report.opaque, failure: Self.failure(error), now: now)
                } else {
                    replacementDelay = 0
                    core.report(report.opaque, failure: nil, now: now)
                }
                // Answers leave as reports come; a large batch must not hold back its first ones.
                perform()
            }, events: { event($0) })
        // The descriptor speaks only when the queue was empty before; the loop must not sleep on a queue that is not.
        if !isEmpty, !isPollPlanned {
            isPollPlanned = true
            loop.soon { [weak self] in
                self?.isPollPlanned = false
                self?.poll()
            }
        }
        perform()
        if case .purging(let since) = state { continueReplacement(since: since) }
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

    // MARK: - The spool

    private func told(_ event: SpoolEvent) {
        let now = loop.now
        switch event {
        case .opened(let nextNumber, let totals):
            spoolFailure = nil
            core.spoolOpened(nextNumber: nextNumber, totals: totals, now: now)
            metrics.spoolOpen.set(1)
            log.spoolOpened(totals)
            spoolSettled()
        case .durable(let tokens): core.stored(tokens)
        case .rejected(let tokens, let error):
            log.spoolFailed(error)
            core.notStored(tokens, now: now)
        case .rows(let lane, let rows): core.received(rows, lane: lane, now: now)
        case .readFailed(let lane, let error):
            log.spoolFailed(error)
            core.readFailed(lane: lane, now: now)
        case .totals(let totals, let oldest, let parked, let disk):
            core.spoolHolds(totals, now: now)
            core.isSpoolDiskFull = !disk.hasRoom
            metrics.spool(totals, oldest: oldest, parked: parked, disk: disk)
        case .failed(let error):
            spoolFailure = error
            core.spoolFailed()
            metrics.spoolOpen.set(0)
            log.spoolFailed(error)
            spoolSettled()
        case .setAside(let file): log.setAside(file)
        case .inContainerLayer(let path): log.inContainerLayer(path)
        case .notInspectable(let error): log.notInspectable(error)
        }
        perform()
    }

    private func spoolSettled() {
        onSpoolSettled?()
        onSpoolSettled = nil
    }

    /// Gives the spool what has gathered in this turn: one batch, one sync.
    private func submitToSpool() {
        guard !spoolCommands.isEmpty, let spool else { return }
        let commands = spoolCommands
        spoolCommands.removeAll(keepingCapacity: true)
        guard !spool.submit(commands) else { return }
        // The disk is slower than the callers: what cannot wait in its queue is refused now.
        var refused: [UInt64] = []
        var others: [SpoolCommand] = []
        for command in commands {
            if case .insert(_, _, let token) = command { refused.append(token) } else { others.append(command) }
        }
        _ = spool.submit(others)
        core.notStored(refused, now: loop.now)
        perform()
    }

    // MARK: - Time

    private func endTurn() {
        guard !isClosed else { return }
        submitToSpool()
        // What is due is on its way already, a slice a turn.
        guard !isJudging, let next = core.nextTime(now: loop.now) else { return }
        if let timerDue, timerDue <= next { return }
        timerDue = next
        let now = loop.now
        timer?.rearm(after: next > now ? next - now : 0)
    }

    private func timerFired() {
        let now = loop.now
        let late = timerDue.map { now > $0 ? now - $0 : 0 } ?? 0
        timerDue = nil
        judge(lag: late > Self.ordinaryLag ? late : 0)
        // Timers fire before the loop sleeps, and the end of a turn comes after: what they bring about must not wait.
        endTurn()
    }

    /// Judges hedges and deadlines: those of a slice now, the others when the loop has served whatever else is ready.
    private func judge(lag: UInt64) {
        guard !isClosed else { return }
        // Reports first: a loop that was held up must not call an event late whose report is already there.
        poll()
        isJudging = !core.tick(now: loop.now, lag: lag)
        perform()
        if isJudging { loop.soon { [weak self] in self?.judge(lag: lag) } }
    }

    /// How late a timer may be on a healthy machine, in nanoseconds.
    private static let ordinaryLag: UInt64 = 10_000_000

    /// Sets what is read rather than counted. Called from time to time.
    package func updateGauges() {
        metrics.update(from: core, now: loop.now)
    }

    /// Says whether the topics keep what Kafka acknowledges, where that is insisted on.
    package func set(_ gate: DurabilityGate) {
        core.set(gate, now: loop.now)
        perform()
        endTurn()
    }

    /// Whether nothing is handed to Kafka because of what its topics are, or may be.
    package var isHeldBack: Bool { core.gate != .open }

    /// Logs in as this configuration says from the next connection on, also after a fatal error.
    package func update(_ client: ClientConfiguration) throws(KafkaError) {
        configuration.kafka = client
        try producer?.sharedClient.useCredentials(of: client)
    }

    // MARK: - What others ask

    /// Why events that come now will not be acknowledged by Kafka, as far as the last ones tell; nil when they will.
    package var kafkaTrouble: String? {
        if case .running = state {
            return core.isKafkaRefusing(now: loop.now) ? "Kafka does not acknowledge events" : nil
        }
        return "the producer is being replaced after a fatal error"
    }

    /// The topics whose events go to the spool.
    package var closedTopics: [String] {
        EventTopic.allCases.filter { !core.lanes[$0.rawValue].isOpen }.map(\.suffix)
    }

    /// Whether an event that comes now can be made durable without Kafka.
    package var hasSpoolRoom: Bool { core.hasSpoolRoom(now: loop.now) }

    /// Damaged files in the spool's folder that wait for a person.
    package var filesSetAside: Int { Int(metrics.filesSetAside.value) }

    /// Whether nothing is on its way, and nothing waits in the spool.
    package var isIdle: Bool { core.isIdle }

    /// Whether a caller waits for an answer.
    package var hasWaitingCallers: Bool { core.hasWaitingCallers }

    /// Events on their way to Kafka or to the spool.
    package var eventsInFlight: Int { core.events.count }

    /// Events that the spool holds for later.
    package var spooledEvents: Int64 { core.lanes.reduce(0) { $0 + $1.rows } }

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
        core.producerReady(now: loop.now)
        perform()
        poll()
    }

    /// Recreates the producer from this configuration: for what a client reads only once, such as certificate files.
    package func recreateProducer(with client: ClientConfiguration) {
        configuration.kafka = client
        isReplacementOutdated = true
        replacementDelay = 0
        beginReplacement(isPlanned: true)
    }

    private func beginReplacement(isPlanned: Bool = false) {
        guard case .running = state, let producer else { return }
        if isPlanned { log.recreating() } else { log.replacing(producer.fatalError) }
        metrics.replacements.increment()
        state = .purging(since: loop.now)
        core.producerLost(now: loop.now)
        producer.purge()
        perform()
        // The reports of what was purged come through the queue; a timer sees to it that they are not waited for for ever.
        retryTimer?.rearm(after: 10_000_000, repeating: 10_000_000)
    }

    private func continueReplacement(since: UInt64) {
        guard core.sentCount == 0 || loop.now &- since > Self.purgePatience else { return }
        retryTimer?.pause()
        let records = core.forgetSent(now: loop.now)
        state = .replacing
        remains.append(Remains(client: release(), records: records))
        // A cause that lasts (no permission to get a producer id) makes every new producer fatal at once, and each costs
        // a login: the first is replaced at once, the next ones ever later until one of them delivers something.
        if replacementDelay == 0 {
            makeReplacement()
        } else {
            destroyElsewhere()
            retryTimer?.rearm(after: replacementDelay)
        }
        replacementDelay = min(max(Self.replacementRetry, replacementDelay * 2), Self.longestReplacementDelay)
        perform()
    }

    /// How long the reports of purged events are waited for, in nanoseconds.
    private static let purgePatience: UInt64 = 5_000_000_000
    /// How long after a failed attempt the next one is made, in nanoseconds.
    private static let replacementRetry: UInt64 = 1_000_000_000
    private static let longestReplacementDelay: UInt64 = 30_000_000_000

    /// What ends in its own time: a producer's client with the records that it may touch until then, and a spool that
    /// writes what it was given.
    package struct Remains: Sendable {
        fileprivate let client: Client?
        fileprivate let records: [SpoolRecord]
        fileprivate var spool: Spool?
        /// Of producers before, which no thread could be had for.
        fileprivate var others: [Remains] = []

        /// Waits for the spool's end. Blocks, for ever where its disk does not answer, so not on an event loop.
        package func endSpool() { spool?.stop() }

        /// Whether the spool's file is closed.
        package var hasSpoolEnded: Bool { spool?.hasEnded ?? true }

        /// Ends all of it. Blocks, so not on an event loop.
        package func destroy() {
            endSpool()
            withExtendedLifetime(records) { client?.destroy() }
            for other in others { other.destroy() }
        }
    }

    private func release() -> Client? {
        watch?.cancel()
        watch = nil
        defer { producer = nil }
        topics = []
        return producer?.close()
    }

    private func makeReplacement() {
        let configuration = configuration.producer
        guard let mailbox = replacements else { return }
        isReplacementOutdated = false
        do {
            let old = remains
            try startThread("kafka-replace") {
                for remains in old { remains.destroy() }
                let made: Result<Client, KafkaError>
                do throws(KafkaError) { made = .success(try Producer.makeClient(configuration)) } catch {
                    made = .failure(error)
                }
                if !mailbox.post(made), case .success(let client) = made { client.destroy() }
            }
            remains = []
        } catch {
            log.replacementFailed("\(error)")
            retryTimer?.rearm(after: Self.replacementRetry)
        }
    }

    private func replaced(with result: Result<Client, KafkaError>) {
        guard case .replacing = state else {
            if case .success(let client) = result { remains.append(Remains(client: client, records: [])) }
            return destroyElsewhere()
        }
        if isReplacementOutdated {
            if case .success(let client) = result { remains.append(Remains(client: client, records: [])) }
            return makeReplacement()
        }
        do {
            let client = try result.get()
            // They may have changed while it was made.
            try? client.useCredentials(of: configuration.kafka)
            do { try adopt(client) } catch {
                remains.append(Remains(client: client, records: []))
                destroyElsewhere()
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
        case .replacing: makeReplacement()
        case .running: break
        }
        endTurn()
    }

    private func destroyElsewhere() {
        let old = remains
        guard !old.isEmpty else { return }
        // Without a thread it is left to the next one, or to the end: the loop must not wait for librdkafka, and librdkafka
        // may touch the records as long as it lives.
        guard (try? startThread("kafka-destroy") { for remains in old { remains.destroy() } }) != nil else { return }
        remains = []
    }

    // MARK: - The end

    /// Takes no more events. What is on its way goes on to its end, and the spool is drained as far as Kafka answers.
    package func stop() { core.stop() }

    /// Lets go of everything. Callers that still wait are answered as unavailable; what the spool has stays there.
    ///
    /// - Returns: what is to be destroyed by a thread that may block; until then the spool has its folder.
    package func close() -> Remains {
        guard !isClosed else { return Remains(client: nil, records: []) }
        core.stop()
        core.answerAll()
        perform()
        submitToSpool()
        isClosed = true
        timer?.cancel()
        retryTimer?.cancel()
        replacements?.close()
        replacements = nil
        spool?.requestStop()
        spoolEvents?.close()
        defer { spool = nil }
        return Remains(client: release(), records: core.sentRecords, spool: spool, others: remains)
    }

    /// Makes the producer fail fatally, as a test.
    ///
    /// - Returns: whether there was one that works.
    @discardableResult
    package func injectFatalError() -> Bool {
        guard case .running = state, let producer else { return false }
        producer.injectFatalError(.outOfOrderSequence, "injected")
        return true
    }
}
