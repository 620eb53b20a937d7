/// What a command needs from the settings.
package struct SettingsNeeds: OptionSet, Sendable {
    package let rawValue: Int
    package init(rawValue: Int) { self.rawValue = rawValue }

    /// Brokers must be named.
    package static let kafka = SettingsNeeds(rawValue: 1)
    /// Authentication must be configured, or `auth.none` be true.
    package static let authentication = SettingsNeeds(rawValue: 2)

    /// What `serve` needs.
    package static let serve: SettingsNeeds = [.kafka, .authentication]
}

/// A setting as it is in force.
package struct EffectiveSetting: Sendable, Equatable {
    package var key: String
    /// As the environment takes it; secrets are `…`.
    package var value: String
    package var source: SettingPlace
}

/// Settings that passed every check.
package struct LoadedSettings: Sendable {
    package var settings: BridgeSettings
    /// What should be said at start, one sentence each.
    package var warnings: [String]
    /// Where each value that is not a default came from, by key (and `kafka.properties.<name>`).
    package var sources: [String: SettingPlace]
    /// The configuration file that was read.
    package var configFile: String?

    /// Every setting with its value and where it came from, in the order of the reference; secrets are `…`.
    package var effective: [EffectiveSetting] {
        Declaration.all.flatMap { declaration -> [EffectiveSetting] in
            if declaration.hasEntryNames {
                return settings.kafka.properties.exposed.map { name, value in
                    let key = "\(declaration.key).\(name)"
                    return EffectiveSetting(
                        key: key, value: KafkaProperties.isSecret(name) ? "…" : value,
                        source: sources[key] ?? .standard)
                }
            }
            return [
                EffectiveSetting(
                    key: declaration.key, value: declaration.show(settings),
                    source: sources[declaration.key] ?? .standard)
            ]
        }
    }

    /// The effective settings as lines `key = value  (source)`.
    package var dump: String {
        effective.map { "\($0.key) = \($0.value)  (\($0.source))\n" }.joined()
    }
}

extension BridgeSettings {
    /// Puts the settings together: flags over environment over file over defaults.
    ///
    /// - Parameters:
    ///   - arguments: flags of settings only (`--config` included), without the command's name.
    ///   - environment: of the process; names that do not begin with `SMSBRIDGE_` are left alone.
    ///   - needs: what the command cannot do without.
    /// - Throws: everything that is wrong, at once.
    package static func load(
        arguments: [String], environment: [String: String], for needs: SettingsNeeds = .serve
    ) throws(SettingsFailure) -> LoadedSettings {
        var scanner = ArgumentScanner(known: SettingsLoader.flagKinds, synonyms: SettingsLoader.flagSynonyms)
        scanner.scan(arguments)
        var loader = SettingsLoader(environment: environment, flags: scanner.flags, needs: needs)
        loader.flagProblems = scanner.problems
        loader.flagProblems += scanner.operands.map {
            SettingProblem(key: nil, place: .standard, message: "unexpected argument \(quoted($0))")
        }
        return try loader.load()
    }
}

/// Reads the sources one after the other into a draft, then judges the whole.
struct SettingsLoader {
    static let configFlag = "--config"
    static let configVariable = "SMSBRIDGE_CONFIG"
    static let stateDirectory = SettingPlace.environment("STATE_DIRECTORY")

    static let flagKinds: [String: ArgumentScanner.Kind] = {
        var kinds: [String: ArgumentScanner.Kind] = [configFlag: .value]
        for declaration in Declaration.all { kinds[declaration.flag] = declaration.isBoolean ? .boolean : .value }
        return kinds
    }()

    static let flagSynonyms: [String: String] = {
        var synonyms: [String: String] = [:]
        for declaration in Declaration.all {
            for synonym in declaration.synonyms {
                synonyms["--" + synonym.replacing(".", with: "-")] = declaration.flag
            }
        }
        return synonyms
    }()

    let environment: [String: String]
    let flags: [FlagOccurrence]
    let needs: SettingsNeeds
    var flagProblems: [SettingProblem] = []
    var draft = Draft()

    /// - Parameter sections: those that the command uses; nil: all.
    init(
        environment: [String: String], flags: [FlagOccurrence], needs: SettingsNeeds, sections: [String]? = nil
    ) {
        self.environment = environment
        self.flags = flags
        self.needs = needs
        draft.sections = sections.map { Set($0) }
    }

    mutating func load() throws(SettingsFailure) -> LoadedSettings {
        // systemd: several directories are separated by colons.
        if let state = environment["STATE_DIRECTORY"]?.split(separator: ":").first {
            draft.settings.spool.path = String(state)
            draft.sources["spool.path"] = Self.stateDirectory
        }
        let config = configPath()
        var isFileComplete = true
        if let config { isFileComplete = readConfig(config) }
        readEnvironment()
        readFlags()
        draft.problems += flagProblems
        // A missing setting may be in the part of the file, or in the flag, that was not understood.
        checkRules(isComplete: isFileComplete && flagProblems.isEmpty)
        if draft.problems.isEmpty {
            return LoadedSettings(
                settings: draft.settings, warnings: draft.warnings, sources: draft.sources,
                configFile: config?.text)
        }
        throw SettingsFailure(problems: draft.problems, warnings: draft.warnings)
    }

    private mutating func configPath() -> Located? {
        let given = flags.filter { $0.name == Self.configFlag }
        if given.count > 1 {
            flagProblems.append(
                SettingProblem(key: nil, place: .flag(Self.configFlag), message: "given \(given.count) times"))
        }
        let place: Located
        if let flag = given.first {
            place = Located(text: flag.value, place: .flag(Self.configFlag))
        } else if let path = environment[Self.configVariable], !path.isEmpty {
            place = Located(text: path, place: .environment(Self.configVariable))
        } else {
            return nil
        }
        if place.text.isEmpty {
            flagProblems.append(SettingProblem(key: nil, place: place.place, message: "expected the path of a file"))
            return nil
        }
        return place
    }

    // MARK: File

    /// Says whether the file was read to its end.
    private mutating func readConfig(_ config: Located) -> Bool {
        let bytes: [UInt8]
        // A pipe has no folder.
        if !isStream(config.text) {
            let path = draft.absolute(config.text, config.place)
            draft.configFolder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) }
        }
        switch draft.readFile(config.text) {
        case .failure(let failure):
            draft.problems.append(
                SettingProblem(
                    key: nil, place: config.place,
                    message: "cannot read \(draft.absolute(config.text, config.place)): \(failure.reason)"))
            return false
        case .success(let read): bytes = read
        }
        let result = YAMLReader.read(bytes)
        var tree = SettingsTree(path: config.text)
        if let root = result.root { tree.read(root, into: &draft) }
        draft.problems += result.problems.map {
            SettingProblem(key: nil, place: tree.place($0.mark), message: $0.message)
        }
        draft.problems.sort { left, right in
            guard case .file(_, let leftLine, let leftColumn) = left.place,
                case .file(_, let rightLine, let rightColumn) = right.place
            else { return false }
            return (leftLine, leftColumn) < (rightLine, rightColumn)
        }
        return result.isComplete && result.problems.isEmpty
    }

    // MARK: Environment

    private mutating func readEnvironment() {
        var reader = EnvironmentReader(environment: environment)
        reader.read(into: &draft)
    }

    // MARK: Flags

    private mutating func readFlags() {
        var values: [String: [FlagOccurrence]] = [:]
        for flag in flags { values[flag.name, default: []].append(flag) }
        for declaration in Declaration.all {
            guard let given = values[declaration.flag] else { continue }
            let place = SettingPlace.flag(declaration.flag)
            if declaration.form == .single, given.count > 1 {
                draft.wrong(declaration.key, place, "given \(given.count) times")
                continue
            }
            if declaration.isSecret {
                draft.warnings.append(
                    "\(place): every user of this machine can read command lines: prefer \(declaration.flag)-file or the environment"
                )
            }
            store(declaration, given.map { Located(text: $0.value, place: place) }, place)
        }
        refuseBothForms { key in values[Declaration.named(key)?.flag ?? ""] != nil ? .flag(key) : nil }
    }

    private mutating func store(_ declaration: Declaration, _ texts: [Located], _ place: SettingPlace) {
        draft.store(declaration, texts: texts, place: place)
    }

    private mutating func refuseBothForms(_ given: (String) -> SettingPlace?) {
        for (value, file) in Declaration.pairs where given(value) != nil && given(file) != nil {
            let flags = (Declaration.named(value)?.flag ?? "", Declaration.named(file)?.flag ?? "")
            draft.wrong(value, .flag(flags.0), "give either \(flags.0) or \(flags.1), not both")
        }
    }
}

extension Declaration {
    static func named(_ key: String) -> Declaration? { byKey[key] }

    private static let byKey = Dictionary(uniqueKeysWithValues: all.map { ($0.key, $0) })

    /// Settings of which one holds secrets and the other the path of a file with them.
    static let pairs: [(value: String, file: String)] = all.filter(\.isSecret).map { ($0.key, $0.key + "File") }
}

extension Draft {
    /// Stores what the environment or flags give as texts.
    mutating func store(_ declaration: Declaration, texts: [Located], place: SettingPlace) {
        switch declaration.form {
        case .single:
            if let text = texts.last { declaration.store(.single(text), &self) }
        case .list:
            // One empty text is an empty list, not a list of one empty item.
            let items = texts.flatMap { text in
                text.text.isEmpty ? [] : splitList(text.text).map { Located(text: $0, place: place) }
            }
            declaration.store(.list(items, place), &self)
        case .map:
            var entries: [(name: Located, value: Located)] = []
            // A property's value may hold commas: a flag gives one property.
            let items = texts.flatMap { declaration.hasEntryNames ? [$0.text] : splitList($0.text) }
            for item in items {
                guard let equals = item.firstIndex(of: "=") else {
                    wrong(
                        declaration.key, place,
                        "expected name=value\(declaration.hasEntryNames ? "" : ", separated by commas")")
                    continue
                }
                entries.append(
                    (
                        name: Located(text: String(item[..<equals]), place: place),
                        value: Located(text: String(item[item.index(after: equals)...]), place: place)
                    ))
            }
            declaration.store(.map(entries, place), &self)
        }
    }
}
