import SMSBridgeKafka
import SMSBridgePublisher
import SMSBridgeSettings
import SMSBridgeTelemetry
import SMSBridgeThreads
import Synchronization

/// Makes and judges the topics, and judges them again from time to time: what the cluster's owners change later can
/// break a promise that held at the start.
///
/// `prepare` blocks; the rest happens on a thread of its own, each look with a client of its own that is gone
/// afterwards.
final class TopicWatch: Sendable {
    /// How events are handled, and why they are rejected.
    struct Verdict: Sendable {
        let gate: DurabilityGate
        let refusal: String?
    }

    private let settings: BridgeSettings
    private let logger: Logger
    private let metrics: TopicDurabilityMetrics
    /// How the next look reaches the cluster.
    private let client: Mutex<ClientConfiguration>

    /// Whether a look is wanted before its time.
    private let isLookWanted = Atomic<Bool>(false)

    /// How long after a look that failed, or that has led to a refusal, the next one is.
    private static let retry = Duration.seconds(5)
    /// Milliseconds between looks at whether one is wanted before its time.
    private static let slice: Int32 = 500

    init(_ settings: BridgeSettings, logger: Logger, registry: MetricRegistry) {
        self.settings = settings
        self.logger = logger
        metrics = TopicDurabilityMetrics(registry, isDevelopment: settings.durability.development)
        client = Mutex(settings.kafkaClient)
    }

    /// From the next look on, the cluster is asked with this.
    func update(_ configuration: ClientConfiguration) {
        client.withLock { $0 = configuration }
    }

    /// Looks at the topics soon, at most every five seconds: events of a topic do not get into Kafka, or the cluster is
    /// another.
    func lookSoon() { isLookWanted.store(true, ordering: .relaxed) }

    /// - Returns: whether the end was asked for.
    private func wait(_ pause: Duration, _ stop: StopSignal) -> Bool {
        var left = Int64(clamping: pause.nanoseconds / 1_000_000)
        let least = left - Int64(clamping: Self.retry.nanoseconds / 1_000_000)
        while left > 0 {
            if stop.wait(milliseconds: min(Self.slice, Int32(clamping: left))) { return true }
            left -= Int64(Self.slice)
            if left <= least, isLookWanted.exchange(false, ordering: .relaxed) { return false }
        }
        return stop.wait(milliseconds: 0)
    }

    /// Makes missing topics where it may, and judges all of them. Blocks.
    ///
    /// - Returns: The findings that were logged.
    /// - Throws: `TopicSetupError`, also for topics that are too weak for `durability.strict`.
    func prepare() throws -> Set<String> {
        let (said, findings) = try look(isPrepared: false, said: [])
        if settings.durability.strict, let refusal = findings.refusal { throw refusal }
        return said
    }

    /// Begins to look at the topics on a thread of its own.
    ///
    /// - Parameters:
    ///   - said: what `prepare` has returned; nil for not done yet, which is then the first thing to do.
    ///   - tell: called on that thread after each look that the cluster has answered.
    func start(after said: Set<String>?, tell: @escaping @Sendable (Verdict) -> Void) throws -> BackgroundTask {
        try BackgroundTask("topics") { [self] stop in
            if said != nil { sayWhatMayNotBeWritten() }
            var isPrepared = said != nil
            var said = said ?? []
            var pause = isPrepared ? settings.durability.interval : .zero
            let repeats = RepeatGuard(interval: .seconds(60))
            while !wait(pause, stop) {
                do {
                    let findings: TopicFindings
                    (said, findings) = try look(isPrepared: isPrepared, said: said)
                    if !isPrepared { sayWhatMayNotBeWritten() }
                    isPrepared = true
                    let refusal = settings.durability.strict ? findings.refusal : nil
                    if let refusal { report(refusal, repeats) }
                    tell(Verdict(gate: refusal == nil ? .open : .refusing, refusal: refusal?.description))
                    pause = refusal == nil ? settings.durability.interval : Self.retry
                } catch {
                    // What could not be made because it would be weak is known to be weak.
                    if case .notDurable? = error as? TopicSetupError {
                        tell(Verdict(gate: .refusing, refusal: "\(error)"))
                    }
                    report(error, repeats)
                    pause = Self.retry
                }
            }
        }
    }

    private func report(_ error: any Error, _ repeats: RepeatGuard) {
        logger.log(.error, onceIn: repeats, key: "topics", "topics not ready", ["reason": "\(error)"])
    }

    /// - Parameter said: what the last look has said already.
    /// - Returns: what has been said now.
    private func look(isPrepared: Bool, said: Set<String>) throws -> (said: Set<String>, TopicFindings) {
        let admin = try Admin(client.withLock(\.self))
        defer { admin.close() }
        let setup = TopicSetup(admin)
        // With topics.create, topics that have disappeared, or are not in another cluster yet, are made again.
        let found =
            isPrepared && !settings.topics.create
            ? try setup.look(settings.topicPlan)
            : try setup.run(settings.topicPlan, creates: settings.topics.create, strict: settings.durability.strict)
        let findings = settings.durability.development ? found.forDevelopment : found
        metrics.update(findings.durability, prefix: settings.topicPlan.prefix)
        if !findings.created.isEmpty { logger.info("topics created", ["topics": findings.created]) }
        for finding in findings.findings where !said.contains(finding.text) {
            switch finding.severity {
            case .note, .information: logger.info(finding.text)
            case .warning, .broken, .durability: logger.warning(finding.text)
            }
        }
        let now = Set(findings.findings.map(\.text))
        for text in said.subtracting(now).sorted() { logger.info("topic problem resolved", ["problem": text]) }
        return (now, findings)
    }

    /// Once, before events do it: a topic that may not be written closes its lane with the first one.
    private func sayWhatMayNotBeWritten() {
        guard let record = try? TestEvent.record() else { return }
        let access = TopicAccess(settings.topicPlan, settings.kafkaClient)
        let findings = access.lookForWrite(settings.topicPlan.names, record)
        for text in findings.missing { logger.error("permission missing", ["reason": text]) }
    }
}

/// Work on a thread of its own with a stop signal.
final class BackgroundTask: Sendable {
    private let signal: StopSignal
    private let thread: NamedThread

    init(_ name: String, _ body: @escaping @Sendable (StopSignal) -> Void) throws {
        let signal = try StopSignal()
        self.signal = signal
        thread = try NamedThread(name) { body(signal) }
    }

    /// Ends the current or the next wait of the work early.
    func wake() { signal.wake() }

    /// Blocks until the work has ended.
    func stop() {
        signal.set()
        thread.join()
    }
}
