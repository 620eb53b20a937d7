import CSMSBridgeSQLite
import Dispatch
import Foundation
import SMSBridgeTestSupport
import SMSPortalConsumer
import SMSPortalConsumerSQLite
import Synchronization
import Testing

#if canImport(Glibc)
import Glibc
#endif

final class TestClock: Sendable {
    let milliseconds = Atomic<Int64>(1_000_000)

    func advance(_ duration: Duration) {
        milliseconds.wrappingAdd(duration.components.seconds * 1_000, ordering: .relaxed)
    }
}

final class Winners: Sendable {
    let counts = Mutex<[String: Int]>([:])

    func add(_ id: String) { counts.withLock { $0[id, default: 0] += 1 } }
}

/// Both stores keep the same promises; each test runs on both.
@Suite struct ProcessedEventsTests {
    enum Kind: CaseIterable { case memory, sqlite }

    private func withStore(
        _ kind: Kind, retention: Duration = .seconds(3_600), capacity: Int = 1_000_000,
        _ body: (any ProcessedEvents, TestClock) async throws -> Void
    ) async throws {
        let clock = TestClock()
        switch kind {
        case .memory:
            try await body(
                InMemoryProcessedEvents(
                    capacity: capacity, retention: retention,
                    now: { UInt64(clock.milliseconds.load(ordering: .relaxed)) * 1_000_000 }), clock)
        case .sqlite:
            let path = "/tmp/processed-\(getpid())-\(UInt32.random(in: 0...UInt32.max)).db"
            defer { for end in ["", "-wal", "-shm"] { unlink(path + end) } }
            let store = try SQLiteProcessedEvents(
                path: path, retention: retention, now: { clock.milliseconds.load(ordering: .relaxed) })
            try await body(store, clock)
            store.close()
        }
    }

    private func claimed(_ outcome: EventClaimOutcome) throws -> EventClaim {
        guard case .claimed(let claim) = outcome else {
            Issue.record("not claimed: \(outcome)")
            throw CancellationError()
        }
        return claim
    }

    private func claimAndComplete(_ key: EventClaimKey, _ store: any ProcessedEvents) async throws {
        let claim = try claimed(await store.claim(key, expiry: .seconds(10)))
        #expect(try await store.complete(claim))
    }

    private let key = EventClaimKey(group: "g", eventID: "0123456789abcdef0123456789abcdef")

    @Test(arguments: Kind.allCases) func aCompletedEventIsProcessed(_ kind: Kind) async throws {
        try await withStore(kind) { store, _ in
            let claim = try claimed(await store.claim(key, expiry: .seconds(10)))
            #expect(try await store.claim(key, expiry: .seconds(10)) == .processing(remaining: .seconds(10)))
            #expect(try await store.complete(claim))
            #expect(try await store.claim(key, expiry: .seconds(10)) == .processed)
            #expect(try await store.complete(claim) == false)
            try await store.release(claim)
            #expect(try await store.claim(key, expiry: .seconds(10)) == .processed)
        }
    }

    @Test(arguments: Kind.allCases) func aReleasedEventIsFree(_ kind: Kind) async throws {
        try await withStore(kind) { store, _ in
            let claim = try claimed(await store.claim(key, expiry: .seconds(10)))
            try await store.release(claim)
            let next = try claimed(await store.claim(key, expiry: .seconds(10)))
            #expect(next.token != claim.token)
            // What was released cannot be completed, nor taken from its new owner.
            #expect(try await store.complete(claim) == false)
            try await store.release(claim)
            #expect(try await store.complete(next))
        }
    }

    @Test(arguments: Kind.allCases) func anExpiredClaimIsFreeAndItsOwnerLate(_ kind: Kind) async throws {
        try await withStore(kind) { store, clock in
            let claim = try claimed(await store.claim(key, expiry: .seconds(10)))
            clock.advance(.seconds(11))
            let other = try claimed(await store.claim(key, expiry: .seconds(10)))
            #expect(try await store.complete(claim) == false)
            #expect(try await store.complete(other))
        }
    }

    @Test(arguments: Kind.allCases) func anExpiredClaimThatNobodyTookCompletes(_ kind: Kind) async throws {
        try await withStore(kind) { store, clock in
            let claim = try claimed(await store.claim(key, expiry: .seconds(10)))
            clock.advance(.seconds(11))
            #expect(try await store.complete(claim))
            #expect(try await store.claim(key, expiry: .seconds(10)) == .processed)
        }
    }

    @Test(arguments: Kind.allCases) func groupsRunsAndIdsAreApart(_ kind: Kind) async throws {
        try await withStore(kind) { store, _ in
            let keys = [
                key, EventClaimKey(group: "other", eventID: key.eventID),
                EventClaimKey(group: "g", run: "backfill", eventID: key.eventID),
                EventClaimKey(group: "g", eventID: "0123456789ABCDEF0123456789ABCDEF"),
                EventClaimKey(group: "g", eventID: "0123456789abcdef0123456789abcdee"),
                EventClaimKey(group: "g", eventID: "it's no usual id"),
                // Equal to Swift, or to C, and not the same.
                EventClaimKey(group: "g", eventID: "caf\u{E9}"), EventClaimKey(group: "g", eventID: "cafe\u{301}"),
                EventClaimKey(group: "g", eventID: "a\0b"), EventClaimKey(group: "g", eventID: "a\0c"),
            ]
            for key in keys {
                try await claimAndComplete(key, store)
            }
            for key in keys { #expect(try await store.claim(key, expiry: .seconds(10)) == .processed) }
        }
    }

    @Test(arguments: Kind.allCases) func oneOfManyGetsTheClaim(_ kind: Kind) async throws {
        try await withStore(kind) { store, _ in
            let winners = Winners()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<1_000 {
                    group.addTask {
                        if case .claimed = try await store.claim(self.key, expiry: .seconds(10)) {
                            winners.add("")
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(winners.counts.withLock { $0[""] } == 1)
        }
    }

    @Test(arguments: Kind.allCases) func whatIsOldIsForgotten(_ kind: Kind) async throws {
        try await withStore(kind, retention: .seconds(60)) { store, clock in
            try await claimAndComplete(key, store)
            clock.advance(.seconds(59))
            #expect(try await store.claim(key, expiry: .seconds(10)) == .processed)
            clock.advance(.seconds(30))
            // A store may forget a transaction later than it could.
            _ = try await store.claim(EventClaimKey(group: "g", eventID: "other"), expiry: .seconds(10))
            _ = try claimed(await store.claim(key, expiry: .seconds(10)))
        }
    }

    @Test func theMemoryForgetsTheOldestAboveItsCapacity() async throws {
        try await withStore(.memory, capacity: 10) { store, _ in
            for number in 0..<11 {
                let key = EventClaimKey(group: "g", eventID: "\(number)")
                try await claimAndComplete(key, store)
            }
            #expect(try await store.claim(EventClaimKey(group: "g", eventID: "1"), expiry: .seconds(10)) == .processed)
            _ = try claimed(await store.claim(EventClaimKey(group: "g", eventID: "0"), expiry: .seconds(10)))
        }
    }

    /// Against a model of a few lines, with few keys so that they meet.
    @Test(arguments: Kind.allCases) func randomCallsAgreeWithTheModel(_ kind: Kind) async throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededRandom(seed: seed)
        try await withStore(kind) { store, clock in
            enum Model { case held(EventClaim, until: Int64), processed }
            var model: [String: Model] = [:]
            var old: [EventClaim] = []
            for step in 0..<2_000 {
                let id = "event-\(random.next() % 8)"
                let key = EventClaimKey(group: "g", eventID: id)
                let now = clock.milliseconds.load(ordering: .relaxed)
                let context: Comment = "seed \(seed), step \(step)"
                switch random.next() % 10 {
                case 0: clock.advance(.seconds(1))
                case 1...5:
                    let outcome = try await store.claim(key, expiry: .seconds(3))
                    switch (model[id], outcome) {
                    case (.processed?, .processed): break
                    case (.held(_, let until)?, .processing(let remaining)) where until > now:
                        #expect(remaining == .milliseconds(until - now), context)
                    case (.held(_, let until)?, .claimed(let claim)) where until <= now:
                        model[id] = .held(claim, until: now + 3_000)
                        old.append(claim)
                    case (nil, .claimed(let claim)):
                        model[id] = .held(claim, until: now + 3_000)
                        old.append(claim)
                    default: Issue.record("\(outcome) where the model has \(String(describing: model[id])): \(context)")
                    }
                case 6, 7:
                    guard let claim = old.randomElement(using: &random) else { continue }
                    var isOwner = false
                    if case .held(let held, _)? = model[claim.key.eventID] { isOwner = held == claim }
                    let isCompleted = try await store.complete(claim)
                    #expect(isCompleted == isOwner, context)
                    if isOwner { model[claim.key.eventID] = .processed }
                default:
                    guard let claim = old.randomElement(using: &random) else { continue }
                    try await store.release(claim)
                    if case .held(let held, _)? = model[claim.key.eventID], held == claim {
                        model[claim.key.eventID] = nil
                    }
                }
                if model.values.allSatisfy({ if case .processed = $0 { true } else { false } }), model.count == 8 {
                    break
                }
            }
        }
    }
}

@Suite struct SQLiteProcessedEventsTests {
    private func withPath(_ body: (String) async throws -> Void) async throws {
        let path = "/tmp/processed-\(getpid())-\(UInt32.random(in: 0...UInt32.max)).db"
        defer { for end in ["", "-wal", "-shm"] { unlink(path + end) } }
        try await body(path)
    }

    @Test func isRememberedByTheFileAndSharedByTwo() async throws {
        try await withPath { path in
            let key = EventClaimKey(group: "g", eventID: "a")
            let first = try SQLiteProcessedEvents(path: path)
            let second = try SQLiteProcessedEvents(path: path)
            guard case .claimed(let claim) = try await first.claim(key, expiry: .seconds(36_000)) else {
                Issue.record("not claimed")
                return
            }
            guard case .processing = try await second.claim(key, expiry: .seconds(36_000)) else {
                Issue.record("claimed twice")
                return
            }
            #expect(try await first.complete(claim))
            #expect(try await second.claim(key, expiry: .seconds(36_000)) == .processed)
            first.close()
            second.close()
            let third = try SQLiteProcessedEvents(path: path)
            #expect(try await third.claim(key, expiry: .seconds(36_000)) == .processed)
            third.close()
            await #expect(throws: SQLiteProcessedEventsError.self) {
                try await third.claim(key, expiry: .seconds(36_000))
            }
        }
    }

    @Test func twoHandlesUnderLoadGiveEachClaimOnce() async throws {
        try await withPath { path in
            let stores = [try SQLiteProcessedEvents(path: path), try SQLiteProcessedEvents(path: path)]
            let won = Winners()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<2_000 {
                    for store in stores {
                        group.addTask {
                            let key = EventClaimKey(group: "g", eventID: "\(number)")
                            guard case .claimed(let claim) = try await store.claim(key, expiry: .seconds(36_000)) else {
                                return
                            }
                            won.add(key.eventID)
                            try await store.complete(claim)
                        }
                    }
                }
                try await group.waitForAll()
            }
            let counts = won.counts.withLock { $0 }
            #expect(counts.count == 2_000 && counts.values.allSatisfy { $0 == 1 })
            for store in stores { store.close() }
        }
    }

    /// As the members of a group do that are started together. SQLite's locks are between handles, in one process or many.
    @Test func aNewFileIsOpenedByManyAtOnce() async throws {
        for _ in 0..<20 {
            try await withPath { path in
                let stores = Mutex<[SQLiteProcessedEvents]>([])
                let errors = Mutex<[String]>([])
                let threads = DispatchGroup()
                for _ in 0..<8 {
                    threads.enter()
                    Thread.detachNewThread {
                        do {
                            let store = try SQLiteProcessedEvents(path: path)
                            stores.withLock { $0.append(store) }
                        } catch {
                            errors.withLock { $0.append("\(error)") }
                        }
                        threads.leave()
                    }
                }
                await withCheckedContinuation { continuation in
                    threads.notify(queue: .global()) { continuation.resume() }
                }
                #expect(errors.withLock { $0 } == [])
                var winners = 0
                for store in stores.withLock({ $0 }) {
                    let key = EventClaimKey(group: "g", eventID: "one")
                    if case .claimed = try await store.claim(key, expiry: .seconds(3_600)) { winners += 1 }
                }
                #expect(winners == 1)
                for store in stores.withLock({ $0 }) { store.close() }
            }
        }
    }

    @Test func whatIsNoDatabaseAndWhatIsAnotherVersionIsRefused() async throws {
        try await withPath { path in
            let file = fopen(path, "w")
            fputs(String(repeating: "this is no database. ", count: 100), file)
            fclose(file)
            #expect { try SQLiteProcessedEvents(path: path) } throws: {
                ($0 as? SQLiteProcessedEventsError)?.code == .damaged
            }
        }
        for (id, version) in [(0, 0), (7, 1), (0x534D_5045, 2)] {
            try await withPath { path in
                var database: OpaquePointer?
                sqlite3_open(path, &database)
                sqlite3_exec(
                    database,
                    "CREATE TABLE theirs (a); PRAGMA application_id = \(id); PRAGMA user_version = \(version)", nil,
                    nil, nil)
                sqlite3_close(database)
                #expect { try SQLiteProcessedEvents(path: path) } throws: {
                    ($0 as? SQLiteProcessedEventsError)?.code == .version
                }
            }
        }
        #expect { try SQLiteProcessedEvents(path: "/nowhere/at/all.db") } throws: {
            ($0 as? SQLiteProcessedEventsError)?.code == .io
        }
    }
}
