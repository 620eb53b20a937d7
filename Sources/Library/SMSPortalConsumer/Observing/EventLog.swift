internal import SMSBridgeTelemetry

/// Where the log lines of a consumer go.
public struct EventLog: Sendable {
    /// How much a line matters.
    public enum Level: Sendable {
        /// What helps to find a fault.
        case debug
        /// Starts, stops, changes of the assignment.
        case info
        /// Something is not as it should be, and the service goes on.
        case warning
        /// Something failed that a person must look at.
        case error
    }

    let sink: LogSink

    /// Standard error: text on a terminal, one JSON object per line otherwise. A line never makes a handler wait: when
    /// the reader is too slow, lines are dropped and counted.
    ///
    /// - Parameter level: Lines below it are not written.
    public static func standardError(level: Level = .info) -> EventLog {
        EventLog(sink: LogSink(level: level.level))
    }

    /// Every line, as text without its end, to a closure, on the writing thread.
    ///
    /// - Parameters:
    ///   - level: Lines below it are not written.
    ///   - take: Takes a line; must not block.
    public static func lines(level: Level = .info, _ take: @escaping @Sendable (String) -> Void) -> EventLog {
        EventLog(sink: LogSink(level: level.level, lines: take))
    }

    /// Nowhere.
    public static let none = EventLog(sink: .discarding)
}

extension EventLog.Level {
    fileprivate var level: LogLevel {
        switch self {
        case .debug: .debug
        case .info: .info
        case .warning: .warning
        case .error: .error
        }
    }
}
