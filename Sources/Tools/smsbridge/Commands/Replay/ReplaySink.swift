import SMSBridgeKafka
import SMSBridgeTelemetry
import SMSBridgeThreads

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Where the records of a replay go.
protocol ReplaySink {
    /// Takes a record; may keep it for a while.
    func put(_ record: ArchiveRecord) throws(ReplayFailure)
    /// Waits until all that was taken is where it is to be, for good.
    func flush() throws(ReplayFailure)
    func close()
}

extension ReplayTimestamp {
    /// The timestamp to send a record with; a header keeps the original where it is another.
    func time(of original: Int64, _ headers: inout [ArchiveRecord.Header]) -> Int64 {
        guard self == .now else { return original }
        if !headers.contains(where: { $0.name == "replay-timestamp" }) {
            headers.append(.init(name: "replay-timestamp", value: Array("\(original)".utf8)))
        }
        return wallClockMilliseconds()
    }
}

/// Counts, and does nothing.
final class NoSink: ReplaySink {
    func put(_ record: ArchiveRecord) {}
    func flush() {}
    func close() {}
}

/// A topic. A record is stored when Kafka has acknowledged it.
final class TopicSink: ReplaySink {
    private let topic: String
    private let name: String?
    private let timestamp: ReplayTimestamp
    private let sender: RecordSender

    init(
        _ client: ClientConfiguration, topic: String, name: String?, timestamp: ReplayTimestamp,
        until interrupted: StopSignal
    ) throws(ReplayFailure) {
        self.topic = topic
        self.name = name
        self.timestamp = timestamp
        sender = try RecordSender(client, topics: [topic], until: interrupted)
    }

    func put(_ record: ArchiveRecord) throws(ReplayFailure) {
        var headers = record.headers
        // A record that was replayed before keeps its first origin and time.
        if let origin = record.origin, !headers.contains(where: { $0.name == "replay-of" }) {
            headers.append(.init(name: "replay-of", value: Array(origin.utf8)))
        }
        headers.removeAll { $0.name == "replay-name" }
        if let name { headers.append(.init(name: "replay-name", value: Array(name.utf8))) }
        try sender.send(
            topic: topic, key: record.key, value: record.value,
            timestamp: timestamp.time(of: record.timestamp, &headers), headers: headers)
    }

    func flush() throws(ReplayFailure) { try sender.flush() }

    func close() { sender.close() }
}

/// A file of lines, or standard output. A line is stored when it is synced.
final class FileSink: ReplaySink {
    private let path: String?
    private var descriptor = STDOUT_FILENO
    private var buffer: [UInt8] = []

    /// - Parameters:
    ///   - target: `-` for standard output.
    ///   - name: of the replay that goes on, whose file must be there: it is appended to, behind its last whole line.
    ///     nil for one that begins: its file is not there, or empty.
    init(_ target: String, goesOn name: String?) throws(ReplayFailure) {
        path = target == "-" ? nil : target
        guard let path else { return }
        descriptor = open(path, O_RDWR | O_CLOEXEC | (name == nil ? O_CREAT : 0), 0o600)
        guard descriptor >= 0 else {
            if errno == ENOENT, let name {
                throw ReplayFailure(
                    message:
                        "--to-file: \(path) is not there, and \(name) has begun in it: restore it, or start again under another --name"
                )
            }
            throw failure()
        }
        do throws(ReplayFailure) {
            if name == nil { try begin(path) } else { try cut() }
        } catch {
            close()
            throw error
        }
    }

    /// An existing file is kept; an empty one may be left over from a replay that could not start.
    private func begin(_ path: String) throws(ReplayFailure) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure() }
        guard status.st_mode & S_IFMT == S_IFREG, status.st_size == 0 else {
            throw ReplayFailure(message: "--to-file: \(path) exists: choose another name, or remove it")
        }
        guard fchmod(descriptor, 0o600) == 0 else { throw failure() }
    }

    /// Takes away the piece of a line that a crash has left at the end.
    private func cut() throws(ReplayFailure) {
        var end = lseek(descriptor, 0, SEEK_END)
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        search: while end > 0 {
            let size = Int(min(end, off_t(chunk.count)))
            let count = chunk.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, size, end - off_t(size)) }
            guard count == size else { throw failure() }
            for index in stride(from: size - 1, through: 0, by: -1) where chunk[index] == 10 {
                end += off_t(index + 1 - size)
                break search
            }
            end -= off_t(size)
        }
        guard ftruncate(descriptor, end) == 0, lseek(descriptor, end, SEEK_SET) == end else { throw failure() }
    }

    private func failure(_ code: Int32 = errno) -> ReplayFailure {
        let reason = String(cString: strerror(code))
        return ReplayFailure(message: "--to-file: cannot write \(path ?? "standard output"): \(reason)")
    }

    func put(_ record: ArchiveRecord) throws(ReplayFailure) {
        record.append(to: &buffer)
        if buffer.count >= 1 << 18 { try write() }
    }

    private func write() throws(ReplayFailure) {
        defer { buffer.removeAll(keepingCapacity: true) }
        if let code = Output.attempt(buffer, to: descriptor) { throw failure(code) }
    }

    func flush() throws(ReplayFailure) {
        try write()
        // Standard output may be a file, too; a pipe or a terminal has nothing to sync.
        guard fsync(descriptor) == 0 || path == nil && (errno == EINVAL || errno == ENOTSUP) else { throw failure() }
    }

    func close() {
        guard path != nil, descriptor >= 0 else { return }
        systemClose(descriptor)
        descriptor = -1
    }
}

private func systemClose(_ descriptor: Int32) {
    #if canImport(Glibc)
    _ = Glibc.close(descriptor)
    #else
    _ = Darwin.close(descriptor)
    #endif
}
