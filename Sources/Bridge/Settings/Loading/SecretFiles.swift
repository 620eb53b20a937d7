extension BridgeSettings {
    /// The properties of librdkafka that a client takes while it is at work.
    private static let changeableProperties = ["sasl.password", "sasl.username"]

    /// Whether there are files that `withSecretsReadAgain` reads.
    package var hasSecretFiles: Bool {
        !singleFiles.isEmpty || !accountFiles.isEmpty || !propertyFiles.isEmpty
    }

    /// The files of each kind of secret, by its key. A pipe is read at the start only.
    private var singleFiles: [String: String] {
        [
            "auth.header": auth.header.secretsFile, "auth.path": auth.path.secretsFile,
            "auth.query": auth.query.secretsFile, "auth.signature": auth.signature.secretsFile,
        ].compactMapValues { $0 }.filter { !isStream($0.value) }
    }

    private var accountFiles: [String: [String: String]] {
        [
            "auth.header": auth.header.accounts, "auth.path": auth.path.accounts, "auth.query": auth.query.accounts,
            "auth.signature": auth.signature.accounts,
        ].filter { !$0.value.isEmpty && !$0.value.values.contains(where: isStream) }
    }

    private var propertyFiles: [String: String] {
        kafka.propertyFiles.filter { Self.changeableProperties.contains($0.key) && !isStream($0.value) }
    }

    /// These settings, with the secrets that files hold read again: those of callers, and Kafka's user name and password.
    ///
    /// - Throws: everything that is wrong with them; no part of them is to be used then. No text holds a secret.
    package func withSecretsReadAgain() throws(SettingsFailure) -> BridgeSettings {
        try withSecretsReadAgain(readFile: readWholeFile)
    }

    func withSecretsReadAgain(
        readFile: @escaping @Sendable (String) -> Result<[UInt8], FileFailure>
    ) throws(SettingsFailure) -> BridgeSettings {
        var loader = SettingsLoader(environment: [:], flags: [], needs: [])
        loader.draft.settings = self
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
