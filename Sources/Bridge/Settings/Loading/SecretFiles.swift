/// The files that hold secrets, for reading them again: those of callers, and the values of Kafka's properties.
///
/// Which files these are is decided when it is made: a pipe there gave its secret at the start and is not read again. A file
/// that becomes something else later is an error.
package struct SecretFiles: Sendable {
    private let singleFiles: [String: String]
    private let accountFiles: [String: [String: String]]
    private let propertyFiles: [String: String]

    package init(_ settings: BridgeSettings) {
        let kinds = settings.auth.kinds
        singleFiles = Dictionary(uniqueKeysWithValues: kinds.map { ($0.key, $0.holder.secretsFile) })
            .compactMapValues { $0 }.filter { !isStream($0.value) }
        accountFiles = Dictionary(uniqueKeysWithValues: kinds.map { ($0.key, $0.holder.accounts) })
            .filter { !$0.value.isEmpty && !$0.value.values.contains(where: isStream) }
        propertyFiles = settings.kafka.propertyFiles.filter { !isStream($0.value) }
    }

    package var isEmpty: Bool { singleFiles.isEmpty && accountFiles.isEmpty && propertyFiles.isEmpty }

    /// Reads the files again. Never waits for a file that gives nothing.
    ///
    /// - Returns: the settings with the secrets that the files hold now.
    /// - Throws: everything that is wrong with them; no part of them is to be used then. No text holds a secret.
    package func read(into settings: BridgeSettings) throws(SettingsFailure) -> BridgeSettings {
        try read(into: settings, readFile: readRegularFile)
    }

    func read(
        into settings: BridgeSettings, readFile: @escaping @Sendable (String) -> Result<[UInt8], FileFailure>
    ) throws(SettingsFailure) -> BridgeSettings {
        var loader = SettingsLoader(environment: [:], flags: [], needs: [])
        loader.draft.settings = settings
        loader.draft.readFile = readFile
        func located(_ text: String) -> Located { Located(text: text, place: .standard) }
        func map(_ files: [String: String]) -> SettingInput {
            .map(files.sorted { $0.key < $1.key }.map { (located($0.key), located($0.value)) }, .standard)
        }
        for (kind, file) in singleFiles {
            Declaration.named("\(kind).secretsFile")?.store(.single(located(file)), &loader.draft)
        }
        for (kind, files) in accountFiles {
            Declaration.named("\(kind).accounts")?.store(map(files), &loader.draft)
        }
        if !propertyFiles.isEmpty {
            Declaration.named("kafka.propertyFiles")?.store(map(propertyFiles), &loader.draft)
        }
        loader.checkRules(isComplete: true)
        guard loader.draft.problems.isEmpty else {
            throw SettingsFailure(problems: loader.draft.problems, warnings: [])
        }
        return loader.draft.settings
    }
}
