import Foundation
import Testing

/// The completions, loaded in the shells that this machine has.
struct CompletionTests {
    /// Where a shell is; nil where there is none.
    private static func path(of shell: String) -> String? {
        ["/bin", "/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"].map { "\($0)/\(shell)" }
            .first(where: FileManager.default.isExecutableFile(atPath:))
    }

    private func run(_ shell: String, _ script: String, _ arguments: [String] = []) throws -> String {
        let path = try #require(Self.path(of: shell))
        // From a file: Linux takes no argument of more than 128 KiB.
        let folder = try TemporaryFolder()
        defer { withExtendedLifetime(folder) {} }
        let file = folder.path + "/script"
        try Data(script.utf8).write(to: URL(fileURLWithPath: file))
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments + [file]
        process.environment = [
            "PATH": program.deletingLastPathComponent().path + ":/usr/bin:/bin", "HOME": "/nonexistent",
        ]
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let bytes = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// What is typed, and what must and must not be offered.
    private static let cases: [(typed: [String], offered: [String], not: String)] = [
        (["se"], ["serve"], "check"), (["spool", ""], ["status", "list", "export", "drain"], "serve"),
        (["serve", "--log-l"], ["--log-level"], "--http-port"),
        (["serve", "--log-level", ""], ["warning", "error"], "serve"),
        (["completions", ""], ["bash", "zsh", "fish"], "serve"),
        (["simulate", "--gen"], ["--generations"], "--http-port"),
        (["tail", "--type", ""], ["delivery-status", "reply", "quarantine"], "--from"),
        (["simulate", "--types", "rep"], ["reply"], "delivery-status"),
        (["config", ""], ["init", "check", "show"], "serve"),
        (["topics", "create", "--topics-p"], ["--topics-partitions", "--topics-prefix"], "--url"),
    ]

    private func check(_ answers: [String], in shell: String) {
        #expect(answers.count == Self.cases.count)
        for (answer, wanted) in zip(answers, Self.cases) {
            let words = Set(answer.split(separator: " ").map(String.init))
            #expect(words.isSuperset(of: wanted.offered), "\(shell), \(wanted.typed): \(answer)")
            #expect(!words.contains(wanted.not), "\(shell), \(wanted.typed): \(answer)")
        }
    }

    @Test(.enabled(if: path(of: "bash") != nil, "bash is not installed"))
    func bashOffersWhatFits() throws {
        let script = try smsbridge(["completions", "bash"]).output
        let tries = Self.cases.map { "try " + $0.typed.map { "'\($0)'" }.joined(separator: " ") }.joined(
            separator: "\n")
        let all =
            script + """

                try() { COMP_WORDS=(smsbridge "$@"); COMP_CWORD=$#; COMPREPLY=(); _smsbridge; echo "${COMPREPLY[*]}"; }
                \(tries)
                """
        let output = try run("bash", all, ["--norc"])
        check(output.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(String.init), in: "bash")
    }

    @Test(.enabled(if: path(of: "fish") != nil, "fish is not installed"))
    func fishOffersWhatFits() throws {
        let script = try smsbridge(["completions", "fish"]).output
        let tries = Self.cases.map {
            "echo (complete -C 'smsbridge \($0.typed.joined(separator: " "))' | cut -f1)"
        }.joined(separator: "\n")
        let output = try run("fish", script + "\n" + tries, ["--no-config"])
        check(output.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(String.init), in: "fish")
    }

    /// Without a terminal zsh completes nothing: what `_smsbridge` hands over is looked at.
    @Test(.enabled(if: path(of: "zsh") != nil, "zsh is not installed"))
    func zshIsHandedWhatFits() throws {
        let script = try smsbridge(["completions", "zsh"]).output
        let tries = Self.cases.map { "try " + $0.typed.map { "'\($0)'" }.joined(separator: " ") }.joined(
            separator: "\n")
        let all = """
            compdef() { : }
            \(script)
            _describe() { local word; for word in "${found[@]}"; do print -rn -- "${word%%:*} "; done }
            compadd() { shift; print -rn -- "$* " }
            _files() { print -rn -- "files " }
            try() { words=(smsbridge "$@"); CURRENT=$(( $# + 1 )); _smsbridge; print }
            \(tries)
            """
        let output = try run("zsh", all, ["-f"])
        // The shell itself leaves out what does not begin with what was typed.
        let answers = zip(
            output.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(String.init), Self.cases
        ).map { answer, wanted in
            answer.split(separator: " ").filter { $0.hasPrefix(wanted.typed.last ?? "") }.joined(separator: " ")
        }
        check(answers, in: "zsh")
    }

    @Test func theManualPageHasEveryCommandAndNoLineThatIsARequestByChance() throws {
        let page = try smsbridge(["help", "--man"]).output
        let known = [".TH", ".SH", ".SS", ".TP", ".PP", ".BR", ".RI", ".B", ".I", ".nf", ".fi"]
        for line in page.split(separator: "\n") where line.hasPrefix(".") || line.hasPrefix("'") {
            #expect(known.contains(String(line.prefix { $0 != " " })), "\(line)")
        }
        for name in [
            ".SS serve", ".SS topics create", ".SS spool drain", ".SS templates", ".SH EXIT CODES", "http.port",
        ] {
            #expect(page.contains(name), "\(name)")
        }
    }

    @Test(arguments: ["exit-codes", "output", "connections", "control-panel", "settings"])
    func everyTopicIsExplainedAndListed(topic: String) throws {
        let run = try smsbridge(["help", topic])
        #expect(run.exitCode == 0 && run.output.count > 400 && run.errors.isEmpty)
        #expect(try smsbridge(["--help"]).output.contains("help \(topic)"))
    }
}
