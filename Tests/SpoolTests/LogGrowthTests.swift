import Foundation
import Testing

@testable import SMSBridgeSpool

/// The write-ahead log stays small, whatever the transactions: on a full disk it must find its room again.
struct LogGrowthTests {
    private func size(_ path: String) -> Int {
        (try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int) ?? 0
    }

    private func commit(_ store: SpoolStore, _ body: () throws -> Void) throws {
        try store.beginTransaction()
        try body()
        try store.commit()
        try store.tidy()
    }

    /// A transaction writes whole pages: a small record costs the log several of them.
    @Test func smallTransactionsAreCarriedOver() throws {
        let scratch = Scratch()
        try FileManager.default.createDirectory(atPath: scratch.path, withIntermediateDirectories: true)
        let store = try SpoolStore(path: scratch.file, laneNames: ["a", "b"])
        defer { store.close() }
        var largest = 0
        for number in 1...3_000 {
            try commit(store) { try store.insert(record("event \(number)"), number: Int64(number)) }
            largest = max(largest, size(scratch.file + "-wal"))
        }
        for number in 1...3_000 {
            try commit(store) { try store.delete(lane: 0, number: Int64(number)) }
            largest = max(largest, size(scratch.file + "-wal"))
        }
        #expect(largest < 5 << 20, "\(largest) bytes of log")
        // Empty again, the file has given its pages back.
        #expect(size(scratch.file) < 1 << 20, "\(size(scratch.file)) bytes of file")
        #expect(size(scratch.file + "-wal") == 0)
    }

    /// To open what is there writes nothing: a full disk refuses writes.
    @Test func openingWritesNothingToTheFile() throws {
        let scratch = Scratch()
        try FileManager.default.createDirectory(atPath: scratch.path, withIntermediateDirectories: true)
        let store = try SpoolStore(path: scratch.file, laneNames: ["a"])
        try commit(store) { try store.insert(record("event", padding: 10_000), number: 1) }
        store.close()
        let before = try Data(contentsOf: URL(fileURLWithPath: scratch.file))
        let again = try SpoolStore(path: scratch.file, laneNames: ["a"])
        #expect(size(scratch.file + "-wal") == 0)
        #expect(try again.read(lane: 0, after: 0, count: 10, bytes: 1 << 20).count == 1)
        again.close()
        #expect(try Data(contentsOf: URL(fileURLWithPath: scratch.file)) == before)
    }

    /// What is to be stored meanwhile waits for one part at most.
    @Test func pagesAreGivenBackInParts() throws {
        let scratch = Scratch()
        try FileManager.default.createDirectory(atPath: scratch.path, withIntermediateDirectories: true)
        let store = try SpoolStore(path: scratch.file, laneNames: ["a"])
        defer { store.close() }
        try commit(store) {
            for number in 1...4_000 { try store.insert(record("event", padding: 3_500), number: Int64(number)) }
        }
        try store.beginTransaction()
        for number in 1...4_000 { try store.delete(lane: 0, number: Int64(number)) }
        try store.commit()
        var free = try store.freePages()
        #expect(free > 3_000)
        var parts = 0
        while store.isShrinkDue {
            try store.tidy()
            let left = try store.freePages()
            #expect(free - left <= SpoolStore.shrinkPages)
            free = left
            parts += 1
        }
        #expect(free == 0 && parts >= 6, "\(parts) parts, \(free) pages left")
        #expect(size(scratch.file) < 1 << 20)
        #expect(size(scratch.file + "-wal") == 0)
    }

    @Test func anIdleSpoolGivesItsPagesBackByItself() throws {
        let scratch = Scratch()
        let desk = Desk()
        let spool = try desk.spool(scratch)
        let numbers = 1...Int64(4_000)
        #expect(spool.submit(numbers.map { .insert(record("event", padding: 3_500), number: $0, token: UInt64($0)) }))
        #expect(desk.wait { $0.durable.count == 4_000 })
        #expect(size(scratch.file) > 8 << 20)
        #expect(spool.submit(numbers.map { .delete(lane: 0, number: $0) }))
        #expect(desk.wait { _ in size(scratch.file) < 1 << 20 && size(scratch.file + "-wal") == 0 })
        spool.stop()
    }
}
