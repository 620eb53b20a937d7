/// One setting: everything about it follows from this one declaration; its default is the value that the property has
/// in `BridgeSettings()`.
package struct Declaration: Sendable {
    /// How a value is written.
    package enum Form: Sendable, Equatable {
        /// One value.
        case single
        /// A YAML list; separated by commas in the environment and in flags. `orText`: in YAML a text with commas too.
        case list(orText: Bool)
        /// A YAML mapping; `name=value` separated by commas in the environment, one per flag.
        case map
    }

    /// The path in the YAML file: `http.basePath`.
    package let key: String
    package let form: Form
    /// What the reference calls the type.
    package let typeName: String
    /// Completes "expected …".
    package let expected: String
    /// The description: sentences in Markdown.
    package let documentation: String
    /// Other names by which people look for it; only ever used to suggest the right one.
    package let synonyms: [String]
    package let isSecret: Bool
    /// A flag that needs no value.
    package let isBoolean: Bool
    /// Whether the environment has a name for each entry, as `SMSBRIDGE_KAFKA_PROPERTIES_SASL_PASSWORD`.
    let hasEntryNames: Bool

    let store: @Sendable (SettingInput, inout Draft) -> Void
    /// The value as text, secrets as `…`.
    let show: @Sendable (BridgeSettings) -> String

    /// `http.basePath` → `SMSBRIDGE_HTTP_BASE_PATH`.
    package var environmentName: String {
        "SMSBRIDGE_" + words(separator: "_").uppercased()
    }

    /// `http.basePath` → `--http-base-path`.
    package var flag: String { "--" + words(separator: "-") }

    /// The first part of the key: `http`.
    package var section: String { String(key.prefix { $0 != "." }) }

    private func words(separator: Character) -> String {
        var text = ""
        for character in key {
            if character.isUppercase {
                text.append(separator)
                text += character.lowercased()
            } else {
                text.append(character == "." || character == "-" ? separator : character)
            }
        }
        return text
    }
}

/// A text and where it stands.
struct Located: Sendable {
    var text: String
    var place: SettingPlace
}

/// What a source gives for a setting.
enum SettingInput: Sendable {
    case single(Located)
    case list([Located], SettingPlace)
    case map([(name: Located, value: Located)], SettingPlace)

    var place: SettingPlace {
        switch self {
        case .single(let value): value.place
        case .list(_, let place), .map(_, let place): place
        }
    }
}

/// Settings while they are put together, with what was found wrong.
struct Draft {
    var settings = BridgeSettings()
    var problems: [SettingProblem] = []
    var warnings: [String] = []
    /// Where each value that is not a default came from.
    var sources: [String: SettingPlace] = [:]
    /// Keys with a wrong value: no conclusions are drawn from them.
    var failed: Set<String> = []
    /// The sections that the command uses; nil: all.
    var sections: Set<String>?
    /// Where relative paths of the configuration file begin; nil without a file.
    var configFolder: String?
    /// Reads a file; replaced in tests of what a file system does rarely.
    var readFile: @Sendable (String) -> Result<[UInt8], FileFailure> = readWholeFile

    /// Whether the command uses the setting. Of sections that it does not use, those are left out that name files with
    /// secrets: its user need not be allowed to read them.
    func uses(_ declaration: Declaration) -> Bool {
        guard let sections, ["auth", "kafka"].contains(declaration.section) else { return true }
        return sections.contains(declaration.section)
    }

    /// A path as a whole: one of the configuration file begins at the file's folder, any other at the working directory.
    func absolute(_ path: String, _ place: SettingPlace) -> String {
        guard !path.isEmpty, !path.hasPrefix("/") else { return path }
        let folder: String?
        if case .file = place { folder = configFolder ?? workingDirectory() } else { folder = workingDirectory() }
        var rest = path[...]
        while rest.hasPrefix("./") { rest = rest.dropFirst(2) }
        guard let folder else { return path }
        return folder.hasSuffix("/") ? folder + rest : "\(folder)/\(rest)"
    }

    mutating func wrong(_ key: String, _ place: SettingPlace, _ message: String) {
        problems.append(SettingProblem(key: key, place: place, message: message))
        failed.insert(key)
    }

    /// Reads one text; nil after a problem was noted.
    mutating func value<Value>(_ located: Located, _ type: ValueType<Value>, key: String) -> Value? {
        do throws(WrongValue) {
            return try type.parse(located.text)
        } catch {
            let detail = error.detail.map { ": " + $0 } ?? ""
            wrong(key, located.place, "expected \(type.expected), found \(quoted(located.text))\(detail)")
            return nil
        }
    }
}

extension Draft {
    /// Reads the path of a file, and makes it absolute; nil after a problem was noted.
    mutating func path(_ located: Located, key: String) -> String? {
        value(located, .filePath, key: key).map { absolute($0, located.place) }
    }
}

typealias Target<Value> = any WritableKeyPath<BridgeSettings, Value> & Sendable

extension Declaration {
    /// A setting of one value.
    static func single<Value: Sendable>(
        _ key: String, _ target: Target<Value>, _ type: ValueType<Value>, also synonyms: [String] = [],
        _ documentation: String
    ) -> Declaration {
        Declaration(
            key: key, form: .single, typeName: type.name, expected: type.expected, documentation: documentation,
            synonyms: synonyms, isSecret: false, isBoolean: Value.self == Bool.self, hasEntryNames: false,
            store: { input, draft in
                guard case .single(let located) = input, let value = draft.value(located, type, key: key) else {
                    return
                }
                draft.settings[keyPath: target] = value
                draft.sources[key] = located.place
            },
            show: { type.show($0[keyPath: target]) })
    }

    /// The path of a file or folder; empty for none where the type allows it.
    static func path(
        _ key: String, _ target: Target<String>, _ type: ValueType<String>, also synonyms: [String] = [],
        _ documentation: String
    ) -> Declaration {
        Declaration(
            key: key, form: .single, typeName: type.name, expected: type.expected, documentation: documentation,
            synonyms: synonyms, isSecret: false, isBoolean: false, hasEntryNames: false,
            store: { input, draft in
                guard case .single(let located) = input, let value = draft.value(located, type, key: key) else {
                    return
                }
                draft.settings[keyPath: target] = draft.absolute(value, located.place)
                draft.sources[key] = located.place
            },
            show: { type.show($0[keyPath: target]) })
    }

    /// A setting of several values.
    static func list(
        _ key: String, _ target: Target<[String]>, of type: ValueType<String>, count: ClosedRange<Int>,
        orText: Bool = false, also synonyms: [String] = [], _ documentation: String
    ) -> Declaration {
        Declaration(
            key: key, form: .list(orText: orText), typeName: "list of \(type.name)",
            expected: "a list of \(count.lowerBound) to \(count.upperBound), each \(type.expected)",
            documentation: documentation, synonyms: synonyms, isSecret: false, isBoolean: false, hasEntryNames: false,
            store: { input, draft in
                guard case .list(let items, let place) = input else { return }
                let values = items.compactMap { draft.value($0, type, key: key) }
                for (index, item) in items.enumerated() where items[..<index].contains(where: { $0.text == item.text })
                {
                    draft.wrong(key, item.place, "\(quoted(item.text)) is given twice")
                }
                guard count.contains(items.count) else {
                    draft.wrong(
                        key, place, "expected \(count.lowerBound) to \(count.upperBound) values, found \(items.count)")
                    return
                }
                guard values.count == items.count else { return }
                draft.settings[keyPath: target] = values
                draft.sources[key] = place
            },
            show: { joinList($0[keyPath: target]) })
    }

    /// Secrets, each of which is valid; with `secretsFile` as its other form.
    static func secrets(
        _ key: String, _ target: Target<[Secret]>, file: Target<String?>,
        check: @escaping @Sendable (String) -> String?, expected: String, also synonyms: [String] = [],
        _ documentation: String
    ) -> Declaration {
        Declaration(
            key: key, form: .list(orText: false), typeName: "list of secrets", expected: expected,
            documentation: documentation, synonyms: synonyms, isSecret: true, isBoolean: false, hasEntryNames: false,
            store: { input, draft in
                guard case .list(let items, let place) = input else { return }
                let numbered = items.enumerated().map { (name: "secret \($0 + 1)", text: $1.text, place: $1.place) }
                guard let secrets = draft.secrets(numbered, key: key, place: place, check: check) else { return }
                draft.settings[keyPath: target] = secrets
                draft.settings[keyPath: file] = nil
                draft.sources[key] = place
                draft.sources[key + "File"] = nil
            },
            show: { showSecrets($0[keyPath: target]) })
    }

    /// The file form of `secrets`.
    static func secretsFile(
        _ key: String, _ target: Target<String?>, secrets: Target<[Secret]>,
        check: @escaping @Sendable (String) -> String?, _ documentation: String
    ) -> Declaration {
        let valueKey = String(key.dropLast(4))
        return Declaration(
            key: key, form: .single, typeName: "path", expected: "the path of a file that holds one secret a line",
            documentation: documentation, synonyms: [], isSecret: false, isBoolean: false, hasEntryNames: false,
            store: { input, draft in
                guard case .single(let located) = input,
                    let path = draft.path(located, key: key),
                    let read = draft.secrets(ofFile: path, key: key, place: located.place, check: check)
                else { return }
                draft.settings[keyPath: secrets] = read
                draft.settings[keyPath: target] = path
                draft.sources[key] = located.place
                draft.sources[valueKey] = located.place
            },
            show: { $0[keyPath: target] ?? "" })
    }

    /// The form of `secrets` for several accounts: a file of secrets for each, by the account's name.
    static func secretsOfAccounts(
        _ key: String, _ target: Target<[String: String]>, secrets: Target<[String: [Secret]]>,
        check: @escaping @Sendable (String) -> String?, _ documentation: String
    ) -> Declaration {
        Declaration(
            key: key, form: .map, typeName: "mapping of account to path",
            expected: "a mapping: the name is \(ValueType.account.expected), the value the path of a file of secrets",
            documentation: documentation, synonyms: [], isSecret: false, isBoolean: false, hasEntryNames: false,
            store: { input, draft in
                guard case .map(let entries, let place) = input else { return }
                var files: [String: String] = [:]
                var read: [String: [Secret]] = [:]
                for entry in entries {
                    guard let name = draft.value(entry.name, .account, key: key) else { continue }
                    if files[name] != nil {
                        draft.wrong(key, entry.name.place, "the account \(quoted(name)) is given twice")
                    }
                    guard let path = draft.path(entry.value, key: "\(key).\(name)") else { continue }
                    files[name] = path
                    read[name] = draft.secrets(
                        ofFile: path, key: "\(key).\(name)", place: entry.value.place, check: check)
                }
                if files.count != entries.count || read.count != entries.count { draft.failed.insert(key) }
                if draft.failed.contains(key) { return }
                draft.settings[keyPath: target] = files
                draft.settings[keyPath: secrets] = read
                draft.sources[key] = place
            },
            show: { settings in
                joinList(settings[keyPath: target].sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" })
            })
    }

    /// A mapping of names to values.
    static func map(
        _ key: String, _ target: Target<[String: String]>, name nameType: ValueType<String>,
        value valueType: ValueType<String>, ignoringCase: Bool, also synonyms: [String] = [], _ documentation: String
    ) -> Declaration {
        Declaration(
            key: key, form: .map, typeName: "mapping of \(nameType.name) to \(valueType.name)",
            expected: "a mapping: the name is \(nameType.expected), the value \(valueType.expected)",
            documentation: documentation, synonyms: synonyms, isSecret: false, isBoolean: false, hasEntryNames: false,
            store: { input, draft in
                guard case .map(let entries, let place) = input else { return }
                var result: [String: String] = [:]
                var seen: Set<String> = []
                for entry in entries {
                    guard let name = draft.value(entry.name, nameType, key: key) else { continue }
                    if !seen.insert(ignoringCase ? name.lowercased() : name).inserted {
                        draft.wrong(key, entry.name.place, "the name \(quoted(name)) is given twice")
                    }
                    guard let value = draft.value(entry.value, valueType, key: key) else { continue }
                    result[name] = value
                }
                if draft.failed.contains(key) { return }
                draft.settings[keyPath: target] = result
                draft.sources[key] = place
            },
            show: { settings in
                joinList(settings[keyPath: target].sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" })
            })
    }

    /// Properties for librdkafka. Sources add to one another, property by property.
    static func kafkaProperties(_ key: String, _ documentation: String) -> Declaration {
        Declaration(
            key: key, form: .map, typeName: "mapping of property to text",
            expected: "a mapping of librdkafka's properties to texts", documentation: documentation, synonyms: [],
            isSecret: false, isBoolean: false, hasEntryNames: true,
            store: { input, draft in
                guard case .map(let entries, _) = input else { return }
                for entry in entries where draft.isKafkaProperty(entry.name, key: key) {
                    let name = entry.name.text
                    if entry.value.text.contains("\0") {
                        draft.wrong("\(key).\(name)", entry.value.place, "the value has a NUL character")
                        continue
                    }
                    let isPath = KafkaProperties.namesFile(name, entry.value.text)
                    let value = isPath ? draft.absolute(entry.value.text, entry.value.place) : entry.value.text
                    draft.settings.kafka.properties[name: name] = Secret(value)
                    draft.settings.kafka.propertyFiles[name] = nil
                    draft.sources["\(key).\(name)"] = entry.value.place
                }
            },
            show: { $0.kafka.properties.description })
    }

    /// Properties for librdkafka whose values are read from files, whole, without the line's end at the end.
    static func kafkaPropertyFiles(_ key: String, _ documentation: String) -> Declaration {
        Declaration(
            key: key, form: .map, typeName: "mapping of property to path",
            expected: "a mapping of librdkafka's properties to the paths of files", documentation: documentation,
            synonyms: [], isSecret: false, isBoolean: false, hasEntryNames: false,
            store: { input, draft in
                guard case .map(let entries, _) = input else { return }
                for entry in entries where draft.isKafkaProperty(entry.name, key: key) {
                    let name = entry.name.text
                    guard let path = draft.path(entry.value, key: "\(key).\(name)"),
                        var text = draft.text(ofFile: path, key: "\(key).\(name)", place: entry.value.place)
                    else { continue }
                    if text.hasSuffix("\r\n") || text.hasSuffix("\n") { text.removeLast() }
                    if text.isEmpty || text.contains("\0") {
                        let what = text.isEmpty ? "is empty" : "has a NUL character"
                        draft.wrong("\(key).\(name)", entry.value.place, "\(path) \(what)")
                        continue
                    }
                    draft.settings.kafka.properties[name: name] = Secret(text)
                    draft.settings.kafka.propertyFiles[name] = path
                    draft.sources["kafka.properties.\(name)"] = entry.value.place
                }
            },
            show: { settings in
                joinList(settings.kafka.propertyFiles.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" })
            })
    }
}

extension Draft {
    /// Checks secrets without ever showing one; nil after a problem was noted.
    fileprivate mutating func secrets(
        _ items: [(name: String, text: String, place: SettingPlace)], key: String, place: SettingPlace,
        check: (String) -> String?
    ) -> [Secret]? {
        var isRight = true
        for (index, item) in items.enumerated() {
            if let message = check(item.text) {
                wrong(key, item.place, "\(item.name): \(message)")
                isRight = false
            } else if let first = items[..<index].first(where: { $0.text == item.text }) {
                wrong(key, item.place, "\(item.name) is the same as \(first.name)")
                isRight = false
            } else if item.text.utf8.count < 16 {
                warnings.append("\(item.place): \(key): \(item.name) has fewer than 16 characters and may be guessed")
            }
        }
        if items.count > 2 {
            wrong(key, place, "expected at most 2 secrets (the old and the new one), found \(items.count)")
            isRight = false
        }
        return isRight ? items.map { Secret($0.text) } : nil
    }

    /// The secrets of a file, one a line; nil after a problem was noted.
    fileprivate mutating func secrets(
        ofFile path: String, key: String, place: SettingPlace, check: (String) -> String?
    ) -> [Secret]? {
        guard let text = text(ofFile: path, key: key, place: place) else { return nil }
        var lines: [(name: String, text: String, place: SettingPlace)] = []
        // By scalars: to Swift a carriage return and a line feed together are one character.
        let scalars = text.unicodeScalars
        for (index, line) in scalars.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let line = line.last == "\r" ? line.dropLast() : line
            if line.isEmpty { continue }
            lines.append((name: "\(path), line \(index + 1)", text: String(line), place: place))
        }
        if lines.isEmpty {
            wrong(key, place, "\(path) holds no secret: expected one a line")
            return nil
        }
        return secrets(lines, key: key, place: place, check: check)
    }

    fileprivate mutating func text(ofFile path: String, key: String, place: SettingPlace) -> String? {
        switch readFile(path) {
        case .failure(let failure):
            wrong(key, place, "cannot read \(path): \(failure.reason)")
            return nil
        case .success(let bytes):
            guard let text = String(validating: bytes, as: UTF8.self) else {
                wrong(key, place, "\(path) is not a text in UTF-8")
                return nil
            }
            return text
        }
    }

    fileprivate mutating func isKafkaProperty(_ located: Located, key: String) -> Bool {
        let name = located.text
        if let reason = KafkaProperties.refusal(of: name) {
            wrong("\(key).\(name)", located.place, "may not be set: it \(reason)")
            return false
        }
        let isName =
            (1...128).contains(name.utf8.count)
            && name.utf8.allSatisfy { isUnreserved($0) && $0 != UInt8(ascii: "~") && $0 != UInt8(ascii: "-") }
        if !isName || name != name.lowercased() {
            let near = isName ? ": did you mean \(name.lowercased())?" : ""
            wrong(
                key, located.place,
                "expected the name of a property of librdkafka, such as sasl.password, found \(quoted(name))\(near)")
            return false
        }
        return true
    }
}

/// A list as the environment takes it: commas between, commas within escaped.
func joinList(_ items: [String]) -> String {
    items.map { item in
        var text = String.UnicodeScalarView()
        for scalar in item.unicodeScalars {
            if scalar == "," || scalar == "\\" { text.append("\\") }
            text.append(scalar)
        }
        return String(text)
    }.joined(separator: ",")
}

/// Splits at commas. `\,` is a comma and `\\` a backslash within an item; spaces around items are dropped.
func splitList(_ text: String) -> [String] {
    var items: [String] = []
    var current: [Unicode.Scalar] = []
    // Scalars up to here are escaped or not spaces: they stay.
    var kept = 0
    func finish() {
        current.removeLast(current.count - kept)
        var item = String.UnicodeScalarView()
        item.append(contentsOf: current)
        items.append(String(item))
        current = []
        kept = 0
    }
    var isEscaped = false
    for scalar in text.unicodeScalars {
        if isEscaped {
            if scalar != "," && scalar != "\\" { current.append("\\") }
            current.append(scalar)
            kept = current.count
            isEscaped = false
        } else if scalar == "\\" {
            isEscaped = true
        } else if scalar == "," {
            finish()
        } else if [" ", "\t", "\n", "\r"].contains(scalar) {
            if !current.isEmpty { current.append(scalar) }
        } else {
            current.append(scalar)
            kept = current.count
        }
    }
    if isEscaped {
        current.append("\\")
        kept = current.count
    }
    finish()
    return items
}

private func showSecrets(_ secrets: [Secret]) -> String {
    secrets.map(\.description).joined(separator: ",")
}
