import Spool
import Testing

@testable import Publisher

/// A Kafka, a spool and callers, all imagined, around the real state machine. Everything that happens is chosen by a
/// seed; the promises are checked at every step.
private struct World {
    static let laneCount = 3
    static let quarantine = 2

    var core: PublisherCore
    var random: SplitMix
    var now: UInt64 = 1_000_000_000
    let hasSpool: Bool

    /// What librdkafka holds, per lane in the order handed over.
    var inKafka: [[(opaque: UInt64, number: Int)]] = Array(repeating: [], count: laneCount)
    /// Identities of the records that Kafka has, in the order written, per lane.
    var delivered: [[Int]] = Array(repeating: [], count: laneCount)
    /// Commands that wait for the spool's writer.
    var queue: [SpoolCommand] = []
    /// The spool's file.
    var file: [[Int64: (id: Int, record: SpoolRecord)]] = Array(repeating: [:], count: laneCount)
    var parked: Set<Int> = []
    var isDiskBroken = false
    var isKafkaAway = false
    var isProducerLost = false
    /// Records that Kafka refuses for themselves.
    var poison: Set<Int> = []
    var answers: [Int: PublishOutcome] = [:]
    var accepted = 0
    var durableNowhere: [Int] = []

    init(seed: UInt64, hasSpool: Bool) {
        random = SplitMix(state: seed)
        self.hasSpool = hasSpool
        var limits = PublisherCore.Limits()
        limits.maxInFlight = 60
        limits.maxSpoolBytes = 1 << 20
        core = PublisherCore(lanes: Self.laneCount, quarantineLane: Self.quarantine, hasSpool: hasSpool, limits: limits)
    }

    /// A record whose value is its identity.
    func record(_ id: Int, lane: Int) -> SpoolRecord {
        withUnsafeBytes(of: id) {
            SpoolRecord(
                lane: lane, timestamp: Int64(id), key: nil, value: $0,
                headers: UnsafeRawBufferPointer(start: nil, count: 0))
        }
    }

    static func identity(_ record: SpoolRecord) -> Int { record.value.loadUnaligned(as: Int.self) }

    mutating func act() {
        var index = 0
        while index < core.actions.count {
            let action = core.actions[index]
            index += 1
            switch action {
            case .produce(let opaque, let record):
                if isProducerLost || random.next() % 50 == 0 {
                    core.refused(opaque, failure: .passing, followedBy: index, now: now)
                } else {
                    inKafka[record.lane].append((opaque, Self.identity(record)))
                }
            case .spool(let command): queue.append(command)
            case .nothing, .laneChanged: continue
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
        core.accept(record(id, lane: lane), token: UInt64(id), now: now)
        act()
    }

    /// Kafka acknowledges, or fails, some of what it was handed first in a lane.
    mutating func kafkaReports(_ lane: Int, failing: Bool) {
        guard !isKafkaAway || failing, !inKafka[lane].isEmpty else { return }
        let count = 1 + Int(random.next() % UInt64(inKafka[lane].count))
        // A refusal concerns the batch.
        let batch = Array(inKafka[lane].prefix(count))
        inKafka[lane].removeFirst(count)
        let isPoisoned = !failing && batch.contains { poison.contains($0.number) }
        for (opaque, id) in batch {
            if failing {
                core.report(opaque, failure: .passing, now: now)
            } else if isPoisoned {
                core.report(opaque, failure: .record, now: now)
            } else {
                delivered[lane].append(id)
                core.report(opaque, failure: nil, now: now)
            }
            act()
        }
    }

    /// The writer commits everything that has gathered.
    mutating func spoolWrites() {
        guard hasSpool else { return }
        let batch = queue
        queue = []
        if isDiskBroken {
            let tokens = batch.compactMap { if case .insert(_, _, let token) = $0 { token } else { nil } }
            // What is owed is done later; an insert is not.
            queue = batch.filter { if case .delete = $0 { true } else { false } }
            core.notStored(tokens, now: now)
            for command in batch {
                if case .read(let lane, _, _, _) = command { core.received([], lane: lane, now: now) }
            }
            return act()
        }
        var tokens: [UInt64] = []
        var reads: [(Int, [SpoolRow])] = []
        for command in batch {
            switch command {
            case .insert(let record, let number, let token):
                file[record.lane][number] = (Self.identity(record), record)
                tokens.append(token)
            case .delete(let lane, let number): file[lane][number] = nil
            case .park(let record, let number, _):
                parked.insert(Self.identity(record))
                file[record.lane][number] = nil
            case .move(let record, let number, let lane, let old):
                file[record.lane][number] = (Self.identity(record), record)
                file[lane][old] = nil
            case .read, .inspect: break
            }
        }
        for command in batch {
            guard case .read(let lane, let after, _, _) = command else { continue }
            let rows = file[lane].filter { $0.key > after }.sorted { $0.key < $1.key }
                .prefix(1 + Int(random.next() % 20)).map { SpoolRow(number: $0.key, record: $0.value.record) }
            reads.append((lane, rows))
        }
        core.stored(tokens)
        act()
        for (lane, rows) in reads {
            core.received(rows, lane: lane, now: now)
            act()
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
            core.producerLost(now: now)
        }
        act()
    }

    mutating func judge(_ gate: DurabilityGate) {
        core.set(gate, now: now)
        act()
    }

    mutating func step() {
        switch random.next() % 100 {
        case 0..<40: callerComes()
        case 40..<65: kafkaReports(Int(random.next() % 3), failing: isProducerLost)
        case 65..<80: spoolWrites()
        case 80..<94: timePasses()
        case 94: isKafkaAway = !isKafkaAway && random.next() % 2 == 0
        case 95: isDiskBroken = random.next() % 3 == 0
        case 96: kafkaReports(Int(random.next() % 3), failing: true)
        case 97: producerFails()
        case 98: judge([.open, .open, .unjudged, .refusing][Int(random.next() % 4)])
        default: timePasses()
        }
    }

    /// Everything heals, and time goes on until nothing is left to do.
    mutating func settle() {
        isDiskBroken = false
        isKafkaAway = false
        judge(.open)
        if isProducerLost { producerFails() }
        for _ in 0..<20_000 {
            for lane in 0..<Self.laneCount { kafkaReports(lane, failing: false) }
            spoolWrites()
            now += 50_000_000
            core.tick(now: now)
            act()
            if core.isIdle, queue.isEmpty { return }
            if core.events.count == 0 {
                core.spoolHolds(file.map { SpoolTotals(rows: Int64($0.count), bytes: Int64($0.count) * 136) }, now: now)
                act()
            }
        }
    }
}

@Suite struct PublisherCoreTests {
    @Test(arguments: 1...25 as ClosedRange<UInt64>) func promisesHoldInRandomRuns(seed: UInt64) {
        var world = World(seed: seed, hasSpool: true)
        world.core.spoolOpened(
            nextNumber: 1, totals: Array(repeating: SpoolTotals(), count: World.laneCount), now: world.now)
        for _ in 0..<3_000 { world.step() }
        world.settle()
        #expect(world.durableNowhere.isEmpty, "seed \(seed): answered 200 and in neither place")
        #expect(world.answers.count == world.accepted, "seed \(seed): every caller is answered")
        let lost = world.answers.filter { $0.value == .durable && !world.isStoredOrDelivered($0.key) }
        #expect(lost.isEmpty, "seed \(seed): lost \(lost.keys.sorted())")
        #expect(
            world.core.isIdle,
            "seed \(seed): the spool drains to the end: \(world.core.lanes.map(\.rows)) rows, \(world.core.lanes.map(\.phase))"
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

    /// Order: with a Kafka that is late, away or lost but refuses nothing, first copies arrive in the order accepted.
    @Test(arguments: 1...15 as ClosedRange<UInt64>) func orderIsKeptThroughOutages(seed: UInt64) {
        var world = World(seed: seed &+ 1_000, hasSpool: true)
        world.core.spoolOpened(
            nextNumber: 1, totals: Array(repeating: SpoolTotals(), count: World.laneCount), now: world.now)
        for _ in 0..<3_000 {
            switch world.random.next() % 10 {
            case 0..<4: world.callerComes()
            case 4, 5: world.kafkaReports(Int(world.random.next() % 2), failing: false)
            case 6, 7: world.spoolWrites()
            case 8: world.timePasses()
            default: if world.random.next() % 8 == 0 { world.isKafkaAway.toggle() }
            }
            world.poison = []
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
        var core = PublisherCore(lanes: 2, quarantineLane: 1, hasSpool: true, limits: limits)
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
            case .produce(let opaque, _): result.produced.append(opaque)
            case .spool(.insert(_, _, let token)): result.inserted.append(token)
            case .spool(.delete): result.deleted += 1
            case .spool(.read): result.reads += 1
            case .spool, .nothing, .laneChanged: break
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
        #expect(!core.lanes[0].isOpen && core.lanes[1].isOpen, "one late topic does not touch the others")
        core.accept(record(), token: 3, now: 101)
        let next = take(&core)
        #expect(next.produced.isEmpty && next.inserted.count == 1, "what follows does not wait for its own hedge")
        core.stored(hedged.inserted + next.inserted)
        #expect(take(&core).answers == Array(repeating: .durable, count: 4))
        for opaque in sent[0..<3] { core.report(opaque, failure: nil, now: 200) }
        let drained = take(&core)
        #expect(drained.deleted == 3 && drained.answers.isEmpty)
        #expect(drained.reads == 1, "everything handed over has its report: the drain begins")
        core.received([], lane: 0, now: 201)
        #expect(take(&core).produced.count == 1)
        #expect(core.lanes[0].isOpen, "handed over is enough")
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
        core.stored([opaque])
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
        core.stored([opaque])
        #expect(take(&core).answers.isEmpty)
        core.report(opaque, failure: nil, now: 1_000)
        #expect(take(&core).deleted == 1)
        #expect(core.events.count == 0)
    }

    @Test func aLoopThatWasHeldUpDoesNotCloseItsLanes() {
        var core = core()
        core.accept(record(), token: 1, now: 0)
        _ = take(&core)
        core.tick(now: 150, lag: 100)
        #expect(core.lanes[0].isOpen)
        core.tick(now: 200)
        #expect(!core.lanes[0].isOpen)
    }

    @Test func withAFullSpoolTheRefusalIsHonestAndDeliveryGoesOn() {
        var limits = PublisherCore.Limits()
        limits.maxSpoolBytes = Int64(record().size) * 4
        var core = PublisherCore(lanes: 2, quarantineLane: 1, hasSpool: true, limits: limits)
        core.spoolOpened(nextNumber: 1, totals: [SpoolTotals(), SpoolTotals()], now: 0)
        core.accept(record(), token: 1, now: 0)
        let first = take(&core).produced[0]
        core.report(first, failure: .passing, now: 1)
        #expect(take(&core).inserted.count == 1)
        core.accept(record(), token: 2, now: 2)
        #expect(take(&core).inserted.count == 1)
        core.accept(record(), token: 3, now: 2)
        #expect(take(&core).answers == [.unavailable(.spoolFull)], "a lane has half of the room")
    }

    @Test func aKafkaThatTakesNothingIsToldAndForgottenWithoutNews() {
        var core = PublisherCore(lanes: 2, quarantineLane: 1, hasSpool: false, limits: .init())
        let second: UInt64 = 1_000_000_000
        #expect(!core.isKafkaRefusing(now: second))
        core.accept(record(), token: 1, now: second)
        let first = take(&core).produced[0]
        core.report(first, failure: .passing, now: 2 * second)
        #expect(!core.isKafkaRefusing(now: 3 * second), "a moment is no outage")
        core.accept(record(), token: 2, now: 5 * second)
        core.tick(now: 6 * second)
        #expect(core.isKafkaRefusing(now: 6 * second))
        #expect(!core.isKafkaRefusing(now: 20 * second), "without events there is no news")
        let late = take(&core).produced[0]
        core.report(late, failure: nil, now: 7 * second)
        #expect(!core.isKafkaRefusing(now: 7 * second))
    }

    @Test func nothingIsHandedOverToTopicsThatCouldLoseIt() {
        var core = core()
        core.set(.unjudged, now: 0)
        core.accept(record(), token: 1, now: 0)
        let waiting = take(&core)
        #expect(waiting.produced.isEmpty && waiting.inserted.count == 1 && waiting.reads == 0)
        core.stored(waiting.inserted)
        #expect(take(&core).answers == [.durable], "the spool has it")
        core.tick(now: 1_000)
        #expect(core.nextTime(now: 1_000) == nil, "nothing to do until somebody judges")
        core.set(.refusing, now: 1_000)
        core.accept(record(), token: 2, now: 1_000)
        core.tick(now: 10_000)
        let refused = take(&core)
        #expect(refused.answers == [.unavailable(.notDurable)] && refused.produced.isEmpty && refused.reads == 0)
        core.set(.open, now: 20_000)
        #expect(take(&core).reads == 2, "the drain begins with the better verdict")
        for lane in 0...1 { core.received([], lane: lane, now: 20_001) }
        #expect(take(&core).produced.count == 1)
        #expect(core.lanes.allSatisfy { $0.isOpen })
        #expect(!core.isKafkaRefusing(now: 5_000_000_000), "that was no trouble of Kafka's")
    }

    @Test func withoutASpoolAWeakTopicIsARefusal() {
        var core = PublisherCore(lanes: 2, quarantineLane: 1, hasSpool: false, limits: .init())
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
        var core = PublisherCore(lanes: 2, quarantineLane: 1, hasSpool: false, limits: limits)
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
        #expect(core.hasSpoolRoom)
        core.isSpoolDiskFull = true
        #expect(!core.hasSpoolRoom, "an instance that cannot give a 2xx without Kafka must not say that it can")
        core.accept(record(), token: 1, now: 0)
        #expect(take(&core).produced.count == 1)
        core.tick(now: 100)
        let late = take(&core)
        #expect(late.inserted.count == 1 && late.answers.isEmpty, "what was told may be a second old")
        core.isSpoolDiskFull = false
        #expect(core.hasSpoolRoom)
    }

    @Test func rowsOfAnEarlierLifeGoFirst() {
        var core = PublisherCore(lanes: 2, quarantineLane: 1, hasSpool: true, limits: .init())
        core.spoolOpened(nextNumber: 8, totals: [SpoolTotals(rows: 2, bytes: 256), SpoolTotals()], now: 0)
        #expect(take(&core).reads == 1)
        core.accept(record(), token: 1, now: 1)
        #expect(take(&core).inserted.count == 1)
        core.received([SpoolRow(number: 5, record: record()), SpoolRow(number: 7, record: record())], lane: 0, now: 2)
        let sent = take(&core)
        #expect(sent.produced.count == 2 && sent.reads == 1)
        core.received([], lane: 0, now: 3)
        #expect(take(&core).produced.count == 1)
        #expect(core.lanes[0].isOpen)
    }
}
