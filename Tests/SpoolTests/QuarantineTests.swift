import Foundation
import Synchronization
import Testing

@testable import SMSBridgeSpool

/// What becomes of the rows when the file is lost under a running spool, or is moved aside.
@Suite struct QuarantineTests {
    private func names(_ scratch: Scratch, _ prefix: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: scratch.path).filter { $0.hasPrefix(prefix) }.sorted()
    }

    /// Rows that wait for nobody (parked), and rows of a topic that this version does not know, are data all the same.
    @Test func aRemovedFileIsRestoredWithParkedRowsAndTopicsOfOtherVersions() throws {
        let scratch = Scratch()
        let old = Desk()
        // The lanes get other numbers in the new file than they have here.
        let first = try old.spool(scratch, lanes: ["gone", "b", "a"])
        #expect(first.submit([.insert(record("of another version", lane: 0), number: 1, token: 1)]))
        #expect(old.wait { $0.durable == [1] })
        first.stop()

        let desk = Desk()
        let spool = try desk.spool(scratch)
        #expect(
            spool.submit([
                .insert(record("kept"), number: 2, token: 2), .insert(record("refused", lane: 1), number: 3, token: 3),
            ]))
        #expect(desk.wait { $0.durable.count == 2 })
        #expect(spool.submit([.park(record("refused", lane: 1), number: 3, reason: "MSG_SIZE_TOO_LARGE")]))
        #expect(spool.submit([.insert(record("and then"), number: 4, token: 4)]))
        #expect(desk.wait { $0.durable.contains(4) })
        for name in try names(scratch, "spool.db") {
            try FileManager.default.removeItem(atPath: scratch.path + "/" + name)
        }
        #expect(spool.submit([.insert(record("late"), number: 5, token: 5)]))
        #expect(desk.wait { $0.rejected[5]?.code == .moved })
        desk.insert(spool, record("after"), number: 6)
        spool.stop()

        let file = try SpoolFile(scratch.file)
        defer { file.close() }
        let parked = try file.rows(of: .parked, after: 0, count: 10)
        #expect(parked.map(\.number) == [3])
        #expect(parked.map(\.reason) == ["MSG_SIZE_TOO_LARGE"])
        #expect(parked.map { String(decoding: $0.record.value, as: UTF8.self) } == ["refused"])
        #expect(parked.map { row in file.lanes.first { $0.id == row.lane }?.name } == ["b"])
        let gone = try #require(file.lanes.first { $0.name == "gone" })
        #expect(try file.rows(of: .lane(gone.id), after: 0, count: 10).map(\.number) == [1])
        let lane = try #require(file.lanes.first { $0.name == "a" })
        #expect(try Set(file.rows(of: .lane(lane.id), after: 0, count: 10).map(\.number)).isSuperset(of: [2, 4, 6]))
        #expect(try names(scratch, "spool-quarantined-").isEmpty)
        let mode = try FileManager.default.attributesOfItem(atPath: scratch.file)[.posixPermissions] as? Int
        #expect(mode == 0o600, "the new file is the owner's alone, too")
    }

    /// The only copy is a file without a name: what is damaged in it must not keep the rest from a new one.
    @Test func aRemovedFileThatIsCorruptIsRestoredWithoutTheCorruptRows() throws {
        let scratch = Scratch()
        let desk = Desk()
        let spool = try desk.spool(scratch)
        #expect(spool.submit((1...300).map { .insert(record("<\($0)>", padding: 800), number: Int64($0), token: 1) }))
        #expect(desk.wait { $0.durable == [1] })
        #expect(
            spool.submit([
                .park(record("<10>"), number: 10, reason: "x"), .park(record("<11>"), number: 11, reason: "y"),
            ]))
        #expect(spool.submit([.insert(record("<500>"), number: 500, token: 2)]))
        #expect(desk.wait { $0.durable.contains(2) })
        spool.stop()

        let again = Desk()
        for (text, other) in [("<20>", "<21>"), ("<10>", "<12>")] { try change(scratch, text, to: other, last: true) }
        try overwritePage(scratch, holding: "<200>")
        let damaged = try again.spool(scratch) { $0.verifiedFileBytes = 0 }
        #expect(again.wait { !$0.opened.isEmpty })
        for name in try names(scratch, "spool.db") {
            try FileManager.default.removeItem(atPath: scratch.path + "/" + name)
        }
        #expect(damaged.submit([.insert(record("late"), number: 501, token: 3)]))
        #expect(again.wait { $0.rejected[3]?.code == .moved })
        again.insert(damaged, record("after"), number: 502)
        damaged.stop()
        let file = try SpoolFile(scratch.file)
        defer { file.close() }
        let rows = try file.rows(of: .lane(1), after: 0, count: 1_000).map(\.number)
        #expect(rows.count > 285 && rows.last == 502 && !rows.contains(20) && !rows.contains(200), "\(rows.count)")
        #expect(try file.rows(of: .parked, after: 0, count: 10).map(\.number) == [11])
        #expect(file.isSound)
    }

    @Test func whatIsQuarantinedIsNeverOverwritten() throws {
        let scratch = Scratch()
        let directory = try SpoolDirectory(scratch.path, allowsAnyFileSystem: true)
        var names: Set<String> = []
        for number in 1...20 {
            try Data("file \(number)".utf8).write(to: URL(fileURLWithPath: scratch.file))
            try Data("log \(number)".utf8).write(to: URL(fileURLWithPath: scratch.file + "-wal"))
            let name = try #require(try directory.quarantine())
            names.insert(name)
            #expect(FileManager.default.contents(atPath: name) == Data("file \(number)".utf8))
            #expect(FileManager.default.contents(atPath: name + "-wal") == Data("log \(number)".utf8))
        }
        #expect(names.count == 20)
        #expect(try directory.quarantine() == nil, "there is nothing left to rename")
    }

    /// SQLite deletes the log by its old name when it closes a file: that would be the log of the new one.
    @Test func aFileThatIsCorruptIsClosedBeforeItIsQuarantined() throws {
        let scratch = Scratch()
        let first = Desk()
        let spool = try first.spool(scratch)
        #expect(spool.submit((1...400).map { .insert(record("\($0)", padding: 500), number: Int64($0), token: 1) }))
        #expect(first.wait { $0.durable == [1] })
        spool.stop()
        var bytes = try Data(contentsOf: URL(fileURLWithPath: scratch.file))
        bytes.replaceSubrange(40_960..<45_056, with: Data(repeating: 0xA5, count: 4_096))
        try bytes.write(to: URL(fileURLWithPath: scratch.file))

        let desk = Desk()
        let again = try desk.spool(scratch)
        desk.insert(again, record("x"), number: 1_000)
        let quarantined = try #require(desk.told.withLock { $0.quarantined.first })
        let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").compactMap {
            try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)")
        }
        #expect(!open.contains { $0.hasPrefix(quarantined) })
        #expect(FileManager.default.contents(atPath: quarantined)?.count == bytes.count)
        #expect(FileManager.default.fileExists(atPath: scratch.file + "-wal"))
        again.stop()
    }
}
