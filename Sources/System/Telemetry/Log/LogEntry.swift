/// A line before it is text, for a log of somebody else's making.
package struct LogEntry: Sendable {
    package let level: LogLevel
    /// The part of the program that speaks.
    package let label: String
    package let message: String
    package let fields: LogFields
}
