internal import SMSBridgeSpool

/// Decides what becomes of every event: a pure state machine, driven by its caller's clock.
///
/// Each call appends to `actions` what is to be done; the caller does it in that order and reports the results. Nothing
/// in here waits, and nothing knows of librdkafka, SQLite or sockets, so that it can be tested by tables and by random
/// runs.
///
/// The extensions follow an event: its report (`+Reports`), the spool's answers (`+Spool`), draining (`+Draining`),
/// time (`+Time`).
struct PublisherCore {
    struct Limits: Sendable {
        /// Events, and bytes of records, on their way at a time; a topic may have half of each. All that drain at a
        /// time may have half of each, too, in equal shares, so that they do not starve the direct ones.
        var maxInFlight = 100_000
        var maxInFlightBytes = 64 << 20
        /// Bytes of records in the spool, of all topics; one topic may have half of them.
        var maxSpoolBytes: Int64 = 10 << 30
        /// Nanoseconds from acceptance: how long Kafka may be late, and when a caller is answered at the latest.
        var hedge: UInt64 = 100_000_000
        var deadline: UInt64 = 900_000_000
        /// Nanoseconds that a caller waits for the spool, while Kafka takes events, before its event bypasses the
        /// backlog.
        var maxSpoolWait: UInt64 = 500_000_000
        /// Nanoseconds that a backlog may be unreadable, while Kafka takes events, before new events bypass it.
        var maxReadWait: UInt64 = 1_000_000_000
        /// Nanoseconds without a stored event after which the spool's disk, and not the load, keeps callers waiting.
        var maxStoreInterval: UInt64 { maxSpoolWait / 2 }
    }

    enum Action {
        /// To be handed to librdkafka; a failure to do so is reported by `notProduced`.
        case produce(UInt64, SpoolRecord, PendingEvent.Way)
        case spool(SpoolCommand)
        case queueChanged(Int, QueueChange)
        /// A producer for batches of one record is needed; `individualProducer(isReady:)` says when it is there.
        case prepareIndividualProducer
        /// Taken back.
        case nothing
        /// `accepted`: when the event came, in nanoseconds of the clock.
        case answer(token: UInt64, queue: Int, accepted: UInt64, PublishOutcome)
    }

    /// What the operator is to know of a topic queue.
    enum QueueChange: Equatable {
        case spooling(SpoolingCause)
        /// Events go to Kafka directly again.
        case direct(DrainResult)
        /// Events go to Kafka past the backlog of so many rows.
        case bypassing(rows: Int64)
        case backlogEnded(DrainResult)
    }

    /// What was drained from the spool since a topic's events did not go to Kafka directly.
    struct DrainResult: Equatable {
        let events: Int
        /// How long the topic was not direct, or its backlog was bypassed; nil when it was so at the start.
        let nanoseconds: UInt64?
    }

    /// Why a topic's events go to the spool; a closed set, fit for a log field.
    enum SpoolingCause: String {
        case ackTimeout, produceFailed, recordRejected, inFlightLimit, backlogFound, producerLost, notDurable
    }

    /// What a failed delivery means.
    enum Failure: Equatable {
        /// It may pass with time.
        case passing
        /// The record itself is rejected, with this error: too large, or invalid.
        case record(String)
        /// The record's timestamp is rejected: a clock is wrong, or the event is older than the topic allows.
        case timestamp
    }

    struct Counters {
        var hedged = 0
        var spooling = 0
        /// Answered because Kafka acknowledged them, and because the spool has them; by topic.
        var acknowledged: [Int]
        var spooled: [Int]
        var drained: [Int]
        var parked = 0
        var quarantined = 0
        /// Delivered while an event of their topic that came before waited to be tried individually.
        var overtaking = 0
        var lateAcknowledged = 0
        var lateFailed = 0
        /// Topics that began to bypass their backlog, and events that did.
        var bypasses = 0
        var bypassedEvents = 0
        /// Individual attempts whose timestamp was rejected, and events delivered with the time of the attempt instead.
        var timestampsRejected = 0
        var timestampsReplaced = 0
    }

    let limits: Limits
    let topics: [String]
    /// Whether there is a spool at all.
    let hasSpool: Bool
    /// The topic that takes what Kafka rejects elsewhere.
    let quarantineQueue: Int
    var queues: [TopicQueue]
    var events = EventTable()
    var actions: [Action] = []
    var counters: Counters

    var hedges = DeadlineQueue()
    var deadlines = DeadlineQueue()
    /// Callers that wait for the spool.
    var spoolWaits = DeadlineQueue()
    /// Nothing is called late before this time: the loop was held up, and with it whatever reads from Kafka.
    var hedgesNotBefore: UInt64 = 0
    var nextNumber: Int64 = 1
    var isSpoolOpen = false
    /// Whether the spool's disk has no room for another event, or cannot be written, as the spool last reported; it is
    /// tried all the same.
    var isSpoolDiskFull = false
    /// Whether the spool's file was open once, so that the numbers given are free in it.
    var hasMetFile = false
    /// Inserts and reads that the spool has not answered, and since when it has answered none of them.
    var spoolRequests = 0
    var spoolSilentSince: UInt64?
    /// When the spool last stored an event.
    var lastStored: UInt64 = 0
    /// No backlog is bypassed before this time: the loop was held up, and did not see what the spool had stored.
    var bypassesNotBefore: UInt64 = 0
    /// Kafka fails or is late; it acknowledges nothing.
    var kafkaTrouble = Trouble()
    /// Events that had to go to the spool are rejected; it stores nothing.
    var spoolTrouble = Trouble()
    var isProducerReady = true
    var isIndividualReady = false
    var isIndividualWanted = false
    /// Without a spool: events that wait for the individual producer.
    var waitingForIndividual: [UInt64] = []
    var gate = DurabilityGate.open
    var isStopped = false

    /// - Parameter topics: the topics' names.
    init(topics: [String], quarantineQueue: Int, hasSpool: Bool, limits: Limits) {
        self.limits = limits
        self.topics = topics
        let count = topics.count
        self.hasSpool = hasSpool
        self.quarantineQueue = quarantineQueue
        let share = 2 * max(1, count)
        let queue = TopicQueue(drainWindow: limits.maxInFlight / share, drainBytes: limits.maxInFlightBytes / share)
        queues = Array(repeating: queue, count: count)
        let none = Array(repeating: 0, count: count)
        counters = Counters(acknowledged: none, spooled: none, drained: none)
    }

    var spoolBytes: Int64 { queues.reduce(0) { $0 + $1.bytes } }

    /// Whether Kafka has taken nothing for a while though there was something to take. Answering questions, as a
    /// cluster without enough replicas does, is not enough.
    func isKafkaFailing(now: UInt64) -> Bool { kafkaTrouble.lasts(longerThan: 3_000_000_000, now) }

    /// Whether the spool has answered nothing for a while though it was asked: its disk hangs.
    func isSpoolStalled(now: UInt64) -> Bool { spoolSilentSince.map { now &- $0 > limits.maxSpoolWait } ?? false }

    /// Whether an event that Kafka does not take can be made durable here, as far as the last ones tell: below its
    /// bound the spool may be too full for them, or its disk.
    func hasSpoolRoom(now: UInt64) -> Bool {
        isSpoolOpen && !isSpoolDiskFull && spoolBytes < limits.maxSpoolBytes && !isSpoolStalled(now: now)
            && !spoolTrouble.recurs(over: 1_000_000_000, now)
    }

    // MARK: - An event comes

    mutating func accept(_ record: SpoolRecord, token: UInt64, now: UInt64) {
        let queue = record.lane
        guard !isStopped else { return answer(token, queue, .unavailable(.stopping)) }
        guard gate != .refusing else { return answer(token, queue, .unavailable(.notDurable)) }
        guard hasSpool || isProducerReady else { return answer(token, queue, .unavailable(.replacingProducer)) }
        admit(PendingEvent(token: token, accepted: now, record: record, number: nextNumber), now: now)
    }

    mutating func admit(_ event: PendingEvent, now: UInt64) {
        let index = event.queue
        let record = event.record
        if queues[index].isDirect {
            if !isFull(index, record) {
                if isHopeless(record, now: now) {
                    return reject(event, spoolRefusal(record) ?? .spoolFailed, now: now)
                }
                let opaque = insert(event)
                if hasSpool { hedges.append(opaque, deadline: event.accepted &+ limits.hedge) }
                return send(opaque, now: now)
            }
            guard hasSpool, isSpoolOpen else { return reject(event, .inFlightLimit, now: now) }
            interrupt(index, .late, .inFlightLimit, now: now)
        }
        guard events.count < limits.maxInFlight * 2, events.bytes + record.size <= limits.maxInFlightBytes * 2 else {
            return reject(event, .inFlightLimit, now: now)
        }
        let reason = spoolRefusal(record)
        if let reason, !mayWaitInMemory(index, now: now) { return reject(event, reason, now: now) }
        let opaque = insert(event)
        spoolWaits.append(opaque, deadline: event.accepted &+ limits.maxSpoolWait)
        if reason == nil { store(opaque, now: now) } else { spoolTrouble.note(now) }
        queues[index].append(
            TopicQueue.Waiting(
                number: event.number, record: record, opaque: opaque, isRow: reason == nil, isDurable: false))
        feed(index, now: now)
    }

    private mutating func insert(_ event: PendingEvent) -> UInt64 {
        nextNumber = max(nextNumber, event.number + 1)
        let opaque = events.insert(event)
        deadlines.append(opaque, deadline: event.accepted &+ limits.deadline)
        return opaque
    }

    private func isFull(_ index: Int, _ record: SpoolRecord) -> Bool {
        events.count >= limits.maxInFlight || events.bytes + record.size > limits.maxInFlightBytes
            || queues[index].sent >= limits.maxInFlight / 2
            || queues[index].sentBytes + record.size > max(limits.maxInFlightBytes / 2, record.size)
    }

    /// Kafka has acknowledged nothing for a while, and the spool cannot store the record: reject it at once.
    private func isHopeless(_ record: SpoolRecord, now: UInt64) -> Bool {
        hasSpool && queues[record.lane].sent > 0 && isKafkaFailing(now: now)
            && (spoolRefusal(record) != nil || isSpoolStalled(now: now))
    }

    /// Whether an event that the spool does not take may wait for Kafka until its deadline. Where Kafka is known to
    /// accept nothing, one of them is enough to learn when it does again.
    func mayWaitInMemory(_ index: Int, now: UInt64) -> Bool {
        !isKafkaFailing(now: now) || (queues[index].tail.isEmpty && queues[index].sent == 0)
    }

    /// Neither Kafka nor the spool takes it.
    private mutating func reject(_ event: PendingEvent, _ reason: PublishOutcome.Reason, now: UInt64) {
        kafkaTrouble.note(now)
        spoolTrouble.note(now)
        if let token = event.token { answer(token, event.queue, accepted: event.accepted, .unavailable(reason)) }
    }

    /// Why a record cannot go to the spool; nil when it can.
    func spoolRefusal(_ record: SpoolRecord) -> PublishOutcome.Reason? {
        guard isSpoolOpen else { return .spoolFailed }
        let size = Int64(record.size)
        let isFull =
            spoolBytes + size > limits.maxSpoolBytes || queues[record.lane].bytes + size > limits.maxSpoolBytes / 2
        return isFull ? .spoolFull : nil
    }

    mutating func send(_ opaque: UInt64, now: UInt64) {
        guard let event = events[opaque] else { return }
        let isIndividual = queues[event.queue].sendsIndividually(event.number, now: now) && isIndividualReady
        send(opaque, isIndividual ? .individual : .shared)
    }

    mutating func send(_ opaque: UInt64, _ way: PendingEvent.Way) {
        guard let event = events[opaque] else { return }
        events[opaque]?.isSent = true
        events[opaque]?.way = way
        queues[event.queue].sent += 1
        queues[event.queue].sentBytes += event.record.size
        if event.isRow { queues[event.queue].sentRows += 1 }
        if event.isBacklog {
            queues[event.queue].backlogSent += 1
        } else if queues[event.queue].isBypassing {
            counters.bypassedEvents += 1
        }
        actions.append(.produce(opaque, event.record, way))
    }

    /// librdkafka does not have it any more.
    mutating func unsend(_ opaque: UInt64, _ event: PendingEvent) {
        events[opaque]?.isSent = false
        queues[event.queue].sent -= 1
        queues[event.queue].sentBytes -= event.record.size
        if event.isRow { queues[event.queue].sentRows -= 1 }
        if event.isBacklog, queues[event.queue].backlogSent > 0 { queues[event.queue].backlogSent -= 1 }
    }

    mutating func store(_ opaque: UInt64, now: UInt64) {
        guard let event = events[opaque] else { return }
        events[opaque]?.stored = .pending
        queues[event.queue].rows += 1
        if event.isSent { queues[event.queue].sentRows += 1 }
        queues[event.queue].bytes += Int64(event.record.size)
        askSpool(now)
        actions.append(.spool(.insert(event.record, number: event.number, token: opaque)))
    }

    mutating func answer(_ token: UInt64, _ queue: Int, accepted: UInt64 = 0, _ outcome: PublishOutcome) {
        actions.append(.answer(token: token, queue: queue, accepted: accepted, outcome))
    }

    mutating func answer(event opaque: UInt64, _ outcome: PublishOutcome) {
        guard let event = events[opaque], let token = event.token else { return }
        events[opaque]?.token = nil
        answer(token, event.queue, accepted: event.accepted, outcome)
    }

    // MARK: - The producer comes and goes

    /// After a fatal error. The reports of what it holds are still to come, all of them failures.
    mutating func producerLost(now: UInt64) {
        isProducerReady = false
        isIndividualReady = false
        isIndividualWanted = false
        guard hasSpool else { return }
        for index in queues.indices { interrupt(index, .late, .producerLost, now: now) }
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
    var sentCount: Int { queues.reduce(0) { $0 + $1.sent } }

    mutating func producerReady(now: UInt64) {
        isProducerReady = true
        for index in queues.indices { feed(index, now: now) }
    }

    /// The producer for batches of one record is there, or could not be made; then it is asked for again when needed.
    mutating func individualProducer(isReady: Bool, now: UInt64) {
        isIndividualReady = isReady
        isIndividualWanted = false
        guard isReady else { return }
        let waiting = waitingForIndividual
        waitingForIndividual = []
        for opaque in waiting where events[opaque]?.token != nil { send(opaque, .individual) }
        for index in queues.indices { feed(index, now: now) }
    }

    mutating func wantIndividual() {
        guard !isIndividualReady, !isIndividualWanted else { return }
        isIndividualWanted = true
        actions.append(.prepareIndividualProducer)
    }

    // MARK: - The topics' durability is checked

    /// With a spool, nothing is handed over while the gate is not open: what the spool holds is not given to topics
    /// that could lose it.
    mutating func set(_ gate: DurabilityGate, now: UInt64) {
        guard gate != self.gate else { return }
        self.gate = gate
        guard hasSpool else { return }
        for index in queues.indices {
            if gate == .open {
                feed(index, now: now)
            } else {
                interrupt(index, .late, .notDurable, now: now)
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
    var isIdle: Bool { events.count == 0 && queues.allSatisfy { $0.rows == 0 } }
}
