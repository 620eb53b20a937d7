internal import SMSBridgeKafka
internal import SMSBridgeTelemetry
internal import SMSBridgeThreads

/// Partitions that the group has given to this member and that are not read yet, because their offsets are looked up.
struct UnplacedPartitions {
    var partitions: [TopicPartition] = []
    /// When they were assigned, in milliseconds since 1970.
    var assignedAt: Int64 = 0
    /// When the next lookup may begin, by the monotonic clock.
    var nextLookup: UInt64 = 0
    /// What earlier lookups have found about topics that are not placed completely.
    var marks: [String: PositionMark] = [:]
    /// Counts the lookups: the answer to one that was begun for an earlier assignment is dropped.
    var lookup: UInt64 = 0
    var isLookingUp = false
}

/// The group: partitions come and go. Every rebalance is answered at once or when the handlers of what is given up have
/// finished; no question to Kafka is waited for on this thread.
extension ConsumerLoop {
    func begin(_ rebalance: Rebalance) {
        metrics.rebalances.increment()
        defer { reportHealth() }
        checkCluster()
        switch rebalance {
        case .assigned(let partitions):
            // The group is answered first: it must not wait for offsets that cannot be looked up.
            do { try consumer.assign(incrementally: []) } catch {
                log.warning("rebalance could not be answered", ["error": error.message])
            }
            take(partitions)
        case .revoked(let partitions):
            let assignments = assignments(of: partitions)
            dispatcher.fence(assignments, givingBack: false)
            revocation = Revocation(
                partitions: partitions, assignments: assignments,
                deadline: monotonicNow() + configuration.revokeTimeout.nanoseconds)
        case .lost(let partitions): lose(partitions)
        }
    }

    /// Begins to look up where partitions are to be read.
    func take(_ partitions: [TopicPartition]) {
        unplaced.partitions += partitions
        unplaced.assignedAt = wallClockMilliseconds()
        unplaced.nextLookup = 0
        lookUp(now: monotonicNow())
    }

    /// Others have them already.
    private func lose(_ partitions: [TopicPartition]) {
        let assignments = assignments(of: partitions)
        log.warning("partitions lost", ["count": partitions.count])
        revocation = nil
        dispatcher.fence(assignments, givingBack: true)
        dispatcher.cancel(assignments)
        giveUp(partitions)
        observers.lost?(partitions.map(\.eventPartition))
    }

    /// Goes on with what has been begun: lookups, relocations, and a revocation whose handlers may have finished.
    func answer() throws(EventConsumerError) {
        takeResults()
        let now = monotonicNow()
        lookUp(now: now)
        if !relocations.isEmpty { relocate(now: now) }
        guard var revocation = self.revocation else { return }
        // Handlers may have taken so long that the group has given up waiting.
        if consumer.isAssignmentLost { return lose(revocation.partitions) }
        switch revocation.phase {
        case .handlers:
            let running = dispatcher.read { $0.running(in: revocation.assignments) }
            if running > 0, !(revocation.isCancelled && now >= revocation.deadline) {
                guard now >= revocation.deadline else { return }
                log.warning("handlers cancelled: their partitions go to other members", ["count": running])
                dispatcher.fence(revocation.assignments, givingBack: true)
                dispatcher.cancel(revocation.assignments)
                revocation.isCancelled = true
                revocation.deadline = now + Self.cancelGrace.nanoseconds
                self.revocation = revocation
                return
            }
            // What is left of the time, and a second at least.
            let deadline = max(
                now + Self.leastCommitTime.nanoseconds, min(revocation.deadline, now + Self.commitTimeout.nanoseconds))
            revocation.deadline = deadline
            revocation.phase = .commit
            self.revocation = revocation
            commitRevoked(revocation)
        case .commit:
            if now >= revocation.deadline {
                metrics.commitFailures.increment()
                log.warning("offsets of revoked partitions were not committed in time; their events are handled again")
                endRevocation()
            } else if let next = revocation.nextCommit, now >= next {
                commitRevoked(revocation)
            }
        case .done: endRevocation()
        }
    }

    /// Commits what is done of revoked partitions, and again when that failed in passing: the group waits for this member,
    /// and its generation stays valid until the rebalance is answered.
    private func commitRevoked(_ revocation: Revocation) {
        self.revocation?.nextCommit = nil
        let isBegun = commit(
            partitions.filter { revocation.assignments.contains($0.assignment) }, deadline: revocation.deadline,
            .duringRevocation
        ) { loop, outcome in
            if let error = outcome.error, error.code.isTransient || error.code == .rebalanceInProgress {
                loop.revocation?.nextCommit = monotonicNow() + Self.joiningPause
                return
            }
            if let error = outcome.error, error.code.isOfRebalance {
                loop.metrics.commitFailures.increment()
                loop.log.warning(
                    "offsets of revoked partitions were rejected; their events are handled again",
                    ["error": error.message])
            }
            loop.revocation?.phase = .done
        }
        if !isBegun { endRevocation() }
    }

    private func endRevocation() {
        guard let revocation else { return }
        self.revocation = nil
        giveUp(revocation.partitions)
        log.info("partitions revoked", ["count": revocation.partitions.count])
        observers.revoked?(revocation.partitions.map(\.eventPartition))
    }

    // MARK: Offsets to begin at

    /// Starts a lookup of what is not placed yet, unless one is under way.
    private func lookUp(now: UInt64) {
        guard !unplaced.partitions.isEmpty, !unplaced.isLookingUp, now >= unplaced.nextLookup else { return }
        unplaced.lookup &+= 1
        unplaced.isLookingUp = true
        let number = unplaced.lookup
        let lookup = PositionLookup(
            partitions: unplaced.partitions, starts: startPositions, readBefore: readBefore, marks: unplaced.marks,
            assignedAt: unplaced.assignedAt)
        inBackground {
            lookup.run($0)
        } then: { loop, answer in
            loop.unplaced.isLookingUp = false
            guard loop.unplaced.lookup == number else { return }
            loop.place(answer)
        }
    }

    /// Reads what has been placed.
    private func place(_ answer: PositionLookup.Answer) {
        guard !checkCluster() else { return }
        if !answer.foreignClusters.isEmpty {
            metrics.clusterChanges.increment()
            log.warning(
                "committed offsets come from another cluster",
                [
                    "committedIn": answer.foreignClusters.sorted(), "cluster": consumer.client.clusterID ?? "unknown",
                    "group": configuration.group,
                ])
        }
        unplaced.marks = answer.marks
        let wanted = Set(unplaced.partitions)
        // Some may have been revoked since.
        let found = answer.positions.filter {
            wanted.contains(TopicPartition($0.partition.topic, $0.partition.partition))
        }
        for position in found {
            let place = TopicPartition(
                position.partition.topic, position.partition.partition, offset: position.partition.offset)
            let assignment = dispatcher.update { core in
                let assignment = core.open(topic: place.topic, partition: place.partition)
                if let offset = place.offset, offset >= 0 { core.pass(offset, of: assignment) }
                return assignment
            }
            partitions.append(
                AssignedPartition(
                    place, assignment: assignment, topicPosition: intake.position(of: place.topic),
                    isCommitted: position.isCommitted,
                    mark: answer.marks[place.topic] ?? PositionMark()))
            readBefore.insert(TopicPartition(place.topic, place.partition))
        }
        unplaced.partitions.removeAll { one in
            found.contains { $0.partition.topic == one.topic && $0.partition.partition == one.partition }
        }
        if !unplaced.partitions.isEmpty {
            unplaced.nextLookup = monotonicNow() + Self.lookupPause
            log.log(
                .warning, onceIn: repeats, key: "lookup",
                "offsets of partitions could not be looked up yet; these partitions wait",
                [
                    "partitions": unplaced.partitions.prefix(10).map { "\($0.topic)[\($0.partition)]" },
                    "count": unplaced.partitions.count, "error": answer.error?.message ?? "no leader",
                ])
        }
        guard !found.isEmpty else { return }
        let places = found.map {
            TopicPartition($0.partition.topic, $0.partition.partition, offset: $0.partition.offset)
        }
        do {
            try consumer.assign(incrementally: places)
            // A partition that comes back may still be paused from the last time.
            if isPaused { try consumer.pause(places) } else { try consumer.resume(places) }
        } catch {
            log.warning("partitions could not be assigned", ["error": error.message])
        }
        log.info("partitions assigned", ["count": places.count])
        reportHealth()
        observers.assigned?(places.map(\.eventPartition))
        // Where a group begins is committed like any other position: "the end" would be another one after the next
        // assignment, and a commit that vanishes tells of a deleted topic.
        if found.contains(where: { !$0.isCommitted }) { nextCommit = 0 }
    }

    /// Without the group's protocol: every partition there is, as soon as Kafka tells which.
    func takeAll(of topics: [String]) {
        while control.stopWanted == nil {
            guard let metadata = try? consumer.client.metadata(timeout: 500) else { continue }
            let all = metadata.topics.filter { topics.contains($0.name) }.flatMap { topic in
                topic.partitions.map { TopicPartition(topic.name, $0.id) }
            }
            // A partition whose broker is not connected yet would ask for its first offset half a second later.
            if let first = all.first {
                _ = try? consumer.client.watermarks(topic: first.topic, partition: first.partition, timeout: 500)
            }
            take(all)
            return
        }
    }

    // MARK: Giving up

    func giveUp(_ given: [TopicPartition]) {
        let assignments = assignments(of: given)
        dispatcher.update { core in
            for assignment in assignments { core.close(assignment) }
        }
        let gone = partitions.filter { assignments.contains($0.assignment) }
        for partition in gone { metrics.forget(topic: partition.topic, partition: partition.partition) }
        partitions.removeAll { assignments.contains($0.assignment) }
        unplaced.partitions.removeAll { one in
            given.contains { $0.topic == one.topic && $0.partition == one.partition }
        }
        reportHealth()
        // librdkafka refuses the whole list for one partition that was not assigned.
        do { try consumer.unassign(incrementally: gone.map(\.topicPartition)) } catch {
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
        if let replay { return try skipDeleted(of: index, replay) }
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
        relocate(partitions[index].assignment, to: .policy)
    }

    // MARK: Another cluster

    /// Compares the cluster's id with the one before. When the address leads to another cluster, offsets of the old one mean
    /// nothing there, and all partitions are placed again.
    ///
    /// - Returns: Whether it has changed.
    @discardableResult
    func checkCluster() -> Bool {
        guard let current = consumer.client.clusterID else { return false }
        guard let before = clusterID, current != before else {
            clusterID = current
            return false
        }
        clusterID = current
        metrics.clusterChanges.increment()
        log.error(
            "the bootstrap address leads to another cluster: offsets of the previous one are dropped",
            ["previous": before, "cluster": current, "group": configuration.group])
        guard replay == nil else {
            control.stop(
                .failed(
                    EventConsumerError(
                        .kafka, "the cluster has changed from \(before) to \(current) during the replay")))
            return true
        }
        // The group of the new cluster does not know this member, which will join it again. Until then its own committed offsets
        // hold, or the configured start.
        let all = partitions.map(\.topicPartition) + unplaced.partitions
        let assignments = partitions.map(\.assignment)
        dispatcher.fence(assignments, givingBack: true)
        dispatcher.cancel(assignments)
        revocation = nil
        relocations = []
        giveUp(all)
        unplaced = UnplacedPartitions(lookup: unplaced.lookup &+ 1)
        readBefore = []
        observers.lost?(all.map(\.eventPartition))
        take(all)
        return true
    }
}
