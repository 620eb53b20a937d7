import SMSBridgeKafka
import SMSBridgeReplaying
import SMSBridgeSettings
import SMSBridgeTelemetry
import SMSBridgeThreads
import SMSPortalEvents
import SMSPortalSimulator
import Synchronization

/// `smsbridge demo`
enum Demo {
    private static let seconds = CommandOption<Double>(
        "--seconds", "N", .number(1...31_536_000), help: "Duration; without it, until Ctrl-C.")
    private static let rate = CommandOption<Double>(
        "--rate", "R", .number(0...1_000_000), default: 10, help: "Callbacks per second; 0 for as many as possible.")

    static let command = Command(
        "demo", summary: "Run a mock Kafka, a bridge, a simulated vendor and a consumer in one process",
        discussion: """
            The Kafka is librdkafka's mock cluster, in memory. The vendor is the simulator: it sends callbacks of every
            type and generation over HTTP, one in twenty of them malformed. The consumer prints the events as they come
            out of Kafka. Other processes may join in: the addresses are printed.
            """,
        options: [seconds, rate],
        settings: .init(needs: [], sections: ["http", "admin", "auth", "events", "topics", "log"]),
        examples: [.init("for ten seconds", "smsbridge demo --seconds 10")]
    ) { run($0, $1) }

    /// What the threads of a demonstration share.
    private final class Stage: Sendable {
        struct State {
            var running: Bridge.Running?
            var failure: String?
            var read: [EventTopic: Int] = [:]
            var total = 0
            var undecodable = 0
        }

        let state = Mutex(State())
        /// The bridge serves, or will never.
        let isOpen: StopSignal
        /// The bridge has ended.
        let isOver: StopSignal
        /// The consumer is to end.
        let endsReading: StopSignal

        init() throws {
            isOpen = try StopSignal()
            isOver = try StopSignal()
            endsReading = try StopSignal()
        }
    }

    static func run(_ invocation: Invocation, _ loaded: LoadedSettings) -> Int32 {
        do {
            return try perform(
                seconds: invocation.value(of: seconds), rate: invocation.value(of: rate) ?? 10, loaded)
        } catch {
            Output.error("smsbridge demo: \(error)\n")
            return ExitCode.failure
        }
    }

    private static func perform(seconds: Double?, rate: Double, _ loaded: LoadedSettings) throws -> Int32 {
        let cluster = try MockCluster(brokers: 3)
        defer { cluster.close() }
        let settings = adapted(loaded, to: cluster)
        for topic in EventTopic.allCases {
            try cluster.createTopic(topic.name(prefix: settings.topics.prefix), partitions: 6, replication: 3)
        }
        let stage = try Stage()
        let bridge = try startBridge(settings, stage)
        defer { bridge.join() }
        while !stage.isOpen.wait(milliseconds: -1) {}
        guard let running = stage.state.withLock(\.running) else {
            throw DemoError(description: stage.state.withLock { $0.failure } ?? "the bridge did not start")
        }
        defer { running.stop() }
        let reader = try startReader(settings, stage)
        defer {
            stage.endsReading.set()
            reader.join()
        }
        introduce(running, settings, cluster)

        var configuration = SimulatorConfiguration(url: "http://127.0.0.1:\(running.port)\(settings.http.basePath)")
        if let secrets = CallerSecrets(settings.auth, account: settings.auth.accountNames.first, command: "demo") {
            configuration.authentication = secrets.authentication
        }
        configuration.rate = rate
        configuration.duration = seconds.map { .milliseconds(Int64($0 * 1_000)) }
        configuration.malformed = 0.05
        configuration.tests = 0.05
        let simulator = try Simulator(configuration)
        // Ctrl-C is the bridge's; when it goes, so does the vendor.
        let watcher = try NamedThread("demo-watch") {
            while !stage.isOver.wait(milliseconds: -1) {}
            simulator.stop()
        }
        let report = simulator.run()
        // What was accepted is in Kafka; it only has to be read and printed.
        var patience = 200
        while patience > 0, stage.state.withLock({ $0.total }) < Int(report.accepted) {
            patience -= stage.isOver.wait(milliseconds: 50) ? 200 : 1
        }
        running.stop()
        watcher.join()
        return conclude(report, stage)
    }

    /// The given settings where they matter here, on loopback and with a secret of its own where none is given.
    private static func adapted(_ loaded: LoadedSettings, to cluster: MockCluster) -> BridgeSettings {
        var settings = loaded.settings
        settings.kafka.bootstrapServers = cluster.bootstrapServers.split(separator: ",").map(String.init)
        settings.spool.none = true
        settings.shutdown.delay = .zero
        if loaded.sources["http.host"] == nil { settings.http.host = "127.0.0.1" }
        if loaded.sources["http.port"] == nil { settings.http.port = 0 }
        if loaded.sources["admin.port"] == nil { settings.admin.port = 0 }
        if loaded.sources["log.level"] == nil { settings.log.level = .warning }
        if settings.auth.signature.isConfigured || !settings.auth.addresses.isEmpty
            || !settings.auth.accountNames.isEmpty
        {
            Output.error(
                "smsbridge demo: the simulated vendor does not sign: auth.* is replaced by a secret of the demo\n"
            )
            settings.auth = BridgeSettings().auth
        }
        if !settings.auth.isConfigured, !settings.auth.none { settings.auth.header.secrets = [Secret(demoSecret)] }
        // The mock's sockets leave Nagle's algorithm on: at 1 ms it answers many records only after 40.
        settings.publish.linger = .milliseconds(5)
        return settings
    }

    private static let demoSecret = "demo-secret"

    private static func startBridge(_ settings: BridgeSettings, _ stage: Stage) throws -> NamedThread {
        try NamedThread("public-loop") {
            let registry = MetricRegistry()
            registry.addProcessMetrics()
            registry.addBuildInfo(Version.labels)
            let logger = Output.logger(settings.log, registry: registry)
            do {
                try Bridge(settings, logger: logger, registry: registry, preparesTopics: false).run { running in
                    stage.state.withLock { $0.running = running }
                    stage.isOpen.set()
                }
            } catch {
                stage.state.withLock { $0.failure = "\(error)" }
            }
            // Wakes the waiting thread, also when the bridge did not serve.
            stage.isOpen.set()
            stage.isOver.set()
            _ = logger.sink.flush(timeout: .seconds(1))
        }
    }

    private static func startReader(_ settings: BridgeSettings, _ stage: Stage) throws -> NamedThread {
        try NamedThread("demo-consumer") {
            let names = Dictionary(
                uniqueKeysWithValues: EventTopic.allCases.map { ($0.name(prefix: settings.topics.prefix), $0) })
            do {
                let reader = try TopicReader(settings.kafkaClient, topics: Array(names.keys), from: .earliest)
                defer { reader.close() }
                let printer = EventPrinter(showsContent: false)
                let isColoured = Output.isColoured
                reader.read(until: { stage.endsReading.wait(milliseconds: 0) }) { message in
                    let line = printer.line(for: message)
                    Output.line(line.event.map { printer.briefLine(for: $0, isColoured: isColoured) } ?? line.text)
                    let topic = names[message.topic]
                    stage.state.withLock { state in
                        state.total += 1
                        if line.event == nil { state.undecodable += 1 }
                        if let topic { state.read[topic, default: 0] += 1 }
                    }
                } onError: {
                    Output.error("smsbridge demo: consumer: \($0)\n")
                }
            } catch {
                Output.error("smsbridge demo: consumer: \(error)\n")
            }
        }
    }

    private static func introduce(_ running: Bridge.Running, _ settings: BridgeSettings, _ cluster: MockCluster) {
        let base = "http://127.0.0.1:\(running.port)\(settings.http.basePath)"
        let usesDemoSecret = settings.auth.header.secrets == [Secret(demoSecret)]
        let header = usesDemoSecret ? " -H '\(settings.auth.header.name): \(demoSecret)'" : ""
        Output.text(
            """
            Callbacks    \(base)/webhooks
            Status page  http://127.0.0.1:\(running.adminPort)/ (findings with advice; metrics at /metrics)
            Kafka        \(settings.kafka.bootstrapServers.first ?? ""), in the memory of this process

            Send a callback of your own from another terminal:
              curl -i\(header) -d '{"Status":"DELIVRD","EventId":1,"Msisdn":"27123456789","Received":1530013907}' \
            \(base)/webhooks/delivery-status

            Events as they are in Kafka; of numbers and texts only the length is shown. One callback in twenty is malformed.

            \(EventPrinter.briefHeader)

            """)
    }

    /// What a reader who has seen it work tries next.
    private static let nextSteps = """

        Three things to try next:
          1. Open the status page while it runs: smsbridge demo, without --seconds, and the address of its second line.
          2. Publish to your own Kafka: smsbridge config init -b HOST:PORT > smsbridge.yaml, then smsbridge check -c smsbridge.yaml
             (README.md, "Quick start"; with Docker: docker compose up --build --detach --wait).
          3. React to events in a service of your own: docs/consuming.md, and Examples/README.md.

        """

    private static func conclude(_ report: SimulatorReport, _ stage: Stage) -> Int32 {
        let (read, total, undecodable) = stage.state.withLock { ($0.read, $0.total, $0.undecodable) }
        Output.line("")
        Output.line("The vendor:")
        for line in report.lines { Output.line("  \(line)") }
        Output.line("Kafka:")
        for topic in EventTopic.allCases {
            let suffix = topic.suffix + String(repeating: " ", count: max(0, 16 - topic.suffix.count))
            Output.line("  \(suffix) \(read[topic] ?? 0)")
        }
        if let failure = report.failure {
            Output.error("smsbridge demo: \(failure)\n")
            return ExitCode.failure
        }
        guard undecodable == 0, total >= Int(report.accepted), report.accepted > 0 else {
            Output.error("smsbridge demo: \(report.accepted) callbacks were accepted, \(total) events were read\n")
            return ExitCode.failure
        }
        Output.text(nextSteps)
        return ExitCode.success
    }
}

private struct DemoError: Error, CustomStringConvertible {
    let description: String
}
