/// How the text of a value is read, checked, described and written again.
package struct ValueType<Value: Sendable>: Sendable {
    /// What the reference calls it: `port`, `duration`.
    package let name: String
    /// Completes the sentence "expected …", bounds included.
    package let expected: String
    /// Reads a text. The error may describe the problem beyond what was expected.
    package let parse: @Sendable (String) throws(WrongValue) -> Value
    /// Writes a value as `parse` reads it.
    package let show: @Sendable (Value) -> String

    package init(
        _ name: String, expected: String, show: @escaping @Sendable (Value) -> String,
        parse: @escaping @Sendable (String) throws(WrongValue) -> Value
    ) {
        self.name = name
        self.expected = expected
        self.parse = parse
        self.show = show
    }
}

/// A text is not a value of the type asked for.
package struct WrongValue: Error, Equatable {
    /// The problem, when `expected` is not enough.
    package var detail: String?

    package init(_ detail: String? = nil) { self.detail = detail }
}

extension ValueType where Value == Bool {
    /// `true` or `false`.
    package static let flag = ValueType(
        "boolean", expected: "true or false", show: { $0 ? "true" : "false" },
        parse: { text throws(WrongValue) in
            switch text {
            case "true", "True", "TRUE": return true
            case "false", "False", "FALSE": return false
            case "yes", "Yes", "YES", "on", "On", "ON", "1": throw WrongValue("write true")
            case "no", "No", "NO", "off", "Off", "OFF", "0": throw WrongValue("write false")
            default: throw WrongValue()
            }
        })
}

extension ValueType where Value == Int {
    /// A whole number in decimal digits.
    package static func integer(_ range: ClosedRange<Int>) -> ValueType {
        ValueType(
            "integer", expected: "a whole number from \(range.lowerBound) to \(range.upperBound)", show: { String($0) },
            parse: { text throws(WrongValue) in
                let value = try wholeNumber(text)
                guard range.contains(value) else { throw WrongValue() }
                return value
            })
    }

    /// A size: bytes, or a number with a unit.
    package static func bytes(_ range: ClosedRange<Int>) -> ValueType {
        ValueType(
            "size", expected: "a size from \(showBytes(range.lowerBound)) to \(showBytes(range.upperBound))",
            show: showBytes,
            parse: { text throws(WrongValue) in
                let value = try readBytes(text)
                guard range.contains(value) else { throw WrongValue() }
                return value
            })
    }
}

extension ValueType where Value == UInt16 {
    /// A TCP port; 0 lets the system choose one.
    package static let port = ValueType(
        "port", expected: "a port from 0 to 65535 (0: a free one is chosen)", show: { String($0) },
        parse: { text throws(WrongValue) in
            guard let port = UInt16(exactly: try wholeNumber(text)) else { throw WrongValue() }
            return port
        })
}

extension ValueType where Value == Duration {
    /// A span of time: numbers with units, the larger unit first.
    package static func duration(_ range: ClosedRange<Duration>) -> ValueType {
        let bounds = "\(showDuration(range.lowerBound)) to \(showDuration(range.upperBound))"
        return ValueType(
            "duration", expected: "a duration from \(bounds), such as 250ms, 10s, 1h30m or 14d", show: showDuration,
            parse: { text throws(WrongValue) in
                let value = try readDuration(text)
                guard range.contains(value) else { throw WrongValue() }
                return value
            })
    }
}

extension ValueType where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
    /// One word out of a few.
    package static func word(_ name: String) -> ValueType {
        let words = Value.allCases.map(\.rawValue)
        return ValueType(
            name, expected: "one of " + words.joined(separator: ", "), show: { $0.rawValue },
            parse: { text throws(WrongValue) in
                if let value = Value(rawValue: text) { return value }
                throw WrongValue(nearestName(to: text, among: words).map { "did you mean \($0)?" })
            })
    }
}

extension ValueType where Value == String {
    /// A text that a rule accepts.
    ///
    /// - Parameter check: Nil when the text is valid, else the problem (empty: `expected` says enough).
    package static func text(
        _ name: String, expected: String, check: @escaping @Sendable (String) -> String?
    ) -> ValueType {
        ValueType(
            name, expected: expected, show: { $0 },
            parse: { text throws(WrongValue) in
                if let wrong = check(text) { throw WrongValue(wrong.isEmpty ? nil : wrong) }
                return text
            })
    }
}

/// Decimal digits, perhaps with a minus sign: no leading zero, no exponent, no separator.
func wholeNumber(_ text: String) throws(WrongValue) -> Int {
    let digits = text.hasPrefix("-") ? text.dropFirst() : text[...]
    guard !digits.isEmpty, digits.utf8.allSatisfy({ (48...57).contains($0) }) else { throw WrongValue() }
    if digits.utf8.count > 1, digits.hasPrefix("0") { throw WrongValue("a number has no leading zero") }
    guard let value = Int(text) else { throw WrongValue() }
    return value
}

private let byteUnits: [(name: String, factor: Int)] = [
    ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000), ("KB", 1_000), ("B", 1),
]

func readBytes(_ text: String) throws(WrongValue) -> Int {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    let unit = text.dropFirst(digits.count)
    guard !digits.isEmpty else { throw WrongValue() }
    let count = try wholeNumber(String(digits))
    if unit.isEmpty { return count }
    guard let factor = byteUnits.first(where: { $0.name == unit })?.factor else {
        throw WrongValue("units are B, KiB, MiB, GiB, TiB, kB, MB, GB and TB, without a space")
    }
    let (value, overflow) = count.multipliedReportingOverflow(by: factor)
    if overflow { throw WrongValue() }
    return value
}

@Sendable func showBytes(_ count: Int) -> String {
    guard count != 0 else { return "0" }
    for unit in byteUnits.prefix(4) where count.isMultiple(of: unit.factor) {
        return "\(count / unit.factor)\(unit.name)"
    }
    return String(count)
}

private let durationUnits: [(name: String, nanoseconds: Int)] = [
    ("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000),
    ("ms", 1_000_000), ("us", 1_000),
]

/// Numbers with units, each unit smaller than the one before: `1h30m`, `250ms`.
func readDuration(_ text: String) throws(WrongValue) -> Duration {
    var rest = text[...]
    var total = 0
    var smallest = -1
    guard !rest.isEmpty else { throw WrongValue() }
    while !rest.isEmpty {
        let digits = rest.prefix { $0.isASCII && $0.isNumber }
        rest = rest.dropFirst(digits.count)
        let unit = rest.prefix { $0.isASCII && $0.isLetter }
        rest = rest.dropFirst(unit.count)
        guard !digits.isEmpty else { throw WrongValue() }
        if unit.isEmpty && rest.isEmpty { throw WrongValue("the unit is missing: d, h, m, s, ms or us") }
        guard let index = durationUnits.firstIndex(where: { $0.name == unit }) else {
            throw WrongValue("units are d, h, m, s, ms and us, without a space or a point")
        }
        guard index > smallest else { throw WrongValue("the larger unit comes first, and each once") }
        smallest = index
        let count = try wholeNumber(String(digits))
        let (part, tooLarge) = count.multipliedReportingOverflow(by: durationUnits[index].nanoseconds)
        let (sum, overflow) = total.addingReportingOverflow(part)
        if tooLarge || overflow { throw WrongValue() }
        total = sum
    }
    return .nanoseconds(total)
}

@Sendable func showDuration(_ duration: Duration) -> String {
    let (seconds, attoseconds) = duration.components
    let nanoseconds = Int(seconds) &* 1_000_000_000 &+ Int(attoseconds / 1_000_000_000)
    if nanoseconds == 0 { return "0s" }
    // Multiples of the unit read better than sums: 90m, 75s.
    for unit in durationUnits where nanoseconds.isMultiple(of: unit.nanoseconds) {
        return "\(nanoseconds / unit.nanoseconds)\(unit.name)"
    }
    return "\(nanoseconds)ns"
}
