internal import SMSBridgeKafka
internal import SMSBridgeReplaying
internal import SMSBridgeTelemetry
internal import SMSBridgeThreads

/// Commits, and how far behind the group is.
extension ConsumerLoop {
    /// What can be committed and has not been.
    func offsets(of places: [AssignedPartition]) -> [TopicPartition] {
        dispatcher.read { core in
            places.compactMap { place in
                guard let watermark = core.watermark(of: place.assignment), watermark != place.committed else {
                    return nil
                }
                if let planned = place.planned, let plan = replay?.plan {
                    return replay?.checkpoint?.place(of: planned, in: plan, at: watermark)
                }
                return TopicPartition(place.topic, place.partition, offset: watermark)
            }
        }
    }

    /// Whether the group's generation is certain. In the middle of a rebalance it is not; what is given up is committed
    /// once, at the end of it.
    var canCommit: Bool { revocation == nil && pendingAssignment == nil && !consumer.isJoining }

    func commitLater() {
        guard canCommit else { return }
        let offsets = offsets(of: partitions)
        guard !offsets.isEmpty else { return }
        do { try consumer.commitLater(offsets) } catch { committed(offsets, error) }
    }

    func commitNow(_ given: [TopicPartition]) {
        let assignments = assignments(of: given)
        let offsets = offsets(of: partitions.filter { assignments.contains($0.assignment) })
        guard !offsets.isEmpty else { return }
        do {
            try consumer.commit(offsets)
            committed(offsets, nil)
        } catch {
            committed(offsets, error)
        }
    }

    func committed(_ offsets: [TopicPartition], _ error: KafkaError?) {
        if let error {
            metrics.commitFailures.increment()
            log.log(
                .warning, onceIn: repeats, key: "commit \(error.code)",
                "offsets could not be committed; what was handled since may be handled again", ["error": error.message])
            return
        }
        for offset in offsets {
            guard
                let index = partitions.firstIndex(where: {
                    $0.topic == offset.topic && $0.partition == offset.partition
                })
            else { continue }
            partitions[index].committed = offset.offset
        }
    }

    func look() {
        let state = dispatcher.read { ($0.records, $0.bytes) }
        metrics.running.set(Double(dispatcher.handlers))
        metrics.bufferedEvents.set(Double(state.0))
        metrics.bufferedBytes.set(Double(state.1))
        metrics.pausedPartitions.set(
            Double(isPaused ? partitions.count : partitions.count { $0.isPausedForSpan }))
        var isAnswering = true
        for partition in partitions {
            let (watermark, span) = dispatcher.read {
                ($0.watermark(of: partition.assignment), $0.span(of: partition.assignment))
            }
            var ends = consumer.fetchedWatermarks(topic: partition.topic, partition: partition.partition)
            if ends == nil || isPaused || partition.isPausedForSpan, isAnswering {
                // Nothing is fetched, so nothing is told: ask. A cluster that does not answer is not asked again.
                let asked = try? consumer.client.watermarks(
                    topic: partition.topic, partition: partition.partition, timeout: 250)
                isAnswering = asked != nil
                ends = asked ?? ends
            }
            guard let ends else { continue }
            let place = watermark ?? partition.start ?? ends.lowerBound
            metrics.setLag(
                max(0, ends.upperBound - max(place, ends.lowerBound)), span: span, topic: partition.topic,
                partition: partition.partition)
        }
    }
}
