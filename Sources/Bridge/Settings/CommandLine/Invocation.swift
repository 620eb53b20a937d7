/// A command line that is right in every part.
package struct Invocation: Sendable {
    /// The command and its subcommand: `["topics", "create"]`.
    package let path: [String]
    /// The arguments that are not flags.
    package let operands: [String]
    /// The settings, for commands that read them.
    package let settings: LoadedSettings?
    let values: [String: [String]]
    let definition: Command

    /// Whether the command needs the private key of the public port.
    package var readsServerKey: Bool { definition.settings?.readsServerKey ?? false }

    /// Runs the command.
    ///
    /// - Returns: The exit code.
    package func run() -> Int32 {
        guard let body = definition.body, let settings else { return CommandLineTool.wrongUsage }
        return body(self, settings)
    }

    /// The command: `topics create`.
    package var command: String { path.joined(separator: " ") }

    /// The option's value: as given, else its default, else nil. The last one counts.
    package func value<Value>(of option: CommandOption<Value>) -> Value? {
        values[option.flag]?.last.flatMap(option.read) ?? option.standard
    }

    /// All values of an option that may be repeated.
    package func values<Value>(of option: CommandOption<Value>) -> [Value] {
        values[option.flag]?.compactMap(option.read) ?? (option.standard.map { [$0] } ?? [])
    }

    /// Whether a switch was given.
    package func isOn(_ option: CommandOption<Bool>) -> Bool { value(of: option) ?? false }

    /// Whether the option was given at all.
    package func isGiven(_ option: any CommandOptionDeclaration) -> Bool { values[option.flag] != nil }
}

/// What a command line asks for.
package enum CommandLineOutcome: Sendable {
    /// A command to run.
    case run(Invocation)
    /// A text for standard output (a help, a version); then exit with 0.
    case print(String)
    /// A text for standard error; then exit with the code (2).
    case fail(String, exitCode: Int32)
}
