/// The manual page, in the man macros of roff, made from the declarations of the commands.
struct ManualPage {
    let tool: CommandLineTool

    var text: String {
        let version = tool.version.prefix { $0 != "\n" }
        var text = ".TH \(tool.name.uppercased()) 1 \"\" \"\(Self.escaped(String(version)))\" \"User commands\"\n"
        text +=
            ".SH NAME\n\(tool.name) \\- \(Self.escaped(tool.summary.prefix(1).lowercased() + tool.summary.dropFirst()))\n"
        text += ".SH SYNOPSIS\n.B \(tool.name)\n.I command\n.RI [ options ]\n"
        text += ".SH COMMANDS\n"
        for command in tool.commands where !command.isHidden { text += section(command, path: []) }
        for topic in tool.topics {
            text += ".SH \(topic.name.replacing("-", with: " ").uppercased())\n" + Self.literal(topic.text)
        }
        text += ".SH SETTINGS\n" + Self.literal(SettingsReference.plainText())
        return text
    }

    private func section(_ command: Command, path: [String]) -> String {
        let path = path + [command.name]
        guard command.subcommands.isEmpty else {
            return command.subcommands.filter { !$0.isHidden }.map { section($0, path: path) }.joined()
        }
        var text = ".SS \(Self.escaped(path.joined(separator: " ")))\n\(Self.escaped(command.summary)).\n"
        if !command.discussion.isEmpty { text += ".PP\n" + Self.literal(command.discussion) }
        for operand in command.operands {
            text += ".TP\n.I \(Self.escaped(operand.name))\n\(Self.escaped(operand.help))\n"
        }
        for option in command.options {
            let short = ArgumentScanner.shortFlag(of: option.flag).map { Self.escaped($0) + " \", \" " } ?? ""
            text += ".TP\n.BR \(short)\(Self.escaped(option.flag))"
            if let placeholder = option.placeholder { text += " \" \" \\fI\(Self.escaped(placeholder))\\fR" }
            let standard = option.defaultText.map { " (default: \($0))" } ?? ""
            text += "\n\(Self.escaped(option.help + standard))\n"
        }
        if let use = command.settings {
            let sections = use.sections.map { $0.joined(separator: ", ") } ?? "every section"
            text += ".PP\nTakes the flags of settings: \(Self.escaped(sections)).\n"
        }
        for example in command.examples {
            text += ".PP\n\(Self.escaped(example.says.prefix(1).uppercased() + example.says.dropFirst())):\n"
            text += ".PP\n" + Self.literal("    " + example.line)
        }
        return text
    }

    /// Lines as they are.
    private static func literal(_ text: String) -> String {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { escaped(String($0)) }
        return ".nf\n" + lines.joined(separator: "\n").trimmingNewlines() + "\n.fi\n"
    }

    /// A hyphen is to be copied as one; a line may not begin like a request.
    private static func escaped(_ text: String) -> String {
        let plain = text.replacing("\\", with: "\\e").replacing("-", with: "\\-")
        return plain.hasPrefix(".") || plain.hasPrefix("'") ? "\\&" + plain : plain
    }
}

extension String {
    fileprivate func trimmingNewlines() -> String {
        var text = self
        while text.hasSuffix("\n") { text.removeLast() }
        return text
    }
}
