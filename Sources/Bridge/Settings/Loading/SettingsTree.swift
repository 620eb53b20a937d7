/// Reads the configuration file's tree into a draft.
struct SettingsTree {
    let path: String

    /// The inner nodes of the tree of keys: `http`, `auth.header`.
    private static let sections: Set<String> = {
        var sections: Set<String> = []
        for declaration in Declaration.all {
            var parts = declaration.key.split(separator: ".").dropLast()
            while !parts.isEmpty {
                sections.insert(parts.joined(separator: "."))
                parts.removeLast()
            }
        }
        return sections
    }()

    func place(_ mark: YAMLMark) -> SettingPlace { .file(path: path, line: mark.line, column: mark.column) }

    mutating func read(_ root: YAMLNode, into draft: inout Draft) {
        switch root {
        case .mapping(let entries, _): section(entries, prefix: "", into: &draft)
        case .scalar(_, true, _): break
        default:
            draft.problems.append(
                SettingProblem(
                    key: nil, place: place(root.mark),
                    message: "expected a mapping of \(Self.children(of: "")), found \(root.kind)"))
        }
    }

    private func section(_ entries: [YAMLNode.Entry], prefix: String, into draft: inout Draft) {
        var given: [String: YAMLMark] = [:]
        for entry in entries {
            let key = prefix.isEmpty ? entry.key : "\(prefix).\(entry.key)"
            // A key with a dot in it would otherwise pass for a path.
            let isWord = !entry.key.contains(".")
            if isWord, let declaration = Declaration.named(key) {
                guard draft.uses(declaration) else { continue }
                given[key] = entry.mark
                if let input = input(for: declaration, entry, &draft) { declaration.store(input, &draft) }
            } else if isWord, Self.sections.contains(key) {
                switch entry.value {
                case .mapping(let inner, _): section(inner, prefix: key, into: &draft)
                case .scalar(_, true, _): break  // all its keys are commented out
                default:
                    draft.wrong(
                        key, place(entry.value.mark),
                        "expected a mapping of \(Self.children(of: key)), found \(entry.value.kind)")
                }
            } else {
                draft.problems.append(
                    SettingProblem(
                        key: String(quoted(key).dropFirst().dropLast()), place: place(entry.mark),
                        message: unknown(entry.key, key: key)))
            }
        }
        for (value, file) in Declaration.pairs {
            guard let first = given[value], let second = given[file] else { continue }
            draft.wrong(
                value, place(max(first, second)),
                "give either \(value) or \(file), not both; the other is at \(min(first, second).line):\(min(first, second).column)"
            )
        }
    }

    private func unknown(_ word: String, key: String) -> String {
        if Declaration.named(key) != nil || Self.sections.contains(key) {
            return "unknown key: write it nested, one word a level, as in \(Self.nested(key))"
        }
        guard let right = nearestKey(to: key) else { return "unknown key" }
        return "unknown key: did you mean \(right)?"
    }

    /// `http: {port: …}`
    private static func nested(_ key: String) -> String {
        let words = key.split(separator: ".")
        return words.dropLast().reduce("") { $0 + $1 + ": {" } + (words.last ?? "") + ": …"
            + String(repeating: "}", count: max(0, words.count - 1))
    }

    private static func children(of section: String) -> String {
        let prefix = section.isEmpty ? "" : section + "."
        var names: [String] = []
        for declaration in Declaration.all where declaration.key.hasPrefix(prefix) {
            let name = String(declaration.key.dropFirst(prefix.count).prefix { $0 != "." })
            if !names.contains(name) { names.append(name) }
        }
        return names.joined(separator: ", ")
    }

    /// Turns a node into what the declaration takes; nil after a problem was noted.
    private func input(for declaration: Declaration, _ entry: YAMLNode.Entry, _ draft: inout Draft) -> SettingInput? {
        let key = declaration.key
        let at = place(entry.value.mark)
        func wrongKind(_ expected: String) {
            draft.wrong(key, at, "expected \(expected), found \(entry.value.kind)")
        }
        if case .scalar(_, true, _) = entry.value {
            draft.wrong(
                key, place(entry.mark),
                "has no value: expected \(declaration.expected); leave the key out for the default"
                    + (declaration.form == .single ? ", or write \"\" for an empty text" : ""))
            return nil
        }
        switch (declaration.form, entry.value) {
        case (.single, .scalar(let text, _, _)): return .single(Located(text: text, place: at))
        case (.single, _):
            wrongKind(declaration.expected)
            return nil
        case (.list, .sequence(let items, _)):
            var located: [Located] = []
            for item in items {
                if case .scalar(let text, false, let mark) = item {
                    located.append(Located(text: text, place: place(mark)))
                } else {
                    draft.wrong(key, place(item.mark), "expected a single value in the list, found \(item.kind)")
                }
            }
            return located.count == items.count ? .list(located, at) : nil
        case (.list(orText: true), .scalar(let text, _, _)):
            return .list(splitList(text).map { Located(text: $0, place: at) }, at)
        case (.list, _):
            wrongKind(declaration.isSecret ? "a list" : declaration.expected)
            return nil
        case (.map, .mapping(let entries, _)):
            var pairs: [(name: Located, value: Located)] = []
            for inner in entries {
                let name = String(quoted(inner.key).dropFirst().dropLast())
                switch inner.value {
                case .scalar(let text, false, let mark):
                    pairs.append(
                        (
                            name: Located(text: inner.key, place: place(inner.mark)),
                            value: Located(text: text, place: place(mark))
                        ))
                case .mapping(let deeper, _) where declaration.key.hasPrefix("kafka."):
                    let example = deeper.first.map { "\(name).\($0.key)" } ?? name
                    draft.wrong(
                        "\(key).\(name)", place(inner.mark),
                        "names of properties are not nested: write \(quoted(example).dropFirst().dropLast()): …")
                default:
                    draft.wrong(
                        "\(key).\(name)", place(inner.value.mark),
                        "expected a single value, found \(inner.value.kind)")
                }
            }
            return .map(pairs, at)
        case (.map, _):
            wrongKind("a mapping")
            return nil
        }
    }
}

extension YAMLMark: Comparable {
    static func < (left: YAMLMark, right: YAMLMark) -> Bool { (left.line, left.column) < (right.line, right.column) }
}

/// The key that was probably meant: by its synonyms, by its spelling, or by its last word alone in another section.
func nearestKey(to key: String) -> String? {
    let lowered = key.lowercased()
    for declaration in Declaration.all
    where declaration.synonyms.contains(where: { $0.lowercased() == lowered }) {
        return declaration.key
    }
    var names = Declaration.all.map(\.key)
    names += Declaration.sections.map(\.name)
    names += BridgeSettings().auth.kinds.map(\.key) + ["events.optOut"]
    if let near = nearestName(to: key, among: names) { return near }
    let word = key.split(separator: ".").last.map { $0.lowercased() } ?? ""
    let sameWord = Declaration.all.filter { $0.key.split(separator: ".").last?.lowercased() == word }
    return sameWord.count == 1 ? sameWord[0].key : nil
}
