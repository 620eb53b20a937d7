import Foundation
import SMSBridgeTestSupport
import Synchronization
import Testing

@testable import SMSBridgeSpool

/// Damage within the write-ahead log, which SQLite takes for the log's end, against what a crash leaves.
@Suite struct WriteAheadLogTests {
    private static let header = 32
    private static let frame = 24 + 4_096

    /// A spool as a crash leaves it: its file and its log, taken while it was open.
    private struct Crashed {
        let file: Data
        let log: Data
        /// The frames that end a transaction, by index.
        let commits: [Int]

        var frames: Int { (log.count - header) / frame }
    }

    /// - Parameters:
    ///   - rows: each a transaction of its own.
    ///   - earlier: rows of a log that was carried over before, whose frames stand behind the end.
    private func crashed(
        rows: Int, earlier: Int = 0, earlierPadding: Int = 0, padding: Int = 0
    ) throws -> Crashed {
        let scratch = Scratch()
        try FileManager.default.createDirectory(atPath: scratch.path, withIntermediateDirectories: true)
        if earlier > 0 {
            let before = try crashed(rows: earlier, padding: earlierPadding)
            try before.file.write(to: URL(fileURLWithPath: scratch.file))
            try before.log.write(to: URL(fileURLWithPath: scratch.file + "-wal"))
        }
        // To open a spool carries a log over that is there, and the next transaction begins it anew.
        let store = try SpoolStore(path: scratch.file, laneNames: ["a", "b"])
        defer { store.close() }
        for number in (earlier + 1)...(earlier + rows) {
            try store.beginTransaction()
            try store.insert(record("row \(number)", padding: padding), number: Int64(number))
            try store.commit()
        }
        let log = try Data(contentsOf: URL(fileURLWithPath: scratch.file + "-wal"))
        let salts = log[16..<24]
        let count = (log.count - Self.header) / Self.frame
        let commits = (0..<count).filter { index in
            let start = Self.header + index * Self.frame
            return log[(start + 8)..<(start + 16)] == salts && log[(start + 4)..<(start + 8)] != Data(count: 4)
        }
        return Crashed(
            file: try Data(contentsOf: URL(fileURLWithPath: scratch.file)), log: log, commits: commits)
    }

    private func finding(_ log: Data) throws -> WriteAheadLog.Finding {
        let scratch = Scratch()
        try FileManager.default.createDirectory(atPath: scratch.path, withIntermediateDirectories: true)
        let path = scratch.path + "/log"
        try log.write(to: URL(fileURLWithPath: path))
        return try WriteAheadLog.check(path)
    }

    private func damaged(_ log: Data, at offset: Int, _ count: Int = 1) -> Data {
        var log = [UInt8](log)
        for index in offset..<min(log.count, offset + count) { log[index] ^= 0x5A }
        return Data(log)
    }

    @Test func aWholeLogIsSoundAndSoIsNone() throws {
        let crashed = try crashed(rows: 20)
        #expect(try finding(crashed.log) == .sound)
        #expect(try finding(Data()) == .sound)
        #expect(try WriteAheadLog.check("/nowhere/log") == .sound)
    }

    @Test func aLogThatIsCutAnywhereIsSound() throws {
        let crashed = try crashed(rows: 6)
        for index in 0...crashed.frames {
            let boundary = Self.header + index * Self.frame
            for length in [-25, -24, -23, -9, -8, -1, 0, 1, 7, 8, 9, 23, 24, 25, 2_000].map({ boundary + $0 })
            where (0...crashed.log.count).contains(length) {
                #expect(try finding(crashed.log.prefix(length)) == .sound, "cut at \(length)")
                // Room that was given to the file, and never written.
                let zeroes = crashed.log.prefix(length) + Data(count: 3 * Self.frame)
                #expect(try finding(zeroes) == .sound, "zeroes from \(length)")
                let garbage = Data((0..<(3 * Self.frame)).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ length) })
                #expect(try finding(crashed.log.prefix(length) + garbage) == .sound, "garbage from \(length)")
            }
        }
        for length in 0...(Self.header + 40) { #expect(try finding(crashed.log.prefix(length)) == .sound) }
    }

    /// Frames of the log before this one have other salts.
    @Test func aLogThatBeganAgainIsSound() throws {
        let crashed = try crashed(rows: 3, earlier: 30)
        #expect(crashed.commits.count == 3)
        #expect(crashed.frames > crashed.commits[2] + 20, "there are old frames behind the end")
        #expect(try finding(crashed.log) == .sound)
        // The last transaction torn, with old frames behind it.
        let last = Self.header + crashed.commits[2] * Self.frame
        #expect(try finding(damaged(crashed.log, at: last + 100)) == .sound)
        // Damage is found there, too.
        #expect(try finding(damaged(crashed.log, at: Self.header + 100)) == .corrupt(frame: 0))
    }

    /// After a loss of power any sector of the transaction that was being written can be the one of an older log.
    @Test(arguments: [0, 1_500, 3_000]) func aLastTransactionWrittenInAnyOrderIsSound(padding: Int) throws {
        let older = try crashed(rows: 150, padding: padding)
        // Long enough for headers that lie in two sectors, as that of frame 41 does.
        let crashed = try crashed(rows: 2, earlier: 150, earlierPadding: padding, padding: 250_000)
        let begin = Self.header + (crashed.commits[0] + 1) * Self.frame
        let end = Self.header + (crashed.commits[1] + 1) * Self.frame
        #expect(crashed.commits.count == 2 && (crashed.commits[0]..<crashed.commits[1]).contains(105))
        let sectors = (begin / 512 + 1)..<(end / 512)
        var random = SeededRandom(seed: UInt64(padding) + 1)
        for round in 0..<600 {
            var log = [UInt8](crashed.log)
            for sector in sectors {
                // One sector alone, or ever more of them.
                let isLost =
                    round < 100
                    ? sector == sectors.lowerBound + round * sectors.count / 100 : random.next() % 600 < UInt64(round)
                guard isLost else { continue }
                let range = (sector * 512)..<(sector * 512 + 512)
                let old =
                    range.upperBound <= older.log.count ? [UInt8](older.log[range]) : [UInt8](repeating: 0, count: 512)
                log.replaceSubrange(range, with: old)
            }
            #expect(try finding(Data(log)) == .sound, "round \(round)")
        }
        // Every header of two sectors, with either of them lost.
        for index in (crashed.commits[0] + 1)...crashed.commits[1] {
            let start = Self.header + index * Self.frame
            guard start % 512 > 512 - 24 else { continue }
            for sector in [start / 512, start / 512 + 1] {
                var log = [UInt8](crashed.log)
                let range = (sector * 512)..<(sector * 512 + 512)
                log.replaceSubrange(range, with: [UInt8](repeating: 0x77, count: 512))
                #expect(try finding(Data(log)) == .sound, "frame \(index)")
            }
        }
    }

    @Test func corruptionBeforeTheLastTransactionsIsFoundWhereverItIs() throws {
        let crashed = try crashed(rows: 12, padding: 5_000)
        // What hits the end of the last transaction but one cannot be told from its successor's beginning.
        for index in 0...crashed.commits[crashed.commits.count - 3] {
            let start = Self.header + index * Self.frame
            for (offset, count) in [(0, Self.frame), (0, 4), (4, 4), (8, 8), (16, 8), (24, 512), (2_000, 1)] {
                #expect(
                    try finding(damaged(crashed.log, at: start + offset, count)) == .corrupt(frame: index),
                    "\(index) \(offset)")
            }
        }
        #expect(try finding(damaged(crashed.log, at: Self.header + 4_000, 16_384)) == .corrupt(frame: 0))
        // Without its header SQLite sees no log at all.
        #expect(try finding(damaged(crashed.log, at: 0, 4)) == .corrupt(frame: 0))
        #expect(try finding(damaged(crashed.log, at: 16, 8)) == .corrupt(frame: 0))
        #expect(try finding(damaged(crashed.log, at: 0, 4_096)) == .corrupt(frame: 0))
    }

    @Test func aSpoolWithACorruptLogIsQuarantinedAndWhatIsReadableGoesOn() throws {
        let crashed = try crashed(rows: 40)
        let scratch = Scratch()
        try FileManager.default.createDirectory(atPath: scratch.path, withIntermediateDirectories: true)
        try crashed.file.write(to: URL(fileURLWithPath: scratch.file))
        let broken = crashed.commits[20]
        let log = damaged(crashed.log, at: Self.header + broken * Self.frame + 500, 100)
        try log.write(to: URL(fileURLWithPath: scratch.file + "-wal"))

        let desk = Desk()
        let spool = try desk.spool(scratch)
        desk.insert(spool, record("new"), number: 1_000)
        let quarantined = try #require(desk.told.withLock { $0.quarantined.first })
        #expect(desk.told.withLock { $0.quarantined.count } == 1)
        #expect(FileManager.default.contents(atPath: quarantined + "-wal") == log, "the evidence stays as it was")
        let numbers = desk.read(spool, count: 100).map(\.number)
        #expect(numbers.last == 1_000)
        #expect(numbers.dropLast() == Array(1...Int64(numbers.count - 1))[...], "from the first row to the damage")
        #expect((15...25).contains(numbers.count))
        spool.stop()
        let file = try SpoolFile(quarantined)
        defer { file.close() }
        #expect(file.corruption.contains { $0.contains("log") })
    }

    @Test func aSpoolWithATornLogIsOpenedAsItIs() throws {
        let crashed = try crashed(rows: 40)
        let scratch = Scratch()
        try FileManager.default.createDirectory(atPath: scratch.path, withIntermediateDirectories: true)
        try crashed.file.write(to: URL(fileURLWithPath: scratch.file))
        try crashed.log.dropLast(1_000).write(to: URL(fileURLWithPath: scratch.file + "-wal"))
        let desk = Desk()
        let spool = try desk.spool(scratch)
        #expect(desk.wait { !$0.opened.isEmpty })
        #expect(desk.told.withLock { $0.quarantined.isEmpty && $0.opened[0].next == 40 })
        spool.stop()
    }
}
