import SMSBridgeKafka
import SMSBridgeSettings
import SMSBridgeThreads
import SMSPortalEvents

/// `smsbridge tail`
enum Tail {
    private static let showsContent = CommandOption<Bool>(
        "--show-content", help: "Show numbers, texts, links, references and what came in raw.")
    private static let fromBeginning = CommandOption<Bool>(
        "--from-beginning", help: "Begin with the first records that the topics still have.")
    private static let types = CommandOption<String>(
        "--type", "TYPE", .anyText("type"), repeats: true,
        help:
            "Only this topic: delivery-status, reply, short-code, url-preview, url-click, test or quarantine. May be repeated."
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
        options: [showsContent, fromBeginning, types, count, json],
        settings: .init(needs: .kafka, sections: ["kafka", "topics"]),
        examples: [
            .init(
                "replies and messages to short codes, with their texts",
                "smsbridge tail --kafka-bootstrap-servers kafka:9092 --type reply --type short-code --show-content"),
            .init(
                "the ids of what came, for a script",
                "smsbridge tail --kafka-bootstrap-servers kafka:9092 --json --show-content | jq -r .value.id"),
        ])

    static func run(_ invocation: Invocation, _ settings: BridgeSettings) -> Int32 {
        let names = EventTopic.allCases.map(\.suffix)
        let asked = invocation.values(of: types)
        for name in asked where !names.contains(name) {
            let near = nearestName(to: name, among: names).map { ": did you mean \($0)?" }
            Output.error(
                "smsbridge tail: --type: there is no type '\(name)'\(near ?? "; there are: \(names.joined(separator: ", "))")\n"
            )
            return ExitCode.usage
        }
        guard !invocation.isOn(json) || invocation.isOn(showsContent) else {
            Output.error("smsbridge tail: --json shows numbers and texts: say that this is meant with --show-content\n")
            return ExitCode.usage
        }
        let topics = EventTopic.allCases.filter { asked.isEmpty || asked.contains($0.suffix) }
            .map { $0.name(prefix: settings.topics.prefix) }
        let printer = EventPrinter(showsContent: invocation.isOn(showsContent))
        let isJSON = invocation.isOn(json)
        let limit = invocation.value(of: count) ?? .max
        do {
            let reader = try TopicReader(
                settings.kafkaClient, topics: topics, fromBeginning: invocation.isOn(fromBeginning))
            defer { reader.close() }
            let interrupted = try StopSignal()
            Interrupts.handle { interrupted.set() }
            var printed = 0
            reader.read(until: { printed >= limit || interrupted.wait(milliseconds: 0) }) { message in
                guard printed < limit else { return }
                if isJSON {
                    var line: [UInt8] = []
                    ArchiveRecord(message).append(to: &line)
                    Output.bytes(line)
                } else {
                    Output.line(printer.line(for: message).text)
                }
                printed += 1
            } onError: {
                Output.error("smsbridge tail: \($0)\n")
            }
            return ExitCode.success
        } catch {
            Output.error("smsbridge tail: \(error)\n")
            return ExitCode.failure
        }
    }
}
