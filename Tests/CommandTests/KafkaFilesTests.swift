import Foundation
import SMSBridgeKafka
import Testing

@testable import smsbridge

/// Which files of Kafka's properties are watched, and when changed ones are read.
@Suite struct KafkaFilesTests {
    private func folder() throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("kafka-files-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }

    private func files(_ properties: [String: String]) -> KafkaFiles {
        KafkaFiles(ClientConfiguration(bootstrapServers: "", properties: properties))
    }

    @Test func everyPropertyThatNamesAFileIsWatched() {
        let named = files([
            "ssl.ca.location": "/ca", "ssl.certificate.location": "/c", "ssl.key.location": "/k",
            "ssl.crl.location": "/r",
            "ssl.keystore.location": "/s", "https.ca.location": "/h", "ssl.engine.location": "/library.so",
            "ssl.key.password": "secret", "ssl.ca.pem": "-----BEGIN", "client.id": "x",
        ])
        #expect(
            named.paths.map(\.property) == [
                "https.ca.location", "ssl.ca.location", "ssl.certificate.location", "ssl.crl.location",
                "ssl.key.location",
                "ssl.keystore.location",
            ])
        #expect(files(["ssl.ca.location": "probe"]).paths.isEmpty)
        #expect(files(["ssl.ca.location": ""]).paths.isEmpty)
    }

    @Test func aFolderOfAuthoritiesChangesWithEachOfItsFiles() throws {
        let folder = try folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        try Data("a".utf8).write(to: folder.appendingPathComponent("a.0"))
        let watched = files(["ssl.ca.location": folder.path])
        let before = watched.identities
        #expect(watched.identities == before)
        try Data("longer".utf8).write(to: folder.appendingPathComponent("a.0"))
        let after = watched.identities
        #expect(after != before)
        try Data("b".utf8).write(to: folder.appendingPathComponent("b.0"))
        #expect(watched.identities.count == after.count + 1)
    }

    @Test func aFileThatCannotBeReadIsNamed() throws {
        let missing = files(["ssl.ca.location": "/nowhere/ca.pem"]).unreadable.first
        #expect(missing?.property == "ssl.ca.location")
        #expect(missing?.path == "/nowhere/ca.pem")
        #expect(missing?.reason == "No such file or directory")
        #expect(files([:]).unreadable.isEmpty)
    }

    /// librdkafka opens each file when a client is made, and would wait for the other end of a FIFO.
    @Test func whatIsNoFileIsNamed() throws {
        let folder = try folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let fifo = folder.appendingPathComponent("fifo").path
        #expect(mkfifo(fifo, 0o600) == 0)
        let unreadable = files([
            "ssl.ca.location": folder.path, "ssl.certificate.location": folder.path, "ssl.key.location": fifo,
            "ssl.crl.location": "/dev/zero",
        ]).unreadable
        #expect(
            unreadable.map { "\($0.property): \($0.reason)" } == [
                "ssl.certificate.location: it is a directory, not a file",
                "ssl.crl.location: it is a device, not a file", "ssl.key.location: it is a FIFO, not a file",
            ])
    }

    @Test func changedFilesAreReadOnceTheyHaveSettledAndUntilTheyAreUsed() throws {
        let folder = try folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appendingPathComponent("file").path
        func identities() -> [FileIdentity?] { [FileIdentity(path)] }
        let missing = identities()
        #expect(missing == [nil])
        try Data("1".utf8).write(to: URL(fileURLWithPath: path))
        let first = identities()
        var changes = FileChanges(inUse: first)
        func isDue(_ now: [FileIdentity?], isChanged: Bool = false) -> Bool { changes.isDue(now, isChanged: isChanged) }
        #expect(!isDue(first))
        try Data("two".utf8).write(to: URL(fileURLWithPath: path))
        let second = identities()
        #expect(!isDue(second), "it may be in the middle of being written")
        #expect(isDue(second))
        #expect(isDue(second), "what could not be read is read again")
        changes.use(second)
        #expect(!isDue(second))
        #expect(changes.areInUse(second))
        #expect(isDue(second, isChanged: true))
        #expect(!isDue(missing))
        #expect(isDue(missing))
        #expect(!isDue(second), "back to what is in use")
    }
}
