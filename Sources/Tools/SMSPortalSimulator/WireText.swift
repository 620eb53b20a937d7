/// Encoders for what goes over the wire, and the vendor's date format.
enum WireText {
    private static let digits = Array("0123456789ABCDEF".utf8)

    /// `application/x-www-form-urlencoded` text: a space is `+`, everything but unreserved characters is escaped.
    static func form(_ text: String, lowercase: Bool = false) -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count * 3)
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                bytes.append(byte)
            case UInt8(ascii: " "):
                bytes.append(UInt8(ascii: "+"))
            default:
                bytes.append(UInt8(ascii: "%"))
                for digit in [digits[Int(byte >> 4)], digits[Int(byte & 15)]] {
                    bytes.append(lowercase && digit >= UInt8(ascii: "A") ? digit + 32 : digit)
                }
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// A JSON string with its quotes; `ascii` escapes everything beyond ASCII, with surrogate pairs where needed.
    static func json(_ text: String, ascii: Bool = false) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case "\r": result += "\\r"
            default:
                if scalar.value < 0x20 || (ascii && scalar.value > 0x7E) {
                    for unit in String(scalar).utf16 { result += escape(unit) }
                } else {
                    result.unicodeScalars.append(scalar)
                }
            }
        }
        return result + "\""
    }

    private static func escape(_ unit: UInt16) -> String {
        let hex = String(unit, radix: 16)
        return "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
    }

    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    /// `dd/MMM/yyyy HH:mm:ss` in South African time (UTC+2, no summer time) of a UNIX time in seconds; the vendor does
    /// not always pad the day.
    static func southAfrican(_ seconds: Int64, padded: Bool) -> String {
        let local = seconds + 7200
        let day = local >= 0 ? local / 86400 : (local - 86399) / 86400
        let time = local - day * 86400
        // Civil date from days since 1970 (Howard Hinnant, chrono-Compatible Low-Level Date Algorithms).
        let shifted = day + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let dayOfMonth = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        let dayText = padded ? two(dayOfMonth) : String(dayOfMonth)
        return
            "\(dayText)/\(months[Int(month) - 1])/\(year) \(two(time / 3600)):\(two(time / 60 % 60)):\(two(time % 60))"
    }

    private static func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : String(number) }
}
