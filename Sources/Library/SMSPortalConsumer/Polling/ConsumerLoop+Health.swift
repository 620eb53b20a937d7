internal import SMSBridgeKafka
internal import SMSBridgeTelemetry
internal import SMSBridgeThreads
internal import SMSPortalEvents

/// A handler that is running, by its event and attempt.
struct RunningHandler: Hashable, Sendable {
    let topic: String
    let partition: Int32
    let offset: Int64
    let attempt: Int
}

/// What ``EventConsumer/health`` shows of this thread.
extension ConsumerLoop {
    func reportHealth() {
        guard replay == nil else { return }
        let all = partitions.map {
            ConsumerHealth.Partition(
                topic: $0.topic, partition: $0.partition, lag: $0.lag, isPaused: isPaused || $0.isPausedForSpan)
        }.sorted { ($0.topic, $0.partition) < ($1.topic, $1.partition) }
        let isJoined = configuration.joinsGroup ? consumer.isJoined && revocation == nil : !all.isEmpty
        let waiting = unplaced.partitions.count
        let records = dispatcher.read { $0.records }
        let running = dispatcher.handlers
        monitor.update { [isKafkaUnreachable] health in
            health.partitions = all
            health.isJoined = isJoined
            health.isKafkaReachable = !isKafkaUnreachable
            health.waitingPartitions = waiting
            health.runningHandlers = running
            health.bufferedEvents = records
        }
    }

    /// Notes which handlers have been running for too long. One that blocks its thread is found, too: nothing is asked of it.
    func lookForBlockedHandlers() {
        guard replay == nil else { return }
        let now = monotonicNow()
        var seen: [RunningHandler: UInt64] = [:]
        for taken in dispatcher.runningHandlers {
            // Of a partition that was given up the handler is another member's problem as well.
            guard let partition = partitions.first(where: { $0.assignment == taken.assignment }) else { continue }
            let handler = RunningHandler(
                topic: partition.topic, partition: partition.partition, offset: taken.offset, attempt: taken.attempt)
            seen[handler] = handlersSeen[handler] ?? now
        }
        handlersSeen = seen
        let limit = configuration.blockedHandlerTime.nanoseconds
        let blocked = seen.filter { now - $0.value >= limit }.sorted { $0.value < $1.value }.prefix(100).map {
            ConsumerHealth.BlockedHandler(
                topic: $0.key.topic, partition: $0.key.partition, offset: $0.key.offset,
                seconds: Int((now - $0.value) / 1_000_000_000))
        }
        monitor.update { $0.blockedHandlers = blocked }
    }

    /// All connections have failed.
    func kafkaStoppedAnswering() {
        isKafkaUnreachable = true
        outages += 1
        // Asks at once, and then every few seconds, until an answer comes.
        nextLook = 0
        reportHealth()
    }

    /// - Parameter asked: ``outages`` when the request was sent.
    func kafkaAnswered(asked: Int) {
        guard isKafkaUnreachable, asked == outages else { return }
        isKafkaUnreachable = false
        reportHealth()
    }
}

extension HealthMonitor {
    /// The run is over: nothing is assigned any more.
    func ended() {
        update { health in
            health.state = .ended
            health.isJoined = false
            health.partitions = []
            health.waitingPartitions = 0
            health.runningHandlers = 0
            health.bufferedEvents = 0
            health.blockedHandlers = []
        }
    }

    /// Takes the last problem from a log line of the consumer's own.
    func note(_ entry: LogEntry) {
        guard entry.label != "handler" else { return }
        var message = entry.message
        for (name, value) in entry.fields.pairs where name == "error" || name == "reason" {
            if case .text(let text) = value { message += ": \(text)" }
        }
        let error = ConsumerHealth.LastError(
            message: message, time: EventTime(millisecondsSinceEpoch: wallClockMilliseconds()))
        update { $0.lastError = error }
    }
}

extension EventConsumer.Configuration {
    /// The same, with a log whose warnings and errors are noted.
    func reporting(to monitor: HealthMonitor) -> Self {
        var configuration = self
        configuration.log = EventLog(sink: log.sink.observed(from: .warning) { monitor.note($0) })
        return configuration
    }
}
