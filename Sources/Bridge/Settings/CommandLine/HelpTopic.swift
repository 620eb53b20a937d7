/// Something that `help` explains and that is no command.
package struct HelpTopic: Sendable {
    package var name: String
    /// One line, without a full stop.
    package var summary: String
    /// Printed as it is.
    package var text: String

    package init(_ name: String, summary: String, text: String) {
        self.name = name
        self.summary = summary
        self.text = text
    }
}
