import Foundation
import SMSBridgeTestSupport
import Synchronization
import Testing

@testable import SMSBridgeSpool

/// The writer on a disk that fails at random, with crashes, losses of power and removed files: what was durable and is not
/// deleted is there, what was deleted does not come again while the process lives, and every request is answered once.
@Suite struct FaultyDiskRunTests {
    private static let lanes = 2

    /// What was asked for, and what was said of it.
    private struct Ledger {
        enum Fate {
            /// Neither confirmed nor known not to be stored.
            case unknown
            case durable
            /// In this life of the process; a crash may bring it again.
            case deleted
        }

        var fates: [[Int64: Fate]] = Array(repeating: [:], count: FaultyDiskRunTests.lanes)
        var nextNumber: Int64 = 1
        var nextToken: UInt64 = 1
        var waiting: [UInt64: (lane: Int, number: Int64)] = [:]
        var reads: [(lane: Int, after: Int64, count: Int)] = []
        /// The files are removed, and nothing of them is in a new one yet: a crash loses all.
        var isAtRisk = false
        var isOpen = false
        var failedReads = 0
        var complaints: [String] = []

        mutating func numbers(_ lane: Int, _ fate: Fate) -> [Int64] {
            fates[lane].filter { $0.value == fate }.map(\.key).sorted()
        }
    }

    private func content(_ number: Int64) -> SpoolRecord {
        record("<\(number)>", padding: Int(number * 7_919 % 3_000))
    }

    private final class Inbox: Sendable {
        let events = Mutex<[SpoolEvent]>([])

        func take() -> [SpoolEvent] {
            events.withLock { events in
                defer { events = [] }
                return events
            }
        }
    }

    private final class Run {
        var ledger = Ledger()
        var random: SeededRandom
        var now = ContinuousClock.now
        let content: (Int64) -> SpoolRecord

        init(seed: UInt64, content: @escaping (Int64) -> SpoolRecord) {
            random = SeededRandom(seed: seed)
            self.content = content
        }

        func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

        func complain(_ text: String) { ledger.complaints.append(text) }

        // MARK: - What the spool says

        func told(_ event: SpoolEvent) {
            switch event {
            case .durable(let tokens):
                for token in tokens {
                    guard let row = ledger.waiting.removeValue(forKey: token) else { return complain("answered twice") }
                    if ledger.isAtRisk { complain("\(row.number) is durable while the files are removed") }
                    ledger.fates[row.lane][row.number] = .durable
                }
            case .rejected(let tokens, _):
                for token in tokens where ledger.waiting.removeValue(forKey: token) == nil {
                    complain("answered twice")
                }
            case .rows(let lane, let rows): check(lane, rows)
            case .readFailed(let lane, _):
                ledger.failedReads += 1
                guard let index = ledger.reads.firstIndex(where: { $0.lane == lane }) else {
                    return complain("a read is answered twice")
                }
                ledger.reads.remove(at: index)
            case .filesRemoved: ledger.isAtRisk = true
            case .filesRestored: ledger.isAtRisk = false
            case .opened(let next, _):
                ledger.nextNumber = max(ledger.nextNumber, next)
                ledger.isOpen = true
            case .quarantined(let file):
                if file.reason.code != .moved { complain("quarantined: \(file.reason) \(file.left)") }
            case .totals(let totals, _, _, _):
                for lane in totals.indices {
                    let known = ledger.fates[lane].count
                    if totals[lane].rows > known { complain("\(totals[lane].rows) rows of \(known)") }
                }
            case .failed: ledger.isOpen = false
            case .writesFailing, .writesRecovered, .inContainerLayer, .notInspectable: break
            }
        }

        private func check(_ lane: Int, _ rows: [SpoolRow]) {
            guard let index = ledger.reads.firstIndex(where: { $0.lane == lane }) else {
                return complain("a read is answered twice")
            }
            let read = ledger.reads.remove(at: index)
            let numbers = rows.map(\.number)
            if numbers != numbers.sorted() || Set(numbers).count != numbers.count { complain("order: \(numbers)") }
            if rows.count > read.count { complain("\(rows.count) rows of \(read.count)") }
            for row in rows {
                if row.number <= read.after { complain("\(row.number) comes after \(read.after)") }
                switch ledger.fates[lane][row.number] {
                case nil: complain("\(row.number) was never stored")
                case .deleted: complain("\(row.number) was deleted")
                case .durable, .unknown: break
                }
                let expected = content(row.number)
                let isSame = withExtendedLifetime(expected) { row.record.value.elementsEqual(expected.value) }
                if !isSame { complain("\(row.number) is changed") }
            }
            let end = rows.count < read.count ? Int64.max : numbers.last ?? read.after
            let missing = Set(ledger.numbers(lane, .durable).filter { $0 > read.after && $0 <= end }).subtracting(
                numbers)
            if !missing.isEmpty { complain("lane \(lane) after \(read.after): \(missing.sorted()) are missing") }
        }

        // MARK: - Commands

        func inserts(_ count: Int) -> [SpoolCommand] {
            (0..<count).map { _ in
                let lane = Int.random(in: 0..<FaultyDiskRunTests.lanes, using: &random)
                let (number, token) = (ledger.nextNumber, ledger.nextToken)
                ledger.nextNumber += 1
                ledger.nextToken += 1
                ledger.fates[lane][number] = .unknown
                ledger.waiting[token] = (lane, number)
                return .insert(content(number).inLane(lane), number: number, token: token)
            }
        }

        func deletes() -> [SpoolCommand] {
            let lane = Int.random(in: 0..<FaultyDiskRunTests.lanes, using: &random)
            let live = ledger.numbers(lane, .durable)
            // Mostly from the front, as a drain does.
            let some =
                chance(70)
                ? Array(live.prefix(Int.random(in: 0...20, using: &random)))
                : live.filter { _ in chance(20) }
            for number in some { ledger.fates[lane][number] = .deleted }
            return some.map { .delete(lane: lane, number: $0) }
        }

        func read(_ lane: Int, after number: Int64, count: Int) -> SpoolCommand {
            ledger.reads.append((lane, number, count))
            return .read(lane: lane, after: number, count: count, bytes: .max)
        }

        func randomRead() -> SpoolCommand {
            let lane = Int.random(in: 0..<FaultyDiskRunTests.lanes, using: &random)
            let after = chance(60) ? 0 : Int64.random(in: 0...ledger.nextNumber, using: &random)
            return read(lane, after: after, count: Int.random(in: 1...50, using: &random))
        }
    }

    private func fault(_ run: Run, _ disk: FaultyDisk) {
        let errors = [EIO, ENOSPC, EDQUOT, EFBIG, EROFS]
        let error = errors.randomElement(using: &run.random) ?? EIO
        switch Int.random(in: 0..<10, using: &run.random) {
        case 0..<3:
            disk.fail(
                [.write], with: error, after: Int64.random(in: 0...20, using: &run.random),
                times: run.chance(30) ? -1 : Int64.random(in: 1...3, using: &run.random))
        case 3..<6:
            disk.fail(
                [.sync], with: run.chance(70) ? EIO : error, after: Int64.random(in: 0...3, using: &run.random),
                times: run.chance(30) ? -1 : Int64.random(in: 1...3, using: &run.random))
        case 6..<8:
            disk.setRoom(Int64.random(in: 0...60_000, using: &run.random), error: run.chance(50) ? ENOSPC : EDQUOT)
        case 8: disk.fail([.read], with: EIO, times: Int64.random(in: 1...5, using: &run.random))
        default: disk.fail([.write, .sync, .read], with: EIO, after: Int64.random(in: 0...10, using: &run.random))
        }
    }

    private func remove(_ run: Run, _ path: String) throws {
        let files = FileManager.default
        guard files.fileExists(atPath: "\(path)/spool.db-wal") else { return }
        run.ledger.isAtRisk = true
        switch Int.random(in: 0..<4, using: &run.random) {
        case 0: try files.removeItem(atPath: path)
        case 1:
            try files.removeItem(atPath: path)
            try files.createDirectory(atPath: path, withIntermediateDirectories: false)
        case 2:
            for name in try files.contentsOfDirectory(atPath: path) { try files.removeItem(atPath: "\(path)/\(name)") }
        default: try? files.removeItem(atPath: "\(path)/spool.db-wal")
        }
    }

    @Test(arguments: 0..<10) func nothingDurableIsLostAndNothingDeletedComesAgain(_: Int) throws {
        var seeds = SystemRandomNumberGenerator()
        let given = ProcessInfo.processInfo.environment["SPOOL_SEED"].flatMap { UInt64($0) }
        let seed = given ?? seeds.next()
        let run = Run(seed: seed) { self.content($0) }
        let scratch = Scratch()
        let disk = try FaultyDisk(scratch)
        for life in 0..<8 {
            try live(run, scratch, disk)
            #expect(
                run.ledger.complaints.isEmpty, "SPOOL_SEED=\(seed), life \(life): \(run.ledger.complaints.prefix(5))")
            if !run.ledger.complaints.isEmpty { return }
        }
    }

    /// One life of the process, which ends well or in a crash.
    private func live(_ run: Run, _ scratch: Scratch, _ disk: FaultyDisk) throws {
        var configuration = SpoolConfiguration(path: scratch.path, lanes: ["a", "b"])
        configuration.allowsAnyFileSystem = true
        configuration.reserveBytes = 0
        let inbox = Inbox()
        let writer = SpoolWriter(
            configuration, tell: { events in inbox.events.withLock { $0 += events } },
            clock: {
                run.now += .milliseconds(1)
                return run.now
            }, ask: { _, _ in })
        let steps = Int.random(in: 10...120, using: &run.random)
        let crashes = run.chance(70)
        var step = 0
        var failedReadsBefore = 0
        let losesPower = run.chance(50)
        if run.chance(30) { fault(run, disk) }
        writer.run { wait in
            for event in inbox.take() { run.told(event) }
            run.now += .milliseconds(run.chance(50) ? 1 : Int64(wait))
            step += 1
            // What the last life left.
            if step == 1 { return (0..<Self.lanes).map { run.read($0, after: 0, count: .max) } }
            if step < steps {
                if run.chance(8) { fault(run, disk) }
                if run.chance(12) {
                    disk.work()
                    disk.setRoom(nil)
                }
                if run.chance(2), run.ledger.isOpen, !run.ledger.isAtRisk { try? remove(run, scratch.path) }
                var batch: [SpoolCommand] = []
                for _ in 0..<Int.random(in: 0...4, using: &run.random) {
                    switch Int.random(in: 0..<10, using: &run.random) {
                    case 0..<5: batch += run.inserts(Int.random(in: 1...6, using: &run.random))
                    case 5..<7: batch += run.deletes()
                    default: batch.append(run.randomRead())
                    }
                }
                return batch
            }
            if crashes {
                if step == steps, run.chance(40) {
                    // The last thing before the end is a failed sync.
                    disk.setRoom(nil)
                    disk.fail([.sync], with: EIO)
                    return run.inserts(5)
                }
                disk.kill()
                return nil
            }
            // The disk is well again: within seconds everything works.
            disk.work()
            disk.setRoom(nil)
            if step < steps + 40 {
                run.now += .seconds(1)
                return []
            }
            if step == steps + 40 {
                failedReadsBefore = run.ledger.failedReads
                return run.inserts(3) + (0..<Self.lanes).map { run.read($0, after: 0, count: .max) }
            }
            if run.ledger.failedReads > failedReadsBefore { run.complain("rows cannot be read from a disk that works") }
            if run.ledger.isAtRisk { run.complain("the files are not restored") }
            return nil
        }
        for event in inbox.take() { run.told(event) }
        if !run.ledger.waiting.isEmpty || !run.ledger.reads.isEmpty {
            run.complain("not answered: \(run.ledger.waiting.count) inserts, \(run.ledger.reads.count) reads")
        }
        if crashes { disk.restart(losingPower: losesPower ? run.random.next() : nil) }
        for lane in 0..<Self.lanes {
            for (number, fate) in run.ledger.fates[lane] {
                // What was deleted may come again after a crash; what was at risk may be lost.
                if fate == .deleted && crashes || run.ledger.isAtRisk { run.ledger.fates[lane][number] = .unknown }
            }
        }
        run.ledger.isAtRisk = false
    }
}
