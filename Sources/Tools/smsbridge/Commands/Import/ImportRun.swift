import SMSBridgeKafka
import SMSBridgeReplaying
import SMSBridgeSettings
import SMSBridgeTelemetry
import SMSBridgeThreads
import SMSPortalEvents

/// `smsbridge import`: reads the files once to count and compare, and once more to publish.
final class ImportRun {
    private let invocation: Invocation
    private let settings: BridgeSettings
    private let plan: ImportPlan
    private let files: [ImportFile]
    private let decoder: CallbackDecoder
    private let record = RecordBuffer()
    private let interrupted: StopSignal
    private let now = wallClockMilliseconds()
    private let index = EventIDIndex()
    private let report: ImportReport

    /// How many are published at most before the position is committed.
    static let batch = 1_000
    private static let commitInterval = Duration.seconds(1)

    init(_ invocation: Invocation, _ settings: BridgeSettings, _ plan: ImportPlan) throws(ReplayFailure) {
        self.invocation = invocation
        self.settings = settings
        self.plan = plan
        do {
            decoder = try CallbackDecoder(settings.decoder)
            interrupted = try StopSignal()
        } catch {
            throw ReplayFailure(message: "\(error)")
        }
        Interrupts.handle { [interrupted] in interrupted.set() }
        var files: [ImportFile] = []
        for path in plan.paths { files.append(try ImportFile(path)) }
        self.files = files
        report = try ImportReport(
            maxErrors: invocation.value(of: ImportCommand.maxErrors) ?? 20,
            errorsTo: invocation.value(of: ImportCommand.errorsTo))
    }

    func run() throws(ReplayFailure) -> Int32 {
        let selection = invocation.isGiven(ImportCommand.name) ? try selection() : ""
        // What is missing is reported before the files are read, as far as it is known by then.
        let group = invocation.value(of: ImportCommand.name).map(ImportPosition.group)
        if plan.comparesKafka || plan.isExecuted { try checkCluster(group: group) }
        guard try count() else {
            report.finish()
            return interruption("nothing was published")
        }
        report.finish()
        var check: TargetCheck?
        if plan.comparesKafka || plan.isExecuted, !targets.isEmpty {
            try checkCluster(
                reading: plan.comparesKafka ? names(comparedTopics) : [], writing: plan.isExecuted ? names(targets) : []
            )
            check = try TargetCheck(
                names(targets), settings.kafkaClient,
                timestamp: invocation.value(of: ImportCommand.timestamp) ?? .original,
                acceptsLoss: invocation.isOn(ImportCommand.acceptLoss), command: "smsbridge import")
        }
        if plan.comparesKafka {
            let exitCode = try compare()
            guard exitCode == ExitCode.success else {
                report.show(invocation, plan, comparison: nil)
                if exitCode == ExitCode.incomplete { return interruption("nothing was published") }
                Output.error("smsbridge import: what is missing is not known; nothing was published\n")
                return exitCode
            }
        }
        try index.finish()
        report.duplicates = index.duplicates.count
        guard plan.comparesKafka || plan.isExecuted else {
            report.show(invocation, plan, comparison: nil)
            return report.exitCode(plan)
        }
        let isComplete = try publish(check, selection)
        report.show(invocation, plan, comparison: index)
        return isComplete ? report.exitCode(plan) : ExitCode.incomplete
    }

    private func checkCluster(
        reading: [String] = [], writing: [String] = [], group: String? = nil
    ) throws(ReplayFailure) {
        let problem = Preflight(settings).problem(reading: reading, writing: writing, group: group, commits: true)
        if let problem { throw ReplayFailure(message: "\(problem.description)\nnothing was published") }
    }

    private func names(_ topics: [EventTopic]) -> [String] { topics.map { $0.name(prefix: settings.topics.prefix) } }

    private func interruption(_ what: String) -> Int32 {
        Output.error("smsbridge import: interrupted; \(what)\n")
        return ExitCode.incomplete
    }

    /// What a name belongs to.
    private func selection() throws(ReplayFailure) -> String {
        var words: [String] = []
        for (file, options) in zip(files, plan.options) {
            words.append("\(file.size) \(try file.fingerprint()) \(options.format.rawValue)")
        }
        let options: [any CommandOptionDeclaration] = [
            ImportCommand.type, ImportCommand.account, ImportCommand.receivedAt, ImportCommand.delimiter,
            ImportCommand.encoding, ImportCommand.statuses,
        ]
        for option in options { words.append(invocation.isGiven(option) ? "given" : "") }
        words += [
            plan.options.first?.type?.rawValue ?? "", plan.account, plan.options.first?.receivedAt ?? "",
            "\(plan.options.first?.delimiter ?? 0)", plan.encoding ?? "",
            plan.options.first.map { $0.statuses.sorted().map(String.init).joined(separator: ",") } ?? "",
            "\(plan.isOnlyMissing)", "\(plan.publishesQuarantine)",
        ]
        return words.joined(separator: "\n")
    }

    // MARK: Rows

    private func rows(of file: ImportFile, _ options: ImportOptions) throws(ReplayFailure) -> (
        any ImportRows, ImportStream
    ) {
        try file.rewind()
        let isXML = options.format == .xml
        let stream = try ImportStream(file, encoding: plan.encoding)
        let rows: any ImportRows =
            switch options.format {
            case .callbacks: LineRows(stream) { CallbackRows.parse($0, options) }
            case .objects: LineRows(stream) { ObjectRows.parse($0, options) }
            case .accessLog: LineRows(stream) { AccessLogRows.parse($0, options) }
            case .csv: CSVRows(stream, options, delimiter: options.delimiter ?? UInt8(ascii: ","))
            case .xml: try XMLRows(stream, options, encoding: isXML ? plan.encoding : nil)
            }
        return (rows, stream)
    }

    /// Visits the items of all files.
    ///
    /// - Parameter body: false ends it.
    /// - Returns: whether all were visited.
    private func forEach(
        _ what: String, _ body: (ImportFile, ImportItem) throws(ReplayFailure) -> Bool
    ) throws(ReplayFailure) -> Bool {
        var progress = Progress(what, total: 0)
        defer { progress.end() }
        let total = max(1, files.reduce(0) { $0 + $1.size })
        var before: Int64 = 0
        var count = 0
        let began = ContinuousClock.now
        for (file, options) in zip(files, plan.options) {
            let (rows, stream) = try rows(of: file, options)
            while let item = try rows.next() {
                count += 1
                guard try body(file, bounded(item)) else { return false }
                if count & 63 == 0, interrupted.wait(milliseconds: 0) { return false }
                let share = Double(before + stream.consumed) / Double(total)
                progress.update(share: share) {
                    let seconds = max(0.001, began.duration(to: .now) / .seconds(1))
                    let left = share > 0 ? Progress.text(seconds: seconds / share * (1 - share)) : "?"
                    return
                        "\(what) \(count) rows (\(Int(share * 100)) %), \(Int(Double(count) / seconds))/s, \(left) left"
                }
            }
            before += file.size
            if let damage = stream.damage { report.damaged(file, damage) }
        }
        return !interrupted.wait(milliseconds: 0)
    }

    /// The item, unless the bridge would not accept such a request: its record could be larger than the topics take.
    private func bounded(_ item: ImportItem) -> ImportItem {
        guard case .row(let row) = item else { return item }
        if row.body.count > settings.http.maxBodyBytes {
            return .malformed(line: row.line, "longer than \(settings.http.maxBodyBytes) bytes (http.maxBodyBytes)")
        }
        if row.query.count > settings.http.maxTargetBytes {
            return .malformed(
                line: row.line, "query longer than \(settings.http.maxTargetBytes) bytes (http.maxTargetBytes)")
        }
        return item
    }

    /// Makes the record of a row. Without a time of reception it has the time of the event.
    private func decode(_ row: ImportRow) {
        let callback = Callback(
            method: row.method, route: row.route, contentType: row.contentType,
            contentEncoding: row.contentEncoding, query: row.query, body: row.body)
        let account = row.account ?? plan.account
        decoder.decode(
            callback, receivedAt: EventTime(millisecondsSinceEpoch: row.receivedAt ?? now), account: account,
            isImported: true, into: record)
        guard row.receivedAt == nil, let occurredAt = record.occurredAt else { return }
        decoder.decode(
            callback, receivedAt: EventTime(millisecondsSinceEpoch: occurredAt), account: account, isImported: true,
            into: record)
    }

    // MARK: Counting

    /// - Returns: false when it was interrupted.
    private func count() throws(ReplayFailure) -> Bool {
        try forEach("read") { file, item throws(ReplayFailure) in
            switch item {
            case .malformed(let line, let problem): report.malformed(file, line, problem)
            case .skipped(let reason): report.skipped[reason, default: 0] += 1
            case .row(let row):
                decode(row)
                let number = report.add(record, row)
                if record.idBasis != .reception, let id = EventID(record.id.utf8) { try index.add(id, row: number) }
            }
            return true
        }
    }

    // MARK: Comparing

    /// The topics of the events that can be compared.
    private var comparedTopics: [EventTopic] {
        EventTopic.allCases.filter { report.topics.contains($0) && $0 != .quarantine }
    }

    /// Reads the ids of what is in Kafka.
    ///
    /// - Returns: an exit code other than 0 when not all of it could be read.
    private func compare() throws(ReplayFailure) -> Int32 {
        try index.seal()
        guard let oldest = report.oldest, !report.types.isEmpty else { return ExitCode.success }
        // The vendor repeats what was not answered for hours, and its clock may be ahead.
        let since = plan.since ?? oldest - ReplayWindow.occurrenceMargin
        guard !comparedTopics.isEmpty else { return ExitCode.success }
        let reader: RangeReader
        do throws(ReplayError) {
            reader = try RangeReader(
                settings.kafkaClient, topics: names(comparedTopics),
                window: ReplayWindow(from: .time(max(0, since))))
        } catch {
            throw ReplayFailure(message: error.message)
        }
        defer { reader.close(timeout: 2_000) }
        Output.error("smsbridge import: comparing with records received at or after \(plan.zone.text(of: since))\n")
        for topic in reader.plan.missingTopics {
            Output.error("smsbridge import: \(topic) does not exist: all of its events count as missing\n")
        }
        var progress = Progress("compared", total: reader.plan.count)
        var withoutID = 0
        do {
            while !reader.hasEnded {
                if interrupted.wait(milliseconds: 0) {
                    progress.end()
                    return ExitCode.incomplete
                }
                var id: EventID?
                var isRecord = false
                if let message = try reader.next(timeout: 100) {
                    isRecord = true
                    id = Self.id(of: message)
                }
                progress.update(reader.passed)
                guard isRecord else { continue }
                report.compared += 1
                if let id { try index.addFromKafka(id) } else { withoutID += 1 }
            }
        } catch let error as ReplayError {
            progress.end()
            throw ReplayFailure(
                message: error.message, exitCode: error.code == .deleted ? ExitCode.deleted : ExitCode.failure)
        } catch let error as ReplayFailure {
            throw error
        } catch {
            throw ReplayFailure(message: "\(error)")
        }
        progress.end()
        if withoutID > 0 { Output.error("smsbridge import: \(withoutID) records in Kafka have no event id\n") }
        for range in reader.blocked {
            Output.error("smsbridge import: \(range): run it again when the transaction has ended\n")
        }
        if !reader.blocked.isEmpty { return ExitCode.openTransaction }
        let truncated = reader.plan.partitions.filter(\.isTruncated)
        guard !truncated.isEmpty else { return ExitCode.success }
        Output.error(
            "smsbridge import: Kafka has deleted records of that time (\(truncated.map(\.description).joined(separator: ", "))): "
                + "whether rows from before are missing is not known. Import them separately, or give --since a later time to count "
                + "them as missing\n")
        return plan.since == nil ? ExitCode.deleted : ExitCode.success
    }

    private static func id(of message: borrowing Message) -> EventID? {
        message.withRawHeaders { headers in
            for header in headers where header.name.elementsEqual("ce_id".utf8) {
                if let value = header.value { return EventID(value) }
            }
            return nil
        }
    }

    // MARK: Publishing

    /// The topics of the events that may be published.
    private var targets: [EventTopic] {
        EventTopic.allCases.filter { topic in
            report.topics.contains(topic) && (topic != .quarantine || plan.publishesQuarantine)
        }
    }

    /// Publishes what is to be published, or counts it.
    ///
    /// - Returns: false when it was interrupted.
    private func publish(_ check: TargetCheck?, _ selection: String) throws(ReplayFailure) -> Bool {
        let prefix = settings.topics.prefix
        var position: ImportPosition?
        var sender: RecordSender?
        if plan.isExecuted {
            position = try invocation.value(of: ImportCommand.name).map { name throws(ReplayFailure) in
                try ImportPosition(settings, name: name, selection: selection)
            }
            if let position, position.rows > 0 {
                Output.error("smsbridge import: resumed after \(position.rows) rows\n")
            }
            sender = try RecordSender(
                settings.kafkaClient, topics: names(targets), until: interrupted)
        }
        defer {
            sender?.close()
            position?.close()
        }
        let done = position?.rows ?? 0
        let publishedBefore = position?.published ?? 0
        let timestamp = invocation.value(of: ImportCommand.timestamp) ?? .original
        var pacer = Pacer(invocation.value(of: ImportCommand.rate))
        var number = 0
        var waiting = 0
        var nextCommit = ContinuousClock.now + Self.commitInterval
        // Waits for the acknowledgements of what was sent, and commits how many rows are done.
        func settle(isLast: Bool) throws(ReplayFailure) {
            try sender?.flush()
            waiting = 0
            let isInterrupted = interrupted.wait(milliseconds: 0)
            try position?.commit(
                rows: max(done, number), published: publishedBefore + report.published, isLast: isLast,
                timeout: isInterrupted ? 3_000 : isLast ? 10_000 : 5_000)
            nextCommit = .now + Self.commitInterval
        }
        let isComplete = try forEach(plan.isExecuted ? "published" : "checked") { _, item throws(ReplayFailure) in
            guard case .row(let row) = item else { return true }
            // A row is done when it was sent, or is not to be sent; an interruption before that leaves it to the next run.
            guard number >= done else {
                number += 1
                return true
            }
            decode(row)
            let topic = record.topic
            let name = topic.name(prefix: prefix)
            let problem = check?.problem(of: record.timestamp, in: name, now: now)
            let standing = standing(number)
            let isWanted = plan.wants(standing)
            if let sender, problem == nil, isWanted {
                pacer.wait(interrupted)
                guard !interrupted.wait(milliseconds: 0) else { return false }
                var headers: [ArchiveRecord.Header] = []
                record.forEachHeader { headers.append(.init(name: "\($0)", value: Array($1))) }
                let time = timestamp.time(of: record.timestamp, &headers)
                try sender.send(
                    topic: name, key: record.withKey { $0.map(Array.init) }, value: record.withValue(Array.init),
                    timestamp: time, headers: headers)
                report.published += 1
                waiting += 1
            }
            report.count(topic, standing, problem, isWanted: isWanted)
            number += 1
            if position != nil, waiting >= Self.batch || ContinuousClock.now >= nextCommit { try settle(isLast: false) }
            return true
        }
        try settle(isLast: true)
        report.total = publishedBefore + report.published
        report.isResumed = done > 0
        if !isComplete {
            if invocation.isGiven(ImportCommand.name) {
                Output.error("smsbridge import: to resume: \(ShellCommand.text(CommandLine.arguments))\n")
            } else if plan.isExecuted {
                Output.error(
                    "smsbridge import: \(report.published) events were published; without --name it cannot be resumed\n"
                )
            }
        }
        return isComplete
    }

    /// What is known of the row that was decoded.
    private func standing(_ row: Int) -> ImportStanding {
        if index.duplicates.contains(row) { return .duplicate }
        if record.topic == .quarantine { return .notUnderstood }
        guard plan.comparesKafka else { return .notCompared }
        if record.idBasis == .reception { return .notComparable }
        return index.present.contains(row) ? .present : .missing
    }
}
