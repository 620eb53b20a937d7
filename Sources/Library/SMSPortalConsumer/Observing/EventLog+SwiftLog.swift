#if SwiftLog
public import Logging
internal import SMSBridgeTelemetry

extension EventLog {
    /// With the package trait `SwiftLog`: every line to a logger of swift-log, its fields as metadata.
    ///
    /// Lines below the level that the logger has now are not made. The `source` of a line is `SMSPortalConsumer.consumer`,
    /// or `SMSPortalConsumer.handler` for what a handler writes with ``EventContext/log``. A number or text of a
    /// subscriber is in no line of the library's own.
    ///
    /// - Parameter logger: Its handler is called on the threads that write lines, and must not block.
    public static func logger(_ logger: Logging.Logger) -> EventLog {
        EventLog(
            sink: LogSink(level: LogLevel(logger.logLevel)) { entry in
                logger.log(
                    level: entry.level.ofSwiftLog, "\(entry.message)", metadata: entry.fields.metadata,
                    source: "SMSPortalConsumer.\(entry.label)")
            })
    }
}

extension LogLevel {
    /// The least of ours that a logger of this level writes. Critical is above all of ours: the logger itself refuses.
    fileprivate init(_ level: Logging.Logger.Level) {
        switch level {
        case .trace: self = .trace
        case .debug: self = .debug
        case .info: self = .info
        case .notice, .warning: self = .warning
        case .error, .critical: self = .error
        }
    }

    fileprivate var ofSwiftLog: Logging.Logger.Level {
        switch self {
        case .trace: .trace
        case .debug: .debug
        case .info: .info
        case .warning: .warning
        case .error: .error
        }
    }
}

extension LogFields {
    /// A name that comes twice gets underscores, as in the lines that are JSON.
    fileprivate var metadata: Logging.Logger.Metadata {
        var metadata: Logging.Logger.Metadata = [:]
        for (name, value) in pairs {
            var name = name
            while metadata[name] != nil { name += "_" }
            metadata[name] =
                switch value {
                case .text(let text): .string(text)
                case .integer(let number): .stringConvertible(number)
                case .unsigned(let number): .stringConvertible(number)
                case .number(let number): .stringConvertible(number)
                case .flag(let flag): .stringConvertible(flag)
                case .list(let items): .array(items.map { .string($0) })
                }
        }
        return metadata
    }
}
#endif
