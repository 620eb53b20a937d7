import SMSBridgeKafka
import SMSBridgeReplaying
import SMSBridgeSettings
import SMSBridgeThreads
import SMSPortalEvents

/// `smsbridge quarantine`: callbacks that were not understood.
enum QuarantineCommand {
    private static let from = CommandOption<ReplayTime>(
        "--from", "T", .replayTime, default: ReplayTime(text: "earliest", value: .earliest),
        help: "Received at or after T: RFC 3339, a date, or an age.")
    private static let to = CommandOption<ReplayTime>(
        "--to", "T", .replayTime, default: ReplayTime(text: "now", value: .now), help: "Received before T.")
    private static let reasons = CommandOption<String>(
        "--reason", "REASON", .anyText("reason"), repeats: true,
        help: "Only this reason, as list shows it. May be repeated.")
    private static let places = CommandOption<String>(
        "--at", "PARTITION:OFFSET", .anyText("place"), repeats: true,
        help: "Only this callback, as list shows it. May be repeated.")
    private static let all = CommandOption<Bool>(
        "--all", help: "Include redecoded ones, within the topic's retention.")
    private static let refused = CommandOption<Bool>(
        "--refused", help: "Send events that Kafka refused to their topics again, too: once those take them.")
    private static let timestamp = CommandOption<ReplayTimestamp>(
        "--timestamp", "WHICH", .word("timestamp"), default: .original,
        help: "Record timestamp: original or now. With now, the header replay-timestamp has the original.")
    private static let acceptLoss = CommandOption<Bool>(
        "--accept-loss", help: "Publish events that their topic's retention will delete.")
    private static let charset = CommandOption<String>(
        "--charset", "NAME", .anyText("charset"),
        help: "Charset of bodies and query strings that are not UTF-8, such as windows-1252.")
    private static let dryRun = CommandOption<Bool>("--dry-run", help: "Count only.")
    private static let json = CommandOption<Bool>("--json", help: "Write JSON to standard output, one object per line.")

    private static let showsContent = CommandOption<Bool>(
        "--show-content", help: "Show the request with its numbers and texts.")

    private static let filters: [any CommandOptionDeclaration] = [reasons, from, to, CommandWindow.timeZone, places]
    private static let settings = Command.SettingsUse(needs: .kafka, sections: ["kafka", "topics", "events"])

    static let command = Command(
        "quarantine", summary: "List and redecode quarantined callbacks",
        subcommands: [
            Command(
                "list", summary: "List quarantined callbacks: position, time, reason",
                options: filters + [all, json], settings: settings,
                examples: [.init("of the last day", "smsbridge quarantine list --from 24h")]
            ) {
                run($0, $1.settings) { invocation, window, _, ledger, interrupted throws(ReplayFailure) in
                    try list(invocation, window.window, ledger, interrupted)
                    return true
                }
            },
            Command(
                "show", summary: "Show everything known about quarantined callbacks",
                discussion: "Of subscribers nothing is shown unless --show-content asks for it.",
                options: filters + [all, showsContent], settings: settings,
                examples: [
                    .init("one of them, with its content", "smsbridge quarantine show --at 0:17 --show-content")
                ]
            ) {
                run($0, $1.settings) { invocation, window, _, ledger, interrupted throws(ReplayFailure) in
                    try show(invocation, window.window, ledger, interrupted)
                    return true
                }
            },
            Command(
                "redecode", summary: "Decode again with the current settings, and publish the results",
                discussion: """
                    After events.<type>.fields has been given the names of a new shape: what is now understood goes to the
                    topic of its type, with its first id and time, once. What still is not stays. A kill in between sends
                    at most the last 1,000 again, with the same ids. With --refused also events that were decoded, and
                    that their topic rejected, unchanged: raise its max.message.bytes first.
                    What is older than its topic keeps stays, unless --timestamp now or --accept-loss says otherwise.
                    Exit codes: 0; 1 failed; 4 interrupted, or some that could be published were not; 5 some lie behind an open
                    transaction.
                    """,
                options: filters + [charset, refused, timestamp, acceptLoss, dryRun, json], settings: settings,
                examples: [
                    .init(
                        "what would become of them", "smsbridge quarantine redecode --dry-run --config smsbridge.yaml")
                ]
            ) {
                run($0, $1.settings) { invocation, window, settings, ledger, interrupted throws(ReplayFailure) in
                    try redecode(invocation, window, settings, ledger, interrupted)
                }
            },
        ])

    /// Returns whether everything that could be done was done.
    private typealias Body = (
        Invocation, CommandWindow, BridgeSettings, RecordLedger, StopSignal
    ) throws(ReplayFailure) -> Bool

    private static func run(_ invocation: Invocation, _ settings: BridgeSettings, _ body: Body) -> Int32 {
        let name = "smsbridge \(invocation.command)"
        let window: CommandWindow
        do throws(WrongValue) { window = try CommandWindow(invocation, from: from, to: to) } catch {
            Output.error("\(name): \(error.detail ?? "the window is invalid")\n")
            return ExitCode.usage
        }
        let topic = EventTopic.quarantine.name(prefix: settings.topics.prefix)
        let marks = "smsbridge-redecode-\(topic)"
        let redecodes = invocation.command == "quarantine redecode" && !invocation.isOn(dryRun)
        let problem = Preflight(settings).problem(
            reading: [topic, marks],
            writing: redecodes
                ? EventTopic.allCases.filter { $0 != .quarantine }.map { $0.name(prefix: settings.topics.prefix) } : [],
            creating: redecodes ? marks : nil)
        if let problem {
            Output.error("\(name): \(problem)\n")
            return ExitCode.failure
        }
        do throws(ReplayFailure) {
            let interrupted = try DeadLettersCommand.stopSignal()
            let ledger = RecordLedger(settings.kafkaClient, topic: topic, marks: marks)
            defer { ledger.close() }
            let isWhole = try body(invocation, window, settings, ledger, interrupted)
            let exitCode = ledger.exitCode(name, interrupted)
            return exitCode == ExitCode.success && !isWhole ? ExitCode.incomplete : exitCode
        } catch {
            Output.error("\(name): \(error.message)\n")
            return error.exitCode
        }
    }

    /// The event of a record, when it is selected; nil for a record that is no event and cannot be decoded.
    private static func event(
        _ record: ArchiveRecord, _ invocation: Invocation, _ window: ReplayWindow
    ) -> Unrecognised? {
        let headers = record.headers.map { EventRecord.Header(name: $0.name, value: $0.value) }
        guard case .unrecognised(let event)? = try? Event(value: record.value, headers: headers) else { return nil }
        let time = event.envelope.receivedAt.millisecondsSinceEpoch
        return isMeant(record, at: time, reason: "\(event.reason)", invocation, window) ? event : nil
    }

    private static func isMeant(
        _ record: ArchiveRecord, at time: Int64, reason: String, _ invocation: Invocation, _ window: ReplayWindow
    ) -> Bool {
        let reasons = invocation.values(of: self.reasons)
        let places = invocation.values(of: self.places)
        return window.contains(time) && (reasons.isEmpty || reasons.contains(reason))
            && (places.isEmpty || places.contains(record.position))
    }

    // MARK: Looking

    private static func list(
        _ invocation: Invocation, _ window: ReplayWindow, _ ledger: RecordLedger, _ interrupted: StopSignal
    ) throws(ReplayFailure) {
        var count = 0
        var refused = 0
        try ledger.forEach(all: invocation.isOn(all), until: interrupted) { record, isOpen in
            guard let event = event(record, invocation, window) else {
                if let line = refusal(record, isOpen: isOpen, invocation, window) {
                    Output.line(line)
                    refused += 1
                }
                return true
            }
            count += 1
            let place = record.position
            let time = event.envelope.receivedAt.rfc3339
            let route = event.envelope.raw.path
            let bytes = event.envelope.raw.query.count + event.envelope.raw.body.count
            if invocation.isOn(json) {
                Output.line(
                    "{\"at\":\"\(place)\",\"open\":\(isOpen),\"receivedAt\":\"\(time)\","
                        + "\"reason\":\(JSONText.string("\(event.reason)")),\"path\":\(JSONText.string(route)),"
                        + "\"bytes\":\(bytes),\"id\":\(JSONText.string(event.envelope.id))}")
            } else {
                Output.line(
                    "\(place)  \(time)  \(event.reason)  \(route)  \(bytes) bytes  id \(event.envelope.id)"
                        + (isOpen ? "" : "  done"))
            }
            return true
        }
        Output.error(
            "smsbridge quarantine list: \(count) callbacks\(refused > 0 ? ", \(refused) events that Kafka refused" : "")\n"
        )
    }

    /// The line of an event that was understood, and that Kafka would not take in its topic; nil for any other record.
    private static func refusal(
        _ record: ArchiveRecord, isOpen: Bool, _ invocation: Invocation, _ window: ReplayWindow
    ) -> String? {
        guard let refusal = Refusal(record),
            isMeant(record, at: record.timestamp, reason: refusal.error, invocation, window)
        else { return nil }
        let (error, topic) = (printable(refusal.error), printable(refusal.topic))
        let place = record.position
        let time = EventTime(millisecondsSinceEpoch: record.timestamp).rfc3339
        let bytes = record.value?.count ?? 0
        let id = printable(record.text(ofHeader: "ce_id") ?? "")
        if invocation.isOn(json) {
            return "{\"at\":\"\(place)\",\"open\":\(isOpen),\"receivedAt\":\"\(time)\","
                + "\"reason\":\(JSONText.string(error)),\"topic\":\(JSONText.string(topic)),\"bytes\":\(bytes),\"id\":\(JSONText.string(id))}"
        }
        return "\(place)  \(time)  \(error)  refused in \(topic)  \(bytes) bytes  id \(id)"
    }

    private static func show(
        _ invocation: Invocation, _ window: ReplayWindow, _ ledger: RecordLedger, _ interrupted: StopSignal
    ) throws(ReplayFailure) {
        let showsContent = invocation.isOn(showsContent)
        var count = 0
        try ledger.forEach(all: invocation.isOn(all), until: interrupted) { record, isOpen in
            guard let event = event(record, invocation, window) else { return true }
            if count > 0 { Output.line("") }
            count += 1
            let raw = event.envelope.raw
            Output.line("at        \(record.position)\(isOpen ? "" : "  done")")
            Output.line("received  \(event.envelope.receivedAt.rfc3339)")
            Output.line("reason    \(event.reason)\(event.detail.map { ": " + printable($0) } ?? "")")
            // The names of its parameters may be anything, numbers among them.
            func shown(_ bytes: [UInt8]) -> String { showsContent ? text(bytes) : "[\(bytes.count) bytes]" }
            Output.line(
                "request   \(raw.method.rawValue) \(raw.path)\(raw.query.isEmpty ? "" : "?" + shown(raw.query))")
            Output.line("content   \(raw.contentType)")
            if !raw.body.isEmpty { Output.line("body      \(shown(raw.body))") }
            return true
        }
        if count == 0 { Output.error("smsbridge quarantine show: there is no such callback that is open\n") }
    }

    private static func text(_ bytes: [UInt8]) -> String { printable(String(decoding: bytes, as: UTF8.self)) }

    private static func printable(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 32 || $0.value == 127 ? "?" : $0 }))
    }

    // MARK: Decoding again

    /// How many are sent before the processed offsets are stored.
    private static let batch = 1_000

    private static func redecode(
        _ invocation: Invocation, _ window: CommandWindow, _ settings: BridgeSettings, _ ledger: RecordLedger,
        _ interrupted: StopSignal
    ) throws(ReplayFailure) -> Bool {
        let decoder: CallbackDecoder
        var configuration = settings.decoder
        configuration.charset = invocation.value(of: charset)
        do throws(DecoderConfigurationError) { decoder = try CallbackDecoder(configuration) } catch {
            throw ReplayFailure(message: "\(error)")
        }
        let isDryRun = invocation.isOn(dryRun)
        let which = invocation.value(of: timestamp) ?? .original
        var sender: RecordSender?
        defer { sender?.close() }
        var becomes: [String: Int] = [:]
        var left: [String: Int] = [:]
        var waiting = 0
        func settle() throws(ReplayFailure) {
            try sender?.flush()
            try ledger.keep()
            waiting = 0
        }
        let topics = EventTopic.allCases.filter { $0 != .quarantine }
        let names = topics.map { $0.name(prefix: settings.topics.prefix) }
        let check = try TargetCheck(
            names, settings.kafkaClient, timestamp: which, acceptsLoss: invocation.isOn(acceptLoss),
            command: "smsbridge quarantine redecode")
        /// Records that could be published and were not.
        var held = 0
        var advice: String?
        func isHeld(_ time: Int64, _ topic: String) -> Bool {
            guard let problem = check.problem(of: time, in: topic) else { return false }
            left[problem, default: 0] += 1
            held += 1
            advice = advice ?? TargetCheck.advice(topic)
            return true
        }
        try ledger.forEach(until: interrupted) { record, _ throws(ReplayFailure) in
            guard let event = event(record, invocation, window.window) else {
                guard invocation.isOn(refused), let refusal = Refusal(record),
                    isMeant(record, at: record.timestamp, reason: refusal.error, invocation, window.window)
                else { return true }
                guard let index = names.firstIndex(of: refusal.topic) else {
                    left["refused in a topic that is not this bridge's", default: 0] += 1
                    return true
                }
                guard !isHeld(record.timestamp, refusal.topic) else { return true }
                if !isDryRun {
                    guard try again(record, in: refusal.topic, which, settings, interrupted) else {
                        left["refused again in \(refusal.topic)", default: 0] += 1
                        held += 1
                        return true
                    }
                    try ledger.finish(record)
                }
                becomes[topics[index].suffix, default: 0] += 1
                return true
            }
            var again = Event.unrecognised(event).redecoded(by: decoder)
            guard again.type != .unrecognised else {
                left["\(event.reason)", default: 0] += 1
                return true
            }
            // Consumers that have seen it identify it by this id.
            again.envelope.id = event.envelope.id
            again.envelope.idBasis = event.envelope.idBasis
            let new = again.record()
            let topic = new.topic.name(prefix: settings.topics.prefix)
            guard !isHeld(new.timestamp.millisecondsSinceEpoch, topic) else { return true }
            guard !isDryRun else {
                becomes[new.topic.suffix, default: 0] += 1
                return true
            }
            do throws(ReplayFailure) { try ledger.finish(record) } catch {
                try settle()
                let count = becomes.values.reduce(0, +)
                throw ReplayFailure(message: "after \(count), which were published: \(error.message)")
            }
            if sender == nil { sender = try RecordSender(settings.kafkaClient, topics: [topic], until: interrupted) }
            var headers = new.headers.map { ArchiveRecord.Header(name: $0.name, value: $0.value) }
            try sender?.send(
                topic: topic, key: new.key, value: new.value,
                timestamp: which.time(of: new.timestamp.millisecondsSinceEpoch, &headers), headers: headers)
            becomes[new.topic.suffix, default: 0] += 1
            waiting += 1
            if waiting >= batch { try settle() }
            return true
        }
        try settle()
        tell(invocation, becomes, left, isDryRun: isDryRun)
        if let advice { Output.error("smsbridge quarantine redecode: for those that are too old \(advice)\n") }
        return held == 0
    }

    /// Sends an event to the topic that refused it, by itself: one that is refused again must not hold back the others.
    ///
    /// - Returns: whether it was taken.
    private static func again(
        _ record: ArchiveRecord, in topic: String, _ which: ReplayTimestamp, _ settings: BridgeSettings,
        _ interrupted: StopSignal
    ) throws(ReplayFailure) -> Bool {
        let sender = try RecordSender(settings.kafkaClient, topics: [topic], until: interrupted)
        defer { sender.close() }
        do throws(ReplayFailure) {
            var headers = record.headers.filter { !Refusal.headers.contains($0.name) }
            try sender.send(
                topic: topic, key: record.key, value: record.value,
                timestamp: which.time(of: record.timestamp, &headers),
                headers: headers)
            try sender.flush()
            return true
        } catch {
            Output.error("smsbridge quarantine redecode: \(record.position): \(error.message)\n")
            return false
        }
    }

    private static func tell(
        _ invocation: Invocation, _ becomes: [String: Int], _ left: [String: Int], isDryRun: Bool
    ) {
        if invocation.isOn(json) {
            func object(_ counts: [String: Int]) -> String {
                "{"
                    + counts.sorted { $0.key < $1.key }.map { "\(JSONText.string($0.key)):\($0.value)" }
                    .joined(separator: ",") + "}"
            }
            Output.line("{\"understood\":\(object(becomes)),\"left\":\(object(left)),\"dryRun\":\(isDryRun)}")
        } else {
            for (type, count) in becomes.sorted(by: { $0.key < $1.key }) { Output.line("\(count)  \(type)") }
            for (reason, count) in left.sorted(by: { $0.key < $1.key }) {
                Output.line("\(count)  left: \(reason)")
            }
        }
        let count = becomes.values.reduce(0, +)
        Output.error(
            "smsbridge quarantine redecode: \(count) \(invocation.isOn(refused) ? "are understood, or may be taken, now" : "callbacks are understood now"), \(isDryRun ? "nothing was published" : "and published")\n"
        )
    }
}

/// Why a decoded event is in the quarantine: its topic rejected the record.
private struct Refusal {
    static let headers = ["smsbridge-refused", "smsbridge-topic"]

    let error: String
    let topic: String

    /// - Returns: nil for any other record.
    init?(_ record: ArchiveRecord) {
        guard let error = record.text(ofHeader: Self.headers[0]), let topic = record.text(ofHeader: Self.headers[1])
        else { return nil }
        self.error = error
        self.topic = topic
    }
}

extension ArchiveRecord {
    /// The last header of a name, as text.
    fileprivate func text(ofHeader name: String) -> String? {
        headers.last { $0.name == name }?.value.map { String(decoding: $0, as: UTF8.self) }
    }
}
