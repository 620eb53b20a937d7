internal import SMSBridgeKafka
internal import SMSBridgeTelemetry
internal import SMSBridgeThreads

/// A partition that cannot be read on from where it is, until it is read from another offset.
struct Relocation {
    /// Where it is read on.
    enum Target {
        /// As `offsetOutOfRange` says; at the beginning when the topic was created again.
        case policy
        case beginning
    }

    let assignment: AssignmentID
    var target: Target
    /// The new offset; nil until it has been looked up.
    var offset: Int64?
    var isLookingUp = false
    var nextLookup: UInt64 = 0
    /// When handlers of what was read at the old offset are cancelled; nil while the new one is not known to lie before it.
    var deadline: UInt64?
    var isCancelled = false
}

/// Offsets out of range, and topics created again: the partition is read on at another offset.
///
/// What has been read and is not handled yet stays as it is: it may be all that is left of what Kafka has deleted.
extension ConsumerLoop {
    func relocate(_ assignment: AssignmentID, to target: Relocation.Target) {
        if let index = relocations.firstIndex(where: { $0.assignment == assignment }) {
            guard target == .beginning, relocations[index].target == .policy else { return }
            relocations[index].target = .beginning
            relocations[index].offset = nil
        } else {
            relocations.append(Relocation(assignment: assignment, target: target))
        }
        relocate(now: monotonicNow())
    }

    /// Moves what can be moved now. Kafka may not answer, and handlers may have to be waited for.
    func relocate(now: UInt64) {
        var left: [Relocation] = []
        for var relocation in relocations {
            switch move(&relocation, now: now) {
            case .done: continue
            case .later: break
            case .afterHandlers: endHandlers(of: &relocation, now: now)
            }
            left.append(relocation)
        }
        relocations = left
    }

    private enum Outcome {
        case done, later, afterHandlers
    }

    private func move(_ relocation: inout Relocation, now: UInt64) -> Outcome {
        guard let index = partitions.firstIndex(where: { $0.assignment == relocation.assignment }) else { return .done }
        // A partition that is being given up is the next member's, who meets the same.
        if let revocation, revocation.assignments.contains(relocation.assignment) { return .done }
        guard let offset = relocation.offset else {
            lookUp(&relocation, partitions[index], now: now)
            return .later
        }
        if let deadline = relocation.deadline {
            let running = dispatcher.read { $0.running(in: [relocation.assignment]) }
            guard running == 0 || relocation.isCancelled && now >= deadline else { return .afterHandlers }
        }
        let partition = partitions[index]
        let place = TopicPartition(partition.topic, partition.partition, offset: offset)
        if relocation.deadline == nil {
            let isAhead = dispatcher.update { core in
                guard offset >= core.head(of: relocation.assignment) ?? 0 else { return false }
                core.pass(offset, of: relocation.assignment)
                return true
            }
            guard isAhead else { return .afterHandlers }
        } else {
            dispatcher.update { $0.close(relocation.assignment) }
            partitions[index] = AssignedPartition(
                place,
                assignment: dispatcher.update { core in
                    let assignment = core.open(topic: place.topic, partition: place.partition)
                    core.pass(offset, of: assignment)
                    return assignment
                }, topicPosition: partition.topicPosition, isCommitted: false, mark: partition.mark)
            nextCommit = 0
        }
        do {
            try consumer.unassign(incrementally: [place])
            try consumer.assign(incrementally: [place])
            if isPaused || partitions[index].isPausedForSpan { try consumer.pause([place]) }
        } catch {
            // The group is about to assign the partition again, or this member ends: librdkafka rejects it for no other reason.
            log.warning(
                "a partition cannot be read from another offset",
                ["topic": place.topic, "partition": place.partition, "error": error.message])
        }
        return .done
    }

    /// Asks Kafka where the partition begins and ends, and whether the group still has a position in it.
    private func lookUp(_ relocation: inout Relocation, _ partition: AssignedPartition, now: UInt64) {
        guard !relocation.isLookingUp, now >= relocation.nextLookup else { return }
        let (place, assignment) = (partition.topicPartition, relocation.assignment)
        let asksGroup = partition.committed != nil && configuration.joinsGroup && relocation.target == .policy
        relocation.isLookingUp = inBackground { client -> Result<(Range<Int64>, isCommitted: Bool), KafkaError> in
            do throws(KafkaError) {
                let ends = try client.watermarks(topic: place.topic, partition: place.partition, timeout: 5_000)
                guard asksGroup else { return .success((ends, true)) }
                return .success((ends, try client.committed([place], timeout: 5_000).first?.offset != nil))
            } catch {
                return .failure(error)
            }
        } then: { loop, result in
            guard let index = loop.relocations.firstIndex(where: { $0.assignment == assignment }) else { return }
            loop.relocations[index].isLookingUp = false
            switch result {
            case .failure(let error):
                loop.relocations[index].nextLookup = monotonicNow() + Self.lookupPause
                loop.log.log(
                    .warning, onceIn: loop.repeats, key: "watermarks",
                    "first and last offset of a partition could not be looked up",
                    ["topic": place.topic, "partition": place.partition, "error": error.message])
            case .success((let ends, let isCommitted)):
                if !isCommitted, loop.relocations[index].target == .policy {
                    loop.relocations[index].target = .beginning
                    if let partition = loop.partitions.first(where: { $0.assignment == assignment }) {
                        loop.recreated(partition)
                    }
                }
                let isAtEnd =
                    loop.relocations[index].target == .policy && loop.configuration.offsetOutOfRange == .latest
                loop.relocations[index].offset = isAtEnd ? ends.upperBound : ends.lowerBound
            }
        }
    }

    /// The new offset lies before the old one: the topic was created again, or truncated, and offsets come again that have
    /// been read. That is another assignment, and nothing of its keys may run beside what is left of the first reading.
    private func endHandlers(of relocation: inout Relocation, now: UInt64) {
        guard let deadline = relocation.deadline else {
            dispatcher.fence([relocation.assignment], givingBack: true)
            relocation.deadline = now + configuration.revokeTimeout.nanoseconds
            return
        }
        guard now >= deadline, !relocation.isCancelled else { return }
        dispatcher.cancel([relocation.assignment])
        relocation.isCancelled = true
        relocation.deadline = now + Self.cancelGrace.nanoseconds
    }
}
