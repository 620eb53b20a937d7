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
            if preparesTopics { try prepareTopics() }
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
        defer { publisher.close()?.destroy() }
        let monitor = try KafkaMonitor(settings.kafkaClient, registry: registry, logger: logger.labelled("kafka"))
        defer { monitor.stop() }
        ingress = Ingress(
            configuration: settings.ingress, decoder: try CallbackDecoder(settings.decoder),
            metrics: IngressMetrics(registry),
            isReady: { [readiness] in readiness.isReady },
            publish: { [unowned self] in publisher.publish($0, token: $1) },
            respond: { [unowned self] in server.respond(to: $0, with: $1) })
        server = HTTPServer(loop: loop, configuration: settings.httpServer, handler: ingress)
        defer { server.close() }
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
            readiness.set("kafka", unmet: monitor.isKafkaAnswering ? nil : "Kafka does not answer")
        }
        readiness.set("starting", unmet: nil)
        logger.info(
            "serving",
            ["address": "\(settings.http.host):\(port)", "admin": "\(settings.admin.host):\(adminPort)"])
        onRunning(Running(port: port, adminPort: adminPort, signals: signals))
        loop.run()
        logger.info("stopped")
    }

    private func prepareTopics() throws {
        let admin = try Admin(settings.kafkaClient)
        defer { admin.close() }
        let findings = try TopicSetup(admin).run(settings.topicPlan, creates: settings.topics.create)
        if !findings.created.isEmpty {
            logger.info("created topics", ["topics": findings.created])
        }
        for finding in findings.findings {
            if finding.severity == .warning { logger.warning(finding.text) } else { logger.info(finding.text) }
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
                let isDone = server.openConnections == 0 && publisher.eventsInFlight == 0
                if !isDone, loop.now < deadline { return }
                if !isDone {
                    logger.warning(
                        "shutdown.deadline is over",
                        ["connections": server.openConnections, "inFlight": publisher.eventsInFlight])
                }
                loop.stop()
            }
        } catch {
            loop.stop()
        }
    }
}
