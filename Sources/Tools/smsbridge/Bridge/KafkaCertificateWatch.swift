import SMSBridgeEventLoop
import SMSBridgeKafka
import SMSBridgePublisher
import SMSBridgeSettings
import SMSBridgeTelemetry
import SMSBridgeThreads
import Synchronization

/// Has the clients of Kafka recreated when the files that their properties name have changed, or properties themselves that
/// come from files (`kafka.propertyFiles`): librdkafka reads them once.
///
/// Changed files are tried first, on a thread of their own. They are used when the cluster accepts them, or when it does not answer
/// the present clients either; otherwise the clients stay as they are, and the trial is repeated.
final class KafkaCertificateWatch: Sendable {
    private let topic: String
    private let logger: Logger
    private let metrics: CertificateMetrics
    private let isKafkaAnswering: @Sendable () -> Bool
    private let alert: @Sendable (String?) -> Void
    private let recreate: @Sendable (ClientConfiguration) -> Void
    /// What the clients are to be made from.
    private let wanted: Mutex<ClientConfiguration>
    private let requests = ReloadRequests()
    private let task: Mutex<BackgroundTask?>

    /// Two looks that agree: a file that is being written is left alone. In milliseconds.
    private static let interval: Int32 = 1_000
    /// Between two trials of files that are not accepted, in milliseconds.
    private static let retry: Int32 = 3_000
    /// How long the cluster may take to answer a trial, in milliseconds.
    private static let trialStep: Int32 = 500
    private static let trialSteps = 8

    /// Why changed files are not used, as people read it.
    private struct Problem: Error {
        let description: String
    }

    /// - Parameters:
    ///   - topic: one of the bridge's topics, which a trial asks about.
    ///   - isKafkaAnswering: whether the cluster answers the present clients.
    ///   - alert: called on the thread with the reason why changed files are not used, and with nil once it is resolved.
    ///   - recreate: called on the thread with the configuration from which the clients are to be made.
    init(
        _ client: ClientConfiguration, topic: String, logger: Logger, registry: MetricRegistry,
        isKafkaAnswering: @escaping @Sendable () -> Bool, alert: @escaping @Sendable (String?) -> Void,
        recreate: @escaping @Sendable (ClientConfiguration) -> Void
    ) throws {
        self.topic = topic
        self.logger = logger
        metrics = CertificateMetrics(.kafka, registry: registry, logger: logger)
        self.isKafkaAnswering = isKafkaAnswering
        self.alert = alert
        self.recreate = recreate
        wanted = Mutex(client)
        task = Mutex(nil)
        // Before the thread is there, so that no change after the clients were made is missed.
        let identities = KafkaFiles(client).identities
        let started = try BackgroundTask("kafka-tls") { [self] stop in
            watch(client, identities, until: stop)
        }
        task.withLock { $0 = started }
    }

    /// Whether there are files to watch.
    var hasFiles: Bool { !KafkaFiles(wanted.withLock(\.self)).paths.isEmpty }

    /// The clients are to be made from this, once it differs in more than what they log in with.
    func update(_ client: ClientConfiguration) { wanted.withLock { $0 = client } }

    /// Reads the files now, and tries changed ones.
    ///
    /// - Parameter answer: called on the thread with the result.
    func reload(_ answer: @escaping ReloadRequests.Answer) {
        requests.add(answer)
        task.withLock(\.self)?.wake()
    }

    /// Blocks until the thread has ended.
    func stop() { task.withLock(\.self)?.stop() }

    private func watch(_ client: ClientConfiguration, _ identities: [FileIdentity?], until stop: StopSignal) {
        var inUse = client
        var changes = FileChanges(inUse: identities)
        var reported: String?
        updateExpiry(of: client, before: client)
        var pause = Self.interval
        while !stop.wait(milliseconds: pause) {
            pause = Self.interval
            var requested = requests.take()
            var result = ReloadResult.unchanged
            defer { for answer in requested { answer(result) } }
            let client = wanted.withLock(\.self)
            let files = KafkaFiles(client)
            let now = files.identities
            let isReconfigured = !client.makesSameClients(as: inUse)
            guard changes.isDue(now, isChanged: isReconfigured, isRequested: !requested.isEmpty) else {
                if reported != nil, changes.areInUse(now), !isReconfigured {
                    reported = nil
                    metrics.resolved()
                    alert(nil)
                }
                continue
            }
            do throws(Problem) {
                guard try areAccepted(client, files, stop), files.identities == now else {
                    // Changed once more: a request is answered by the next look.
                    for answer in requested { requests.add(answer) }
                    requested = []
                    continue
                }
                changes.use(now)
                updateExpiry(of: client, before: inUse)
                inUse = client
                reported = nil
                recreate(client)
                metrics.loaded()
                alert(nil)
                result = .reloaded
                logger.info("Kafka certificates reloaded", ["properties": files.paths.map(\.property)])
            } catch {
                pause = Self.retry
                result = .failed
                guard error.description != reported || !requested.isEmpty else { continue }
                reported = error.description
                metrics.failed()
                alert("Kafka's certificate files have changed and cannot be used: \(error.description)")
                logger.error(
                    "Kafka certificate reload failed, keeping the current certificates", ["reason": error.description])
            }
        }
    }

    /// Whether clients can be made from this, and whether the cluster accepts them as far as it answers at all.
    ///
    /// - Returns: false when the bridge is shutting down.
    private func areAccepted(
        _ client: ClientConfiguration, _ files: KafkaFiles, _ stop: StopSignal
    ) throws(Problem) -> Bool {
        if let (property, path, reason) = files.unreadable.first {
            throw Problem(description: "kafka.properties.\(property): cannot read \(path): \(reason)")
        }
        let access = KafkaAccess(client)
        let admin: Admin
        do throws(KafkaError) { admin = try Admin(client) } catch {
            throw Problem(description: access.explain(error.message))
        }
        defer { admin.close() }
        var reason: String?
        for _ in 0..<Self.trialSteps where isKafkaAnswering() {
            if stop.wait(milliseconds: 0) { return false }
            do throws(KafkaError) {
                _ = try admin.describe(topic: topic, timeout: Self.trialStep)
                return true
            } catch {
                let met = admin.recentErrors().filter { $0.code != .allBrokersDown }
                reason = met.last?.message ?? reason ?? error.description
            }
        }
        guard let reason, isKafkaAnswering() else { return true }
        throw Problem(description: "the cluster does not accept them: \(access.explain(reason))")
    }

    private func updateExpiry(of client: ClientConfiguration, before: ClientConfiguration) {
        let now = KafkaFiles(client).expiries
        let removed = Set(KafkaFiles(before).expiries.map(\.setting)).subtracting(now.map(\.setting))
        for setting in removed { metrics.remove(setting) }
        for expiry in now { metrics.update(expiry) }
    }
}

extension ClientConfiguration {
    /// What clients log in with, which they take over while they are connected.
    private static let credentials: Set = ["sasl.username", "sasl.password"]

    /// Whether a client made from the other configuration can do the work of one made from this, with other credentials at most.
    fileprivate func makesSameClients(as other: ClientConfiguration) -> Bool {
        func others(_ properties: [String: String]) -> [String: String] {
            properties.filter { !Self.credentials.contains($0.key) }
        }
        return others(properties) == others(other.properties)
    }

    /// The same with the credentials of another configuration.
    func withCredentials(of other: ClientConfiguration) -> ClientConfiguration {
        var result = self
        for name in Self.credentials { result.properties[name] = other.properties[name] }
        return result
    }
}
