/// Hedges, deadlines, and waiting that has an end.
extension PublisherCore {
    /// When `tick` is to be called next, in nanoseconds of the clock; nil for not at all.
    func nextTime(now: UInt64) -> UInt64? {
        var next = hedges.first.map { max($0.deadline, hedgesNotBefore) } ?? .max
        for deadline in [deadlines.first?.deadline, spoolWaits.first?.deadline] {
            if let deadline, deadline < next { next = deadline }
        }
        if isProducerReady, gate == .open {
            for queue in queues {
                if let time = queue.nextTime(now: now), time < next { next = time }
                if let since = queue.readBlockedSince {
                    next = min(next, max(since &+ limits.maxReadWait, now &+ 1_000_000))
                }
                if let look = queue.nextLook, queue.state == .draining { next = min(next, max(look, now &+ 1_000_000)) }
            }
        }
        return next == .max ? nil : next
    }

    /// Evaluates hedges and deadlines, and begins drains whose time has come.
    ///
    /// - Parameter lag: how late this call is, in nanoseconds. A loop that was held up, by a paused machine or by
    ///   overload, must not spool every topic for it, nor bypass a backlog: from now on hedges are given as much longer,
    ///   at most their own time. A loop that is late all the time gets that now and then only, or nothing would ever be
    ///   called late.
    ///
    /// - Returns: whether everything that is due was evaluated. At most `answersATime` callers are answered in one
    ///   call: each answer is a system call, and the loop has others to serve. The next call comes after the reports
    ///   are polled, so that a report that has arrived since still counts.
    @discardableResult
    mutating func tick(now: UInt64, lag: UInt64 = 0) -> Bool {
        if lag > 0, now >= hedgesNotBefore &+ limits.hedge { hedgesNotBefore = now &+ min(lag, limits.hedge) }
        if lag > 0, now >= bypassesNotBefore &+ limits.maxStoreInterval {
            bypassesNotBefore = now &+ min(lag, limits.maxStoreInterval)
        }
        evaluateHedges(now: now)
        var answers = 0
        while answers < Self.answersATime, let first = deadlines.first,
            first.deadline <= now || events[first.opaque]?.token == nil
        {
            deadlines.removeFirst()
            guard let event = events[first.opaque], event.token != nil else { continue }
            kafkaTrouble.note(now)
            if event.stored == .pending || spoolRefusal(event.record) != nil { spoolTrouble.note(now) }
            answer(event: first.opaque, .unavailable(.deadline))
            answers += 1
            if !event.isSent, event.stored == .no {
                // Only memory had it, and the caller will come again.
                queues[event.queue].forget(event.number)
                events.remove(first.opaque)
            }
        }
        while let first = spoolWaits.first, first.deadline <= now || events[first.opaque]?.token == nil {
            spoolWaits.removeFirst()
            guard let event = events[first.opaque], event.token != nil, !event.isSent else { continue }
            queues[event.queue].nextLook = now
        }
        for index in queues.indices { feed(index, now: now) }
        return answers < Self.answersATime
    }

    private mutating func evaluateHedges(now: UInt64) {
        while let first = hedges.first,
            now >= max(first.deadline, hedgesNotBefore) || !isHedgeable(first.opaque)
        {
            hedges.removeFirst()
            // The spool cannot store the event: it waits for Kafka until its deadline.
            guard isHedgeable(first.opaque), let event = events[first.opaque], spoolRefusal(event.record) == nil,
                !isSpoolStalled(now: now)
            else { continue }
            if queues[event.queue].isDirect {
                interrupt(event.queue, .late, .ackTimeout, now: now)
            } else {
                // Its topic was spooling already while the spool was not open.
                counters.hedged += 1
                store(first.opaque, now: now)
            }
        }
    }

    /// Callers that one call of `tick` answers because their time is over.
    static let answersATime = 128

    private func isHedgeable(_ opaque: UInt64) -> Bool {
        guard let event = events[opaque] else { return false }
        return event.isSent && event.stored == .no && event.token != nil
    }
}
