#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// Builds one line, its newline included.
///
/// Text from outside cannot end a line or control a terminal: control characters, line separators and bidirectional
/// controls are escaped.
struct LogLine {
    /// A value is cut at this many bytes.
    static let maximumValueBytes = 8_192

    private(set) var bytes: [UInt8] = []

    static func build(
        _ format: LogFormat, at time: (seconds: Int64, milliseconds: Int), level: LogLevel, label: String,
        message: String, fields: LogFields
    ) -> [UInt8] {
        var line = LogLine()
        line.bytes.reserveCapacity(160)
        if format == .json {
            line.json(at: time, level: level, label: label, message: message, fields: fields)
        } else {
            line.text(at: time, level: level, label: label, message: message, fields: fields)
        }
        return line.bytes
    }

    static func now() -> (seconds: Int64, milliseconds: Int) {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return (Int64(time.tv_sec), Int(time.tv_nsec) / 1_000_000)
    }

    /// logfmt: `name=value` pairs with the names that the JSON form has; values with blanks or quotes are JSON strings.
    private mutating func text(
        at time: (seconds: Int64, milliseconds: Int), level: LogLevel, label: String, message: String,
        fields: LogFields
    ) {
        put("time=")
        put(Self.timestamp(time))
        put(" level=")
        put(level.rawValue)
        if !label.isEmpty {
            put(" logger=")
            putWord(label)
        }
        put(" message=")
        putQuoted(message)
        put(fields)
        put("\n")
    }

    /// A line for a person at a terminal, without time and newline: `warning: logger: message name=value`.
    static func plainText(_ entry: LogEntry) -> String {
        var line = LogLine()
        line.put("\(entry.level.rawValue): ")
        line.putEscaped(entry.label.isEmpty ? "" : "\(entry.label): ", quotes: false)
        line.putEscaped(entry.message, quotes: false)
        line.put(entry.fields)
        return String(decoding: line.bytes, as: UTF8.self)
    }

    private mutating func put(_ fields: LogFields) {
        for (name, value) in Self.uniquelyNamed(fields) {
            put(" ")
            put(name)
            put("=")
            switch value {
            case .text(let text): putWord(text)
            case .list(let items): putWord(items.joined(separator: ","))
            case .integer(let value): put(String(value))
            case .unsigned(let value): put(String(value))
            case .number(let value): put("\(value)")
            case .flag(let value): put(value ? "true" : "false")
            }
        }
    }

    /// The fields with names that both formats can hold, none of them twice: readers disagree about which of two members of
    /// one name counts. A character that logfmt does not allow in a name becomes an underscore.
    private static func uniquelyNamed(_ fields: LogFields) -> [(name: String, value: LoggedValue)] {
        var used: Set<String> = ["time", "level", "message", "logger"]
        return fields.pairs.map { name, value in
            var name = String(name.map { $0.isASCII && ($0.isLetter || $0.isNumber || "._-".contains($0)) ? $0 : "_" })
            if name.isEmpty { name = "_" }
            while !used.insert(name).inserted { name += "_" }
            return (name: name, value: value)
        }
    }

    private mutating func json(
        at time: (seconds: Int64, milliseconds: Int), level: LogLevel, label: String, message: String,
        fields: LogFields
    ) {
        put("{\"time\":\"")
        put(Self.timestamp(time))
        put("\",\"level\":\"")
        put(level.rawValue)
        put("\",\"message\":")
        putQuoted(message)
        if !label.isEmpty {
            put(",\"logger\":")
            putQuoted(label)
        }
        for (name, value) in Self.uniquelyNamed(fields) {
            put(",")
            putQuoted(name)
            put(":")
            switch value {
            case .text(let text): putQuoted(text)
            case .integer(let value): put(String(value))
            case .unsigned(let value): put(String(value))
            case .number(let value): if value.isFinite { put("\(value)") } else { putQuoted("\(value)") }
            case .flag(let value): put(value ? "true" : "false")
            case .list(let items):
                var separator = "["
                for item in items {
                    put(separator)
                    putQuoted(item)
                    separator = ","
                }
                put(items.isEmpty ? "[]" : "]")
            }
        }
        put("}\n")
    }

    /// RFC 3339, UTC, milliseconds.
    static func timestamp(_ time: (seconds: Int64, milliseconds: Int)) -> String {
        // Days to a date: Howard Hinnant, "chrono-compatible low-level date algorithms", civil_from_days.
        let days = (time.seconds >= 0 ? time.seconds : time.seconds - 86_399) / 86_400
        let second = Int(time.seconds - days * 86_400)
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let day = Int(dayOfYear - (153 * monthFromMarch + 2) / 5 + 1)
        let month = Int(monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9)
        let year = Int(yearOfEra + era * 400) + (month <= 2 ? 1 : 0)
        func pad(_ number: Int, _ width: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
        }
        return "\(pad(year, 4))-\(pad(month, 2))-\(pad(day, 2))T\(pad(second / 3_600, 2)):"
            + "\(pad(second / 60 % 60, 2)):\(pad(second % 60, 2)).\(pad(time.milliseconds, 3))Z"
    }

    private mutating func put(_ text: String) { bytes.append(contentsOf: text.utf8) }

    private mutating func putQuoted(_ text: String) {
        put("\"")
        putEscaped(text)
        put("\"")
    }

    /// A value in logfmt: bare when it is one word of printable ASCII, else a JSON string.
    private mutating func putWord(_ text: String) {
        let isBare =
            !text.isEmpty && text.utf8.count <= Self.maximumValueBytes
            && text.utf8.allSatisfy {
                (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "=")
                    && $0 != UInt8(ascii: "\\")
            }
        if isBare { put(text) } else { putQuoted(text) }
    }

    private mutating func putEscaped(_ text: String, quotes: Bool = true) {
        var budget = Self.maximumValueBytes
        for scalar in text.unicodeScalars {
            let length = UTF8.width(scalar)
            if length > budget {
                put("… (cut)")
                return
            }
            budget -= length
            switch scalar {
            case "\"" where quotes: put("\\\"")
            case "\\" where quotes: put("\\\\")
            case "\n": put("\\n")
            case "\r": put("\\r")
            case "\t": put("\\t")
            case "\0"..."\u{1F}", "\u{7F}"..."\u{9F}", "\u{2028}", "\u{2029}", "\u{200E}", "\u{200F}", "\u{061C}",
                "\u{202A}"..."\u{202E}", "\u{2066}"..."\u{2069}", "\u{FEFF}":
                let digits = String(scalar.value, radix: 16)
                put("\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits)
            default: UTF8.encode(scalar).map { bytes.append(contentsOf: $0) }
            }
        }
    }
}
