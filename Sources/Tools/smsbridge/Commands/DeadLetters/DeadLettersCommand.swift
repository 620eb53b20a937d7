import SMSBridgeKafka
import SMSBridgeReplaying
import SMSBridgeSettings
import SMSBridgeTelemetry
import SMSBridgeThreads
import SMSPortalEvents

/// `smsbridge dlt`: the dead letters of a consumer group.
enum DeadLettersCommand {
    private static let group = CommandOption<String>(
        "--group", "GROUP", .anyText("group"), isRequired: true,
        help: "The consumer group: GROUP-dlt is read, GROUP-redrive is written.")
    private static let causes = CommandOption<String>(
        "--cause", "KIND", .anyText("kind"), repeats: true, help: "Only this type of error. May be repeated.")
    private static let from = CommandOption<ReplayTime>(
        "--from", "T", .replayTime, default: ReplayTime(text: "earliest", value: .earliest),
        help: "Failed at or after T: RFC 3339, a date, or an age.")
    private static let to = CommandOption<ReplayTime>(
        "--to", "T", .replayTime, default: ReplayTime(text: "now", value: .now), help: "Failed before T.")
    private static let places = CommandOption<String>(
        "--at", "PARTITION:OFFSET", .anyText("place"), repeats: true,
        help: "Only this dead letter, as list shows it. May be repeated.")
    private static let all = CommandOption<Bool>(
        "--all", help: "Include redriven and discarded ones, within the topic's retention.")
    private static let showsContent = CommandOption<Bool>(
        "--show-content", help: "Show numbers, texts, and what the error said, which may quote them.")
    private static let dryRun = CommandOption<Bool>("--dry-run", help: "Count only.")
    private static let execute = CommandOption<Bool>("--execute", help: "Apply it; default is a dry run.")
    private static let json = CommandOption<Bool>("--json", help: "Write JSON to standard output, one object per line.")

    private static let filters: [any CommandOptionDeclaration] = [
        group, causes, SpoolCommands.types, from, to, CommandWindow.timeZone, places,
    ]
    private static let settings = Command.SettingsUse(needs: .kafka, sections: ["kafka", "topics"])

    static let command = Command(
        "dlt", summary: "List, redrive and discard the dead letters of a consumer group",
        subcommands: [
            Command(
                "list", summary: "List open dead letters: position, time, cause, attempts, origin",
                options: filters + [all, json], settings: settings,
                examples: [.init("since yesterday", "smsbridge dlt list --group crm --from 24h")]
            ) {
                run($0, $1.settings) { invocation, window, _, ledger, interrupted throws(ReplayFailure) in
                    try list(invocation, window, ledger, interrupted)
                }
            },
            Command(
                "show", summary: "Show everything known about dead letters",
                discussion: "Of subscribers nothing is shown unless --show-content asks for it.",
                options: filters + [all, showsContent], settings: settings,
                examples: [.init("one of them", "smsbridge dlt show --group crm --at 3:17 --show-content")]
            ) {
                run($0, $1.settings) { invocation, window, _, ledger, interrupted throws(ReplayFailure) in
                    try show(invocation, window, ledger, interrupted)
                }
            },
            Command(
                "redrive", summary: "Send dead letters to the handlers of their own group again",
                discussion: """
                    They go to GROUP-redrive, with their headers; attempts are counted on. Each is then marked as handled, and
                    is not sent again by another redrive. A kill in between sends at most the last 1,000 again, with the
                    same event ids. Exit codes: 0; 1 failed; 4 ended early.
                    """,
                options: filters + [dryRun, json], settings: settings,
                examples: [
                    .init("what failed for one reason", "smsbridge dlt redrive --group crm --cause PaymentDeclined")
                ]
            ) {
                run($0, $1.settings) { invocation, window, settings, ledger, interrupted throws(ReplayFailure) in
                    try redrive(invocation, window, settings, ledger, interrupted)
                }
            },
            Command(
                "discard", summary: "Discard dead letters without handling them",
                discussion: "Only counted without --execute. The topic keeps them for its retention: list --all.",
                options: filters + [execute, json], settings: settings,
                examples: [.init("one of them", "smsbridge dlt discard --group crm --at 3:17 --execute")]
            ) {
                run($0, $1.settings) { invocation, window, _, ledger, interrupted throws(ReplayFailure) in
                    try discard(invocation, window, ledger, interrupted)
                }
            },
        ])

    private typealias Body = (
        Invocation, ReplayWindow, BridgeSettings, RecordLedger, StopSignal
    ) throws(ReplayFailure) -> Void

    private static func run(_ invocation: Invocation, _ settings: BridgeSettings, _ body: Body) -> Int32 {
        let name = "smsbridge \(invocation.command)"
        if let problem = SpoolCommands.wrongType(invocation.values(of: SpoolCommands.types)) {
            Output.error("\(name): \(problem)\n")
            return ExitCode.usage
        }
        let groupName = invocation.value(of: group) ?? ""
        let window: ReplayWindow
        do throws(WrongValue) { window = try CommandWindow(invocation, from: from, to: to).window } catch {
            Output.error("\(name): \(error.detail ?? "the window is invalid")\n")
            return ExitCode.usage
        }
        let marks = "smsbridge-dlt-\(groupName)"
        let redrives = invocation.command == "dlt redrive" && !invocation.isOn(dryRun)
        let discards = invocation.command == "dlt discard" && invocation.isOn(execute)
        let problem = Preflight(settings).problem(
            reading: ["\(groupName)-dlt", marks], writing: redrives ? ["\(groupName)-redrive"] : [],
            creating: redrives || discards ? marks : nil)
        if let problem {
            Output.error("\(name): \(problem)\n")
            return ExitCode.failure
        }
        do throws(ReplayFailure) {
            let interrupted = try stopSignal()
            let ledger = RecordLedger(
                settings.kafkaClient, topic: "\(groupName)-dlt", marks: marks)
            defer { ledger.close() }
            try body(invocation, window, settings, ledger, interrupted)
            return ledger.exitCode(name, interrupted)
        } catch {
            Output.error("\(name): \(error.message)\n")
            return error.exitCode
        }
    }

    static func stopSignal() throws(ReplayFailure) -> StopSignal {
        do {
            let interrupted = try StopSignal()
            Interrupts.handle { interrupted.set() }
            return interrupted
        } catch {
            throw ReplayFailure(message: "\(error)")
        }
    }

    private static func isMeant(_ letter: DeadLetter, _ invocation: Invocation, _ window: ReplayWindow) -> Bool {
        let types = invocation.values(of: SpoolCommands.types)
        let causes = invocation.values(of: self.causes)
        let places = invocation.values(of: self.places)
        return window.contains(letter.record.timestamp) && (causes.isEmpty || causes.contains(letter.cause))
            && (types.isEmpty || types.contains(letter.type ?? "")) && (places.isEmpty || places.contains(letter.place))
    }

    // MARK: Looking

    private static func list(
        _ invocation: Invocation, _ window: ReplayWindow, _ ledger: RecordLedger, _ interrupted: StopSignal
    ) throws(ReplayFailure) {
        var count = 0
        try ledger.forEach(all: invocation.isOn(all), until: interrupted) { record, isOpen in
            let letter = DeadLetter(record)
            guard isMeant(letter, invocation, window) else { return true }
            count += 1
            let time = EventTime(millisecondsSinceEpoch: record.timestamp).rfc3339
            if invocation.isOn(json) {
                Output.line(
                    "{\"at\":\"\(letter.place)\",\"open\":\(isOpen),\"failedAt\":\"\(time)\","
                        + "\"cause\":\(JSONText.string(letter.cause)),\"attempts\":\(letter.attempts),"
                        + "\"origin\":\(JSONText.string(letter.origin)),\"type\":\(JSONText.string(letter.type ?? "?")),"
                        + "\"id\":\(letter.eventID.map(JSONText.string) ?? "null")}")
            } else {
                Output.line(
                    printable(
                        "\(letter.place)  \(time)  \(letter.cause)  attempts \(letter.attempts)  from \(letter.origin)  id \(letter.eventID ?? "?")"
                            + (isOpen ? "" : "  done")))
            }
            return true
        }
        Output.error("smsbridge dlt list: \(count) dead letters\n")
    }

    /// Headers are anybody's.
    private static func printable(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 32 || $0.value == 127 ? "?" : $0 }))
    }

    private static func show(
        _ invocation: Invocation, _ window: ReplayWindow, _ ledger: RecordLedger, _ interrupted: StopSignal
    ) throws(ReplayFailure) {
        let showsContent = invocation.isOn(showsContent)
        let printer = EventPrinter(showsContent: showsContent)
        var count = 0
        try ledger.forEach(all: invocation.isOn(all), until: interrupted) { record, isOpen in
            let letter = DeadLetter(record)
            guard isMeant(letter, invocation, window) else { return true }
            if count > 0 { Output.line("") }
            count += 1
            Output.line("at        \(letter.place)\(isOpen ? "" : "  done")")
            Output.line("failed    \(EventTime(millisecondsSinceEpoch: record.timestamp).rfc3339)")
            Output.line(printable("cause     \(letter.cause)"))
            Output.line(
                showsContent
                    ? printable("message   \(letter.message)") : "message   \(letter.message.utf8.count) bytes")
            Output.line("attempts  \(letter.attempts)")
            Output.line(printable("origin    \(letter.origin)"))
            if let received = letter.receivedAt {
                Output.line("received  \(EventTime(millisecondsSinceEpoch: received).rfc3339)")
            }
            Output.line(printable("headers   \(record.headers.map(\.name).joined(separator: " "))"))
            let headers = record.headers.map { EventRecord.Header(name: $0.name, value: $0.value) }
            if let event = try? Event(value: record.value, headers: headers) {
                Output.line("event     \(printer.line(for: event, at: letter.origin))")
            } else {
                Output.line("event     none: \(record.value?.count ?? 0) bytes that cannot be read")
            }
            if showsContent, let value = record.value {
                Output.line(printable("value     \(String(decoding: value, as: UTF8.self))"))
            }
            return true
        }
        if count == 0 { Output.error("smsbridge dlt show: there is no such dead letter that is open\n") }
    }

    // MARK: Being done with

    /// How many are sent before the processed offsets are stored.
    private static let batch = 1_000

    private static func redrive(
        _ invocation: Invocation, _ window: ReplayWindow, _ settings: BridgeSettings, _ ledger: RecordLedger,
        _ interrupted: StopSignal
    ) throws(ReplayFailure) {
        let isDryRun = invocation.isOn(dryRun)
        let topic = "\(invocation.value(of: group) ?? "")-redrive"
        let sender = isDryRun ? nil : try RecordSender(settings.kafkaClient, topics: [topic], until: interrupted)
        defer { sender?.close() }
        var count = 0
        var waiting = 0
        func settle() throws(ReplayFailure) {
            try sender?.flush()
            try ledger.keep()
            waiting = 0
        }
        try ledger.forEach(until: interrupted) { record, _ throws(ReplayFailure) in
            guard isMeant(DeadLetter(record), invocation, window) else { return true }
            guard let sender else {
                count += 1
                return true
            }
            do throws(ReplayFailure) { try ledger.finish(record) } catch {
                try settle()
                throw after(count, error)
            }
            // Its own time may lie before what the topic keeps; when it was received is in its headers.
            try sender.send(
                topic: topic, key: record.key, value: record.value, timestamp: wallClockMilliseconds(),
                headers: record.headers)
            count += 1
            waiting += 1
            if waiting >= batch { try settle() }
            return true
        }
        try settle()
        tell(invocation, count, isDryRun ? "would be redriven" : "redriven to \(topic)", isDone: !isDryRun)
    }

    private static func discard(
        _ invocation: Invocation, _ window: ReplayWindow, _ ledger: RecordLedger, _ interrupted: StopSignal
    ) throws(ReplayFailure) {
        let isExecuted = invocation.isOn(execute)
        var count = 0
        try ledger.forEach(until: interrupted) { record, _ throws(ReplayFailure) in
            guard isMeant(DeadLetter(record), invocation, window) else { return true }
            if isExecuted {
                do throws(ReplayFailure) { try ledger.finish(record) } catch {
                    try ledger.keep()
                    throw after(count, error)
                }
            }
            count += 1
            return true
        }
        if isExecuted { try ledger.keep() }
        tell(invocation, count, isExecuted ? "discarded" : "would be discarded: --execute does it", isDone: isExecuted)
    }

    private static func after(_ count: Int, _ error: ReplayFailure) -> ReplayFailure {
        ReplayFailure(message: "after \(count), which were sent: \(error.message)")
    }

    private static func tell(_ invocation: Invocation, _ count: Int, _ what: String, isDone: Bool) {
        if invocation.isOn(json) { Output.line("{\"count\":\(count),\"done\":\(isDone)}") }
        Output.error("smsbridge \(invocation.command): \(count) dead letters \(what)\n")
    }
}
