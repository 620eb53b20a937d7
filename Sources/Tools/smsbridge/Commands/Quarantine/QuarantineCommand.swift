import SMSBridgeKafka
import SMSBridgeReplaying
import SMSBridgeSettings
import SMSBridgeThreads
import SMSPortalEvents

/// `smsbridge quarantine`: callbacks that were not understood.
enum QuarantineCommand {
    private static let from = CommandOption<ReplayTime>(
        "--from", "T", .replayTime, default: ReplayTime(text: "earliest", point: .earliest),
        help: "From when on it was received: RFC 3339, or an age.")
    private static let to = CommandOption<ReplayTime>(
        "--to", "T", .replayTime, default: ReplayTime(text: "now", point: .now),
        help: "Until before when it was received.")
    private static let reasons = CommandOption<String>(
        "--reason", "REASON", .anyText("reason"), repeats: true,
        help: "Only this reason, as list shows it. May be repeated.")
    private static let places = CommandOption<String>(
        "--at", "PARTITION:OFFSET", .anyText("place"), repeats: true,
        help: "Only this callback, as list shows it. May be repeated.")
    private static let all = CommandOption<Bool>(
        "--all", help: "Those that were redecoded, too, as far as the topic keeps them.")
    private static let refused = CommandOption<Bool>(
        "--refused", help: "Send events that Kafka refused to their topics again, too: once those take them.")
    private static let dryRun = CommandOption<Bool>("--dry-run", help: "Count only.")
    private static let json = CommandOption<Bool>("--json", help: "Write JSON to standard output, an object a line.")

    private static let filters: [any CommandOptionDeclaration] = [reasons, from, to, places]
    private static let settings = Command.SettingsUse(needs: .kafka, sections: ["kafka", "topics", "events"])

    static let command = Command(
        "quarantine", summary: "Look at callbacks that were not understood, and decode them again",
        subcommands: [
            Command(
                "list", summary: "A line for each callback that is not understood: place, time, reason",
                options: filters + [all, json], settings: settings,
                examples: [.init("of the last day", "smsbridge quarantine list --from 24h")]),
            Command(
                "show", summary: "Callbacks as they came in",
                discussion: "Prints what subscribers wrote.",
                options: filters + [all], settings: settings,
                examples: [.init("one of them", "smsbridge quarantine show --at 0:17")]),
            Command(
                "redecode", summary: "Decode again, as the settings say now, and publish what is understood",
                discussion: """
                    After events.<type>.fields has been given the names of a new shape: what is now understood goes to the
                    topic of its type, with its first id and time, once. What still is not stays. A kill in between sends
                    at most the last 1,000 again, with the same ids. With --refused also events that were understood, and
                    that their topic refused for themselves, as they are: raise its max.message.bytes first.
                    Exit codes: 0; 1 failed; 4 ended early.
                    """,
                options: filters + [refused, dryRun, json], settings: settings,
                examples: [
                    .init(
                        "what would become of them", "smsbridge quarantine redecode --dry-run --config smsbridge.yaml")
                ]),
        ])

    static func run(_ invocation: Invocation, _ settings: BridgeSettings) -> Int32 {
        do throws(ReplayFailure) {
            let interrupted = try DeadLettersCommand.stopSignal()
            let topic = EventTopic.quarantine.name(prefix: settings.topics.prefix)
            let ledger = RecordLedger(settings.kafkaClient, topic: topic, marks: "smsbridge-redecode-\(topic)")
            defer { ledger.close() }
            switch invocation.command {
            case "quarantine list": try list(invocation, ledger, interrupted)
            case "quarantine show": try show(invocation, ledger, interrupted)
            default: try redecode(invocation, settings, ledger, interrupted)
            }
            return interrupted.wait(milliseconds: 0) ? ExitCode.incomplete : ExitCode.success
        } catch {
            Output.error("smsbridge \(invocation.command): \(error.message)\n")
            return ExitCode.failure
        }
    }

    /// The event of a record, when it is meant; nil for a record that is no event, which nobody can decode.
    private static func event(_ record: ArchiveRecord, _ invocation: Invocation) -> Unrecognised? {
        let headers = record.headers.map { EventRecord.Header(name: $0.name, value: $0.value) }
        guard case .unrecognised(let event)? = try? Event(value: record.value, headers: headers) else { return nil }
        let time = event.envelope.receivedAt.millisecondsSinceEpoch
        return isMeant(record, at: time, reason: "\(event.reason)", invocation) ? event : nil
    }

    private static func isMeant(
        _ record: ArchiveRecord, at time: Int64, reason: String, _ invocation: Invocation
    ) -> Bool {
        let window = ReplayWindow(
            from: invocation.value(of: from)?.point ?? .earliest, to: invocation.value(of: to)?.point ?? .now)
        let reasons = invocation.values(of: self.reasons)
        let places = invocation.values(of: self.places)
        return window.contains(time) && (reasons.isEmpty || reasons.contains(reason))
            && (places.isEmpty || places.contains("\(record.partition):\(record.offset)"))
    }

    // MARK: Looking

    private static func list(
        _ invocation: Invocation, _ ledger: RecordLedger, _ interrupted: StopSignal
    ) throws(ReplayFailure) {
        var count = 0
        var refused = 0
        try ledger.forEach(all: invocation.isOn(all), until: interrupted) { record, isOpen in
            guard let event = event(record, invocation) else {
                if let line = refusal(record, isOpen: isOpen, invocation) {
                    Output.line(line)
                    refused += 1
                }
                return true
            }
            count += 1
            let place = "\(record.partition):\(record.offset)"
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
    private static func refusal(_ record: ArchiveRecord, isOpen: Bool, _ invocation: Invocation) -> String? {
        guard let refusal = Refusal(record),
            isMeant(record, at: record.timestamp, reason: refusal.error, invocation)
        else { return nil }
        let (error, topic) = (printable(refusal.error), printable(refusal.topic))
        let place = "\(record.partition):\(record.offset)"
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
        _ invocation: Invocation, _ ledger: RecordLedger, _ interrupted: StopSignal
    ) throws(ReplayFailure) {
        var count = 0
        try ledger.forEach(all: invocation.isOn(all), until: interrupted) { record, isOpen in
            guard let event = event(record, invocation) else { return true }
            if count > 0 { Output.line("") }
            count += 1
            let raw = event.envelope.raw
            Output.line("at        \(record.partition):\(record.offset)\(isOpen ? "" : "  done")")
            Output.line("received  \(event.envelope.receivedAt.rfc3339)")
            Output.line("reason    \(event.reason)\(event.detail.map { ": " + printable($0) } ?? "")")
            Output.line("request   \(raw.method.rawValue) \(raw.path)\(raw.query.isEmpty ? "" : "?" + text(raw.query))")
            Output.line("content   \(raw.contentType)")
            if !raw.body.isEmpty { Output.line("body      \(text(raw.body))") }
            return true
        }
        if count == 0 { Output.error("smsbridge quarantine show: there is no such callback that is open\n") }
    }

    private static func text(_ bytes: [UInt8]) -> String { printable(String(decoding: bytes, as: UTF8.self)) }

    private static func printable(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 32 || $0.value == 127 ? "?" : $0 }))
    }

    // MARK: Decoding again

    /// How many are sent before what is done with is kept.
    private static let batch = 1_000

    private static func redecode(
        _ invocation: Invocation, _ settings: BridgeSettings, _ ledger: RecordLedger, _ interrupted: StopSignal
    ) throws(ReplayFailure) {
        let decoder: CallbackDecoder
        do throws(DecoderConfigurationError) { decoder = try CallbackDecoder(settings.decoder) } catch {
            throw ReplayFailure(message: "\(error)")
        }
        let isDryRun = invocation.isOn(dryRun)
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
        try ledger.forEach(until: interrupted) { record, _ throws(ReplayFailure) in
            guard let event = event(record, invocation) else {
                guard invocation.isOn(refused), let refusal = Refusal(record),
                    isMeant(record, at: record.timestamp, reason: refusal.error, invocation)
                else { return true }
                guard let index = names.firstIndex(of: refusal.topic) else {
                    left["refused in a topic that is not this bridge's", default: 0] += 1
                    return true
                }
                if !isDryRun {
                    guard try again(record, in: refusal.topic, settings) else {
                        left["refused again in \(refusal.topic)", default: 0] += 1
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
            // Whoever has seen it knows it by this id.
            again.envelope.id = event.envelope.id
            again.envelope.idBasis = event.envelope.idBasis
            let new = again.record()
            guard !isDryRun else {
                becomes[new.topic.suffix, default: 0] += 1
                return true
            }
            do throws(ReplayFailure) { try ledger.finish(record) } catch {
                try settle()
                let count = becomes.values.reduce(0, +)
                throw ReplayFailure(message: "after \(count), which were published: \(error.message)")
            }
            let topic = new.topic.name(prefix: settings.topics.prefix)
            if sender == nil { sender = try RecordSender(settings.kafkaClient, topics: [topic]) }
            try sender?.send(
                topic: topic, key: new.key, value: new.value, timestamp: new.timestamp.millisecondsSinceEpoch,
                headers: new.headers.map { .init(name: $0.name, value: $0.value) })
            becomes[new.topic.suffix, default: 0] += 1
            waiting += 1
            if waiting >= batch { try settle() }
            return true
        }
        try settle()
        tell(invocation, becomes, left, isDryRun: isDryRun)
    }

    /// Sends an event to the topic that refused it, by itself: one that is refused again must not hold back the others.
    ///
    /// - Returns: whether it was taken.
    private static func again(
        _ record: ArchiveRecord, in topic: String, _ settings: BridgeSettings
    ) throws(ReplayFailure) -> Bool {
        let sender = try RecordSender(settings.kafkaClient, topics: [topic])
        defer { sender.close() }
        do throws(ReplayFailure) {
            try sender.send(
                topic: topic, key: record.key, value: record.value, timestamp: record.timestamp,
                headers: record.headers.filter { !Refusal.headers.contains($0.name) })
            try sender.flush()
            return true
        } catch {
            Output.error("smsbridge quarantine redecode: \(record.partition):\(record.offset): \(error.message)\n")
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

/// Why an event is in the quarantine that was understood: its topic refused it, for itself.
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
