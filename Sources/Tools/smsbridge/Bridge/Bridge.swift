import SMSBridgeEventLoop
import SMSBridgeHTTPServer
import SMSBridgeIngress
import SMSBridgeKafka
import SMSBridgeOperations
import SMSBridgePublisher
import SMSBridgeSettings
import SMSBridgeSpool
import SMSBridgeTelemetry
import SMSBridgeThreads
import SMSPortalEvents
import Synchronization

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// A running bridge: the path of an event put together, from its socket to its topic.
///
/// `run` blocks: the calling thread becomes the public loop's. Around it live librdkafka's own threads, the loop of the
/// private port, and the thread that asks Kafka whether it is there.
final class Bridge {
    /// Where the bridge is reached once it serves, and how another thread ends it.
    struct Running: Sendable {
        let port: UInt16
        let adminPort: UInt16
        private let signals: Mailbox<Void>

        fileprivate init(port: UInt16, adminPort: UInt16, signals: Mailbox<Void>) {
            self.port = port
            self.adminPort = adminPort
            self.signals = signals
        }

        /// As SIGTERM does.
        func stop() { signals.post(()) }
    }

    private let settings: BridgeSettings
    private let logger: Logger
    private let registry: MetricRegistry
    private let preparesTopics: Bool
    private let reloadsOnHangup: Bool
    private let notifier: ServiceNotifier?

    // Made by `run`, in the order of the path, on the loop's thread.
    private var loop: EventLoop!
    private var publisher: Publisher!
    private var ingress: Ingress!
    private var server: HTTPServer!
    private let readiness = ServiceReadiness()
    private var monitor: KafkaMonitor?
    private var topics: BackgroundTask?
    private var secrets: SecretWatch?
    private var secretChanges: Mailbox<SecretChange>?
    private var certificates: CertificateWatch?
    private var kafkaCertificates: KafkaCertificateWatch?
    /// What the clients of Kafka were last made from, with the credentials that they use now.
    private var kafkaClient: ClientConfiguration
    private var operations: OperationsServer?
    private var isListening = false
    /// Whether a reload was requested before the files were watched.
    private var isReloadPending = false
    private var shutdown = Shutdown.serving
    /// When the process is to have ended; nil before anyone has asked for its end.
    private var endsBy: ContinuousClock.Instant?

    /// Whether threads of librdkafka's were still at work when `run` returned or threw: the process is then to end
    /// without its exit handlers, which take away what those threads use.
    private(set) var leavesThreads = false

    /// What the thread that watches the files of secrets tells, in order.
    private enum SecretChange: Sendable {
        /// The settings with the secrets that are to be used.
        case settings(BridgeSettings)
        /// A requested reload has read the secrets.
        case reloaded(ReloadResult, Reload)
    }

    private enum Shutdown {
        case serving
        /// Not ready any more, and serving all the same until balancers have seen it.
        case announced
        /// No new connections are accepted; requests in flight are answered.
        case finishing
        /// Everything is being taken down.
        case ended
    }

    /// - Parameter preparesTopics: whether the topics are looked at, and made, before the bridge serves; a mock cluster
    ///   can do neither.
    /// - Parameter reloadsOnHangup: whether SIGHUP reloads files, as in a service; else it has its own effect.
    /// - Parameter notifier: tells the service manager how the bridge is.
    init(
        _ settings: BridgeSettings, logger: Logger, registry: MetricRegistry, preparesTopics: Bool = true,
        reloadsOnHangup: Bool = false, notifier: ServiceNotifier? = nil
    ) {
        self.settings = settings
        self.logger = logger
        self.registry = registry
        self.preparesTopics = preparesTopics
        self.reloadsOnHangup = reloadsOnHangup
        self.notifier = notifier
        kafkaClient = settings.kafkaClient
    }

    /// Serves until SIGTERM, SIGINT or `Running.stop()`.
    ///
    /// - Parameter onRunning: called once, on this thread, when callbacks are taken.
    /// - Throws: whatever keeps the bridge from serving, fit to be shown as it is.
    func run(onRunning: (Running) -> Void = { _ in }) throws {
        let configuration = settings.publisher
        var said: Set<String>?
        let topicWatch = preparesTopics ? TopicWatch(settings, logger: logger, registry: registry) : nil
        // The producer connects and gets its id from the cluster while the topics are looked at.
        let client = try Publisher.makeClient(configuration)
        do {
            // With a spool nothing waits for Kafka; without one there is no use in serving before it answers.
            if settings.spool.none { said = try topicWatch?.prepare() }
            loop = try EventLoop()
            publisher = try Publisher(
                loop: loop, configuration: configuration, client: client, metrics: PublisherMetrics(registry),
                logger: logger.labelled("publisher")
            ) { [unowned self] token, outcome in ingress.published(token, outcome) }
        } catch {
            client.destroy()
            throw error
        }
        defer { tearDown() }
        let answers = try loop.makeMailbox(of: Void.self) { [unowned self] _ in updateReadiness() }
        monitor = try KafkaMonitor(
            settings.kafkaClient, topic: configuration.topicName(.quarantine), registry: registry,
            logger: logger.labelled("kafka"), onChange: { _ = answers.post(()) })
        ingress = Ingress(
            configuration: settings.ingress, decoder: try CallbackDecoder(settings.decoder),
            metrics: IngressMetrics(registry), logger: logger.labelled("http"),
            isReady: { [readiness] in readiness.isReady },
            publish: { [unowned self] in publisher.publish($0, token: $1) },
            respond: { [unowned self] in server.respond(to: $0, with: $1) },
            requestID: { [unowned self] in server.requestID(of: $0) })
        let budget = shareOutDescriptors()
        var httpConfiguration = settings.httpServer
        httpConfiguration.maxConnections = budget.publicConnections
        httpConfiguration.maxSurplusConnections = budget.surplusConnections
        server = HTTPServer(loop: loop, configuration: httpConfiguration, handler: ingress)
        certificates = try CertificateWatch.start(
            settings, server: server, loop: loop, logger: logger, registry: registry,
            alert: { [readiness] in readiness.alert("tls", $0) })

        let heartbeat = Heartbeat(now: loop.now)
        try heartbeat.follow(loop)
        var operationsConfiguration = settings.operations
        operationsConfiguration.maxConnections = budget.privateConnections
        let operations = OperationsServer(
            configuration: operationsConfiguration, registry: registry, readiness: readiness, heartbeat: heartbeat)
        let adminPort = try operations.start()
        self.operations = operations
        warn(of: operations.skippedAddresses, setting: "admin.host")

        let signals = try loop.makeMailbox(of: Void.self) { [unowned self] _ in stopRequested() }
        for signal in [SIGTERM, SIGINT] { _ = try loop.onSignal(signal) { [unowned self] in stopRequested() } }
        if reloadsOnHangup { _ = try loop.onSignal(SIGHUP) { [unowned self] in reload() } }

        guard try openSpool() else { return }
        if let topicWatch { topics = try watchTopics(topicWatch, after: said) }
        try watchKafkaCertificates(topicWatch)
        try watchSecrets(topicWatch)
        let port = try server.listen()
        warn(of: server.skippedAddresses, setting: "http.host")
        isListening = true
        if isReloadPending { reload() }
        let httpMetrics = HTTPMetrics(registry)
        let repeats = RepeatGuard(interval: .seconds(10))
        let clock = ClockWatch(registry, logger: logger)
        rememberCluster(topicWatch)
        var acceptPauses: UInt64 = 0
        _ = try loop.timer(after: 0, repeating: 1_000_000_000) { [unowned self] in
            httpMetrics.update(from: server)
            if server.counters.acceptPauses > acceptPauses {
                acceptPauses = server.counters.acceptPauses
                logger.log(
                    .warning, onceIn: repeats, key: "accept",
                    "no file descriptors left, accepting paused: raise LimitNOFILE= (systemd) or ulimit -n",
                    ["limit": DescriptorBudget.limit, "connections": server.openConnections])
            }
            publisher.updateGauges()
            ingress.logRejections()
            readiness.alert("clock", clock.look())
            if !publisher.spoolingTopics.isEmpty { topicWatch?.lookSoon() }
            updateReadiness()
            notifier?.show(readiness.summary)
        }
        readiness.set("starting", unmet: nil)
        try notify()
        logger.info(
            "serving",
            ["address": "\(settings.http.host):\(port)", "admin": "\(settings.admin.host):\(adminPort)"])
        onRunning(Running(port: port, adminPort: adminPort, signals: signals))
        loop.run()
    }

    /// Signs of life come from this loop: one that hangs is silent, and the service manager ends it.
    private func notify() throws {
        guard let notifier else { return }
        notifier.ready()
        let interval = (notifier.watchdogInterval ?? .seconds(1)).nanoseconds
        _ = try loop.timer(after: interval, repeating: interval) { notifier.tick() }
    }

    private func warn(of addresses: [SkippedAddress], setting: String) {
        for address in addresses {
            logger.warning(
                "address skipped: not available on this machine",
                ["setting": setting, "address": address.address, "reason": address.reason])
        }
    }

    /// Connections get what librdkafka and the spool can spare.
    private func shareOutDescriptors() -> DescriptorBudget {
        let wanted = settings.http.maxConnections
        let limit = DescriptorBudget.limit
        let budget = DescriptorBudget(limit: limit, wanted: wanted)
        if budget.publicConnections < wanted {
            logger.warning(
                "http.maxConnections reduced to the limit of file descriptors: "
                    + "raise LimitNOFILE= (systemd) or ulimit -n, or lower http.maxConnections",
                ["configured": wanted, "effective": budget.publicConnections, "limit": limit])
        }
        return budget
    }

    /// Lets the loop turn until the spool's file is open, or cannot be opened for now: what it holds goes first. A disk
    /// may take its time, so the private port and signals are served already.
    ///
    /// - Returns: Whether to go on; false when a shutdown was requested.
    /// - Throws: Permanent failures: an unsuitable file system, a file of another version.
    private func openSpool() throws -> Bool {
        guard !settings.spool.none else { return true }
        readiness.set("starting", unmet: "the spool is being opened")
        publisher.onSpoolSettled = { [unowned self] in loop.stop() }
        loop.run()
        if let failure = publisher.spoolFailure, failure.isLasting { throw failure }
        if case .serving = shutdown { return true } else { return false }
    }

    /// Ready means that this instance can give a 2xx now. Kafka away is an alert where a spool has room: all replicas
    /// going red together would be the outage.
    private func updateReadiness() {
        guard let publisher, let monitor else { return }
        let reason = monitor.isKafkaAnswering ? publisher.kafkaTrouble : "Kafka does not answer"
        let hasSpoolRoom = publisher.hasSpoolRoom
        readiness.set("kafka", unmet: hasSpoolRoom ? nil : reason)
        readiness.alert("kafka", hasSpoolRoom ? reason : nil)
        readiness.set("spool", unmet: spoolMistake)
        readiness.alert("spool", settings.spool.none || hasSpoolRoom ? nil : "the spool cannot store events")
        readiness.alert("spoolDisk", spoolDiskTrouble)
        readiness.alert("cluster", clusterTrouble)
        let closed = publisher.spoolingTopics
        readiness.alert("topics", closed.isEmpty ? nil : "spooling: \(closed.joined(separator: ", "))")
        let aside = publisher.filesSetAside
        readiness.alert(
            "setAside", aside > 0 ? "corrupt spool files moved aside: \(aside)" : nil)
        let waiting = publisher.spooledEvents
        readiness.alert("spooled", waiting > 0 ? "\(waiting) events in the spool" : nil)
    }

    /// What the spool's disk does to events, while Kafka takes them.
    private var spoolDiskTrouble: String? {
        let bypassing = publisher.bypassingTopics
        if !bypassing.isEmpty {
            let topics = bypassing.map { "\($0.topic) (\($0.rows) rows)" }.joined(separator: ", ")
            return "the spool's disk does not respond in time, new events bypass the backlog: \(topics)"
        }
        return publisher.isSpoolStalled ? "the spool's disk does not respond" : nil
    }

    private var clusterTrouble: String? {
        let cluster = publisher.cluster
        guard let previous = cluster.previous, let changed = cluster.changed,
            loop.now &- changed < Self.clusterChangeMemory
        else { return nil }
        return
            "kafka.bootstrapServers leads to another cluster: before \(previous), now \(cluster.current ?? "unknown")"
    }

    /// How long a change of the cluster is an alert, in nanoseconds.
    private static let clusterChangeMemory: UInt64 = 3_600_000_000_000

    /// A restart must not hide that the address leads to another cluster.
    private func rememberCluster(_ topicWatch: TopicWatch?) {
        let memory = settings.spool.none ? nil : ClusterMemory(folder: settings.spool.path)
        guard
            let previous = try? loop.makeMailbox(
                of: String.self, { [unowned self] batch in for id in batch { publisher.expectCluster(id) } })
        else { return }
        let remember: (String) -> Void = { id in
            memory?.remember(id) { _ = previous.post($0) }
            topicWatch?.lookSoon()
        }
        publisher.onClusterKnown = remember
        if let id = publisher.cluster.current { remember(id) }
    }

    /// Why this instance cannot use the spool as configured: another one holds it, or the failure is permanent. A disk
    /// that fails is an alert as long as Kafka answers.
    private var spoolMistake: String? {
        guard let failure = publisher.spoolFailure, failure.code == .locked || failure.isLasting else { return nil }
        return failure.message
    }

    /// Begins to judge the topics from time to time. With a spool the first look is still to come, and where durability
    /// is insisted on nothing is handed to Kafka before it.
    private func watchTopics(_ watch: TopicWatch, after said: Set<String>?) throws -> BackgroundTask {
        let verdicts = try loop.makeMailbox(of: TopicWatch.Verdict.self) { [unowned self] batch in
            guard let last = batch.last else { return }
            // Balancers send nothing here while the topics are not what durability.strict asks for.
            readiness.set("durability", unmet: last.refusal)
            publisher.set(last.gate)
        }
        if settings.durability.strict, said == nil { publisher.set(.unjudged) }
        return try watch.start(after: said) { verdicts.post($0) }
    }

    /// Reads the files of secrets and certificates now, in the order in which they depend on each other, and logs the results.
    private func reload() {
        guard isListening else {
            isReloadPending = true
            return
        }
        isReloadPending = false
        var kinds: [Reload.Kind] = []
        if secrets != nil { kinds.append(.secrets) }
        if certificates != nil { kinds.append(.httpCertificate) }
        if kafkaCertificates?.hasFiles == true { kinds.append(.kafkaCertificates) }
        let reload = Reload(kinds, logger: logger)
        guard let secrets else { return reloadCertificates(reload) }
        secrets.reload { [secretChanges] in _ = secretChanges?.post(.reloaded($0, reload)) }
    }

    /// Passwords of keys are among the secrets: those are read first.
    private func reloadCertificates(_ reload: Reload) {
        certificates?.reload { reload.set($0, of: .httpCertificate) }
        if kafkaCertificates?.hasFiles == true { kafkaCertificates?.reload { reload.set($0, of: .kafkaCertificates) } }
    }

    /// Begins to watch the files of secrets. What is new takes effect in one step of the loop.
    private func watchSecrets(_ topicWatch: TopicWatch?) throws {
        if settings.auth.mode == .log, settings.auth.isConfigured {
            readiness.alert(
                "authentication", "auth.mode is log: all requests are accepted, failed authentication is only counted")
        } else if settings.auth.none {
            readiness.alert("authentication", "auth.none is true: all requests are accepted")
        }
        if settings.http.trustAllProxies {
            readiness.alert("proxies", "http.trustAllProxies is true: every caller may claim any address")
        }
        let files = SecretFiles(settings)
        guard !files.isEmpty else { return }
        var kafka = settings.kafka
        let changes = try loop.makeMailbox(of: SecretChange.self) { [unowned self] batch in
            for change in batch {
                switch change {
                case .settings(let new):
                    ingress.replace(Authenticator(new.ingress))
                    guard new.kafka != kafka else { continue }
                    kafka = new.kafka
                    updateKafka(new.kafkaClient, topicWatch)
                case .reloaded(let result, let reload):
                    reload.set(result, of: .secrets)
                    reloadCertificates(reload)
                }
            }
        }
        let watch = SecretWatch(settings, files, logger: logger, registry: registry)
        try watch.start(
            alert: { [readiness] in readiness.alert("secrets", $0) }, apply: { _ = changes.post(.settings($0)) })
        secrets = watch
        secretChanges = changes
    }

    /// Begins to watch the files that Kafka's properties name. Changed ones take effect in one step of the loop.
    private func watchKafkaCertificates(_ topicWatch: TopicWatch?) throws {
        guard let monitor else { return }
        let changes = try loop.makeMailbox(of: ClientConfiguration.self) { [unowned self] batch in
            guard let last = batch.last else { return }
            kafkaClient = last.withCredentials(of: kafkaClient)
            publisher.recreateProducer(with: kafkaClient)
            monitor.recreateClient(with: kafkaClient)
            topicWatch?.update(kafkaClient)
        }
        kafkaCertificates = try KafkaCertificateWatch(
            kafkaClient, topic: settings.publisher.topicName(.quarantine), logger: logger.labelled("kafka"),
            registry: registry, isKafkaAnswering: { monitor.isKafkaAnswering },
            alert: { [readiness] in readiness.alert("kafkaCertificates", $0) }, recreate: { changes.post($0) })
    }

    /// Properties from files have changed. Credentials take effect with the next connection; anything else needs other
    /// clients, which are made once they have been tried.
    private func updateKafka(_ client: ClientConfiguration, _ topicWatch: TopicWatch?) {
        kafkaClient = kafkaClient.withCredentials(of: client)
        kafkaCertificates?.update(client)
        topicWatch?.update(kafkaClient)
        do throws(KafkaError) {
            try publisher.update(kafkaClient)
            try monitor?.update(kafkaClient)
        } catch {
            logger.error(
                "failed to update the Kafka credentials, they take effect at the next start", ["reason": "\(error)"])
        }
    }

    // MARK: - The end

    /// The first request to stop is orderly, the second ends at once.
    private func stopRequested() {
        guard case .serving = shutdown else {
            logger.warning("second signal, shutting down immediately", ["unanswered": server.requestsInFlight])
            endsBy = .now
            return loop.stop()
        }
        shutdown = .announced
        notifier?.stopping()
        endsBy = .now + settings.shutdown.deadline - closingTime / 5
        // No connection has been accepted yet: there is nothing to finish.
        guard isListening else { return loop.stop() }
        server.drainConnections()
        readiness.set("stopping", unmet: "the bridge is shutting down")
        let begin = loop.now
        let time = settings.shutdown.deadline - closingTime
        let delay = min(settings.shutdown.delay, time).nanoseconds
        let deadline = begin + time.nanoseconds
        logger.info("shutdown started", ["drainDelaySeconds": settings.shutdown.delay])
        do {
            _ = try loop.timer(after: delay) { [unowned self] in finish(by: deadline) }
        } catch {
            loop.stop()
        }
    }

    private func finish(by deadline: UInt64) {
        guard case .announced = shutdown else { return }
        shutdown = .finishing
        server.stopListening(after: Self.handshakeTime)
        // A request may be on its way on a connection that is idle here, and a proxy that sees it closed answers 502.
        let grace = (settings.shutdown.grace + Self.handshakeTime).nanoseconds
        let closesIdleAt = min(loop.now + grace, deadline)
        do {
            _ = try loop.timer(after: 0, repeating: 10_000_000) { [unowned self] in
                guard case .finishing = shutdown else { return }
                if loop.now >= closesIdleAt { server.closeIdle() }
                // A connection that is still open is one whose request is not whole, or whose answer is not read.
                // The spool is drained as long as that gets anywhere: Kafka may be away, and then it waits for the next
                // start.
                let isDrained =
                    publisher.isIdle
                    || (!settings.spool.none && (monitor?.isKafkaAnswering == false || publisher.isHeldBack))
                let isDone =
                    !server.isListening && server.openConnections == 0 && !publisher.hasWaitingCallers && isDrained
                if !isDone, loop.now < deadline { return }
                if !isDone {
                    logger.warning(
                        "shutdown.deadline reached, closing open connections",
                        ["connections": server.openConnections, "inFlight": publisher.eventsInFlight])
                }
                let left = publisher.spooledEvents
                if left > 0 { logger.warning("events left in the spool until the next start", ["events": left]) }
                loop.stop()
            }
        } catch {
            loop.stop()
        }
    }

    /// How long a TCP handshake takes at most, a round trip to the proxy.
    private static let handshakeTime = Duration.milliseconds(250)

    /// What of `shutdown.deadline` is kept for taking everything down; the last fifth of it for the process's own end.
    private var closingTime: Duration { min(.seconds(1), settings.shutdown.deadline / 4) }

    /// Ends everything that `run` has made. What may block on the disk or on librdkafka is waited for until the process
    /// is to have ended, or a second signal arrives; the spool gets its time to close its file in any case.
    private func tearDown() {
        shutdown = .ended
        let waitsUntil = endsBy ?? .now + settings.shutdown.deadline
        endsBy = waitsUntil
        // Waiting callers get their 503 before the connections are closed. The spool writes what it was given.
        let unanswered = server?.requestsInFlight ?? 0
        let remains = publisher.close()
        if unanswered > 0 { logger.warning("requests rejected with 503 at shutdown", ["requests": unanswered]) }
        server?.close()
        ingress?.logRejections(all: true)
        operations?.stop()
        certificates?.stop()
        let closesBy = ContinuousClock.now + closingTime * 4 / 5
        leavesThreads = !ends(by: waitsUntil, once: { remains.hasSpoolEnded || .now >= closesBy }) {
            [monitor, topics, secrets, kafkaCertificates] in
            remains.endSpool()
            kafkaCertificates?.stop()
            topics?.stop()
            secrets?.stop()
            monitor?.stop()
            remains.destroy()
        }
        if !remains.hasSpoolEnded {
            // No event that is still to be written was answered 200.
            logger.error("spool disk not responding, exiting without closing the spool")
        } else if leavesThreads {
            logger.warning("librdkafka threads still running, exiting without waiting for them")
        }
        loop.destroy()
        logger.info("shutdown complete")
    }

    /// Does what may block on a thread of its own.
    ///
    /// - Parameter mayEnd: what must be so, too, before an end without it.
    /// - Returns: Whether it was done in time. The loop runs in that time, to handle signals.
    private func ends(
        by instant: ContinuousClock.Instant, once mayEnd: @escaping () -> Bool, _ work: @escaping @Sendable () -> Void
    ) -> Bool {
        var isDone = false
        do {
            let done = try loop.makeMailbox(of: Void.self) { [unowned self] _ in
                isDone = true
                loop.stop()
            }
            defer { done.close() }
            _ = try NamedThread("shutdown") {
                work()
                done.post(())
            }
            // The loop's own time is from before what has blocked until here; it is read again in its next turn.
            let clock = try loop.timer(after: 0, repeating: 10_000_000) { [unowned self] in
                if ContinuousClock.now >= min(instant, endsBy ?? instant), mayEnd() { loop.stop() }
            }
            loop.run()
            clock.cancel()
        } catch {
            logger.error("orderly shutdown failed", ["reason": "\(error)"])
        }
        return isDone
    }
}
