import Foundation
import Testing

/// Which of the settings a command reads, and where relative paths begin.
struct SettingsUseTests {
    /// A configuration whose secrets cannot be read, as a person's who is not the bridge's user.
    private func unreadable(_ folder: TemporaryFolder) throws -> String {
        let path = folder.path + "/smsbridge.yaml"
        try """
        kafka: {bootstrapServers: "127.0.0.1:1"}
        auth: {header: {secretsFile: /nowhere/webhook-secret}}
        spool: {path: spool}
        """.write(toFile: path, atomically: true, encoding: .utf8)
        return path
    }

    @Test(arguments: [
        ["replay", "--dry-run", "--from", "earliest"], ["dlt", "list", "--group", "crm"], ["tail"],
        ["topics", "create"],
        ["topics", "list"], ["lag", "--group", "crm"], ["quarantine", "list"], ["spool", "status"],
    ])
    func whoAuthenticatesNobodyReadsNoWebhookSecret(command: [String]) throws {
        let folder = try TemporaryFolder()
        let run = try smsbridge(command + ["--config", try unreadable(folder)])
        #expect(run.exitCode == 1 || command[0] == "spool", "\(run.errors)")
        #expect(run.exitCode != 2 && !run.errors.contains("secret"), "\(run.errors)")
    }

    @Test(arguments: [["serve"], ["check"], ["config", "check"], ["templates"], ["simulate", "--duration", "1s"]])
    func whoNeedsItSaysWhereItIs(command: [String]) throws {
        let folder = try TemporaryFolder()
        let run = try smsbridge(command + ["--config", try unreadable(folder)])
        #expect(run.exitCode == 2 && run.errors.contains("cannot read /nowhere/webhook-secret"), "\(run.errors)")
    }

    /// Kafka's password is none of the spool's.
    @Test func theSpoolNeedsNoKafka() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/smsbridge.yaml"
        try "kafka: {propertyFiles: {sasl.password: /nowhere/password}}\nspool: {path: spool}"
            .write(toFile: path, atomically: true, encoding: .utf8)
        let run = try smsbridge(["spool", "status", "--config", path])
        #expect(run.exitCode != 2 && !run.errors.contains("password"), "\(run.errors)")
        let other = try smsbridge(["tail", "--config", path])
        #expect(other.exitCode == 2 && other.errors.contains("cannot read /nowhere/password"), "\(other.errors)")
    }

    @Test func pathsOfTheFileBeginAtItsFolder() throws {
        let folder = try TemporaryFolder()
        try FileManager.default.createDirectory(atPath: folder.path + "/secrets", withIntermediateDirectories: true)
        try "a-secret-0123456789".write(
            toFile: folder.path + "/secrets/webhook", atomically: true, encoding: .utf8)
        let path = folder.path + "/smsbridge.yaml"
        func write(_ secret: String) throws {
            try """
            kafka:
              bootstrapServers: "127.0.0.1:1"
              properties: {security.protocol: ssl, ssl.ca.location: ca.pem}
            auth: {header: {secretsFile: \(secret)}}
            spool: {path: ./spool}
            """.write(toFile: path, atomically: true, encoding: .utf8)
        }
        try write("secrets/webhook")
        let missing = try smsbridge(["config", "check", "--config", path])
        #expect(missing.exitCode == 2, "\(missing.errors)")
        #expect(missing.errors.contains("cannot read \(folder.path)/ca.pem: No such file"), "\(missing.errors)")
        try "".write(toFile: folder.path + "/ca.pem", atomically: true, encoding: .utf8)
        #expect(try smsbridge(["config", "check", "--config", path]).exitCode == 0)
        let shown = try smsbridge(["config", "show", "--config", path])
        #expect(
            shown.output.contains("\(folder.path)/spool") && shown.output.contains("\(folder.path)/secrets/webhook"))
        try write("./nothing")
        let wrong = try smsbridge(["config", "check", "--config", path])
        #expect(wrong.errors.contains("cannot read \(folder.path)/nothing: No such file"), "\(wrong.errors)")
        // Of the environment and of flags they begin where the command is run.
        let flag = try smsbridge(["config", "check", "--auth-header-secrets-file", "no-such-file"])
        #expect(flag.errors.contains("cannot read \(FileManager.default.currentDirectoryPath)/no-such-file"))
        let file = try smsbridge(["serve", "--config", "no-such-file.yaml"])
        #expect(file.errors.contains("cannot read \(FileManager.default.currentDirectoryPath)/no-such-file.yaml"))
    }

    @Test func templatesWithoutAuthenticationNameTheFlag() throws {
        let run = try smsbridge(["templates", "--url", "https://sms.example.com"])
        #expect(run.exitCode == 2 && run.output.isEmpty, "\(run.output)")
        #expect(run.errors.contains("--auth-header-secrets-file") && run.errors.contains("--auth-none"))
        let none = try smsbridge(["templates", "--url", "https://sms.example.com", "--auth-none"])
        #expect(none.exitCode == 0 && none.output.contains("https://sms.example.com/webhooks/reply"))
    }

    @Test func developmentModeAndStrictContradict() throws {
        let run = try smsbridge(
            ["config", "check", "--durability-strict", "--durability-development", "--auth-none", "-b", "a:1"])
        #expect(run.exitCode == 2 && run.errors.contains("durability.development"), "\(run.errors)")
    }
}
