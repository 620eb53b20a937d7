internal import SMSBridgeKafka
internal import SMSBridgeReplaying
internal import SMSBridgeTelemetry
internal import SMSBridgeThreads

/// Commits, and how far behind the group is.
extension ConsumerLoop {
    /// What can be committed and has not been.
    func offsets(of places: [AssignedPartition]) -> [TopicPartition] {
        if let replay { return offsets(of: replay) }
        return dispatcher.read { core in
            places.compactMap { place in
                guard let watermark = core.watermark(of: place.assignment), watermark != place.committed else {
                    return nil
                }
                return TopicPartition(
                    place.topic, place.partition, offset: watermark,
                    metadata: configuration.joinsGroup ? place.mark.text : nil)
            }
        }
    }

    /// Whether the group's generation is certain. In the middle of a rebalance it is not, and shortly before one neither;
    /// what is given up is committed once, at the end of it.
    ///
    /// A commit that has been postponed for long is sent unless a rebalance is under way: heartbeats may come close
    /// together, or be answered late.
    var canCommit: Bool {
        guard revocation == nil, !consumer.isJoining else { return false }
        if consumer.membership.isSettled { return true }
        return commitPostponed.map { monotonicNow() >= $0 + Self.commitPatience } ?? false
    }

    func commitLater(now: UInt64) {
        guard !isCommitting, !checkCluster() else { return }
        guard canCommit else {
            commitPostponed = commitPostponed ?? now
            return
        }
        let relocated = Set(relocations.map(\.assignment))
        let places = partitions.filter { !relocated.contains($0.assignment) }
        let deadline = now + Self.commitTimeout.nanoseconds
        isCommitting = commit(places, deadline: deadline, .beforeRebalance) { loop, outcome in
            loop.isCommitting = false
            guard outcome.isWorthRepeating else { return loop.commitPostponed = nil }
            loop.commitPostponed = loop.commitPostponed ?? now
            loop.nextCommit = monotonicNow() + Self.joiningPause
        }
        if !isCommitting { commitPostponed = nil }
    }

    /// When a commit may be sent.
    enum CommitMoment {
        /// While no rebalance is under way or about to begin.
        case beforeRebalance
        /// At once: the group waits for the answer to a rebalance.
        case duringRevocation
    }

    /// Commits what is done of partitions, on the thread for blocking calls.
    ///
    /// - Parameters:
    ///   - deadline: When it is given up.
    ///   - then: Called on this thread once the outcome is known.
    /// - Returns: false when there is nothing to commit; `then` is not called.
    func commit(
        _ places: [AssignedPartition], deadline: UInt64, _ moment: CommitMoment,
        then: @escaping (ConsumerLoop, CommitCall.Outcome) -> Void
    ) -> Bool {
        let offsets = offsets(of: places)
        guard !offsets.isEmpty else { return false }
        let wanted = Set(offsets.map { TopicPartition($0.topic, $0.partition) })
        // The group of a replay has no members, so Kafka lets its offsets expire one by one.
        let known =
            replay != nil || !configuration.joinsGroup
            ? [] : places.filter { $0.committed != nil && wanted.contains($0.topicPartition) }.map(\.topicPartition)
        let membership = consumer.membership
        // A commit that has been postponed for long does not wait for a quiet moment any more.
        let isSettled = membership.isSettled
        let call = CommitCall(offsets: offsets, committedBefore: known, deadline: deadline) {
            moment == .duringRevocation || (isSettled ? membership.isSettled : !membership.isJoining)
        }
        return inBackground {
            call.run($0)
        } then: { loop, outcome in
            loop.committed(outcome)
            then(loop, outcome)
        }
    }

    private func committed(_ outcome: CommitCall.Outcome) {
        if let error = outcome.error, error.code.isOfRebalance {
            log.debug("commit rejected because of a rebalance", ["error": error.message])
        } else if let error = outcome.error {
            metrics.commitFailures.increment()
            log.log(
                .warning, onceIn: repeats, key: "commit \(error.code)",
                "offsets could not be committed; what was handled since may be handled again", ["error": error.message])
        }
        for offset in outcome.committed {
            guard
                let index = partitions.firstIndex(where: {
                    $0.topic == offset.topic && $0.partition == offset.partition
                })
            else { continue }
            partitions[index].committed = offset.offset
        }
        for place in outcome.vanished {
            guard let index = partitions.firstIndex(where: { $0.topicPartition == place }) else { continue }
            recreated(partitions[index])
        }
    }

    /// Its topic was deleted and created again.
    func recreated(_ partition: AssignedPartition) {
        metrics.topicsRecreated.increment()
        log.error(
            "topic was deleted and created again: reading from its beginning",
            ["topic": partition.topic, "partition": partition.partition, "committed": partition.committed ?? -1])
        relocate(partition.assignment, to: .beginning)
    }

    func look() {
        checkCluster()
        let state = dispatcher.read { ($0.records, $0.bytes) }
        metrics.running.set(Double(dispatcher.handlers))
        metrics.bufferedEvents.set(Double(state.0))
        metrics.bufferedBytes.set(Double(state.1))
        metrics.pausedPartitions.set(
            Double(isPaused ? partitions.count : partitions.count { $0.isPausedForSpan }))
        var unknown: [TopicPartition] = []
        for (index, partition) in partitions.enumerated() {
            let (watermark, span) = dispatcher.read {
                ($0.watermark(of: partition.assignment), $0.span(of: partition.assignment))
            }
            var ends = consumer.fetchedWatermarks(topic: partition.topic, partition: partition.partition)
            if ends == nil || isPaused || partition.isPausedForSpan {
                // Nothing is fetched, so no fetch response carries them.
                unknown.append(partition.topicPartition)
                if let asked = partition.askedEnds, asked.upperBound > ends?.upperBound ?? 0 { ends = asked }
            }
            guard let ends else { continue }
            let place = watermark ?? partition.start ?? ends.lowerBound
            let lag = max(0, ends.upperBound - max(place, ends.lowerBound))
            partitions[index].lag = lag
            metrics.setLag(lag, span: span, topic: partition.topic, partition: partition.partition)
        }
        lookForBlockedHandlers()
        reportHealth()
        if isKafkaUnreachable { unknown = partitions.map(\.topicPartition) }
        askEnds(of: unknown)
    }

    /// Asks where partitions begin and end, for the next look. A cluster that does not answer is not asked again at once.
    private func askEnds(of places: [TopicPartition]) {
        guard !isAskingEnds else { return }
        let asked = outages
        if places.isEmpty {
            guard isKafkaUnreachable else { return }
            isAskingEnds = inBackground {
                (try? $0.metadata(timeout: 500)) != nil
            } then: { loop, isAnswered in
                loop.isAskingEnds = false
                if isAnswered { loop.kafkaAnswered(asked: asked) }
            }
            return
        }
        isAskingEnds = inBackground { client -> [(TopicPartition, Range<Int64>)] in
            var all: [(TopicPartition, Range<Int64>)] = []
            for place in places {
                guard let ends = try? client.watermarks(topic: place.topic, partition: place.partition, timeout: 500)
                else { break }
                all.append((place, ends))
            }
            return all
        } then: { loop, all in
            loop.isAskingEnds = false
            if !all.isEmpty { loop.kafkaAnswered(asked: asked) }
            for (place, ends) in all {
                guard let index = loop.partitions.firstIndex(where: { $0.topicPartition == place }) else { continue }
                loop.partitions[index].askedEnds = ends
            }
        }
    }
}
