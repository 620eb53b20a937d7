import Foundation
import SMSBridgeFiles
import Testing

@Suite struct AccessFailureTests {
    private func withFolder(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("files-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try body(folder.path)
    }

    @Test func deniedPermissionNamesTheUserAndTheOwnerAndMode() throws {
        try withFolder { folder in
            let file = folder + "/secret"
            #expect(FileManager.default.createFile(atPath: file, contents: nil))
            #expect(chmod(file, 0o600) == 0)
            let (user, group) = (geteuid(), getegid())
            #expect(
                accessFailure(file, EACCES) == "Permission denied (running as uid \(user), gid \(group); "
                    + "owner is uid \(user), gid \(group), mode 600)")
        }
    }

    @Test func whatIsNotThereIsDescribedByTheFolderAboveIt() throws {
        try withFolder { folder in
            #expect(chmod(folder, 0o700) == 0)
            let text = accessFailure(folder + "/a/b", EACCES)
            #expect(text.contains("owner of \(folder) is uid \(geteuid()), "), "\(text)")
            #expect(text.hasSuffix("mode 700)"), "\(text)")
        }
    }

    @Test func otherReasonsStayAsTheyAre() {
        #expect(accessFailure("/nowhere", ENOENT) == "No such file or directory")
    }
}
