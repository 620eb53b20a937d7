internal import SMSBridgeSpool

/// Decides what becomes of every event: a pure state machine, driven by its caller's clock.
///
/// Each call appends to `actions` what is to be done; the caller does it in that order and tells the results. Nothing in
/// here waits, and nothing knows of librdkafka, SQLite or sockets, so that it can be tested by tables and by random runs.
struct PublisherCore {
    struct Limits: Sendable {
        /// Events, and bytes of records, on their way at a time; a lane may have half of each. All that drain at a time
        /// may have half of each, too, in equal shares, so that they do not take the open ones along.
        var maxInFlight = 100_000
        var maxInFlightBytes = 64 << 20
        /// Bytes of records in the spool, of all lanes; one lane may have half of them.
        var maxSpoolBytes: Int64 = 10 << 30
        /// Nanoseconds from acceptance: how long Kafka may be late, and when a caller is answered at the latest.
        var hedge: UInt64 = 100_000_000
        var deadline: UInt64 = 900_000_000
    }

    enum Action {
        /// To be handed to librdkafka; a refusal is told by `refused`.
        case produce(UInt64, SpoolRecord)
        case spool(SpoolCommand)
        /// Events of this lane go to the spool from now on, or to Kafka again.
        case laneChanged(Int, isOpen: Bool)
        /// Taken back.
        case nothing
        /// `accepted`: when the event came, in nanoseconds of the clock.
        case answer(token: UInt64, lane: Int, accepted: UInt64, PublishOutcome)
    }

    /// What a failed delivery means.
    enum Failure: Equatable {
        /// Waiting may mend it.
        case passing
        /// The record itself is refused, with this error: too large, or invalid.
        case record(String)
    }

    struct Counters {
        var hedged = 0
        var closed = 0
        var reopened = 0
        /// Answered because Kafka acknowledged them, and because the spool has them; by lane.
        var acknowledged: [Int]
        var spooled: [Int]
        var drained: [Int]
        var parked = 0
        var quarantined = 0
        /// Delivered while an event of their topic that came before waited to be tried alone.
        var overtaking = 0
        var lateAcknowledged = 0
        var lateFailed = 0
    }

    let limits: Limits
    private let topics: [String]
    /// Whether there is a spool at all.
    let hasSpool: Bool
    /// The lane that takes what Kafka will not take elsewhere.
    private let quarantineLane: Int
    private(set) var lanes: [Lane]
    private(set) var events = EventTable()
    var actions: [Action] = []
    private(set) var counters: Counters

    private var hedges = DeadlineQueue()
    private var deadlines = DeadlineQueue()
    /// Nothing is called late before this time: the loop was held up, and with it whatever reads from Kafka.
    private var hedgesNotBefore: UInt64 = 0
    private var nextNumber: Int64 = 1
    private(set) var isSpoolOpen = false
    /// Whether the spool's disk has no room for another event, or cannot be written, as the spool last told; it is tried
    /// all the same.
    var isSpoolDiskFull = false
    /// Whether the spool's file was open once, so that the numbers given are free in it.
    private var hasMetFile = false
    /// Kafka fails or is late; it acknowledges nothing.
    private var kafkaTrouble = Trouble()
    /// Events that had to go to the spool are refused; it stores nothing.
    private var spoolTrouble = Trouble()
    private var isProducerReady = true
    private(set) var gate = DurabilityGate.open
    private var isStopped = false

    /// - Parameter topics: the names of the lanes' topics.
    init(topics: [String], quarantineLane: Int, hasSpool: Bool, limits: Limits) {
        self.limits = limits
        self.topics = topics
        let count = topics.count
        self.hasSpool = hasSpool
        self.quarantineLane = quarantineLane
        let share = 2 * max(1, count)
        let lane = Lane(drainWindow: limits.maxInFlight / share, drainBytes: limits.maxInFlightBytes / share)
        lanes = Array(repeating: lane, count: count)
        let none = Array(repeating: 0, count: count)
        counters = Counters(acknowledged: none, spooled: none, drained: none)
    }

    private var spoolBytes: Int64 { lanes.reduce(0) { $0 + $1.bytes } }

    /// Whether Kafka has taken nothing for a while though there was something to take. Answering questions, as a cluster
    /// without enough replicas does, is not enough.
    func isKafkaRefusing(now: UInt64) -> Bool { kafkaTrouble.lasts(longerThan: 3_000_000_000, now) }

    /// Whether an event that Kafka does not take can be made durable here, as far as the last ones tell: below its bound
    /// the spool may be too full for them, or its disk.
    func hasSpoolRoom(now: UInt64) -> Bool {
        isSpoolOpen && !isSpoolDiskFull && spoolBytes < limits.maxSpoolBytes
            && !spoolTrouble.recurs(over: 1_000_000_000, now)
    }

    // MARK: - An event comes

    mutating func accept(_ record: SpoolRecord, token: UInt64, now: UInt64) {
        let lane = record.lane
        guard !isStopped else { return answer(token, lane, .unavailable(.stopping)) }
        guard gate != .refusing else { return answer(token, lane, .unavailable(.notDurable)) }
        guard hasSpool || isProducerReady else { return answer(token, lane, .unavailable(.replacingProducer)) }
        let event = PendingEvent(token: token, accepted: now, record: record, number: nextNumber)
        if lanes[lane].isOpen {
            let isFull =
                events.count >= limits.maxInFlight || events.bytes + record.size > limits.maxInFlightBytes
                || lanes[lane].sent >= limits.maxInFlight / 2
                || lanes[lane].sentBytes + record.size > max(limits.maxInFlightBytes / 2, record.size)
            if !isFull {
                nextNumber += 1
                let opaque = events.insert(event)
                if hasSpool { hedges.append(opaque, deadline: now &+ limits.hedge) }
                deadlines.append(opaque, deadline: now &+ limits.deadline)
                return send(opaque)
            }
            guard hasSpool, isSpoolOpen else { return refuse(token, lane, .inFlightLimit, now: now) }
            close(lane, now: now, afterFailure: false)
        }
        guard events.count < limits.maxInFlight * 2, events.bytes + record.size <= limits.maxInFlightBytes * 2 else {
            return refuse(token, lane, .inFlightLimit, now: now)
        }
        guard let reason = spoolRefusal(record) else {
            nextNumber += 1
            let opaque = events.insert(event)
            deadlines.append(opaque, deadline: now &+ limits.deadline)
            store(opaque)
            lanes[lane].append(Lane.Waiting(number: event.number, record: record, opaque: opaque))
            return feed(lane, now: now)
        }
        refuse(token, lane, reason, now: now)
    }

    /// Neither Kafka nor the spool takes it.
    private mutating func refuse(_ token: UInt64, _ lane: Int, _ reason: PublishOutcome.Reason, now: UInt64) {
        noteRefusal(now)
        answer(token, lane, .unavailable(reason))
    }

    private mutating func noteRefusal(_ now: UInt64) {
        kafkaTrouble.note(now)
        spoolTrouble.note(now)
    }

    /// Why a record cannot go to the spool; nil when it can.
    private func spoolRefusal(_ record: SpoolRecord) -> PublishOutcome.Reason? {
        guard isSpoolOpen else { return .spoolFailed }
        let size = Int64(record.size)
        let isFull =
            spoolBytes + size > limits.maxSpoolBytes || lanes[record.lane].bytes + size > limits.maxSpoolBytes / 2
        return isFull ? .spoolFull : nil
    }

    private mutating func send(_ opaque: UInt64) {
        guard let event = events[opaque] else { return }
        events[opaque]?.isSent = true
        lanes[event.lane].sent += 1
        lanes[event.lane].sentBytes += event.record.size
        actions.append(.produce(opaque, event.record))
    }

    /// librdkafka does not have it any more.
    private mutating func unsend(_ opaque: UInt64, _ event: PendingEvent) {
        events[opaque]?.isSent = false
        lanes[event.lane].sent -= 1
        lanes[event.lane].sentBytes -= event.record.size
    }

    private mutating func store(_ opaque: UInt64) {
        guard let event = events[opaque] else { return }
        events[opaque]?.stored = .pending
        lanes[event.lane].rows += 1
        lanes[event.lane].bytes += Int64(event.record.size)
        actions.append(.spool(.insert(event.record, number: event.number, token: opaque)))
    }

    private mutating func answer(_ token: UInt64, _ lane: Int, accepted: UInt64 = 0, _ outcome: PublishOutcome) {
        actions.append(.answer(token: token, lane: lane, accepted: accepted, outcome))
    }

    private mutating func answer(event opaque: UInt64, _ outcome: PublishOutcome) {
        guard let event = events[opaque], let token = event.token else { return }
        events[opaque]?.token = nil
        answer(token, event.lane, accepted: event.accepted, outcome)
    }

    // MARK: - Kafka answers

    /// A delivery report.
    mutating func report(_ opaque: UInt64, failure: Failure?, now: UInt64) {
        guard let event = events[opaque], event.isSent else { return }
        unsend(opaque, event)
        if let failure { failed(opaque, event, failure, now: now) } else { delivered(opaque, event) }
        feed(event.lane, now: now)
    }

    private mutating func delivered(_ opaque: UInt64, _ event: PendingEvent) {
        kafkaTrouble.end()
        if event.token != nil { counters.acknowledged[event.lane] += 1 }
        if event.token == nil, event.stored == .no { counters.lateAcknowledged += 1 }
        answer(event: opaque, .durable)
        if lanes[event.lane].hasOvertaken(event.number) { counters.overtaking += 1 }
        lanes[event.lane].succeeded()
        lanes[event.lane].settled(event.number)
        switch event.stored {
        case .no: events.remove(opaque)
        case .yes:
            counters.drained[event.lane] += 1
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
        lanes[event.lane].rows -= 1
        lanes[event.lane].bytes -= Int64(event.record.size)
        actions.append(.spool(.delete(lane: event.lane, number: event.number)))
    }

    private mutating func failed(_ opaque: UInt64, _ event: PendingEvent, _ failure: Failure, now: UInt64) {
        kafkaTrouble.note(now)
        guard hasSpool else {
            if event.token == nil { counters.lateFailed += 1 }
            answer(event: opaque, .unavailable(.failed))
            events.remove(opaque)
            return
        }
        if case .record(let reason) = failure {
            if lanes[event.lane].wasAlone(event.number), event.stored != .no {
                return condemn(opaque, event, because: reason)
            }
            lanes[event.lane].suspect(event.number)
        }
        close(event.lane, now: now, afterFailure: true)
        switch event.stored {
        case .yes: events.remove(opaque)
        case .pending, .obsolete: break
        case .no:
            if event.token == nil {
                // Answered 503 already, and the caller will come again.
                counters.lateFailed += 1
                events.remove(opaque)
            } else if let reason = spoolRefusal(event.record) {
                noteRefusal(now)
                answer(event: opaque, .unavailable(reason == .spoolFailed ? .failed : reason))
                events.remove(opaque)
            } else {
                store(opaque)
            }
        }
    }

    /// librdkafka did not even take it.
    ///
    /// - Parameter index: the actions from here on are still to be done. Those that hand over what follows in the same
    ///   lane are taken back: else it would overtake.
    mutating func refused(_ opaque: UInt64, failure: Failure, followedBy index: Int, now: UInt64) {
        guard let event = events[opaque], event.isSent else { return }
        for position in index..<actions.count {
            guard case .produce(let later, let record) = actions[position], record.lane == event.lane else { continue }
            actions[position] = .nothing
            notTaken(later, failure: .passing, now: now)
        }
        notTaken(opaque, failure: failure, now: now)
        feed(event.lane, now: now)
    }

    private mutating func notTaken(_ opaque: UInt64, failure: Failure, now: UInt64) {
        guard let event = events[opaque], event.isSent else { return }
        unsend(opaque, event)
        if case .record(let reason) = failure {
            if event.stored != .no { return condemn(opaque, event, because: reason) }
            lanes[event.lane].suspect(event.number)
        }
        failed(opaque, event, .passing, now: now)
    }

    /// Kafka will never take this record in its topic: it goes to the quarantine, and from there to the parked ones.
    private mutating func condemn(_ opaque: UInt64, _ event: PendingEvent, because reason: String) {
        lanes[event.lane].settled(event.number)
        lanes[event.lane].rows -= 1
        lanes[event.lane].bytes -= Int64(event.record.size)
        if event.lane == quarantineLane {
            counters.parked += 1
            actions.append(.spool(.park(event.record, number: event.number, reason: "refused by Kafka: \(reason)")))
        } else {
            counters.quarantined += 1
            let moved = event.record.refused(by: topics[event.lane], because: reason, inLane: quarantineLane)
            let number = nextNumber
            nextNumber += 1
            lanes[quarantineLane].rows += 1
            lanes[quarantineLane].bytes += Int64(moved.size)
            actions.append(.spool(.move(moved, number: number, fromLane: event.lane, fromNumber: event.number)))
            if lanes[quarantineLane].isOpen { lanes[quarantineLane].close(now: 0, afterFailure: false) }
            lanes[quarantineLane].append(Lane.Waiting(number: number, record: moved, opaque: .max))
        }
        if event.stored == .pending { events[opaque]?.stored = .obsolete } else { events.remove(opaque) }
    }

    // MARK: - The spool answers

    mutating func spoolOpened(nextNumber: Int64, totals: [SpoolTotals], now: UInt64) {
        isSpoolOpen = true
        if !hasMetFile {
            // Numbers were given from 1 on before the file was met, and it may have rows of the same: what is on its
            // way, and in no row yet, moves behind them all.
            hasMetFile = true
            events.renumber(by: nextNumber - 1)
            for lane in lanes.indices { lanes[lane].renumber(by: nextNumber - 1) }
            self.nextNumber += nextNumber - 1
        }
        self.nextNumber = max(self.nextNumber, nextNumber)
        for lane in lanes.indices where lane < totals.count {
            // Inserts that wait in the spool's queue are not in the file yet.
            count(lane, on: totals[lane]) { $0 == .pending }
            if totals[lane].rows > 0, lanes[lane].isOpen { lanes[lane].close(now: now, afterFailure: false) }
        }
        for lane in lanes.indices { feed(lane, now: now) }
    }

    /// Says anew what the spool has of a lane: so much, and those of its events on their way that are stored like this.
    private mutating func count(_ lane: Int, on totals: SpoolTotals = .init(), _ isMeant: (PendingEvent.Stored) -> Bool)
    {
        lanes[lane].rows = totals.rows
        lanes[lane].bytes = totals.bytes
        events.forEach { event in
            guard event.lane == lane, isMeant(event.stored) else { return }
            lanes[lane].rows += 1
            lanes[lane].bytes += Int64(event.record.size)
        }
    }

    mutating func spoolFailed() { isSpoolOpen = false }

    /// What the file holds, told from time to time. With nothing on its way it is the truth, and rows that nobody is
    /// about to hand over (after a failure of the disk) are found by it.
    mutating func spoolHolds(_ totals: [SpoolTotals], now: UInt64) {
        guard events.count == 0 else { return }
        for lane in lanes.indices where lane < totals.count {
            lanes[lane].rows = totals[lane].rows
            lanes[lane].bytes = totals[lane].bytes
            if totals[lane].rows > 0, lanes[lane].isOpen {
                lanes[lane].close(now: now, afterFailure: false)
                feed(lane, now: now)
            }
        }
    }

    mutating func stored(_ opaques: [UInt64]) {
        for opaque in opaques {
            guard let event = events[opaque], event.stored == .pending || event.stored == .obsolete else { continue }
            spoolTrouble.end()
            if event.token != nil { counters.spooled[event.lane] += 1 }
            answer(event: opaque, .durable)
            if event.stored == .pending { events[opaque]?.stored = .yes }
            if !event.isSent { events.remove(opaque) }
        }
    }

    mutating func notStored(_ opaques: [UInt64], now: UInt64) {
        for opaque in opaques {
            guard let event = events[opaque], event.stored == .pending || event.stored == .obsolete else { continue }
            if event.stored == .obsolete {
                answer(event: opaque, .unavailable(.spoolFailed))
                events.remove(opaque)
                continue
            }
            events[opaque]?.stored = .no
            lanes[event.lane].rows -= 1
            lanes[event.lane].bytes -= Int64(event.record.size)
            lanes[event.lane].forget(event.number)
            // What librdkafka has may still be acknowledged in time.
            guard !event.isSent else { continue }
            noteRefusal(now)
            answer(event: opaque, .unavailable(.spoolFailed))
            events.remove(opaque)
        }
        for lane in lanes.indices { feed(lane, now: now) }
    }

    mutating func received(_ rows: [SpoolRow], lane: Int, now: UInt64) {
        lanes[lane].received(rows)
        feed(lane, now: now)
    }

    /// The spool could not read the rows of a topic queue.
    mutating func readFailed(lane: Int, now: UInt64) { received([], lane: lane, now: now) }

    // MARK: - Closing and draining

    private mutating func close(
        _ lane: Int, now: UInt64, afterFailure isFailure: Bool, isTrouble: Bool = true
    ) {
        let wasOpen = lanes[lane].isOpen
        lanes[lane].close(now: now, afterFailure: isFailure)
        guard wasOpen else { return }
        if isTrouble { kafkaTrouble.note(now) }
        counters.closed += 1
        actions.append(.laneChanged(lane, isOpen: false))
        // Those that were handed over after the one that is late, or failed, follow it.
        storeSent { $0 == lane }
    }

    /// Everything that librdkafka has and the spool has not goes there, too, in the order of acceptance.
    private mutating func storeSent(inLanes isMeant: (Int) -> Bool) {
        guard isSpoolOpen else { return }
        let late = events.all { $0.isSent && $0.stored == .no && $0.token != nil && isMeant($0.lane) }
        for opaque in late {
            guard let event = events[opaque], spoolRefusal(event.record) == nil else { continue }
            counters.hedged += 1
            store(opaque)
        }
    }

    /// Hands over what may be handed over now.
    private mutating func feed(_ lane: Int, now: UInt64) {
        guard hasSpool, isProducerReady, gate == .open, !lanes[lane].isOpen else { return }
        if lanes[lane].mayDrain(now: now) { lanes[lane].beginDrain() }
        while true {
            switch lanes[lane].nextStep() {
            case .wait: return
            case .reopened:
                counters.reopened += 1
                // Rows that the file had when it was opened anew, and that were to be deleted, are gone by now.
                count(lane) { $0 == .pending || $0 == .yes }
                actions.append(.laneChanged(lane, isOpen: true))
                return
            case .read(let number):
                actions.append(
                    .spool(.read(lane: lane, after: number, count: Lane.readCount, bytes: Lane.readBytes)))
            case .sendRow(let row): sendStored(row.record, row.number, now: now)
            case .sendWaiting(let waiting):
                if events[waiting.opaque] != nil {
                    send(waiting.opaque)
                } else {
                    sendStored(waiting.record, waiting.number, now: now)
                }
            }
        }
    }

    /// Hands over what the spool has and for which nobody waits any more.
    private mutating func sendStored(_ record: SpoolRecord, _ number: Int64, now: UInt64) {
        var event = PendingEvent(token: nil, accepted: now, record: record, number: number)
        event.stored = .yes
        send(events.insert(event))
    }

    // MARK: - Time

    /// When `tick` is to be called next, in nanoseconds of the clock; nil for not at all.
    func nextTime(now: UInt64) -> UInt64? {
        var next = hedges.first.map { max($0.deadline, hedgesNotBefore) } ?? .max
        if let deadline = deadlines.first?.deadline, deadline < next { next = deadline }
        if isProducerReady, gate == .open {
            for lane in lanes.indices {
                guard case .closed(let until) = lanes[lane].phase, lanes[lane].sent == 0 else { continue }
                next = min(next, max(until, now &+ 1_000_000))
            }
        }
        return next == .max ? nil : next
    }

    /// Judges hedges and deadlines, and begins drains whose time has come.
    ///
    /// - Parameter lag: how late this call is, in nanoseconds. A loop that was held up, by a paused machine or by
    ///   overload, must not close every lane for it: from now on hedges are given as much longer, at most their own
    ///   time. A loop that is late all the time gets that now and then only, or nothing would ever be called late.
    ///
    /// - Returns: whether everything that is due was judged. At most `answersATime` callers are told in one call: each
    ///   answer is a system call, and the loop has others to serve. Whoever calls again polls the reports first, so that
    ///   one that has come meanwhile still counts.
    @discardableResult
    mutating func tick(now: UInt64, lag: UInt64 = 0) -> Bool {
        if lag > 0, now >= hedgesNotBefore &+ limits.hedge { hedgesNotBefore = now &+ min(lag, limits.hedge) }
        while let first = hedges.first,
            now >= max(first.deadline, hedgesNotBefore) || !isHedgeable(first.opaque)
        {
            hedges.removeFirst()
            guard isHedgeable(first.opaque), let event = events[first.opaque], isSpoolOpen else { continue }
            if lanes[event.lane].isOpen {
                close(event.lane, now: now, afterFailure: false)
            } else if spoolRefusal(event.record) == nil {
                // Its lane was closed while the spool was not open.
                counters.hedged += 1
                store(first.opaque)
            }
        }
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
        }
        for lane in lanes.indices { feed(lane, now: now) }
        return answers < Self.answersATime
    }

    /// Callers that one call of `tick` tells that their time is over.
    static let answersATime = 128

    private func isHedgeable(_ opaque: UInt64) -> Bool {
        guard let event = events[opaque] else { return false }
        return event.isSent && event.stored == .no && event.token != nil
    }

    // MARK: - The producer comes and goes

    /// After a fatal error. The reports of what it holds are still to come, all of them failures.
    mutating func producerLost(now: UInt64) {
        isProducerReady = false
        guard hasSpool else { return }
        for lane in lanes.indices { close(lane, now: now, afterFailure: false) }
    }

    /// No report will come any more from the producer that was lost.
    ///
    /// - Returns: the records that it may still touch, until it is destroyed.
    mutating func forgetSent(now: UInt64) -> [SpoolRecord] {
        let records = sentRecords
        for opaque in events.all(where: { $0.isSent }) { report(opaque, failure: .passing, now: now) }
        return records
    }

    /// What librdkafka may be reading.
    var sentRecords: [SpoolRecord] { events.all { $0.isSent }.compactMap { events[$0]?.record } }

    /// Events whose delivery report is missing.
    var sentCount: Int { lanes.reduce(0) { $0 + $1.sent } }

    mutating func producerReady(now: UInt64) {
        isProducerReady = true
        for lane in lanes.indices { feed(lane, now: now) }
    }

    // MARK: - The topics are judged

    /// With a spool, nothing is handed over while the gate is not open: what the spool holds is not given to topics that
    /// could lose it.
    mutating func set(_ gate: DurabilityGate, now: UInt64) {
        guard gate != self.gate else { return }
        self.gate = gate
        guard hasSpool else { return }
        for lane in lanes.indices {
            if gate == .open {
                feed(lane, now: now)
            } else {
                close(lane, now: now, afterFailure: false, isTrouble: false)
            }
        }
    }

    // MARK: - The end

    /// Takes no more events; what is on its way goes on.
    mutating func stop() { isStopped = true }

    /// Everything that still waits for an answer gets one.
    mutating func answerAll() {
        for opaque in events.all(where: { $0.token != nil }) { answer(event: opaque, .unavailable(.stopping)) }
    }

    /// Callers that wait for an answer.
    var hasWaitingCallers: Bool { events.contains { $0.token != nil } }

    /// Whether nothing is on its way and nothing waits in the spool.
    var isIdle: Bool { events.count == 0 && lanes.allSatisfy { $0.rows == 0 } }
}
