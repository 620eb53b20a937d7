extension CommandLineTool {
    /// The help of the tool, or of one of its commands.
    func help(for path: [String], _ command: Command?) -> String {
        guard let command else { return overview() }
        let subject = ([name] + path).joined(separator: " ")
        var text = "\(subject): \(command.summary)\n\nUsage: \(subject)"
        if !command.subcommands.isEmpty { text += " <command>" }
        if !command.options.isEmpty || command.settings != nil { text += " [options]" }
        for operand in command.operands {
            let name = "<\(operand.name)>" + (operand.repeats ? "…" : "")
            text += operand.isRequired ? " \(name)" : " [\(name)]"
        }
        text += "\n"
        if !command.discussion.isEmpty { text += "\n\(wrapping.block(command.discussion))\n" }
        if !command.subcommands.isEmpty {
            text += "\nCommands:\n"
            text += table(command.subcommands.filter { !$0.isHidden }.map { ($0.name, $0.summary) })
        }
        if !command.operands.isEmpty {
            text += "\nArguments:\n" + table(command.operands.map { ("<\($0.name)>", $0.help) })
        }
        var options = command.options.map { option -> (String, String) in
            let standard = option.defaultText.map { " (default: \($0))" } ?? ""
            let repeats = option.repeats ? " (may be repeated)" : ""
            let required = option.isRequired ? " (required)" : ""
            return (
                Self.names(of: option.flag) + (option.placeholder.map { " " + $0 } ?? ""),
                option.help + required + repeats + standard
            )
        }
        if command.settings != nil {
            options.append(
                ("-c, --config FILE", "read settings from a YAML file (or \(SettingsLoader.configVariable))"))
        }
        options.append(("--help", "show this"))
        text += "\nOptions:\n" + table(options)
        if let use = command.settings {
            text += "\nSettings, each also by environment or in the file (see '\(name) help settings'):\n"
            let standard = BridgeSettings()
            text += table(
                use.declarations.map { declaration in
                    let placeholder = declaration.isBoolean ? "" : " " + declaration.placeholder
                    let shown = declaration.show(standard)
                    let note = shown.isEmpty ? "" : " (default: \(shown))"
                    return (Self.names(of: declaration.flag) + placeholder, declaration.brief + note)
                })
        }
        if !command.examples.isEmpty {
            text += command.examples.count == 1 ? "\nExample:\n" : "\nExamples:\n"
            for example in command.examples {
                text += "  # \(example.says)\n  \(wrapping.command(example.line, indent: 2))\n"
            }
        }
        return text
    }

    private func overview() -> String {
        var text = "\(name): \(summary)\n\nUsage: \(name) <command> [options]\n\nCommands:\n"
        text += table(
            commands.filter { !$0.isHidden }.map { ($0.name, $0.summary) } + [
                ("help <command>", "explain a command"), ("help settings", "explain every setting"),
            ] + topics.map { ("help \($0.name)", $0.summary) } + [("help --man", "all of it as a manual page")])
        text += "\nOptions:\n" + table([("--version", "show versions"), ("--help", "show this")])
        if let example = commands.lazy.compactMap(\.examples.first).first {
            text += "\nExample:\n  # \(example.says)\n  \(wrapping.command(example.line, indent: 2))\n"
        }
        return text
    }

    private var wrapping: TextWrapping { TextWrapping(columns: columns) }

    /// `-n, --count`, or the flag alone.
    private static func names(of flag: String) -> String {
        ArgumentScanner.shortFlag(of: flag).map { "\($0), \(flag)" } ?? flag
    }

    /// Two columns; a long left one has a line of its own.
    private func table(_ rows: [(String, String)]) -> String {
        let width = min(28, rows.map(\.0.count).max() ?? 0)
        return rows.map { left, right in
            let gap = left.count <= width ? String(repeating: " ", count: width - left.count + 2) : nil
            let text = wrapping.paragraph(right, first: width + 4, indent: width + 4)
            return "  " + left + (gap ?? "\n" + String(repeating: " ", count: width + 4)) + text + "\n"
        }.joined()
    }
}

extension Declaration {
    /// The placeholder of the value in a help text.
    var placeholder: String {
        switch form {
        case .single: typeName.split(separator: " ").last.map { $0.uppercased() } ?? "VALUE"
        case .list: "VALUE,…"
        case .map: "NAME=VALUE"
        }
    }

    /// The documentation's first sentence, without Markdown.
    var brief: String {
        let plain = documentation.replacing("`", with: "")
        guard let end = plain.firstRange(of: ". ") else {
            return plain.hasSuffix(".") ? String(plain.dropLast()) : plain
        }
        return String(plain[..<end.lowerBound])
    }
}
