/// Figures as people read them.
enum Figure {
    /// 1,234,567; below 10 with a decimal where there is one.
    static func count(_ value: Double) -> String {
        if !value.isFinite { return "–" }
        if abs(value) < 9.95, value != value.rounded() { return decimal(value) }
        let digits = String(Int64(clamping: value))
        var text = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0, text.last?.isNumber == true { text += "," }
            text.append(digit)
        }
        return text
    }

    /// 1 event, 2 events.
    static func count(_ value: Double, of thing: String) -> String {
        "\(count(value)) \(thing)\(value == 1 ? "" : "s")"
    }

    /// A rate, with more digits the smaller it is.
    static func rate(_ value: Double) -> String { value < 9.95 ? decimal(value) : count(value.rounded()) }

    static func percent(_ share: Double) -> String {
        let value = share * 100
        return value > 0 && value < 1 ? "< 1 %" : "\(count(value.rounded())) %"
    }

    static func bytes(_ value: Double) -> String {
        var value = max(0, value)
        for unit in ["B", "KiB", "MiB", "GiB"] {
            if value < 1024 {
                return "\(value < 9.95 && unit != "B" ? decimal(value) : count(value.rounded())) \(unit)"
            }
            value /= 1024
        }
        return "\(value < 9.95 ? decimal(value) : count(value.rounded())) TiB"
    }

    /// Seconds in the one or two units that matter.
    static func duration(_ seconds: Double) -> String {
        if seconds < 0.000_95 { return "\(Int((seconds * 1e6).rounded())) µs" }
        if seconds < 0.009_95 { return "\(decimal(seconds * 1e3)) ms" }
        if seconds < 0.999_5 { return "\(Int((seconds * 1e3).rounded())) ms" }
        if seconds < 9.95 { return "\(decimal(seconds)) s" }
        let whole = Int64(clamping: seconds)
        if whole < 120 { return "\(whole) s" }
        if whole < 7_200 { return "\(whole / 60) min" }
        if whole < 172_800 { return "\(whole / 3_600) h \(whole / 60 % 60) min" }
        return "\(whole / 86_400) d \(whole / 3_600 % 24) h"
    }

    /// UNIX time as 2026-01-31 14:05:09 UTC.
    static func date(_ time: Double) -> String {
        let seconds = Int64(clamping: time)
        // Howard Hinnant's civil_from_days, years that begin in March.
        let days = seconds / 86_400 + 719_468
        let era = days / 146_097
        let dayOfEra = days - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shifted + 2) / 5 + 1
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let clock = [seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60].map(two).joined(separator: ":")
        return "\(year)-\(two(month))-\(two(day)) \(clock) UTC"
    }

    /// With a capital at the beginning, but for the name of a setting, which has its own spelling: `auth.none`.
    static func sentence(_ text: String) -> String {
        let word = text.prefix { $0 != " " }
        let isName = word.dropLast().contains(".")
        return isName ? text : text.prefix(1).uppercased() + text.dropFirst()
    }

    private static func decimal(_ value: Double) -> String {
        let tenths = Int64(clamping: (value * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths < 0 ? "-" : "")\(abs(tenths) / 10).\(abs(tenths) % 10)"
    }
}

extension Int64 {
    /// The nearest there is; 0 for what is no number.
    init(clamping value: Double) {
        self = value.isNaN ? 0 : value >= 0x1p63 ? .max : value <= -0x1p63 ? .min : Int64(value)
    }
}
