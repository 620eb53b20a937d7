import SMSBridgeReplaying
import SMSBridgeSettings
import SMSBridgeTelemetry
import SMSPortalEvents

/// `smsbridge import`: its options, and whether they make sense together.
enum ImportCommand {
    static let format = CommandOption<ImportFormat>(
        "--format", "FORMAT", .word("format"),
        help: "callbacks, objects, csv, access-log or xml. Default: by the file's name.")
    static let type = CommandOption<String>(
        "--type", "TYPE", .anyText("type"),
        help: "Event type of rows that do not say it: \(EventType.recognised.map(\.rawValue).alternatives).")
    static let account = CommandOption<String>(
        "--account", "NAME", .anyText("account"), help: "Account of rows that do not say it. Default: events.account.")
    static let receivedAt = CommandOption<String>(
        "--received-at", "NAME", .anyText("name"),
        help: "Column or member with the time of reception. Default: the time of the event.")
    static let delimiter = CommandOption<String>(
        "--delimiter", "CHARACTER", .anyText("character"), help: "Separator of CSV cells, or tab. Default: a comma.")
    static let encoding = CommandOption<String>(
        "--encoding", "NAME", .anyText("encoding"),
        help: "Character encoding as iconv names it, such as ISO-8859-1. Default: UTF-8; XML declares its own.")
    static let keepsEmptyCells = CommandOption<Bool>(
        "--keep-empty-cells", help: "Read an empty CSV cell as an empty text. Default: absent, unless it is quoted.")
    static let statuses = CommandOption<String>(
        "--statuses", "LIST", .anyText("list"),
        help: "Statuses in an access log that mean a lost callback, such as 5xx,429. Default: 4xx,5xx.")
    static let missing = CommandOption<Bool>("--missing", help: "Count the events whose id is not in Kafka.")
    static let onlyMissing = CommandOption<Bool>(
        "--only-missing", help: "Publish only events whose id is not in Kafka.")
    static let since = CommandOption<ReplayTime>(
        "--since", "T", .replayTime,
        help: "Compare with records received at or after T. Default: 3h before the oldest row.")
    static let quarantine = CommandOption<Bool>(
        "--quarantine", help: "Publish rows that are not understood to the quarantine topic.")
    static let timestamp = CommandOption<ReplayTimestamp>(
        "--timestamp", "WHICH", .word("timestamp"), default: .original,
        help: "Record timestamp: original or now. With now, the header replay-timestamp has the original.")
    static let acceptLoss = CommandOption<Bool>(
        "--accept-loss", help: "Publish events that their topic's retention will delete.")
    static let name = CommandOption<String>(
        "--name", "NAME", .replayName,
        help: "Keep the position in Kafka under this name: the same command resumes there.")
    static let rate = CommandOption<Int>(
        "--rate", "N", .integer(1...1_000_000), help: "Maximum records per second.")
    static let maxErrors = CommandOption<Int>(
        "--max-errors", "N", .integer(0...1_000_000), default: 20, help: "Maximum malformed rows to print.")
    static let errorsTo = CommandOption<String>(
        "--errors-to", "FILE", .anyText("file"), help: "Write every malformed row as NDJSON: file, line, problem.")
    static let execute = CommandOption<Bool>("--execute", help: "Publish; default is a dry run.")
    static let json = CommandOption<Bool>("--json", help: "Write the result as JSON to standard output.")

    static let command = Command(
        "import", summary: "Import callbacks from files, access logs, or the vendor's tables",
        discussion: """
            Each row goes through the same decoder as a callback, so that it has the id that the webhook's event has, as far as the
            vendor's ids or times allow. Formats: callbacks (NDJSON of method, route, query, body, contentType, receivedAt,
            account), objects (NDJSON of bodies, with --type), csv (with a header line), access-log (Common or Combined:
            GET callbacks answered 4xx or 5xx), xml (rows of the vendor's polling interface). Gzip is recognised.
            The default is a dry run. --execute publishes as the bridge does, in the order of the files; the order behind newer events
            is not kept. Events whose idBasis is reception have no id that identifies them: they cannot be compared with Kafka.
            Malformed rows are reported with file and line, and do not stop the rest. docs/reprocess.md has examples.
            Exit codes: 0 complete; 1 failed; 2 usage; 3 some rows were not imported: malformed, not understood or too old;
            4 interrupted, the same command resumes (with --name); 5 and 6 Kafka could not be compared completely.
            """,
        operands: [.init("file", help: "a file; - is standard input", repeats: true)],
        options: [
            format, type, account, receivedAt, delimiter, encoding, keepsEmptyCells, statuses, missing, onlyMissing,
            since,
            CommandWindow.timeZone, quarantine, timestamp, acceptLoss, name, rate, maxErrors, errorsTo, execute, json,
        ],
        settings: .init(needs: .kafka, sections: ["kafka", "topics", "events"]),
        examples: [
            .init(
                "what an access log has that Kafka lacks",
                "smsbridge import access.log.1.gz --format access-log --missing"),
            .init(
                "publish it",
                "smsbridge import access.log.1.gz --format access-log --only-missing --name outage-2026-11 --execute"
            ),
            .init(
                "replies of another system",
                "smsbridge import replies.csv --type reply --delimiter ';' --encoding windows-1252"),
        ]
    ) { run($0, $1.settings) }

    static func run(_ invocation: Invocation, _ settings: BridgeSettings) -> Int32 {
        let plan: ImportPlan
        do throws(ReplayCommand.UsageError) {
            plan = try ImportPlan(invocation, settings)
        } catch {
            Output.error("smsbridge import: \(error.message)\n")
            return ExitCode.usage
        }
        do throws(ReplayFailure) {
            return try ImportRun(invocation, settings, plan).run()
        } catch {
            Output.error("smsbridge import: \(error.message)\n")
            return error.exitCode
        }
    }
}

/// What the command line of an import comes to.
struct ImportPlan: Sendable {
    let paths: [String]
    /// Of each path.
    let options: [ImportOptions]
    let encoding: String?
    let account: String
    let zone: CommandTimeZone
    /// nil for the default.
    let since: Int64?
    let comparesKafka: Bool
    let isOnlyMissing: Bool
    let isExecuted: Bool
    /// Whether rows that are not understood are published, too. Their ids are random, so they are never compared.
    let publishesQuarantine: Bool

    init(_ invocation: Invocation, _ settings: BridgeSettings) throws(ReplayCommand.UsageError) {
        func wrong(_ message: String) -> ReplayCommand.UsageError { .init(message: message) }
        paths = invocation.operands
        isExecuted = invocation.isOn(ImportCommand.execute)
        isOnlyMissing = invocation.isOn(ImportCommand.onlyMissing)
        comparesKafka = isOnlyMissing || invocation.isOn(ImportCommand.missing)
        publishesQuarantine = invocation.isOn(ImportCommand.quarantine)
        guard !publishesQuarantine || !isOnlyMissing else {
            throw wrong(
                "--quarantine cannot be combined with --only-missing: what is not understood cannot be compared")
        }
        encoding = invocation.value(of: ImportCommand.encoding)
        account = invocation.value(of: ImportCommand.account) ?? settings.events.account
        guard AccountName.isValid(account) else {
            throw wrong("--account: expected 1 to 64 letters, digits, '.', '_' and '-'")
        }
        var common = ImportOptions()
        if let text = invocation.value(of: ImportCommand.type) {
            guard let type = EventType(rawValue: text), type != .unrecognised else {
                let names = EventType.recognised.map(\.rawValue)
                let near = nearestName(to: text, among: names).map { ": did you mean \($0)?" }
                throw wrong(
                    "--type: there is no type '\(text)'\(near ?? "; there are: \(names.joined(separator: ", "))")")
            }
            common.type = type
        }
        if let text = invocation.value(of: ImportCommand.delimiter) {
            let bytes = text == "tab" || text == "\\t" ? [9] : Array(text.utf8)
            guard bytes.count == 1, bytes[0] < 0x80, ![10, 13, UInt8(ascii: "\"")].contains(bytes[0]) else {
                throw wrong("--delimiter: expected one ASCII character, or tab")
            }
            common.delimiter = bytes[0]
        }
        if let text = invocation.value(of: ImportCommand.statuses) {
            guard let statuses = Self.statuses(text) else {
                throw wrong("--statuses: expected statuses such as 404, or classes such as 5xx, separated by commas")
            }
            common.statuses = statuses
        }
        common.receivedAt = invocation.value(of: ImportCommand.receivedAt)
        common.keepsEmptyCells = invocation.isOn(ImportCommand.keepsEmptyCells)
        common.basePath = settings.http.basePath
        var all: [ImportOptions] = []
        for path in paths {
            var one = common
            guard
                let format = invocation.value(of: ImportCommand.format)
                    ?? ImportFormat.of(path, hasType: common.type != nil)
            else { throw wrong("\(path): its name does not tell the format: give --format") }
            if [.objects, .csv].contains(format), common.type == nil {
                throw wrong("--type is required for \(format.rawValue): the rows do not say their event type")
            }
            one.format = format
            if format == .csv, one.delimiter == nil {
                let name = path.lowercased()
                one.delimiter = UInt8(ascii: name.hasSuffix(".tsv") || name.hasSuffix(".tsv.gz") ? "\t" : ",")
            }
            all.append(one)
        }
        options = all
        zone = invocation.value(of: CommandWindow.timeZone) ?? .machine
        zone.select()
        var since: Int64?
        if let time = invocation.value(of: ImportCommand.since) {
            guard comparesKafka else { throw wrong("--since requires --missing or --only-missing") }
            do throws(WrongValue) {
                switch try time.point(in: zone, now: wallClockMilliseconds()) {
                case .time(let moment): since = moment
                case .earliest: since = 0
                case .now, .offset: throw WrongValue("expected a time")
                }
            } catch {
                throw wrong("--since: \(error.detail ?? "expected a time")")
            }
        }
        self.since = since
        if !isExecuted {
            for option in [ImportCommand.name, ImportCommand.rate] as [any CommandOptionDeclaration]
            where invocation.isGiven(option) {
                throw wrong("\(option.flag) requires --execute")
            }
        }
        if invocation.isGiven(ImportCommand.name), paths.contains("-") {
            throw wrong("--name requires files: standard input cannot be read again")
        }
        if paths.count(where: { $0 == "-" }) > 1 { throw wrong("standard input can be read once") }
    }

    /// Whether such rows are published.
    func wants(_ standing: ImportStanding) -> Bool {
        switch standing {
        case .duplicate: false
        case .notUnderstood: publishesQuarantine
        case .notCompared, .missing: true
        case .present, .notComparable: !isOnlyMissing
        }
    }

    /// `5xx,429`.
    static func statuses(_ text: String) -> Set<Int>? {
        var all: Set<Int> = []
        for word in text.split(separator: ",", omittingEmptySubsequences: false) {
            let word = word.lowercased().filter { $0 != " " }
            if word.utf8.count == 3, word.hasSuffix("xx"), let digit = word.first?.wholeNumberValue,
                (1...5).contains(digit)
            {
                all.formUnion(digit * 100...digit * 100 + 99)
            } else if let status = Int(word), (100...599).contains(status) {
                all.insert(status)
            } else {
                return nil
            }
        }
        return all
    }
}
