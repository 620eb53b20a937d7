import SMSBridgeTestSupport
import Testing

@testable import SMSBridgeSpool

/// The state machine alone: no file is touched.
@Suite struct SpoolRecoveryTests {
    private static let corrupt = SpoolError(.corrupt, "row 7 is not what was stored")
    private static let io = SpoolError(.io, "disk I/O error")
    private static let unreadable = SpoolError(.unreadable, "disk I/O error")
    private static let moved = SpoolError(.moved, "the files were removed")

    /// What happens, and what is to be done then.
    private enum Event {
        case done, more
        case failed(SpoolError)
        case corruptRead(lane: Int)
        case soundRead(lane: Int)
        case unreadableRead(lane: Int)
        case corruptWrite
        case removed
        case wait(Duration)
    }

    private struct Row: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let events: [Event]
        /// After the events.
        let action: SpoolRecovery.Action?
    }

    private static let table = [
        Row(testDescription: "the start", events: [], action: .open(verifies: false)),
        Row(testDescription: "an open file needs nothing", events: [.done], action: nil),
        Row(testDescription: "a failed opening is tried again", events: [.failed(moved)], action: nil),
        Row(
            testDescription: "… after a while", events: [.failed(moved), .wait(.seconds(1))],
            action: .open(verifies: false)),
        Row(
            testDescription: "after a failure of the disk all of the file is read",
            events: [.failed(io), .wait(.seconds(1))],
            action: .open(verifies: true)),
        Row(
            testDescription: "corruption found at opening is believed", events: [.failed(corrupt)],
            action: .beginRecovery(of: corrupt)),
        Row(
            testDescription: "corruption found by a read is looked for again", events: [.done, .corruptRead(lane: 1)],
            action: .open(verifies: false)),
        Row(
            testDescription: "… and believed when it is found again",
            events: [.done, .corruptRead(lane: 1), .done, .corruptRead(lane: 1)], action: .beginRecovery(of: corrupt)),
        Row(
            testDescription: "… not when another queue's was found",
            events: [.done, .corruptRead(lane: 1), .done, .corruptRead(lane: 0)], action: .open(verifies: false)),
        Row(
            testDescription: "… also when another queue's rows were sound in between",
            events: [.done, .corruptRead(lane: 1), .done, .soundRead(lane: 0), .corruptRead(lane: 1)],
            action: .beginRecovery(of: corrupt)),
        Row(
            testDescription: "… not when it was sound in between",
            events: [.done, .corruptRead(lane: 1), .done, .soundRead(lane: 1), .corruptRead(lane: 1)],
            action: .open(verifies: false)),
        Row(
            testDescription: "corruption found by a write", events: [.done, .corruptWrite, .done, .corruptWrite],
            action: .beginRecovery(of: corrupt)),
        Row(testDescription: "a copy has begun", events: [.failed(corrupt), .done], action: .copyRows),
        Row(testDescription: "… and goes on", events: [.failed(corrupt), .done, .more, .more], action: .copyRows),
        Row(
            testDescription: "… until it is complete", events: [.failed(corrupt), .done, .more, .done],
            action: .finishRecovery(of: corrupt)),
        Row(
            testDescription: "… and is opened", events: [.failed(corrupt), .done, .more, .done, .done],
            action: .open(verifies: false)),
        Row(
            testDescription: "a copy that cannot begin leaves the file to a person",
            events: [.failed(corrupt), .failed(io)],
            action: .quarantine(corrupt, reason: io)),
        Row(
            testDescription: "a copy that fails, too", events: [.failed(corrupt), .done, .more, .failed(io)],
            action: .quarantine(corrupt, reason: io)),
        Row(
            testDescription: "a copy that cannot be completed, too",
            events: [.failed(corrupt), .done, .done, .failed(io)], action: .quarantine(corrupt, reason: io)),
        Row(
            testDescription: "a copy that takes too long, too",
            events: [.failed(corrupt), .done, .wait(.seconds(9)), .more, .wait(.seconds(2)), .more],
            action: .quarantine(
                corrupt, reason: SpoolError(.io, "copying it takes longer than \(Duration.seconds(10))"))),
        Row(
            testDescription: "a new file follows", events: [.failed(corrupt), .failed(io), .done],
            action: .open(verifies: false)),
        Row(
            testDescription: "a file that cannot be renamed is opened again",
            events: [.failed(corrupt), .failed(io), .failed(io), .wait(.seconds(1))], action: .open(verifies: false)),
        Row(
            testDescription: "a new file that is corrupt is the disk's fault",
            events: [.failed(corrupt), .done, .done, .done, .failed(corrupt)], action: nil),
        Row(
            testDescription: "… and is verified until it is not",
            events: [.failed(corrupt), .done, .done, .done, .failed(corrupt), .wait(.seconds(1))],
            action: .open(verifies: true)),
        Row(
            testDescription: "… for a minute",
            events: [.failed(corrupt), .done, .done, .done, .wait(.seconds(61)), .failed(corrupt)],
            action: .beginRecovery(of: corrupt)),
        Row(
            testDescription: "a disk that does not read is asked again",
            events: [.done, .unreadableRead(lane: 0), .wait(.seconds(299)), .unreadableRead(lane: 0)], action: nil),
        Row(
            testDescription: "… for five minutes",
            events: [.done, .unreadableRead(lane: 0), .wait(.seconds(300)), .unreadableRead(lane: 0)],
            action: .beginRecovery(of: unreadable)),
        Row(
            testDescription: "… from when it has last read",
            events: [
                .done, .unreadableRead(lane: 0), .wait(.seconds(200)), .soundRead(lane: 0), .unreadableRead(lane: 0),
                .wait(.seconds(200)), .unreadableRead(lane: 0),
            ], action: nil),
        Row(
            testDescription: "… each queue by itself",
            events: [.done, .unreadableRead(lane: 0), .wait(.seconds(300)), .unreadableRead(lane: 1)], action: nil),
        Row(
            testDescription: "a file that the disk does not read is opened again, and then verified",
            events: [.failed(unreadable), .wait(.seconds(1))], action: .open(verifies: true)),
        Row(
            testDescription: "… for five minutes",
            events: [.failed(unreadable), .wait(.seconds(300)), .failed(unreadable)],
            action: .beginRecovery(of: unreadable)),
        Row(
            testDescription: "… and left to a person when nothing of it can be read then",
            events: [.failed(unreadable), .wait(.seconds(300)), .failed(unreadable), .failed(unreadable)],
            action: .quarantine(unreadable, reason: unreadable)),
        Row(
            testDescription: "a copy is not given up because the disk does not read",
            events: [.failed(corrupt), .done, .more, .failed(unreadable), .wait(.seconds(1))],
            action: .open(verifies: false)),
        Row(
            testDescription: "… but begun again",
            events: [.failed(corrupt), .done, .more, .failed(unreadable), .wait(.seconds(1)), .failed(corrupt)],
            action: .beginRecovery(of: corrupt)),
        Row(testDescription: "removed files are restored", events: [.done, .removed], action: .beginRestoring),
        Row(testDescription: "… by a copy", events: [.done, .removed, .done, .more], action: .copyRows),
        Row(
            testDescription: "… until it is complete", events: [.done, .removed, .done, .done], action: .finishRestoring
        ),
        Row(testDescription: "… and used", events: [.done, .removed, .done, .done, .done], action: nil),
        Row(
            testDescription: "a restoring that cannot begin is tried again", events: [.done, .removed, .failed(io)],
            action: nil),
        Row(
            testDescription: "… soon", events: [.done, .removed, .failed(io), .wait(.milliseconds(20))],
            action: .beginRestoring),
        Row(
            testDescription: "a part that cannot be copied is tried again",
            events: [.done, .removed, .done, .more, .failed(io), .wait(.milliseconds(20))], action: .copyRows),
        Row(
            testDescription: "a new file that is removed, too, is begun again",
            events: [.done, .removed, .done, .more, .failed(moved), .wait(.milliseconds(20))], action: .beginRestoring),
    ]

    @Test(arguments: table) private func theNextActionFollowsFromWhatHappened(row: Row) {
        var now = ContinuousClock.now
        var recovery = SpoolRecovery(recoveryLimit: .seconds(10), now: now)
        for event in row.events { apply(event, to: &recovery, &now) }
        #expect(recovery.next(now: now) == row.action)
    }

    private func apply(_ event: Event, to recovery: inout SpoolRecovery, _ now: inout ContinuousClock.Instant) {
        switch event {
        case .done: recovery.completed(.done, now: now)
        case .more: recovery.completed(.more, now: now)
        case .failed(let error): recovery.completed(.failed(error), now: now)
        case .corruptRead(let lane): recovery.foundCorruption(Self.corrupt, while: .reading(lane: lane), now: now)
        case .soundRead(let lane): recovery.foundSound(.reading(lane: lane))
        case .unreadableRead(let lane):
            recovery.foundUnreadable(Self.unreadable, while: .reading(lane: lane), now: now)
        case .corruptWrite: recovery.foundCorruption(Self.corrupt, while: .writing, now: now)
        case .removed: recovery.foundRemoved(Self.moved, now: now)
        case .wait(let time): now += time
        }
    }

    /// Sound rows are not left out of a copy for a failure that passes.
    @Test func onlyWhatIsUnreadableForLongIsLeftOut() {
        var now = ContinuousClock.now
        var recovery = SpoolRecovery(recoveryLimit: .seconds(10), now: now)
        var skips: [Bool] = []
        for _ in 0..<3 {
            recovery.completed(.failed(Self.corrupt), now: now)
            #expect(recovery.next(now: now) == .beginRecovery(of: Self.corrupt))
            skips.append(recovery.skipsUnreadable)
            recovery.completed(.failed(Self.unreadable), now: now)
            now += .seconds(150)
        }
        #expect(skips == [false, false, true])
        #expect(recovery.state == .quarantining(reason: Self.unreadable))
    }

    @Test func whatFailsForALongTimeIsTriedEverySecond() {
        var now = ContinuousClock.now
        var recovery = SpoolRecovery(recoveryLimit: .seconds(10), now: now)
        recovery.completed(.done, now: now)
        recovery.foundRemoved(Self.moved, now: now)
        var attempts = 0
        for _ in 0..<1_000 {
            if recovery.next(now: now) != nil {
                attempts += 1
                recovery.completed(.failed(Self.io), now: now)
            }
            now += .milliseconds(20)
        }
        #expect((25...32).contains(attempts), "\(attempts) in 20 s")
        #expect(recovery.failure == Self.moved)
    }

    /// A model of the files beside the machine: whatever fails, rows are where they can be found, and it ends.
    private struct Model {
        var isOpen = false
        var isCorrupt = false
        var isRemoved = false
        var parts = 0
        var quarantined = 0
    }

    @Test func whateverFailsTheRowsAreFoundAndItComesToAnEnd() {
        var seeds = SystemRandomNumberGenerator()
        let seed = seeds.next()
        var random = SeededRandom(seed: seed)
        for round in 0..<2_000 {
            var now = ContinuousClock.now
            var recovery = SpoolRecovery(recoveryLimit: .seconds(10), now: now)
            var model = Model()
            var faults = Int.random(in: 0...25, using: &random)
            var last: SpoolRecovery.Action?
            var isCopying = false
            for step in 0..<700 {
                let isCalm = step > 250
                if isCalm { faults = 0 }
                now += .milliseconds(Int.random(in: 0...700, using: &random))
                let fails = faults > 0 && Int.random(in: 0..<3, using: &random) == 0
                if fails { faults -= 1 }
                guard let action = recovery.next(now: now) else {
                    #expect(
                        recovery.state == .serving || recovery.nextTime != nil, "seed \(seed), round \(round): stuck")
                    if recovery.isServing {
                        #expect(model.isOpen && recovery.failure == nil, "seed \(seed), round \(round)")
                        switch Int.random(in: 0..<6, using: &random) {
                        case 0 where !isCalm: recovery.foundRemoved(Self.moved, now: now); model.isRemoved = true
                        case 1 where model.isCorrupt || fails:
                            recovery.foundCorruption(Self.corrupt, while: .reading(lane: 0), now: now)
                            if !recovery.isServing { model.isOpen = false }
                        case 2 where !isCalm && Int.random(in: 0..<9, using: &random) == 0: model.isCorrupt = true
                        case 3: recovery.foundSound(.reading(lane: 1))
                        case 4 where !isCalm:
                            recovery.foundUnreadable(Self.unreadable, while: .reading(lane: 1), now: now)
                            if !recovery.isServing { model.isOpen = false }
                        default: break
                        }
                    } else {
                        #expect(recovery.failure != nil, "seed \(seed), round \(round)")
                    }
                    continue
                }
                #expect(!recovery.isServing, "seed \(seed), round \(round): \(action) on a file that is used")
                let outcome = carryOut(action, fails, &model, &isCopying, &random)
                if case .failed = outcome {} else if case .open = action { model.isOpen = true }
                recovery.completed(outcome, now: now)
                last = action
            }
            #expect(
                recovery.isServing, "seed \(seed), round \(round): \(recovery.state) after \(String(describing: last))")
        }
    }

    private func carryOut(
        _ action: SpoolRecovery.Action, _ fails: Bool, _ model: inout Model, _ isCopying: inout Bool,
        _ random: inout SeededRandom
    ) -> SpoolRecovery.Outcome {
        let errors = [Self.io, Self.unreadable, SpoolError(.full, "full"), SpoolError(.locked, "locked")]
        let error = errors.randomElement(using: &random) ?? Self.io
        switch action {
        case .open:
            #expect(!model.isRemoved, "the removed file is the only copy, and must not be closed")
            model.isOpen = false
            isCopying = false
            if fails { return .failed(error) }
            return model.isCorrupt ? .failed(Self.corrupt) : .done
        case .beginRecovery:
            #expect(!model.isRemoved)
            model.isOpen = false
            if fails { return .failed(error) }
            isCopying = true
            model.parts = Int.random(in: 0...4, using: &random)
            return .done
        case .copyRows:
            #expect(isCopying, "nothing to copy")
            if fails {
                return .failed(model.isRemoved && Bool.random(using: &random) ? Self.moved : error)
            }
            if model.parts == 0 { return .done }
            model.parts -= 1
            return .more
        case .finishRecovery:
            #expect(isCopying && model.parts == 0)
            isCopying = false
            if fails { return .failed(error) }
            model.isCorrupt = false
            return .done
        case .quarantine:
            isCopying = false
            if fails { return .failed(error) }
            model.quarantined += 1
            model.isCorrupt = false
            return .done
        case .beginRestoring:
            #expect(model.isRemoved && model.isOpen)
            if fails { return .failed(error) }
            isCopying = true
            model.parts = Int.random(in: 0...4, using: &random)
            return .done
        case .finishRestoring:
            #expect(isCopying && model.parts == 0 && model.isOpen)
            isCopying = false
            model.isRemoved = false
            model.isCorrupt = false
            return .done
        }
    }
}

@Suite struct WriteHealthTests {
    private let full = SpoolError(.full, "database or disk is full")
    private let io = SpoolError(.io, "disk I/O error")
    private let sync = SpoolError(.full, "quota", isFailedSync: true)

    @Test func deletesGoOnBeforeInsertsOnAFullDisk() {
        var health = WriteHealth()
        var now = ContinuousClock.now
        let isNew = health.failed(full, now: now)
        #expect(isNew && !health.takesInserts && health.isFailing)
        #expect(health.isRetryDue(now), "the reserved space was released")
        health.succeeded(now: now)
        #expect(health.state == .full && !health.takesInserts && !health.isFailing)
        health.foundRoom(false, now: now)
        #expect(!health.isRetryDue(now))
        now += .seconds(1)
        #expect(health.isRetryDue(now))
        health.foundRoom(true, now: now)
        #expect(health.takesInserts && health.error != nil, "it is over with the first insert")
        let (isOver, isOverAgain) = (health.committedInserts(), health.committedInserts())
        #expect(isOver && health.error == nil && !isOverAgain)
    }

    @Test func aFailureThatLastsIsReportedOnce() {
        var health = WriteHealth()
        var now = ContinuousClock.now
        var reports = health.failed(full, now: now) ? 1 : 0
        for _ in 0..<30 {
            now += .seconds(1)
            health.succeeded(now: now)
            health.foundRoom(true, now: now)
            if health.calmed(now: now) { reports += 1 }
            if health.failed(full, now: now) { reports += 1 }
            #expect(!health.isRetryDue(now))
        }
        #expect(reports == 1)
        if health.failed(io, now: now) { reports += 1 }
        #expect(reports == 2, "another reason")
        health.succeeded(now: now)
        #expect(health.takesInserts)
        let calmed = [9, 10, 20].map { health.calmed(now: now + .seconds($0)) }
        #expect(calmed == [false, true, false])
    }

    @Test func afterAFailedSyncTheLogIsCopiedFirst() {
        for (error, copies) in [(full, false), (io, true), (sync, true)] {
            var health = WriteHealth()
            let now = ContinuousClock.now
            _ = health.failed(error, now: now)
            #expect(health.state == .failing(copiesLog: copies))
            // Also when the next failure is a harmless one.
            _ = health.failed(full, now: now)
            #expect(health.state == .failing(copiesLog: copies))
        }
        var health = WriteHealth()
        _ = health.failed(full, copiesLog: true, now: .now)
        #expect(health.state == .failing(copiesLog: true))
        health.opened()
        #expect(health.takesInserts)
    }
}
