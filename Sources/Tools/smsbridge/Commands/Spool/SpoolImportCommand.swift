import SMSBridgeSettings
import SMSBridgeSpool
import SMSPortalEvents

/// `smsbridge spool import`
enum SpoolImportCommand {
    private static let execute = CommandOption<Bool>("--execute", help: "Apply it; default is a dry run.")

    static let command = Command(
        "import", summary: "Add the records of a file to a stopped bridge's spool",
        discussion: """
            Reads what spool export, replay --to-file and tail --json write, and puts each record into the queue of its topic, or
            among the parked ones, in the order of the file: all of them, or none when a line is malformed. The bridge
            publishes them when it starts, and spool drain without one. A file that is imported twice is published twice, with
            the same event ids. Exit codes: 0; 1 failed, or a bridge holds the spool; 2 usage.
            """,
        operands: [.init("file", help: "NDJSON; - is standard input")],
        options: [SpoolCommands.path, execute, SpoolCommands.json],
        settings: .init(needs: [], sections: ["spool", "topics"]),
        examples: [
            .init(
                "into the spool of another machine",
                "smsbridge spool import rows.ndjson --path /var/lib/smsbridge --execute")
        ]
    ) { run($0, $1.settings) }

    static func run(_ invocation: Invocation, _ settings: BridgeSettings) -> Int32 {
        do throws(ReplayFailure) {
            try run(invocation.operands.first ?? "-", invocation, settings)
            return ExitCode.success
        } catch {
            Output.error("smsbridge spool import: \(error.message)\n")
            return error.exitCode
        }
    }

    private static func run(
        _ file: String, _ invocation: Invocation, _ settings: BridgeSettings
    ) throws(ReplayFailure) {
        let lanes = EventTopic.allCases.map(\.suffix)
        let topics = EventTopic.allCases.map { $0.name(prefix: settings.topics.prefix) }
        let folder = invocation.value(of: SpoolCommands.path) ?? settings.spool.path
        let lines = try LineReader(file, option: "file")
        var target: SpoolImport?
        defer { target?.close() }
        var progress = Progress("imported", total: 0)
        var counts: [String: Int] = [:]
        var parked = 0
        var number = 0
        do {
            if invocation.isOn(execute) {
                target = try SpoolImport(folder, lanes: lanes, allowsAnyFileSystem: settings.spool.anyFileSystem)
            }
            while let line = try lines.next() {
                number += 1
                guard !line.isEmpty else { continue }
                let record = try ArchiveRecord(line: line)
                guard let lane = topics.firstIndex(of: record.topic) else {
                    throw ArchiveRecord.Malformed(
                        message:
                            "topic: \(record.topic) is not a topic of this bridge (topics.prefix is \(settings.topics.prefix))"
                    )
                }
                let reason = record.state == "parked" ? record.reason ?? "imported as parked" : nil
                try target?.append(record.spoolRecord(lane: lane), reason: reason)
                counts[record.topic, default: 0] += reason == nil ? 1 : 0
                parked += reason == nil ? 0 : 1
                progress.update(Int64(number))
            }
            progress.end()
            try target?.commit()
        } catch let error as ArchiveRecord.Malformed {
            throw ReplayFailure(message: "\(file), line \(number): \(error.message); nothing was imported")
        } catch let error as SpoolError {
            throw ReplayFailure(message: "\(error.message); nothing was imported")
        } catch let error as ReplayFailure {
            throw error
        } catch {
            throw ReplayFailure(message: "\(error)")
        }
        report(invocation, counts, parked, folder)
    }

    private static func report(_ invocation: Invocation, _ counts: [String: Int], _ parked: Int, _ folder: String) {
        let isExecuted = invocation.isOn(execute)
        let sorted = counts.filter { $0.value > 0 }.sorted { $0.key < $1.key }
        if invocation.isOn(SpoolCommands.json) {
            let topics = sorted.map { "\(JSONText.string($0.key)):\($0.value)" }
            Output.line(
                "{\"waiting\":{\(topics.joined(separator: ","))},\"parked\":\(parked),\"executed\":\(isExecuted)}")
        } else {
            for (topic, count) in sorted { Output.line("\(topic)  \(count) rows") }
            if parked > 0 { Output.line("parked  \(parked) rows") }
        }
        let count = counts.values.reduce(0, +) + parked
        Output.error(
            "smsbridge spool import: \(count) rows \(isExecuted ? "imported into \(folder)" : "would be imported: --execute applies it")\n"
        )
    }
}

extension ArchiveRecord {
    /// - Throws: what the spool cannot hold.
    fileprivate func spoolRecord(lane: Int) throws(Malformed) -> SpoolRecord {
        guard let value else { throw Malformed(message: "value: null cannot be in a spool") }
        guard headers.allSatisfy({ $0.name.utf8.count <= 255 }) else {
            throw Malformed(message: "headers: a name is longer than 255 bytes")
        }
        var coded: [UInt8] = []
        for header in headers {
            Array(header.name.utf8).withUnsafeBytes { name in
                if let value = header.value {
                    value.withUnsafeBytes { HeaderCoding.append(name: name, $0, to: &coded) }
                } else {
                    HeaderCoding.append(name: name, nil, to: &coded)
                }
            }
        }
        return value.withUnsafeBytes { value in
            coded.withUnsafeBytes { coded in
                if let key {
                    return key.withUnsafeBytes {
                        SpoolRecord(lane: lane, timestamp: timestamp, key: $0, value: value, headers: coded)
                    }
                }
                return SpoolRecord(lane: lane, timestamp: timestamp, key: nil, value: value, headers: coded)
            }
        }
    }
}
