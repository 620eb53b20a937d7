import SMSBridgeKafka
import SMSBridgeReplaying
import SMSBridgeSettings
import SMSBridgeTelemetry
import SMSBridgeThreads
import SMSPortalEvents

/// `smsbridge tail`
enum Tail {
    private static let showsContent = CommandOption<Bool>(
        "--show-content", help: "Show numbers, texts, links, references and what came in raw.")
    private static let fromBeginning = CommandOption<Bool>(
        "--from-beginning", help: "Begin with the first records that the topics still have.")
    private static let start = CommandOption<ReplayTime>(
        "--from", "T", .replayTime, default: ReplayTime(text: "now", value: .now),
        help: "First record: an age such as 10m, a time, earliest, now, or offset:N.")
    private static let keys = CommandOption<String>(
        "--key", "MSISDN", .anyText("key"), repeats: true, help: "Only records with this key. May be repeated.")
    private static let format = CommandOption<Format>(
        "--format", "FORMAT", .word("format"), default: .text,
        help: "text, json (the whole record) or value (its JSON value alone); json and value need --show-content.")
    private static let types = CommandOption<String>(
        "--type", "TYPE", .oneOf(EventTopic.allCases.map(\.suffix), name: "type"), repeats: true,
        help:
            "Only this topic: \(EventTopic.allCases.map(\.suffix).alternatives). May be repeated."
    )
    private static let json = CommandOption<Bool>(
        "--json",
        help: "Write each record whole, a JSON object a line, in the format of replay --to-file; with --show-content.")
    private static let count = CommandOption<Int>(
        "--count", "N", .integer(1...Int.max), help: "End after so many records.")

    static let command = Command(
        "tail", summary: "Print events as they arrive in Kafka",
        discussion: """
            Joins no group and commits nothing; partitions and topics that are added are read, too. Of subscribers nothing is
            shown unless --show-content asks for it.
            """,
        options: [showsContent, start, CommandWindow.timeZone, fromBeginning, types, keys, count, format, json],
        settings: .init(needs: .kafka, sections: ["kafka", "topics"]),
        examples: [
            .init(
                "replies and messages to short codes, with their texts",
                "smsbridge tail --kafka-bootstrap-servers kafka:9092 --type reply --type short-code --show-content"),
            .init(
                "what one number has sent and got in the last ten minutes",
                "smsbridge tail -c smsbridge.yaml -o 10m --key 27123456789 --show-content"),
            .init(
                "the ids of what came, for a script",
                "smsbridge tail --kafka-bootstrap-servers kafka:9092 --json --show-content | jq -r .value.id"),
        ]
    ) { run($0, $1.settings) }

    private enum Format: String, CaseIterable, Sendable { case text, json, value }

    static func run(_ invocation: Invocation, _ settings: BridgeSettings) -> Int32 {
        let asked = invocation.values(of: types)
        let format = invocation.isOn(json) ? Format.json : invocation.value(of: format) ?? .text
        guard format == .text || invocation.isOn(showsContent) else {
            let flag = invocation.isOn(json) ? "--json" : "--format \(format.rawValue)"
            Output.error(
                "smsbridge tail: \(flag) shows numbers and texts: say that this is meant with --show-content\n")
            return ExitCode.usage
        }
        let isFromBeginning = invocation.isOn(fromBeginning)
        guard !isFromBeginning || !invocation.isGiven(start) else {
            Output.error("smsbridge tail: --from-beginning is --from earliest: give one of them\n")
            return ExitCode.usage
        }
        let zone = invocation.value(of: CommandWindow.timeZone) ?? .machine
        zone.select()
        let from: ReplayPoint
        do throws(WrongValue) {
            let given = try invocation.value(of: start)?.point(in: zone, now: wallClockMilliseconds())
            from = isFromBeginning ? .earliest : given ?? .now
        } catch {
            Output.error("smsbridge tail: --from: \(error.detail ?? "")\n")
            return ExitCode.usage
        }
        let wanted = Set(invocation.values(of: keys).map { Array($0.utf8) })
        var topics = EventTopic.allCases.filter { asked.isEmpty || asked.contains($0.suffix) }
            .map { $0.name(prefix: settings.topics.prefix) }
        let printer = EventPrinter(showsContent: invocation.isOn(showsContent))
        let limit = invocation.value(of: count) ?? .max
        if let problem = Preflight(settings).problem(reading: topics) {
            Output.error("smsbridge tail: \(problem)\n")
            topics.removeAll { problem.denied.contains($0) }
            // What is not asked for by name may be left out.
            guard !problem.denied.isEmpty, asked.isEmpty, !topics.isEmpty else { return ExitCode.failure }
        }
        do {
            let reader = try TopicReader(
                settings.kafkaClient, topics: topics, from: from)
            defer { reader.close() }
            let interrupted = try StopSignal()
            Interrupts.handle { interrupted.set() }
            var printed = 0
            var isDenied = false
            reader.read(until: { printed >= limit || isDenied || interrupted.wait(milliseconds: 0) }) { message in
                guard printed < limit else { return }
                let isWanted = wanted.isEmpty || message.withKey { $0.map { wanted.contains(Array($0)) } ?? false }
                guard isWanted else { return }
                switch format {
                case .text: Output.line(printer.line(for: message).text)
                case .json:
                    var line: [UInt8] = []
                    ArchiveRecord(message).append(to: &line)
                    Output.bytes(line)
                case .value: Output.bytes(message.withValue { Array($0 ?? .init(start: nil, count: 0)) } + [0x0A])
                }
                printed += 1
            } onError: { [topics] error in
                // A permission that was taken away: it would wait for ever.
                if error.code == .topicNotAuthorized { isDenied = true }
                Output.error("smsbridge tail: \(settings.explain(error, reading: topics))\n")
            }
            return isDenied ? ExitCode.failure : ExitCode.success
        } catch {
            Output.error("smsbridge tail: \(error)\n")
            return ExitCode.failure
        }
    }
}
