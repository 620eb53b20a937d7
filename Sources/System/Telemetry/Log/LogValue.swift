/// What a field of a log line can hold.
package protocol LogValue: Sendable {
    /// The value as it is written.
    var logged: LoggedValue { get }
}

/// The forms in which a field is written.
package enum LoggedValue: Sendable, Equatable {
    case text(String)
    case integer(Int64)
    case unsigned(UInt64)
    case number(Double)
    case flag(Bool)
    case list([String])
}

/// The fields of a line, in the order in which they were given.
package struct LogFields: Sendable, ExpressibleByDictionaryLiteral {
    package private(set) var pairs: [(name: String, value: LoggedValue)]

    package init(dictionaryLiteral elements: (String, any LogValue)...) {
        pairs = elements.map { (name: $0.0, value: $0.1.logged) }
    }

    /// Adds a field at the end.
    package mutating func append(_ name: String, _ value: any LogValue) {
        pairs.append((name: name, value: value.logged))
    }

    /// Adds fields at the end.
    package mutating func append(_ other: LogFields) {
        pairs.append(contentsOf: other.pairs)
    }
}

extension String: LogValue { package var logged: LoggedValue { .text(self) } }
extension Substring: LogValue { package var logged: LoggedValue { .text(String(self)) } }
extension StaticString: LogValue { package var logged: LoggedValue { .text(description) } }
extension Int: LogValue { package var logged: LoggedValue { .integer(Int64(self)) } }
extension Int64: LogValue { package var logged: LoggedValue { .integer(self) } }
extension Int32: LogValue { package var logged: LoggedValue { .integer(Int64(self)) } }
extension Int16: LogValue { package var logged: LoggedValue { .integer(Int64(self)) } }
extension UInt: LogValue { package var logged: LoggedValue { .unsigned(UInt64(self)) } }
extension UInt64: LogValue { package var logged: LoggedValue { .unsigned(self) } }
extension UInt32: LogValue { package var logged: LoggedValue { .unsigned(UInt64(self)) } }
extension UInt16: LogValue { package var logged: LoggedValue { .unsigned(UInt64(self)) } }
extension Double: LogValue { package var logged: LoggedValue { .number(self) } }
extension Bool: LogValue { package var logged: LoggedValue { .flag(self) } }
extension Array: LogValue where Element == String { package var logged: LoggedValue { .list(self) } }

/// Seconds, as a number.
extension Duration: LogValue {
    package var logged: LoggedValue {
        .number(Double(components.seconds) + Double(components.attoseconds) / 1e18)
    }
}
