internal import SMSBridgeKafka
internal import SMSBridgeTelemetry
internal import SMSBridgeThreads

/// A partition whose offset is out of range, until it is read from another one.
struct Relocation {
    let assignment: AssignmentID
    /// When handlers of what was read at the old place are cancelled; nil while the new place is not known to lie before it.
    var deadline: UInt64?
    var isCancelled = false
}

/// Offsets out of range: the partition is read on at the place that the policy says.
///
/// What has been read and is not handled yet stays as it is: it may be all that is left of what Kafka has deleted.
extension ConsumerLoop {
    /// Moves what can be moved now. Kafka may not answer, and handlers may have to be waited for.
    func relocate() {
        var left: [Relocation] = []
        for var relocation in relocations {
            switch move(relocation) {
            case .done: continue
            case .later: break
            case .afterHandlers: endHandlers(of: &relocation)
            }
            left.append(relocation)
        }
        relocations = left
    }

    private enum Outcome {
        case done, later, afterHandlers
    }

    private func move(_ relocation: Relocation) -> Outcome {
        guard let index = partitions.firstIndex(where: { $0.assignment == relocation.assignment }) else { return .done }
        // A partition that is being given up is the next member's, who meets the same.
        if let revocation, revocation.assignments.contains(relocation.assignment) { return .done }
        if let deadline = relocation.deadline {
            let running = dispatcher.read { $0.running(in: [relocation.assignment]) }
            guard running == 0 || relocation.isCancelled && monotonicNow() >= deadline else { return .afterHandlers }
        }
        let partition = partitions[index]
        let ends: Range<Int64>
        do {
            ends = try consumer.client.watermarks(topic: partition.topic, partition: partition.partition, timeout: 500)
        } catch {
            log.log(
                .warning, onceIn: repeats, key: "watermarks", "where a partition begins and ends cannot be had",
                ["topic": partition.topic, "partition": partition.partition, "error": error.message])
            return .later
        }
        let offset = configuration.offsetOutOfRange == .earliest ? ends.lowerBound : ends.upperBound
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
                place, assignment: dispatcher.update { $0.open() }, isCommitted: false)
        }
        do {
            try consumer.unassign(incrementally: [place])
            try consumer.assign(incrementally: [place])
            if isPaused || partitions[index].isPausedForSpan { try consumer.pause([place]) }
        } catch {
            // The group takes the partition anew, or this member ends: librdkafka refuses it for no other reason.
            log.warning(
                "a partition cannot be read from another offset",
                ["topic": place.topic, "partition": place.partition, "error": error.message])
        }
        return .done
    }

    /// The new place lies before the old one: the topic was made anew, or cut, and offsets come again that have been read.
    /// That is another assignment, and nothing of its keys may run beside what is left of the first reading.
    private func endHandlers(of relocation: inout Relocation) {
        let now = monotonicNow()
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
