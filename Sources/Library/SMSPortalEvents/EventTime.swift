/// A moment, in whole milliseconds since 1970-01-01T00:00:00Z.
///
/// It spans the years 0000 to 9999, which RFC 3339 can write; anything beyond becomes the nearest moment within.
/// `SMSPortalConsumer` converts it to and from Foundation's `Date`.
public struct EventTime: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// Milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
    public let millisecondsSinceEpoch: Int64

    /// 0000-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z.
    private static let bounds: ClosedRange<Int64> = -62_167_219_200_000...253_402_300_799_999

    /// - Parameter millisecondsSinceEpoch: Milliseconds since 1970-01-01T00:00:00Z.
    public init(millisecondsSinceEpoch: Int64) {
        self.millisecondsSinceEpoch = min(max(millisecondsSinceEpoch, Self.bounds.lowerBound), Self.bounds.upperBound)
    }

    /// Reads RFC 3339 text in UTC, such as `2021-01-01T12:04:22Z` or `2026-11-23T17:50:26.123Z`.
    ///
    /// - Returns: Nil for anything else: another offset than `Z`, an impossible date, a leap second, more than three digits of
    ///   a fraction.
    public init?(rfc3339 text: String) {
        var text = text
        let milliseconds = text.withUTF8 { Self.milliseconds(rfc3339: Bytes(UnsafeRawBufferPointer($0))) }
        guard let milliseconds else { return nil }
        self.init(millisecondsSinceEpoch: milliseconds)
    }

    /// RFC 3339 text in UTC; a fraction only where there is one: `2021-01-01T12:04:22Z`, `2021-01-01T12:04:22.500Z`.
    public var rfc3339: String {
        var writer = ByteWriter(capacity: 64)
        writer.append(time: millisecondsSinceEpoch, fraction: .ifAny)
        return writer.bytes.string
    }

    /// The same as ``rfc3339``.
    public var description: String { rfc3339 }

    /// The earlier moment is the lesser.
    public static func < (left: EventTime, right: EventTime) -> Bool {
        left.millisecondsSinceEpoch < right.millisecondsSinceEpoch
    }
}

// MARK: - Writing

enum TimeFraction {
    case always
    case ifAny
}

extension ByteWriter {
    /// RFC 3339 in UTC, by hand: Foundation takes three times as long and has rounded `.123` to `.122`.
    mutating func append(time milliseconds: Int64, fraction: TimeFraction) {
        let clamped = EventTime(millisecondsSinceEpoch: milliseconds).millisecondsSinceEpoch
        // Floored, by constants: a division by a variable costs more than all the rest.
        let seconds = Int((clamped >= 0 ? clamped : clamped - 999) / 1000)
        let rest = Int(clamped) - seconds * 1000
        let days = (seconds >= 0 ? seconds : seconds - 86_399) / 86_400
        let second = UInt32(truncatingIfNeeded: seconds - days * 86_400)
        let minute = second / 60
        let (year, month, day) = civilDate(daysSinceEpoch: days)
        reserve(32)
        let century = year / 100
        putPair(century)
        putPair(year &- century &* 100, 0x2D)
        putPair(month, 0x2D)
        putPair(day, 0x54)
        putPair(minute / 60, 0x3A)
        putPair(minute % 60, 0x3A)
        let hasFraction = fraction == .always || rest != 0
        putPair(second % 60, hasFraction ? 0x2E : 0x5A)
        if hasFraction {
            let hundredths = UInt32(truncatingIfNeeded: rest) / 10
            putPair(hundredths, 0x30 &+ UInt8(truncatingIfNeeded: UInt32(truncatingIfNeeded: rest) &- hundredths &* 10))
            append(0x5A)
        }
    }
}

/// The proleptic Gregorian date of a day number in the years 0000 to 9999 (Cassio Neri and Lorenz Schneider, "Euclidean
/// affine functions and their application to calendar algorithms", 2022).
@inline(__always)
private func civilDate(daysSinceEpoch: Int) -> (year: UInt32, month: UInt32, day: UInt32) {
    // From 1 March of the year -400 on: years begin in March, and no day number is negative.
    let shifted = UInt32(truncatingIfNeeded: daysSinceEpoch &+ 719_468 &+ 146_097) &* 4 &+ 3
    let century = shifted / 146_097
    let dayOfCentury = (shifted &- century &* 146_097) / 4
    let product = 2_939_745 &* UInt64(dayOfCentury &* 4 &+ 3)
    let yearOfCentury = UInt32(truncatingIfNeeded: product >> 32)
    let dayOfYear = UInt32(truncatingIfNeeded: product) / 2_939_745 / 4
    let scaled = 2141 &* dayOfYear &+ 197_913
    let month = scaled >> 16
    let day = (scaled & 0xFFFF) / 2141 &+ 1
    let isNextYear = dayOfYear >= 306
    let year = century &* 100 &+ yearOfCentury &- 400 &+ (isNextYear ? 1 : 0)
    return (year, isNextYear ? month &- 12 : month, day)
}

/// The day number of a date, or nil where there is no such date.
private func daysSinceEpoch(year: Int, month: Int, day: Int) -> Int? {
    guard (0...9999).contains(year), (1...12).contains(month), day >= 1 else { return nil }
    let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    let length: Int
    switch month {
    case 2: length = isLeap ? 29 : 28
    case 4, 6, 9, 11: length = 30
    default: length = 31
    }
    guard day <= length else { return nil }
    let shiftedYear = month <= 2 ? year - 1 : year
    let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
    let yearOfEra = shiftedYear - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * 146_097 + dayOfEra - 719_468
}

// MARK: - Reading RFC 3339

extension EventTime {
    static func milliseconds(rfc3339 text: Bytes) -> Int64? {
        guard text.count >= 20, text.count <= 24, text.count != 21,
            text[4] == 0x2D, text[7] == 0x2D, text[10] == 0x54, text[13] == 0x3A, text[16] == 0x3A,
            text[text.count - 1] == 0x5A,
            let year = text[0..<4].smallNumber, let month = text[5..<7].smallNumber, let day = text[8..<10].smallNumber,
            let hour = text[11..<13].smallNumber, let minute = text[14..<16].smallNumber,
            let second = text[17..<19].smallNumber,
            hour < 24, minute < 60, second < 60,
            let days = daysSinceEpoch(year: year, month: month, day: day)
        else { return nil }
        var fraction = 0
        if text.count > 20 {
            guard text[19] == 0x2E, let digits = text[20..<text.count - 1].smallNumber else { return nil }
            fraction = text.count == 24 ? digits : text.count == 23 ? digits * 10 : digits * 100
        }
        let seconds = days * 86_400 + hour * 3600 + minute * 60 + second
        return Int64(seconds * 1000 + fraction)
    }
}

extension Bytes {
    /// The number that one to nine digits write; nil for anything else.
    @inline(__always)
    fileprivate var smallNumber: Int? {
        guard count <= 9, isDigits else { return nil }
        var value = 0
        var index = 0
        while index < count {
            value = value * 10 + Int(base[index] &- 0x30)
            index += 1
        }
        return value
    }
}

// MARK: - The vendor's times

/// The times of the vendor's wire.
enum VendorTime {
    /// 1999-01-01T00:00:00Z up to 2100-01-01T00:00:00Z. A time outside is a placeholder (0, 01/Jan/0001), not a time; the
    /// vendor's own samples begin at 01/Jan/2000 South African time, which is 1999 in UTC.
    static let bounds: Range<Int64> = 915_148_800_000..<4_102_444_800_000

    /// From this number on, digits are milliseconds: as seconds it would be the year 5138, as milliseconds it is 1973.
    static let leastMilliseconds = 100_000_000_000

    /// Reads UNIX seconds (or milliseconds), `dd/MMM/yyyy HH:mm:ss` in South African time, or ISO 8601. A fraction of zeros is
    /// dropped.
    ///
    /// - Returns: Milliseconds since the epoch; nil for anything else, for impossible dates and for times out of ``bounds``.
    static func milliseconds(_ text: Bytes) -> Int64? {
        let text = text.trimmed.withoutZeroFraction
        let milliseconds = text.isDigits ? unix(text) : southAfrican(text) ?? iso8601(text)
        guard let milliseconds, bounds.contains(milliseconds) else { return nil }
        return milliseconds
    }

    private static func unix(_ digits: Bytes) -> Int64? {
        guard digits.count <= 14 else { return nil }
        var value = 0
        var index = 0
        while index < digits.count {
            value = value * 10 + Int(digits[index] &- 0x30)
            index += 1
        }
        return Int64(value >= leastMilliseconds ? value : value * 1000)
    }

    /// South Africa has had UTC+2 all year since 1944.
    private static let southAfricanOffset = 2 * 3600

    private static func southAfrican(_ text: Bytes) -> Int64? {
        var at = 0
        guard let day = number(in: text, at: &at, digits: 1...2), skip(0x2F, in: text, at: &at),
            let month = month(in: text, at: &at), skip(0x2F, in: text, at: &at),
            let year = number(in: text, at: &at, digits: 4...4), skip(0x20, in: text, at: &at)
        else { return nil }
        while at < text.count, text[at] == 0x20 { at += 1 }
        guard let hour = number(in: text, at: &at, digits: 1...2), skip(0x3A, in: text, at: &at),
            let minute = number(in: text, at: &at, digits: 2...2), skip(0x3A, in: text, at: &at),
            let second = number(in: text, at: &at, digits: 2...2), at == text.count,
            hour < 24, minute < 60, second < 60,
            let days = daysSinceEpoch(year: year, month: month, day: day)
        else { return nil }
        return Int64(days * 86_400 + hour * 3600 + minute * 60 + second - southAfricanOffset) * 1000
    }

    /// `2026-01-02T10:00:00Z`, with an offset (`+02:00`, `+0200`) or a fraction, and with a space for the `T`: no vendor page
    /// has it, but templates and tests written by hand do. Without an offset it is South African time, as the vendor's texts are.
    private static func iso8601(_ text: Bytes) -> Int64? {
        var at = 0
        guard let year = number(in: text, at: &at, digits: 4...4), skip(0x2D, in: text, at: &at),
            let month = number(in: text, at: &at, digits: 2...2), skip(0x2D, in: text, at: &at),
            let day = number(in: text, at: &at, digits: 2...2),
            skip(0x54, in: text, at: &at) || skip(0x20, in: text, at: &at),
            let hour = number(in: text, at: &at, digits: 2...2), skip(0x3A, in: text, at: &at),
            let minute = number(in: text, at: &at, digits: 2...2), skip(0x3A, in: text, at: &at),
            let second = number(in: text, at: &at, digits: 2...2),
            hour < 24, minute < 60, second < 60,
            let days = daysSinceEpoch(year: year, month: month, day: day)
        else { return nil }
        var fraction = 0
        if skip(0x2E, in: text, at: &at) {
            let start = at
            guard var digits = number(in: text, at: &at, digits: 1...9) else { return nil }
            // Whole milliseconds; what is finer is cut off.
            for _ in (at - start)..<max(3, at - start) { digits *= 10 }
            for _ in 3..<max(3, at - start) { digits /= 10 }
            fraction = digits
        }
        var offset = southAfricanOffset
        if skip(0x5A, in: text, at: &at) {
            offset = 0
        } else if at < text.count {
            let isWest = text[at] == 0x2D
            guard isWest || text[at] == 0x2B else { return nil }
            at += 1
            guard let hours = number(in: text, at: &at, digits: 2...2) else { return nil }
            _ = skip(0x3A, in: text, at: &at)
            guard let minutes = number(in: text, at: &at, digits: 2...2), hours < 24, minutes < 60 else { return nil }
            offset = (hours * 3600 + minutes * 60) * (isWest ? -1 : 1)
        }
        guard at == text.count else { return nil }
        return Int64(days * 86_400 + hour * 3600 + minute * 60 + second - offset) * 1000 + Int64(fraction)
    }

    private static func number(in text: Bytes, at: inout Int, digits: ClosedRange<Int>) -> Int? {
        let start = at
        while at < text.count, at - start < digits.upperBound, isDigit(text[at]) { at += 1 }
        guard at - start >= digits.lowerBound else { return nil }
        return text[start..<at].smallNumber
    }

    private static func skip(_ byte: UInt8, in text: Bytes, at: inout Int) -> Bool {
        guard at < text.count, text[at] == byte else { return false }
        at += 1
        return true
    }

    private static func month(in text: Bytes, at: inout Int) -> Int? {
        guard text.count - at >= 3 else { return nil }
        let name = text[at..<at + 3]
        let names = Bytes("janfebmaraprmayjunjulaugsepoctnovdec")
        for month in 0..<12 where name.equalsIgnoringCase(names[month * 3..<month * 3 + 3]) {
            at += 3
            return month + 1
        }
        return nil
    }
}
