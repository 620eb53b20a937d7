import Foundation
import SMSBridgeTestSupport
import Synchronization
import Testing

@testable import SMSBridgeSpool

/// A disk that does not take changes: what is in the file can be read, and nothing is said that is not so.
@Suite struct WriteFailureTests {
    /// A running spool with rows 1 and up of lane 0.
    private func filled(
        _ scratch: Scratch, rows: Int, padding: Int = 0, adjust: (inout SpoolConfiguration) -> Void = { _ in }
    ) throws -> (Spool, Desk) {
        let desk = Desk()
        let spool = try desk.spool(scratch, adjust: adjust)
        #expect(
            spool.submit(
                (1...rows).map { .insert(record("\($0)", padding: padding), number: Int64($0), token: UInt64($0)) }))
        #expect(desk.wait { $0.durable.count == rows })
        return (spool, desk)
    }

    private struct Fault: CustomTestStringConvertible, Sendable {
        let operations: [FaultyDisk.Operation]
        let error: Int32
        let code: SpoolError.Code
        var testDescription: String { "\(operations) \(String(cString: strerror(error)))" }
    }

    private static let faults = [
        Fault(operations: [.write], error: ENOSPC, code: .full),
        Fault(operations: [.write], error: EDQUOT, code: .full),
        Fault(operations: [.write], error: EFBIG, code: .full), Fault(operations: [.write], error: EIO, code: .io),
        Fault(operations: [.write], error: EROFS, code: .io), Fault(operations: [.sync], error: EIO, code: .io),
        Fault(operations: [.sync], error: ENOSPC, code: .full), Fault(operations: [.sync], error: EDQUOT, code: .full),
    ]

    @Test(arguments: faults) private func rowsAreReadAndDeletesRememberedWhileNothingIsWritten(fault: Fault) throws {
        let scratch = Scratch()
        let disk = try FaultyDisk(scratch)
        let (spool, desk) = try filled(scratch, rows: 100)
        disk.fail(fault.operations, with: fault.error)

        #expect(spool.submit([.insert(record("new"), number: 101, token: 101)]))
        #expect(desk.wait { $0.rejected[101]?.code == fault.code })
        #expect(desk.read(spool, count: 10).map(\.number) == Array(1...10))
        #expect(spool.submit((1...40).map { .delete(lane: 0, number: $0) }))
        #expect(desk.read(spool, count: 10).map(\.number) == Array(41...50), "what is to be deleted is not read again")
        #expect(
            spool.submit([.delete(lane: 0, number: 42), .delete(lane: 0, number: 100), .delete(lane: 0, number: 7)]))
        #expect(desk.read(spool, after: 40, count: 2).map(\.number) == [41, 43], "as many as were asked for")
        #expect(desk.read(spool, after: 98).map(\.number) == [99])
        #expect(desk.wait { $0.totals.first?.rows == 58 && $0.disk?.pendingDeletes == 42 })
        #expect(desk.told.withLock { $0.disk?.writeError?.code == fault.code && $0.disk?.hasRoom == false })
        let status = try RunningSpool(folder: scratch.path).status()
        #expect(status.rows == 58)
        #expect(try RunningSpool(folder: scratch.path).rows(of: .lane(1), after: 0, count: 1).map(\.number) == [41])
        usleep(2_500_000)
        #expect(desk.told.withLock { $0.writesFailing.map(\.code) } == [fault.code], "said once")
        #expect(desk.told.withLock { $0.opened.count == 1 && $0.failed.isEmpty }, "the file stays open")

        disk.work()
        #expect(desk.wait { $0.disk?.pendingDeletes == 0 })
        for token in UInt64(200)... {
            #expect(spool.submit([.insert(record("again \(token)"), number: Int64(token), token: token)]))
            #expect(desk.wait { $0.durable.contains(token) || $0.rejected[token] != nil })
            if desk.told.withLock({ $0.durable.contains(token) }) { break }
            usleep(100_000)
        }
        #expect(desk.wait { $0.recoveries == 1 && $0.disk?.writeError == nil && $0.disk?.hasRoom == true })
        spool.stop()
        let file = try SpoolFile(scratch.file)
        defer { file.close() }
        #expect(try file.rows(of: .lane(1), after: 0, count: 1_000).count == 59, "they are deleted now")
        #expect(file.isSound)
    }

    /// A crash forgets which rows were delivered: they come again. None is lost.
    @Test func rememberedDeletesComeAgainAfterACrash() throws {
        let scratch = Scratch()
        let disk = try FaultyDisk(scratch)
        let (spool, desk) = try filled(scratch, rows: 50)
        disk.fail([.write], with: EIO)
        #expect(spool.submit((1...20).map { .delete(lane: 0, number: $0) }))
        #expect(desk.read(spool, count: 1).map(\.number) == [21])
        disk.kill()
        spool.stop()
        disk.restart()
        let again = Desk()
        let second = try again.spool(scratch)
        #expect(again.read(second).map(\.number) == Array(1...50))
        second.stop()
    }

    /// Deletes go on where somebody else takes every byte as soon as it is free: once the log is copied into the file, with
    /// the space that was reserved, they find room in the log that is there.
    @Test(arguments: [ENOSPC, EDQUOT]) func aFullDiskTakesDeletesInTheRoomThatTheFilesHave(error: Int32) throws {
        let scratch = Scratch()
        let disk = try FaultyDisk(scratch)
        let (spool, desk) = try filled(scratch, rows: 2_000, padding: 1_500)
        disk.setRoom(0, error: error)
        #expect(spool.submit([.insert(record("new", padding: 8_000_000), number: 5_000, token: 5_000)]))
        #expect(desk.wait { $0.rejected[5_000]?.code == .full })
        disk.setRoom(SpoolDirectory.ballastBytes, error: error)
        #expect(spool.submit([.delete(lane: 0, number: 1)]))
        #expect(desk.wait { $0.totals.first?.rows == 1_999 && $0.disk?.pendingDeletes == 0 })
        disk.setRoom(0, error: error)
        for start in stride(from: Int64(1), to: 1_900, by: 100) {
            #expect(spool.submit((start..<start + 100).map { .delete(lane: 0, number: $0) }))
        }
        #expect(desk.wait { $0.totals.first?.rows == 100 && $0.disk?.pendingDeletes == 0 })
        spool.stop()
        let file = try SpoolFile(scratch.file)
        #expect(try file.rows(of: .lane(1), after: 0, count: 1_000).count == 100)
        file.close()
    }

    /// On a file system of its own, which somebody else fills again and again.
    @Test func aFullDiskEmptiesItselfAndTakesInsertsOnceThereIsRoom() throws {
        guard geteuid() == 0 else { return }
        let scratch = Scratch()
        try FileManager.default.createDirectory(atPath: scratch.path, withIntermediateDirectories: true)
        guard mount("tmpfs", scratch.path, "tmpfs", 0, "size=64m") == 0 else { return }
        defer { umount2(scratch.path, Int32(MNT_DETACH)) }
        let (spool, desk) = try filled(scratch, rows: 500, padding: 3_000) { $0.reserveBytes = 0 }
        let ballast = scratch.path + "/ballast"
        #expect(FileManager.default.fileExists(atPath: ballast))
        let filler = open(scratch.path + "/filler", O_WRONLY | O_CREAT, 0o600)
        func fill() {
            for size in [1 << 16, 1 << 12, 1] {
                let bytes = [UInt8](repeating: 1, count: size)
                while write(filler, bytes, size) == size {}
            }
        }
        fill()
        #expect(spool.submit([.insert(record("new", padding: 9_000_000), number: 501, token: 501)]))
        #expect(desk.wait { $0.rejected[501]?.code == .full })
        #expect(spool.submit((1...300).map { .delete(lane: 0, number: $0) }))
        #expect(desk.wait { $0.totals.first?.rows == 200 })
        fill()
        #expect(spool.submit([.insert(record("new"), number: 502, token: 502)]))
        #expect(desk.wait { $0.rejected[502]?.code == .full })
        #expect(desk.read(spool).map(\.number) == Array(301...500))
        #expect(desk.told.withLock { $0.writesFailing.count <= 1 }, "said once at most")
        ftruncate(filler, 0)
        close(filler)
        #expect(desk.wait { _ in FileManager.default.fileExists(atPath: ballast) })
        #expect(desk.wait { $0.disk?.hasRoom == true && $0.disk?.pendingDeletes == 0 })
        #expect(spool.submit([.insert(record("new"), number: 503, token: 503)]))
        #expect(desk.wait { $0.durable.contains(503) && $0.recoveries == $0.writesFailing.count })
        spool.stop()
    }

    /// Even a start needs no byte: what is there is read, and what is delivered is remembered.
    @Test func aSpoolIsOpenedAndReadOnAFullDisk() throws {
        let scratch = Scratch()
        let disk = try FaultyDisk(scratch)
        let (spool, _) = try filled(scratch, rows: 200)
        disk.kill()
        spool.stop()
        disk.restart()
        disk.fail([.write], with: ENOSPC)
        let desk = Desk()
        let again = try desk.spool(scratch)
        #expect(desk.read(again).map(\.number) == Array(1...200))
        #expect(again.submit((1...200).map { .delete(lane: 0, number: $0) }))
        #expect(desk.read(again).isEmpty)
        #expect(desk.wait { $0.totals.first?.rows == 0 })
        disk.work()
        #expect(desk.wait { $0.disk?.pendingDeletes == 0 && $0.disk?.writeError == nil })
        again.stop()
    }

    /// Linux takes pages for clean whose sync has failed: what follows them in the log must not count on them.
    @Test(arguments: 1...20 as ClosedRange<UInt64>) func afterAFailedSyncNothingIsDurableThatAPowerFailureTakes(
        seed: UInt64
    ) throws {
        let scratch = Scratch()
        let disk = try FaultyDisk(scratch)
        let (spool, desk) = try filled(scratch, rows: 10)
        disk.fail([.sync], with: EIO, times: 1)
        #expect(spool.submit((11...20).map { .insert(record("\($0)", padding: 3_000), number: $0, token: UInt64($0)) }))
        #expect(desk.wait { $0.rejected.count == 10 })
        // Smaller than what failed, so that the rest of that would stand behind it in the log.
        for token in UInt64(21)... {
            #expect(spool.submit([.insert(record("\(token)"), number: Int64(token), token: token)]))
            #expect(desk.wait { $0.durable.contains(token) || $0.rejected[token] != nil })
            if desk.told.withLock({ $0.durable.count }) > 15 { break }
            usleep(100_000)
        }
        let durable = desk.told.withLock { $0.durable.map(Int64.init).sorted() }
        disk.kill()
        spool.stop()
        disk.restart(losingPower: seed)
        let again = Desk()
        let second = try again.spool(scratch)
        let numbers = Set(again.read(second).map(\.number))
        #expect(numbers.isSuperset(of: durable))
        #expect(again.told.withLock { $0.quarantined.isEmpty })
        second.stop()
    }

    /// The same where the process ends after the failed sync: the log has the rows, the disk has not. It is copied into the file
    /// before it is continued, at the opening or, where that fails, before the next insert.
    @Test(arguments: 1...6 as ClosedRange<UInt64>, [0, 1, 2] as [Int64])
    func aLogWhoseSyncFailedIsCopiedBeforeItIsContinued(seed: UInt64, faults: Int64) throws {
        let scratch = Scratch()
        let disk = try FaultyDisk(scratch)
        let (spool, desk) = try filled(scratch, rows: 10)
        disk.fail([.sync], with: EIO)
        #expect(spool.submit((11...20).map { .insert(record("\($0)", padding: 3_000), number: $0, token: UInt64($0)) }))
        #expect(desk.wait { $0.rejected.count == 10 })
        disk.kill()
        spool.stop()
        disk.restart()
        if faults > 0 { disk.fail([.sync], with: EIO, times: faults) }
        let again = Desk()
        let second = try again.spool(scratch)
        #expect(again.wait { !$0.opened.isEmpty })
        for number in 31...33 as ClosedRange<Int64> { again.insert(second, record("\(number)"), number: number) }
        #expect(again.told.withLock { $0.writesFailing.count == (faults > 0 ? 1 : 0) })
        disk.kill()
        second.stop()
        disk.restart(losingPower: seed)
        let last = Desk()
        let third = try last.spool(scratch)
        #expect(Set(last.read(third).map(\.number)).isSuperset(of: Array(1...10) + Array(31...33)))
        third.stop()
    }

    @Test func rowsThatCannotBeReadAreAFailedRead() throws {
        let scratch = Scratch()
        let disk = try FaultyDisk(scratch)
        let (spool, desk) = try filled(scratch, rows: 3_000, padding: 3_000)
        disk.fail([.read], with: EIO)
        #expect(spool.submit([.read(lane: 0, after: 0, count: 1_000, bytes: .max)]))
        #expect(desk.wait { $0.failedReads.count == 1 })
        #expect(desk.told.withLock { $0.failedReads[0].code == .unreadable && $0.answers == 0 && $0.opened.count == 1 })
        disk.work()
        #expect(desk.read(spool, count: 3).map(\.number) == [1, 2, 3])
        spool.stop()
    }

    @Test func withoutAFileEveryReadFails() throws {
        let desk = Desk()
        let spool = try desk.spool(Scratch()) { $0.path = "/proc/nowhere" }
        #expect(spool.submit([.delete(lane: 0, number: 4), .read(lane: 1, after: 0, count: 10, bytes: .max)]))
        #expect(desk.wait { $0.failedReads.count == 1 })
        #expect(desk.told.withLock { $0.answers == 0 && $0.failedReads[0].code == .directory })
        spool.stop()
    }

    /// A record that Kafka rejects leaves its queue all the same, and is neither lost nor stored twice.
    @Test func rejectedRecordsAreMovedAndParkedWhenTheDiskTakesIt() throws {
        let scratch = Scratch()
        let disk = try FaultyDisk(scratch)
        let (spool, desk) = try filled(scratch, rows: 10)
        disk.fail([.write], with: EIO)
        #expect(
            spool.submit([
                .move(record("1", lane: 1), number: 11, fromLane: 0, fromNumber: 1),
                .move(record("2", lane: 1), number: 12, fromLane: 0, fromNumber: 2),
                .park(record("3"), number: 3, reason: "x"),
                // The first copy is delivered.
                .delete(lane: 1, number: 11),
            ]))
        #expect(desk.read(spool, count: 1).map(\.number) == [4])
        #expect(desk.wait { $0.totals.map(\.rows) == [7, 1] })
        disk.work()
        #expect(desk.wait { $0.disk?.writeError == nil })
        spool.stop()
        let file = try SpoolFile(scratch.file)
        defer { file.close() }
        #expect(try file.rows(of: .lane(1), after: 0, count: 20).map(\.number) == Array(4...10))
        #expect(try file.rows(of: .lane(2), after: 0, count: 20).map(\.number) == [12])
        #expect(try file.rows(of: .parked, after: 0, count: 20).map(\.number) == [3])
    }

    // MARK: - A disk that does not read

    /// EIO says nothing of the bytes: the file stays where it is, and its rows follow in order.
    @Test(arguments: [EIO, ENXIO, EAGAIN]) func anUnreadableFileIsNotTakenForACorruptOne(error: Int32) throws {
        let scratch = Scratch()
        let disk = try FaultyDisk(scratch)
        let (spool, desk) = try filled(scratch, rows: 4_000, padding: 3_000)
        disk.fail([.read], with: error)
        for count in 1...5 {
            #expect(spool.submit([.read(lane: 0, after: 0, count: 1_000, bytes: .max)]))
            #expect(desk.wait { $0.failedReads.count == count })
        }
        #expect(desk.told.withLock { $0.failedReads.allSatisfy { $0.code == .unreadable } && $0.answers == 0 })
        disk.work()
        #expect(desk.read(spool, count: 5_000).map(\.number) == Array(1...4_000))
        #expect(desk.told.withLock { $0.quarantined.isEmpty && $0.failed.isEmpty && $0.opened.count == 1 })
        spool.stop()
    }

    /// The same at the start: it is opened as soon as it can be read, a file that is verified whole as well.
    @Test(arguments: [0, 1, 3, 10, 30] as [Int64], [true, false])
    func aFileThatCannotBeReadAtTheStartIsOpenedLater(after: Int64, isVerified: Bool) throws {
        let scratch = Scratch()
        let disk = try FaultyDisk(scratch)
        let (spool, _) = try filled(scratch, rows: 400, padding: 3_000)
        spool.stop()
        disk.fail([.read], with: EIO, after: after)
        let again = Desk()
        let second = try again.spool(scratch) { $0.verifiedFileBytes = isVerified ? 64 << 20 : 0 }
        _ = again.wait { !$0.failed.isEmpty || !$0.opened.isEmpty }
        usleep(100_000)
        disk.work()
        #expect(again.read(second, count: 5_000).map(\.number) == Array(1...400))
        #expect(again.told.withLock { $0.quarantined.isEmpty }, "\(again.told.withLock { $0.failed })")
        #expect(
            again.told.withLock { $0.failed.allSatisfy { $0.code == .unreadable } },
            "\(again.told.withLock { $0.failed })")
        second.stop()
    }

    /// A corrupt file on a disk that also fails to read for a while: only the corrupt row is left out.
    @Test(arguments: [40, 60, 80, 120, 160] as [Int64]) func whatIsUnreadableForAWhileIsCopiedAllTheSame(after: Int64)
        throws
    {
        let scratch = Scratch()
        let disk = try FaultyDisk(scratch)
        let (spool, _) = try filled(scratch, rows: 400, padding: 1_000)
        spool.stop()
        var bytes = try Data(contentsOf: URL(fileURLWithPath: scratch.file))
        let value = try #require(bytes.range(of: Data("250....".utf8)))
        bytes.replaceSubrange(value, with: Data("251....".utf8))
        try bytes.write(to: URL(fileURLWithPath: scratch.file))
        disk.fail([.read], with: EIO, after: after, times: 2)
        let again = Desk()
        let second = try again.spool(scratch)
        #expect(again.read(second, count: 1_000).map(\.number) == (1...400).filter { $0 != 250 })
        #expect(again.told.withLock { $0.quarantined.count } == 1)
        #expect(again.told.withLock { $0.copied } == 399, "\(again.told.withLock { $0.left })")
        second.stop()
    }
}

@Suite struct PendingDeletesTests {
    /// A model of sets against the ranges, with numbers in gaps that belong to other queues.
    @Test func rangesAreWhatASetWouldBe() {
        var random = SystemRandomNumberGenerator()
        let seed = random.next()
        var generator = SeededRandom(seed: seed)
        for round in 0..<300 {
            let rows = Set((0..<60).map { _ in Int64.random(in: 1...200, using: &generator) })
            var left = rows
            var deletes = PendingDeletes(lanes: 2)
            var deleted: Set<Int64> = []
            for _ in 0..<80 {
                let number = Int64.random(in: 1...200, using: &generator)
                switch Int.random(in: 0..<10, using: &generator) {
                case 0:
                    // A row that was not stored before comes between.
                    guard !left.contains(number) else { continue }
                    left.insert(number)
                    deleted.remove(number)
                    deletes.keep(number, lane: 1)
                case 1:
                    guard let (lane, range) = deletes.first, let some = range.randomElement(using: &generator) else {
                        continue
                    }
                    let gone = left.filter { $0 >= range.lowerBound && $0 <= some }
                    deletes.committed(
                        through: some, lane: lane, SpoolTotals(rows: Int64(gone.count), bytes: Int64(gone.count) * 10))
                    left.subtract(gone)
                    deleted.subtract(gone)
                default:
                    guard left.contains(number) else { continue }
                    deletes.add(number, lane: 1, bytes: 10) { lower, upper in
                        !left.contains { $0 > lower && $0 < upper }
                    }
                    deleted.insert(number)
                }
                for number in left {
                    let isHeld = deletes.range(holding: number, lane: 1) != nil
                    #expect(isHeld == deleted.contains(number), "seed \(seed), round \(round), row \(number)")
                }
                #expect(deletes.rows == Int64(deleted.count) && deletes.isEmpty == deleted.isEmpty, "seed \(seed)")
                #expect(deletes.range(holding: number, lane: 0) == nil)
            }
        }
    }

    @Test func aDrainInOrderIsOneRangeAndTheirNumberIsBounded() {
        var deletes = PendingDeletes(lanes: 1)
        for number in stride(from: Int64(1), to: 1_000, by: 3) {
            deletes.add(number, lane: 0, bytes: 1) { _, _ in true }
        }
        #expect(deletes.first?.range == 1...997 && deletes.rows == 333)
        var many = PendingDeletes(lanes: 1)
        for number in 1...Int64(PendingDeletes.maxRanges) + 10 {
            many.add(number * 2, lane: 0, bytes: 1) { _, _ in false }
        }
        #expect(many.rows == Int64(PendingDeletes.maxRanges))
        #expect(many.range(holding: Int64(PendingDeletes.maxRanges) * 2 + 2, lane: 0) == nil)
    }
}
