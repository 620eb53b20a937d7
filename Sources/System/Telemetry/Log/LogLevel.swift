/// How much a line matters.
package enum LogLevel: String, Sendable, CaseIterable, Comparable {
    /// What happens inside, step by step; for a developer.
    case trace
    /// What helps to find a fault.
    case debug
    /// What an operator wants to see in ordinary times: starts, stops, changes.
    case info
    /// Something is not as it should be, and the service goes on.
    case warning
    /// Something failed that a person must look at.
    case error

    var order: Int {
        switch self {
        case .trace: 0
        case .debug: 1
        case .info: 2
        case .warning: 3
        case .error: 4
        }
    }

    package static func < (left: LogLevel, right: LogLevel) -> Bool { left.order < right.order }
}

/// How lines look.
package enum LogFormat: String, Sendable, CaseIterable {
    /// Text on a terminal, JSON otherwise.
    case auto
    /// logfmt: `time=2026-01-02T03:04:05.678Z level=info logger=kafka message="…" name=value`
    case text
    /// One JSON object per line: `time`, `level`, `message`, `logger`, then the fields.
    case json
}
