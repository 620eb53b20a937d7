internal import SMSBridgeKafka
internal import SMSBridgeSpool
internal import SMSBridgeTelemetry
internal import SMSPortalEvents

/// What the publisher logs about Kafka and the spool. An outage repeats itself many times a second; the log does not.
struct PublisherLog {
    let logger: Logger
    let metrics: PublisherMetrics
    private static let longSpooling: UInt64 = 5_000_000_000
    private let repeats = RepeatGuard(interval: .seconds(30))

    init(logger: Logger, metrics: PublisherMetrics) {
        self.logger = logger
        self.metrics = metrics
    }

    private func name(_ topic: Int) -> String { EventTopic(rawValue: topic)?.suffix ?? "" }

    /// Logs a line unless the same was logged less than 30 s ago; the next one says how many were left out.
    private func log(_ level: LogLevel, key: String, _ message: String, _ fields: LogFields) {
        guard let suppressed = repeats.admit(key) else { return }
        var fields = fields
        if suppressed > 0 { fields.append(["repeated": suppressed]) }
        logger.log(level, message, fields)
    }

    // MARK: - Kafka

    func deliveryFailed(_ error: KafkaError.Code, topic: Int) {
        log(
            .error, key: "delivery \(error) \(topic)", "delivery failed",
            ["topic": name(topic), "error": error.description])
    }

    func clientError(_ error: KafkaError) {
        log(
            .warning, key: "client \(error.code)", "Kafka client error",
            ["error": error.code.description, "reason": error.message])
    }

    func line(level: Int32, facility: String, text: String) {
        // Errors and state changes come as events as well; librdkafka's own lines are for a deeper look.
        if level > 4 {
            // Each is wanted where they are asked for (kafka.properties.debug): most of one facility are different
            // ones.
            return logger.debug("librdkafka", ["facility": facility, "text": text])
        }
        log(.warning, key: "line \(facility)", "librdkafka", ["facility": facility, "text": text])
    }

    func recreating(_ error: KafkaError?) {
        var reason = error?.description ?? "unknown"
        if error?.code == .clusterNotAuthorized {
            reason +=
                "; it needs Write on a topic (before Kafka 2.8: IdempotentWrite on the cluster): smsbridge check prints the command"
        }
        log(.error, key: "fatal \(reason)", "fatal producer error, recreating the producer", ["error": reason])
    }

    func recreatingOnRequest() { logger.info("recreating the producer with the changed configuration") }

    func recreated() { log(.info, key: "recreated", "producer recreated", [:]) }

    func recreationFailed(_ reason: String) {
        log(.error, key: "recreation", "failed to recreate the producer, retrying", ["reason": reason])
    }

    /// Never suppressed: each needs an action.
    func clusterChanged(from previous: String, to current: String) {
        logger.error(
            "Kafka cluster changed: the brokers' address leads to another cluster; events in flight are sent to it again",
            ["previous": previous, "current": current])
    }

    func logReset(_ partitions: [String]) {
        logger.error(
            "partition log was reset: it ends before offsets that were acknowledged, records before may be lost; "
                + "events in flight are sent again",
            ["partitions": partitions.prefix(10).joined(separator: ",")])
    }

    /// Never left out, like the above.
    func auditMismatch(_ topic: String, _ partition: Int32, _ offset: Int64) {
        logger.error(
            "audit mismatch: an acknowledged record is not in the log at its offset; events in flight are sent again",
            ["topic": topic, "partition": "\(partition)", "offset": "\(offset)"])
    }

    func auditFailed(_ topic: String, _ reason: String) {
        log(
            .warning, key: "audit \(topic)", "audit could not read a record back: it needs Read on the topic",
            ["topic": topic, "reason": reason])
    }

    // MARK: - Timestamps and rejections

    func timestampsRejected(_ topic: Int, total: Int) {
        log(
            .error, key: "timestamp \(topic)",
            "Kafka rejects timestamps: this machine's clock or the broker's is wrong; the events are retried",
            ["topic": name(topic), "rejectedTotal": total])
    }

    // MARK: - The spool

    func spoolOpened(_ totals: [SpoolTotals]) {
        let rows = totals.reduce(0) { $0 + $1.rows }
        logger.info("spool opened", ["events": rows, "bytes": totals.reduce(0) { $0 + $1.bytes }])
    }

    func spoolFailed(_ error: SpoolError) {
        log(
            .error, key: "spool \(error.code.rawValue)", "spool cannot store or read events",
            ["error": error.code.rawValue, "reason": error.message])
    }

    /// Rows can be read all the same.
    func spoolWritesFailing(_ error: SpoolError) {
        logger.error("spool writes failing", ["error": error.code.rawValue, "reason": error.message])
    }

    func spoolWritesRecovered() { logger.info("spool writes recovered") }

    func spoolFilesRemoved(_ folder: String) {
        logger.error(
            "spool files removed while open: rows are read from the open file and copied into a new one",
            ["folder": folder])
    }

    func spoolFilesRestored(_ folder: String, rows: Int64) {
        logger.warning("spool files restored from the open file", ["folder": folder, "rows": rows])
    }

    func setAside(_ file: QuarantinedFile) {
        var fields: LogFields = ["file": file.path, "reason": file.reason.message]
        if let copied = file.copied { fields.append(["recovered": copied]) }
        if !file.left.isEmpty { fields.append(["lost": file.left.prefix(5).joined(separator: "; ")]) }
        logger.error("spool database corrupt: moved aside, new database created", fields)
    }

    func inContainerLayer(_ path: String) {
        logger.warning(
            "spool is in the container's writable layer and is lost with the container: mount a volume", ["path": path])
    }

    func notInspectable(_ error: SpoolError) {
        logger.warning("spool inspection socket unavailable", ["reason": error.message])
    }

    /// An event was answered 503.
    func unavailable(_ topic: Int, _ reason: PublishOutcome.Reason) {
        log(
            .error, key: "unavailable \(reason.rawValue) \(topic)", "events rejected with 503",
            ["topic": name(topic), "reason": reason.rawValue])
    }

    func queueChanged(_ topic: Int, _ change: PublisherCore.QueueChange) {
        switch change {
        case .spooling(let cause):
            log(
                .warning, key: "spooling \(topic) \(cause.rawValue)", "topic switched to spool",
                ["topic": name(topic), "cause": cause.rawValue])
        case .direct(let result):
            let message = "topic switched to direct"
            if let nanoseconds = result.nanoseconds, nanoseconds >= Self.longSpooling {
                // Never left out: the end of an outage.
                logger.info(message, fields(topic, result))
            } else {
                log(.info, key: "direct \(topic)", message, fields(topic, result))
            }
        case .bypassing(let rows):
            log(
                .error, key: "bypass \(topic)",
                "spool bypassed: its disk does not answer in time, new events go to Kafka before the backlog",
                ["topic": name(topic), "backlog": rows])
        case .backlogEnded(let result):
            log(.info, key: "backlog \(topic)", "spool backlog drained after the bypass", fields(topic, result))
        }
    }

    private func fields(_ topic: Int, _ result: PublisherCore.DrainResult) -> LogFields {
        var fields: LogFields = ["topic": name(topic), "drained": result.events]
        if let nanoseconds = result.nanoseconds {
            fields.append("durationSeconds", Double(nanoseconds / 1_000_000) / 1e3)
        }
        return fields
    }
}
