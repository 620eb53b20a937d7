internal import SMSBridgeSpool

/// The spool answers.
extension PublisherCore {
    mutating func spoolOpened(nextNumber: Int64, totals: [SpoolTotals], now: UInt64) {
        isSpoolOpen = true
        if !hasMetFile {
            // Numbers were given from 1 on before the file was met, and it may have rows of the same: what is on its
            // way, and in no row yet, moves behind them all.
            hasMetFile = true
            events.renumber(by: nextNumber - 1)
            for index in queues.indices { queues[index].renumber(by: nextNumber - 1) }
            self.nextNumber += nextNumber - 1
        }
        self.nextNumber = max(self.nextNumber, nextNumber)
        for index in queues.indices where index < totals.count {
            // Inserts that wait in the spool's queue are not in the file yet.
            count(index, on: totals[index]) { $0 == .pending }
            queues[index].retryRead()
            if totals[index].rows > 0, queues[index].isDirect, !queues[index].isBypassing {
                interrupt(index, .late, .backlogFound, now: now)
            }
        }
        for index in queues.indices { feed(index, now: now) }
    }

    /// Sets what the spool has of a topic: so much, and those of its events on their way that are stored like this.
    mutating func count(_ index: Int, on totals: SpoolTotals = .init(), _ isMeant: (PendingEvent.Stored) -> Bool) {
        queues[index].rows = totals.rows
        queues[index].bytes = totals.bytes
        events.forEach { event in
            guard event.queue == index, isMeant(event.stored) else { return }
            queues[index].rows += 1
            queues[index].bytes += Int64(event.record.size)
        }
    }

    mutating func spoolFailed() { isSpoolOpen = false }

    /// What the file holds, reported from time to time. With nothing on its way it is the truth, and rows that nothing is
    /// about to hand over (after a failure of the disk) are found by it.
    mutating func spoolHolds(_ totals: [SpoolTotals], now: UInt64) {
        guard events.count == 0 else { return }
        for index in queues.indices where index < totals.count {
            queues[index].rows = totals[index].rows
            queues[index].bytes = totals[index].bytes
            if totals[index].rows > 0, queues[index].isDirect, !queues[index].isBypassing {
                interrupt(index, .late, .backlogFound, now: now)
                feed(index, now: now)
            }
        }
    }

    /// A request went to the spool that it answers.
    mutating func askSpool(_ now: UInt64) {
        if spoolRequests == 0 { spoolSilentSince = now }
        spoolRequests += 1
    }

    private mutating func spoolAnswered(_ count: Int, _ now: UInt64) {
        spoolRequests = max(0, spoolRequests - count)
        spoolSilentSince = spoolRequests > 0 ? now : nil
    }

    mutating func stored(_ opaques: [UInt64], now: UInt64) {
        spoolAnswered(opaques.count, now)
        for opaque in opaques {
            guard let event = events[opaque], event.stored == .pending || event.stored == .obsolete else { continue }
            spoolTrouble.end()
            lastStored = now
            if event.token != nil { counters.spooled[event.queue] += 1 }
            answer(event: opaque, .durable)
            if event.stored == .pending {
                events[opaque]?.stored = .yes
                queues[event.queue].mark(event.number, isRow: true, isDurable: true)
            }
            if !event.isSent { events.remove(opaque) }
        }
    }

    mutating func notStored(_ opaques: [UInt64], now: UInt64) {
        spoolAnswered(opaques.count, now)
        for opaque in opaques {
            guard let event = events[opaque], event.stored == .pending || event.stored == .obsolete else { continue }
            spoolTrouble.note(now)
            if event.stored == .obsolete {
                answer(event: opaque, .unavailable(.spoolFailed))
                events.remove(opaque)
                continue
            }
            let index = event.queue
            events[opaque]?.stored = .no
            queues[index].rows -= 1
            queues[index].bytes -= Int64(event.record.size)
            if event.isSent { queues[index].sentRows -= 1 }
            queues[index].mark(event.number, isRow: false, isDurable: false)
            // What librdkafka has may still be acknowledged in time; what only memory has may still be handed over.
            guard !event.isSent else { continue }
            if event.token != nil, mayWaitInMemory(index, now: now) || queues[index].contains(event.number) {
                putBack(opaque, event, isRow: false)
                queues[index].nextLook = now
                continue
            }
            kafkaTrouble.note(now)
            answer(event: opaque, .unavailable(.spoolFailed))
            queues[index].forget(event.number)
            events.remove(opaque)
        }
        for index in queues.indices { feed(index, now: now) }
    }

    mutating func received(_ rows: [SpoolRow], queue index: Int, now: UInt64) {
        spoolAnswered(1, now)
        queues[index].received(rows)
        feed(index, now: now)
    }

    /// The spool could not read the rows of a topic.
    mutating func readFailed(queue index: Int, now: UInt64) {
        spoolAnswered(1, now)
        queues[index].readFailed(now: now)
        feed(index, now: now)
    }
}
