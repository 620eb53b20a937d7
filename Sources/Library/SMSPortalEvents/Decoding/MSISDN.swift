/// A subscriber's number as a record's key: digits, so that one subscriber's events keep their order.
enum MSISDN {
    /// E.164 allows 15 digits; fewer than 5 are no subscriber's number.
    static let digits = 5...15

    /// The vendor's sample number. A callback about it is a test, sent when a webhook is saved.
    static let sample: StaticString = "27000000001"

    /// How many bytes the room for digits must have.
    static let room = 32

    /// Reads a number, written as digits or in groups as people write it (ITU-T E.123). The result reads as itself again.
    ///
    /// Text that has another reading besides the one as a single number is no number: two numbers in one field, a fraction,
    /// a sign. ``GroupedNumber`` says how groups are read.
    ///
    /// - Parameter room: Where the digits go when they are not a part of `text` already; ``room`` bytes.
    /// - Returns: 5 to 15 digits, not beginning with `00`; nil where the text is something else.
    @inline(__always)
    static func normalised(_ text: Bytes, room: UnsafeMutablePointer<UInt8>) -> Bytes? {
        if text.isDigits, !hasDoubleZero(text) { return digits.contains(text.count) ? text : nil }
        var number = GroupedNumber(text.trimmed.withoutZeroFraction, room: room)
        guard number.read() else { return nil }
        let read = Bytes(base: UnsafePointer(room), count: number.count)
        return digits.contains(read.count) && !hasDoubleZero(read) ? read : nil
    }

    @inline(__always)
    private static func hasDoubleZero(_ text: Bytes) -> Bool { text.count >= 2 && text[0] == 0x30 && text[1] == 0x30 }
}

/// Reads a telephone number that is written in groups.
///
/// - A leading `+`, or `00`, makes the number international: a country code follows, which never begins with zero (E.164).
/// - Groups of digits are separated by spaces, one hyphen or one dot; one group may be in parentheses. The number begins and ends
///   with a group.
/// - `(0)` directly after the country code is the national trunk prefix, which is not a part of the international number.
/// - Two groups of five digits and more are two numbers, unless an international number's country code precedes them.
/// - One dot alone is a decimal point, except after a country code (RFC 5733: `+27.821234567`); and a last group of
///   one digit or of two zeros after a dot is a fraction.
private struct GroupedNumber {
    private let text: Bytes
    private let room: UnsafeMutablePointer<UInt8>
    private var at = 0

    /// The digits read so far.
    private(set) var count = 0
    private var isInternational = false
    private var hasTrunkPrefix = false
    private var groups = 0
    private var longGroups = 0
    private var parentheses = 0
    private var dots = 0
    private var otherSeparators = 0
    private var firstGroup = Bytes.empty
    private var lastGroup = Bytes.empty
    /// The separator before the last group: a space, a hyphen, a dot, or 0 where only a parenthesis separates.
    private var lastSeparator: UInt8 = 0

    init(_ text: Bytes, room: UnsafeMutablePointer<UInt8>) {
        self.text = text
        self.room = room
    }

    private static let longestCountryCode = 3

    /// Whether all of the text is one number. Its digits are then in the room.
    mutating func read() -> Bool {
        readPrefix()
        while true {
            guard readGroup() else { return false }
            if at == text.count { break }
            guard readSeparator() else { return false }
        }
        return isOneNumber && !endsWithFraction
    }

    private mutating func readPrefix() {
        if text.count > 0, text[0] == 0x2B {
            at = 1
        } else if text.count > 1, text[0] == 0x30, text[1] == 0x30 {
            at = 2
            if at < text.count, text[at] == 0x2D { at += 1 }
        } else {
            return
        }
        isInternational = true
        while at < text.count, text[at] == 0x20 { at += 1 }
    }

    /// Reads digits, or digits in parentheses.
    private mutating func readGroup() -> Bool {
        let isInParentheses = at < text.count && text[at] == 0x28
        if isInParentheses {
            guard parentheses == 0 else { return false }
            parentheses = 1
            at += 1
        }
        let start = at
        while at < text.count, isDigit(text[at]) { at += 1 }
        let group = text[start..<at]
        guard !group.isEmpty else { return false }
        if isInParentheses {
            guard at < text.count, text[at] == 0x29 else { return false }
            at += 1
        }
        if groups == 0 {
            guard !isInternational || group[0] != 0x30 else { return false }
            firstGroup = group
        } else if isInParentheses, group[0] == 0x30 {
            // An area code with its trunk prefix belongs to a national number, so only a plain `(0)` can be left out.
            guard group.count == 1, groups == 1, beginsWithCountryCode else { return false }
            hasTrunkPrefix = true
            groups += 1
            return true
        } else if hasTrunkPrefix, groups == 2, group[0] == 0x30 {
            return false
        }
        guard count + group.count <= MSISDN.digits.upperBound else { return false }
        for index in 0..<group.count { room[count + index] = group[index] }
        count += group.count
        groups += 1
        if group.count >= MSISDN.digits.lowerBound { longGroups += 1 }
        lastGroup = group
        return true
    }

    /// Reads what separates two groups; nothing is enough at a parenthesis.
    private mutating func readSeparator() -> Bool {
        let start = at
        lastSeparator = 0
        while at < text.count, text[at] == 0x20 { at += 1 }
        if at > start {
            lastSeparator = 0x20
            otherSeparators += 1
        } else if at < text.count, text[at] == 0x2D {
            lastSeparator = 0x2D
            otherSeparators += 1
            at += 1
        } else if at < text.count, text[at] == 0x2E {
            lastSeparator = 0x2E
            dots += 1
            at += 1
        }
        guard at < text.count else { return false }
        return at > start || text[at] == 0x28 || text[at - 1] == 0x29
    }

    private var beginsWithCountryCode: Bool {
        !firstGroup.isEmpty && firstGroup.count <= Self.longestCountryCode && firstGroup[0] != 0x30
    }

    private var isOneNumber: Bool { longGroups < 2 || (isInternational && beginsWithCountryCode) }

    private var endsWithFraction: Bool {
        if dots == 1 {
            let isAfterCountryCode =
                isInternational && beginsWithCountryCode && groups == 2 && parentheses == 0 && otherSeparators == 0
            return !isAfterCountryCode
        }
        guard lastSeparator == 0x2E else { return false }
        return lastGroup.count == 1 || (lastGroup.count == 2 && lastGroup.equals("00"))
    }
}
