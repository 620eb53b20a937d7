import SMSBridgeSettings
import SMSPortalSimulator

/// What a caller of one account shows, and the option that names the account.
struct CallerSecrets {
    static let account = CommandOption<String>(
        "--account", "NAME", .anyText("account"),
        help: "Account of auth.….accounts; required when there are several.")

    let header: Secret?
    let path: Secret?
    let query: Secret?
    let signature: Secret?
    private let auth: BridgeSettings.Auth

    /// The first secret of each kind: those that follow are on their way in or out.
    ///
    /// - Returns: Nil when the account is not in the settings; the error has been printed.
    init?(_ auth: BridgeSettings.Auth, account: String?, command: String) {
        let names = auth.accountNames
        let account = account ?? (names.count == 1 ? names[0] : nil)
        guard names.isEmpty ? account == nil : account.map(names.contains) ?? false else {
            let expected =
                names.isEmpty ? "the settings name no account" : "expected one of: " + names.joined(separator: ", ")
            Output.error("smsbridge \(command): --account: \(expected)\n")
            return nil
        }
        func first(_ holder: some SecretHolder) -> Secret? {
            (account.map { holder.accountSecrets[$0] ?? [] } ?? holder.secrets).first
        }
        header = first(auth.header)
        path = first(auth.path)
        query = first(auth.query)
        signature = first(auth.signature)
        self.auth = auth
    }

    /// With which a simulator gets past these settings.
    var authentication: SimulatorAuthentication {
        var authentication = SimulatorAuthentication(
            headerName: auth.header.name, headerSecret: header?.exposed, pathSecret: path?.exposed,
            querySecret: query?.exposed)
        let scheme = auth.signature
        authentication.signature = signature.flatMap(scheme.key).map { key in
            SimulatorSignature(
                key: key, headerName: scheme.header,
                timestampHeaderName: scheme.timestampHeader.isEmpty ? nil : scheme.timestampHeader, value: scheme.value,
                signed: scheme.signed, url: scheme.url, base: scheme.baseUrl, isBase64: scheme.encoding == .base64,
                isInMilliseconds: scheme.timestampUnit == .ms)
        }
        return authentication
    }
}
