import SMSBridgeEventLoop
import SMSBridgeKafka
import SMSBridgePublisher
import SMSBridgeSettings
import SMSBridgeSpool
import SMSBridgeTelemetry
import SMSBridgeThreads
import SMSPortalEvents

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// `smsbridge spool drain`
///
/// The publisher of `serve` does it, without its public port: what order, settings and crashes mean is decided once.
enum SpoolDrain {
    private static let dryRun = CommandOption<Bool>("--dry-run", help: "Only count what would be published.")
    private static let parked = CommandOption<Bool>(
        "--parked", help: "Try the parked rows again, too: once their topics take what they refused.")
    private static let patience = CommandOption<Duration>(
        "--give-up-after", "DURATION", .duration(.seconds(1)...(.seconds(86_400))), default: .seconds(60),
        help: "End when Kafka acknowledges nothing for this long.")

    static let command = Command(
        "drain", summary: "Publish the events of a stopped bridge's spool",
        discussion: """
            As serve does: acks=all, idempotent, in order per topic, with each record's own time, headers and key. A row
            is deleted once Kafka has acknowledged it. Interrupted, it continues; rows in flight may be sent twice, with
            the same event id. A running bridge drains by itself; its spool is rejected.
            Of a quarantined file, what can be read is copied to FILE.drain first and published from there; the
            file stays. Exit codes: 0; 1 failed; 3 a part is corrupt, the rest was published; 4 rows remain.
            """,
        options: [SpoolCommands.path, dryRun, parked, patience, SpoolCommands.json],
        settings: .init(needs: .kafka, sections: ["kafka", "topics", "publish", "spool", "durability", "log"]),
        examples: [
            .init(
                "an orphaned volume",
                "smsbridge spool drain --path /mnt/old/smsbridge --kafka-bootstrap-servers kafka:9092")
        ]
    ) {
        SpoolCommands.run($0, $1) { invocation, settings, place throws(SpoolError) in
            try run(invocation, settings, place)
        }
    }

    private struct Result {
        var published: Int64 = 0
        var left: Int64 = 0
        var parked: Int64 = 0
        var damage: [String] = []
    }

    static func run(
        _ invocation: Invocation, _ settings: BridgeSettings, _ place: SpoolPlace
    ) throws(SpoolError) -> Int32 {
        guard !place.isHeld else {
            throw SpoolError(.locked, "a bridge holds \(place.path): it drains by itself, see 'smsbridge spool status'")
        }
        let file = try SpoolFile(place.file)
        if invocation.isOn(dryRun) {
            let status = try place.isLoneFile ? file.countedStatus() : file.status()
            let result = Result(left: status.rows, parked: status.parkedRows, damage: file.corruption)
            report(result, invocation, verb: "would be published")
            return file.corruption.isEmpty ? ExitCode.success : ExitCode.damaged
        }
        let patience = invocation.value(of: patience) ?? .seconds(60)
        let topics = topics(of: file, settings, invocation)
        if !topics.isEmpty, let problem = Preflight(settings).problem(writing: topics) {
            throw SpoolError(.io, "\(problem.description)\nnothing was published")
        }
        try judgeTopics(settings, patience)
        var result = Result()
        var folder = place.path
        if place.isLoneFile {
            folder = try salvage(file, to: place.file + ".drain", &result)
        } else if !file.isSound {
            file.close()
            place.release()
            let aside = try SpoolCopy.quarantine(in: place.folder)
            Output.error("smsbridge spool drain: \(place.file) is corrupt and was moved aside as \(aside)\n")
            folder = try salvage(SpoolFile(aside), to: aside + ".drain", &result)
        }
        file.close()
        place.release()
        if invocation.isOn(parked) { try unpark(folder, settings) }
        let before = try count(folder)
        let isDone: Bool
        do {
            isDone = try publish(folder, settings, rows: before.rows, patience: patience)
        } catch {
            throw SpoolError(.io, "\(error)")
        }
        let after = try count(folder)
        result.published = before.rows + before.parkedRows - after.rows - after.parkedRows
        result.left += after.rows
        result.parked = after.parkedRows
        report(result, invocation, verb: "stay in \(folder)")
        var code = result.damage.isEmpty ? ExitCode.success : ExitCode.damaged
        if result.left + result.parked > 0 { code = ExitCode.incomplete }
        // librdkafka may still try to reach a broker that is away: its threads end with the process.
        if !isDone { _exit(code) }
        return code
    }

    /// The topics that the rows are published to; all where the file does not tell.
    private static func topics(
        of file: SpoolFile, _ settings: BridgeSettings, _ invocation: Invocation
    ) -> [String] {
        guard let status = try? file.status(), !invocation.isOn(parked) || status.parkedRows == 0 else {
            return settings.topicPlan.names
        }
        let names = Set(status.lanes.filter { $0.totals.rows > 0 }.map(\.name))
        return EventTopic.allCases.filter { names.contains($0.suffix) }.map {
            $0.name(prefix: settings.topics.prefix)
        }
    }

    /// A parked row was refused by the quarantine last; it goes to the topic that it was meant for.
    private static func unpark(_ folder: String, _ settings: BridgeSettings) throws(SpoolError) {
        let topics = EventTopic.allCases.map { $0.name(prefix: settings.topics.prefix) }
        let count = try ParkedRows.putBack(in: folder, lanes: EventTopic.allCases.map(\.suffix)) { record in
            record.beforeRejection(topics: topics) ?? record
        }
        Output.error("smsbridge spool drain: \(count) parked rows are tried again\n")
    }

    /// Says where the topics are weak: a row goes on their word.
    ///
    /// - Throws: `SpoolError` when they are, or cannot be judged, and durability is insisted on.
    private static func judgeTopics(_ settings: BridgeSettings, _ patience: Duration) throws(SpoolError) {
        do {
            let admin = try Admin(settings.kafkaClient)
            defer { admin.close() }
            let setup = TopicSetup(admin, timeout: Int32(clamping: min(patience, .seconds(10)).nanoseconds / 1_000_000))
            let findings = try setup.look(settings.topicPlan)
            if settings.durability.strict, let refusal = findings.refusal { throw refusal }
            for finding in findings.findings where finding.severity != .note {
                Output.error("smsbridge spool drain: \(finding.text)\n")
            }
        } catch {
            if settings.durability.strict { throw SpoolError(.io, "\(error); nothing was published") }
            Output.error("smsbridge spool drain: the topics cannot be judged: \(error)\n")
        }
    }

    private static func count(_ folder: String) throws(SpoolError) -> SpoolStatus {
        let file = try SpoolFile(folder + "/spool.db")
        defer { file.close() }
        return try file.status()
    }

    private static func salvage(
        _ file: SpoolFile, to folder: String, _ result: inout Result
    ) throws(SpoolError) -> String {
        guard access(folder, F_OK) != 0 else {
            Output.error("smsbridge spool drain: goes on with \(folder), which was copied before\n")
            return folder
        }
        var progress = Progress("copied", total: (try? file.status()).map { $0.rows + $0.parkedRows } ?? 0)
        let outcome = try SpoolCopy.copy(file, to: folder, lanes: EventTopic.allCases.map(\.suffix)) {
            progress.update($0)
        }
        progress.end()
        result.damage = file.corruption
        for (name, rows) in outcome.unknown.sorted(by: { $0.key < $1.key }) {
            result.left += rows
            Output.error(
                "smsbridge spool drain: \(rows) rows of \(name) stay in \(file.path): no topic is known for them\n")
        }
        return folder
    }

    /// - Returns: whether nothing is on its way any more.
    private static func publish(
        _ folder: String, _ settings: BridgeSettings, rows: Int64, patience: Duration
    ) throws -> Bool {
        guard rows > 0 else { return true }
        let registry = MetricRegistry()
        let logger = Output.messages(of: "smsbridge spool drain", settings.log)
        defer { _ = logger.sink.flush(timeout: .seconds(2)) }
        var configuration = settings.publisher
        var spool = SpoolConfiguration(path: folder, lanes: EventTopic.allCases.map(\.suffix))
        // The rows are there already, whatever they are on.
        spool.allowsAnyFileSystem = true
        configuration.spool = spool
        let client = try Publisher.makeClient(configuration)
        let loop = try EventLoop()
        let publisher = try Publisher(
            loop: loop, configuration: configuration, client: client, metrics: PublisherMetrics(registry),
            logger: logger.labelled("kafka")
        ) { _, _ in }
        var isOpen = false
        var left = rows
        var progressed = ContinuousClock.now
        var progress = Progress("published", total: rows)
        publisher.onSpoolSettled = { isOpen = true }
        for signal in [SIGTERM, SIGINT] { _ = try loop.onSignal(signal) { loop.stop() } }
        let timer = try loop.timer(after: 0, repeating: 20_000_000) {
            guard isOpen else { return }
            if publisher.spooledEvents < left { progressed = .now }
            left = publisher.spooledEvents
            progress.update(rows - left)
            if publisher.isIdle || progressed.duration(to: .now) > patience { loop.stop() }
        }
        loop.run()
        progress.end()
        timer.cancel()
        let isDone = publisher.isIdle
        let remains = publisher.close()
        // Its file is looked at next.
        remains.endSpool()
        if isDone { remains.destroy() }
        loop.destroy()
        return isDone
    }

    private static func report(_ result: Result, _ invocation: Invocation, verb: String) {
        for part in result.damage { Output.error("smsbridge spool drain: cannot be read: \(part)\n") }
        if invocation.isOn(SpoolCommands.json) {
            Output.line(
                "{\"published\":\(result.published),\"left\":\(result.left),\"parked\":\(result.parked),"
                    + "\"damage\":[\(result.damage.map(JSONText.string).joined(separator: ","))]}")
            return
        }
        if !invocation.isOn(dryRun) { Output.line("published  \(result.published) rows") }
        if result.left > 0 || invocation.isOn(dryRun) { Output.line("\(verb)  \(result.left) rows") }
        if result.parked > 0 {
            Output.line(
                "parked  \(result.parked) rows, which Kafka has refused: see spool list, then drain --parked or discard"
            )
        }
    }
}
