import CSQLite
import Foundation
import HTTPServer
import Kafka
import SMSPortalConsumer
import SMSPortalConsumerSQLite
import SMSPortalEvents
import SMSPortalTesting
import Settings
import Synchronization
import Telemetry
import Testing
import Threads

/// The service's own database, through its own module map.
final class Replies: Sendable {
    private let path: String

    init(path: String) throws {
        self.path = path
        try execute("CREATE TABLE replies (id TEXT PRIMARY KEY, text TEXT NOT NULL)")
    }

    func execute(_ sql: String) throws {
        var database: OpaquePointer?
        defer { sqlite3_close_v2(database) }
        guard sqlite3_open(path, &database) == SQLITE_OK, sqlite3_exec(database, sql, nil, nil, nil) == SQLITE_OK else {
            throw CocoaError(.fileWriteUnknown)
        }
    }

    func count() throws -> Int {
        var database: OpaquePointer?
        var statement: OpaquePointer?
        defer {
            sqlite3_finalize(statement)
            sqlite3_close_v2(database)
        }
        guard sqlite3_open(path, &database) == SQLITE_OK,
            sqlite3_prepare_v2(database, "SELECT count(*) FROM replies", -1, &statement, nil) == SQLITE_OK,
            sqlite3_step(statement) == SQLITE_ROW
        else { throw CocoaError(.fileReadUnknown) }
        return Int(sqlite3_column_int64(statement, 0))
    }
}

@Test func ownTargetsUnderPlainNamesAndTheConsumerLibraryWorkTogether() async throws {
    #expect([HTTPServer.name, Kafka.name, Settings.name, Telemetry.name, Threads.name].allSatisfy { $0 == "own" })
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("plain-names-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let replies = try Replies(path: folder.appendingPathComponent("replies.db").path)
    let processed = try SQLiteProcessedEvents(path: folder.appendingPathComponent("processed.db").path)
    let handled = Atomic<Int>(0)

    let bridge = try await TestBridge()
    var configuration = bridge.configuration(group: "plain-names")
    configuration.processedEvents = processed
    let reply = Event.reply(.sample(text: "Yes"))
    try await bridge.publish(reply, reply)
    try await bridge.run(
        EventConsumer(configuration: configuration)
            .onReply { reply, context in
                handled.add(1, ordering: .relaxed)
                try replies.execute("INSERT INTO replies VALUES ('\(context.eventID)', 'Yes')")
            })
    processed.close()
    #expect(handled.load(ordering: .relaxed) == 1)
    #expect(try replies.count() == 1)
}
