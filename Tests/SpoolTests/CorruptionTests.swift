import Foundation
import Synchronization
import Testing

@testable import SMSBridgeSpool

/// Overwrites the page of the file that holds a text.
func overwritePage(_ scratch: Scratch, holding text: String) throws {
    var bytes = try Data(contentsOf: URL(fileURLWithPath: scratch.file))
    let place = try #require(bytes.range(of: Data(text.utf8)))
    let page = place.lowerBound / 4_096 * 4_096
    bytes.replaceSubrange(page..<page + 4_096, with: Data(repeating: 0xA5, count: 4_096))
    try bytes.write(to: URL(fileURLWithPath: scratch.file))
}

/// Overwrites bytes of a row's value where they are: to SQLite the file is as sound as before.
func change(_ scratch: Scratch, _ text: String, to other: String, last: Bool = false) throws {
    var bytes = try Data(contentsOf: URL(fileURLWithPath: scratch.file))
    let place = try #require(bytes.range(of: Data(text.utf8), options: last ? .backwards : []))
    bytes.replaceSubrange(place, with: Data(other.utf8))
    try bytes.write(to: URL(fileURLWithPath: scratch.file))
    let database = try Database(scratch.file)
    #expect(try database.text("PRAGMA quick_check(1)") == "ok")
    database.close()
}

/// Rows that are no longer what was stored, and what becomes of the others.
@Suite struct CorruptionTests {
    private static let checkedBytes = 64 << 10

    /// A file with rows `<1>`, `<2>` and so on in its first lane.
    private func filled(
        _ scratch: Scratch, lanes: [String] = ["a", "b"], rows: Int = 300, padding: Int = 500
    ) throws {
        try FileManager.default.createDirectory(atPath: scratch.path, withIntermediateDirectories: true)
        let store = try SpoolStore(path: scratch.file, laneNames: lanes)
        try store.beginTransaction()
        for number in 1...rows { try store.insert(record("<\(number)>", padding: padding), number: Int64(number)) }
        try store.commit()
        store.close()
    }

    /// Nobody is served while the file is being opened: reading gigabytes is minutes. That the damage is not noticed shows
    /// that it was not read.
    @Test func aLargeFileIsOpenedWithoutBeingReadAndItsCorruptionIsFoundWithItsRows() throws {
        let scratch = Scratch()
        try filled(scratch, rows: 600, padding: 3_500)
        #expect(SpoolStore.size(of: scratch.file) > Self.checkedBytes)
        try overwritePage(scratch, holding: "<300>")

        let desk = Desk()
        let spool = try desk.spool(scratch) { $0.verifiedFileBytes = Self.checkedBytes }
        #expect(desk.wait { !$0.opened.isEmpty })
        desk.insert(spool, record("today"), number: 601)
        #expect(desk.told.withLock { $0.quarantined }.isEmpty)
        for start in stride(from: 0, to: 601, by: 50) {
            _ = desk.read(spool, after: Int64(start), count: 50)
        }
        let quarantined = desk.told.withLock { $0.quarantined }
        #expect(quarantined.count == 1, "the damage is met")
        spool.stop()

        // Small enough to go on by itself: what is sound, and what was answered for since.
        for path in [scratch.file, try #require(quarantined.first)] {
            let numbers = try numbers(in: path)
            #expect(numbers.last == 601)
            #expect(numbers.count > 590 && !numbers.contains(300), "\(numbers.count) rows")
        }
    }

    private func numbers(in path: String) throws -> [Int64] {
        let file = try SpoolFile(path)
        defer { file.close() }
        var numbers: [Int64] = []
        while true {
            let rows = try file.rows(of: .lane(1), after: numbers.last ?? 0, count: 1_000)
            if rows.isEmpty { return numbers }
            numbers += rows.map(\.number)
        }
    }

    /// Found when the file is opened where it is small, when the row is read where it is large. What is sound goes on by
    /// itself, and is left to a person where that takes too long.
    @Test(arguments: [(10, true), (200, true), (200, false)])
    func aRowThatIsNotWhatWasStoredIsNeverRead(rows: Int, isCopied: Bool) throws {
        let scratch = Scratch()
        try filled(scratch, rows: rows, padding: 3_500)
        try change(scratch, "<7>", to: "<8>")

        let desk = Desk()
        let spool = try desk.spool(scratch) {
            $0.verifiedFileBytes = Self.checkedBytes
            if !isCopied { $0.recoveryLimit = .zero }
        }
        let read = desk.read(spool, count: 100)
        #expect(read.map(\.number) == (!isCopied ? [] : Array(1...min(Int64(rows), 101)).filter { $0 != 7 }))
        let (quarantined, copied) = desk.told.withLock { ($0.quarantined.first ?? "", $0.copied) }
        #expect(copied == (!isCopied ? nil : Int64(rows - 1)))
        spool.stop()
        #expect(!FileManager.default.fileExists(atPath: scratch.path + "/spool-copied.db"))
        let mode = try FileManager.default.attributesOfItem(atPath: scratch.file)[.posixPermissions] as? Int
        #expect(mode == 0o600)

        #expect(try numbers(in: scratch.file).count == (!isCopied ? 0 : rows - 1))
        #expect(try numbers(in: quarantined).count == rows - 1)
        let file = try SpoolFile(quarantined)
        defer { file.close() }
        #expect(!file.isSound)
        _ = try file.rows(of: .lane(1), after: 0, count: 1_000)
        #expect(file.corruption == ["a: 1 rows are not what was stored, the first is row 7"])
    }

    @Test func aRowIsKnownByItsPlaceAndAllThatItHolds() {
        func digest(
            number: Int64 = 1, lane: Int64 = 1, timestamp: Int64 = 5, key: [UInt8]? = [1], value: [UInt8] = [2, 3],
            headers: [UInt8] = [4], reason: String? = nil
        ) -> Int64 {
            value.withUnsafeBytes { value in
                headers.withUnsafeBytes { headers in
                    (key ?? []).withUnsafeBytes {
                        SpoolRecord(
                            lane: 0, timestamp: timestamp, key: key == nil ? nil : $0, value: value, headers: headers
                        ).digest(number: number, lane: lane, reason: reason)
                    }
                }
            }
        }
        let digests = [
            digest(), digest(number: 2), digest(lane: 2), digest(timestamp: 6), digest(key: nil), digest(key: []),
            digest(key: [2]), digest(value: []), digest(value: [2, 4]), digest(headers: []),
            digest(value: [3], headers: [4, 2]),
            digest(key: [1, 4], headers: []), digest(reason: ""), digest(reason: "x"),
        ]
        #expect(Set(digests).count == digests.count)
        #expect(digest() == digest())
        // Stored in files: the same in every version.
        #expect(digest() == -7_477_432_050_384_566_620)
    }

    @Test func aFileWithNumbersThatNoBridgeCanHaveReachedIsCorrupt() throws {
        let scratch = Scratch()
        try FileManager.default.createDirectory(atPath: scratch.path, withIntermediateDirectories: true)
        let store = try SpoolStore(path: scratch.file, laneNames: ["a", "b"])
        try store.beginTransaction()
        try store.insert(record("1"), number: .max - 1)
        try store.commit()
        store.close()
        do throws(SpoolError) {
            _ = try SpoolStore(path: scratch.file, laneNames: ["a", "b"])
            Issue.record("it was opened")
        } catch { #expect(error.code == .corrupt) }
    }

    private func sql(_ scratch: Scratch, _ text: String) throws {
        let database = try Database(scratch.file)
        try database.execute(text)
        database.close()
    }

    /// Each of its rows is sound, and in the right table.
    @Test(arguments: [("<100>", "<200>"), ("<200>", "<100>")])
    func aPageInThePlaceOfAnotherGivesNoRowTwice(lost: String, doubled: String) throws {
        let scratch = Scratch()
        try filled(scratch)
        var bytes = try Data(contentsOf: URL(fileURLWithPath: scratch.file))
        let pages = try [lost, doubled].map {
            try #require(bytes.range(of: Data($0.utf8))).lowerBound / 4_096 * 4_096
        }
        bytes.replaceSubrange(pages[0]..<pages[0] + 4_096, with: bytes[pages[1]..<pages[1] + 4_096])
        try bytes.write(to: URL(fileURLWithPath: scratch.file))
        for checked in [Int.max, 0] {
            let copy = Scratch()
            try FileManager.default.createDirectory(atPath: copy.path, withIntermediateDirectories: true)
            try bytes.write(to: URL(fileURLWithPath: copy.file))
            let desk = Desk()
            let spool = try desk.spool(copy) { $0.verifiedFileBytes = checked }
            let read = desk.read(spool).map(\.number)
            #expect(read.count > 285 && read.count < 300, "\(read.count)")
            #expect(!read.contains(lost == "<100>" ? 100 : 200) && read.contains(lost == "<100>" ? 200 : 100))
            #expect(read == Array(Set(read)).sorted())
            #expect(desk.told.withLock { $0.quarantined.count } == 1)
            #expect(desk.told.withLock { $0.left.contains { $0.contains("rows are lost") } })
            spool.stop()
        }
    }

    /// A lane whose rows are gone would be read again and again, and one that seems full would take nothing more.
    @Test(arguments: [
        "UPDATE lane SET rows = rows + 3 WHERE id = 1", "UPDATE lane SET bytes = bytes + 1000000000 WHERE id = 2",
        "DROP TABLE lane_1; CREATE TABLE lane_1 (number INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL, digest INTEGER NOT NULL, key BLOB, headers BLOB NOT NULL, value BLOB NOT NULL)",
    ])
    func sumsThatDoNotAgreeAreCorruption(change: String) throws {
        let scratch = Scratch()
        try filled(scratch, rows: 20)
        try sql(scratch, change)
        let desk = Desk()
        let spool = try desk.spool(scratch)
        desk.insert(spool, record("new"), number: 100)
        let rows: Int64 = change.hasPrefix("DROP") ? 0 : 20
        #expect(desk.told.withLock { $0.copied } == rows)
        #expect(desk.told.withLock { $0.opened.last?.totals.map(\.rows) } == [rows, 0])
        #expect(desk.told.withLock { $0.opened.last?.totals[1].bytes } == 0)
        spool.stop()
    }

    @Test func rowsThatAreCountedAndNotThereAreMetWhenTheyAreRead() throws {
        let scratch = Scratch()
        try filled(scratch, rows: 20)
        try sql(scratch, "DELETE FROM lane_1")
        let desk = Desk()
        let spool = try desk.spool(scratch) { $0.verifiedFileBytes = 0 }
        #expect(desk.read(spool).isEmpty)
        #expect(desk.told.withLock { $0.opened.last?.totals.map(\.rows) } == [0, 0])
        spool.stop()
    }

    @Test func rowsOfAnotherVersionsTopicsGoAlong() throws {
        let scratch = Scratch()
        try filled(scratch, lanes: ["gone", "b", "a"], rows: 50)
        try change(scratch, "<30>", to: "<31>")
        let desk = Desk()
        let spool = try desk.spool(scratch)
        #expect(desk.wait { $0.copied == 49 })
        spool.stop()
        let file = try SpoolFile(scratch.file)
        defer { file.close() }
        let gone = try #require(file.lanes.first { $0.name == "gone" })
        #expect(try file.rows(of: .lane(gone.id), after: 0, count: 100).count == 49)
    }

    /// Nobody can say which topics the rows are of: all of it is left to a person.
    @Test func withoutTheTopicsNamesNothingIsCopied() throws {
        let scratch = Scratch()
        try filled(scratch)
        try overwritePage(scratch, holding: "a\u{1},")
        let desk = Desk()
        let spool = try desk.spool(scratch)
        desk.insert(spool, record("new"), number: 1_000)
        #expect(desk.told.withLock { $0.quarantined.count == 1 && $0.copied == nil && $0.left.count == 1 })
        spool.stop()
    }

    /// What a process that ended in the middle of it leaves.
    @Test(arguments: ["copied", "moved aside", "an empty file made", "unfinished"])
    func aCopyIsTheSpoolFromTheMomentThatItIsComplete(state: String) throws {
        let scratch = Scratch()
        try filled(scratch, rows: 30)
        let files = FileManager.default
        let complete = scratch.path + "/spool-copied.db"
        switch state {
        case "unfinished":
            try Data("half".utf8).write(to: URL(fileURLWithPath: scratch.path + "/spool-copying.db"))
        case "copied":
            try files.copyItem(atPath: scratch.file, toPath: complete)
            try change(scratch, "<7>", to: "<8>")
        default:
            try files.moveItem(atPath: scratch.file, toPath: complete)
            if state != "moved aside" { try Data().write(to: URL(fileURLWithPath: scratch.file)) }
        }
        let desk = Desk()
        let spool = try desk.spool(scratch)
        #expect(spool.submit([.read(lane: 0, after: 0, count: 100, bytes: .max)]))
        #expect(desk.wait { $0.answers == 1 })
        #expect(desk.told.withLock { $0.rows[0]?.map(\.number) } == Array(1...30))
        spool.stop()
        let names = try files.contentsOfDirectory(atPath: scratch.path)
        #expect(!names.contains { $0.hasPrefix("spool-cop") })
        #expect(names.filter { $0.hasPrefix("spool-quarantined-") }.count == (state == "copied" ? 1 : 0), "\(names)")
    }

    @Test func aLogThatWasQuarantinedAloneIsCounted() throws {
        let scratch = Scratch()
        try filled(scratch, rows: 1)
        try Data().write(to: URL(fileURLWithPath: scratch.path + "/spool-quarantined-1-2.db-wal"))
        try Data().write(to: URL(fileURLWithPath: scratch.path + "/spool-quarantined-1-3.db-wal"))
        try Data().write(to: URL(fileURLWithPath: scratch.path + "/spool-quarantined-1-3.db"))
        #expect(
            try SpoolPlace(scratch.path).quarantined == ["spool-quarantined-1-2.db-wal", "spool-quarantined-1-3.db"])
    }

    /// An upgrade over a spool that was drained needs no hand; one that holds events needs the version that wrote them.
    @Test(arguments: [0, 1]) func anOlderFormatIsTakenWhenItIsEmpty(rows: Int) throws {
        let scratch = Scratch()
        try FileManager.default.createDirectory(atPath: scratch.path, withIntermediateDirectories: true)
        let database = try Database(scratch.file)
        try database.execute(
            """
            PRAGMA journal_mode=WAL;
            CREATE TABLE lane (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, rows INTEGER NOT NULL, bytes INTEGER NOT NULL);
            CREATE TABLE parked (number INTEGER PRIMARY KEY, lane INTEGER NOT NULL, timestamp INTEGER NOT NULL,
                                 key BLOB, headers BLOB NOT NULL, value BLOB NOT NULL, reason TEXT NOT NULL);
            CREATE TABLE lane_1 (number INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL, key BLOB, headers BLOB NOT NULL, value BLOB NOT NULL);
            INSERT INTO lane VALUES (1, 'a', \(rows), 0);
            PRAGMA user_version=1;
            """)
        if rows > 0 { try database.execute("INSERT INTO lane_1 VALUES (1, 2, NULL, x'', x'')") }
        database.close()
        let desk = Desk()
        let spool = try desk.spool(scratch)
        #expect(spool.submit([.insert(record("new"), number: 1, token: 1)]))
        if rows == 0 {
            #expect(desk.wait { $0.durable == [1] })
        } else {
            #expect(desk.wait { $0.rejected[1]?.code == .version })
        }
        #expect(desk.told.withLock { $0.quarantined.isEmpty })
        spool.stop()
    }

    @Test func parkedRowsArePutBackOrDeleted() throws {
        let scratch = Scratch()
        let desk = Desk()
        let spool = try desk.spool(scratch)
        #expect(spool.submit((1...5).map { .insert(record("\($0)", lane: 1), number: Int64($0), token: 1) }))
        #expect(spool.submit((1...4).map { .park(record("\($0)", lane: 1), number: Int64($0), reason: "x") }))
        #expect(desk.wait { $0.durable == [1] })
        spool.stop()
        let back = try ParkedRows.putBack(in: scratch.path, lanes: ["a", "b"]) { record in
            String(decoding: record.value, as: UTF8.self) == "3" ? nil : record.inLane(0)
        }
        #expect(back == 3)
        let file = try SpoolFile(scratch.file)
        #expect(
            try file.rows(of: .lane(1), after: 0, count: 10).map {
                text(SpoolRow(number: $0.number, record: $0.record))
            } == ["1", "2", "4"])
        #expect(try file.rows(of: .lane(1), after: 0, count: 10).map(\.number) == [6, 7, 8])
        #expect(try file.rows(of: .parked, after: 0, count: 10).map(\.number) == [3])
        #expect(file.isSound)
        file.close()
        #expect(try ParkedRows.discard(in: scratch.path, lanes: ["a", "b"]) == 1)
        #expect(try ParkedRows.discard(in: scratch.path, lanes: ["a", "b"]) == 0)
    }

    /// What the disk gave back for a page is what it held long ago: rows that have been delivered since.
    @Test func rowsOfAnOldPageAreNotReadAgain() throws {
        let scratch = Scratch()
        try filled(scratch)
        let old = try Data(contentsOf: URL(fileURLWithPath: scratch.file))
        let place = try #require(old.range(of: Data("<100>".utf8))).lowerBound / 4_096 * 4_096
        let store = try SpoolStore(path: scratch.file, laneNames: ["a", "b"])
        try store.beginTransaction()
        for number in 90...115 { try store.delete(lane: 0, number: Int64(number)) }
        try store.commit()
        store.close()
        var bytes = try Data(contentsOf: URL(fileURLWithPath: scratch.file))
        let target = try #require(bytes.range(of: Data("<200>".utf8))).lowerBound / 4_096 * 4_096
        bytes.replaceSubrange(target..<target + 4_096, with: old[place..<place + 4_096])
        try bytes.write(to: URL(fileURLWithPath: scratch.file))
        let desk = Desk()
        let spool = try desk.spool(scratch)
        let read = desk.read(spool).map(\.number)
        #expect(read.count > 262 && !read.contains { (90...115).contains($0) }, "\(read.count)")
        #expect(read.contains(190) && read.contains(215) && !read.contains(200))
        spool.stop()
    }

    /// A bridge that has run for a while gives numbers in the millions; the first row is sought from 0 on.
    @Test(arguments: ["the first page", "an overflow page", "two pages far apart"])
    func whatIsBehindAFaultIsFoundHoweverFarItIs(fault: String) throws {
        let scratch = Scratch()
        try FileManager.default.createDirectory(atPath: scratch.path, withIntermediateDirectories: true)
        let store = try SpoolStore(path: scratch.file, laneNames: ["a", "b"])
        try store.beginTransaction()
        for index in 0..<400 {
            let padding = index == 0 && fault.hasPrefix("an") ? 20_000 : 500
            try store.insert(record("<\(index)>", padding: padding), number: 5_000_000 + Int64(index) * 10_007)
        }
        try store.commit()
        store.close()
        if fault.hasPrefix("an") {
            // A page of nothing but the first value's dots, whose first four bytes lead to the next.
            var bytes = try Data(contentsOf: URL(fileURLWithPath: scratch.file))
            let page = try #require(
                stride(from: 0, to: bytes.count, by: 4_096).first { page in
                    bytes[page + 4..<page + 4_096].allSatisfy { $0 == UInt8(ascii: ".") }
                })
            bytes.replaceSubrange(page..<page + 4, with: [0x7F, 0xFF, 0xFF, 0xFF])
            try bytes.write(to: URL(fileURLWithPath: scratch.file))
        } else {
            try overwritePage(scratch, holding: "<0>")
            if fault.hasPrefix("two") { try overwritePage(scratch, holding: "<200>") }
        }
        let file = try SpoolFile(scratch.file)
        defer { file.close() }
        #expect(!file.isSound)
        var numbers: [Int64] = []
        while true {
            let rows = try file.rows(of: .lane(1), after: numbers.last ?? Int64.min, count: 50)
            if rows.isEmpty { break }
            numbers += rows.map(\.number)
        }
        #expect(numbers.count >= 380 && numbers.count < 400, "\(numbers.count)")
        #expect(numbers == numbers.sorted() && numbers.last == 5_000_000 + 399 * 10_007)
    }

    /// SQLite would delete the log, which holds everything.
    @Test func aLogBesideAnEmptyFileIsKept() throws {
        let scratch = Scratch()
        try FileManager.default.createDirectory(atPath: scratch.path, withIntermediateDirectories: true)
        let log = Data(repeating: 7, count: 50_000)
        for hasFile in [true, false] {
            if hasFile { try Data().write(to: URL(fileURLWithPath: scratch.file)) }
            try log.write(to: URL(fileURLWithPath: scratch.file + "-wal"))
            let desk = Desk()
            let spool = try desk.spool(scratch)
            desk.insert(spool, record("new"), number: 1)
            spool.stop()
            let quarantined = try #require(desk.told.withLock { $0.quarantined.first })
            #expect(FileManager.default.contents(atPath: quarantined + "-wal") == log)
            try FileManager.default.removeItem(atPath: scratch.file)
        }
    }

    /// A disk may fail once: the same read must find the corruption again. Until then no read is answered with no rows.
    @Test func corruptionThatIsNotThereTheSecondTimeIsNotBelieved() throws {
        let scratch = Scratch()
        try filled(scratch)
        let sound = try Data(contentsOf: URL(fileURLWithPath: scratch.file))
        try change(scratch, "<250>", to: "<251>")
        let desk = Desk()
        let spool = try desk.spool(scratch) { $0.verifiedFileBytes = 0 }
        #expect(spool.submit([.read(lane: 0, after: 240, count: 20, bytes: .max)]))
        #expect(desk.wait { $0.failedReads.count == 1 && $0.opened.count == 2 })
        #expect(desk.told.withLock { $0.answers == 0 && $0.failed.map(\.code) == [.corrupt] })
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: scratch.file))
        try file.write(contentsOf: sound)
        try file.close()
        #expect(desk.read(spool).map(\.number) == Array(1...300))
        #expect(desk.told.withLock { $0.quarantined.isEmpty })
        spool.stop()
    }

    @Test func aDiskThatReturnsNothingIsNotFilledWithQuarantinedFiles() throws {
        let scratch = Scratch()
        try filled(scratch, rows: 20)
        try change(scratch, "<7>", to: "<8>")
        let desk = Desk()
        let spool = try desk.spool(scratch)
        #expect(desk.wait { $0.copied == 19 })
        spool.stop()
        try change(scratch, "<9>", to: "<8>")
        let again = Desk()
        let second = try again.spool(scratch)
        #expect(again.wait { $0.copied == 18 }, "another process has not made the file")
        // Under the running one.
        let database = try FileHandle(forUpdating: URL(fileURLWithPath: scratch.file))
        try database.seek(toOffset: 0)
        try database.write(contentsOf: Data(repeating: 0xA5, count: 8_192))
        try database.close()
        for name in ["-wal", "-shm"] { try? FileManager.default.removeItem(atPath: scratch.file + name) }
        #expect(second.submit([.insert(record("x"), number: 100, token: 1)]))
        #expect(again.wait { $0.rejected[1] != nil })
        usleep(2_500_000)
        let names = try FileManager.default.contentsOfDirectory(atPath: scratch.path)
        #expect(names.count { $0.hasPrefix("spool-quarantined-") && $0.hasSuffix(".db") } <= 3, "\(names)")
        second.stop()
    }
}
