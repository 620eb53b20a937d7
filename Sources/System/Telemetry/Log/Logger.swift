/// Writes lines to a sink under a label that says which part of the program speaks.
///
/// A call never waits: a line that finds no room is dropped and counted. Lines below the sink's level cost a comparison;
/// their message and fields are not evaluated.
package struct Logger: Sendable {
    package typealias Level = LogLevel

    /// The part of the program that speaks: `kafka`, `http`. Empty for the program itself.
    package var label: String
    package let sink: LogSink

    package init(label: String = "", sink: LogSink) {
        self.label = label
        self.sink = sink
    }

    /// The same sink under another label.
    package func labelled(_ label: String) -> Logger { Logger(label: label, sink: sink) }

    package func log(
        _ level: LogLevel, _ message: @autoclosure () -> String, _ fields: @autoclosure () -> LogFields = [:]
    ) {
        guard sink.isEnabled(level) else { return }
        sink.write(level, label: label, message: message(), fields: fields())
    }

    package func trace(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> LogFields = [:]) {
        log(.trace, message(), fields())
    }

    package func debug(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> LogFields = [:]) {
        log(.debug, message(), fields())
    }

    package func info(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> LogFields = [:]) {
        log(.info, message(), fields())
    }

    package func warning(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> LogFields = [:]) {
        log(.warning, message(), fields())
    }

    package func error(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> LogFields = [:]) {
        log(.error, message(), fields())
    }

    /// Writes a line unless the guard has let one with the same key through within its interval. The line says how many
    /// were kept back since (`suppressed`).
    package func log(
        _ level: LogLevel, onceIn guardian: RepeatGuard, key: String, _ message: @autoclosure () -> String,
        _ fields: @autoclosure () -> LogFields = [:]
    ) {
        guard sink.isEnabled(level), let suppressed = guardian.admit(key) else { return }
        var all = fields()
        if suppressed > 0 { all.append("suppressed", suppressed) }
        sink.write(level, label: label, message: message(), fields: all)
    }
}
