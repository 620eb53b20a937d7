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
    private let isDryRun: Bool
    private let keys: Set<[UInt8]>
    private let redecoder: Redecoder?
    private let interrupted: StopSignal
    private let events = EventReader()
    private let began = ContinuousClock.now

    private var sent = 0
    private var read: Int64 = 0
    private var missed: Int64 = 0
    private var found: [String: Int] = [:]

    /// How often the place is kept, with all that goes with it.
    private static let checkpointInterval = Duration.seconds(1)

    init(_ invocation: Invocation, _ settings: BridgeSettings) throws(ReplayFailure) {
        self.invocation = invocation
        self.settings = settings
        isDryRun = invocation.isOn(ReplayCommand.dryRun)
        keys = Set(invocation.values(of: ReplayCommand.keys).map { Array($0.utf8) })
        do {
            redecoder = invocation.isOn(ReplayCommand.redecode) ? try Redecoder(settings.decoder) : nil
            interrupted = try StopSignal()
        } catch {
            throw ReplayFailure(message: "\(error)")
        }
        Interrupts.handle { [interrupted] in interrupted.set() }
    }

    func run() throws(ReplayFailure) -> Int32 {
        if let file = invocation.value(of: ReplayCommand.fromFile) { return try send(file) }
        return try replay()
    }

    // MARK: Out of Kafka

    private func replay() throws(ReplayFailure) -> Int32 {
        let asked = ReplayCommand.window(invocation)
        let occurrence = invocation.value(of: ReplayCommand.by) == .occurred ? asked : nil
        let topics = ReplayCommand.topics(invocation, settings)
        if let target = invocation.value(of: ReplayCommand.toTopic), topics.contains(target),
            !invocation.isOn(ReplayCommand.force)
        {
            throw ReplayFailure(message: "--to-topic: \(target) is what is read: say --force")
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
        defer { reader.close() }
        tellPlan(reader)
        // One that has come to its end needs nothing: its file may have been taken away.
        let sink = reader.isResumed && reader.isDone ? NoSink() : try makeSink(goesOn: reader.isResumed)
        defer { sink.close() }
        // Not before the target is there: what is written down has begun, and only goes on.
        if let checkpoint, !reader.isResumed { try keep(reader, sink, checkpoint) }
        let window = occurrence == nil ? reader.plan.window : asked
        var progress = Progress("read", total: reader.plan.count)
        var pacer = Pacer(invocation.value(of: ReplayCommand.rate))
        var nextCheckpoint = ContinuousClock.now + Self.checkpointInterval
        var told: Set<String> = []
        do throws(ReplayFailure) {
            while !reader.isDone, !interrupted.wait(milliseconds: 0) {
                if let record = try next(reader, window, isOccurrence: occurrence != nil, told: &told) {
                    pacer.wait(interrupted)
                    try sink.put(redecoder?.redecode(record) ?? record)
                    sent += 1
                    found["\(record.topic)[\(record.partition)]", default: 0] += 1
                }
                progress.update(reader.passed)
                guard let checkpoint, ContinuousClock.now >= nextCheckpoint else { continue }
                nextCheckpoint = .now + Self.checkpointInterval
                try keep(reader, sink, checkpoint)
            }
            try sink.flush()
            if let checkpoint { try keep(reader, sink, checkpoint) }
        } catch {
            progress.end()
            tellResume(checkpoint != nil)
            throw error
        }
        progress.end()
        read = reader.passed
        tellResult(reader, isComplete: reader.isDone)
        guard !reader.isDone else { return ExitCode.success }
        tellResume(checkpoint != nil)
        return ExitCode.incomplete
    }

    /// The next record that is meant; nil when none came, or another one did.
    private func next(
        _ reader: RangeReader, _ window: ReplayWindow, isOccurrence: Bool, told: inout Set<String>
    ) throws(ReplayFailure) -> ArchiveRecord? {
        do throws(ReplayError) {
            var errors: [KafkaError] = []
            let message = try reader.next(timeout: 100) { errors.append($0) }
            for error in errors where told.insert("\(error.code)").inserted {
                Output.error("smsbridge replay: Kafka: \(error.message)\n")
            }
            if reader.missed > missed {
                Output.error("smsbridge replay: \(reader.missed - missed) offsets were deleted and are skipped\n")
                missed = reader.missed
            }
            guard let message else { return nil }
            let isMeant =
                keys.isEmpty || message.withKey { key in key.map { keys.contains(Array($0)) } ?? false }
            guard isMeant else { return nil }
            if !isOccurrence { return window.contains(message.timestamp) ? ArchiveRecord(message) : nil }
            let record = ArchiveRecord(message)
            let event = (record.value ?? []).withUnsafeBytes { value in
                try? events.event(value: value, headers: [])
            }
            let time =
                event.map { ($0.envelope.occurredAt ?? $0.receivedAt).millisecondsSinceEpoch } ?? record.timestamp
            return window.contains(time) ? record : nil
        } catch {
            let way = error.code == .deleted ? ". --skip-deleted goes on with what is left" : ""
            throw ReplayFailure(message: error.message + way)
        }
    }

    private func checkpoint(_ topics: [String]) -> ReplayCheckpoint? {
        invocation.value(of: ReplayCommand.name).map { name in
            let words = [
                topics.joined(separator: ","), invocation.value(of: ReplayCommand.from)?.text ?? "",
                invocation.value(of: ReplayCommand.to)?.text ?? "",
                invocation.value(of: ReplayCommand.by)?.rawValue ?? "",
                invocation.values(of: ReplayCommand.keys).sorted().joined(separator: ","),
                invocation.value(of: ReplayCommand.toTopic) ?? "", invocation.value(of: ReplayCommand.toFile) ?? "",
                invocation.isOn(ReplayCommand.redecode) ? "redecode" : "",
            ]
            return ReplayCheckpoint(group: "smsbridge-replay-\(name)", selection: words.joined(separator: "\n"))
        }
    }

    private func makeSink(goesOn: Bool) throws(ReplayFailure) -> any ReplaySink {
        if isDryRun { return NoSink() }
        if let file = invocation.value(of: ReplayCommand.toFile) {
            return try FileSink(file, goesOn: goesOn ? invocation.value(of: ReplayCommand.name) : nil)
        }
        return try TopicSink(
            settings.kafkaClient, topic: invocation.value(of: ReplayCommand.toTopic) ?? "",
            name: invocation.value(of: ReplayCommand.name))
    }

    private func keep(
        _ reader: RangeReader, _ sink: any ReplaySink, _ checkpoint: ReplayCheckpoint
    ) throws(ReplayFailure) {
        try sink.flush()
        do throws(ReplayError) { try reader.commit(reader.positions, to: checkpoint) } catch {
            throw ReplayFailure(message: error.message)
        }
    }

    // MARK: Out of a file

    private func send(_ file: String) throws(ReplayFailure) -> Int32 {
        let sink = try makeSink(goesOn: false)
        defer { sink.close() }
        let lines = try LineReader(file)
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
                let again = sent > 0 && !isDryRun ? ". \(Self.beginsAnew)" : ""
                throw ReplayFailure(
                    message:
                        "--from-file: \(file), line \(number): \(error.message); \(sent) records before it were sent\(again)"
                )
            }
            pacer.wait(interrupted)
            try sink.put(redecoder?.redecode(record) ?? record)
            sent += 1
            progress.update(Int64(sent))
        }
        try sink.flush()
        progress.end()
        read = Int64(number)
        tellResult(nil, isComplete: isWhole)
        guard !isWhole else { return ExitCode.success }
        if sent > 0, !isDryRun {
            Output.error("smsbridge replay: ended early, behind line \(number) of \(file). \(Self.beginsAnew)\n")
        }
        return ExitCode.incomplete
    }

    /// A file has no place that Kafka could keep.
    private static let beginsAnew =
        "Sent again, a file begins anew: repeats have the same event ids and the same replay-of"

    // MARK: What it says

    private func tellPlan(_ reader: RangeReader) {
        for topic in reader.plan.missingTopics {
            Output.error("smsbridge replay: \(topic) does not exist, or may not be described: nothing of it is read\n")
        }
        let cut = reader.plan.partitions.filter(\.beginsBehindDeleted)
        if !cut.isEmpty {
            let names = cut.map { "\($0.topic)[\($0.partition)]" }.joined(separator: ", ")
            Output.error(
                "smsbridge replay: the topics do not reach back to --from, older records have been deleted: \(names)\n")
        }
        if reader.isResumed {
            Output.error("smsbridge replay: goes on, \(reader.plan.count) records are left to read\n")
        } else if reader.plan.count == 0 {
            Output.error("smsbridge replay: there is no record in this range\n")
        }
        if let late = invocation.value(of: ReplayCommand.late) {
            Output.error("smsbridge replay: --late: what a spool published more than \(late) after --to is missed\n")
        }
    }

    private func tellResult(_ reader: RangeReader?, isComplete: Bool) {
        let elapsed = began.duration(to: .now).components
        let seconds = max(0.001, Double(elapsed.seconds) + Double(elapsed.attoseconds) / 1e18)
        let rate = Int(Double(sent) / seconds)
        if isDryRun, !invocation.isOn(ReplayCommand.json) {
            for partition in reader?.plan.partitions ?? [] where !partition.offsets.isEmpty {
                let place = "\(partition.topic)[\(partition.partition)]"
                Output.line(
                    "\(place)  offsets \(partition.offsets.lowerBound) to \(partition.offsets.upperBound - 1)  "
                        + "\(found[place] ?? 0) records")
            }
            for (field, count) in redecoder?.differences.sorted(by: { $0.key < $1.key }) ?? [] {
                Output.line("\(field)  differs in \(count) records")
            }
        }
        if invocation.isOn(ReplayCommand.json) {
            let partitions = (reader?.plan.partitions ?? []).filter { !$0.offsets.isEmpty }.map { partition in
                "{\"topic\":\(JSONText.string(partition.topic)),\"partition\":\(partition.partition),"
                    + "\"from\":\(partition.offsets.lowerBound),\"to\":\(partition.offsets.upperBound),"
                    + "\"records\":\(found["\(partition.topic)[\(partition.partition)]"] ?? 0)}"
            }
            let fields = (redecoder?.differences.sorted { $0.key < $1.key } ?? []).map {
                "\(JSONText.string($0.key)):\($0.value)"
            }
            Output.line(
                "{\"records\":\(sent),\"read\":\(read),\"perSecond\":\(rate),\"complete\":\(isComplete),"
                    + "\"missed\":\(reader?.missed ?? 0),\"resumed\":\(reader?.isResumed ?? false),\"dryRun\":\(isDryRun),"
                    + "\"redecoded\":\(redecoder?.changed ?? 0),\"differences\":{\(fields.joined(separator: ","))},"
                    + "\"partitions\":[\(partitions.joined(separator: ","))]}")
        }
        let verb = isDryRun ? "would be sent" : "sent"
        let again = redecoder.map { ", \($0.changed) of them decoded to something else" } ?? ""
        let gap = missed > 0 ? ", \(missed) deleted before they could be read" : ""
        Output.error("smsbridge replay: \(sent) records \(verb)\(again), \(read - missed) read\(gap), \(rate)/s\n")
    }

    private func tellResume(_ hasName: Bool) {
        guard hasName else {
            if sent > 0, !isDryRun {
                Output.error("smsbridge replay: \(sent) records were sent; without --name it cannot go on from there\n")
            }
            return
        }
        Output.error("smsbridge replay: to go on: \(ShellCommand.text(CommandLine.arguments))\n")
    }
}

/// Lets no more records through than a rate allows.
private struct Pacer {
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
