internal import SMSBridgeKafka
internal import SMSBridgeTelemetry
internal import SMSBridgeThreads

/// The group: partitions come and go, and each change is answered once nothing of it is being handled.
extension ConsumerLoop {
    func begin(_ rebalance: Rebalance) {
        metrics.rebalances.increment()
        switch rebalance {
        case .assigned(let partitions): pendingAssignment = partitions
        case .revoked(let partitions):
            let assignments = assignments(of: partitions)
            dispatcher.fence(assignments, givingBack: false)
            revocation = Revocation(
                partitions: partitions, assignments: assignments,
                deadline: monotonicNow() + configuration.revokeTimeout.nanoseconds)
        case .lost(let partitions): lose(partitions)
        }
    }

    /// Others have them already.
    private func lose(_ partitions: [TopicPartition]) {
        let assignments = assignments(of: partitions)
        log.warning("partitions lost", ["count": partitions.count])
        revocation = nil
        pendingAssignment = nil
        dispatcher.fence(assignments, givingBack: true)
        dispatcher.cancel(assignments)
        giveUp(partitions)
        observers.lost?(partitions.map(\.eventPartition))
    }

    /// Answers the group as soon as it can be answered; polling goes on until then.
    func answer() throws(EventConsumerError) {
        if pendingAssignment != nil { try takeOver() }
        if !relocations.isEmpty { relocate() }
        guard var revocation = self.revocation else { return }
        // Handlers may have taken so long that the group has given up waiting.
        if consumer.isAssignmentLost { return lose(revocation.partitions) }
        let running = dispatcher.read { $0.running(in: revocation.assignments) }
        let now = monotonicNow()
        if running > 0 {
            guard now >= revocation.deadline else { return }
            if !revocation.isCancelled {
                log.warning("handlers cancelled: their partitions go to other members", ["count": running])
                dispatcher.fence(revocation.assignments, givingBack: true)
                dispatcher.cancel(revocation.assignments)
                revocation.isCancelled = true
                revocation.deadline = now + Self.cancelGrace.nanoseconds
                self.revocation = revocation
                return
            }
        }
        self.revocation = nil
        commitNow(revocation.partitions)
        giveUp(revocation.partitions)
        log.info("partitions revoked", ["count": revocation.partitions.count])
        observers.revoked?(revocation.partitions.map(\.eventPartition))
    }

    /// Begins with partitions that the group has given: at their committed offsets, else where the configuration says.
    func takeOver() throws(EventConsumerError) {
        guard let given = pendingAssignment else { return }
        var places: [TopicPartition] = []
        var ends: [Int64?] = []
        do throws(KafkaError) {
            for place in try consumer.committed(given, timeout: 5_000) {
                let end = place.offset == nil ? try end(of: place) : nil
                let offset = place.offset ?? end ?? TopicPartition.beginning
                places.append(TopicPartition(place.topic, place.partition, offset: offset))
                ends.append(end)
            }
        } catch {
            // Without it the group's place is not known, and the partitions wait.
            log.log(
                .warning, onceIn: repeats, key: "committed", "the committed offsets cannot be had",
                ["error": error.message])
            return
        }
        pendingAssignment = nil
        for (place, end) in zip(places, ends) {
            let assignment = dispatcher.update { core in
                let assignment = core.open()
                if let end { core.pass(end, of: assignment) }
                return assignment
            }
            partitions.append(AssignedPartition(place, assignment: assignment, isCommitted: end == nil))
        }
        do {
            try consumer.assign(incrementally: places)
            // A partition that comes back may still be paused from the last time.
            if isPaused { try consumer.pause(places) } else { try consumer.resume(places) }
        } catch {
            log.warning("partitions could not be assigned", ["error": error.message])
        }
        log.info("partitions assigned", ["count": places.count])
        observers.assigned?(places.map(\.eventPartition))
    }

    /// Where a group that has committed nothing begins, if it is the end of the partition: as a number, which is committed
    /// like any other place. "The end" would be another one after the next assignment, and what came in between missed.
    ///
    /// - Returns: nil for the beginning; there begins the redrive topic in any case, for what is in it was sent to this
    ///   group.
    private func end(of place: TopicPartition) throws(KafkaError) -> Int64? {
        guard configuration.startAt == .latest, place.topic != configuration.redriveTopic else { return nil }
        return try consumer.client.watermarks(topic: place.topic, partition: place.partition, timeout: 2_000).upperBound
    }

    /// Without the group's protocol: every partition there is, as soon as Kafka tells which.
    func takeAll(of topics: [String]) {
        while control.stopWanted == nil {
            guard let metadata = try? consumer.client.metadata(timeout: 500) else { continue }
            pendingAssignment = metadata.topics.filter { topics.contains($0.name) }.flatMap { topic in
                topic.partitions.map { TopicPartition(topic.name, $0.id) }
            }
            // A partition whose broker is not connected yet would ask for its first offset half a second later.
            if let first = pendingAssignment?.first {
                _ = try? consumer.client.watermarks(topic: first.topic, partition: first.partition, timeout: 500)
            }
            return
        }
    }

    func giveUp(_ given: [TopicPartition]) {
        let assignments = assignments(of: given)
        dispatcher.update { core in
            for assignment in assignments { core.close(assignment) }
        }
        for partition in partitions where assignments.contains(partition.assignment) {
            metrics.forget(topic: partition.topic, partition: partition.partition)
        }
        partitions.removeAll { assignments.contains($0.assignment) }
        do { try consumer.unassign(incrementally: given) } catch {
            log.warning("partitions could not be given up", ["error": error.message])
        }
    }

    func assignments(of given: [TopicPartition]) -> [AssignmentID] {
        partitions.filter { one in given.contains { $0.topic == one.topic && $0.partition == one.partition } }
            .map(\.assignment)
    }

    func partitionFailed(_ place: TopicPartition, _ error: KafkaError) throws(EventConsumerError) {
        guard error.code == .offsetReset,
            let index = partitions.firstIndex(where: { $0.topic == place.topic && $0.partition == place.partition })
        else {
            log.log(
                .warning, onceIn: repeats, key: "partition \(place.topic) \(error.code)", "a topic cannot be read",
                ["topic": place.topic, "partition": place.partition, "error": error.message])
            return
        }
        if replay != nil {
            throw EventConsumerError(
                .offsetOutOfRange,
                "\(place.topic)[\(place.partition)]: records were deleted before they could be replayed")
        }
        // A partition that is being given up is the next member's, who meets the same.
        if let revocation, revocation.assignments.contains(partitions[index].assignment) { return }
        metrics.offsetsOutOfRange.increment()
        log.error(
            "offset out of range: events may have been missed",
            [
                "topic": place.topic, "partition": place.partition, "policy": "\(configuration.offsetOutOfRange)",
                "error": error.message,
            ])
        if configuration.offsetOutOfRange == .stop {
            throw EventConsumerError(
                .offsetOutOfRange,
                "\(place.topic)[\(place.partition)]: the group's offset is out of range: \(error.message)")
        }
        relocations.append(Relocation(assignment: partitions[index].assignment))
        relocate()
    }
}
