/// What the parser must know of an option of any type.
package protocol CommandOptionDeclaration: Sendable {
    /// With its hyphens: `--seconds`.
    var flag: String { get }
    /// The placeholder of the value in the help: `N`. Nil: the option is a switch.
    var placeholder: String? { get }
    var help: String { get }
    /// May be given several times.
    var repeats: Bool { get }
    /// Must be given.
    var isRequired: Bool { get }
    /// The default as text; nil when there is none.
    var defaultText: String? { get }
    /// What values there are, as a message says it.
    var expected: String { get }
    /// Nil when the text is valid, else the problem.
    func problem(with text: String) -> String?
}

/// An option of a command, of one type. Declare it once, put it into the command, and ask the invocation for its value.
package struct CommandOption<Value: Sendable>: CommandOptionDeclaration {
    package let flag: String
    package let placeholder: String?
    package let help: String
    package let repeats: Bool
    package let isRequired: Bool
    let type: ValueType<Value>
    let standard: Value?

    /// An option with a value.
    ///
    /// - Parameters:
    ///   - flag: with its hyphens: `--seconds`.
    ///   - placeholder: The placeholder of the value in the help: `N`.
    ///   - type: how the value is read, with its bounds.
    ///   - standard: the value when the option is not given.
    ///   - repeats: whether it may be given several times; ask with `values(of:)`.
    ///   - isRequired: whether it must be given.
    package init(
        _ flag: String, _ placeholder: String, _ type: ValueType<Value>, default standard: Value? = nil,
        repeats: Bool = false, isRequired: Bool = false, help: String
    ) {
        self.flag = flag
        self.placeholder = placeholder
        self.help = help
        self.repeats = repeats
        self.isRequired = isRequired
        self.type = type
        self.standard = standard
    }

    package var defaultText: String? { placeholder == nil ? nil : standard.map(type.show) }

    package var expected: String { type.expected }

    package func problem(with text: String) -> String? {
        do throws(WrongValue) {
            _ = try type.parse(text)
            return nil
        } catch {
            let detail = error.detail.map { ": " + $0 } ?? ""
            return "expected \(type.expected), found \(quoted(text))\(detail)"
        }
    }

    func read(_ text: String) -> Value? { try? type.parse(text) }
}

extension CommandOption where Value == Bool {
    /// A switch: false unless given; `--flag=false` takes it back.
    package init(_ flag: String, help: String) {
        self.flag = flag
        placeholder = nil
        self.help = help
        repeats = false
        isRequired = false
        type = .flag
        standard = false
    }
}

extension ValueType where Value == Double {
    /// A number with or without a point.
    package static func number(_ range: ClosedRange<Double>) -> ValueType {
        @Sendable func show(_ value: Double) -> String {
            value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : "\(value)"
        }
        return ValueType(
            "number", expected: "a number from \(show(range.lowerBound)) to \(show(range.upperBound))",
            show: { show($0) },
            parse: { text throws(WrongValue) in
                // Not what Double reads beyond that: hexadecimal, nan, inf.
                guard
                    text.utf8.allSatisfy({
                        (48...57).contains($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-")
                    }),
                    let value = Double(text), range.contains(value)
                else { throw WrongValue() }
                return value
            })
    }
}

extension ValueType where Value == String {
    /// Any text that is not empty.
    package static func anyText(_ name: String = "text") -> ValueType {
        .text(name, expected: "a text that is not empty") { $0.isEmpty ? "" : nil }
    }

    /// One of a few words.
    package static func oneOf(_ words: [String], name: String = "word") -> ValueType {
        .text(name, expected: "one of " + words.joined(separator: ", ")) { text in
            words.contains(text) ? nil : nearestName(to: text, among: words).map { "did you mean \($0)?" } ?? ""
        }
    }
}

extension ValueType where Value == [String] {
    /// Some of a few words, separated by commas.
    package static func words(_ words: [String]) -> ValueType {
        ValueType(
            "words", expected: "some of " + words.joined(separator: ", ") + ", separated by commas",
            show: { $0.joined(separator: ",") },
            parse: { text throws(WrongValue) in
                let given = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
                for word in given where !words.contains(word) {
                    let near = nearestName(to: word, among: words).map { "; did you mean \($0)?" } ?? ""
                    throw WrongValue("there is no \(quoted(word))\(near)")
                }
                return given
            })
    }
}
