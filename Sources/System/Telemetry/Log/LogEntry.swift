/// A line before it is text, for another log's format.
package struct LogEntry: Sendable {
    package let level: LogLevel
    /// The part of the program that speaks.
    package let label: String
    package let message: String
    package let fields: LogFields

    /// The line for a person at a terminal: `warning: message name=value`.
    package var plainText: String { LogLine.plainText(self) }
}
