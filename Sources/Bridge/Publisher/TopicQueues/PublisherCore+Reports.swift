internal import SMSBridgeSpool

/// Kafka answers.
extension PublisherCore {
    /// A delivery report that can be trusted.
    mutating func report(_ opaque: UInt64, failure: Failure?, now: UInt64) {
        guard let event = events[opaque], event.isSent else { return }
        unsend(opaque, event)
        if let failure { failed(opaque, event, failure, now: now) } else { delivered(opaque, event) }
        feed(event.queue, now: now)
    }

    private mutating func delivered(_ opaque: UInt64, _ event: PendingEvent) {
        kafkaTrouble.end()
        if event.token != nil { counters.acknowledged[event.queue] += 1 }
        if event.token == nil, event.stored == .no { counters.lateAcknowledged += 1 }
        if event.way == .individualNow { counters.timestampsReplaced += 1 }
        answer(event: opaque, .durable)
        if queues[event.queue].hasOvertaken(event.number) { counters.overtaking += 1 }
        queues[event.queue].succeeded()
        switch event.stored {
        case .no: events.remove(opaque)
        case .yes:
            counters.drained[event.queue] += 1
            queues[event.queue].drained += 1
            discard(event)
            events.remove(opaque)
        case .pending:
            discard(event)
            events[opaque]?.stored = .obsolete
        case .obsolete: break
        }
    }

    /// The row is not needed any more. An insert that is still on its way comes before this in the spool's queue.
    private mutating func discard(_ event: PendingEvent) {
        queues[event.queue].rows -= 1
        queues[event.queue].bytes -= Int64(event.record.size)
        actions.append(.spool(.delete(lane: event.queue, number: event.number)))
    }

    private mutating func failed(_ opaque: UInt64, _ event: PendingEvent, _ failure: Failure, now: UInt64) {
        let index = event.queue
        switch failure {
        case .record(let reason) where event.way != .shared: return quarantine(opaque, event, because: reason, now: now)
        case .timestamp where event.way == .individual:
            // It was tried by itself: now with the time of the attempt, which a broker with the right time accepts.
            counters.timestampsRejected += 1
            queues[index].rejectedIndividually(event.number, now: now)
            return send(opaque, .individualNow)
        case .record where event.way == .shared, .timestamp where event.way == .shared:
            // A batch is rejected as a whole, so which of its records was meant is not known.
            guard hasSpool else { return sendIndividually(opaque) }
            queues[index].suspect(event.number, inOrder: failure == .timestamp)
            interrupt(index, .rejected, .recordRejected, now: now)
        case .timestamp:
            // Not even now is a time that the broker takes: this machine's clock is wrong, or the broker's.
            counters.timestampsRejected += 1
            kafkaTrouble.note(now)
            if hasSpool { interrupt(index, .failed, .produceFailed, now: now) }
        case .record, .passing:
            kafkaTrouble.note(now)
            if hasSpool { interrupt(index, .failed, .produceFailed, now: now) }
        }
        keep(opaque, event, now: now)
    }

    /// What librdkafka does not have any more waits for the next attempt, in the file, in memory, or in both.
    private mutating func keep(_ opaque: UInt64, _ event: PendingEvent, now: UInt64) {
        guard hasSpool else {
            if event.token == nil { counters.lateFailed += 1 }
            answer(event: opaque, .unavailable(.failed))
            events.remove(opaque)
            return
        }
        switch event.stored {
        case .yes:
            queues[event.queue].leaveInFile(event.number)
            events.remove(opaque)
        case .obsolete: break
        case .pending: putBack(opaque, event, isRow: true)
        case .no where event.token == nil:
            // Answered 503 already, and the caller will come again.
            counters.lateFailed += 1
            events.remove(opaque)
        case .no:
            let isStorable = spoolRefusal(event.record) == nil
            if isStorable { store(opaque, now: now) } else { spoolTrouble.note(now) }
            putBack(opaque, event, isRow: isStorable)
        }
    }

    func waiting(_ opaque: UInt64, _ event: PendingEvent, isRow: Bool) -> TopicQueue.Waiting {
        TopicQueue.Waiting(
            number: event.number, record: event.record, opaque: opaque, isRow: isRow, isDurable: false)
    }

    mutating func putBack(_ opaque: UInt64, _ event: PendingEvent, isRow: Bool) {
        queues[event.queue].putBack(waiting(opaque, event, isRow: isRow))
    }

    /// Without a spool a rejected batch is tried again record by record, while the callers wait.
    private mutating func sendIndividually(_ opaque: UInt64) {
        guard !isIndividualReady else { return send(opaque, .individual) }
        waitingForIndividual.append(opaque)
        wantIndividual()
    }

    /// librdkafka did not even take it.
    ///
    /// - Parameter index: the actions from here on are still to be done. Those that hand over what follows in the same
    ///   topic are taken back: else it would overtake.
    mutating func notProduced(_ opaque: UInt64, failure: Failure, followedBy index: Int, now: UInt64) {
        guard let event = events[opaque], event.isSent else { return }
        for position in index..<actions.count {
            guard case .produce(let later, let record, _) = actions[position], record.lane == event.queue else {
                continue
            }
            actions[position] = .nothing
            notTaken(later, failure: .passing, now: now)
        }
        notTaken(opaque, failure: failure, now: now)
        feed(event.queue, now: now)
    }

    private mutating func notTaken(_ opaque: UInt64, failure: Failure, now: UInt64) {
        guard let event = events[opaque], event.isSent else { return }
        unsend(opaque, event)
        // What librdkafka rejects was not in a batch: it is this record.
        if case .record(let reason) = failure { return quarantine(opaque, event, because: reason, now: now) }
        failed(opaque, event, failure, now: now)
    }

    /// Kafka will never take this record in its topic: it goes to the quarantine, and from there to the parked ones.
    private mutating func quarantine(_ opaque: UInt64, _ event: PendingEvent, because reason: String, now: UInt64) {
        let index = event.queue
        queues[index].rejectedIndividually(event.number, now: now)
        guard event.stored != .no else {
            return quarantineUnstored(opaque, event, because: reason, now: now)
        }
        queues[index].rows -= 1
        queues[index].bytes -= Int64(event.record.size)
        queues[index].mayHaveLeftRows = true
        if index == quarantineQueue {
            counters.parked += 1
            actions.append(.spool(.park(event.record, number: event.number, reason: "refused by Kafka: \(reason)")))
        } else {
            counters.quarantined += 1
            let moved = event.record.rejected(by: topics[index], because: reason, inLane: quarantineQueue)
            let number = nextNumber
            nextNumber += 1
            queues[quarantineQueue].rows += 1
            queues[quarantineQueue].bytes += Int64(moved.size)
            actions.append(.spool(.move(moved, number: number, fromLane: index, fromNumber: event.number)))
            if queues[quarantineQueue].isDirect { interrupt(quarantineQueue, .late, .recordRejected, now: now) }
            queues[quarantineQueue].append(
                TopicQueue.Waiting(number: number, record: moved, opaque: .max, isRow: true, isDurable: true))
            feed(quarantineQueue, now: now)
        }
        if event.stored == .pending { events[opaque]?.stored = .obsolete } else { events.remove(opaque) }
    }

    /// The caller still waits, and the spool does not have the event: it goes to the quarantine like one that has just come.
    private mutating func quarantineUnstored(
        _ opaque: UInt64, _ event: PendingEvent, because reason: String, now: UInt64
    ) {
        guard event.token != nil else {
            counters.lateFailed += 1
            events.remove(opaque)
            return
        }
        guard event.queue != quarantineQueue else {
            // It is parked once it is a row.
            guard hasSpool, spoolRefusal(event.record) == nil else {
                answer(event: opaque, .unavailable(.failed))
                events.remove(opaque)
                return
            }
            queues[event.queue].suspect(event.number)
            interrupt(event.queue, .rejected, .recordRejected, now: now)
            return keep(opaque, event, now: now)
        }
        counters.quarantined += 1
        events.remove(opaque)
        let moved = event.record.rejected(by: topics[event.queue], because: reason, inLane: quarantineQueue)
        admit(PendingEvent(token: event.token, accepted: event.accepted, record: moved, number: nextNumber), now: now)
    }
}
