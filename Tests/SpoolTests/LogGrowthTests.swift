import Foundation
import Testing

@testable import Spool

/// The write-ahead log stays small, whatever the transactions: on a full disk it must find its room again.
struct LogGrowthTests {
    private func size(_ path: String) -> Int {
        (try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int) ?? 0
    }

    private func commit(_ store: SpoolStore, _ body: () throws -> Void) throws {
        try store.beginTransaction()
        try body()
        try store.commit()
        store.tidy()
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
}
