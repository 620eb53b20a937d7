import SMSBridgeSettings
import SMSPortalEvents

/// A callback of an input file.
struct ImportRow: Sendable, Equatable {
    /// Where it begins, from 1.
    var line: Int
    var method: CallbackMethod = .post
    /// nil for `/webhooks` without a type.
    var route: EventType?
    var contentType = ""
    var contentEncoding = ""
    var query: [UInt8] = []
    var body: [UInt8] = []
    /// Milliseconds since 1970; nil where the row does not say.
    var receivedAt: Int64?
    /// nil for the account of the command line.
    var account: String?
}

/// What a file has next.
enum ImportItem: Sendable, Equatable {
    case row(ImportRow)
    /// A row that cannot be read. The message never quotes its content.
    case malformed(line: Int, String)
    /// A row that is not a callback to import, such as a request that was answered.
    case skipped(reason: String)
}

/// What is known of a row before it is published.
enum ImportStanding: Sendable {
    /// An earlier row has its id.
    case duplicate
    /// It goes to the quarantine, if anywhere.
    case notUnderstood
    /// Kafka was not read.
    case notCompared
    /// Its id is random.
    case notComparable
    case present, missing
}

/// Reads the rows of a file, one after the other. What is malformed is reported and never ends the reading.
protocol ImportRows: AnyObject {
    /// nil at the end.
    func next() throws(ReplayFailure) -> ImportItem?
}

/// The formats of input files.
enum ImportFormat: String, CaseIterable, Sendable {
    case callbacks, objects, csv, accessLog = "access-log", xml

    /// By the ending of a file's name, a `.gz` aside; nil where it does not tell.
    static func of(_ path: String, hasType: Bool) -> ImportFormat? {
        let name = path.lowercased()
        let plain = name.hasSuffix(".gz") ? name.dropLast(3) : name[...]
        switch plain.split(separator: ".").last {
        case "ndjson", "jsonl", "json": return hasType ? .objects : .callbacks
        case "csv", "tsv": return .csv
        case "log": return .accessLog
        case "xml": return .xml
        default: return nil
        }
    }
}

/// How rows are read, whatever their format.
struct ImportOptions: Sendable {
    var format = ImportFormat.callbacks
    /// The event type of rows that do not say it.
    var type: EventType?
    /// The separator of a CSV file; nil for a comma, or a tab in a `.tsv` file.
    var delimiter: UInt8?
    /// The column, or member, that has the time of reception.
    var receivedAt: String?
    /// Whether an empty cell without quotes is an empty text rather than absent.
    var keepsEmptyCells = false
    /// Of an access log: which statuses mean that a callback was lost.
    var statuses: Set<Int> = Set(400...599)
    /// The path prefix of the webhook routes.
    var basePath = ""
}

/// A JSON object that is written member by member.
struct JSONObjectWriter {
    private(set) var bytes: [UInt8] = [UInt8(ascii: "{")]

    mutating func append(_ name: [UInt8], text: [UInt8]) {
        begin(name)
        JSONText.append(text, to: &bytes)
    }

    /// - Parameter source: JSON.
    mutating func append(_ name: [UInt8], source: [UInt8]) {
        begin(name)
        bytes += source
    }

    private mutating func begin(_ name: [UInt8]) {
        if bytes.count > 1 { bytes.append(UInt8(ascii: ",")) }
        JSONText.append(name, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
    }

    mutating func end() -> [UInt8] {
        bytes.append(UInt8(ascii: "}"))
        return bytes
    }
}

/// Times of reception as files have them.
enum ImportTime {
    /// RFC 3339 with an offset, UNIX seconds or milliseconds, or the vendor's `dd/MMM/yyyy HH:mm:ss`.
    static func milliseconds(_ text: String) -> Int64? {
        if let known = ReceivedTime.milliseconds(text) { return known }
        guard let time = try? ValueType<ReplayTime>.replayTime.parse(text), case .moment(let moment) = time.value else {
            return nil
        }
        return moment
    }
}
