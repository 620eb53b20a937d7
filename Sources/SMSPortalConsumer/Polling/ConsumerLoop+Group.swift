internal import Kafka
internal import Telemetry
internal import Threads

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
        case .lost(let partitions):
            let assignments = assignments(of: partitions)
            log.warning("partitions lost", ["count": partitions.count])
            revocation = nil
            pendingAssignment = nil
            dispatcher.fence(assignments, givingBack: true)
            dispatcher.cancel(assignments)
            giveUp(partitions)
            observers.lost?(partitions.map(\.eventPartition))
        }
    }

    /// Answers the group as soon as it can be answered; polling goes on until then.
    func answer() throws(EventConsumerError) {
        if pendingAssignment != nil { try takeOver() }
        guard var revocation = self.revocation else { return }
        let running = dispatcher.read { $0.running(in: revocation.assignments) }
        let now = monotonicNow()
        if running > 0, !consumer.isAssignmentLost {
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
        if !consumer.isAssignmentLost { commitNow(revocation.partitions) }
        giveUp(revocation.partitions)
        log.info("partitions revoked", ["count": revocation.partitions.count])
        observers.revoked?(revocation.partitions.map(\.eventPartition))
    }

    /// Begins with partitions that the group has given: at their committed offsets, else where the configuration says.
    func takeOver() throws(EventConsumerError) {
        guard let given = pendingAssignment else { return }
        let start = configuration.startAt == .earliest ? TopicPartition.beginning : TopicPartition.end
        let places: [TopicPartition]
        do {
            places = try consumer.committed(given, timeout: 5_000).map {
                TopicPartition($0.topic, $0.partition, offset: $0.offset ?? start)
            }
        } catch {
            // Without it the group's place is not known, and the partitions wait.
            log.log(
                .warning, onceIn: repeats, key: "committed", "the committed offsets cannot be had",
                ["error": error.message])
            return
        }
        pendingAssignment = nil
        for place in places {
            let assignment = dispatcher.update { $0.open() }
            partitions.append(AssignedPartition(place, assignment: assignment))
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
        let offset: Int64
        switch configuration.offsetOutOfRange {
        case .earliest: offset = TopicPartition.beginning
        case .latest: offset = TopicPartition.end
        case .stop:
            throw EventConsumerError(
                .offsetOutOfRange,
                "\(place.topic)[\(place.partition)]: the group's offset is out of range: \(error.message)")
        }
        // Another place in the partition is another assignment: what was read at the old one is not counted at the new.
        let old = partitions[index].assignment
        // What workers have taken and not begun must not run beside the same key's records from the new place.
        dispatcher.fence([old], givingBack: true)
        dispatcher.update { $0.close(old) }
        let place = TopicPartition(place.topic, place.partition, offset: offset)
        let assignment = dispatcher.update { $0.open() }
        partitions[index] = AssignedPartition(place, assignment: assignment)
        do {
            try consumer.unassign(incrementally: [place])
            try consumer.assign(incrementally: [place])
            if isPaused { try consumer.pause([place]) }
        } catch {
            throw EventConsumerError(.kafka, "\(place.topic)[\(place.partition)] cannot be sought: \(error)")
        }
    }
}
