/// Properties that are handed to librdkafka as they are. The values of secret ones are never printed.
package struct KafkaProperties: Sendable, Equatable, CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    private var values: [String: Secret] = [:]

    package init() {}

    /// Names and values in order of name, as librdkafka wants them.
    package var exposed: [(name: String, value: String)] {
        values.sorted { $0.key < $1.key }.map { (name: $0.key, value: $0.value.exposed) }
    }

    package var names: [String] { values.keys.sorted() }
    package var isEmpty: Bool { values.isEmpty }

    package subscript(name name: String) -> Secret? {
        get { values[name] }
        set { values[name] = newValue }
    }

    /// `name=value` for each, secrets as `…`.
    package var description: String {
        exposed.map { "\($0.name)=\(Self.isSecret($0.name) ? "…" : $0.value)" }.joined(separator: ",")
    }

    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: []) }

    /// Says whether the value of a property is a secret. Rather too many than one too few.
    package static func isSecret(_ name: String) -> Bool {
        ["password", "secret", "passphrase", "token", "credential", ".pem", "oauthbearer.config", "ssl_key"].contains {
            name.contains($0)
        } && !name.contains("endpoint") && !name.hasSuffix("certificate.pem") && name != "ssl.ca.pem"
    }

    /// Whether a property names a file of certificates or keys: not a library (`ssl.engine.location`), nor librdkafka's own
    /// word for the system's authorities.
    package static func namesFile(_ name: String, _ value: String) -> Bool {
        (name.hasPrefix("ssl.") || name.hasPrefix("https.")) && name.hasSuffix(".location")
            && name != "ssl.engine.location" && !value.isEmpty && value != "probe"
    }

    /// Why a property may not be set; nil when it may.
    package static func refusal(of name: String) -> String? {
        if let reason = refused[name] { return reason }
        if name.hasSuffix("_cb") { return "is a function of the program and cannot be given as text" }
        if name.hasPrefix("test.mock.") {
            return "replaces the cluster by an imitation in memory: every event would be lost"
        }
        return nil
    }

    /// The names that are refused, with the reason.
    package static let refused: [String: String] = {
        let order = "keeps a partition's order and its records free of repeats: the bridge sets it"
        let acknowledged = "is always all: a 2xx means that every in-sync replica has the event"
        let deadline = "follows from publish.deadline and the spool: the bridge sets it"
        let keys = "decides which partition a key goes to: always murmur2_random, as the Java client does"
        let linger = "is the setting publish.linger"
        let retries = "is always unbounded within the deadline: the idempotent producer needs it"
        let transactions = "would make events visible only on commit, and the bridge commits none"
        let brokers = "is the setting kafka.bootstrapServers"
        let program = "is a part of the program and cannot be given as text"
        let consumer = "belongs to a consumer: the commands that consume choose it themselves"
        return [
            "acks": acknowledged, "request.required.acks": acknowledged,
            "allow.auto.create.topics": "would create topics with the broker's defaults: see topics.create",
            "auto.commit.interval.ms": consumer, "auto.offset.reset": consumer,
            "batch.size": "is the setting publish.batchBytes",
            "bootstrap.servers": brokers, "metadata.broker.list": brokers,
            "default_topic_conf": program, "opaque": program, "interceptors": program,
            "ssl_engine_callback_data": program,
            "delivery.report.only.error": "would hide the reports for which every 2xx waits",
            "delivery.timeout.ms": deadline, "message.timeout.ms": deadline,
            "enable.auto.commit": consumer, "enable.auto.offset.store": consumer, "enable.partition.eof": consumer,
            "enable.gapless.guarantee": "makes one failed event fatal for all that follow: the spool keeps the order",
            "enable.idempotence": order, "max.in.flight": order, "max.in.flight.requests.per.connection": order,
            "enabled_events": "chooses what the bridge hears from librdkafka: the bridge sets it",
            "group.id": consumer, "group.instance.id": consumer, "isolation.level": consumer,
            "partition.assignment.strategy": consumer, "max.poll.interval.ms": consumer,
            "linger.ms": linger, "queue.buffering.max.ms": linger,
            "log.queue": "leads librdkafka's log lines into the bridge's log: the bridge sets it",
            "message.max.bytes":
                "follows from http.maxBodyBytes and http.maxTargetBytes: else accepted requests could be rejected",
            "partitioner": keys, "queuing.strategy": "lifo would turn the order of events round: always fifo",
            "queue.buffering.max.kbytes": "is the setting publish.maxInFlightBytes",
            "queue.buffering.max.messages": "is the setting publish.maxInFlight",
            "retries": retries, "message.send.max.retries": retries,
            "transactional.id": transactions, "transaction.timeout.ms": transactions,
        ]
    }()

    /// Secret properties whose names are long known: those for which the environment has a form that names a file.
    static let secretNames: [String] = [
        "sasl.oauthbearer.assertion.private.key.passphrase", "sasl.oauthbearer.assertion.private.key.pem",
        "sasl.oauthbearer.client.secret", "sasl.oauthbearer.config", "sasl.password", "ssl.key.password",
        "ssl.key.pem", "ssl.keystore.password",
    ]
}
