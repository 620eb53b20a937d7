/// Completion of a command line for bash, zsh and fish, made from the declarations of its commands.
struct CompletionScript {
    /// The shells that there is a script for.
    enum Shell: String, CaseIterable { case bash, zsh, fish }

    /// A flag as a shell has to know it.
    private struct Flag {
        var name: String
        var help: String
        var takesValue: Bool
        /// The values that there are, where they are few.
        var words: [String]
        var isFile: Bool

        var short: String? { ArgumentScanner.shortFlag(of: name) }
    }

    /// A command and what may follow it.
    private struct Level {
        var path: [String]
        var commands: [(name: String, summary: String)]
        var flags: [Flag]
    }

    private let tool: CommandLineTool
    private let levels: [Level]

    init(_ tool: CommandLineTool) {
        self.tool = tool
        levels = Self.levels(tool.commands, path: [], topics: tool.topics)
    }

    func text(_ shell: Shell) -> String {
        switch shell {
        case .bash: bash
        case .zsh: zsh
        case .fish: fish
        }
    }

    private static func levels(_ commands: [Command], path: [String], topics: [HelpTopic]) -> [Level] {
        var root = Level(
            path: path, commands: commands.filter { !$0.isHidden }.map { ($0.name, $0.summary) }, flags: [])
        var levels: [Level] = []
        if path.isEmpty {
            root.commands.append(("help", "explain a command, the settings, the exit codes"))
            root.flags = [flag("--help", "show the commands"), flag("--version", "show versions")]
            levels = [root]
            let names = commands.map { ($0.name, $0.summary) } + [("settings", "every setting")]
            levels.append(Level(path: ["help"], commands: names + topics.map { ($0.name, $0.summary) }, flags: []))
        }
        for command in commands where !command.isHidden {
            let inner = path + [command.name]
            var level = Level(
                path: inner, commands: command.subcommands.filter { !$0.isHidden }.map { ($0.name, $0.summary) },
                flags: flags(of: command))
            if let words = command.operands.first?.words { level.commands += words.map { ($0, "") } }
            levels.append(level)
            levels += Self.levels(command.subcommands, path: inner, topics: []).filter { $0.path != inner }
        }
        return levels
    }

    private static func flag(_ name: String, _ help: String) -> Flag {
        Flag(name: name, help: help, takesValue: false, words: [], isFile: false)
    }

    private static func flags(of command: Command) -> [Flag] {
        var flags = command.options.map { option in
            Flag(
                name: option.flag, help: option.help, takesValue: option.placeholder != nil,
                words: words(in: option.expected), isFile: isFile(option.placeholder))
        }
        if let use = command.settings {
            flags.append(
                Flag(
                    name: SettingsLoader.configFlag, help: "read settings from a YAML file", takesValue: true,
                    words: [],
                    isFile: true))
            flags += use.declarations.map { declaration in
                Flag(
                    name: declaration.flag, help: declaration.brief, takesValue: !declaration.isBoolean,
                    words: words(in: declaration.expected),
                    isFile: isFile(declaration.placeholder) || declaration.key.hasSuffix("File"))
            }
        }
        return flags + [flag("--help", "explain this command")]
    }

    private static func isFile(_ placeholder: String?) -> Bool {
        ["FILE", "PATH", "DIR", "DIRECTORY", "FOLDER"].contains(placeholder ?? "")
    }

    /// `one of text, json` and `some of text, json, separated by commas` → `text`, `json`.
    private static func words(in expected: String) -> [String] {
        for start in ["one of ", "some of "] where expected.hasPrefix(start) {
            return expected.dropFirst(start.count).split(separator: ",").map { $0.trimming(" ") }
                .filter { $0 != "separated by commas" }
        }
        return []
    }

    // MARK: bash

    private var bash: String {
        var text = """
            # Completion of \(tool.name) for bash: source <(\(tool.name) completions bash)
            _\(tool.name)() {
                local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} path= words= index
                for ((index = 1; index < COMP_CWORD; index++)); do
                    case "$path|${COMP_WORDS[index]}" in

            """
        for level in levels where !level.path.isEmpty {
            text += "            '\(level.path.dropLast().joined(separator: " "))|\(level.path.last ?? "")')\n"
            text += "                path='\(level.path.joined(separator: " "))' ;;\n"
        }
        text += "        esac\n    done\n    case \"$path $before\" in\n"
        for level in levels {
            for flag in level.flags where flag.takesValue {
                let values = flag.isFile ? "compgen -f" : "compgen -W '\(flag.words.joined(separator: " "))'"
                guard flag.isFile || !flag.words.isEmpty else { continue }
                let names = [flag.name, flag.short].compactMap { $0 }
                text +=
                    "        " + names.map { "'\(level.path.joined(separator: " ")) \($0)'" }.joined(separator: " | ")
                    + ")\n"
                text += "            COMPREPLY=($(\(values) -- \"$current\")); return ;;\n"
            }
        }
        text += "    esac\n    case $path in\n"
        for level in levels {
            let words = level.commands.map(\.name) + level.flags.map(\.name)
            text += "        '\(level.path.joined(separator: " "))') words='\(words.joined(separator: " "))' ;;\n"
        }
        text += """
                esac
                COMPREPLY=($(compgen -W "$words" -- "$current"))
            }
            complete -o default -F _\(tool.name) \(tool.name)

            """
        return text
    }

    // MARK: zsh

    private var zsh: String {
        var text = """
            #compdef \(tool.name)
            # Completion of \(tool.name) for zsh: \(tool.name) completions zsh > "${fpath[1]}/_\(tool.name)"
            _\(tool.name)() {
                local path_= index before=${words[CURRENT-1]}
                local -a found
                for ((index = 2; index < CURRENT; index++)); do
                    case "$path_|${words[index]}" in

            """
        for level in levels where !level.path.isEmpty {
            text += "            '\(level.path.dropLast().joined(separator: " "))|\(level.path.last ?? "")')\n"
            text += "                path_='\(level.path.joined(separator: " "))' ;;\n"
        }
        text += "        esac\n    done\n    case \"$path_ $before\" in\n"
        for level in levels {
            for flag in level.flags where flag.takesValue {
                let names = [flag.name, flag.short].compactMap { $0 }
                text +=
                    "        " + names.map { "'\(level.path.joined(separator: " ")) \($0)'" }.joined(separator: " | ")
                    + ")\n"
                if flag.isFile {
                    text += "            _files; return ;;\n"
                } else {
                    text += "            compadd -- \(flag.words.joined(separator: " ")); return ;;\n"
                }
            }
        }
        text += "    esac\n    case $path_ in\n"
        for level in levels {
            text += "        '\(level.path.joined(separator: " "))') found=(\n"
            for (name, help) in level.commands + level.flags.map({ ($0.name, $0.help) }) {
                text += "            \(Self.quoted("\(name.replacing(":", with: "\\:")):\(Self.line(help))"))\n"
            }
            text += "        ) ;;\n"
        }
        text += """
                esac
                _describe -o '\(tool.name)' found
            }
            if [ "${funcstack[1]:-}" = _\(tool.name) ]; then _\(tool.name) "$@"; else compdef _\(tool.name) \(tool.name); fi

            """
        return text
    }

    // MARK: fish

    private var fish: String {
        var text = """
            # Completion of \(tool.name) for fish: \(tool.name) completions fish > ~/.config/fish/completions/\(tool.name).fish
            function __\(tool.name)_at
                set -l words (commandline -opc)
                set -l last (math (count $argv) + 1)
                test (count $words) -ge $last; or return 1
                test $last -eq 1; or test "$words[2..$last]" = "$argv"
            end
            function __\(tool.name)_only
                set -l words (commandline -opc)
                test (count $words) -eq (math (count $argv) + 1); and __\(tool.name)_at $argv
            end
            complete -c \(tool.name) -f

            """
        for level in levels {
            let path = level.path.joined(separator: " ")
            for (name, summary) in level.commands {
                text +=
                    "complete -c \(tool.name) -n '__\(tool.name)_only \(path)' -a \(name) -d \(Self.quoted(Self.line(summary)))\n"
            }
            for flag in level.flags {
                let value = flag.takesValue ? (flag.isFile ? " -r -F" : " -x") : ""
                let words = flag.words.isEmpty ? "" : " -a '\(flag.words.joined(separator: " "))'"
                let short = flag.short.map { " -s \($0.dropFirst())" } ?? ""
                let place = level.path.isEmpty ? "__fish_use_subcommand" : "__\(tool.name)_at \(path)"
                text += "complete -c \(tool.name) -n '\(place)' -l \(flag.name.dropFirst(2))\(short)\(value)\(words) "
                text += "-d \(Self.quoted(Self.line(flag.help)))\n"
            }
        }
        return text
    }

    /// A help in one line, as short as a menu wants it.
    private static func line(_ text: String) -> String {
        String(text.replacing("\n", with: " ").prefix(80))
    }

    private static func quoted(_ text: String) -> String { "'\(text.replacing("'", with: "'\\''"))'" }
}

extension Substring {
    fileprivate func trimming(_ character: Character) -> String {
        var rest = self
        while rest.first == character { rest.removeFirst() }
        while rest.last == character { rest.removeLast() }
        return String(rest)
    }
}
