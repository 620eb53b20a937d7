/// The command line of a tool: its commands, its help, its version.
package struct CommandLineTool: Sendable {
    /// Exit code when a command line or the settings are wrong.
    package static let wrongUsage: Int32 = 2

    package var name: String
    /// One line, without a full stop.
    package var summary: String
    /// What `--version` prints.
    package var version: String
    package var commands: [Command]
    /// What `help` explains besides commands and settings.
    package var topics: [HelpTopic]
    /// The width of help texts, in characters.
    package var columns = 100

    /// - Parameter topics: what `help` explains besides commands and settings. A command `completions` is added.
    package init(name: String, summary: String, version: String, commands: [Command], topics: [HelpTopic] = []) {
        self.topics = topics
        self.name = name
        self.summary = summary
        self.version = version
        self.commands = commands + [Self.completions(name)]
    }

    private static func completions(_ name: String) -> Command {
        let shells = CompletionScript.Shell.allCases.map(\.rawValue)
        return Command(
            "completions", summary: "Print a script that completes this command line in a shell",
            operands: [.init("shell", help: shells.joined(separator: ", "), words: shells)],
            examples: [
                .init("in bash, for this session", "source <(\(name) completions bash)"),
                .init("in zsh, for good", "\(name) completions zsh > \"${fpath[1]}/_\(name)\""),
                .init("in fish, for good", "\(name) completions fish > ~/.config/fish/completions/\(name).fish"),
            ]
        ) { _, _ in Self.wrongUsage }
    }

    /// Reads a command line and, for a command that wants them, the settings.
    ///
    /// - Parameters:
    ///   - arguments: without the program's own name.
    ///   - environment: of the process, for the settings.
    package func parse(_ arguments: [String], environment: [String: String]) -> CommandLineOutcome {
        guard let first = arguments.first else {
            return .fail(help(for: [], nil), exitCode: Self.wrongUsage)
        }
        if first == "--help" || first == "-h" { return .print(help(for: [], nil)) }
        if first == "--version" { return .print(versionText) }
        if first == "help" { return explain(Array(arguments.dropFirst())) }
        var path: [String] = []
        var level = commands
        var rest = arguments[...]
        var found: Command?
        while let word = rest.first, !level.isEmpty {
            if word.hasPrefix("-") { break }
            guard let command = level.first(where: { $0.name == word }) else {
                return unknownCommand(word, in: level, path)
            }
            found = command
            path.append(word)
            level = command.subcommands
            rest.removeFirst()
        }
        let flags = rest.prefix { $0 != "--" }
        if flags.contains("--help") || flags.contains("-h") { return .print(help(for: path, found)) }
        if flags.contains("--version") { return .print(versionText) }
        guard let command = found else {
            let text = "unknown flag \(shown(first)): the command comes first, then its flags"
            return failure([text], path: [])
        }
        if !command.subcommands.isEmpty {
            return failure(
                [
                    "\(path.joined(separator: " ")) needs one of: "
                        + command.subcommands.map(\.name).joined(separator: ", ")
                ], path: path)
        }
        return run(command, path, rest, environment)
    }

    private func run(
        _ command: Command, _ path: [String], _ arguments: ArraySlice<String>, _ environment: [String: String]
    ) -> CommandLineOutcome {
        var known: [String: ArgumentScanner.Kind] = [:]
        var elsewhere: [String: String] = [:]
        var synonyms: [String: String] = [:]
        if let use = command.settings {
            known[SettingsLoader.configFlag] = .value
            synonyms = SettingsLoader.flagSynonyms
            let taken = Set(use.declarations.map(\.key))
            for declaration in Declaration.all {
                if taken.contains(declaration.key) {
                    known[declaration.flag] = declaration.isBoolean ? .boolean : .value
                } else {
                    elsewhere[declaration.flag] =
                        "is no flag of \(path.joined(separator: " ")), which does not use \(declaration.key)"
                }
            }
            synonyms = synonyms.filter { known[$0.value] != nil }
        }
        for option in command.options { known[option.flag] = option.placeholder == nil ? .boolean : .value }
        var scanner = ArgumentScanner(known: known, elsewhere: elsewhere, synonyms: synonyms)
        scanner.scan(arguments)

        var problems = scanner.problems
        var values: [String: [String]] = [:]
        var settingFlags: [FlagOccurrence] = []
        let options = Dictionary(uniqueKeysWithValues: command.options.map { ($0.flag, $0) })
        for flag in scanner.flags {
            guard let option = options[flag.name] else {
                settingFlags.append(flag)
                continue
            }
            if let wrong = option.problem(with: flag.value) {
                problems.append(SettingProblem(key: nil, place: .flag(flag.name), message: wrong))
            }
            if values[flag.name] != nil, !option.repeats {
                problems.append(SettingProblem(key: nil, place: .flag(flag.name), message: "given more than once"))
            }
            values[flag.name, default: []].append(flag.value)
        }
        for option in command.options where option.isRequired && values[option.flag] == nil {
            let form = "\(option.flag) \(option.placeholder ?? "")"
            problems.append(SettingProblem(key: nil, place: .standard, message: "\(form) is required: \(option.help)"))
        }
        problems += wrongOperands(scanner.operands, of: command, switches: known)

        for (operand, value) in zip(command.operands, scanner.operands) {
            guard let words = operand.words, !words.contains(value) else { continue }
            let near = nearestName(to: value, among: words).map { "; did you mean \($0)?" } ?? ""
            problems.append(
                SettingProblem(
                    key: nil, place: .standard,
                    message:
                        "<\(operand.name)>: expected one of \(words.joined(separator: ", ")), found \(quoted(value))\(near)"
                ))
        }
        if problems.isEmpty, path == ["completions"],
            let shell = scanner.operands.first.flatMap(CompletionScript.Shell.init)
        {
            return .print(CompletionScript(self).text(shell))
        }

        var settings: LoadedSettings?
        if let use = command.settings {
            var loader = SettingsLoader(
                environment: environment, flags: settingFlags, needs: use.needs, sections: use.sections)
            loader.flagProblems = problems
            do throws(SettingsFailure) {
                settings = try loader.load()
            } catch {
                return failure(error.problems.map(\.description), warnings: error.warnings, path: path)
            }
        } else if !problems.isEmpty {
            return failure(problems.map(\.description), path: path)
        }
        return .run(
            Invocation(
                path: path, operands: scanner.operands, settings: settings, values: values, definition: command))
    }

    private func wrongOperands(
        _ operands: [String], of command: Command, switches: [String: ArgumentScanner.Kind]
    ) -> [SettingProblem] {
        var messages: [String] = []
        let required = command.operands.count { $0.isRequired }
        if operands.count < required {
            messages += command.operands.filter(\.isRequired).dropFirst(operands.count).map {
                "<\($0.name)> is missing: \($0.help)"
            }
        }
        if operands.count > command.operands.count, command.operands.last?.repeats != true {
            for operand in operands.dropFirst(command.operands.count) {
                let hint =
                    operand == "true" || operand == "false"
                    ? ": the value of a switch follows an equals sign, as in --flag=\(operand)" : ""
                messages.append("unexpected argument \(quoted(operand))\(hint)")
            }
        }
        return messages.map { SettingProblem(key: nil, place: .standard, message: $0) }
    }

    private func explain(_ topic: [String]) -> CommandLineOutcome {
        if topic.first == "settings" {
            switch topic.dropFirst().first {
            case nil: return .print(SettingsReference.plainText())
            case "--markdown": return .print(SettingsReference.markdown())
            case "--yaml": return .print(SettingsReference.exampleFile())
            case let other?:
                return failure(["unknown flag \(shown(other)): help settings takes --markdown or --yaml"], path: [])
            }
        }
        if topic == ["--man"] { return .print(ManualPage(tool: self).text) }
        if topic.count == 1, let known = topics.first(where: { $0.name == topic[0] }) {
            return .print(known.text.hasSuffix("\n") ? known.text : known.text + "\n")
        }
        if topic.count == 1, !commands.contains(where: { $0.name == topic[0] }),
            let near = nearestName(to: topic[0], among: topics.map(\.name) + ["settings"])
        {
            return failure(["there is no help on \(quoted(topic[0])): did you mean \(near)?"], path: [])
        }
        var level = commands
        var found: Command?
        var path: [String] = []
        for word in topic where word != "--help" && word != "-h" {
            guard let command = level.first(where: { $0.name == word }) else {
                return unknownCommand(word, in: level, path)
            }
            found = command
            path.append(word)
            level = command.subcommands
        }
        return .print(help(for: path, found))
    }

    private func unknownCommand(_ word: String, in level: [Command], _ path: [String]) -> CommandLineOutcome {
        let near = nearestName(to: word, among: level.map(\.name)).map { ": did you mean \($0)?" }
        let list = level.filter { !$0.isHidden }.map(\.name).joined(separator: ", ")
        return failure(["unknown command \(quoted(word))\(near ?? "; there are: \(list)")"], path: path)
    }

    /// - Parameter warnings: problems that may explain an error: a misspelt name leaves its setting unset.
    private func failure(_ problems: [String], warnings: [String] = [], path: [String]) -> CommandLineOutcome {
        let subject = ([name] + path).joined(separator: " ")
        var text = ""
        if problems.count == 1 {
            text = "\(subject): \(problems[0])\n"
        } else {
            text = "\(subject): \(problems.count) problems\n" + problems.map { "  \($0)\n" }.joined()
        }
        text += warnings.map { "warning: \($0)\n" }.joined()
        return .fail(text + "See '\(subject) --help'.\n", exitCode: Self.wrongUsage)
    }

    private func shown(_ text: String) -> String { String(quoted(text).dropFirst().dropLast()) }

    private var versionText: String { version.hasSuffix("\n") ? version : version + "\n" }
}
