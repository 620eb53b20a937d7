import Foundation
import Synchronization
import Testing

@testable import SMSBridgeSpool

/// A look into a spool from outside, whether a bridge has it or not.
@Suite struct InspectionTests {
    /// A spool that runs and holds so many rows of lane `a`.
    private func running(_ scratch: Scratch, rows: Int) throws -> (Spool, Desk) {
        let desk = Desk()
        let spool = try desk.spool(scratch)
        for number in 1...rows {
            #expect(
                spool.submit([
                    .insert(record("row \(number)", padding: 500), number: Int64(number), token: UInt64(number))
                ]))
        }
        for _ in 0..<1_000 where desk.told.withLock({ $0.durable.count < rows }) { usleep(10_000) }
        #expect(desk.told.withLock { $0.durable.count } == rows)
        return (spool, desk)
    }

    private func all(_ source: some SpoolSource, _ table: SpoolTable) throws -> [InspectedRow] {
        var rows: [InspectedRow] = []
        while true {
            let next = try source.rows(of: table, after: rows.last?.number ?? .min, count: 300)
            if next.isEmpty { return rows }
            rows += next
        }
    }

    private func contents(of folder: String) throws -> [String: Data] {
        var contents: [String: Data] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
            contents[name] = FileManager.default.contents(atPath: folder + "/" + name)
        }
        return contents
    }

    @Test func aRunningSpoolIsAskedThroughItsSocketByItsOwnerOnly() throws {
        let scratch = Scratch()
        let (spool, _) = try running(scratch, rows: 1_200)
        defer { spool.stop() }
        let place = try SpoolPlace(scratch.path)
        #expect(place.isHeld)
        let source = RunningSpool(folder: scratch.path)
        let status = try source.status()
        #expect(status.rows == 1_200)
        #expect(status.lanes.map(\.name) == ["a", "b"])
        let rows = try all(source, .lane(status.lanes[0].id))
        #expect(
            rows.map { String(decoding: $0.record.value.prefix(while: { $0 != UInt8(ascii: ".") }), as: UTF8.self) }
                == (1...1_200).map { "row \($0)" })
        #expect(rows[0].record.key?.elementsEqual("k".utf8) == true)
        #expect(try source.rows(of: .lane(77), after: 0, count: 1).isEmpty)
        let socket = scratch.path + "/inspect.sock"
        let mode = try FileManager.default.attributesOfItem(atPath: socket)[.posixPermissions] as? Int
        #expect(mode == 0o600)
    }

    @Test func theSocketGoesWithTheSpoolAndAStaleOneIsReplaced() throws {
        let scratch = Scratch()
        try FileManager.default.createDirectory(atPath: scratch.path, withIntermediateDirectories: true)
        let socket = scratch.path + "/inspect.sock"
        try Data("left by a crash".utf8).write(to: URL(fileURLWithPath: socket))
        let (spool, _) = try running(scratch, rows: 1)
        #expect(try RunningSpool(folder: scratch.path).status().rows == 1)
        spool.stop()
        #expect(!FileManager.default.fileExists(atPath: socket))
        #expect(try !SpoolPlace(scratch.path).isHeld)
    }

    #if os(Linux)
    @Test func aPathLongerThanAnAddressIsReachedAllTheSame() throws {
        let outer = Scratch()
        try FileManager.default.createDirectory(atPath: outer.path, withIntermediateDirectories: true)
        let folder = outer.path + "/" + String(repeating: "long", count: 40)
        let desk = Desk()
        var configuration = SpoolConfiguration(path: folder, lanes: ["a"])
        configuration.allowsAnyFileSystem = true
        let spool = try Spool(configuration) { events in
            for case .opened(let next, let totals) in events { desk.told.withLock { $0.opened.append((next, totals)) } }
        }
        defer { spool.stop() }
        for _ in 0..<1_000 where desk.told.withLock({ $0.opened.isEmpty }) { usleep(10_000) }
        #expect(try RunningSpool(folder: folder).status().lanes.map(\.name) == ["a"])
    }
    #endif

    @Test(arguments: [
        "", "status", "2 status", "1 stop", "1 rows", "1 rows 1 0", "1 rows 0 0 1", "1 rows lane 0 1", "1 rows 1 0 0",
        "1 rows 1 x 5", "1 status now",
    ])
    func aWrongQuestionIsRefused(line: String) {
        if case .success(let question) = SpoolProtocol.question(line) { Issue.record("\(line) is \(question)") }
    }

    @Test func aQuestionIsBounded() throws {
        #expect(
            try SpoolProtocol.question("1 rows 3 7 1000000").get()
                == .rows(.lane(3), after: 7, count: SpoolProtocol.maxRows))
        #expect(try SpoolProtocol.question("1 rows parked 0 5").get() == .rows(.parked, after: 0, count: 5))
    }

    @Test func aRowComesOverTheSocketAsItIs() throws {
        for key in [nil, "", "27831234567"] {
            let row = InspectedRow(
                number: -3, lane: 2, record: record("a b\nc", key: key), reason: "too large\nand more")
            let text = String(decoding: SpoolProtocol.bytes(.rows([row])), as: UTF8.self)
            let lines = text.split(separator: "\n")
            #expect(lines.count == 2 && lines[0] == "ok 1")
            let read = try #require(SpoolProtocol.row(lines[1]))
            #expect(read.number == -3 && read.lane == 2 && read.reason == "too large and more")
            #expect(read.record.value.elementsEqual(row.record.value))
            #expect(read.record.headers.elementsEqual(row.record.headers))
            #expect(read.record.key.map(Array.init) == key.map { Array($0.utf8) })
        }
    }

    @Test func afterACrashTheFileIsReadAndStaysByteForByteAsItIs() throws {
        let scratch = Scratch()
        let (spool, _) = try running(scratch, rows: 50)
        // What a crash leaves: the log holds the rows.
        let copy = Scratch()
        try FileManager.default.createDirectory(atPath: copy.path, withIntermediateDirectories: true)
        for name in ["spool.db", "spool.db-wal"] {
            try FileManager.default.copyItem(atPath: scratch.path + "/" + name, toPath: copy.path + "/" + name)
        }
        spool.stop()
        let before = try contents(of: copy.path)
        let file = try SpoolFile(copy.file)
        #expect(try file.status().rows == 50)
        #expect(try all(file, .lane(file.lanes[0].id)).count == 50)
        #expect(file.corruption.isEmpty && file.isSound)
        file.close()
        #expect(try contents(of: copy.path) == before)
    }

    @Test func whatIsNotCorruptIsReadAndTheRestIsNamed() throws {
        let scratch = Scratch()
        let (spool, _) = try running(scratch, rows: 1_000)
        spool.stop()
        var bytes = try Data(contentsOf: URL(fileURLWithPath: scratch.file))
        let pages = bytes.count / 4_096
        for page in [pages / 3, pages / 2] {
            bytes.replaceSubrange(page * 4_096..<(page + 1) * 4_096, with: Data(repeating: 0xA5, count: 4_096))
        }
        try bytes.write(to: URL(fileURLWithPath: scratch.file))
        let file = try SpoolFile(scratch.file)
        #expect(!file.isSound)
        let rows = try all(file, .lane(file.lanes[0].id))
        // A page holds six such rows.
        #expect(rows.count >= 980 && rows.count < 1_000, "\(rows.count) rows")
        #expect(rows.map(\.number) == rows.map(\.number).sorted())
        #expect(Set(rows.map(\.number)).count == rows.count)
        #expect(file.corruption.count == 2, "\(file.corruption)")

        let folder = scratch.path + "/copy"
        let outcome = try SpoolCopy.copy(file, to: folder, lanes: ["b", "a"]) { _ in }
        #expect(outcome.rows == Int64(rows.count))
        let copied = try SpoolFile(folder + "/spool.db")
        let lane = try #require(copied.lanes.first { $0.name == "a" })
        let again = try all(copied, .lane(lane.id))
        #expect(again.map(\.number) == rows.map(\.number))
        #expect(zip(again, rows).allSatisfy { $0.record.value.elementsEqual($1.record.value) })
    }

    @Test func whatIsNoSpoolIsRefused() throws {
        let scratch = Scratch()
        #expect(throws: SpoolError.self) { try SpoolPlace(scratch.path) }
        try FileManager.default.createDirectory(atPath: scratch.path, withIntermediateDirectories: true)
        #expect(throws: SpoolError.self) { try SpoolPlace(scratch.path) }
        let other = scratch.path + "/other"
        try Data(repeating: 7, count: 10_000).write(to: URL(fileURLWithPath: other))
        do throws(SpoolError) {
            _ = try SpoolFile(other)
            Issue.record("opened")
        } catch { #expect(error.code == .corrupt) }
    }
}
