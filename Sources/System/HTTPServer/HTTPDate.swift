/// The `Date` line of answers (RFC 9110 section 6.6.1).
enum HTTPDate {
    /// - Parameter second: Unix time, from year 1 on to 9999.
    static func line(_ second: Int64) -> [UInt8] {
        let days = second >= 0 ? second / 86_400 : (second - 86_399) / 86_400
        let time = second - days * 86_400
        // Days from 1 March of year 0, in eras of 400 years (Howard Hinnant, "chrono-compatible low-level date
        // algorithms").
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        let weekday = ((days + 4) % 7 + 7) % 7

        func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        let fourDigits = String(repeating: "0", count: max(0, 4 - "\(year)".count)) + "\(year)"
        let clock = "\(two(time / 3600)):\(two(time / 60 % 60)):\(two(time % 60))"
        let text = "\(weekdays[Int(weekday)]), \(two(day)) \(months[Int(month - 1)]) \(fourDigits) \(clock) GMT"
        return Array("Date: \(text)\r\n".utf8)
    }
}
