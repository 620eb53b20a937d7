import Kafka
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

/// `smsbridge check`: whether the promises hold with these settings and this cluster, before anybody depends on them.
struct Check {
    private static let json = CommandOption<Bool>("--json", help: "Write JSON to standard output, an object a line.")
    private static let noEvent = CommandOption<Bool>(
        "--no-event", help: "Publish no test events: whether they may be written is then not known.")

    static let command = Command(
        "check", summary: "Say whether the promises hold with these settings and this cluster",
        discussion: """
            Looks at the settings, the spool's folder, the brokers, and each topic: replication, min.insync.replicas, unclean
            election, message size, retention, timestamps. Publishes eleven events of the vendor's sample number to the
            test topic with the bridge's own producer, and holds the time of their acknowledgement against
            publish.hedge. Makes no topic. Lines begin with ok, warning, failed or cannot tell.
            Exit codes: 0; 1 something breaks a promise; 2 the settings are wrong.
            """,
        options: [json, noEvent], settings: .init(needs: .kafka),
        examples: [.init("before the first start", "smsbridge check --config /etc/smsbridge.yaml")])

    enum Verdict: String {
        case ok, warning, failed
        case unknown = "cannot tell"
    }

    private let settings: BridgeSettings
    private let isJSON: Bool
    private let publishes: Bool
    private var failures = 0

    static func run(_ invocation: Invocation, _ loaded: LoadedSettings) -> Int32 {
        var check = Check(
            settings: loaded.settings, isJSON: invocation.isOn(json), publishes: !invocation.isOn(noEvent))
        check.tell(.ok, "settings", "\(loaded.effective.count { $0.source != .standard }) given, the others by default")
        for warning in loaded.warnings { check.tell(.warning, "settings", warning) }
        check.lookAtAuthentication()
        check.lookAtSpool()
        if check.lookAtTopics() { check.publish() }
        if check.failures > 0 { Output.error("smsbridge check: \(check.failures) failed\n") }
        return check.failures > 0 ? ExitCode.failure : ExitCode.success
    }

    private mutating func tell(_ verdict: Verdict, _ about: String, _ text: String) {
        if verdict == .failed { failures += 1 }
        guard isJSON else {
            let word = verdict.rawValue + String(repeating: " ", count: 12 - verdict.rawValue.utf8.count)
            return Output.line("\(word)\(about): \(text)")
        }
        Output.line(
            "{\"verdict\":\"\(verdict.rawValue)\",\"about\":\(JSONText.string(about)),\"text\":\(JSONText.string(text))}"
        )
    }

    // MARK: Here

    private mutating func lookAtAuthentication() {
        let ways = [
            ("header", settings.auth.header.secrets.count), ("path", settings.auth.path.secrets.count),
            ("query", settings.auth.query.secrets.count),
        ].filter { $0.1 > 0 }
        if settings.auth.none { return tell(.warning, "auth", "auth.none lets everybody in") }
        guard !ways.isEmpty else {
            return tell(.failed, "auth", "nobody is let in: give auth.header.secrets, or say auth.none: true")
        }
        tell(.ok, "auth", "secrets in the " + ways.map { "\($0.0) (\($0.1))" }.joined(separator: ", "))
    }

    private mutating func lookAtSpool() {
        guard !settings.spool.none else {
            return tell(.warning, "spool", "spool.none: while Kafka is late or away, callbacks are answered 503")
        }
        let path = settings.spool.path
        // The folder may be made by the bridge; then its parent must let it.
        var place = path
        while access(place, F_OK) != 0, let cut = place.lastIndex(of: "/"), place.count > 1 {
            place = cut == place.startIndex ? "/" : String(place[..<cut])
        }
        guard access(place + "/.", W_OK) == 0 else {
            return tell(
                .failed, "spool", "\(place) cannot be written by this user: \(String(cString: strerror(errno)))")
        }
        var status = statvfs()
        guard statvfs(place, &status) == 0 else {
            return tell(.unknown, "spool", "\(place): \(String(cString: strerror(errno)))")
        }
        let free = Int(status.f_bavail) * Int(status.f_frsize)
        guard free >= settings.spool.maxBytes else {
            return tell(
                .warning, "spool",
                "\(path) has \(free >> 20) MiB free, less than spool.maxBytes (\(settings.spool.maxBytes >> 20) MiB): the disk decides how long Kafka may be away"
            )
        }
        tell(.ok, "spool", "\(path) may be written, \(free >> 20) MiB free")
    }

    // MARK: The cluster

    /// - Returns: whether events can be published.
    private mutating func lookAtTopics() -> Bool {
        do {
            let admin = try Admin(settings.kafkaClient)
            defer { admin.close() }
            let plan = settings.topicPlan
            let findings = try TopicSetup(admin).look(plan)
            let cluster = try admin.describe(timeout: 10_000)
            tell(.ok, "kafka", "\(cluster.brokers.count) brokers answer, librdkafka \(Version.librdkafka)")
            let missing = plan.names.filter { name in !cluster.topics.contains { $0.name == name } }
            for finding in findings.findings {
                switch finding.severity {
                case .durability: tell(.failed, "topics", finding.text)
                case .warning where !missing.isEmpty && finding.text.hasPrefix("missing topics"):
                    tell(
                        settings.topics.create ? .warning : .failed, "topics",
                        settings.topics.create
                            ? "missing, and made at the start: \(missing.joined(separator: ", "))" : finding.text)
                case .warning: tell(.warning, "topics", finding.text)
                case .note: tell(.unknown, "topics", finding.text)
                }
            }
            if findings.findings.isEmpty { tell(.ok, "topics", "all \(plan.names.count) keep what Kafka acknowledges") }
            return !missing.contains(EventTopic.test.name(prefix: plan.prefix))
        } catch {
            tell(.failed, "kafka", "\(error)")
            return false
        }
    }

    /// How many events are published, one after the other.
    private static let events = 10

    private mutating func publish() {
        let topic = EventTopic.test.name(prefix: settings.topics.prefix)
        guard publishes else { return tell(.unknown, "publish", "no test event was published, as asked") }
        do {
            let event = try Event(
                callback: Callback(
                    method: .post, route: .deliveryStatus, contentType: "application/json",
                    body: #"{"Status":"DELIVRD","Msisdn":27000000001,"UserReference":"smsbridge check"}"#),
                receivedAt: EventTime(millisecondsSinceEpoch: wallClockMilliseconds()))
            let record = event.record()
            var configuration = ProducerConfiguration(client: settings.kafkaClient)
            configuration.messageTimeoutMilliseconds = 10_000
            configuration.lingerMilliseconds = Int(settings.publish.linger / .milliseconds(1))
            let producer = try ProducerThread(configuration)
            defer { producer.close() }
            var times: [Duration] = []
            // The first one also makes the connection.
            for _ in 0...Self.events {
                let began = ContinuousClock.now
                if let code = try Self.send(record, to: topic, producer) {
                    return tell(.failed, "publish", "\(topic) has refused a test event: \(KafkaError(code).message)")
                }
                times.append(began.duration(to: .now))
            }
            let typical = times.dropFirst().sorted()[Self.events / 2]
            let hedge = settings.publish.hedge
            let milliseconds = (typical / .microseconds(10)).rounded() / 100
            let text =
                "acknowledged after \(milliseconds) ms (median of \(Self.events)), publish.hedge is \(Int(hedge / .milliseconds(1))) ms"
            guard typical < hedge else {
                return tell(.warning, "publish", "\(text): every event would go through the spool")
            }
            tell(typical * 2 < hedge ? .ok : .warning, "publish", text)
            tell(.unknown, "publish", "whether the other topics may be written: only \(topic) was tried")
        } catch {
            tell(.failed, "publish", "\(error)")
        }
    }

    private static func send(
        _ record: EventRecord, to topic: String, _ producer: ProducerThread
    ) throws -> KafkaError.Code? {
        let done = try StopSignal()
        let result = Answer()
        try producer.send(
            topic: topic, key: record.key, value: record.value, timestamp: record.timestamp.millisecondsSinceEpoch,
            headers: record.headers.map { ($0.name, $0.value) }
        ) { report in
            result.set(report.error)
            done.set()
        }
        _ = done.wait(milliseconds: 15_000)
        return result.get()
    }
}

/// What became of a record, told by another thread.
private final class Answer: Sendable {
    private let code = Mutex<KafkaError.Code?>(.timedOut)

    func set(_ code: KafkaError.Code?) { self.code.withLock { $0 = code } }
    func get() -> KafkaError.Code? { code.withLock { $0 } }
}
