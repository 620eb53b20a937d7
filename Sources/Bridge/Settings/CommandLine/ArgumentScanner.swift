/// A flag as it was given.
struct FlagOccurrence: Sendable {
    /// As declared: `--http-port`.
    var name: String
    var value: String
}

/// Splits arguments into flags, their values and the rest: `--flag value`, `--flag=value`, `--flag` for booleans, and
/// everything after `--` as it is.
struct ArgumentScanner {
    enum Kind {
        /// Takes a value.
        case value
        /// Is true when given without one; a value only after `=`.
        case boolean
    }

    /// The flags that exist here.
    var known: [String: Kind]
    /// Flags that exist elsewhere, with what is said of them.
    var elsewhere: [String: String] = [:]
    /// Other names for flags, to suggest the right one.
    var synonyms: [String: String] = [:]

    /// The flags that are typed most by one letter, as kcat and rpk have them, wherever the command has the long one.
    static let shortFlags = [
        "-b": "--kafka-bootstrap-servers", "-c": "--config", "-n": "--count", "-o": "--from",
    ]

    /// `--config` → `-c`.
    static func shortFlag(of flag: String) -> String? { shortFlags.first { $0.value == flag }?.key }

    private(set) var flags: [FlagOccurrence] = []
    private(set) var operands: [String] = []
    private(set) var problems: [SettingProblem] = []

    init(known: [String: Kind], elsewhere: [String: String] = [:], synonyms: [String: String] = [:]) {
        self.known = known
        self.elsewhere = elsewhere
        self.synonyms = synonyms
    }

    mutating func scan(_ arguments: some Sequence<String>) {
        var rest = Array(arguments)[...]
        while let argument = rest.popFirst() {
            if argument == "--" {
                operands.append(contentsOf: rest)
                return
            }
            guard argument.hasPrefix("-"), argument != "-" else {
                operands.append(argument)
                continue
            }
            let equals = argument.firstIndex(of: "=")
            let written = String(argument[..<(equals ?? argument.endIndex)])
            let long = Self.shortFlags[written]
            let name = long.flatMap { known[$0] == nil ? nil : $0 } ?? written
            let inline = equals.map { String(argument[argument.index(after: $0)...]) }
            switch known[name] {
            case .boolean?: flags.append(FlagOccurrence(name: name, value: inline ?? "true"))
            case .value?:
                if let inline {
                    flags.append(FlagOccurrence(name: name, value: inline))
                } else if let next = rest.first, !next.hasPrefix("--") {
                    rest.removeFirst()
                    flags.append(FlagOccurrence(name: name, value: next))
                } else {
                    problems.append(
                        SettingProblem(key: nil, place: .flag(name), message: "needs a value: \(name)=… or \(name) …"))
                }
            case nil:
                problems.append(SettingProblem(key: nil, place: .flag(shown(name)), message: unknown(name)))
                // What follows is most likely its value, and perhaps a secret: it is not taken for something else.
                if inline == nil, let next = rest.first, !next.hasPrefix("-") { rest.removeFirst() }
            }
        }
    }

    private func shown(_ name: String) -> String {
        let text = quoted(name)
        return String(text.dropFirst().dropLast())
    }

    private func unknown(_ name: String) -> String {
        if let elsewhere = elsewhere[name] { return elsewhere }
        if !name.hasPrefix("--"), known["-" + name] != nil { return "unknown flag: did you mean -\(name)?" }
        if name.hasPrefix("--no-"), known["--" + name.dropFirst(5)] == .boolean {
            return "unknown flag: write --\(name.dropFirst(5))=false"
        }
        let candidates = known.keys.sorted()
        if let near = nearestName(to: name, among: candidates) { return "unknown flag: did you mean \(near)?" }
        if let near = synonyms[name] ?? nearestName(to: name, among: synonyms.keys.sorted()).flatMap({ synonyms[$0] }) {
            return "unknown flag: did you mean \(near)?"
        }
        return "unknown flag"
    }
}
