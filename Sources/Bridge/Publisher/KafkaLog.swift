internal import SMSBridgeKafka
internal import SMSBridgeSpool
internal import SMSBridgeTelemetry
internal import SMSPortalEvents

/// What the publisher says in the log about Kafka. An outage repeats itself many times a second; the log does not.
struct KafkaLog {
    let logger: Logger
    let metrics: PublisherMetrics
    private let repeats = RepeatGuard(interval: .seconds(30))

    init(logger: Logger, metrics: PublisherMetrics) {
        self.logger = logger
        self.metrics = metrics
    }

    func deliveryFailed(_ error: KafkaError.Code, topic: Int) {
        let topic = EventTopic(rawValue: topic)?.suffix ?? ""
        guard let suppressed = repeats.admit("delivery \(error) \(topic)") else { return }
        logger.error(
            "Kafka did not take an event", ["topic": topic, "error": error.description, "repeated": suppressed])
    }

    func clientError(_ error: KafkaError) {
        guard let suppressed = repeats.admit("client \(error.code)") else { return }
        logger.warning(
            "Kafka client error",
            ["error": error.code.description, "reason": error.message, "repeated": suppressed])
    }

    func line(level: Int32, facility: String, text: String) {
        // Errors and state changes come as events as well; librdkafka's own lines are for who wants to look deeper.
        if level > 4 {
            // Whoever asks for them (kafka.properties.debug) wants each: most of one facility are different ones.
            return logger.debug("librdkafka", ["facility": facility, "text": text])
        }
        guard let suppressed = repeats.admit("line \(facility)") else { return }
        logger.warning("librdkafka", ["facility": facility, "text": text, "repeated": suppressed])
    }

    func spoolOpened(_ totals: [SpoolTotals]) {
        let rows = totals.reduce(0) { $0 + $1.rows }
        logger.info("the spool is open", ["events": rows, "bytes": totals.reduce(0) { $0 + $1.bytes }])
    }

    func spoolFailed(_ error: SpoolError) {
        guard let suppressed = repeats.admit("spool \(error.code.rawValue)") else { return }
        logger.error(
            "the spool cannot store events",
            ["error": error.code.rawValue, "reason": error.message, "repeated": suppressed])
    }

    func setAside(_ file: SetAsideFile) {
        var fields: LogFields = ["file": file.path, "reason": file.reason.message]
        if let copied = file.copied { fields.append(["copied": copied]) }
        if !file.left.isEmpty { fields.append(["left": file.left.prefix(5).joined(separator: "; ")]) }
        logger.error("the spool's file was damaged and is set aside; a new one takes its place", fields)
    }

    func inContainerLayer(_ path: String) {
        logger.warning(
            "the spool is in the container's own layer and goes with the container: mount a volume", ["path": path])
    }

    func notInspectable(_ error: SpoolError) {
        logger.warning("the spool commands cannot ask this bridge", ["reason": error.message])
    }

    /// An event was answered 503.
    func unavailable(_ lane: Int, _ reason: PublishOutcome.Reason) {
        let topic = EventTopic(rawValue: lane)?.suffix ?? ""
        guard let suppressed = repeats.admit("unavailable \(reason.rawValue) \(topic)") else { return }
        logger.error(
            "events are answered 503", ["topic": topic, "reason": reason.rawValue, "repeated": suppressed])
    }

    func laneChanged(_ lane: Int, isOpen: Bool) {
        let topic = EventTopic(rawValue: lane)?.suffix ?? ""
        guard let suppressed = repeats.admit("lane \(topic) \(isOpen)") else { return }
        let fields: LogFields = ["topic": topic, "repeated": suppressed]
        if isOpen {
            logger.info("events go to Kafka again", fields)
        } else {
            logger.warning("Kafka is late: events go to the spool", fields)
        }
    }

    func replacing(_ error: KafkaError?) {
        var reason = error?.description ?? "unknown"
        if error?.code == .clusterNotAuthorized {
            reason +=
                "; this takes Write on a topic (before Kafka 2.8: IdempotentWrite on the cluster): smsbridge check names the command"
        }
        guard let suppressed = repeats.admit("fatal \(reason)") else { return }
        logger.error(
            "fatal producer error: the producer is replaced", ["error": reason, "repeated": suppressed])
    }

    func recreating() {
        logger.info("recreating the producer with the changed configuration")
    }

    func replaced() {
        guard let suppressed = repeats.admit("replaced") else { return }
        logger.info("the producer has been replaced", ["repeated": suppressed])
    }

    func replacementFailed(_ reason: String) {
        guard repeats.admit("replacement") != nil else { return }
        logger.error("the producer could not be replaced yet", ["reason": reason])
    }
}
