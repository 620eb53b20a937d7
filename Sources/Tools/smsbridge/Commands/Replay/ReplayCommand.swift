import SMSBridgeKafka
import SMSBridgeReplaying
import SMSBridgeSettings
import SMSPortalEvents

/// `smsbridge replay`: what it is told, and whether that makes sense.
enum ReplayCommand {
    static let from = CommandOption<ReplayTime>(
        "--from", "T", .replayTime,
        help: "From when on, by the time of reception. RFC 3339, an age, earliest, offset:N.")
    static let to = CommandOption<ReplayTime>(
        "--to", "T", .replayTime, default: ReplayTime(text: "now", point: .now), help: "Until before when.")
    static let late = CommandOption<Duration>(
        "--late", "D", .duration(.zero ... .seconds(30 * 86_400)),
        help: "End at what was received so much after --to; may miss what a spool published later still.")
    static let by = CommandOption<ReplayClock>(
        "--by", "CLOCK", .word("clock"), default: .received,
        help: "received, or occurred: the vendor's time. Reading then begins 3h earlier and goes to the end.")
    static let types = CommandOption<String>(
        "--type", "TYPE", .anyText("type"), repeats: true,
        help:
            "Only this topic: delivery-status, reply, short-code, url-preview, url-click, test or quarantine. May be repeated. Default: all but test and quarantine."
    )
    static let keys = CommandOption<String>(
        "--key", "MSISDN", .anyText("key"), repeats: true, help: "Only this number. May be repeated.")
    static let name = CommandOption<String>(
        "--name", "NAME", .replayName,
        help: "Keep its place in Kafka under this name: the same command goes on where it was ended.")
    static let rate = CommandOption<Int>(
        "--rate", "N", .integer(1...1_000_000), help: "At most so many records a second.")
    static let dryRun = CommandOption<Bool>("--dry-run", help: "Count only: nothing is sent, nothing is kept.")
    static let json = CommandOption<Bool>("--json", help: "Write the result as JSON to standard output.")
    static let toTopic = CommandOption<String>(
        "--to-topic", "TOPIC", .anyText("topic"),
        help: "Send to this topic, with the headers replay-of and, with --name, replay-name.")
    static let toFile = CommandOption<String>(
        "--to-file", "FILE", .anyText("file"), help: "Write NDJSON; - is standard output.")
    static let toGroup = CommandOption<String>(
        "--to-group", "GROUP", .anyText("group"),
        help:
            "Rewind this consumer group to --from, never forward. It must have no members. Shown only, without --execute."
    )
    static let fromFile = CommandOption<String>(
        "--from-file", "FILE", .anyText("file"),
        help: "Send what an earlier --to-file has written, whole: it begins anew where it ended early.")
    static let redecode = CommandOption<Bool>(
        "--redecode", help: "Decode what came in raw again, as the settings say now. Id and time stay.")
    static let force = CommandOption<Bool>(
        "--force",
        help: """
            Allow --to-topic to be a topic of the bridge: everybody who reads it gets the events again. With --to-group: move
            it forward, too, which skips events; with --type also where it has no place yet.
            """)
    static let skipDeleted = CommandOption<Bool>(
        "--skip-deleted", help: "Go on behind events that the topic has deleted before they could be read.")
    static let execute = CommandOption<Bool>("--execute", help: "Do what --to-group shows.")

    static let command = Command(
        "replay", summary: "Read past events again: into a topic, a file, or a consumer group",
        discussion: """
            Joins no group and commits to none but its own (smsbridge-replay-NAME): who runs live does not notice. A window
            is exact even where a spool published events late: reading goes on to the end that the topic had at the start.
            A line of NDJSON is one record: topic, partition, offset, timestamp (milliseconds), key, headers (an object),
            value; bytes that are no text in keyHex, headersHex, valueHex. It holds what subscribers wrote.
            A group that is rewound reads everything again, but its service skips what its store of processed events knows: give
            it a new store or a new group, or use Replay of the library, which claims under its own name.
            Exit codes: 0 done, also when there was nothing; 1 failed; 2 the command line is wrong; 4 ended early, the same
            command goes on (with --name).
            """,
        options: [
            from, to, late, by, types, keys, name, rate, dryRun, json, toTopic, toFile, toGroup, fromFile, redecode,
            skipDeleted, force, execute,
        ],
        settings: .init(needs: .kafka, sections: ["kafka", "topics", "events"]),
        examples: [
            .init(
                "how many replies came last Tuesday",
                "smsbridge replay --from 2026-11-17T00:00:00Z --to 2026-11-18T00:00:00Z --type reply --dry-run"),
            .init(
                "all of them into a topic of a team's own, to go on after a crash",
                "smsbridge replay --from 7d --type reply --to-topic crm.backfill --name crm-2026-11"),
            .init(
                "a stopped group reads the last two hours again",
                "smsbridge replay --from 2h --type reply --to-group crm --execute"),
        ])

    static func run(_ invocation: Invocation, _ settings: BridgeSettings) -> Int32 {
        do throws(WrongCommand) {
            try check(invocation, settings)
        } catch {
            Output.error("smsbridge replay: \(error.message)\n")
            return ExitCode.usage
        }
        do throws(ReplayFailure) {
            if let group = invocation.value(of: toGroup) {
                return try GroupRewind(invocation, settings, group: group).run()
            }
            return try ReplayRun(invocation, settings).run()
        } catch {
            Output.error("smsbridge replay: \(error.message)\n")
            return ExitCode.failure
        }
    }

    struct WrongCommand: Error { let message: String }

    private static func check(_ invocation: Invocation, _ settings: BridgeSettings) throws(WrongCommand) {
        func wrong(_ message: String) throws(WrongCommand) { throw WrongCommand(message: message) }
        if let problem = SpoolCommands.wrongType(invocation.values(of: types)) { try wrong(problem) }
        let targets: [any CommandOptionDeclaration] = [toTopic, toFile, toGroup]
        let given = targets.filter { invocation.isGiven($0) }
        let flags = targets.map(\.flag).joined(separator: ", ")
        if given.count > 1 { try wrong("\(given.map(\.flag).joined(separator: " and ")): give one of them") }
        if given.isEmpty, !invocation.isOn(dryRun) { try wrong("where to: give one of \(flags), or --dry-run") }
        if invocation.isGiven(fromFile) {
            for option in [from, to, late, by, types, keys, name, skipDeleted] as [any CommandOptionDeclaration]
            where invocation.isGiven(option) {
                try wrong("\(option.flag) does not go with --from-file, which is sent whole")
            }
            if !invocation.isGiven(toTopic), !invocation.isOn(dryRun) { try wrong("--from-file goes with --to-topic") }
        } else if !invocation.isGiven(from) {
            try wrong("from when on: give --from (RFC 3339, an age such as 2h, earliest)")
        } else if let problem = window(invocation).problem {
            try wrong("--from, --to, --late: \(problem)")
        }
        if invocation.value(of: by) == .occurred {
            if invocation.isGiven(late) { try wrong("--late goes with --by received") }
            for option in [from, to] {
                guard let time = invocation.value(of: option) else { continue }
                // The window of receptions is kept in Kafka with the place; this one is not.
                if time.isAge, invocation.isGiven(name) {
                    try wrong(
                        "\(option.flag) \(time.text): with --by occurred and --name give a time such as 2026-11-17T00:00:00Z: "
                            + "an age would be another window when the replay goes on")
                }
                if case .offset = time.point { try wrong("\(option.flag): an offset does not go with --by occurred") }
            }
        }
        if invocation.isOn(json), invocation.value(of: toFile) == "-" {
            try wrong("--json and --to-file - both write to standard output")
        }
        if invocation.isGiven(toGroup) {
            for option in [to, late, keys, name, rate, redecode, by, skipDeleted] as [any CommandOptionDeclaration]
            where invocation.isGiven(option) {
                try wrong("\(option.flag) does not go with --to-group: a group reads every record from its offset on")
            }
        } else if invocation.isOn(execute) {
            try wrong("--execute goes with --to-group")
        }
        guard let target = invocation.value(of: toTopic), !invocation.isOn(force) else { return }
        if EventTopic.allCases.contains(where: { $0.name(prefix: settings.topics.prefix) == target }) {
            try wrong(
                "--to-topic: \(target) is a topic of the bridge: everybody who reads it would get the events again. "
                    + "Send to a topic of your own, rewind the group that needs them (--to-group), or say --force")
        }
    }

    /// As asked, in times of reception or of occurrence.
    static func window(_ invocation: Invocation) -> ReplayWindow {
        ReplayWindow(
            from: invocation.value(of: from)?.point ?? .earliest, to: invocation.value(of: to)?.point ?? .now,
            late: invocation.value(of: late).map { $0.components.seconds * 1_000 })
    }

    /// The whole names of the topics that are read.
    static func topics(_ invocation: Invocation, _ settings: BridgeSettings) -> [String] {
        let asked = invocation.values(of: types)
        return EventTopic.allCases.filter { topic in
            asked.isEmpty ? topic != .test && topic != .quarantine : asked.contains(topic.suffix)
        }.map { $0.name(prefix: settings.topics.prefix) }
    }
}

/// Which of an event's times counts.
enum ReplayClock: String, CaseIterable, Sendable {
    case received, occurred
}

extension ValueType where Value == String {
    /// A part of a consumer group's name.
    static let replayName = text("name", expected: "1 to 100 letters, digits, '.', '_' and '-'") { text in
        (1...100).contains(text.utf8.count)
            && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "._-".contains($0)) } ? nil : ""
    }
}
