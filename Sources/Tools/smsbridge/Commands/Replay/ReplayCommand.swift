import SMSBridgeKafka
import SMSBridgeReplaying
import SMSBridgeSettings
import SMSPortalEvents

/// `smsbridge replay`: its options, and whether they make sense together.
enum ReplayCommand {
    static let from = CommandOption<ReplayTime>(
        "--from", "T", .replayTime,
        help: "Received at or after T: RFC 3339, a date, an age, earliest, offset:N.")
    static let to = CommandOption<ReplayTime>(
        "--to", "T", .replayTime, default: ReplayTime(text: "now", value: .now), help: "Received before T.")
    static let maxLateness = CommandOption<Duration>(
        "--max-lateness", "D", .duration(.zero ... .seconds(30 * 86_400)),
        help: "Stop reading a partition after 1000 records in a row that are later than --to plus D.")
    static let by = CommandOption<ReplayClock>(
        "--by", "CLOCK", .word("clock"), default: .received,
        help: "received, or occurred: the vendor's time. Reading then begins 3h earlier and goes to the end.")
    static let types = CommandOption<String>(
        "--type", "TYPE", .oneOf(EventTopic.allCases.map(\.suffix), name: "type"), repeats: true,
        help:
            "Only this topic: \(EventTopic.allCases.map(\.suffix).alternatives). May be repeated. Default: all but test and quarantine."
    )
    static let keys = CommandOption<String>(
        "--key", "MSISDN", .anyText("number"), repeats: true, help: "Only this number. May be repeated.")
    static let name = CommandOption<String>(
        "--name", "NAME", .replayName,
        help: "Keep the position in Kafka under this name: the same command resumes there.")
    static let rate = CommandOption<Int>(
        "--rate", "N", .integer(1...1_000_000), help: "Maximum records per second.")
    static let dryRun = CommandOption<Bool>("--dry-run", help: "Count only: nothing is sent or committed.")
    static let json = CommandOption<Bool>("--json", help: "Write the result as JSON to standard output.")
    static let toTopic = CommandOption<String>(
        "--to-topic", "TOPIC", .anyText("topic"),
        help: "Send to this topic, with the headers replay-of and, with --name, replay-name.")
    static let toFile = CommandOption<String>(
        "--to-file", "FILE", .anyText("file"), help: "Write NDJSON; - is standard output.")
    static let toGroup = CommandOption<String>(
        "--to-group", "GROUP", .anyText("group"),
        help: "Rewind this consumer group to --from, never forward. It must have no members. Needs --execute.")
    static let fromFile = CommandOption<String>(
        "--from-file", "FILE", .anyText("file"),
        help: "Send the records of a file of --to-file, spool export or tail --json; - is standard input.")
    static let redecode = CommandOption<Bool>(
        "--redecode", help: "Decode the raw callback again with today's settings. Id and time stay.")
    static let timestamp = CommandOption<ReplayTimestamp>(
        "--timestamp", "WHICH", .word("timestamp"), default: .original,
        help: "Record timestamp in the target: original or now. With now, the header replay-timestamp has the original."
    )
    static let acceptLoss = CommandOption<Bool>(
        "--accept-loss", help: "Send records that the target's retention or compaction will delete.")
    static let force = CommandOption<Bool>(
        "--force",
        help: """
            Allow --to-topic to be a topic of the bridge: all its consumers get the events again. With --to-group: move the
            group forward as well, which skips events; with --type also where it has no committed offset.
            """)
    static let skipDeleted = CommandOption<Bool>(
        "--skip-deleted", help: "Accept that events of the window have been deleted, and go on after them.")
    static let execute = CommandOption<Bool>("--execute", help: "Apply what --to-group shows.")

    static let command = Command(
        "replay", summary: "Replay past events into a topic, a file or a consumer group",
        discussion: """
            Joins no group and commits to none but its own (smsbridge-replay-NAME): live consumers do not notice. A window
            is exact even where a spool published events late: reading goes on to the end that each topic had at the start.
            Times without an offset are in the time zone of the machine, or of --time-zone; the window is shown in UTC, too.
            A line of NDJSON is one record; docs/reprocess.md has the format. It contains what subscribers wrote.
            A group that is rewound reads everything again, but its service skips what its store of processed events knows: give
            it a new store or a new group, or use Replay of the library, which claims under its own name.
            Exit codes: 0 complete, also when there was nothing; 1 failed; 2 usage; 4 interrupted, the same command resumes
            (with --name); 5 events lie behind an open transaction: run it again; 6 events of the window have been deleted.
            """,
        options: [
            from, to, CommandWindow.timeZone, maxLateness, by, types, keys, name, rate, dryRun, json, toTopic, toFile,
            toGroup, fromFile, redecode, timestamp, acceptLoss, skipDeleted, force, execute,
        ],
        settings: .init(needs: .kafka, sections: ["kafka", "topics", "events"]),
        examples: [
            .init(
                "how many replies arrived on a day in South Africa",
                "smsbridge replay --from 2026-11-17 --to 2026-11-18 --time-zone Africa/Johannesburg --type reply --dry-run"
            ),
            .init(
                "all of them into a topic of a team, resumable after a crash",
                "smsbridge replay --from 7d --type reply --to-topic crm.backfill --name crm-2026-11"),
            .init(
                "a stopped group reads the last two hours again",
                "smsbridge replay --from 2h --type reply --to-group crm --execute"),
        ]
    ) { run($0, $1.settings) }

    static func run(_ invocation: Invocation, _ settings: BridgeSettings) -> Int32 {
        let window: CommandWindow
        do throws(UsageError) {
            window = try check(invocation, settings)
        } catch {
            Output.error("smsbridge replay: \(error.message)\n")
            return ExitCode.usage
        }
        do throws(ReplayFailure) {
            if let group = invocation.value(of: toGroup) {
                return try GroupRewind(invocation, settings, window, group: group).run()
            }
            return try ReplayRun(invocation, settings, window).run()
        } catch {
            Output.error("smsbridge replay: \(error.message)\n")
            return error.exitCode
        }
    }

    struct UsageError: Error { let message: String }

    private static func check(
        _ invocation: Invocation, _ settings: BridgeSettings
    ) throws(UsageError) -> CommandWindow {
        func wrong(_ message: String) throws(UsageError) { throw UsageError(message: message) }
        if let problem = SpoolCommands.wrongType(invocation.values(of: types)) { try wrong(problem) }
        guard invocation.values(of: keys).allSatisfy({ SubscriberKey.bytes(of: $0) != nil }) else {
            throw UsageError(message: "--key: expected an international number such as 27821234567")
        }
        let targets: [any CommandOptionDeclaration] = [toTopic, toFile, toGroup]
        let given = targets.filter { invocation.isGiven($0) }
        let flags = targets.map(\.flag).joined(separator: ", ")
        if given.count > 1 { try wrong("\(given.map(\.flag).joined(separator: " and ")): give one of them") }
        if given.isEmpty, !invocation.isOn(dryRun) { try wrong("no target: give one of \(flags), or --dry-run") }
        if invocation.isGiven(fromFile) {
            for option in [from, to, maxLateness, by, types, keys, name, skipDeleted] as [any CommandOptionDeclaration]
            where invocation.isGiven(option) {
                try wrong("\(option.flag) cannot be combined with --from-file, which is sent whole")
            }
            if !invocation.isGiven(toTopic), !invocation.isOn(dryRun) { try wrong("--from-file requires --to-topic") }
        } else if !invocation.isGiven(from) {
            try wrong("--from is required (RFC 3339, a date, an age such as 2h, earliest)")
        }
        var window: CommandWindow
        do throws(WrongValue) { window = try CommandWindow(invocation, from: from, to: to) } catch {
            throw UsageError(message: error.detail ?? "the window is invalid")
        }
        window.window.maxLateness = invocation.value(of: maxLateness).map { Int64($0 / .milliseconds(1)) }
        if let problem = window.window.problem { try wrong("--from, --to, --max-lateness: \(problem)") }
        if invocation.value(of: by) == .occurred {
            if invocation.isGiven(maxLateness) { try wrong("--max-lateness requires --by received") }
            for option in [from, to] {
                guard let time = invocation.value(of: option) else { continue }
                // The window of receptions is kept in Kafka with the position; this one is not.
                if case .age = time.value, invocation.isGiven(name) {
                    try wrong(
                        "\(option.flag) \(time.text): with --by occurred and --name give a time such as 2026-11-17T00:00:00Z: "
                            + "an age would be another window when the replay resumes")
                }
                if case .offset = time.value {
                    try wrong("\(option.flag): an offset cannot be combined with --by occurred")
                }
            }
        }
        if invocation.isOn(json), invocation.value(of: toFile) == "-" {
            try wrong("--json and --to-file - both write to standard output")
        }
        for option in [timestamp, acceptLoss] as [any CommandOptionDeclaration]
        where invocation.isGiven(option) && !invocation.isGiven(toTopic) {
            try wrong("\(option.flag) requires --to-topic")
        }
        if invocation.isGiven(toGroup) {
            for option in [to, maxLateness, keys, name, rate, redecode, by, skipDeleted]
                as [any CommandOptionDeclaration]
            where invocation.isGiven(option) {
                try wrong(
                    "\(option.flag) cannot be combined with --to-group: a group reads every record from its offset on")
            }
        } else if invocation.isOn(execute) {
            try wrong("--execute requires --to-group")
        }
        guard let target = invocation.value(of: toTopic), !invocation.isOn(force) else { return window }
        if EventTopic.allCases.contains(where: { $0.name(prefix: settings.topics.prefix) == target }) {
            try wrong(
                "--to-topic: \(target) is a topic of the bridge: all its consumers would get the events again. "
                    + "Send to a topic of your own, rewind the group that needs them (--to-group), or give --force")
        }
        return window
    }

    /// The whole names of the topics that are read.
    static func topics(_ invocation: Invocation, _ settings: BridgeSettings) -> [String] {
        let asked = invocation.values(of: types)
        return EventTopic.allCases.filter { topic in
            asked.isEmpty ? topic != .test && topic != .quarantine : asked.contains(topic.suffix)
        }.map { $0.name(prefix: settings.topics.prefix) }
    }
}

/// Which of an event's times `--from` and `--to` mean.
enum ReplayClock: String, CaseIterable, Sendable {
    case received, occurred
}

/// Which timestamp a record gets in the target.
enum ReplayTimestamp: String, CaseIterable, Sendable {
    case original, now
}

extension ValueType where Value == String {
    /// A part of a consumer group's name.
    static let replayName = text("name", expected: "1 to 100 letters, digits, '.', '_' and '-'") { text in
        (1...100).contains(text.utf8.count)
            && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "._-".contains($0)) } ? nil : ""
    }
}
