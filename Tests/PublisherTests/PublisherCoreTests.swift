import SMSBridgeSpool
import SMSBridgeTestSupport
import Testing

@testable import SMSBridgePublisher

/// A Kafka, a spool and callers, all imagined, around the real state machine. Everything that happens is chosen by a
/// seed; the promises are checked at every step.
private struct World {
    static let laneCount = 3
    static let quarantine = 2

    var core: PublisherCore
    var random: SeededRandom
    var now: UInt64 = 1_000_000_000
    let hasSpool: Bool

    /// What librdkafka holds, per lane in the order handed over.
    var inKafka: [[(opaque: UInt64, number: Int, way: PendingEvent.Way)]] = Array(repeating: [], count: laneCount)
    /// Identities of the records that Kafka has, in the order written, per lane.
    var delivered: [[Int]] = Array(repeating: [], count: laneCount)
    /// Commands that wait for the spool's writer.
    var queue: [SpoolCommand] = []
    /// The spool's file.
    var file: [[Int64: (id: Int, record: SpoolRecord)]] = Array(repeating: [:], count: laneCount)
    var parked: Set<Int> = []
    /// What the writer has told and the loop has not heard yet.
    var told: [Reply] = []
    /// Identities of the rows of an earlier life.
    var inherited: Set<Int> = []
    /// Whether the file can be opened at all.
    var isSpoolThere: Bool
    var isDiskBroken = false
    /// The next commit fails; the file opens again at once.
    var isCommitFailing = false
    var isKafkaAway = false
    var isProducerLost = false
    /// Records that Kafka refuses for themselves.
    var poison: Set<Int> = []
    /// Records whose own timestamp Kafka rejects, and whether it rejects the time of the attempt, too.
    var untimely: Set<Int> = []
    var isClockWrong = false
    var isIndividualComing = false
    /// Nothing is written or read, and nothing is answered.
    var isDiskHanging = false
    /// Rows cannot be read; everything else works.
    var isReadFailing = false
    var answers: [Int: PublishOutcome] = [:]
    var accepted = 0
    var durableNowhere: [Int] = []
    var isMiscounted = false
    /// Events that took the short way of the common state, on acceptance and on delivery.
    var directlyAccepted = 0
    var directlyDelivered = 0
    /// Of so many calls one has everything that both states hold compared, which takes long.
    var compares = 256
    private var calls = 0

    enum Reply {
        case opened(nextNumber: Int64, totals: [SpoolTotals])
        case failed
        case durable([UInt64])
        case rejected([UInt64])
        case rows(lane: Int, [SpoolRow])
        case readFailed(lane: Int)
    }

    /// - Parameters:
    ///   - inherited: rows that the file has from an earlier life; it is then not open yet.
    ///   - hasLargeRecords: some are so large that a lane does not keep its newest rows in memory.
    ///   - bypasses: whether the spool's backlog may be bypassed.
    init(
        seed: UInt64, hasSpool: Bool, inherited count: Int = 0, hasLargeRecords: Bool = false, bypasses: Bool = true
    ) {
        random = SeededRandom(seed: seed)
        self.hasSpool = hasSpool
        var limits = PublisherCore.Limits()
        limits.maxInFlight = 60
        if !bypasses { (limits.maxSpoolWait, limits.maxReadWait) = (1 << 62, 1 << 62) }
        limits.maxSpoolBytes = hasLargeRecords ? 1 << 30 : 1 << 20
        limits.maxInFlightBytes = hasLargeRecords ? 1 << 28 : 1 << 26
        core = PublisherCore(
            topics: ["a", "b", "quarantine"], quarantineQueue: Self.quarantine, hasSpool: hasSpool, limits: limits)
        large = hasLargeRecords ? [UInt8](repeating: 0, count: 1_200_000) : []
        isSpoolThere = count == 0
        for number in 0..<count {
            let id = 1_000_000 + number
            let record = record(id, lane: number % 2)
            file[number % 2][Int64(number + 1)] = (id, record)
            inherited.insert(id)
        }
        if hasSpool, isSpoolThere { opens() }
    }

    /// What is behind the identity in a large record.
    let large: [UInt8]

    /// A record whose value begins with its identity.
    mutating func record(_ id: Int, lane: Int) -> SpoolRecord {
        var value = withUnsafeBytes(of: id) { Array($0) }
        if !large.isEmpty, random.next() % 4 > 0 { value += large }
        return value.withUnsafeBytes {
            SpoolRecord(
                lane: lane, timestamp: Int64(id), key: nil, value: $0,
                headers: UnsafeRawBufferPointer(start: nil, count: 0))
        }
    }

    /// Without the rows that are only still there because they could not be deleted.
    var totals: [SpoolTotals] {
        file.indices.map { lane in
            let pending = pendingDeletes(lane)
            let rows = file[lane].filter { !pending.contains($0.key) }
            return SpoolTotals(rows: Int64(rows.count), bytes: rows.values.reduce(0) { $0 + Int64($1.record.size) })
        }
    }

    /// Rows whose delete could not be carried out: the writer remembers them.
    var unfinished: [[Int64]] = Array(repeating: [], count: laneCount)

    func pendingDeletes(_ lane: Int) -> Set<Int64> { Set(unfinished[lane]) }

    /// The writer opens the file, or opens it anew.
    mutating func opens() {
        isSpoolThere = true
        told.append(.opened(nextNumber: (file.compactMap { $0.keys.max() }.max() ?? 0) + 1, totals: totals))
    }

    static func identity(_ record: SpoolRecord) -> Int { record.value.loadUnaligned(as: Int.self) }

    mutating func act() {
        var index = 0
        while index < core.actions.count {
            let action = core.actions[index]
            index += 1
            switch action {
            case .prepareIndividualProducer: isIndividualComing = true
            case .produce(let opaque, let record, let way):
                if isProducerLost || random.next() % 50 == 0 {
                    core.notProduced(opaque, failure: .passing, followedBy: index, now: now)
                } else {
                    inKafka[record.lane].append((opaque, Self.identity(record), way))
                }
            case .spool(let command): queue.append(command)
            case .nothing, .queueChanged: continue
            case .answer(let token, _, _, let outcome):
                let id = Int(token)
                #expect(answers[id] == nil, "an event is answered once")
                answers[id] = outcome
                if outcome == .durable, !isStoredOrDelivered(id) { durableNowhere.append(id) }
            }
        }
        core.actions.removeAll()
    }

    /// Kafka has it, or the file has it.
    func isStoredOrDelivered(_ id: Int) -> Bool {
        delivered.contains { $0.contains(id) } || file.contains { $0.values.contains { $0.id == id } }
            || parked.contains(id)
    }

    // What can happen.

    mutating func callerComes() {
        let lane = Int(random.next() % 2)
        let id = accepted
        accepted += 1
        if random.next() % 40 == 0 { poison.insert(id) }
        if random.next() % 40 == 0 { untimely.insert(id) }
        accept(record(id, lane: lane), token: UInt64(id))
        act()
    }

    /// Accepts an event by the short way of the common state where it is open, and holds that against the whole decision.
    mutating func accept(_ record: SpoolRecord, token: UInt64) {
        var direct = core
        let opaque = direct.acceptDirect(record, token: token, now: now)
        var decided = core
        decided.accept(record, token: token, now: now)
        if let opaque {
            directlyAccepted += 1
            #expect(direct.events[opaque]?.record.value.baseAddress == record.value.baseAddress)
            direct.actions.append(.produce(opaque, record, .shared))
            expectAlike(direct, decided)
            core = direct
        } else {
            expectAlike(direct, core)
            core = decided
        }
    }

    /// The same for a delivery.
    mutating func deliver(_ opaque: UInt64) {
        let queue = core.events[opaque]?.queue ?? 0
        var direct = core
        let delivery = direct.deliverDirect(opaque)
        var decided = core
        decided.report(opaque, failure: nil, now: now)
        if let delivery {
            directlyDelivered += 1
            direct.answer(delivery.token, queue, accepted: delivery.accepted, .durable)
            expectAlike(direct, decided)
            core = direct
        } else {
            expectAlike(direct, core)
            core = decided
        }
    }

    /// Compares everything that two states hold, now and then.
    private mutating func expectAlike(_ one: PublisherCore, _ other: PublisherCore) {
        calls += 1
        guard calls % compares == 0 else { return }
        #expect("\(one)" == "\(other)")
    }

    /// Kafka acknowledges, or fails, some of what it was handed first in a lane.
    mutating func kafkaReports(_ lane: Int, failing: Bool) {
        guard !isKafkaAway || failing, !inKafka[lane].isEmpty else { return }
        var count = 1 + Int(random.next() % UInt64(inKafka[lane].count))
        if inKafka[lane][0].way != .shared { count = 1 }
        count = inKafka[lane].prefix(count).prefix { $0.way == .shared }.count
        // A rejection concerns the batch.
        let batch = Array(inKafka[lane].prefix(max(1, count)))
        inKafka[lane].removeFirst(batch.count)
        let isPoisoned = !failing && lane != Self.quarantine && batch.contains { poison.contains($0.number) }
        let isLate =
            !failing && batch.contains { untimely.contains($0.number) && ($0.way != .individualNow || isClockWrong) }
        for (opaque, id, _) in batch {
            if failing {
                core.report(opaque, failure: .passing, now: now)
            } else if isPoisoned {
                core.report(opaque, failure: .record("MSG_SIZE_TOO_LARGE"), now: now)
            } else if isLate {
                core.report(opaque, failure: .timestamp, now: now)
            } else {
                delivered[lane].append(id)
                deliver(opaque)
            }
            act()
        }
    }

    /// The writer commits everything that has gathered.
    mutating func spoolWrites() {
        guard hasSpool, isSpoolThere, !isDiskHanging else { return }
        let batch = queue
        queue = []
        let isFailing = isDiskBroken || isCommitFailing && batch.contains { if case .read = $0 { false } else { true } }
        if isFailing {
            isCommitFailing = false
            told.append(.rejected(batch.compactMap { if case .insert(_, _, let token) = $0 { token } else { nil } }))
            // A delete is remembered; an insert is not.
            for case .delete(let lane, let number) in batch { unfinished[lane].append(number) }
            if isDiskBroken { told.append(.failed) } else { opens() }
        } else {
            commit(batch)
        }
        for command in batch {
            guard case .read(let lane, let after, _, _) = command else { continue }
            guard !(isFailing && isDiskBroken), !isReadFailing else {
                told.append(.readFailed(lane: lane))
                continue
            }
            let pending = pendingDeletes(lane)
            let rows = file[lane].filter { $0.key > after && !pending.contains($0.key) }.sorted { $0.key < $1.key }
                .prefix(1 + Int(random.next() % 20)).map { SpoolRow(number: $0.key, record: $0.value.record) }
            told.append(.rows(lane: lane, rows))
        }
    }

    private mutating func commit(_ batch: [SpoolCommand]) {
        var tokens: [UInt64] = []
        for lane in file.indices {
            for number in unfinished[lane] { file[lane][number] = nil }
            unfinished[lane] = []
        }
        for command in batch {
            switch command {
            case .insert(let record, let number, let token):
                insert(record, number)
                tokens.append(token)
            case .delete(let lane, let number): file[lane][number] = nil
            case .park(let record, let number, _):
                parked.insert(Self.identity(record))
                file[record.lane][number] = nil
            case .move(let record, let number, let lane, let old):
                insert(record, number)
                file[lane][old] = nil
            case .read, .inspect: break
            }
        }
        told.append(.durable(tokens))
    }

    private mutating func insert(_ record: SpoolRecord, _ number: Int64) {
        #expect(file[record.lane][number] == nil, "a number is given once")
        file[record.lane][number] = (Self.identity(record), record)
    }

    /// The loop hears what the writer has told.
    mutating func spoolTells() {
        let replies = told
        told = []
        for reply in replies {
            switch reply {
            case .opened(let number, let totals): core.spoolOpened(nextNumber: number, totals: totals, now: now)
            case .failed: core.spoolFailed()
            case .durable(let tokens): core.stored(tokens, now: now)
            case .rejected(let tokens): core.notStored(tokens, now: now)
            case .rows(let lane, let rows): core.received(rows, queue: lane, now: now)
            case .readFailed(let lane): core.readFailed(queue: lane, now: now)
            }
            act()
            // The quarantine's rows may be on their way from another lane's.
            isMiscounted = isMiscounted || core.queues[..<2].contains { $0.rows < 0 || $0.bytes < 0 }
        }
    }

    mutating func timePasses() {
        now += random.next() % 60_000_000
        core.tick(now: now, lag: random.next() % 10 == 0 ? 50_000_000 : 0)
        act()
    }

    mutating func producerFails() {
        if isProducerLost {
            // Every report is in: the new one can be taken.
            for lane in inKafka.indices { while !inKafka[lane].isEmpty { kafkaReports(lane, failing: true) } }
            isProducerLost = false
            core.producerReady(now: now)
        } else {
            isProducerLost = true
            isIndividualComing = false
            core.producerLost(now: now)
        }
        act()
    }

    mutating func judge(_ gate: DurabilityGate) {
        core.set(gate, now: now)
        act()
    }

    mutating func breakDisk(_ isBroken: Bool) {
        guard isSpoolThere else { return }
        if isDiskBroken, !isBroken { opens() }
        isDiskBroken = isBroken
    }

    mutating func individualComes() {
        guard isIndividualComing, !isProducerLost else { return }
        isIndividualComing = false
        core.individualProducer(isReady: random.next() % 4 > 0, now: now)
        act()
    }

    mutating func step() {
        if random.next() % 8 == 0 { individualComes() }
        switch random.next() % 100 {
        case 0..<40: callerComes()
        case 40..<65: kafkaReports(Int(random.next() % 3), failing: isProducerLost)
        case 65..<74: spoolWrites()
        case 74..<84: spoolTells()
        case 84..<93: timePasses()
        case 93: if isSpoolThere { isCommitFailing = true } else if random.next() % 2 == 0 { opens() }
        case 94: isKafkaAway = !isKafkaAway && random.next() % 2 == 0
        case 95: breakDisk(random.next() % 3 == 0)
        case 96: kafkaReports(Int(random.next() % 3), failing: true)
        case 97 where random.next() % 3 == 0: isDiskHanging = random.next() % 3 == 0
        case 97: producerFails()
        case 98 where random.next() % 3 == 0: isClockWrong.toggle()
        case 98 where random.next() % 2 == 0: isReadFailing = random.next() % 3 == 0
        case 98: judge([.open, .open, .unjudged, .refusing][Int(random.next() % 4)])
        default: timePasses()
        }
    }

    /// Everything heals, and time goes on until nothing is left to do.
    mutating func settle() {
        if hasSpool, !isSpoolThere { opens() }
        breakDisk(false)
        isCommitFailing = false
        isKafkaAway = false
        isDiskHanging = false
        isReadFailing = false
        isClockWrong = false
        judge(.open)
        if isProducerLost { producerFails() }
        for _ in 0..<20_000 {
            individualComes()
            for lane in 0..<Self.laneCount { kafkaReports(lane, failing: false) }
            spoolWrites()
            spoolTells()
            now += 50_000_000
            core.tick(now: now)
            act()
            if core.events.count == 0 {
                core.spoolHolds(totals, now: now)
                act()
            }
            if core.isIdle, queue.isEmpty, told.isEmpty, unfinished.allSatisfy({ $0.isEmpty }) { return }
        }
    }
}

@Suite struct PublisherCoreTests {
    /// The random runs below hold both against each other in every other state.
    @Test(arguments: 1...6 as ClosedRange<UInt64>)
    func theShortPathOfTheCommonStateDecidesAsTheCoreDoes(seed: UInt64) {
        var world = World(seed: seed, hasSpool: seed % 2 == 0)
        world.compares = 16
        var sent: [UInt64] = []
        var accepted = 0
        for step in 0..<400 {
            if sent.isEmpty || (sent.count < 25 && world.random.next() % 2 == 0) {
                let record = world.record(step, lane: step % 2)
                world.accept(record, token: UInt64(step))
                for case .produce(let opaque, _, _) in world.core.actions { sent.append(opaque) }
                accepted += 1
            } else {
                world.deliver(sent.removeFirst())
            }
            world.core.actions.removeAll()
            world.now += 1_000_000
        }
        #expect(world.directlyAccepted == accepted)
        #expect(world.directlyDelivered == accepted - sent.count)
    }

    @Test(arguments: 1...25 as ClosedRange<UInt64>) func promisesHoldInRandomRuns(seed: UInt64) {
        // Every third time the file is held by somebody else at first, and has rows.
        var world = World(
            seed: seed, hasSpool: true, inherited: seed % 3 == 0 ? 400 : 0, hasLargeRecords: seed % 5 == 0)
        for _ in 0..<3_000 { world.step() }
        world.settle()
        #expect(!world.isMiscounted, "seed \(seed): the spool holds less than nothing")
        let missing = world.inherited.filter { !world.isStoredOrDelivered($0) }
        #expect(missing.isEmpty, "seed \(seed): rows of an earlier life are gone: \(missing.sorted())")
        #expect(world.durableNowhere.isEmpty, "seed \(seed): answered 200 and in neither place")
        #expect(world.answers.count == world.accepted, "seed \(seed): every caller is answered")
        let lost = world.answers.filter { $0.value == .durable && !world.isStoredOrDelivered($0.key) }
        #expect(lost.isEmpty, "seed \(seed): lost \(lost.keys.sorted())")
        #expect(
            world.core.isIdle,
            "seed \(seed): the spool drains to the end: \(world.core.queues.map(\.rows)) rows, \(world.core.queues.map(\.state))"
        )
        #expect(world.file.allSatisfy { $0.isEmpty }, "seed \(seed): the file is empty")
        // Delivered is delivered in its own topic, or in the quarantine when Kafka refuses it there.
        for id in world.poison where world.answers[id] == .durable {
            #expect(!world.delivered[0].contains(id) && !world.delivered[1].contains(id), "seed \(seed)")
        }
    }

    @Test(arguments: 1...8 as ClosedRange<UInt64>) func withoutASpoolNothingIsPromisedThatKafkaHasNot(seed: UInt64) {
        var world = World(seed: seed, hasSpool: false)
        for _ in 0..<3_000 { world.step() }
        world.settle()
        #expect(world.durableNowhere.isEmpty && world.answers.count == world.accepted, "seed \(seed)")
        #expect(world.core.events.count == 0, "seed \(seed)")
    }

    /// Order: with a Kafka that is late, away or lost but refuses nothing, first copies arrive in the order accepted, also
    /// when commits fail and records are so large that a lane's newest rows do not fit into memory.
    @Test(arguments: 1...20 as ClosedRange<UInt64>) func orderIsKeptThroughOutages(seed: UInt64) {
        var world = World(seed: seed &+ 1_000, hasSpool: true, hasLargeRecords: seed % 2 == 0, bypasses: false)
        for _ in 0..<3_000 {
            switch world.random.next() % 12 {
            case 0..<4: world.callerComes()
            case 4, 5: world.kafkaReports(Int(world.random.next() % 2), failing: false)
            case 6, 7: world.spoolWrites()
            case 8, 9: world.spoolTells()
            case 10: world.timePasses()
            default:
                switch world.random.next() % 8 {
                case 0: world.isKafkaAway.toggle()
                case 1: world.isCommitFailing = true
                case 2, 3: world.judge(.unjudged)
                case 4, 5: world.judge(.open)
                default: break
                }
            }
            world.poison = []
            world.untimely = []
        }
        world.settle()
        for lane in 0..<2 {
            var seen: Set<Int> = []
            let first = world.delivered[lane].filter { seen.insert($0).inserted }
            #expect(first == first.sorted(), "seed \(seed): lane \(lane) is out of order")
        }
    }

    private func core(hedge: UInt64 = 100, deadline: UInt64 = 900) -> PublisherCore {
        var limits = PublisherCore.Limits()
        limits.hedge = hedge
        limits.deadline = deadline
        var core = PublisherCore(topics: ["a", "quarantine"], quarantineQueue: 1, hasSpool: true, limits: limits)
        core.spoolOpened(nextNumber: 1, totals: [SpoolTotals(), SpoolTotals()], now: 0)
        return core
    }

    private func record(lane: Int = 0) -> SpoolRecord {
        SpoolRecord(
            lane: lane, timestamp: 1, key: nil, value: UnsafeRawBufferPointer(start: nil, count: 0),
            headers: UnsafeRawBufferPointer(start: nil, count: 0))
    }

    private func take(_ core: inout PublisherCore) -> (
        produced: [UInt64], inserted: [UInt64], deleted: Int, reads: Int, answers: [PublishOutcome]
    ) {
        defer { core.actions.removeAll() }
        var result: (produced: [UInt64], inserted: [UInt64], deleted: Int, reads: Int, answers: [PublishOutcome]) = (
            [], [], 0, 0, []
        )
        for action in core.actions {
            switch action {
            case .produce(let opaque, _, _): result.produced.append(opaque)
            case .spool(.insert(_, _, let token)): result.inserted.append(token)
            case .spool(.delete): result.deleted += 1
            case .spool(.read): result.reads += 1
            case .spool, .nothing, .queueChanged, .prepareIndividualProducer: break
            case .answer(_, _, _, let outcome): result.answers.append(outcome)
            }
        }
        return result
    }

    @Test func aLateEventAndAllThatFollowGoToTheSpoolAndTheOthersDoNot() {
        var core = core()
        for _ in 0..<3 { core.accept(record(), token: 1, now: 0) }
        core.accept(record(lane: 1), token: 2, now: 90)
        let sent = take(&core).produced
        #expect(sent.count == 4)
        core.tick(now: 100)
        let hedged = take(&core)
        #expect(hedged.inserted == Array(sent[0..<3]) && hedged.answers.isEmpty)
        #expect(!core.queues[0].isDirect && core.queues[1].isDirect, "one late topic does not touch the others")
        core.accept(record(), token: 3, now: 101)
        let next = take(&core)
        #expect(next.produced.isEmpty && next.inserted.count == 1, "what follows does not wait for its own hedge")
        core.stored(hedged.inserted + next.inserted, now: 0)
        #expect(take(&core).answers == Array(repeating: .durable, count: 4))
        for opaque in sent[0..<3] { core.report(opaque, failure: nil, now: 200) }
        let drained = take(&core)
        #expect(drained.deleted == 3 && drained.answers.isEmpty)
        #expect(
            drained.reads == 0 && drained.produced.count == 1,
            "everything handed over has its report: the drain begins, and memory has all of it")
        #expect(core.queues[0].isDirect, "handed over is enough")
    }

    @Test func aReportBeforeTheCommitAnswersAndDeletes() {
        var core = core()
        core.accept(record(), token: 1, now: 0)
        let opaque = take(&core).produced[0]
        core.tick(now: 100)
        #expect(take(&core).inserted == [opaque])
        core.report(opaque, failure: nil, now: 110)
        let reported = take(&core)
        #expect(reported.answers == [.durable] && reported.deleted == 1)
        core.stored([opaque], now: 0)
        #expect(take(&core).answers.isEmpty)
        #expect(core.events.count == 0)
    }

    @Test func neitherInTimeIsAnHonestRefusal() {
        var core = core()
        core.accept(record(), token: 1, now: 0)
        let opaque = take(&core).produced[0]
        core.tick(now: 100)
        _ = take(&core)
        core.tick(now: 900)
        #expect(take(&core).answers == [.unavailable(.deadline)])
        core.stored([opaque], now: 0)
        #expect(take(&core).answers.isEmpty)
        core.report(opaque, failure: nil, now: 1_000)
        #expect(take(&core).deleted == 1)
        #expect(core.events.count == 0)
    }

    @Test func aLoopThatWasHeldUpDoesNotCloseItsLanes() {
        var core = core()
        core.accept(record(), token: 1, now: 0)
        _ = take(&core)
        core.tick(now: 150, lag: 50)
        #expect(core.queues[0].isDirect && core.nextTime(now: 150) == 200)
        core.tick(now: 199)
        #expect(core.queues[0].isDirect)
        core.tick(now: 200)
        #expect(!core.queues[0].isDirect)
    }

    @Test func withAFullSpoolTheRefusalIsHonestAndDeliveryGoesOn() {
        var limits = PublisherCore.Limits()
        limits.maxSpoolBytes = Int64(record().size) * 4
        var core = PublisherCore(topics: ["a", "quarantine"], quarantineQueue: 1, hasSpool: true, limits: limits)
        core.spoolOpened(nextNumber: 1, totals: [SpoolTotals(), SpoolTotals()], now: 0)
        core.accept(record(), token: 1, now: 0)
        let first = take(&core).produced[0]
        core.report(first, failure: .passing, now: 1)
        #expect(take(&core).inserted.count == 1)
        core.accept(record(), token: 2, now: 2)
        #expect(take(&core).inserted.count == 1)
        core.accept(record(), token: 3, now: 2)
        #expect(take(&core).answers.isEmpty, "a topic has half of the room, and Kafka may take it in time")
        core.tick(now: 900_000_002)
        #expect(take(&core).answers.contains(.unavailable(.deadline)))
        core.kafkaTrouble.note(4_000_000_000)
        core.accept(record(), token: 4, now: 4_000_000_000)
        #expect(take(&core).answers == [.unavailable(.spoolFull)], "a Kafka that takes nothing is not waited for")
    }

    @Test func aKafkaThatTakesNothingIsToldAndForgottenWithoutNews() {
        var core = PublisherCore(topics: ["a", "quarantine"], quarantineQueue: 1, hasSpool: false, limits: .init())
        let second: UInt64 = 1_000_000_000
        #expect(!core.isKafkaFailing(now: second))
        core.accept(record(), token: 1, now: second)
        let first = take(&core).produced[0]
        core.report(first, failure: .passing, now: 2 * second)
        #expect(!core.isKafkaFailing(now: 3 * second), "a moment is no outage")
        core.accept(record(), token: 2, now: 5 * second)
        core.tick(now: 6 * second)
        #expect(core.isKafkaFailing(now: 6 * second))
        #expect(!core.isKafkaFailing(now: 20 * second), "without events there is no news")
        let late = take(&core).produced[0]
        core.report(late, failure: nil, now: 7 * second)
        #expect(!core.isKafkaFailing(now: 7 * second))
    }

    @Test func nothingIsHandedOverToTopicsThatCouldLoseIt() {
        var core = core()
        core.set(.unjudged, now: 0)
        core.accept(record(), token: 1, now: 0)
        let waiting = take(&core)
        #expect(waiting.produced.isEmpty && waiting.inserted.count == 1 && waiting.reads == 0)
        core.stored(waiting.inserted, now: 0)
        #expect(take(&core).answers == [.durable], "the spool has it")
        core.tick(now: 1_000)
        #expect(core.nextTime(now: 1_000) == nil, "nothing to do until somebody judges")
        core.set(.refusing, now: 1_000)
        core.accept(record(), token: 2, now: 1_000)
        core.tick(now: 10_000)
        let refused = take(&core)
        #expect(refused.answers == [.unavailable(.notDurable)] && refused.produced.isEmpty && refused.reads == 0)
        core.set(.open, now: 20_000)
        #expect(take(&core).produced.count == 1, "the drain begins with the better verdict")
        #expect(core.queues.allSatisfy { $0.isDirect })
        #expect(!core.isKafkaFailing(now: 5_000_000_000), "that was no trouble of Kafka's")
    }

    @Test func withoutASpoolAWeakTopicIsARefusal() {
        var core = PublisherCore(topics: ["a", "quarantine"], quarantineQueue: 1, hasSpool: false, limits: .init())
        core.accept(record(), token: 1, now: 0)
        let first = take(&core).produced[0]
        core.set(.refusing, now: 1)
        core.accept(record(), token: 2, now: 1)
        #expect(take(&core).answers == [.unavailable(.notDurable)])
        core.report(first, failure: nil, now: 2)
        #expect(take(&core).answers == [.durable], "what was on its way is answered by its report")
        core.set(.open, now: 3)
        core.accept(record(), token: 3, now: 3)
        #expect(take(&core).produced.count == 1)
    }

    @Test func deadlinesAreJudgedASliceAtATimeAndAReportInBetweenCounts() {
        var limits = PublisherCore.Limits()
        limits.deadline = 900
        var core = PublisherCore(topics: ["a", "quarantine"], quarantineQueue: 1, hasSpool: false, limits: limits)
        let count = PublisherCore.answersATime * 3
        for token in 1...count { core.accept(record(), token: UInt64(token), now: 0) }
        let sent = take(&core).produced
        var isDone = core.tick(now: 1_000)
        #expect(!isDone)
        #expect(take(&core).answers == Array(repeating: .unavailable(.deadline), count: PublisherCore.answersATime))
        core.report(sent[count - 1], failure: nil, now: 1_000)
        #expect(take(&core).answers == [.durable])
        isDone = core.tick(now: 1_001)
        #expect(!isDone)
        isDone = core.tick(now: 1_002)
        #expect(isDone, "the last slice is not full")
        let rest = take(&core).answers
        #expect(rest.count == count - PublisherCore.answersATime - 1)
        #expect(core.nextTime(now: 1_003) == nil)
    }

    @Test func aFullDiskHasNoRoomAndIsTriedAllTheSame() {
        var core = core()
        #expect(core.hasSpoolRoom(now: 200))
        core.isSpoolDiskFull = true
        #expect(
            !core.hasSpoolRoom(now: 200), "an instance that cannot give a 2xx without Kafka must not say that it can")
        core.accept(record(), token: 1, now: 0)
        #expect(take(&core).produced.count == 1)
        core.tick(now: 100)
        let late = take(&core)
        #expect(late.inserted.count == 1 && late.answers.isEmpty, "what was told may be a second old")
        core.isSpoolDiskFull = false
        #expect(core.hasSpoolRoom(now: 200))
    }

    @Test func rowsOfAnEarlierLifeGoFirst() {
        var core = PublisherCore(topics: ["a", "quarantine"], quarantineQueue: 1, hasSpool: true, limits: .init())
        core.spoolOpened(nextNumber: 8, totals: [SpoolTotals(rows: 2, bytes: 256), SpoolTotals()], now: 0)
        #expect(take(&core).reads == 1)
        core.accept(record(), token: 1, now: 1)
        #expect(take(&core).inserted.count == 1)
        core.received([SpoolRow(number: 5, record: record()), SpoolRow(number: 7, record: record())], queue: 0, now: 2)
        let sent = take(&core)
        #expect(sent.produced.count == 2 && sent.reads == 1)
        core.received([], queue: 0, now: 3)
        #expect(take(&core).produced.count == 1)
        #expect(core.queues[0].isDirect)
    }

    @Test func numbersGivenBeforeTheFileWasOpenDoNotMeetItsRows() {
        var core = PublisherCore(topics: ["a", "quarantine"], quarantineQueue: 1, hasSpool: true, limits: limits())
        for token in 1...3 { core.accept(record(), token: UInt64(token), now: 0) }
        let sent = take(&core).produced
        core.spoolOpened(nextNumber: 101, totals: [SpoolTotals(rows: 100, bytes: 12_800), SpoolTotals()], now: 50)
        _ = take(&core)
        core.tick(now: 150)
        #expect(numbers(core) == [101, 102, 103], "in the order accepted, behind every row of the file")
        _ = take(&core)
        core.report(sent[0], failure: nil, now: 151)
        guard case .spool(.delete(_, let number)) = core.actions.last else { return #expect(Bool(false)) }
        #expect(number == 101, "and no row of another event is deleted")
    }

    /// The numbers of the rows that are to be inserted.
    private func numbers(_ core: PublisherCore) -> [Int64] {
        core.actions.compactMap { if case .spool(.insert(_, let number, _)) = $0 { number } else { nil } }
    }

    private func limits(_ adjust: (inout PublisherCore.Limits) -> Void = { _ in }) -> PublisherCore.Limits {
        var limits = PublisherCore.Limits()
        limits.hedge = 100
        limits.deadline = 900
        adjust(&limits)
        return limits
    }

    @Test func insertsThatWaitWhileTheFileIsOpenedAnewAreCounted() {
        var core = core()
        core.accept(record(), token: 1, now: 0)
        let sent = take(&core).produced
        core.report(sent[0], failure: .passing, now: 1)
        #expect(take(&core).inserted == sent)
        core.spoolOpened(nextNumber: 1, totals: [SpoolTotals(), SpoolTotals()], now: 2)
        #expect(core.queues[0].rows == 1 && core.queues[0].bytes == Int64(record().size))
        core.stored(sent, now: 3)
        #expect(core.queues[0].rows == 1)
        core.tick(now: 200_000_000)
        let again = take(&core)
        #expect(again.reads == 0 && again.produced.count == 1, "memory has it: the disk is not needed")
        core.report(again.produced[0], failure: nil, now: 200_000_003)
        #expect(core.queues[0].rows == 0 && core.queues[0].bytes == 0 && core.isIdle)
    }

    @Test func deletesThatWaitWhileTheFileIsOpenedAnewAreNotCountedForEver() {
        var core = core()
        core.accept(record(), token: 1, now: 0)
        let sent = take(&core).produced
        core.tick(now: 100)
        core.stored(sent, now: 0)
        core.report(sent[0], failure: nil, now: 101)
        #expect(take(&core).deleted == 1)
        core.spoolOpened(nextNumber: 2, totals: [SpoolTotals(rows: 1, bytes: 128), SpoolTotals()], now: 102)
        for _ in 1...3 { core.received([], queue: 0, now: 103) }
        #expect(core.queues[0].isDirect && core.isIdle, "the file has been read to its end, and nothing is on its way")
    }

    @Test func afterAPauseOfTheBridgeKafkaIsGivenTimeBeforeAnythingIsCalledLate() {
        var core = core()
        core.accept(record(), token: 1, now: 0)
        _ = take(&core)
        // As the publisher does: the timer is due at the hedge, and fires when the process goes on.
        let resumed: UInt64 = 850
        var due = core.nextTime(now: 0) ?? 0
        #expect(due == 100)
        for _ in 0..<10 where due <= resumed {
            core.tick(now: resumed, lag: resumed - due)
            due = core.nextTime(now: resumed) ?? .max
        }
        #expect(core.queues[0].isDirect && due == 900, "the report may be in a socket that nobody has read yet")
    }

    @Test func aLoopThatIsAlwaysLateStillCallsKafkaLate() {
        var limits = limits()
        limits.deadline = 10_000
        var core = PublisherCore(topics: ["a", "quarantine"], quarantineQueue: 1, hasSpool: true, limits: limits)
        core.spoolOpened(nextNumber: 1, totals: [SpoolTotals(), SpoolTotals()], now: 0)
        core.accept(record(), token: 1, now: 0)
        var now: UInt64 = 0
        while core.queues[0].isDirect, now < 1_000 {
            now = max(now, core.nextTime(now: now) ?? .max) + 30
            core.tick(now: now, lag: 30)
        }
        #expect(now < 300, "overload must not put the spool off for ever: \(now)")
    }

    @Test func aDrainLeavesRoomForTheOtherTopics() {
        for (count, bytes) in [(100, 64 << 20), (100_000, 100 * record().size)] {
            var core = PublisherCore(
                topics: ["a", "quarantine"], quarantineQueue: 1, hasSpool: true,
                limits: limits {
                    $0.maxInFlight = count
                    $0.maxInFlightBytes = bytes
                })
            core.spoolOpened(nextNumber: 501, totals: [SpoolTotals(rows: 500, bytes: 64_000), SpoolTotals()], now: 0)
            core.received((1...500).map { SpoolRow(number: $0, record: record()) }, queue: 0, now: 1)
            let probe = take(&core).produced
            for opaque in probe { core.report(opaque, failure: nil, now: 2) }
            let drained = take(&core).produced
            #expect(!drained.isEmpty && drained.count <= 50, "\(drained.count) in flight")
            for token in 1...40 { core.accept(record(lane: 1), token: UInt64(token), now: 3) }
            #expect(core.queues[1].isDirect && take(&core).produced.count == 40)
        }
    }

    @Test func aRecordLargerThanADrainsShareIsDrainedAlone() {
        var core = PublisherCore(
            topics: ["a", "quarantine"], quarantineQueue: 1, hasSpool: true,
            limits: limits { $0.maxInFlightBytes = 2 * record().size })
        core.spoolOpened(nextNumber: 3, totals: [SpoolTotals(rows: 2, bytes: 256), SpoolTotals()], now: 0)
        core.received((1...2).map { SpoolRow(number: $0, record: record()) }, queue: 0, now: 1)
        let first = take(&core).produced
        #expect(first.count == 1)
        core.report(first[0], failure: nil, now: 2)
        #expect(take(&core).produced.count == 1)
    }

    @Test func oneDeadTopicHasHalfOfTheBytesInFlight() {
        var core = PublisherCore(
            topics: ["a", "quarantine"], quarantineQueue: 1, hasSpool: true,
            limits: limits { $0.maxInFlightBytes = 100 * record().size })
        for token in 1...60 { core.accept(record(), token: UInt64(token), now: 0) }
        let first = take(&core)
        #expect(first.produced.count == 50 && first.answers.count == 10, "the spool is not open")
        core.accept(record(lane: 1), token: 61, now: 0)
        #expect(take(&core).produced.count == 1)
    }

    @Test func aSpoolThatRefusesEveryEventHasNoRoom() {
        let second: UInt64 = 1_000_000_000
        var core = PublisherCore(
            topics: ["a", "quarantine"], quarantineQueue: 1, hasSpool: true,
            limits: limits { $0.maxSpoolBytes = Int64(record().size) * 4 })
        core.spoolOpened(nextNumber: 1, totals: [SpoolTotals(), SpoolTotals()], now: 0)
        core.accept(record(), token: 1, now: 0)
        core.report(take(&core).produced[0], failure: .passing, now: 1)
        core.stored(take(&core).inserted, now: 0)
        core.accept(record(), token: 2, now: 2)
        core.stored(take(&core).inserted, now: 0)
        #expect(core.hasSpoolRoom(now: 3))
        for time in 1...5 as ClosedRange<UInt64> { core.accept(record(), token: 3, now: time * second) }
        #expect(take(&core).answers.suffix(2) == Array(repeating: .unavailable(.spoolFull), count: 2))
        #expect(core.isKafkaFailing(now: 5 * second) && !core.hasSpoolRoom(now: 5 * second), "a lane has half of it")
        #expect(core.hasSpoolRoom(now: 16 * second), "without events there is no news")
        core.accept(record(lane: 1), token: 4, now: 5 * second)
        core.report(take(&core).produced[0], failure: .passing, now: 5 * second)
        core.stored(take(&core).inserted, now: 0)
        #expect(core.hasSpoolRoom(now: 5 * second), "one that is durable again is news")
    }

    @Test func aDiskThatTakesNoEventHasNoRoom() {
        let second: UInt64 = 1_000_000_000
        var core = core()
        core.accept(record(), token: 1, now: 0)
        core.report(take(&core).produced[0], failure: .passing, now: 1)
        core.notStored(take(&core).inserted, now: 2)
        for time in 1...5 as ClosedRange<UInt64> {
            core.accept(record(), token: 2, now: time * second)
            let step = take(&core)
            for opaque in step.produced { core.report(opaque, failure: .passing, now: time * second) }
            core.notStored(step.inserted + take(&core).inserted, now: time * second)
        }
        #expect(core.isKafkaFailing(now: 5 * second) && !core.hasSpoolRoom(now: 5 * second))
        // A disk that does not answer at all: the callers' time is over.
        core = self.core()
        core.accept(record(), token: 1, now: 0)
        core.report(take(&core).produced[0], failure: .passing, now: 1)
        for time in 1...5 as ClosedRange<UInt64> {
            core.accept(record(), token: 2, now: time * second)
            core.tick(now: time * second + 900)
        }
        #expect(core.isKafkaFailing(now: 6 * second) && !core.hasSpoolRoom(now: 6 * second))
    }

    @Test func refusalsForWantOfRoomInFlightAreTold() {
        let second: UInt64 = 1_000_000_000
        var core = PublisherCore(
            topics: ["a", "quarantine"], quarantineQueue: 1, hasSpool: false, limits: limits { $0.maxInFlight = 2 })
        for time in 0...5 as ClosedRange<UInt64> { core.accept(record(), token: time, now: time * second) }
        #expect(take(&core).answers == Array(repeating: .unavailable(.inFlightLimit), count: 5))
        #expect(core.isKafkaFailing(now: 5 * second))
    }

    /// Rejects an event in company, and then by itself.
    private func reject(_ core: inout PublisherCore, lane: Int, _ failure: PublisherCore.Failure) {
        core.accept(record(lane: lane), token: 1, now: 0)
        core.report(take(&core).produced[0], failure: failure, now: 1)
        #expect(core.actions.contains { if case .prepareIndividualProducer = $0 { true } else { false } })
        core.stored(take(&core).inserted, now: 2)
        _ = take(&core)
        core.individualProducer(isReady: true, now: 3)
        let produced = core.actions.compactMap {
            if case .produce(let opaque, _, let way) = $0 { (opaque, way) } else { nil }
        }
        #expect(produced.count == 1 && produced[0].1 == .individual, "without waiting: a rejection is an answer")
        _ = take(&core)
        core.report(produced[0].0, failure: failure, now: 4)
    }

    @Test func aRejectedRecordCarriesItsErrorAndItsTopic() throws {
        var core = core()
        reject(&core, lane: 0, .record("MSG_SIZE_TOO_LARGE"))
        let moved = core.actions.compactMap { if case .spool(.move(let record, _, _, _)) = $0 { record } else { nil } }
        var headers: [String: String] = [:]
        HeaderCoding.forEach(in: try #require(moved.first).headers) { name, value in
            headers[String(decoding: name, as: UTF8.self)] = value.map { String(decoding: $0, as: UTF8.self) }
        }
        #expect(headers == ["smsbridge-refused": "MSG_SIZE_TOO_LARGE", "smsbridge-topic": "a"])
        #expect(core.counters.quarantined == 1)
    }

    @Test func aParkedRecordCarriesItsError() {
        var core = core()
        reject(&core, lane: 1, .record("INVALID_RECORD"))
        let reasons = core.actions.compactMap {
            if case .spool(.park(_, _, let reason)) = $0 { reason } else { nil }
        }
        #expect(reasons == ["refused by Kafka: INVALID_RECORD"])
        #expect(core.counters.parked == 1)
    }

    @Test func aRejectedTimestampIsTriedWithTheTimeOfTheAttemptAndThenWaitsForTheClock() {
        var core = core()
        reject(&core, lane: 0, .timestamp)
        func ways() -> [PendingEvent.Way] {
            core.actions.compactMap { if case .produce(_, _, let way) = $0 { way } else { nil } }
        }
        #expect(ways() == [.individualNow])
        let again = take(&core)
        core.report(again.produced[0], failure: .timestamp, now: 5)
        #expect(take(&core).produced.isEmpty, "the clock is wrong: the event stays in the spool")
        #expect(core.counters.timestampsRejected == 2 && core.queues[0].rows == 1 && core.counters.quarantined == 0)
        core.tick(now: 200_000_000)
        // The row is in the file, which is read, or in memory.
        core.received([SpoolRow(number: 1, record: record())], queue: 0, now: 200_000_001)
        #expect(ways() == [.individual])
        core.report(take(&core).produced[0], failure: .timestamp, now: 200_000_002)
        core.report(take(&core).produced[0], failure: nil, now: 200_000_003)
        #expect(core.counters.timestampsReplaced == 1 && core.queues[0].rows == 0)
    }

    @Test func aRejectionDoesNotRaiseTheBackoff() {
        var core = core()
        for token in 1...200 { core.accept(record(), token: UInt64(token), now: 0) }
        for opaque in take(&core).produced { core.report(opaque, failure: .record("MSG_SIZE_TOO_LARGE"), now: 1) }
        core.stored(take(&core).inserted, now: 2)
        _ = take(&core)
        core.individualProducer(isReady: true, now: 3)
        var rounds = 0
        while core.counters.quarantined < 200, rounds < 200 {
            rounds += 1
            for opaque in take(&core).produced { core.report(opaque, failure: .record("MSG_SIZE_TOO_LARGE"), now: 4) }
        }
        #expect(core.counters.quarantined == 200 && rounds < 20, "\(rounds) round trips, and no time has passed")
    }

    @Test func aRejectedEventThatOnlyMemoryHasGoesToTheQuarantineWithItsCaller() {
        var core = PublisherCore(topics: ["a", "quarantine"], quarantineQueue: 1, hasSpool: false, limits: .init())
        core.accept(record(), token: 7, now: 0)
        core.report(take(&core).produced[0], failure: .record("INVALID_RECORD"), now: 1)
        _ = take(&core)
        core.individualProducer(isReady: true, now: 2)
        core.report(take(&core).produced[0], failure: .record("INVALID_RECORD"), now: 3)
        let moved = core.actions.compactMap {
            if case .produce(let opaque, let record, _) = $0 { (opaque, record.lane) } else { nil }
        }
        #expect(moved.map(\.1) == [1])
        _ = take(&core)
        core.report(moved[0].0, failure: nil, now: 4)
        #expect(take(&core).answers == [.durable], "accepted, whole, in the quarantine topic")
    }

    // MARK: - The spool's disk

    @Test func aDiskThatHangsDoesNotKeepAnEmptySpoolFromBecomingDirect() {
        var core = core()
        core.accept(record(), token: 1, now: 0)
        let late = take(&core).produced
        core.tick(now: 100)
        #expect(take(&core).inserted == late)
        for token in 2...20 { core.accept(record(), token: UInt64(token), now: 110) }
        _ = take(&core)
        // No answer of the spool; Kafka acknowledges the one that was late.
        core.report(late[0], failure: nil, now: 200)
        var answers = 0
        for _ in 0..<10 {
            let step = take(&core)
            #expect(step.reads == 0)
            answers += step.answers.count { $0 == .durable }
            for opaque in step.produced { core.report(opaque, failure: nil, now: 210) }
        }
        #expect(answers == 20 && core.queues[0].isDirect)
    }

    @Test func aBacklogThatCannotBeReadIsBypassedAfterABoundAndFollows() {
        var core = PublisherCore(
            topics: ["a", "quarantine"], quarantineQueue: 1, hasSpool: true,
            limits: limits {
                $0.maxReadWait = 1_000
                $0.maxSpoolWait = 300
            })
        core.spoolOpened(nextNumber: 3, totals: [SpoolTotals(rows: 2, bytes: 256), SpoolTotals()], now: 0)
        #expect(take(&core).reads == 1)
        core.readFailed(queue: 0, now: 1)
        core.accept(record(), token: 1, now: 800)
        let waiting = take(&core)
        #expect(waiting.produced.isEmpty && waiting.inserted.count == 1)
        core.tick(now: 1_000)
        let bypassed = take(&core).produced
        #expect(bypassed.count == 1 && core.queues[0].isBypassing && core.queues[0].isDirect)
        core.report(bypassed[0], failure: nil, now: 1_001)
        #expect(take(&core).answers == [.durable])
        core.accept(record(), token: 2, now: 1_002)
        let direct = take(&core).produced
        #expect(direct.count == 1, "new events go straight to Kafka")
        core.report(direct[0], failure: nil, now: 1_003)
        _ = take(&core)
        #expect(core.counters.bypasses == 1 && core.counters.bypassedEvents == 2)
        core.tick(now: 300_000_000)
        #expect(take(&core).reads == 1, "it is read again")
        core.received([1, 2].map { SpoolRow(number: $0, record: record()) }, queue: 0, now: 300_000_001)
        let backlog = take(&core)
        #expect(backlog.produced.count == 2)
        core.received([], queue: 0, now: 300_000_002)
        for opaque in backlog.produced { core.report(opaque, failure: nil, now: 300_000_003) }
        #expect(!core.queues[0].isBypassing && core.queues[0].isDirect && core.counters.drained[0] == 2)
    }

    @Test func callersWhoseEventsTheDiskRejectsAreServedByKafkaPastABacklogThatIsRead() {
        var core = PublisherCore(
            topics: ["a", "quarantine"], quarantineQueue: 1, hasSpool: true,
            limits: limits { $0.maxSpoolWait = 300 })
        core.spoolOpened(
            nextNumber: 10_001, totals: [SpoolTotals(rows: 10_000, bytes: 1_280_000), SpoolTotals()], now: 0)
        core.received((1...2_000).map { SpoolRow(number: $0, record: record()) }, queue: 0, now: 1)
        let probe = take(&core).produced
        core.accept(record(), token: 1, now: 2)
        core.notStored(take(&core).inserted, now: 3)
        #expect(take(&core).answers.isEmpty)
        for opaque in probe { core.report(opaque, failure: nil, now: 4) }
        _ = take(&core)
        core.tick(now: 302)
        #expect(core.queues[0].isBypassing)
        let sent = core.actions.compactMap {
            if case .produce(let opaque, _, _) = $0, core.events[opaque]?.token == 1 { opaque } else { nil }
        }
        #expect(sent.count == 1)
        _ = take(&core)
        core.report(sent[0], failure: nil, now: 303)
        #expect(take(&core).answers == [.durable])
    }

    /// A queue that drains a backlog, with a caller whose event the spool has not answered for.
    private func drainingWithWaitingCaller() -> (PublisherCore, waiting: [UInt64]) {
        var core = PublisherCore(
            topics: ["a", "quarantine"], quarantineQueue: 1, hasSpool: true,
            limits: limits { $0.maxSpoolWait = 300 })
        core.spoolOpened(
            nextNumber: 10_001, totals: [SpoolTotals(rows: 10_000, bytes: 1_280_000), SpoolTotals()], now: 0)
        core.received((1...2_000).map { SpoolRow(number: $0, record: record()) }, queue: 0, now: 1)
        _ = take(&core)
        core.accept(record(), token: 1, now: 2)
        let waiting = take(&core).inserted
        return (core, waiting)
    }

    @Test func callersOfASpoolThatStoresNothingAreServedByKafkaPastTheBacklog() {
        var (core, _) = drainingWithWaitingCaller()
        core.tick(now: 301)
        #expect(!core.queues[0].isBypassing)
        // That it answers reads does not help them.
        core.received([], queue: 0, now: 301)
        core.tick(now: 302)
        #expect(core.queues[0].isBypassing && core.counters.bypasses == 1)
    }

    @Test func aSpoolThatStoresAndHasTooMuchToDoIsNotBypassed() {
        var (core, first) = drainingWithWaitingCaller()
        for token in 2...7 {
            // The spool stores the others, so that it is never idle.
            core.accept(record(), token: UInt64(token), now: UInt64(token) * 100)
            let later = take(&core).inserted
            core.tick(now: UInt64(token) * 100)
            _ = take(&core)
            core.stored(later, now: UInt64(token) * 100 + 1)
            _ = take(&core)
        }
        #expect(core.events[first[0]]?.stored == .pending)
        #expect(!core.queues[0].isBypassing && core.counters.bypasses == 0)
        // Nothing more is stored: half of the wait later the disk is to blame.
        core.accept(record(), token: 8, now: 701)
        _ = take(&core)
        core.tick(now: 850)
        #expect(core.counters.bypasses == 0)
        core.tick(now: 851)
        #expect(core.counters.bypasses == 1)
    }

    @Test func aBacklogIsNotBypassedForWhatALoopThatWasHeldUpHasNotSeen() {
        var (core, _) = drainingWithWaitingCaller()
        core.tick(now: 302, lag: 290)
        core.tick(now: 451)
        #expect(core.counters.bypasses == 0)
        core.tick(now: 452)
        #expect(core.counters.bypasses == 1)
    }

    @Test func aLoopThatIsAlwaysLateBypassesAllTheSame() {
        var (core, _) = drainingWithWaitingCaller()
        for now in stride(from: UInt64(10), through: 340, by: 10) { core.tick(now: now, lag: 9) }
        #expect(core.counters.bypasses == 1)
    }

    @Test func aSpoolThatTakesNothingIsNoReasonToLeaveALateKafka() {
        var core = core()
        core.spoolFailed()
        core.accept(record(), token: 1, now: 0)
        let sent = take(&core).produced
        core.tick(now: 100)
        #expect(core.queues[0].isDirect && take(&core).inserted.isEmpty)
        core.report(sent[0], failure: nil, now: 400)
        #expect(take(&core).answers == [.durable])
    }

    @Test func eventsThatOvertakeARefusedOneAreCounted() {
        var core = core()
        for token in 1...4 { core.accept(record(), token: UInt64(token), now: 0) }
        let sent = take(&core).produced
        core.report(sent[0], failure: nil, now: 1)
        core.report(sent[1], failure: .record("MSG_SIZE_TOO_LARGE"), now: 1)
        core.report(sent[2], failure: .record("MSG_SIZE_TOO_LARGE"), now: 1)
        #expect(core.counters.overtaking == 0)
        core.report(sent[3], failure: nil, now: 2)
        #expect(core.counters.overtaking == 1)
        core.stored(take(&core).inserted, now: 3)
        core.individualProducer(isReady: true, now: 4)
        for _ in 1...2 { for opaque in take(&core).produced { core.report(opaque, failure: nil, now: 5) } }
        #expect(core.counters.acknowledged[0] + core.counters.drained[0] == 4)
        #expect(core.counters.overtaking == 1, "the others follow in order")
    }
}
