import SMSBridgeSettings
import SMSPortalEvents

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The time zone in which times without an offset are read and windows are shown.
///
/// IANA names are resolved by the C library, whose zone is the process's: a command selects it once, before it starts any
/// thread.
struct CommandTimeZone: Sendable {
    /// As the user wrote it.
    let text: String
    private let kind: Kind

    private enum Kind: Sendable {
        case machine
        case named
        /// Seconds east of UTC.
        case offset(Int64)
    }

    /// The zone of the machine: `TZ`, else `/etc/localtime`.
    static let machine = CommandTimeZone(text: "", kind: .machine)

    private init(text: String, kind: Kind) {
        self.text = text
        self.kind = kind
    }

    /// Where the C library looks for zones.
    private static let folders = ["/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/var/db/timezone/zoneinfo"]

    /// - Parameter text: an IANA name such as `Africa/Johannesburg`, `UTC`, or an offset such as `+02:00`.
    init(parsing text: String) throws(WrongValue) {
        if let offset = Self.offset(text) {
            self.init(text: text, kind: .offset(offset))
            return
        }
        if text == "UTC" || text == "Z" {
            self.init(text: text, kind: .offset(0))
            return
        }
        let isName =
            !text.isEmpty && !text.hasPrefix("/") && !text.contains("..")
            && text.utf8.allSatisfy {
                (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0)
                    || [43, 45, 47, 95].contains($0)
            }
        guard isName else { throw WrongValue() }
        let folders = (getenv("TZDIR").map { [String(cString: $0)] } ?? []) + Self.folders
        // The C library takes a name that it does not find for UTC, and says nothing.
        guard folders.contains(where: { Self.isFile("\($0)/\(text)") }) else {
            let isMissing = !folders.contains { access("\($0)/Africa/Johannesburg", R_OK) == 0 }
            throw WrongValue(
                isMissing
                    ? "this machine has no time zone database (package tzdata): give an offset such as +02:00"
                    : "there is no such time zone on this machine")
        }
        self.init(text: text, kind: .named)
    }

    private static func isFile(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    /// `+02:00`, as seconds.
    static func offset(_ text: some StringProtocol) -> Int64? {
        let bytes = Array(text.utf8)
        guard bytes.count == 6, bytes[0] == UInt8(ascii: "+") || bytes[0] == UInt8(ascii: "-"),
            bytes[3] == UInt8(ascii: ":"),
            [1, 2, 4, 5].allSatisfy({ (48...57).contains(bytes[$0]) })
        else { return nil }
        func pair(_ at: Int) -> Int64 { Int64(bytes[at] - 48) * 10 + Int64(bytes[at + 1] - 48) }
        guard pair(1) < 24, pair(4) < 60 else { return nil }
        let seconds = pair(1) * 3_600 + pair(4) * 60
        return bytes[0] == UInt8(ascii: "-") ? -seconds : seconds
    }

    /// Makes it the zone of the process, for `milliseconds(of:)` and `text(of:)`. Called before other threads are started:
    /// they may read the environment.
    func select() {
        if case .named = kind { setenv("TZ", text, 1) }
        tzset()
    }

    /// The moment of a local time.
    ///
    /// - Throws: `WrongValue` where clocks skip it, or show it twice.
    func milliseconds(of local: LocalTime) throws(WrongValue) -> Int64 {
        if case .offset(let offset) = kind { return local.utcMilliseconds - offset * 1_000 }
        var moments: Set<Int> = []
        for isSummer: Int32 in [-1, 0, 1] {
            var fields = local.fields
            fields.tm_isdst = isSummer
            let moment = mktime(&fields)
            // The C library moves a time that does not exist to one that does.
            if local.isShown(at: moment) { moments.insert(moment) }
        }
        if moments.isEmpty, local.isDateOnly {
            // A day that begins an hour late: at its first moment.
            var fields = local.fields
            fields.tm_isdst = -1
            moments = [mktime(&fields)]
        }
        guard let moment = moments.first else {
            throw WrongValue(
                "\(local.text) does not exist in \(name): clocks are set forward; give an offset such as +02:00")
        }
        guard moments.count == 1 else {
            throw WrongValue(
                "\(local.text) occurs twice in \(name): clocks are set back; give an offset such as +02:00")
        }
        return Int64(moment) * 1_000 + local.milliseconds
    }

    /// A moment in this zone, such as `2026-11-24T00:00:00+02:00`.
    func text(of milliseconds: Int64) -> String {
        var offset: Int64
        if case .offset(let fixed) = kind {
            offset = fixed
        } else {
            var moment = time_t(milliseconds / 1_000 - (milliseconds % 1_000 < 0 ? 1 : 0))
            var fields = tm()
            localtime_r(&moment, &fields)
            offset = Int64(fields.tm_gmtoff)
        }
        let local = EventTime(millisecondsSinceEpoch: milliseconds + offset * 1_000).rfc3339.dropLast()
        let sign = offset < 0 ? "-" : "+"
        offset = abs(offset) / 60
        func pair(_ number: Int64) -> String { (number < 10 ? "0" : "") + String(number) }
        return "\(local)\(sign)\(pair(offset / 60)):\(pair(offset % 60))"
    }

    /// The name to show.
    var name: String {
        guard case .machine = kind else { return text }
        if let variable = getenv("TZ").map({ String(cString: $0) }), !variable.isEmpty { return variable }
        var target = [CChar](repeating: 0, count: 4_096)
        let count = readlink("/etc/localtime", &target, target.count - 1)
        if count > 0 {
            let path = String(decoding: target[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
            if let range = path.firstRange(of: "zoneinfo/") { return String(path[range.upperBound...]) }
        }
        return "local time"
    }
}

/// A time as clocks show it, without an offset: `2026-11-24`, `2026-11-24T08:30` or `2026-11-24T08:30:00.250`.
struct LocalTime: Sendable, Hashable {
    let text: String
    /// As if it were UTC.
    let utcMilliseconds: Int64
    let isDateOnly: Bool

    var milliseconds: Int64 { (utcMilliseconds % 1_000 + 1_000) % 1_000 }

    /// - Returns: nil for anything else, and for dates that do not exist.
    init?(_ text: String) {
        var time = text
        switch text.utf8.count {
        case 10: time += "T00:00:00"
        case 16: time += ":00"
        default: break
        }
        guard let milliseconds = Self.utcMilliseconds(time) else { return nil }
        self.text = text
        utcMilliseconds = milliseconds
        isDateOnly = text.utf8.count == 10
    }

    /// A time of RFC 3339 without its offset; digits beyond milliseconds are cut off.
    static func utcMilliseconds(_ text: some StringProtocol) -> Int64? {
        var bytes = Array(text.utf8)
        guard bytes.count >= 19 else { return nil }
        if bytes[10] == UInt8(ascii: "t") || bytes[10] == UInt8(ascii: " ") { bytes[10] = UInt8(ascii: "T") }
        if bytes.count > 19 {
            guard bytes[19] == UInt8(ascii: "."), (21...29).contains(bytes.count),
                bytes[20...].allSatisfy({ (48...57).contains($0) })
            else { return nil }
            bytes = Array(bytes.prefix(23))
        }
        return EventTime(rfc3339: String(decoding: bytes, as: UTF8.self) + "Z")?.millisecondsSinceEpoch
    }

    fileprivate var fields: tm {
        let digits = EventTime(millisecondsSinceEpoch: utcMilliseconds).rfc3339.utf8.map { Int32($0) - 48 }
        func number(_ range: Range<Int>) -> Int32 { range.reduce(0) { $0 * 10 + digits[$1] } }
        var fields = tm()
        fields.tm_year = number(0..<4) - 1_900
        fields.tm_mon = number(5..<7) - 1
        fields.tm_mday = number(8..<10)
        fields.tm_hour = number(11..<13)
        fields.tm_min = number(14..<16)
        fields.tm_sec = number(17..<19)
        return fields
    }

    /// Whether the clocks of the process's zone show this time at a moment.
    fileprivate func isShown(at moment: Int) -> Bool {
        var moment = time_t(moment)
        var shown = tm()
        localtime_r(&moment, &shown)
        let fields = fields
        return shown.tm_year == fields.tm_year && shown.tm_mon == fields.tm_mon && shown.tm_mday == fields.tm_mday
            && shown.tm_hour == fields.tm_hour && shown.tm_min == fields.tm_min && shown.tm_sec == fields.tm_sec
    }
}

extension ValueType where Value == CommandTimeZone {
    /// An IANA name, `UTC`, or an offset.
    static let timeZone = ValueType(
        "time zone", expected: "an IANA name such as Africa/Johannesburg, UTC, or an offset such as +02:00",
        show: { $0.text.isEmpty ? "the machine's" : $0.text },
        parse: { text throws(WrongValue) in try CommandTimeZone(parsing: text) })
}
