import Foundation
import Synchronization
import Testing

@testable import SMSBridgeSpool

/// A folder that goes with the test.
final class Scratch: Sendable {
    let path: String

    init() {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("spool-\(UUID().uuidString)").path
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    var file: String { path + "/spool.db" }
}

func record(_ text: String, lane: Int = 0, key: String? = "k", padding: Int = 0) -> SpoolRecord {
    var headers: [UInt8] = []
    HeaderCoding.append("ce_id", nil, to: &headers)
    Array(text.utf8).withUnsafeBytes { HeaderCoding.append("name", $0, to: &headers) }
    let value = Array((text + String(repeating: ".", count: padding)).utf8)
    return value.withUnsafeBytes { value in
        headers.withUnsafeBytes { headers in
            guard let key else {
                return SpoolRecord(lane: lane, timestamp: 1_700_000_000_000, key: nil, value: value, headers: headers)
            }
            return Array(key.utf8).withUnsafeBytes {
                SpoolRecord(lane: lane, timestamp: 1_700_000_000_000, key: $0, value: value, headers: headers)
            }
        }
    }
}

func text(_ row: SpoolRow) -> String { String(decoding: row.record.value, as: UTF8.self) }

/// A spool and everything that it has told.
final class Desk: Sendable {
    struct Told: Sendable {
        var durable: Set<UInt64> = []
        var rejected: [UInt64: SpoolError] = [:]
        var rows: [Int: [SpoolRow]] = [:]
        var answers = 0
        var failedReads: [SpoolError] = []
        var writesFailing: [SpoolError] = []
        var recoveries = 0
        var removals = 0
        var restored: [Int64] = []
        var disk: SpoolDisk?
        var opened: [(next: Int64, totals: [SpoolTotals])] = []
        var failed: [SpoolError] = []
        var quarantined: [String] = []
        /// How many rows of the last one go on.
        var copied: Int64?
        var left: [String] = []
        var totals: [SpoolTotals] = []
        var inContainerLayer: [String] = []
    }

    let told = Mutex(Told())
    /// The folders of its spools are there as long as it is.
    private let scratches = Mutex<[Scratch]>([])

    func spool(_ scratch: Scratch, lanes: [String] = ["a", "b"], adjust: (inout SpoolConfiguration) -> Void = { _ in })
        throws -> Spool
    {
        scratches.withLock { $0.append(scratch) }
        var configuration = SpoolConfiguration(path: scratch.path, lanes: lanes)
        configuration.allowsAnyFileSystem = true
        adjust(&configuration)
        return try Spool(configuration) { [self] events in
            told.withLock { told in
                for event in events {
                    switch event {
                    case .opened(let next, let totals): told.opened.append((next, totals))
                    case .durable(let tokens): told.durable.formUnion(tokens)
                    case .rejected(let tokens, let error): for token in tokens { told.rejected[token] = error }
                    case .rows(let lane, let rows):
                        told.rows[lane, default: []] += rows
                        told.answers += 1
                    case .readFailed(_, let error): told.failedReads.append(error)
                    case .totals(let totals, _, _, let disk):
                        told.totals = totals
                        told.disk = disk
                    case .writesFailing(let error): told.writesFailing.append(error)
                    case .writesRecovered: told.recoveries += 1
                    case .failed(let error): told.failed.append(error)
                    case .quarantined(let file):
                        told.quarantined.append(file.path)
                        told.copied = file.copied
                        told.left = file.left
                    case .filesRemoved: told.removals += 1
                    case .filesRestored(_, let rows): told.restored.append(rows)
                    case .inContainerLayer(let path): told.inContainerLayer.append(path)
                    case .notInspectable(let error): Issue.record("\(error)")
                    }
                }
            }
        }
    }

    /// Inserts a row, again and again until it is durable; with the number as its token the first time.
    func insert(_ spool: Spool, _ record: SpoolRecord, number: Int64) {
        for attempt in 0..<600 as Range<UInt64> {
            let token = UInt64(number) + attempt << 32
            guard spool.submit([.insert(record, number: number, token: token)]) else { break }
            guard wait({ $0.durable.contains(token) || $0.rejected[token] != nil }) else { break }
            if told.withLock({ $0.durable.contains(token) }) { return }
            usleep(20_000)
        }
        Issue.record("the row was not stored: \(told.withLock { $0.rejected.values.first?.message ?? "no answer" })")
    }

    /// Asks for rows as the publisher does: again after a while, when they could not be read.
    func read(_ spool: Spool, lane: Int = 0, after number: Int64 = 0, count: Int = 1_000) -> [SpoolRow] {
        for _ in 0..<600 {
            let before = told.withLock { $0 }
            guard spool.submit([.read(lane: lane, after: number, count: count, bytes: .max)]) else { break }
            guard wait({ $0.answers > before.answers || $0.failedReads.count > before.failedReads.count }) else {
                break
            }
            let now = told.withLock { $0 }
            if now.answers > before.answers {
                return Array(now.rows[lane, default: []].dropFirst(before.rows[lane]?.count ?? 0))
            }
            usleep(50_000)
        }
        Issue.record("rows could not be read: \(told.withLock { $0.failedReads.last?.message ?? "no answer" })")
        return []
    }

    func wait(_ condition: (Told) -> Bool) -> Bool {
        for _ in 0..<6_000 {
            let now = told.withLock { $0 }
            if condition(now) { return true }
            usleep(5_000)
        }
        return false
    }
}

@Suite struct SpoolStoreTests {
    private func store(_ scratch: Scratch, lanes: [String] = ["a", "b"]) throws -> SpoolStore {
        try FileManager.default.createDirectory(atPath: scratch.path, withIntermediateDirectories: true)
        return try SpoolStore(path: scratch.file, laneNames: lanes)
    }

    @Test func rowsComeBackInOrderWithAllTheyHad() throws {
        let scratch = Scratch()
        do {
            let store = try store(scratch)
            #expect(store.nextNumber == 1)
            try store.beginTransaction()
            try store.insert(record("three", key: nil), number: 3)
            try store.insert(record("one", key: ""), number: 1)
            try store.insert(record("two", lane: 1), number: 2)
            try store.commit()
        }
        let store = try store(scratch)
        #expect(store.nextNumber == 4)
        #expect(store.totals.map(\.rows) == [2, 1])
        let rows = try store.read(lane: 0, after: 0, count: 10, bytes: .max)
        #expect(rows.map(\.number) == [1, 3])
        #expect(rows.map(text) == ["one", "three"])
        #expect(rows[0].record.key?.count == 0)
        #expect(rows[1].record.key == nil)
        #expect(rows[0].record.timestamp == 1_700_000_000_000)
        var headers: [String: String?] = [:]
        #expect(
            HeaderCoding.forEach(in: rows[0].record.headers) { name, value in
                headers.updateValue(
                    value.map { String(decoding: $0, as: UTF8.self) }, forKey: String(decoding: name, as: UTF8.self))
            })
        #expect(headers == ["ce_id": nil, "name": "one"])
        #expect(rows.map(\.record.size).reduce(0, +) == Int(store.totals[0].bytes))
    }

    @Test func readsAreBoundedInCountAndBytes() throws {
        let scratch = Scratch()
        let store = try store(scratch)
        try store.beginTransaction()
        for number in 1...100 { try store.insert(record("\(number)", padding: 1_000), number: Int64(number)) }
        try store.commit()
        #expect(try store.read(lane: 0, after: 0, count: 7, bytes: .max).count == 7)
        #expect(try store.read(lane: 0, after: 0, count: 100, bytes: 3_000).count == 3)
        #expect(try store.read(lane: 0, after: 0, count: 100, bytes: 1).count == 1)
        #expect(try store.read(lane: 0, after: 95, count: 100, bytes: .max).map(\.number) == [96, 97, 98, 99, 100])
        #expect(try store.read(lane: 1, after: 0, count: 100, bytes: .max).isEmpty)
    }

    @Test func deletingAndParkingKeepTheFigures() throws {
        let scratch = Scratch()
        let store = try store(scratch)
        try store.beginTransaction()
        for number in 1...10 { try store.insert(record("\(number)"), number: Int64(number)) }
        try store.commit()
        let rows = try store.read(lane: 0, after: 0, count: 10, bytes: .max)
        try store.beginTransaction()
        for number in [1, 2, 3, 99] { try store.delete(lane: 0, number: Int64(number)) }
        try store.park(rows[3].record, number: 4, reason: "MSG_SIZE_TOO_LARGE")
        try store.delete(lane: 0, number: 4)
        try store.commit()
        #expect(store.totals[0].rows == 6)
        #expect(try store.parkedCount() == 1)
        try store.beginTransaction()
        for number in 5...10 { try store.delete(lane: 0, number: Int64(number)) }
        try store.commit()
        #expect(store.totals[0] == SpoolTotals())
        try store.tidy()
    }

    @Test func aRolledBackBatchLeavesNothing() throws {
        let scratch = Scratch()
        do {
            let store = try store(scratch)
            try store.beginTransaction()
            try store.insert(record("x"), number: 1)
            #expect(throws: SpoolError.self) { try store.insert(record("again"), number: 1) }
            store.rollback()
        }
        let store = try store(scratch)
        #expect(store.totals[0].rows == 0)
        #expect(try store.read(lane: 0, after: 0, count: 10, bytes: .max).isEmpty)
    }

    @Test func anotherFormatIsRefusedWithWhatToDo() throws {
        let scratch = Scratch()
        _ = try store(scratch)
        do {
            let database = try Database(scratch.file)
            try database.execute("PRAGMA user_version=99")
        }
        do {
            _ = try store(scratch)
            Issue.record("it was opened")
        } catch let error as SpoolError {
            #expect(error.code == .version && error.message.contains("99"))
        }
    }

    @Test func whatIsNoDatabaseIsCorrupt() throws {
        let scratch = Scratch()
        try FileManager.default.createDirectory(atPath: scratch.path, withIntermediateDirectories: true)
        try Data(repeating: 7, count: 8_192).write(to: URL(fileURLWithPath: scratch.file))
        do {
            _ = try store(scratch)
            Issue.record("it was opened")
        } catch let error as SpoolError {
            #expect(error.code == .corrupt)
        }
    }
}

@Suite struct SpoolTests {
    @Test func whatIsDurableIsThereAtTheNextStart() throws {
        let scratch = Scratch()
        let first = Desk()
        let spool = try first.spool(scratch)
        for number in 1...500 {
            #expect(
                spool.submit([
                    .insert(record("\(number)", lane: number % 2), number: Int64(number), token: UInt64(number))
                ]))
        }
        #expect(first.wait { $0.durable.count == 500 })
        #expect(spool.submit((1...100).map { .delete(lane: $0 % 2, number: Int64($0)) }))
        spool.stop()

        let second = Desk()
        let again = try second.spool(scratch)
        #expect(second.wait { !$0.opened.isEmpty })
        #expect(second.told.withLock { $0.opened[0].next } == 501)
        #expect(second.told.withLock { $0.opened[0].totals.map(\.rows) } == [200, 200])
        #expect(
            again.submit([
                .read(lane: 0, after: 0, count: 1_000, bytes: .max), .read(lane: 1, after: 499, count: 10, bytes: .max),
            ]))
        #expect(second.wait { $0.answers == 2 })
        #expect(second.told.withLock { $0.rows[0]?.map(\.number) } == Array(stride(from: 102, through: 500, by: 2)))
        #expect(second.told.withLock { $0.rows[1] }?.isEmpty == true)
        again.stop()
    }

    @Test func aReadSeesWhatWasSubmittedBeforeIt() throws {
        let desk = Desk()
        let spool = try desk.spool(Scratch())
        #expect(
            spool.submit([
                .insert(record("x"), number: 1, token: 1), .insert(record("y"), number: 2, token: 2),
                .delete(lane: 0, number: 1),
                .read(lane: 0, after: 0, count: 10, bytes: .max),
            ]))
        #expect(desk.wait { $0.answers == 1 })
        #expect(desk.told.withLock { $0.rows[0]?.map(\.number) } == [2])
        spool.stop()
    }

    /// "No rows" would tell the lane that it may go on past them.
    @Test func aReadInABatchThatFailsHasTheRowsThatAreThere() throws {
        let desk = Desk()
        let spool = try desk.spool(Scratch())
        #expect(spool.submit((1...3).map { .insert(record("\($0)"), number: Int64($0), token: UInt64($0)) }))
        #expect(desk.wait { $0.durable.count == 3 })
        #expect(
            spool.submit([
                .delete(lane: 0, number: 1), .insert(record("twice"), number: 2, token: 4),
                .read(lane: 0, after: 0, count: 10, bytes: .max),
            ]))
        #expect(desk.wait { $0.answers == 1 })
        #expect(desk.told.withLock { $0.rejected[4]?.code } == .conflict)
        #expect(desk.told.withLock { $0.opened.count == 1 && $0.writesFailing.isEmpty }, "the disk is not to blame")
        #expect(desk.told.withLock { $0.rows[0]?.map(\.number) } == [2, 3], "what was deleted is not read either")
        spool.stop()
    }

    @Test func theQueueIsBoundedButNeverForWhatFreesRoom() throws {
        let desk = Desk()
        let spool = try desk.spool(Scratch()) { $0.maxQueuedBytes = 10_000 }
        #expect(!spool.submit([.insert(record("x", padding: 20_000), number: 1, token: 1)]))
        #expect(spool.submit([.delete(lane: 0, number: 1)]))
        spool.stop()
        #expect(desk.told.withLock { $0.durable.isEmpty })
    }

    @Test func aSecondSpoolWaitsForTheFirst() throws {
        let scratch = Scratch()
        let (one, two) = (Desk(), Desk())
        let first = try one.spool(scratch)
        #expect(one.wait { !$0.opened.isEmpty })
        let second = try two.spool(scratch)
        #expect(two.wait { $0.failed.first?.code == .locked })
        #expect(second.submit([.insert(record("x"), number: 1, token: 1)]))
        #expect(two.wait { $0.rejected[1]?.code == .locked })
        first.stop()
        #expect(two.wait { !$0.opened.isEmpty })
        #expect(second.submit([.insert(record("x"), number: 1, token: 2)]))
        #expect(two.wait { $0.durable == [2] })
        second.stop()
    }

    @Test func aCorruptFileIsQuarantinedAndServiceGoesOn() throws {
        let scratch = Scratch()
        try FileManager.default.createDirectory(atPath: scratch.path, withIntermediateDirectories: true)
        try Data(repeating: 7, count: 8_192).write(to: URL(fileURLWithPath: scratch.file))
        let desk = Desk()
        let spool = try desk.spool(scratch)
        desk.insert(spool, record("x"), number: 1)
        let quarantined = desk.told.withLock { $0.quarantined }
        #expect(quarantined.count == 1)
        #expect(FileManager.default.contents(atPath: quarantined.first ?? "")?.count == 8_192)
        spool.stop()
    }

    /// All of its files, or only the log, in which everything stands at first.
    @Test(arguments: ["spool.db", "spool.db-wal"])
    func aFileDeletedWhileOpenIsNoticedBeforeTheNextAnswerAndRestored(prefix: String) throws {
        let scratch = Scratch()
        let desk = Desk()
        let spool = try desk.spool(scratch)
        #expect(spool.submit((1...300).map { .insert(record("\($0)"), number: Int64($0), token: UInt64($0)) }))
        #expect(desk.wait { $0.durable.count == 300 })
        for name in try FileManager.default.contentsOfDirectory(atPath: scratch.path) where name.hasPrefix(prefix) {
            try FileManager.default.removeItem(atPath: scratch.path + "/" + name)
        }
        #expect(spool.submit([.insert(record("late"), number: 301, token: 301)]))
        #expect(desk.wait { $0.rejected[301]?.code == .moved }, "nobody is answered from a file that is gone")
        desk.insert(spool, record("after"), number: 302)
        #expect(desk.told.withLock { $0.removals == 1 && $0.restored.count == 1 })
        spool.stop()
        let again = Desk()
        let reopened = try again.spool(scratch)
        #expect(reopened.submit([.read(lane: 0, after: 0, count: 1_000, bytes: .max)]))
        #expect(again.wait { $0.answers == 1 })
        let numbers = Set(again.told.withLock { $0.rows[0] ?? [] }.map(\.number))
        #expect(numbers.isSuperset(of: (1...300).map(Int64.init)), "what was answered for is in the new file")
        #expect(numbers.contains(302))
        reopened.stop()
    }

    @Test func aFolderThatCannotBeHadIsAnError() throws {
        let desk = Desk()
        let spool = try desk.spool(Scratch()) { $0.path = "/proc/nowhere" }
        #expect(spool.submit([.insert(record("x"), number: 1, token: 1)]))
        #expect(desk.wait { $0.rejected[1]?.code == .directory })
        spool.stop()
    }

    /// A disk may never answer: whoever ends the process must not wait for it.
    @Test func theEndCanBeAskedForWithoutWaitingForIt() throws {
        let scratch = Scratch()
        var configuration = SpoolConfiguration(path: scratch.path, lanes: ["a"])
        configuration.allowsAnyFileSystem = true
        let isHeld = Mutex(true)
        let isOpen = DispatchSemaphore(value: 0)
        let spool = try Spool(configuration) { events in
            for case .opened in events { isOpen.signal() }
            while isHeld.withLock({ $0 }) { usleep(1_000) }
        }
        isOpen.wait()
        #expect(spool.submit([.insert(record("x"), number: 1, token: 1)]))
        spool.requestStop()
        #expect(!spool.hasEnded)
        isHeld.withLock { $0 = false }
        spool.stop()
        #expect(spool.hasEnded)
        let desk = Desk()
        let again = try desk.spool(scratch)
        #expect(desk.wait { $0.opened.first?.next == 2 }, "what was queued has been written")
        again.stop()
    }

    /// What is written there goes with the container; only root can make such a folder here.
    @Test(.enabled(if: geteuid() == 0)) func theLayerOfAContainerIsTold() throws {
        let scratch = Scratch()
        for name in ["lower", "upper", "inner", "merged"] {
            try FileManager.default.createDirectory(
                atPath: scratch.path + "/" + name, withIntermediateDirectories: true)
        }
        func run(_ arguments: [String]) throws -> Bool {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.arguments = arguments
            try process.run()
            process.waitUntilExit()
            return process.terminationStatus == 0
        }
        let path = scratch.path
        let options = "lowerdir=\(path)/lower,upperdir=\(path)/upper,workdir=\(path)/inner"
        guard try run(["mount", "-t", "overlay", "overlay", "-o", options, path + "/merged"]) else { return }
        defer { _ = try? run(["umount", path + "/merged"]) }
        let desk = Desk()
        let spool = try desk.spool(scratch) { $0.path = path + "/merged/spool" }
        #expect(desk.wait { !$0.opened.isEmpty })
        spool.stop()
        #expect(desk.told.withLock { $0.inContainerLayer } == [path + "/merged/spool"])
        let plain = Desk()
        let other = try plain.spool(Scratch())
        #expect(plain.wait { !$0.opened.isEmpty })
        other.stop()
        #expect(plain.told.withLock { $0.inContainerLayer }.isEmpty)
    }

    /// Those of memory keep nothing over a crash; those of the network neither lock nor sync for sure.
    @Test(
        arguments: [
            (0x0102_1994, "tmpfs"), (0x8584_58F6, "ramfs"), (0x6969, "NFS"), (0xFF53_4D42, "SMB"), (0xFE53_4D42, "SMB"),
            (0x517B, "SMB"), (0x0102_1997, "9p"), (0x6573_5546, "FUSE"), (0x00C3_6400, "CephFS"),
            (0x0BD0_0BD0, "Lustre"), (0x4750_4653, "GPFS"), (0x5346_414F, "AFS"), (0x6B41_4653, "AFS"),
            (0x1983_0326, "BeeGFS"), (0x786F_4256, "a folder shared by VirtualBox"),
            // ext4, XFS, btrfs, ZFS, overlayfs
            (0xEF53, nil), (0x5846_5342, nil), (0x9123_683E, nil), (0x2FC1_2FC1, nil), (0x794C_7630, nil),
        ] as [(UInt32, String?)])
    func fileSystemsAreToldByTheirNumber(type: UInt32, name: String?) {
        #expect(SpoolDirectory.fileSystemName(ofType: type) == name)
    }

    @Test func memoryFileSystemsAreRefusedUnlessAllowed() throws {
        guard access("/dev/shm", W_OK) == 0 else { return }
        let path = "/dev/shm/spool-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let desk = Desk()
        let spool = try desk.spool(Scratch()) {
            $0.path = path
            $0.allowsAnyFileSystem = false
        }
        #expect(desk.wait { $0.failed.first?.message.contains("tmpfs") == true })
        #expect(desk.told.withLock { $0.failed.first?.isLasting } == true)
        spool.stop()
    }
}
