import FoundationEssentials
import SMSBridgeKafka
import SMSBridgeReplaying
import SMSBridgeSettings
import SMSBridgeTelemetry
import SMSBridgeThreads
import SMSPortalEvents

/// `smsbridge replay` into a topic, a file, or nowhere.
final class ReplayRun {
    private let invocation: Invocation
    private let settings: BridgeSettings
    private let window: CommandWindow
    private let isDryRun: Bool
    private let keys: Set<[UInt8]>
    private let redecoder: Redecoder?
    /// Set when the cluster was checked.
    private var check: TargetCheck?
    private let interrupted: StopSignal
    private let events = EventReader()
    private let began = ContinuousClock.now

    /// Records that were sent, or would be.
    private var sent = 0
    private var read: Int64 = 0
    private var missed: Int64 = 0
    /// Records sent per partition of the plan, in this run.
    private var found: [Int64] = []
    /// Whether Kafka did not answer the last commit, which was reported.
    private var isCommitLate = false

    /// How often the position is committed, with all that goes with it.
    private static let checkpointInterval = Duration.seconds(1)

    init(_ invocation: Invocation, _ settings: BridgeSettings, _ window: CommandWindow) throws(ReplayFailure) {
        self.invocation = invocation
        self.settings = settings
        self.window = window
        isDryRun = invocation.isOn(ReplayCommand.dryRun)
        keys = Set(invocation.values(of: ReplayCommand.keys).compactMap(SubscriberKey.bytes))
        do {
            redecoder = invocation.isOn(ReplayCommand.redecode) ? try Redecoder(settings.decoder) : nil
            interrupted = try StopSignal()
        } catch {
            throw ReplayFailure(message: "\(error)")
        }
        Interrupts.handle { [interrupted] in interrupted.set() }
    }

    func run() throws(ReplayFailure) -> Int32 {
        if let file = invocation.value(of: ReplayCommand.fromFile) {
            try checkCluster()
            return try send(file)
        }
        return try replay()
    }

    /// Checks connection, permissions and target.
    private func checkCluster(reading topics: [String] = [], group: String? = nil) throws(ReplayFailure) {
        let target = invocation.value(of: ReplayCommand.toTopic)
        guard !topics.isEmpty || target != nil else { return }
        let writes = isDryRun ? nil : target
        let problem = Preflight(settings).problem(
            reading: topics, writing: writes.map { [$0] } ?? [], group: group, commits: true)
        if let problem { throw ReplayFailure(message: problem.description) }
        guard let target else { return }
        check = try TargetCheck(
            [target], settings.kafkaClient, timestamp: invocation.value(of: ReplayCommand.timestamp) ?? .original,
            acceptsLoss: invocation.isOn(ReplayCommand.acceptLoss), command: "smsbridge replay")
    }

    // MARK: Out of Kafka

    private func replay() throws(ReplayFailure) -> Int32 {
        let asked = window.window
        let occurrence = invocation.value(of: ReplayCommand.by) == .occurred ? asked : nil
        let topics = ReplayCommand.topics(invocation, settings)
        Output.error("smsbridge replay: window \(window.text(asked))\n")
        let name = isDryRun ? nil : invocation.value(of: ReplayCommand.name)
        try checkCluster(reading: topics, group: name.map(Self.group))
        let target = invocation.value(of: ReplayCommand.toTopic)
        if let target, topics.contains(target), !invocation.isOn(ReplayCommand.force) {
            throw ReplayFailure(message: "--to-topic: \(target) is what is read: give --force")
        }
        let checkpoint = isDryRun ? nil : self.checkpoint(topics)
        let reader: RangeReader
        do throws(ReplayError) {
            reader = try RangeReader(
                settings.kafkaClient, topics: topics, window: asked == occurrence ? asked.readForOccurrence : asked,
                checkpoint: checkpoint, skipsDeleted: invocation.isOn(ReplayCommand.skipDeleted))
        } catch {
            throw ReplayFailure(message: error.message)
        }
        defer { reader.close(timeout: 2_000) }
        if let missing = reader.plan.missingTopics.first, invocation.isGiven(ReplayCommand.types) {
            throw ReplayFailure(message: "--type: \(missing) does not exist; nothing was read")
        }
        found = Array(repeating: 0, count: reader.plan.partitions.count)
        reportPlan(reader, occurrence ?? reader.plan.window)
        // A key selects few records: those are judged one by one.
        if let target, let check, keys.isEmpty { try check.check(reader, target: target, zone: window.zone) }
        // One that has come to its end needs nothing: its file may have been removed.
        let sink = reader.isResumed && reader.isComplete ? NoSink() : try makeSink(resumes: reader.isResumed)
        defer { sink.close() }
        // Not before the target is there: what is committed has begun, and only resumes.
        if let checkpoint, !reader.isResumed { try keep(reader, sink, checkpoint) }
        let selected = occurrence ?? reader.plan.window
        var progress = Progress("read", total: reader.plan.count)
        var pacer = Pacer(invocation.value(of: ReplayCommand.rate))
        var nextCheckpoint = ContinuousClock.now + Self.checkpointInterval
        var reported: Set<String> = []
        do throws(ReplayFailure) {
            while !reader.hasEnded, !interrupted.wait(milliseconds: 0) {
                if let (record, index) = try next(reader, selected, isOccurrence: occurrence != nil, &reported) {
                    pacer.wait(interrupted)
                    try put(redecoder?.redecode(record) ?? record, into: sink)
                    found[index] += 1
                }
                progress.update(reader.passed) { ", matched \(sent)" }
                guard let checkpoint, ContinuousClock.now >= nextCheckpoint else { continue }
                try keep(reader, sink, checkpoint)
                nextCheckpoint = .now + Self.checkpointInterval
            }
            try sink.flush()
            if let checkpoint { try keep(reader, sink, checkpoint, isLast: true) }
        } catch {
            progress.end()
            reportResume(checkpoint != nil)
            throw error
        }
        progress.end()
        read = reader.progress.reduce(reader.passed) { $0 - $1.unread }
        let exitCode = exitCode(reader)
        reportResult(reader, selected, isComplete: exitCode == ExitCode.success)
        if exitCode != ExitCode.success, exitCode != ExitCode.deleted { reportResume(checkpoint != nil) }
        return exitCode
    }

    /// What the run has come to, and the lines that say so.
    private func exitCode(_ reader: RangeReader) -> Int32 {
        guard reader.hasEnded else { return ExitCode.incomplete }
        guard reader.isComplete else {
            for range in reader.blocked {
                Output.error(
                    "smsbridge replay: \(range): it is not complete; run it again when the transaction has ended\n")
            }
            return ExitCode.openTransaction
        }
        for one in reader.progress where one.unread > 0 {
            Output.error(
                "smsbridge replay: \(one.planned.description): \(one.unread) offsets were not read, as --max-lateness says\n"
            )
        }
        for one in reader.progress where one.afterLater > 0 {
            Output.error(
                "smsbridge replay: \(one.planned.description): \(one.afterLater) events of the window follow one that is later than "
                    + "--max-lateness allows: a clock was ahead, or a spool was drained later\n")
        }
        let isTruncated = reader.plan.partitions.contains(where: \.isTruncated)
        return isTruncated && !invocation.isOn(ReplayCommand.skipDeleted) ? ExitCode.deleted : ExitCode.success
    }

    private func put(_ record: ArchiveRecord, into sink: any ReplaySink) throws(ReplayFailure) {
        if let target = invocation.value(of: ReplayCommand.toTopic),
            let problem = check?.problem(of: record.timestamp, in: target)
        {
            try sink.flush()
            let time = window.zone.text(of: record.timestamp)
            throw ReplayFailure(
                message:
                    "\(problem), and a record is from \(time): \(TargetCheck.advice(target)). \(sent) were sent before it"
            )
        }
        try sink.put(record)
        sent += 1
    }

    /// The next record that is selected, and the index of its partition; nil when none arrived.
    private func next(
        _ reader: RangeReader, _ selected: ReplayWindow, isOccurrence: Bool, _ reported: inout Set<String>
    ) throws(ReplayFailure) -> (ArchiveRecord, Int)? {
        do throws(ReplayError) {
            var errors: [KafkaError] = []
            let message = try reader.next(timeout: 100) { errors.append($0) }
            for error in errors where error.code != .groupNotAuthorized {
                let text = settings.explain(error, reading: ReplayCommand.topics(invocation, settings))
                // A permission that was taken away: it would wait for ever.
                if error.code == .topicNotAuthorized { throw ReplayError(.kafka, text, cause: error.code) }
                if reported.insert("\(error.code)").inserted { Output.error("smsbridge replay: Kafka: \(text)\n") }
            }
            let missed = reader.progress.reduce(0) { $0 + $1.missed }
            if missed > self.missed {
                Output.error("smsbridge replay: \(missed - self.missed) offsets were deleted and are skipped\n")
                self.missed = missed
            }
            guard let message else { return nil }
            let isKey = keys.isEmpty || message.withKey { key in key.map { keys.contains(Array($0)) } ?? false }
            guard isKey else { return nil }
            let record = ArchiveRecord(message)
            if isOccurrence {
                let event = (record.value ?? []).withUnsafeBytes { value in
                    try? events.event(value: value, headers: [])
                }
                let time =
                    event.map { ($0.envelope.occurredAt ?? $0.receivedAt).millisecondsSinceEpoch } ?? record.timestamp
                guard selected.contains(time) else { return nil }
            }
            return (record, reader.lastIndex)
        } catch {
            let advice = error.code == .deleted ? ". --skip-deleted goes on with what is left" : ""
            throw ReplayFailure(
                message: error.message + advice, exitCode: error.code == .deleted ? ExitCode.deleted : ExitCode.failure)
        }
    }

    /// The group that keeps the position of a replay.
    static func group(_ name: String) -> String { "smsbridge-replay-\(name)" }

    private func checkpoint(_ topics: [String]) -> ReplayCheckpoint? {
        invocation.value(of: ReplayCommand.name).map { name in
            let words = [
                topics.joined(separator: ","), invocation.value(of: ReplayCommand.from)?.text ?? "",
                invocation.value(of: ReplayCommand.to)?.text ?? "",
                invocation.value(of: CommandWindow.timeZone)?.text ?? "",
                invocation.value(of: ReplayCommand.by)?.rawValue ?? "",
                keys.map { String(decoding: $0, as: UTF8.self) }.sorted().joined(separator: ","),
                invocation.value(of: ReplayCommand.toTopic) ?? "", invocation.value(of: ReplayCommand.toFile) ?? "",
                invocation.isOn(ReplayCommand.redecode) ? "redecode" : "",
            ]
            return ReplayCheckpoint(group: Self.group(name), selection: words.joined(separator: "\n"))
        }
    }

    private func makeSink(resumes: Bool) throws(ReplayFailure) -> any ReplaySink {
        if isDryRun { return NoSink() }
        if let file = invocation.value(of: ReplayCommand.toFile) {
            return try FileSink(file, goesOn: resumes ? invocation.value(of: ReplayCommand.name) : nil)
        }
        return try TopicSink(
            settings.kafkaClient, topic: invocation.value(of: ReplayCommand.toTopic) ?? "",
            name: invocation.value(of: ReplayCommand.name),
            timestamp: invocation.value(of: ReplayCommand.timestamp) ?? .original, until: interrupted)
    }

    /// Commits the position once everything before it is stored. While Kafka does not answer, the replay waits for it, and
    /// only the last commit has to succeed.
    private func keep(
        _ reader: RangeReader, _ sink: any ReplaySink, _ checkpoint: ReplayCheckpoint, isLast: Bool = false
    ) throws(ReplayFailure) {
        try sink.flush()
        let before = reader.resumption?.matched ?? []
        let matched = found.indices.map { found[$0] + (before.isEmpty ? 0 : before[$0]) }
        let isInterrupted = interrupted.wait(milliseconds: 0)
        do throws(ReplayError) {
            try reader.commit(
                reader.positions, matched: matched, to: checkpoint,
                timeout: isInterrupted ? 3_000 : isLast ? 10_000 : 5_000)
            isCommitLate = false
        } catch {
            guard error.cause?.isTransient == true, isInterrupted || !isLast else {
                throw ReplayFailure(message: error.message)
            }
            if isInterrupted {
                throw ReplayFailure(
                    message: "\(error.message); what was sent since the last commit is sent again",
                    exitCode: ExitCode.incomplete)
            }
            if !isCommitLate { Output.error("smsbridge replay: \(error.message); tried again\n") }
            isCommitLate = true
        }
    }

    // MARK: Out of a file

    private func send(_ file: String) throws(ReplayFailure) -> Int32 {
        let sink = try makeSink(resumes: false)
        defer { sink.close() }
        let lines = try LineReader(file, option: ReplayCommand.fromFile.flag)
        var pacer = Pacer(invocation.value(of: ReplayCommand.rate))
        var progress = Progress("sent", total: 0)
        var number = 0
        var isWhole = false
        while !interrupted.wait(milliseconds: 0) {
            guard let line = try lines.next() else {
                isWhole = true
                break
            }
            number += 1
            guard !line.isEmpty else { continue }
            let record: ArchiveRecord
            do throws(ArchiveRecord.Malformed) { record = try ArchiveRecord(line: line) } catch {
                try sink.flush()
                let again = sent > 0 && !isDryRun ? ". \(Self.startsOver)" : ""
                throw ReplayFailure(
                    message:
                        "--from-file: \(file), line \(number): \(error.message); \(sent) records before it were sent\(again)"
                )
            }
            pacer.wait(interrupted)
            try put(redecoder?.redecode(record) ?? record, into: sink)
            progress.update(Int64(sent))
        }
        try sink.flush()
        progress.end()
        read = Int64(number)
        reportResult(nil, nil, isComplete: isWhole)
        guard !isWhole else { return ExitCode.success }
        if sent > 0, !isDryRun {
            Output.error("smsbridge replay: interrupted after line \(number) of \(file). \(Self.startsOver)\n")
        }
        return ExitCode.incomplete
    }

    /// Kafka keeps no position in a file.
    private static let startsOver =
        "Sent again, a file starts over: repeats have the same event ids and the same replay-of"

    // MARK: Reports

    private func reportPlan(_ reader: RangeReader, _ selected: ReplayWindow) {
        for topic in reader.plan.missingTopics {
            Output.error("smsbridge replay: \(topic) does not exist: nothing of it is read\n")
        }
        let truncated = reader.plan.partitions.filter(\.isTruncated)
        if !truncated.isEmpty {
            Output.error(
                "smsbridge replay: the topics do not reach back to --from, older records have been deleted: "
                    + "\(truncated.map(\.description).joined(separator: ", ")). --from earliest, or --skip-deleted, takes what is left\n"
            )
        }
        if reader.isResumed {
            let range = selected == window.window ? "" : " of the window \(window.text(selected))"
            Output.error("smsbridge replay: resumed, \(reader.plan.count) records\(range) are left to read\n")
        } else if reader.plan.count == 0 {
            Output.error("smsbridge replay: there is no record in this range\n")
        }
    }

    private func reportResult(_ reader: RangeReader?, _ selected: ReplayWindow?, isComplete: Bool) {
        let rate = Int(Double(sent) / max(0.001, began.duration(to: .now) / .seconds(1)))
        if isDryRun, !invocation.isOn(ReplayCommand.json) {
            for (index, partition) in (reader?.plan.partitions ?? []).enumerated() where !partition.offsets.isEmpty {
                Output.line(
                    "\(partition.description)  offsets \(partition.offsets.lowerBound) to \(partition.offsets.upperBound - 1)  "
                        + "\(found[index]) records")
            }
            for (field, count) in redecoder?.differences.sorted(by: { $0.key < $1.key }) ?? [] {
                Output.line("\(field)  differs in \(count) records")
            }
        }
        let total = sent + Int(reader?.resumption?.matched.reduce(0, +) ?? 0)
        if invocation.isOn(ReplayCommand.json) {
            Output.line(json(reader, selected, rate: rate, total: total, isComplete: isComplete))
        }
        let verb = isDryRun ? "would be sent" : "sent"
        let again = redecoder.map { ", \($0.changed) of them decoded to something else" } ?? ""
        let gap = missed > 0 ? ", \(missed) deleted before they could be read" : ""
        let all = reader?.isResumed == true ? "; \(total) in all runs" : ""
        Output.error(
            "smsbridge replay: \(sent) records \(verb)\(again): \(sent) of \(read - missed) read\(gap), \(rate)/s\(all)\n"
        )
    }

    private func json(
        _ reader: RangeReader?, _ selected: ReplayWindow?, rate: Int, total: Int, isComplete: Bool
    ) -> String {
        let partitions = (reader?.plan.partitions ?? []).enumerated().filter { !$1.offsets.isEmpty }.map {
            index, partition in
            "{\"topic\":\(JSONText.string(partition.topic)),\"partition\":\(partition.partition),"
                + "\"from\":\(partition.offsets.lowerBound),\"to\":\(partition.offsets.upperBound),"
                + "\"records\":\(found[index])}"
        }
        let blocked = (reader?.blocked ?? []).map {
            "{\"topic\":\(JSONText.string($0.topic)),\"partition\":\($0.partition),\"offsets\":\($0.offsets.count)}"
        }
        let truncated = (reader?.plan.partitions ?? []).filter(\.isTruncated).map { JSONText.string($0.description) }
        let fields = (redecoder?.differences.sorted { $0.key < $1.key } ?? []).map {
            "\(JSONText.string($0.key)):\($0.value)"
        }
        let unread = reader?.progress.reduce(0) { $0 + $1.unread } ?? 0
        let range = selected.map { "\"window\":{\(window.json($0))}," } ?? ""
        return "{\(range)\"records\":\(sent),\"total\":\(total),\"read\":\(read),\"perSecond\":\(rate),"
            + "\"complete\":\(isComplete),\"missed\":\(missed),\"unread\":\(unread),"
            + "\"openTransactions\":[\(blocked.joined(separator: ","))],\"truncated\":[\(truncated.joined(separator: ","))],"
            + "\"resumed\":\(reader?.isResumed ?? false),\"dryRun\":\(isDryRun),"
            + "\"redecoded\":\(redecoder?.changed ?? 0),\"differences\":{\(fields.joined(separator: ","))},"
            + "\"partitions\":[\(partitions.joined(separator: ","))]}"
    }

    private func reportResume(_ hasName: Bool) {
        guard hasName else {
            if sent > 0, !isDryRun {
                Output.error("smsbridge replay: \(sent) records were sent; without --name it cannot be resumed\n")
            }
            return
        }
        Output.error("smsbridge replay: to resume: \(ShellCommand.text(CommandLine.arguments))\n")
    }
}

/// Lets no more records through than a rate allows.
struct Pacer {
    private let interval: Duration?
    private var next = ContinuousClock.now

    init(_ rate: Int?) { interval = rate.map { .nanoseconds(1_000_000_000 / $0) } }

    mutating func wait(_ interrupted: StopSignal) {
        guard let interval else { return }
        let now = ContinuousClock.now
        next = max(next, now - .milliseconds(100)) + interval
        let milliseconds = now.duration(to: next) / .milliseconds(1)
        if milliseconds >= 1 { _ = interrupted.wait(milliseconds: Int32(milliseconds)) }
    }
}
