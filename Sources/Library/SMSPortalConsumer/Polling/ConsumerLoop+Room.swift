internal import SMSBridgeKafka
internal import SMSBridgeTelemetry
internal import SMSBridgeThreads

/// Back-pressure: what is held is bounded, and so is the span of a partition.
extension ConsumerLoop {
    /// Reads no more while too much is held, and goes on when half of it is done. When the handlers have not enough to do
    /// nevertheless, keys that hold too many records release some.
    func makeRoom(isFull: Bool) {
        if isPaused {
            guard dispatcher.update({ !$0.throttle() }) || releaseRecords() else { return }
            isPaused = false
            reportHealth()
            resume(partitions.filter { !$0.isPausedForSpan && !$0.isRead })
        } else if isFull {
            let start = monotonicNow()
            let deadline = start + Self.roomPatience.nanoseconds
            // A few numbers whose handlers are quick make room by themselves; to read their events again would take longer.
            let release = start + Self.releasePatience.nanoseconds
            var now = start
            while dispatcher.update({ $0.throttle() }), control.stopWanted == nil {
                now = monotonicNow()
                let due = serveDispatcher(now: now)
                if now >= release, releaseRecords() { break }
                let isOver = now >= deadline && (now >= release || dispatcher.read { !$0.wouldRelease })
                if isOver { break }
                let next = min(now < deadline ? deadline : release, due ?? .max)
                control.waitForRoom(milliseconds: Int32((next - min(now, next)) / 1_000_000 + 1))
            }
            guard dispatcher.read({ $0.isFull }) else { return }
            isPaused = true
            reportHealth()
            pause(partitions)
            let (records, keys) = dispatcher.read { ($0.records, $0.keyCount) }
            log.log(
                .info, onceIn: repeats, key: "paused",
                "reading paused until handlers have finished half of the held events",
                ["events": records, "numbers": keys, "limit": configuration.maxBufferedEvents])
        }
        guard spansHaveChanged else { return }
        spansHaveChanged = false
        for index in partitions.indices {
            let assignment = partitions[index].assignment
            let wasFull = partitions[index].isPausedForSpan
            let isFull = dispatcher.read { $0.isSpanFull(of: assignment, wasFull: wasFull) }
            guard isFull != wasFull else { continue }
            partitions[index].isPausedForSpan = isFull
            reportHealth()
            if isFull {
                log.log(
                    .error, onceIn: repeats, key: "span \(partitions[index].topic) \(partitions[index].partition)",
                    "partition paused: its first unfinished event is too far behind",
                    [
                        "topic": partitions[index].topic, "partition": partitions[index].partition,
                        "limit": configuration.maxSpan,
                    ])
                if !isPaused { pause([partitions[index]]) }
            } else if !isPaused {
                resume([partitions[index]])
            }
        }
    }

    /// How long numbers whose events fill the room may take to make some, before they release events.
    private static let releasePatience = Duration.milliseconds(200)

    /// - Returns: whether keys have released records, so that others can be read.
    private func releaseRecords() -> Bool {
        let released = dispatcher.update { $0.release() }
        guard released.records > 0 else { return false }
        rereader.begin()
        metrics.releasedEvents.increment(by: UInt64(released.records))
        log.log(
            .warning, onceIn: repeats, key: "released",
            "events released: their numbers hold too many unfinished events; they are read again later",
            ["numbers": released.keys, "events": released.records])
        return true
    }

    func pause(_ partitions: [AssignedPartition]) {
        guard !partitions.isEmpty else { return }
        do { try consumer.pause(partitions.map(\.topicPartition)) } catch {
            log.warning("partitions could not be paused", ["error": error.message])
        }
    }

    func resume(_ partitions: [AssignedPartition]) {
        guard !partitions.isEmpty else { return }
        do { try consumer.resume(partitions.map(\.topicPartition)) } catch {
            log.warning("partitions could not be resumed", ["error": error.message])
        }
    }
}
