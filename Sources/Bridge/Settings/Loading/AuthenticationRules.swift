/// What the settings under `auth` must agree in.
extension SettingsLoader {
    private static let kinds = BridgeSettings().auth.kinds.map(\.key)

    private func holders(_ auth: BridgeSettings.Auth) -> [any SecretHolder] { auth.kinds.map(\.holder) }

    /// Whether nothing is wrong with the secrets in themselves.
    private var areSecretsRight: Bool {
        Self.kinds.allSatisfy { areRight("\($0).secrets", "\($0).secretsFile", "\($0).accounts") }
    }

    /// Authentication must be configured, or disabled explicitly.
    mutating func checkAuthentication(_ settings: BridgeSettings) {
        let auth = settings.auth
        guard areSecretsRight, areRight("auth.none", "auth.addresses", "auth.mode") else { return }
        checkAccounts(auth)
        if auth.none, auth.isConfigured {
            let keys = Self.kinds.flatMap { ["\($0).secrets", "\($0).accounts"] } + ["auth.addresses"]
            let given = keys.first { draft.sources[$0] != nil } ?? keys[0]
            draft.wrong(
                "auth.none", place("auth.none"),
                "is true, yet \(given) is given (\(place(given))): remove one of them")
        }
        if auth.none, auth.mode == .log {
            draft.wrong("auth.mode", place("auth.mode"), "is log, yet auth.none is true: there is nothing to count")
        }
        if needs.contains(.authentication), !auth.none, !auth.isConfigured {
            draft.problems.append(
                SettingProblem(
                    key: "auth", place: .standard,
                    message:
                        "no authentication is configured, so anybody could publish events: give auth.header.secrets"
                        + " (\(Declaration.named("auth.header.secrets")?.environmentName ?? "") or …_FILE),"
                        + Self.kinds.dropFirst().map { " \($0).secrets" }.joined(separator: ",")
                        + " or auth.addresses, or say that this is meant with auth.none: true"))
        }
        guard auth.isConfigured else { return }
        if auth.mode == .log {
            draft.warnings.append(
                "auth.mode is log (\(place("auth.mode"))): ALL requests are accepted, and failed authentication is only counted"
            )
        }
        if !holders(auth).contains(where: { $0.isConfigured }) {
            draft.warnings.append(
                "auth.addresses is the only proof: every caller behind those addresses is accepted, and all"
                    + " customers of SMSPortal share its addresses; give a secret as well")
        }
    }

    /// Several accounts: every kind of proof must tell each of them, and tell it from the others.
    private mutating func checkAccounts(_ auth: BridgeSettings.Auth) {
        let accounts = auth.accountNames
        let holders = holders(auth)
        guard !accounts.isEmpty else { return }
        for (kind, holder) in zip(Self.kinds, holders) where holder.isConfigured {
            guard holder.secrets.isEmpty else {
                let key = "\(kind).secrets"
                draft.wrong(
                    key, place(key), "is of no account, and others are of accounts: give \(kind).accounts instead")
                continue
            }
            let missing = accounts.filter { holder.accountSecrets[$0] == nil }
            if !missing.isEmpty {
                draft.wrong(
                    "\(kind).accounts", place("\(kind).accounts"),
                    "has no secret for \(missing.joined(separator: ", ")): each kind that is asked for must have one for"
                        + " every account, or that account could leave it out")
            }
            checkOwners(kind, holder)
        }
        if accounts.count > Self.maxAccounts {
            draft.wrong(
                "auth", .standard, "expected at most \(Self.maxAccounts) accounts, found \(accounts.count)")
        }
        let isOnlySigned = auth.signature.isConfigured && holders.count { $0.isConfigured } == 1
        if isOnlySigned, accounts.count > Self.maxSignedAccounts {
            draft.wrong(
                "auth.signature.accounts", place("auth.signature.accounts"),
                "expected at most \(Self.maxSignedAccounts) accounts where the signature alone tells them apart, found"
                    + " \(accounts.count): each signature is computed for every account; give header, path or query"
                    + " secrets as well")
        }
        if draft.sources["events.account"] != nil, auth.mode != .log {
            draft.warnings.append(
                "events.account has no effect (\(place("events.account"))): each account has a name of its own")
        }
    }

    private static let maxAccounts = 100
    private static let maxSignedAccounts = 8

    /// A secret of two accounts would tell neither.
    private mutating func checkOwners(_ kind: String, _ holder: some SecretHolder) {
        let accounts = holder.accountSecrets.sorted { $0.key < $1.key }
        for (index, account) in accounts.enumerated() {
            for other in accounts[..<index] where other.value.contains(where: { account.value.contains($0) }) {
                draft.wrong(
                    "\(kind).accounts", place("\(kind).accounts"),
                    "\(other.key) and \(account.key) have the same secret, which tells neither")
            }
        }
    }

    /// One secret for two proofs makes the second one worthless: the URL reveals the header's secret, too.
    mutating func checkSecretTwins(_ settings: BridgeSettings) {
        let all = holders(settings.auth).map(\.all)
        for (index, kind) in Self.kinds.enumerated() {
            for other in 0..<index where all[index].contains(where: { all[other].contains($0) }) {
                draft.warnings.append(
                    "\(Self.kinds[other]).secrets and \(kind).secrets hold the same secret: one of them is no second lock"
                )
            }
        }
    }

    /// Everything that is needed to compute a signature, and nothing that contradicts itself.
    mutating func checkSignature(_ signature: BridgeSettings.Auth.Signature) {
        let prefix = "auth.signature."
        let details = [
            "header", "timestampHeader", "value", "signed", "url", "baseUrl", "encoding", "timestampUnit",
            "keyEncoding",
            "window",
        ].map { prefix + $0 }
        guard draft.failed.isDisjoint(with: details), areSecretsRight else { return }
        guard signature.isConfigured else {
            let standard = BridgeSettings()
            for key in details {
                guard let declaration = Declaration.named(key),
                    declaration.show(draft.settings) != declaration.show(standard)
                else { continue }
                draft.warnings.append("\(key) has no effect (\(place(key))): auth.signature has no secret")
            }
            return
        }
        if signature.header.isEmpty {
            draft.wrong(
                prefix + "header", place(prefix + "header"),
                "is required with a secret for signatures: the name of the header that carries them")
        }
        let isTimeInside = signature.value.contains("{timestamp}")
        if isTimeInside != signature.timestampHeader.isEmpty {
            let key = prefix + "timestampHeader"
            draft.wrong(
                key, place(key),
                isTimeInside
                    ? "is given, yet auth.signature.value has {timestamp}: the time is in one place"
                    : "is required, or {timestamp} in auth.signature.value: else a signature is good for ever")
        }
        let header = signature.header.lowercased()
        if !header.isEmpty, header == signature.timestampHeader.lowercased() {
            let key = prefix + "timestampHeader"
            draft.wrong(key, place(key), "is auth.signature.header: give {timestamp} in auth.signature.value")
        }
        if draft.settings.auth.header.isConfigured, areRight("auth.header.name"),
            header == draft.settings.auth.header.name.lowercased()
        {
            draft.wrong(prefix + "header", place(prefix + "header"), "is auth.header.name, which carries a secret")
        }
        if signature.url.contains("{base}"), signature.baseUrl.isEmpty {
            draft.wrong(
                prefix + "baseUrl", place(prefix + "baseUrl"),
                "is required with {base} in auth.signature.url: the address that the Control Panel has, such as"
                    + " https://sms.example.com")
        }
        if !signature.url.contains("{query}") {
            draft.warnings.append(
                "auth.signature.url has no {query} (\(place(prefix + "url"))): callbacks with parameters in the query are"
                    + " refused, for they would not be signed")
        }
        for secret in signature.all where signature.key(secret) == nil {
            let key = prefix + "keyEncoding"
            draft.wrong(key, place(key), "is \(signature.keyEncoding.rawValue), and a secret for signatures is not")
            break
        }
    }
}
