internal import SMSBridgeSpool

/// From Kafka to the spool, and back.
extension PublisherCore {
    mutating func interrupt(
        _ index: Int, _ interruption: TopicQueue.Interruption, _ cause: SpoolingCause, now: UInt64
    ) {
        let wasDirect = queues[index].isDirect
        queues[index].interrupt(interruption, now: now)
        guard wasDirect else { return }
        if cause == .ackTimeout || cause == .produceFailed || cause == .inFlightLimit { kafkaTrouble.note(now) }
        counters.spooling += 1
        queues[index].drained = 0
        queues[index].drainedSince = now
        actions.append(.queueChanged(index, .spooling(cause)))
        // A backlog says nothing of Kafka: what is on its way is not late.
        if cause != .backlogFound { storeSent(of: index, now: now) }
    }

    /// Everything of a topic that librdkafka has and the spool has not goes there, too, in the order of acceptance:
    /// those that were handed over after the one that is late, or failed, follow it.
    private mutating func storeSent(of index: Int, now: UInt64) {
        guard isSpoolOpen else { return }
        let late = events.all { $0.isSent && $0.stored == .no && $0.token != nil && $0.queue == index }
        for opaque in late {
            guard let event = events[opaque], spoolRefusal(event.record) == nil else { continue }
            counters.hedged += 1
            store(opaque, now: now)
        }
    }

    /// Hands over what may be handed over now.
    mutating func feed(_ index: Int, now: UInt64) {
        guard hasSpool, isProducerReady, gate == .open else { return }
        guard !queues[index].isDirect || queues[index].isBypassing else { return }
        if queues[index].mayDrain(now: now) { queues[index].beginDrain() }
        if mustBypass(index, now: now) { bypass(index, now: now) }
        while true {
            if queues[index].isNextIndividual, !isIndividualReady { return wantIndividual() }
            switch queues[index].nextStep(now: now) {
            case .wait: return
            case .becameDirect:
                // Rows that the reopened file had, and that were to be deleted, are gone by now.
                count(index) { $0 == .pending || $0 == .yes }
                actions.append(.queueChanged(index, .direct(queues[index].drainResult(now))))
                return
            case .backlogEnded:
                count(index) { $0 == .pending || $0 == .yes }
                actions.append(.queueChanged(index, .backlogEnded(queues[index].drainResult(now))))
                return
            case .read(let number):
                askSpool(now)
                actions.append(
                    .spool(
                        .read(
                            lane: index, after: number, count: TopicQueue.readCount, bytes: TopicQueue.readBytes)))
            case .sendRow(let row, let isBacklog):
                sendStored(row.record, row.number, isBacklog: isBacklog, now: now)
            case .sendWaiting(let waiting): send(waiting, now: now)
            }
        }
    }

    private mutating func send(_ waiting: TopicQueue.Waiting, now: UInt64) {
        if events[waiting.opaque] != nil {
            send(waiting.opaque, now: now)
        } else {
            sendStored(waiting.record, waiting.number, isBacklog: false, now: now)
        }
    }

    /// Hands over what the spool has and for which no caller waits any more.
    private mutating func sendStored(_ record: SpoolRecord, _ number: Int64, isBacklog: Bool, now: UInt64) {
        var event = PendingEvent(token: nil, accepted: now, record: record, number: number)
        event.stored = .yes
        event.isBacklog = isBacklog
        send(events.insert(event), now: now)
    }

    // MARK: - Past the backlog

    /// Whether the spool keeps events from a Kafka that takes them: its rows cannot be read, or a caller has waited for
    /// it as long as it can.
    ///
    /// A slow disk stores late and all at once: an event waits for the sync under way and for its own, so that both take
    /// half of the wait. A spool that stores more often has more to do than it can: that is overload, for which callers
    /// get a 503, and no reason to give up the order.
    private mutating func mustBypass(_ index: Int, now: UInt64) -> Bool {
        guard queues[index].state == .draining else { return false }
        if let since = queues[index].readBlockedSince, now &- since >= limits.maxReadWait { return true }
        guard let look = queues[index].nextLook, now >= look else { return false }
        queues[index].nextLook = nil
        let storesNothingFrom = max(lastStored &+ limits.maxStoreInterval, bypassesNotBefore)
        for waiting in queues[index].tail where !waiting.isDurable {
            guard let event = events[waiting.opaque], event.token != nil,
                now &- event.accepted >= limits.maxSpoolWait
            else { continue }
            if now >= storesNothingFrom || event.stored != .pending { return true }
            queues[index].nextLook = storesNothingFrom
        }
        return false
    }

    private mutating func bypass(_ index: Int, now: UInt64) {
        let drained = queues[index].drainResult(now)
        let waiting = queues[index].bypass(nextNumber: nextNumber)
        if queues[index].isBypassing {
            queues[index].drainedSince = now
            counters.bypasses += 1
            actions.append(
                .queueChanged(index, .bypassing(rows: max(0, queues[index].rows - Int64(waiting.count)))))
        } else {
            actions.append(.queueChanged(index, .direct(drained)))
        }
        for waiting in waiting { send(waiting, now: now) }
    }
}
