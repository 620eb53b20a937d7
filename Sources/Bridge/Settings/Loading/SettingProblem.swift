/// Where a value came from.
package enum SettingPlace: Sendable, Equatable, CustomStringConvertible {
    /// Not given.
    case standard
    /// The configuration file; line and column count from 1.
    case file(path: String, line: Int, column: Int)
    /// An environment variable.
    case environment(String)
    /// A flag, as it is written: `--http-port`.
    case flag(String)

    package var description: String {
        switch self {
        case .standard: "default"
        case .file(let path, let line, let column): "\(path):\(line):\(column)"
        case .environment(let name): "environment variable \(name)"
        case .flag(let name): "flag \(name)"
        }
    }
}

/// Something wrong with the settings. Its text never holds the value of a secret.
package struct SettingProblem: Sendable, Equatable, CustomStringConvertible {
    /// The setting that it is about: `http.port`. Nil when it is about no one setting.
    package var key: String?
    /// Where the wrong value stands; `standard` when a value is missing.
    package var place: SettingPlace
    /// The problem, and what was expected.
    package var message: String

    package var description: String {
        let subject = key.map { $0 + ": " } ?? ""
        return place == .standard ? subject + message : "\(place): \(subject)\(message)"
    }
}

/// The settings cannot be used. Holds every problem, not only the first.
package struct SettingsFailure: Error, Sendable, CustomStringConvertible {
    /// In order: file (by line), environment, flags, then what concerns several settings.
    package var problems: [SettingProblem]
    /// What would only have been warned of.
    package var warnings: [String]

    /// One problem a line.
    package var description: String { problems.map(\.description).joined(separator: "\n") }
}

/// A text in quotation marks for a message: cut when long, control characters escaped.
func quoted(_ text: String) -> String {
    var shown = "\""
    for (index, scalar) in text.unicodeScalars.enumerated() {
        if index == 60 {
            shown += "…"
            break
        }
        let isUnsafe =
            scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) || (0x2028...0x202E).contains(scalar.value)
            || (0x2066...0x2069).contains(scalar.value)
        if isUnsafe {
            shown += "\\u{" + String(scalar.value, radix: 16) + "}"
        } else {
            shown.unicodeScalars.append(scalar)
        }
    }
    return shown + "\""
}
