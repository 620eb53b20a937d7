internal import SMSBridgeEventLoop
internal import SMSBridgeKafka
internal import SMSBridgeSpool
internal import SMSBridgeTelemetry
internal import SMSBridgeThreads
internal import SMSPortalEvents

/// What the life of the producers means to those who publish.
protocol ProducerDelegate: AnyObject {
    /// A report that can be trusted: Kafka has the event.
    func delivered(_ opaque: UInt64)
    /// A report that the event was not written, or that is no proof that it was.
    func failed(_ opaque: UInt64, _ error: KafkaError.Code)
    /// Reports have come; the answers that they bring may leave.
    func reportsEnded()
    /// Nothing can be handed over until `producerReady`; what was is purged, and its reports follow.
    func producerLost()
    func producerReady()
    func individualProducer(isReady: Bool)
    /// The topic of an event that has no report yet.
    func topic(of opaque: UInt64) -> Int?
    /// The event id of an event that has no report yet.
    func eventID(of opaque: UInt64) -> [UInt8]?
    /// Events without a report.
    var eventsWithoutReport: Int { get }
    /// No report will come any more. Returns the records that librdkafka may still read.
    func forgetReports() -> [SpoolRecord]
}

/// The producers of a publisher: made, watched, recreated after a fatal error or when the cluster is another one, retired.
///
/// There are two. The shared one is idempotent and batches; the individual one sends each record as a batch of its own, and
/// is there once a record was rejected in company. It lives on the event loop of the publisher.
final class ProducerLifecycle {
    private enum State {
        case running
        /// Reports of what was purged are still to come.
        case purging(since: UInt64)
        /// Another thread makes the next producer.
        case recreating
        case closed
    }

    /// A producer with its topics, as the loop polls it. An object, so that what uses it for a moment copies one reference.
    private final class Handle {
        let producer: Producer
        let topics: [Producer.Topic]
        let watch: DescriptorWatch
        let check: ClusterCheck?

        init(producer: Producer, topics: [Producer.Topic], watch: DescriptorWatch, check: ClusterCheck?) {
            self.producer = producer
            self.topics = topics
            self.watch = watch
            self.check = check
        }
    }

    private enum Made: Sendable {
        case shared(Result<Client, KafkaError>)
        case individual(Result<Client, KafkaError>)
        case confirmation(generation: Int, ReportTrust.Confirmation?)
        case audited(RecordAudit.Sample, RecordAudit.Finding)
    }

    private let loop: EventLoop
    private var configuration: PublisherConfiguration
    private let log: PublisherLog
    private let metrics: PublisherMetrics
    private unowned let delegate: any ProducerDelegate

    private var state = State.recreating
    private var shared: Handle?
    private var individual: Handle?
    /// Unchecked: no method of it calls anything outside it.
    @exclusivity(unchecked) private var trust = ReportTrust()
    /// Which shared producer a confirmation is about.
    private var generation = 0
    private var results: Mailbox<Made>?
    private var retryTimer: LoopTimer?
    private var confirmTimer: LoopTimer?
    private var recreationDelay: UInt64 = 0
    /// Whether the configuration has changed since the producer that is being made was begun.
    private var isOutdated = false
    private var isPollPlanned = false
    /// Reads acknowledged records back, where that is asked for.
    private var audit: RecordAudit?
    /// Partitions of which a record was read back since the last new connection.
    private var audited: Set<ReportTrust.Partition> = []
    private var auditedConnections: UInt64?
    /// Reports that wait for the first record of their partition to be read back.
    private var awaitingAudit: [ReportTrust.Partition: [ReportTrust.Report]] = [:]
    private var lastSample: UInt64 = 0
    /// Producers that have ended, until a thread has taken them.
    private(set) var retired = RetiredResources()
    /// How threads are started; tests let it fail.
    var startThread: (_ name: String, _ body: @escaping @Sendable () -> Void) throws -> Void = {
        _ = try NamedThread($0, $1)
    }

    /// The cluster that has acknowledged events last, and the one before it, if that was another.
    private(set) var cluster: (current: String?, previous: String?, changed: UInt64?) = (nil, nil, nil)
    /// Called with the id of the cluster when it is confirmed for the first time.
    var onClusterKnown: ((String) -> Void)?

    /// How long the reports of purged events are waited for, in nanoseconds.
    private static let purgeTimeout: UInt64 = 5_000_000_000
    /// How long after a failed attempt the next one is made, in nanoseconds.
    private static let firstRecreationDelay: UInt64 = 1_000_000_000
    private static let longestRecreationDelay: UInt64 = 30_000_000_000
    private static let confirmationRetry: UInt64 = 100_000_000

    init(
        loop: EventLoop, configuration: PublisherConfiguration, log: PublisherLog, metrics: PublisherMetrics,
        delegate: any ProducerDelegate
    ) throws {
        self.loop = loop
        self.configuration = configuration
        self.log = log
        self.metrics = metrics
        self.delegate = delegate
        retryTimer = try loop.pausedTimer { [unowned self] in retry() }
        confirmTimer = try loop.pausedTimer { [unowned self] in askForConfirmation() }
        let mailbox = try loop.makeMailbox(of: Made.self) { [unowned self] batch in
            for made in batch { received(made) }
        }
        results = mailbox
        if configuration.audits {
            audit = try RecordAudit(configuration.kafka) { _ = mailbox.post(.audited($0, $1)) }
        }
    }

    var isRunning: Bool { if case .running = state { true } else { false } }

    // MARK: - Producing

    /// Hands a record to librdkafka, which reads it until the report is in.
    func produce(_ record: SpoolRecord, _ opaque: UInt64, _ way: PendingEvent.Way) -> KafkaError.Code? {
        guard let handle = way == .shared ? shared : individual else { return .destroyed }
        var headers = RecordHeaders(capacity: 9)
        HeaderCoding.forEach(in: record.headers) { headers.add($0, $1) }
        return handle.producer.produce(
            to: handle.topics[record.lane], key: record.key, value: record.value,
            timestamp: way == .individualNow ? wallClockMilliseconds() : record.timestamp, headers: &headers,
            copies: false, opaque: opaque)
    }

    /// Serves what has gathered in the queues of both producers.
    func poll() {
        if let individual { poll(individual, isShared: false) }
        if let shared { poll(shared, isShared: true) }
        delegate.reportsEnded()
        if case .purging(let since) = state { continueRecreation(since: since) }
    }

    private func poll(_ handle: Handle, isShared: Bool) {
        let delegate = delegate
        let client = handle.producer.sharedClient
        let isEmpty = handle.producer.poll(
            reports: { report in
                if let error = report.error {
                    // What a recreation purges is no error of Kafka's.
                    if ![.purgedInQueue, .purgedInFlight].contains(error) {
                        metrics.kafkaError(error, kind: "delivery")
                    }
                    delegate.failed(report.opaque, error)
                } else if isShared {
                    acknowledged(report, by: client, delegate)
                } else {
                    // Without a producer id there are no duplicates that could be taken for it.
                    delegate.delivered(report.opaque)
                }
                // Answers leave as reports come; a large batch must not hold back its first ones.
                delegate.reportsEnded()
            }, events: { event($0, isShared: isShared) })
        // The descriptor speaks only when the queue was empty before; the loop must not sleep on a queue that is not.
        if !isEmpty, !isPollPlanned {
            isPollPlanned = true
            loop.soon { [self] in
                isPollPlanned = false
                // The delegate may be gone when the producers are closed.
                if case .closed = state { return }
                poll()
            }
        }
    }

    private func event(_ event: ProducerEvent, isShared: Bool) {
        switch event {
        case .error(let error):
            metrics.kafkaError(error.code, kind: "client")
            log.clientError(error)
            if error.isFatal, isShared {
                log.recreating(shared?.producer.fatalError)
                recreate()
            }
        case .log(let level, let facility, let text):
            log.line(level: level, facility: facility, text: text)
            if facility == "CLUSTERID", isShared {
                trust.metAnotherCluster()
                askForConfirmation()
            }
        case .statistics: break
        }
    }

    // MARK: - Trust

    private func acknowledged(_ report: DeliveryReport, by client: Client, _ delegate: any ProducerDelegate) {
        // An earlier report of this batch may have ended the producer: then there is nothing to trust.
        guard shared != nil, let topic = delegate.topic(of: report.opaque) else { return }
        let connections = client.connections
        let entry = ReportTrust.Report(
            opaque: report.opaque, topic: topic, partition: report.partition, offset: report.offset)
        // What was purged, or belongs to a cluster that is not used any more, is not proof.
        guard isRunning else { return delegate.failed(report.opaque, .noOffset) }
        switch trust.receive(entry, connections: connections) {
        case .trusted where audit == nil:
            // The path of nearly every event: no list is made for one report.
            recreationDelay = 0
            delegate.delivered(report.opaque)
        case .trusted: deliver([entry], connections: connections)
        case .held: askForConfirmation()
        case .logReset:
            delegate.failed(report.opaque, .noOffset)
            logReset([ReportTrust.Partition(topic: topic, partition: report.partition)])
        }
    }

    private func askForConfirmation() {
        guard isRunning, let check = shared?.check, trust.ask() else { return }
        check.ask(
            ClusterCheck.Question(
                ends: trust.acknowledgedEnds.map {
                    ($0.partition, configuration.topicNames[$0.partition.topic], $0.end)
                }))
    }

    private func confirmed(_ confirmation: ReportTrust.Confirmation?) {
        guard isRunning, let shared else { return }
        guard let confirmation else {
            trust.notConfirmed()
            confirmTimer?.rearm(after: Self.confirmationRetry)
            return
        }
        let outcome = trust.confirm(confirmation, connections: shared.producer.sharedClient.connections)
        metrics.unconfirmedReports(trust.heldCount)
        switch outcome {
        case .trusted(let reports):
            // This producer may be the first that has met the cluster: its id was given by the one that is confirmed.
            noteCluster(confirmation.clusterID)
            deliver(reports, connections: confirmation.connections)
            delegate.reportsEnded()
            askForConfirmation()
        case .clusterChanged(let previous, let current, let reports):
            clusterChanged(from: previous ?? "unknown", to: current ?? "unknown")
            fail(reports)
            recreate(keepsOffsets: false)
        case .logReset(let partitions, let reports):
            fail(reports)
            logReset(partitions)
        }
    }

    /// Reports that the cluster's id and its logs give no reason to doubt. With an audit, the first of each partition after a
    /// new connection is read back before any of them counts, and one a second is afterwards.
    private func deliver(_ reports: [ReportTrust.Report], connections: UInt64) {
        guard let audit else {
            return succeed(reports)
        }
        if auditedConnections != connections {
            auditedConnections = connections
            audited = []
        }
        var samples: [RecordAudit.Sample] = []
        for report in reports {
            let partition = ReportTrust.Partition(topic: report.topic, partition: report.partition)
            if audited.contains(partition) {
                if loop.now &- lastSample >= Self.sampleInterval, let sample = sample(report, isAwaited: false) {
                    lastSample = loop.now
                    samples.append(sample)
                }
                succeed([report])
            } else {
                if awaitingAudit[partition] == nil, let sample = sample(report, isAwaited: true) {
                    samples.append(sample)
                }
                awaitingAudit[partition, default: []].append(report)
            }
        }
        if !samples.isEmpty { audit.check(samples) }
    }

    /// The producer works: the next recreation does not wait.
    private func succeed(_ reports: [ReportTrust.Report]) {
        if !reports.isEmpty { recreationDelay = 0 }
        for report in reports { delegate.delivered(report.opaque) }
    }

    /// What these say is not proof: their events are sent again.
    private func fail(_ reports: [ReportTrust.Report]) {
        for report in reports { delegate.failed(report.opaque, .noOffset) }
    }

    /// Nanoseconds between records that are read back without anything waiting for it.
    private static let sampleInterval: UInt64 = 1_000_000_000

    private func sample(_ report: ReportTrust.Report, isAwaited: Bool) -> RecordAudit.Sample? {
        guard let id = delegate.eventID(of: report.opaque) else { return nil }
        return RecordAudit.Sample(
            topic: configuration.topicNames[report.topic], partition: report.partition, offset: report.offset,
            eventID: id, index: report.topic, isAwaited: isAwaited)
    }

    private func audited(_ sample: RecordAudit.Sample, _ finding: RecordAudit.Finding) {
        metrics.audited(finding)
        let partition = ReportTrust.Partition(topic: sample.index, partition: sample.partition)
        let reports = sample.isAwaited ? awaitingAudit.removeValue(forKey: partition) ?? [] : []
        guard isRunning else { return }
        switch finding {
        case .matches: audited.insert(partition)
        case .unreadable(let reason):
            // Not a finding about the record: what the cluster's id says must do.
            log.auditFailed(sample.topic, reason)
            audited.insert(partition)
        case .differs:
            log.auditMismatch(sample.topic, sample.partition, sample.offset)
            fail(reports)
            return recreate(keepsOffsets: false)
        }
        succeed(reports)
        delegate.reportsEnded()
    }

    private func noteCluster(_ id: String?) {
        guard let id, id != cluster.current else { return }
        if let previous = cluster.current { return clusterChanged(from: previous, to: id) }
        cluster.current = id
        onClusterKnown?(id)
    }

    private func clusterChanged(from previous: String, to current: String) {
        cluster = (current, previous, loop.now)
        metrics.clusterChanges.increment()
        log.clusterChanged(from: previous, to: current)
        onClusterKnown?(current)
    }

    /// What is remembered from an earlier run.
    func expect(cluster previous: String) {
        guard let current = cluster.current, current != previous else { return }
        clusterChanged(from: previous, to: current)
    }

    private func logReset(_ partitions: [ReportTrust.Partition]) {
        metrics.logResets.increment()
        log.logReset(partitions.map { "\(configuration.topicNames[$0.topic])[\($0.partition)]" })
        recreate(keepsOffsets: false)
    }

    // MARK: - Making and recreating

    func adopt(_ client: Client) throws {
        shared = try handle(client, isShared: true)
        state = .running
        delegate.producerReady()
        poll()
        // The cluster is known before the first report, where it answers in time.
        askForConfirmation()
    }

    private func handle(_ client: Client, isShared: Bool) throws -> Handle {
        let producer = try Producer(client)
        do {
            let topics = try configuration.topicNames.map { name throws(KafkaError) in try producer.topic(name) }
            var check: ClusterCheck?
            if isShared, let results {
                generation += 1
                check = try ClusterCheck(client, topic: configuration.topicName(.quarantine)) { [generation] in
                    _ = results.post(.confirmation(generation: generation, $0))
                }
            }
            let watch: DescriptorWatch
            do {
                watch = try loop.watch(descriptor: producer.wakeDescriptor) { [unowned self] in poll() }
            } catch {
                // Its thread blocks in no question yet.
                check?.stop()
                throw error
            }
            return Handle(producer: producer, topics: topics, watch: watch, check: check)
        } catch {
            _ = producer.close()
            throw error
        }
    }

    /// Gives up the producers and makes new ones. What they hold fails, and is sent again.
    func recreate(keepsOffsets: Bool = true) {
        guard isRunning, let shared else { return }
        metrics.recreations.increment()
        state = .purging(since: loop.now)
        delegate.producerLost()
        let unproven = trust.takeAll() + awaitingAudit.values.joined()
        awaitingAudit = [:]
        auditedConnections = nil
        fail(unproven)
        trust = ReportTrust(after: trust, keepsOffsets: keepsOffsets)
        shared.producer.purge()
        individual?.producer.purge()
        delegate.reportsEnded()
        // The reports of what was purged come through the queue; a timer bounds the wait for them.
        retryTimer?.rearm(after: 10_000_000, repeating: 10_000_000)
    }

    private func continueRecreation(since: UInt64) {
        guard delegate.eventsWithoutReport == 0 || loop.now &- since > Self.purgeTimeout else { return }
        retryTimer?.pause()
        let records = delegate.forgetReports()
        state = .recreating
        retire(records)
        // A cause that lasts (no permission to get a producer id) makes every new producer fatal at once, and each costs
        // a login: the first is recreated at once, the next ones ever later until one of them delivers something.
        if recreationDelay == 0 {
            makeShared()
        } else {
            destroyElsewhere()
            retryTimer?.rearm(after: recreationDelay)
        }
        recreationDelay = min(max(Self.firstRecreationDelay, recreationDelay * 2), Self.longestRecreationDelay)
        delegate.reportsEnded()
    }

    /// Takes new credentials; a fatal error may have to be survived with them.
    func update(_ client: ClientConfiguration) throws(KafkaError) {
        configuration.kafka = client
        try shared?.producer.sharedClient.useCredentials(of: client)
        try individual?.producer.sharedClient.useCredentials(of: client)
    }

    /// Recreates the producers with this configuration: for what a client reads only once, such as certificate files.
    func recreate(with client: ClientConfiguration) {
        configuration.kafka = client
        isOutdated = true
        recreationDelay = 0
        log.recreatingOnRequest()
        recreate()
    }

    /// Makes the producer for batches of one record, on another thread.
    func prepareIndividual() {
        guard individual == nil, let results else { return }
        let configuration = configuration.individualProducer
        do {
            try startThread("kafka-make") {
                let made = Self.make(configuration)
                if !results.post(.individual(made)), case .success(let client) = made { client.destroy() }
            }
        } catch {
            log.recreationFailed("\(error)")
            delegate.individualProducer(isReady: false)
        }
    }

    private static func make(_ configuration: ProducerConfiguration) -> Result<Client, KafkaError> {
        do throws(KafkaError) { return .success(try Producer.makeClient(configuration)) } catch {
            return .failure(error)
        }
    }

    private func makeShared() {
        let configuration = configuration.producer
        guard let results else { return }
        isOutdated = false
        do {
            let old = retired
            try startThread("kafka-make") {
                old.destroy()
                let made = Self.make(configuration)
                if !results.post(.shared(made)), case .success(let client) = made { client.destroy() }
            }
            retired = RetiredResources()
        } catch {
            log.recreationFailed("\(error)")
            retryTimer?.rearm(after: Self.firstRecreationDelay)
        }
    }

    private func received(_ made: Made) {
        switch made {
        case .confirmation(let generation, let confirmation):
            if generation == self.generation { confirmed(confirmation) }
        case .audited(let sample, let finding): audited(sample, finding)
        case .shared(let result): madeShared(result)
        case .individual(let result): madeIndividual(result)
        }
    }

    private func madeShared(_ result: Result<Client, KafkaError>) {
        guard case .recreating = state else {
            if case .success(let client) = result { retire(client) }
            return destroyElsewhere()
        }
        if isOutdated {
            if case .success(let client) = result { retire(client) }
            return makeShared()
        }
        do {
            let client = try result.get()
            // They may have changed while it was made.
            try? client.useCredentials(of: configuration.kafka)
            do { try adopt(client) } catch {
                retire(client)
                destroyElsewhere()
                throw error
            }
            log.recreated()
        } catch {
            log.recreationFailed("\(error)")
            retryTimer?.rearm(after: Self.firstRecreationDelay)
        }
    }

    private func madeIndividual(_ result: Result<Client, KafkaError>) {
        guard isRunning, individual == nil else {
            if case .success(let client) = result { retire(client) }
            destroyElsewhere()
            if individual == nil { delegate.individualProducer(isReady: false) }
            return
        }
        do {
            let client = try result.get()
            do { individual = try handle(client, isShared: false) } catch {
                retire(client)
                destroyElsewhere()
                throw error
            }
            delegate.individualProducer(isReady: true)
        } catch {
            log.recreationFailed("\(error)")
            delegate.individualProducer(isReady: false)
        }
    }

    private func retry() {
        switch state {
        case .purging(let since):
            poll()
            if case .purging = state { continueRecreation(since: since) }
        case .recreating: makeShared()
        case .running, .closed: break
        }
    }

    // MARK: - The end

    private func retire(_ records: [SpoolRecord]) {
        for handle in [individual, shared] {
            guard let handle else { continue }
            handle.watch.cancel()
            retired.producers.append(
                RetiredResources.Retired(client: handle.producer.close(), check: handle.check, records: records))
        }
        individual = nil
        shared = nil
    }

    private func retire(_ client: Client) {
        retired.producers.append(RetiredResources.Retired(client: client, check: nil, records: []))
    }

    private func destroyElsewhere() {
        let old = retired
        guard !old.producers.isEmpty else { return }
        // Without a thread it is left to the next one, or to the end: the loop must not wait for librdkafka, and librdkafka
        // may touch the records as long as it lives.
        guard (try? startThread("kafka-destroy") { old.destroy() }) != nil else { return }
        retired = RetiredResources()
    }

    /// - Parameter records: what librdkafka may still read.
    /// - Returns: what is to be destroyed by a thread that may block.
    func close(keeping records: [SpoolRecord]) -> RetiredResources {
        state = .closed
        retryTimer?.cancel()
        confirmTimer?.cancel()
        results?.close()
        results = nil
        retire(records)
        retired.audit = audit
        defer { retired = RetiredResources() }
        return retired
    }

    /// Makes the producer fail fatally, as a test.
    func injectFatalError() -> Bool {
        guard isRunning, let shared else { return false }
        shared.producer.injectFatalError(.outOfOrderSequence, "injected")
        return true
    }
}
