import SMSBridgeSettings
import SMSPortalEvents

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// What an import has counted, and what it prints. Nothing of it quotes a row.
final class ImportReport {
    private let maxErrors: Int
    private var errorFile: Int32 = -1
    private var errorLines: [UInt8] = []
    private var shown = 0

    /// Rows that were decoded.
    private(set) var rows = 0
    private(set) var malformed = 0
    var skipped: [String: Int] = [:]
    private(set) var types: [String: Int] = [:]
    private(set) var bases: [String: Int] = [:]
    private(set) var quarantined: [String: Int] = [:]
    private(set) var topics: Set<EventTopic> = []
    private(set) var damage: [String] = []
    /// The oldest time of reception.
    private(set) var oldest: Int64?
    var duplicates = 0
    /// Records of Kafka that were compared.
    var compared = 0
    private(set) var missing: [String: Int] = [:]
    private(set) var present: [String: Int] = [:]
    private(set) var unmatched = 0
    private(set) var tooOld: [String: Int] = [:]
    /// Why some are too old.
    private(set) var advice: String?
    /// Events that are published, or would be.
    private(set) var toPublish = 0
    var published = 0
    /// Over all runs of a name.
    var total = 0
    var isResumed = false

    init(maxErrors: Int, errorsTo: String?) throws(ReplayFailure) {
        self.maxErrors = maxErrors
        guard let path = errorsTo else { return }
        errorFile = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard errorFile >= 0 else {
            throw ReplayFailure(message: "--errors-to: cannot create \(path): \(String(cString: strerror(errno)))")
        }
    }

    deinit { if errorFile >= 0 { close(errorFile) } }

    // MARK: Counting

    /// - Returns: the row's number, from 0.
    func add(_ record: RecordBuffer, _ row: ImportRow) -> Int {
        defer { rows += 1 }
        topics.insert(record.topic)
        bases[record.idBasis.rawValue, default: 0] += 1
        if record.topic == .quarantine {
            quarantined[record.reason ?? "unknown", default: 0] += 1
        } else {
            types[record.topic.suffix, default: 0] += 1
            oldest = min(oldest ?? record.timestamp, record.timestamp)
        }
        return rows
    }

    /// Counts a row when it is compared and published.
    ///
    /// - Parameter problem: why its topic would reject or delete it.
    func count(_ topic: EventTopic, _ standing: ImportStanding, _ problem: String?, isWanted: Bool) {
        switch standing {
        case .missing: missing[topic.suffix, default: 0] += 1
        case .present: present[topic.suffix, default: 0] += 1
        case .notComparable: unmatched += 1
        case .duplicate, .notUnderstood, .notCompared: break
        }
        guard isWanted else { return }
        guard let problem else {
            toPublish += 1
            return
        }
        tooOld[topic.suffix, default: 0] += 1
        advice = advice ?? problem
    }

    func malformed(_ file: ImportFile, _ line: Int, _ problem: String) {
        malformed += 1
        if shown < maxErrors {
            shown += 1
            Output.error("smsbridge import: \(file.name), line \(line): \(problem)\n")
        }
        guard errorFile >= 0 else { return }
        errorLines +=
            "{\"file\":\(JSONText.string(file.name)),\"line\":\(line),\"problem\":\(JSONText.string(problem))}\n".utf8
        if errorLines.count >= 1 << 16 { writeErrors() }
    }

    func damaged(_ file: ImportFile, _ problem: String) {
        let text = "\(file.name): \(problem)"
        // It is met again when the file is read to publish.
        guard !damage.contains(text) else { return }
        damage.append(text)
        Output.error("smsbridge import: \(text); what could be read of it is imported\n")
    }

    private func writeErrors() {
        guard errorFile >= 0, !errorLines.isEmpty else { return }
        defer { errorLines = [] }
        if let code = Output.attempt(errorLines, to: errorFile) {
            Output.error("smsbridge import: --errors-to: \(String(cString: strerror(code)))\n")
        }
    }

    /// All rows have been counted.
    func finish() {
        if malformed > shown {
            Output.error(
                "smsbridge import: and \(malformed - shown) more malformed rows (see --max-errors, --errors-to)\n")
        }
        writeErrors()
    }

    /// What the command ends with when it was not interrupted.
    func exitCode(_ plan: ImportPlan) -> Int32 {
        let isWhole =
            malformed == 0 && (quarantined.isEmpty || plan.publishesQuarantine) && tooOld.isEmpty && damage.isEmpty
            && (unmatched == 0 || !plan.isOnlyMissing)
        return isWhole ? ExitCode.success : ExitCode.damaged
    }

    // MARK: Printing

    func show(_ invocation: Invocation, _ plan: ImportPlan, comparison: EventIDIndex?) {
        let isCompared = plan.comparesKafka && comparison != nil
        if invocation.isOn(ImportCommand.json) {
            Output.line(json(plan, isCompared: isCompared))
        } else {
            showText(plan, isCompared: isCompared)
        }
        if bases["reception"] ?? 0 > 0 {
            Output.error(
                "smsbridge import: \(bases["reception"] ?? 0) rows have an id of basis reception, which identifies nothing: they "
                    + "cannot be compared with Kafka, and get another id each time\n")
        }
        if let advice {
            Output.error(
                "smsbridge import: \(tooOld.values.reduce(0, +)) events are too old: \(advice). Give --timestamp now, raise the limit, "
                    + "or give --accept-loss\n")
        }
        guard plan.isExecuted else {
            let unknown = plan.publishesQuarantine ? 0 : quarantined.values.reduce(0, +)
            let count = isCompared ? toPublish : rows - duplicates - unknown
            return Output.error("smsbridge import: dry run: \(count) events would be published; --execute publishes\n")
        }
        let all = isResumed ? "; \(total) in all runs" : ""
        Output.error(
            "smsbridge import: \(published) events published\(all). They follow newer events in their topics: order is not kept\n"
        )
    }

    private func showText(_ plan: ImportPlan, isCompared: Bool) {
        func line(_ name: String, _ count: Int, _ note: String = "") {
            let text = "\(name)\(String(repeating: " ", count: max(1, 22 - name.count)))\(count)"
            Output.line(note.isEmpty ? text : "\(text)  \(note)")
        }
        func lines(_ counts: [String: Int], _ prefix: String) {
            for (name, count) in counts.sorted(by: { $0.key < $1.key }) { line("\(prefix)\(name)", count) }
        }
        line("rows", rows + malformed)
        if malformed > 0 { line("malformed", malformed) }
        lines(skipped, "skipped: ")
        lines(types, "")
        lines(bases, "id basis ")
        lines(quarantined, "quarantined: ")
        line("duplicates", duplicates, "within the input")
        guard isCompared else { return }
        lines(present, "in Kafka: ")
        lines(missing, "missing: ")
        line("missing", missing.values.reduce(0, +), "of \(compared) records compared")
        if unmatched > 0 { line("not comparable", unmatched) }
        lines(tooOld, "too old: ")
    }

    private func json(_ plan: ImportPlan, isCompared: Bool) -> String {
        func object(_ counts: [String: Int]) -> String {
            "{"
                + counts.sorted { $0.key < $1.key }.map { "\(JSONText.string($0.key)):\($0.value)" }.joined(
                    separator: ",") + "}"
        }
        var text =
            "{\"rows\":\(rows + malformed),\"malformed\":\(malformed),\"skipped\":\(object(skipped)),\"types\":\(object(types)),"
            + "\"idBasis\":\(object(bases)),\"quarantined\":\(object(quarantined)),\"duplicates\":\(duplicates),"
        if isCompared {
            text +=
                "\"compared\":\(compared),\"inKafka\":\(present.values.reduce(0, +)),\"missing\":\(missing.values.reduce(0, +)),"
                + "\"missingByType\":\(object(missing)),\"notComparable\":\(unmatched),"
        }
        return text
            + "\"tooOld\":\(tooOld.values.reduce(0, +)),\"published\":\(published),\"total\":\(total),\"resumed\":\(isResumed),"
            + "\"damaged\":[\(damage.map(JSONText.string).joined(separator: ","))],\"executed\":\(plan.isExecuted)}"
    }
}
