internal import Synchronization

/// Where log lines go: a queue of bounded length and one thread that writes.
///
/// A caller never waits for the reader of the log, nor dies of its absence: when standard error is a full pipe, lines
/// gather up to the bounds and are then dropped; when it is closed, they are dropped at once. Drops are counted, and a
/// line says how many as soon as lines can be written again.
package final class LogSink: Sendable {
    private enum Destination: Sendable {
        case thread(LogWriter)
        case closure(@Sendable (String) -> Void)
        case entries(@Sendable (LogEntry) -> Void)
        case nowhere
    }

    private let destination: Destination
    private let format: LogFormat
    private let minimum: Atomic<Int>

    /// A sink that writes to a descriptor, of which it keeps a duplicate.
    ///
    /// - Parameters:
    ///   - descriptor: standard error by default.
    ///   - format: `auto` is text on a terminal and JSON otherwise.
    ///   - level: lines below it are not written.
    ///   - maximumLines: the most lines that wait to be written.
    ///   - maximumBytes: the most bytes that wait to be written.
    package init(
        descriptor: Int32 = 2, format: LogFormat = .auto, level: LogLevel = .info, maximumLines: Int = 10_000,
        maximumBytes: Int = 1 << 20
    ) {
        let format = format == .auto ? (LogWriter.isTerminal(descriptor) ? .text : .json) : format
        self.format = format
        minimum = Atomic(level.order)
        destination = .thread(
            LogWriter(
                descriptor: descriptor, maximumLines: maximumLines, maximumBytes: maximumBytes,
                dropLine: { count in
                    LogLine.build(
                        format, at: LogLine.now(), level: .warning, label: "", message: "log lines dropped",
                        fields: ["count": count])
                }))
    }

    /// A sink that hands every line, without its newline, to a closure on the caller's thread. For tests.
    package init(format: LogFormat = .text, level: LogLevel = .trace, lines: @escaping @Sendable (String) -> Void) {
        self.format = format == .auto ? .text : format
        minimum = Atomic(level.order)
        destination = .closure(lines)
    }

    /// A sink that hands every line to a closure on the caller's thread before it is text: the way into another
    /// log, which says how lines look and must not block.
    package init(level: LogLevel, entries: @escaping @Sendable (LogEntry) -> Void) {
        format = .text
        minimum = Atomic(level.order)
        destination = .entries(entries)
    }

    private init() {
        format = .text
        minimum = Atomic(Int.max)
        destination = .nowhere
    }

    /// A sink that writes nothing.
    package static let discarding = LogSink()

    deinit {
        if case .thread(let writer) = destination { writer.close() }
    }

    /// Says whether lines of this level are written.
    package func isEnabled(_ level: LogLevel) -> Bool {
        level.order >= minimum.load(ordering: .relaxed)
    }

    /// Changes the level from now on.
    package func setLevel(_ level: LogLevel) {
        if case .nowhere = destination { return }
        minimum.store(level.order, ordering: .relaxed)
    }

    /// The lines that were lost so far: there was no room, or they could not be written.
    package var dropped: UInt64 {
        if case .thread(let writer) = destination { writer.droppedLines } else { 0 }
    }

    /// Waits until every line handed over so far is written or lost, or the time is up. Meant for the end of a process;
    /// one caller at a time.
    ///
    /// - Returns: false when the time was up.
    @discardableResult
    package func flush(timeout: Duration) -> Bool {
        if case .thread(let writer) = destination { writer.flush(timeout: timeout) } else { true }
    }

    /// Adds `<prefix>_log_dropped_total` to a registry.
    package func addMetrics(to registry: MetricRegistry, prefix: String = "smsbridge") {
        let counter = registry.counter(
            prefix + "_log_dropped_total", help: "Log lines that could not be written and were dropped.")
        guard case .thread(let writer) = destination else { return }
        registry.collect { counter.raise(to: writer.droppedLines) }
    }

    /// A sink that writes to this one, and hands entries at or above a level to a closure on the caller's thread first.
    ///
    /// - Parameters:
    ///   - level: Entries below it are not handed over.
    ///   - observe: Gets an entry; must not block.
    package func observed(from level: LogLevel, _ observe: @escaping @Sendable (LogEntry) -> Void) -> LogSink {
        LogSink(level: LogLevel.allCases.first { isEnabled($0) || $0.order >= level.order } ?? level) { entry in
            if entry.level.order >= level.order { observe(entry) }
            guard self.isEnabled(entry.level) else { return }
            self.write(entry.level, label: entry.label, message: entry.message, fields: entry.fields)
        }
    }

    func write(_ level: LogLevel, label: String, message: String, fields: LogFields) {
        let line: () -> [UInt8] = { [format] in
            LogLine.build(format, at: LogLine.now(), level: level, label: label, message: message, fields: fields)
        }
        switch destination {
        case .thread(let writer): writer.append(line())
        case .closure(let take): take(String(decoding: line().dropLast(), as: UTF8.self))
        case .entries(let take): take(LogEntry(level: level, label: label, message: message, fields: fields))
        case .nowhere: break
        }
    }
}
