internal import SMSBridgeKafka
internal import SMSBridgeTelemetry
internal import SMSBridgeThreads

/// Back-pressure: what is held is bounded, and so is the span of a partition.
extension ConsumerLoop {
    /// Reads no more while too much is held, and goes on when half of it is done.
    func makeRoom(isFull: Bool) {
        if isPaused {
            guard dispatcher.update({ !$0.throttle() }) else { return }
            isPaused = false
            reportHealth()
            resume(partitions.filter { !$0.isPausedForSpan && !$0.isRead })
        } else if isFull {
            let deadline = monotonicNow() + Self.roomPatience.nanoseconds
            while dispatcher.update({ $0.throttle() }) {
                let now = monotonicNow()
                guard now < deadline, control.stopWanted == nil else { break }
                let next = min(deadline, serveDispatcher(now: now).due ?? deadline)
                control.waitForRoom(milliseconds: Int32((next - min(now, next)) / 1_000_000 + 1))
            }
            guard dispatcher.read({ $0.isFull }) else { return }
            isPaused = true
            reportHealth()
            pause(partitions)
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
