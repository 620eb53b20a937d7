import Foundation
import Testing

@testable import smsbridge

struct ShellCommandTests {
    @Test func noSecretIsShown() {
        let text = ShellCommand.text([
            "smsbridge", "replay", "--kafka-properties", "sasl.password=hidden-1",
            "--kafka-properties=ssl.key.password=hidden-2",
            "--kafka-properties", "sasl.username=bridge", "--auth-header-secrets", "hidden-3",
            "--auth-path-secrets=hidden-4",
            "--kafka-properties", "sasl.oauthbearer.config=hidden-5", "--from", "2h",
        ])
        #expect(!text.contains("hidden"), "\(text)")
        #expect(
            text == "smsbridge replay --kafka-properties 'sasl.password=…' '--kafka-properties=ssl.key.password=…' "
                + "--kafka-properties sasl.username=bridge --auth-header-secrets '…' '--auth-path-secrets=…' "
                + "--kafka-properties 'sasl.oauthbearer.config=…' --from 2h")
    }

    @Test func aShellReadsTheSameWords() throws {
        let words = [
            "replay", "", " ", "a b", "it's", "''", "$HOME", "`id`", "*", "~", "a;b", "a&b|c", "\\", "\"", "!x", "#x",
            "=ls", "{a,b}",
            "(x)", "<y>", "new\nline", "tab\t", "-x", "a[1]?", "ä…",
        ]
        let shell = Process()
        shell.executableURL = URL(fileURLWithPath: "/bin/sh")
        shell.arguments = ["-c", "printf '%s\\0' " + ShellCommand.text(words)]
        let output = Pipe()
        shell.standardOutput = output
        try shell.run()
        let bytes = output.fileHandleForReading.readDataToEndOfFile()
        shell.waitUntilExit()
        let read = bytes.split(separator: 0, omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
        #expect(read.dropLast() == words[...])
    }
}
