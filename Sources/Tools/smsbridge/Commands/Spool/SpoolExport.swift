import SMSBridgeSettings
import SMSBridgeSpool

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// `smsbridge spool export`
enum SpoolExport {
    private static let target = CommandOption<String>(
        "--to", "FILE", .anyText("file"), default: "-", help: "Where to; - is standard output.")

    static let command = Command(
        "export", summary: "Write every row of a spool as NDJSON",
        discussion: """
            One record a line, in the format of replay --to-file (docs/reprocess.md), with state (waiting or parked), and of parked
            rows their reason. Per topic in the order received. spool import and replay --from-file read it. The spool stays as it
            is. It contains what subscribers wrote: --to makes a file for its owner only, complete or not at all.
            Exit codes: 0; 1 failed; 3 a part is damaged, what can be read was written.
            """,
        options: [SpoolCommands.path, target], settings: .init(needs: [], sections: ["spool", "topics"]),
        examples: [
            .init(
                "a quarantined file",
                "smsbridge spool export --path /var/lib/smsbridge/spool-quarantined-1764000000-1.db --to rows.ndjson")
        ]
    ) {
        SpoolCommands.run($0, $1) { invocation, settings, place throws(SpoolError) in
            try run(invocation, settings, place)
        }
    }

    static func run(
        _ invocation: Invocation, _ settings: BridgeSettings, _ place: SpoolPlace
    ) throws(SpoolError) -> Int32 {
        let source = try SpoolCommands.source(place)
        let writer = try ExportFile(invocation.value(of: target) ?? "-")
        var progress = Progress("exported", total: (try? source.status()).map { $0.rows + $0.parkedRows } ?? 0)
        var done: Int64 = 0
        var broken = 0
        var line: [UInt8] = []
        try SpoolCommands.forEach(source) { name, row throws(SpoolError) in
            line.removeAll(keepingCapacity: true)
            if !append(row, topic: "\(settings.topics.prefix).\(name)", to: &line) { broken += 1 }
            try writer.write(line)
            done += 1
            progress.update(done)
            return true
        }
        progress.end()
        try writer.finish()
        Output.error("smsbridge spool export: \(done) rows\n")
        if broken > 0 {
            Output.error(
                "smsbridge spool export: cannot be read: headers of \(broken) rows, what is there was written\n")
        }
        let code = SpoolCommands.finish(invocation, source)
        return broken > 0 ? ExitCode.damaged : code
    }

    /// - Returns: false when the headers are damaged.
    static func append(_ row: InspectedRow, topic: String, to line: inout [UInt8]) -> Bool {
        var headers: [ArchiveRecord.Header] = []
        let isWhole = HeaderCoding.forEach(in: row.record.headers) { name, value in
            headers.append(.init(name: String(decoding: name, as: UTF8.self), value: value.map(Array.init)))
        }
        ArchiveRecord(
            topic: topic, partition: nil, offset: nil, timestamp: row.record.timestamp,
            key: row.record.key.map(Array.init),
            headers: headers, value: Array(row.record.value), state: row.state, reason: row.reason
        ).append(to: &line)
        return isWhole
    }
}

/// Standard output, or a file that has its name only when it is whole and synced.
private final class ExportFile {
    private let path: String?
    private let temporary: String
    private var descriptor: Int32
    private var buffer: [UInt8] = []

    init(_ target: String) throws(SpoolError) {
        path = target == "-" ? nil : target
        temporary = "\(target).\(getpid()).part"
        descriptor = STDOUT_FILENO
        guard path != nil else { return }
        descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure() }
    }

    deinit {
        guard path != nil, descriptor >= 0 else { return }
        close(descriptor)
        unlink(temporary)
    }

    private func failure() -> SpoolError {
        SpoolError(.io, "--to: cannot write \(path ?? "standard output"): \(String(cString: strerror(errno)))")
    }

    func write(_ line: [UInt8]) throws(SpoolError) {
        buffer += line
        if buffer.count >= 1 << 16 { try flush() }
    }

    private func flush() throws(SpoolError) {
        guard path != nil else {
            Output.bytes(buffer)
            return buffer.removeAll(keepingCapacity: true)
        }
        var done = 0
        while done < buffer.count {
            let count = buffer.withUnsafeBytes {
                #if canImport(Glibc)
                Glibc.write(descriptor, $0.baseAddress! + done, $0.count - done)
                #else
                Darwin.write(descriptor, $0.baseAddress! + done, $0.count - done)
                #endif
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw failure() }
            done += count
        }
        buffer.removeAll(keepingCapacity: true)
    }

    func finish() throws(SpoolError) {
        try flush()
        guard let path else { return }
        guard fsync(descriptor) == 0 else { throw failure() }
        guard rename(temporary, path) == 0 else { throw failure() }
        close(descriptor)
        descriptor = -1
        // The name, too.
        let folder = open(path.lastIndex(of: "/").map { String(path[...$0]) } ?? ".", O_RDONLY | O_CLOEXEC)
        if folder >= 0 {
            fsync(folder)
            close(folder)
        }
    }
}
