package import SMSBridgeEventLoop
package import SMSBridgeKafka
package import SMSBridgeSpool
package import SMSBridgeTelemetry
package import SMSPortalEvents

/// Makes events durable, and says of each, once, whether it is: acknowledged by Kafka, or synced in the spool.
///
/// It lives on the event loop of the public port: librdkafka and the spool wake the loop, and one wake-up brings the
/// reports of many events. Nothing here blocks. `PublisherCore` decides, `ProducerLifecycle` owns the producers, and
/// this carries the decisions out.
package final class Publisher {
    private let loop: EventLoop
    private let metrics: PublisherMetrics
    private let log: PublisherLog
    private let outcome: (_ token: UInt64, PublishOutcome) -> Void

    /// Unchecked: no method of the core calls anything outside it, so no access can meet another.
    @exclusivity(unchecked) private var core: PublisherCore
    private var lifecycle: ProducerLifecycle?
    private var spool: Spool?
    private var spoolEvents: Mailbox<[SpoolEvent]>?
    private var spoolCommands: [SpoolCommand] = []
    private var timer: LoopTimer?
    private var timerDue: UInt64?
    private var isPerforming = false
    private var isTicking = false
    private var isClosed = false
    /// For what the loop calls even when this is gone.
    private let reference = OwnerReference<Publisher>()

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
        self.metrics = metrics
        self.outcome = outcome
        log = PublisherLog(logger: logger, metrics: metrics)
        core = PublisherCore(
            topics: configuration.topicNames, quarantineQueue: EventTopic.quarantine.rawValue,
            hasSpool: configuration.spool != nil, limits: configuration.limits)
        timer = try loop.pausedTimer { [unowned self] in timerFired() }
        if let spool = configuration.spool {
            metrics.maxSpoolBytes.set(Double(configuration.limits.maxSpoolBytes))
            let mailbox = try loop.makeMailbox(of: [SpoolEvent].self) { [unowned self] batches in
                for events in batches { for event in events { handle(event) } }
                perform()
            }
            spoolEvents = mailbox
            self.spool = try Spool(spool) { mailbox.post($0) }
        }
        reference.owner = self
        loop.afterTurn { [reference] in reference.owner?.endTurn() }
        let lifecycle = try ProducerLifecycle(
            loop: loop, configuration: configuration, log: log, metrics: metrics, delegate: self)
        self.lifecycle = lifecycle
        try lifecycle.adopt(client)
    }

    deinit { reference.owner = nil }

    /// Makes the client for a publisher: names resolve and certificates are read, so not on an event loop.
    package static func makeClient(_ configuration: PublisherConfiguration) throws(KafkaError) -> Client {
        try Producer.makeClient(configuration.producer)
    }

    // MARK: - The path of an event

    /// Publishes the record that `record` holds; its memory is free again on return.
    package func publish(_ record: RecordBuffer, token: UInt64) {
        let copy = record.withParts { parts, valueCount, keyCount in
            SpoolRecord(
                lane: record.topic.rawValue, timestamp: record.timestamp, parts: parts, valueCount: valueCount,
                keyCount: keyCount)
        }
        let now = loop.now
        guard let opaque = core.acceptDirect(copy, token: token, now: now) else {
            core.accept(copy, token: token, now: now)
            return perform()
        }
        guard let error = lifecycle?.produce(copy, opaque, .shared) ?? nil else { return }
        metrics.kafkaError(error, kind: "produce")
        core.notProduced(opaque, failure: Self.failure(error), followedBy: core.actions.count, now: now)
        perform()
        if error == .fatal { lifecycle?.recreate() }
    }

    /// Does what the core has decided. An answer may bring the connection's next event along, which only adds to it.
    private func perform() {
        guard !isPerforming, !core.actions.isEmpty else { return }
        isPerforming = true
        var index = 0
        var isFatal = false
        while index < core.actions.count {
            let action = core.actions[index]
            index += 1
            switch action {
            case .produce(let opaque, let record, let way):
                guard let error = lifecycle?.produce(record, opaque, way) ?? nil else { continue }
                metrics.kafkaError(error, kind: "produce")
                isFatal = isFatal || error == .fatal
                core.notProduced(opaque, failure: Self.failure(error), followedBy: index, now: loop.now)
            case .spool(let command): spoolCommands.append(command)
            case .queueChanged(let topic, let change): log.queueChanged(topic, change)
            case .prepareIndividualProducer: lifecycle?.prepareIndividual()
            case .nothing: continue
            case .answer(let token, let topic, let accepted, let result):
                switch result {
                case .durable: metrics.durable(after: loop.now &- accepted)
                case .unavailable(let reason):
                    metrics.unavailable(topic, reason)
                    log.unavailable(topic, reason)
                }
                outcome(token, result)
            }
        }
        core.actions.removeAll(keepingCapacity: true)
        isPerforming = false
        if isFatal { lifecycle?.recreate() }
    }

    private static func failure(_ error: KafkaError.Code) -> PublisherCore.Failure {
        if error.rejectsRecord { return .record(error.description) }
        return error == .invalidTimestamp ? .timestamp : .passing
    }

    // MARK: - The spool

    private func handle(_ event: SpoolEvent) {
        let now = loop.now
        switch event {
        case .opened(let nextNumber, let totals):
            spoolFailure = nil
            core.spoolOpened(nextNumber: nextNumber, totals: totals, now: now)
            metrics.spoolOpen.set(1)
            log.spoolOpened(totals)
            spoolSettled()
        case .durable(let tokens): core.stored(tokens, now: now)
        case .rejected(let tokens, let error):
            log.spoolFailed(error)
            core.notStored(tokens, now: now)
        case .rows(let lane, let rows): core.received(rows, queue: lane, now: now)
        case .readFailed(let lane, let error):
            log.spoolFailed(error)
            core.readFailed(queue: lane, now: now)
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
        case .writesFailing(let error): log.spoolWritesFailing(error)
        case .writesRecovered: log.spoolWritesRecovered()
        case .quarantined(let file): log.setAside(file)
        case .filesRemoved(let folder):
            metrics.spoolRemovals.increment()
            log.spoolFilesRemoved(folder)
        case .filesRestored(let folder, let rows): log.spoolFilesRestored(folder, rows: rows)
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
        // The disk is slower than the callers: what does not fit into its queue is rejected now.
        var rejected: [UInt64] = []
        var others: [SpoolCommand] = []
        for command in commands {
            if case .insert(_, _, let token) = command { rejected.append(token) } else { others.append(command) }
        }
        _ = spool.submit(others)
        core.notStored(rejected, now: loop.now)
        perform()
    }

    // MARK: - Time

    private func endTurn() {
        guard !isClosed else { return }
        submitToSpool()
        // What is due is on its way already, a slice a turn.
        guard !isTicking, let next = core.nextTime(now: loop.now) else { return }
        if let timerDue, timerDue <= next { return }
        timerDue = next
        let now = loop.now
        timer?.rearm(after: next > now ? next - now : 0)
    }

    private func timerFired() {
        let now = loop.now
        let late = timerDue.map { now > $0 ? now - $0 : 0 } ?? 0
        timerDue = nil
        tick(lag: late > Self.ordinaryLag ? late : 0)
        // Timers fire before the loop sleeps, and the end of a turn comes after: what they bring about must not wait.
        endTurn()
    }

    /// Evaluates hedges and deadlines: those of a slice now, the others when the loop has served whatever else is
    /// ready.
    private func tick(lag: UInt64) {
        guard !isClosed else { return }
        // Reports first: a loop that was held up must not call an event late whose report is already there.
        lifecycle?.poll()
        isTicking = !core.tick(now: loop.now, lag: lag)
        perform()
        if isTicking { loop.soon { [self] in tick(lag: lag) } }
    }

    /// How late a timer may be on a healthy machine, in nanoseconds.
    private static let ordinaryLag: UInt64 = 10_000_000

    /// Sets what is read rather than counted. Called from time to time.
    package func updateGauges() {
        metrics.update(from: core, now: loop.now)
    }

    /// Whether the topics keep what Kafka acknowledges, where that is insisted on.
    package func set(_ gate: DurabilityGate) {
        core.set(gate, now: loop.now)
        perform()
        endTurn()
    }

    /// Whether nothing is handed to Kafka because of what its topics are, or may be.
    package var isHeldBack: Bool { core.gate != .open }

    /// Logs in as this configuration says from the next connection on, also after a fatal error.
    package func update(_ client: ClientConfiguration) throws(KafkaError) {
        try lifecycle?.update(client)
    }

    /// Recreates the producers with this configuration: events in flight are sent again.
    package func recreateProducer(with client: ClientConfiguration) {
        lifecycle?.recreate(with: client)
        endTurn()
    }

    // MARK: - State

    /// Why events that come now will not be acknowledged by Kafka, as far as the last ones tell; nil when they will.
    package var kafkaTrouble: String? {
        if lifecycle?.isRunning == true {
            return core.isKafkaFailing(now: loop.now) ? "Kafka does not acknowledge events" : nil
        }
        return "the producer is being recreated"
    }

    /// The topics whose events go to the spool.
    package var spoolingTopics: [String] {
        EventTopic.allCases.filter { !core.queues[$0.rawValue].isDirect }.map(\.suffix)
    }

    /// The topics whose events go to Kafka past a backlog in the spool, and how much of it there is.
    package var bypassingTopics: [(topic: String, rows: Int64)] {
        EventTopic.allCases.filter { core.queues[$0.rawValue].isBypassing }
            .map { ($0.suffix, core.queues[$0.rawValue].rows) }
    }

    /// Whether an event that comes now can be made durable without Kafka.
    package var hasSpoolRoom: Bool { core.hasSpoolRoom(now: loop.now) }

    /// Whether the spool answers nothing: its disk hangs.
    package var isSpoolStalled: Bool { core.isSpoolStalled(now: loop.now) }

    /// The cluster that acknowledges events; `previous` and `changed` (nanoseconds of the loop's clock) where it was
    /// another before.
    package var cluster: (current: String?, previous: String?, changed: UInt64?) {
        lifecycle?.cluster ?? (nil, nil, nil)
    }

    /// Called with the cluster's id whenever it is confirmed to be another than before, the first time included.
    package var onClusterKnown: ((String) -> Void)? {
        get { lifecycle?.onClusterKnown }
        set { lifecycle?.onClusterKnown = newValue }
    }

    /// The id that the cluster had in an earlier run.
    package func expectCluster(_ previous: String) { lifecycle?.expect(cluster: previous) }

    /// Corrupt files in the spool's folder that were moved aside.
    package var filesSetAside: Int { Int(metrics.filesSetAside.value) }

    /// Whether nothing is on its way, and nothing waits in the spool.
    package var isIdle: Bool { core.isIdle }

    /// Whether a caller waits for an answer.
    package var hasWaitingCallers: Bool { core.hasWaitingCallers }

    /// Events on their way to Kafka or to the spool.
    package var eventsInFlight: Int { core.events.count }

    /// Events that the spool holds for later.
    package var spooledEvents: Int64 { core.queues.reduce(0) { $0 + $1.rows } }

    // MARK: - The end

    /// Takes no more events. What is on its way goes on to its end, and the spool is drained as far as Kafka answers.
    package func stop() { core.stop() }

    /// Ends the publisher. Callers that still wait are answered as unavailable; what the spool has stays there.
    ///
    /// - Returns: what is to be destroyed by a thread that may block; until then the spool has its folder.
    package func close() -> RetiredResources {
        guard !isClosed else { return RetiredResources() }
        core.stop()
        core.answerAll()
        perform()
        submitToSpool()
        isClosed = true
        timer?.cancel()
        spool?.requestStop()
        spoolEvents?.close()
        defer { spool = nil }
        var retired = lifecycle?.close(keeping: core.sentRecords) ?? RetiredResources()
        lifecycle = nil
        retired.spool = spool
        return retired
    }

    /// Makes the producer fail fatally, as a test.
    ///
    /// - Returns: whether there was one that works.
    @discardableResult
    package func injectFatalError() -> Bool { lifecycle?.injectFatalError() ?? false }

    /// Starts threads, and holds work that waits for one; for tests.
    var producers: ProducerLifecycle? { lifecycle }
}

extension Publisher: ProducerDelegate {
    func delivered(_ opaque: UInt64) {
        guard let delivery = core.deliverDirect(opaque) else {
            return core.report(opaque, failure: nil, now: loop.now)
        }
        metrics.durable(after: loop.now &- delivery.accepted)
        outcome(delivery.token, .durable)
    }

    func failed(_ opaque: UInt64, _ error: KafkaError.Code) {
        if let topic = core.events.queue(of: opaque) {
            if error == .invalidTimestamp {
                log.timestampsRejected(topic, total: core.counters.timestampsRejected)
            } else if ![.purgedInQueue, .purgedInFlight, .noOffset].contains(error) {
                log.deliveryFailed(error, topic: topic)
            }
        }
        core.report(opaque, failure: Self.failure(error), now: loop.now)
    }

    func reportsEnded() { perform() }

    func producerLost() {
        core.producerLost(now: loop.now)
        perform()
    }

    func producerReady() {
        core.producerReady(now: loop.now)
        perform()
    }

    func individualProducer(isReady: Bool) {
        core.individualProducer(isReady: isReady, now: loop.now)
        perform()
    }

    func topic(of opaque: UInt64) -> Int? { core.events.queue(of: opaque) }

    func eventID(of opaque: UInt64) -> [UInt8]? {
        guard let record = core.events[opaque]?.record else { return nil }
        var id: [UInt8]?
        HeaderCoding.forEach(in: record.headers) { name, value in
            if id == nil, name.elementsEqual("ce_id".utf8) { id = value.map(Array.init) }
        }
        return id
    }

    var eventsWithoutReport: Int { core.sentCount }

    func forgetReports() -> [SpoolRecord] { core.forgetSent(now: loop.now) }
}
