import EventLoop
import HTTPServer
import Ingress
import Kafka
import Operations
import Publisher
import SMSPortalEvents
import Settings
import Synchronization
import Telemetry
import Threads

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

    // Made by `run`, in the order of the path, on the loop's thread.
    private var loop: EventLoop!
    private var publisher: Publisher!
    private var ingress: Ingress!
    private var server: HTTPServer!
    private let readiness = ServiceReadiness()
    private var shutdown = Shutdown.serving
    private var isKafkaAnswering: () -> Bool = { true }

    private enum Shutdown {
        case serving
        /// Not ready any more, and serving all the same until balancers have seen it.
        case announced
        /// Nobody new is let in; requests in flight are answered.
        case finishing
    }

    /// - Parameter preparesTopics: whether the topics are looked at, and made, before the bridge serves; a mock cluster
    ///   can do neither.
    init(_ settings: BridgeSettings, logger: Logger, registry: MetricRegistry, preparesTopics: Bool = true) {
        self.settings = settings
        self.logger = logger
        self.registry = registry
        self.preparesTopics = preparesTopics
    }

    /// Serves until SIGTERM, SIGINT or `Running.stop()`.
    ///
    /// - Parameter onRunning: called once, on this thread, when callbacks are taken.
    /// - Throws: whatever keeps the bridge from serving, fit to be shown as it is.
    func run(onRunning: (Running) -> Void = { _ in }) throws {
        let configuration = settings.publisher
        // The producer connects and gets its id from the cluster while the topics are looked at.
        let client = try Publisher.makeClient(configuration)
        do {
            // With a spool nothing waits for Kafka; without one there is no use in serving before it answers.
            if preparesTopics, settings.spool.none { try prepareTopics() }
            loop = try EventLoop()
            publisher = try Publisher(
                loop: loop, configuration: configuration, client: client, metrics: PublisherMetrics(registry),
                logger: logger.labelled("kafka")
            ) { [unowned self] token, outcome in ingress.published(token, outcome) }
        } catch {
            client.destroy()
            throw error
        }
        defer { loop.destroy() }
        defer { publisher.close().destroy() }
        let monitor = try KafkaMonitor(settings.kafkaClient, registry: registry, logger: logger.labelled("kafka"))
        defer { monitor.stop() }
        isKafkaAnswering = { monitor.isKafkaAnswering }
        ingress = Ingress(
            configuration: settings.ingress, decoder: try CallbackDecoder(settings.decoder),
            metrics: IngressMetrics(registry),
            isReady: { [readiness] in readiness.isReady },
            publish: { [unowned self] in publisher.publish($0, token: $1) },
            respond: { [unowned self] in server.respond(to: $0, with: $1) })
        server = HTTPServer(loop: loop, configuration: settings.httpServer, handler: ingress)
        defer { server.close() }
        try openSpool()
        let topics = preparesTopics && !settings.spool.none ? try prepareTopicsLater() : nil
        defer { topics?.stop() }
        let port = try server.listen()

        let heartbeat = Heartbeat(now: loop.now)
        try heartbeat.follow(loop)
        let operations = OperationsServer(
            configuration: settings.operations, registry: registry, readiness: readiness, heartbeat: heartbeat)
        let adminPort = try operations.start()
        defer { operations.stop() }

        let signals = try loop.makeMailbox(of: Void.self) { [unowned self] _ in stopRequested() }
        for signal in [SIGTERM, SIGINT] { _ = try loop.onSignal(signal) { [unowned self] in stopRequested() } }
        let httpMetrics = HTTPMetrics(registry)
        _ = try loop.timer(after: 0, repeating: 1_000_000_000) { [unowned self] in
            httpMetrics.update(from: server)
            publisher.updateGauges()
            updateReadiness(isKafkaAnswering: monitor.isKafkaAnswering)
        }
        readiness.set("starting", unmet: nil)
        logger.info(
            "serving",
            ["address": "\(settings.http.host):\(port)", "admin": "\(settings.admin.host):\(adminPort)"])
        onRunning(Running(port: port, adminPort: adminPort, signals: signals))
        loop.run()
        logger.info("stopped")
    }

    /// Lets the loop turn until the spool's file is open, or cannot be opened for now: what it holds goes first.
    private func openSpool() throws {
        guard !settings.spool.none else { return }
        var isSettled = false
        publisher.onSpoolSettled = { [unowned self] in
            isSettled = true
            loop.stop()
        }
        loop.run()
        guard isSettled else { throw BridgeError(description: "ended while the spool was being opened") }
    }

    /// Ready means that this instance can give a 2xx now. Kafka away is an alert where a spool has room: all replicas
    /// going red together would be the outage.
    private func updateReadiness(isKafkaAnswering: Bool) {
        let reason = isKafkaAnswering ? nil : "Kafka does not answer"
        if publisher.hasSpoolRoom {
            readiness.set("kafka", unmet: nil)
            readiness.alert("kafka", reason)
        } else {
            readiness.set("kafka", unmet: reason)
        }
        readiness.alert("spool", settings.spool.none || publisher.hasSpoolRoom ? nil : "the spool takes no events")
        let waiting = publisher.spooledEvents
        readiness.alert("spooled", waiting > 0 ? "\(waiting) events wait in the spool" : nil)
    }

    /// Looks at the topics on a thread of its own, again and again until Kafka has answered.
    private func prepareTopicsLater() throws -> BackgroundTask {
        let settings = settings
        let logger = logger
        return try BackgroundTask("topics") { stop in
            let repeats = RepeatGuard(interval: .seconds(60))
            repeat {
                do {
                    return try Self.prepareTopics(settings, logger)
                } catch {
                    logger.log(
                        .error, onceIn: repeats, key: "topics", "the topics are not ready", ["reason": "\(error)"])
                }
            } while !stop.wait(milliseconds: 5_000)
        }
    }

    private func prepareTopics() throws { try Self.prepareTopics(settings, logger) }

    private static func prepareTopics(_ settings: BridgeSettings, _ logger: Logger) throws {
        let admin = try Admin(settings.kafkaClient)
        defer { admin.close() }
        let findings = try TopicSetup(admin).run(
            settings.topicPlan, creates: settings.topics.create, strict: settings.durability.strict)
        if !findings.created.isEmpty {
            logger.info("created topics", ["topics": findings.created])
        }
        for finding in findings.findings {
            if finding.severity == .note { logger.info(finding.text) } else { logger.warning(finding.text) }
        }
    }

    // MARK: - The end

    /// The first request to stop is orderly, the second ends at once.
    private func stopRequested() {
        guard case .serving = shutdown else {
            logger.warning("stopping at once", ["unanswered": server.requestsInFlight])
            return loop.stop()
        }
        shutdown = .announced
        readiness.set("stopping", unmet: "the bridge is stopping")
        let begin = loop.now
        let delay = min(settings.shutdown.delay, settings.shutdown.deadline).nanoseconds
        let deadline = begin + settings.shutdown.deadline.nanoseconds
        logger.info("stopping", ["serving on for": "\(settings.shutdown.delay)"])
        do {
            _ = try loop.timer(after: delay) { [unowned self] in finish(by: deadline) }
        } catch {
            loop.stop()
        }
    }

    private func finish(by deadline: UInt64) {
        shutdown = .finishing
        server.stopListening()
        server.closeIdle()
        do {
            _ = try loop.timer(after: 0, repeating: 10_000_000) { [unowned self] in
                server.closeIdle()
                // A connection that is still open is one whose request is not whole, or whose answer is not read.
                // The spool is drained as long as that gets anywhere: Kafka may be away, and then it waits for the next start.
                let isDrained = publisher.isIdle || (!settings.spool.none && !isKafkaAnswering())
                let isDone = server.openConnections == 0 && !publisher.hasWaitingCallers && isDrained
                if !isDone, loop.now < deadline { return }
                if !isDone {
                    logger.warning(
                        "shutdown.deadline is over",
                        ["connections": server.openConnections, "inFlight": publisher.eventsInFlight])
                }
                let left = publisher.spooledEvents
                if left > 0 { logger.warning("events stay in the spool until the next start", ["events": left]) }
                loop.stop()
            }
        } catch {
            loop.stop()
        }
    }
}

/// Why a bridge does not serve, where no module says so.
private struct BridgeError: Error, CustomStringConvertible {
    let description: String
}

/// Work on a thread of its own that is told when to end.
private final class BackgroundTask {
    private let signal: StopSignal
    private let thread: NamedThread

    init(_ name: String, _ body: @escaping @Sendable (StopSignal) -> Void) throws {
        let signal = try StopSignal()
        self.signal = signal
        thread = try NamedThread(name) { body(signal) }
    }

    /// Blocks until the work has ended.
    func stop() {
        signal.set()
        thread.join()
    }
}
