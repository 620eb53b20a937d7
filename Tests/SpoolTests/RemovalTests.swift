import Foundation
import Synchronization
import Testing

@testable import SMSBridgeSpool

/// The folder of a running spool is removed: its rows are in the open file alone.
@Suite struct RemovalTests {
    private let files = FileManager.default

    private func filled(_ scratch: Scratch, rows: ClosedRange<Int64>) throws -> (Spool, Desk) {
        let desk = Desk()
        let spool = try desk.spool(scratch)
        #expect(spool.submit(rows.map { .insert(record("\($0)"), number: $0, token: UInt64($0)) }))
        #expect(desk.wait { $0.durable.count == rows.count })
        return (spool, desk)
    }

    private func mode(_ path: String) throws -> Int? {
        try files.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    }

    /// Found without a write; nothing is to be done by hand.
    @Test(arguments: [nil, 0o750]) func theFolderIsMadeAgainWithAllRows(mode: Int?) throws {
        let scratch = Scratch()
        if let mode {
            try files.createDirectory(
                atPath: scratch.path, withIntermediateDirectories: true, attributes: [.posixPermissions: mode])
        }
        let (spool, desk) = try filled(scratch, rows: 1...3_000)
        #expect(spool.submit((1...10).map { .delete(lane: 0, number: $0) }))
        #expect(spool.submit([.park(record("11"), number: 11, reason: "x")]))
        #expect(desk.read(spool, count: 1).map(\.number) == [12])
        try files.removeItem(atPath: scratch.path)
        // At any time rows can be read, in order.
        for _ in 0..<20 {
            #expect(desk.read(spool, after: 20, count: 5).map(\.number) == [21, 22, 23, 24, 25])
            usleep(20_000)
        }
        #expect(desk.wait { $0.restored == [2_990] })
        #expect(desk.told.withLock { $0.removals == 1 && $0.failed.map(\.code) == [.moved] && $0.failedReads.isEmpty })
        #expect(try self.mode(scratch.path) == mode ?? 0o700)
        #expect(try self.mode(scratch.file) == 0o600)
        #expect(desk.wait { $0.opened.count == 2 && $0.opened[1].totals[0].rows == 2_989 })
        #expect(try RunningSpool(folder: scratch.path).status().rows == 2_989, "it can be asked in the new folder")
        let second = Desk()
        let other = try second.spool(scratch)
        #expect(second.wait { $0.failed.first?.code == .locked }, "no other process gets the new folder")
        other.stop()

        // As a process that is killed leaves it.
        let copy = Scratch()
        try files.createDirectory(atPath: copy.path, withIntermediateDirectories: true)
        for name in ["spool.db", "spool.db-wal"] {
            try files.copyItem(atPath: "\(scratch.path)/\(name)", toPath: "\(copy.path)/\(name)")
        }
        spool.stop()
        let again = Desk()
        let reopened = try again.spool(copy)
        #expect(again.read(reopened, count: 5_000).map(\.number) == Array(12...3_000))
        reopened.stop()
    }

    /// Deletes are remembered until the rows are in the new file, and carried out there.
    @Test func whatIsDeletedMeanwhileDoesNotComeAgain() throws {
        let scratch = Scratch()
        let (spool, desk) = try filled(scratch, rows: 1...100)
        try files.removeItem(atPath: scratch.path)
        // The folder cannot be made as long as something else has its name.
        try Data().write(to: URL(fileURLWithPath: scratch.path))
        #expect(spool.submit([.insert(record("late"), number: 101, token: 101)]))
        #expect(desk.wait { $0.rejected[101]?.code == .moved })
        #expect(spool.submit((1...50).map { .delete(lane: 0, number: $0) }))
        #expect(desk.read(spool).map(\.number).filter { $0 < 101 } == Array(51...100))
        usleep(1_500_000)
        #expect(
            desk.read(spool, count: 10).map(\.number) == Array(51...60), "the open file is read as long as it takes")
        #expect(desk.told.withLock { $0.restored.isEmpty && $0.failed.count == 1 }, "said once")
        try files.removeItem(atPath: scratch.path)
        #expect(desk.wait { $0.restored.count == 1 })
        #expect(desk.read(spool).map(\.number).filter { $0 < 101 } == Array(51...100))
        #expect(desk.wait { $0.disk?.pendingDeletes == 0 })
        desk.insert(spool, record("after"), number: 102)
        spool.stop()
        let again = Desk()
        let reopened = try again.spool(scratch)
        #expect(again.read(reopened).map(\.number).filter { $0 != 101 } == Array(51...100) + [102])
        reopened.stop()
    }

    /// The only copy of the rows stays open when the disk fails to read it.
    @Test func aRemovedFileThatCannotBeReadIsRestoredLater() throws {
        let scratch = Scratch()
        let disk = try FaultyDisk(scratch)
        let desk = Desk()
        let spool = try desk.spool(scratch)
        #expect(
            spool.submit(
                (1...3_000).map { .insert(record("\($0)", padding: 3_000), number: $0, token: UInt64($0)) }))
        #expect(desk.wait { $0.durable.count == 3_000 })
        disk.fail([.read], with: EIO)
        try files.removeItem(atPath: scratch.path)
        #expect(desk.wait { $0.removals == 1 })
        #expect(spool.submit([.read(lane: 0, after: 0, count: 1_000, bytes: .max)]))
        #expect(desk.wait { $0.failedReads.count == 1 })
        disk.work()
        #expect(desk.wait { $0.restored == [3_000] })
        #expect(desk.read(spool, count: 5_000).map(\.number) == Array(1...3_000))
        spool.stop()
    }

    /// The end waits for it, for the rows are nowhere else.
    @Test func whatIsRemovedRightBeforeTheEndIsRestored() throws {
        let scratch = Scratch()
        let (spool, desk) = try filled(scratch, rows: 1...5_000)
        try files.removeItem(atPath: scratch.path)
        #expect(spool.submit([.insert(record("late"), number: 6_000, token: 6_000)]))
        spool.stop()
        #expect(desk.told.withLock { $0.restored.count } == 1)
        let again = Desk()
        let reopened = try again.spool(scratch)
        #expect(again.read(reopened, count: 9_000).map(\.number).prefix(5_000) == Array(1...5_000)[...])
        reopened.stop()
    }

    /// A backup that was put there by hand is not lost.
    @Test func aFileInThePlaceOfTheRemovedOneIsKept() throws {
        let scratch = Scratch()
        let (spool, desk) = try filled(scratch, rows: 1...10)
        for name in try files.contentsOfDirectory(atPath: scratch.path) {
            try files.removeItem(atPath: "\(scratch.path)/\(name)")
        }
        let other = Data(repeating: 7, count: 8_192)
        try other.write(to: URL(fileURLWithPath: scratch.file))
        #expect(desk.wait { $0.restored == [10] && $0.quarantined.count == 1 })
        #expect(files.contents(atPath: desk.told.withLock { $0.quarantined[0] }) == other)
        #expect(desk.read(spool).map(\.number) == Array(1...10))
        spool.stop()
    }

    @Test func aLockThatIsRemovedIsTakenAgain() throws {
        let scratch = Scratch()
        let (spool, desk) = try filled(scratch, rows: 1...10)
        try files.removeItem(atPath: scratch.path + "/lock")
        #expect(desk.wait { _ in files.fileExists(atPath: scratch.path + "/lock") })
        #expect(try SpoolPlace(scratch.path).isHeld)
        desk.insert(spool, record("11"), number: 11)
        #expect(desk.told.withLock { $0.removals == 0 && $0.failed.isEmpty })
        spool.stop()
    }

    /// Removed while it could not be used: nothing is restored, and that is said.
    @Test func aFolderThatIsRemovedWhileItIsClosedIsMadeAgain() throws {
        let scratch = Scratch()
        try files.createDirectory(atPath: scratch.path, withIntermediateDirectories: true)
        let database = try Database(scratch.file)
        try database.execute("PRAGMA user_version=99")
        database.close()
        let desk = Desk()
        let spool = try desk.spool(scratch)
        #expect(desk.wait { $0.failed.first?.code == .version })
        try files.removeItem(atPath: scratch.path)
        #expect(desk.wait { !$0.opened.isEmpty })
        #expect(desk.told.withLock { $0.removals == 1 && $0.restored.isEmpty })
        desk.insert(spool, record("1"), number: 1)
        spool.stop()
    }
}
