import FoundationEssentials
import SMSBridgeSettings
import SMSBridgeTelemetry

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// How the commands speak: results on standard output, everything else on standard error.
enum Output {
    /// Writes a line to standard output. A reader that has gone (`| head`) ends the process quietly.
    static func line(_ text: String) { write(text + "\n", to: STDOUT_FILENO) }

    static func text(_ text: String) { write(text, to: STDOUT_FILENO) }

    static func error(_ text: String) { write(text, to: STDERR_FILENO) }

    /// Whether standard output is a terminal that shows colours; `NO_COLOR` turns them off (no-color.org).
    static var isColoured: Bool {
        let environment = ProcessInfo.processInfo.environment
        return isatty(STDOUT_FILENO) == 1 && environment["NO_COLOR", default: ""].isEmpty
            && environment["TERM"] != "dumb"
    }

    /// The width of help texts: that of the terminal, within readable bounds.
    static var columns: Int {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 100 }
        return min(100, max(40, Int(size.ws_col)))
    }

    /// Writes a table: columns as wide as their widest cell, the last one as it is.
    static func table(_ rows: [[String]]) {
        guard let first = rows.first else { return }
        let widths = first.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        for row in rows {
            let cells = row.indices.map { column in
                column == row.count - 1
                    ? row[column] : row[column] + String(repeating: " ", count: widths[column] - row[column].count)
            }
            line(cells.joined(separator: "  "))
        }
    }

    /// Writes to standard output as it is.
    static func bytes(_ bytes: [UInt8]) { write(bytes, to: STDOUT_FILENO) }

    private static func write(_ text: String, to descriptor: Int32) { write(Array(text.utf8), to: descriptor) }

    private static func write(_ bytes: [UInt8], to descriptor: Int32) {
        guard let code = attempt(bytes, to: descriptor) else { return }
        if descriptor == STDOUT_FILENO {
            let reason = String(cString: strerror(code))
            _ = attempt(Array("smsbridge: cannot write standard output: \(reason)\n".utf8), to: STDERR_FILENO)
        }
        exit(ExitCode.failure)
    }

    /// Writes all of it. A reader that has gone (`| head`) ends the process quietly.
    ///
    /// - Returns: nil, or what went wrong, as `errno` has it.
    static func attempt(_ bytes: [UInt8], to descriptor: Int32) -> Int32? {
        var rest = bytes[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { systemWrite(descriptor, $0.baseAddress, $0.count) }
            if written < 0 {
                let code = errno
                if code == EINTR { continue }
                if code == EAGAIN {
                    // Another process that shares the terminal or pipe has made it non-blocking, and the reader is
                    // slow.
                    var readiness = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    _ = poll(&readiness, 1, -1)
                    continue
                }
                // As a shell reports a process that SIGPIPE ended.
                if descriptor == STDOUT_FILENO, code == EPIPE { exit(141) }
                return code
            }
            rest = rest.dropFirst(written)
        }
        return nil
    }

    private static func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
        #if canImport(Glibc)
        Glibc.write(descriptor, bytes, count)
        #else
        Darwin.write(descriptor, bytes, count)
        #endif
    }

    /// The log as the settings want it.
    static func logger(_ log: BridgeSettings.Log, registry: MetricRegistry? = nil) -> Logger {
        let sink = LogSink(
            format: LogFormat(rawValue: log.format.rawValue) ?? .auto,
            level: LogLevel(rawValue: log.level.rawValue) ?? .info)
        if let registry { sink.addMetrics(to: registry) }
        return Logger(sink: sink)
    }

    /// A log for a command that speaks to a person: lines of text between its own, warnings and above unless the
    /// settings ask for more.
    static func messages(of command: String, _ log: BridgeSettings.Log) -> Logger {
        let level = LogLevel(rawValue: log.level.rawValue) ?? .info
        return Logger(
            sink: LogSink(level: level == .info ? .warning : level) { entry in
                Output.error("\(command): \(entry.plainText)\n")
            })
    }
}

/// What a process ends with.
enum ExitCode {
    static let success: Int32 = 0
    /// The work could not be done.
    static let failure: Int32 = 1
    /// The command line or the settings are wrong.
    static let usage: Int32 = 2
    /// A part of a file is damaged or malformed; the rest of it was processed.
    static let damaged: Int32 = 3
    /// Interrupted, or records remain: the same command resumes.
    static let incomplete: Int32 = 4
    /// Events lie behind an open transaction: the same command finds them when it has ended.
    static let openTransaction: Int32 = 5
    /// A part of what was asked for has been deleted.
    static let deleted: Int32 = 6
}
