#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

extension EventConsumer.Configuration {
    /// Reads a configuration from the environment variables of the process:
    ///
    /// | variable | property |
    /// |---|---|
    /// | `KAFKA_BOOTSTRAP_SERVERS` | ``bootstrapServers``; required |
    /// | `KAFKA_GROUP` | ``group``; default: the parameter |
    /// | `KAFKA_TOPIC_PREFIX` | ``topicPrefix``; default: `smsportal` |
    /// | `KAFKA_PROPERTIES_FILE` | ``kafkaProperties``: a file with one `name=value` per line; blank lines and lines that begin with `#` are skipped |
    ///
    /// An empty variable counts as missing. A file that cannot be read is a problem of the configuration, reported by
    /// ``problems()`` and ``EventConsumer/run()``; values of properties are never part of a message.
    ///
    /// - Parameter group: The consumer group unless `KAFKA_GROUP` is set.
    public static func fromEnvironment(group: String) -> Self {
        fromEnvironment(group: group) { name in getenv(name).map { String(cString: $0) } }
    }

    static func fromEnvironment(group: String, _ variable: (String) -> String?) -> Self {
        func value(_ name: String) -> String? { variable(name).flatMap { $0.isEmpty ? nil : $0 } }
        var configuration = Self(
            bootstrapServers: value("KAFKA_BOOTSTRAP_SERVERS") ?? "", group: value("KAFKA_GROUP") ?? group)
        if let prefix = value("KAFKA_TOPIC_PREFIX") { configuration.topicPrefix = prefix }
        guard let path = value("KAFKA_PROPERTIES_FILE") else { return configuration }
        let text: String
        switch contents(of: path) {
        case .read(let contents): text = contents
        case .failed(let error):
            configuration.environmentProblems.append(
                "KAFKA_PROPERTIES_FILE: '\(path)' cannot be read: \(String(cString: strerror(error)))")
            return configuration
        }
        for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            let line = trimmed(line)
            if line.isEmpty || line.hasPrefix("#") { continue }
            let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(trimmed)
            guard parts.count == 2, !parts[0].isEmpty else {
                configuration.environmentProblems.append(
                    "KAFKA_PROPERTIES_FILE: '\(path)', line \(index + 1): expected name=value")
                continue
            }
            configuration.kafkaProperties[String(parts[0])] = String(parts[1])
        }
        return configuration
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }

    private enum FileContents {
        case read(String)
        /// With the system's error number.
        case failed(Int32)
    }

    private static func contents(of path: String) -> FileContents {
        guard let file = fopen(path, "r") else { return .failed(errno) }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        return withUnsafeTemporaryAllocation(byteCount: 4_096, alignment: 1) { buffer in
            while true {
                let count = fread(buffer.baseAddress, 1, buffer.count, file)
                let error = errno
                if count > 0 { bytes.append(contentsOf: buffer[..<count]) }
                if ferror(file) != 0 { return .failed(error) }
                if count == 0 { return .read(String(decoding: bytes, as: UTF8.self)) }
            }
        }
    }
}
