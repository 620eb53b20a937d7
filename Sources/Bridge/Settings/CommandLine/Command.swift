/// A command of the tool: what it takes, and what its help says.
package struct Command: Sendable {
    /// How a command is called, with what that does.
    package struct Example: Sendable {
        package var says: String
        package var line: String

        /// - Parameters:
        ///   - says: what the line does.
        ///   - line: the whole line, ready to paste.
        package init(_ says: String, _ line: String) {
            self.says = says
            self.line = line
        }
    }

    /// An argument that is not a flag.
    package struct Operand: Sendable {
        package var name: String
        package var help: String
        package var isRequired: Bool
        package var repeats: Bool
        /// The values that there are; nil for any.
        package var words: [String]?

        package init(
            _ name: String, help: String, isRequired: Bool = true, repeats: Bool = false, words: [String]? = nil
        ) {
            self.words = words
            self.name = name
            self.help = help
            self.isRequired = isRequired
            self.repeats = repeats
        }
    }

    /// The settings that a command reads.
    package struct SettingsUse: Sendable {
        /// What the command cannot do without.
        package var needs: SettingsNeeds
        /// The sections whose flags the command takes (`http`, `kafka`); nil: all. File and environment are read and
        /// checked as a whole, but for `auth` and `kafka` where the command does not use them.
        package var sections: [String]?
        /// Whether it is to be able to read the private key of the public port.
        package var readsServerKey: Bool

        package init(needs: SettingsNeeds, sections: [String]? = nil, readsServerKey: Bool = false) {
            self.needs = needs
            self.sections = sections
            self.readsServerKey = readsServerKey
        }

        var declarations: [Declaration] {
            Declaration.all.filter { sections?.contains($0.section) ?? true }
        }
    }

    package var name: String
    /// One line, without a full stop.
    package var summary: String
    /// More, in paragraphs; lines are printed as they are.
    package var discussion: String
    package var operands: [Operand]
    package var options: [any CommandOptionDeclaration]
    package var settings: SettingsUse?
    package var examples: [Example]
    /// With subcommands a command does nothing itself.
    package var subcommands: [Command]
    /// Left out of the list of commands.
    package var isHidden: Bool

    /// What the command does; nil for one with subcommands.
    let body: (@Sendable (Invocation, LoadedSettings) -> Int32)?

    /// A command that does something.
    ///
    /// - Parameter body: Runs it, and returns the exit code. Not called for a command that reads no settings.
    package init(
        _ name: String, summary: String, discussion: String = "", operands: [Operand] = [],
        options: [any CommandOptionDeclaration] = [], settings: SettingsUse? = nil, examples: [Example] = [],
        isHidden: Bool = false, body: @escaping @Sendable (Invocation, LoadedSettings) -> Int32
    ) {
        self.name = name
        self.summary = summary
        self.discussion = discussion
        self.operands = operands
        self.options = options
        self.settings = settings
        self.examples = examples
        subcommands = []
        self.isHidden = isHidden
        self.body = body
    }

    /// A command with subcommands.
    package init(_ name: String, summary: String, subcommands: [Command]) {
        self.name = name
        self.summary = summary
        self.subcommands = subcommands
        discussion = ""
        operands = []
        options = []
        examples = []
        isHidden = false
        body = nil
    }
}
