package import SMSBridgeAddresses

/// Who may deliver callbacks, and where.
package struct IngressConfiguration: Sendable {
    /// The path prefix before `/webhooks`, such as `/sms`; empty or beginning with a slash and not ending with one.
    package var basePath: String = ""
    package var authentication = AuthenticationConfiguration()
    /// One of this many requests is logged with its status; 0 for none.
    package var accessSample = 0

    package init() {}
}

/// The proofs that a request can lack: names of the label `proof` and in the log.
enum ProofKind: Int, CaseIterable {
    case header, path, query, signature, address
    /// Each proof is valid, and they are not of one account.
    case account
}

/// The kinds of proof that a caller must bring. Every kind that is configured is required, and all of them must be of
/// one account; none means that every request is accepted, which the settings allow only with `auth.none`.
package struct AuthenticationConfiguration: Sendable {
    /// The header that carries a secret.
    package var headerName: String = "X-Webhook-Secret"
    /// Whose callbacks are taken, in the decoder's order of accounts.
    package var accounts = [AccountSecrets()]
    /// How a caller signs; without effect where no account has a secret for it.
    package var signature: SignatureScheme?
    /// From where callers may come; empty: from anywhere.
    package var addresses: [AddressRange] = []
    /// Whose `X-Forwarded-For` is believed.
    package var trustedProxies: [AddressRange] = []
    /// If false, every request is accepted, and failed authentication is counted.
    package var isEnforced = true
    /// The account of a callback whose proofs identify none.
    package var fallbackAccount = 0

    package init() {}
}

/// The secrets of one account. Each list holds more than one while they are being rotated.
package struct AccountSecrets: Sendable {
    /// Secrets that the header may carry.
    package var header: [[UInt8]] = []
    /// Secrets that may stand as a segment of the path: `/webhooks/<secret>/<type>`.
    package var path: [[UInt8]] = []
    /// Secrets accepted in the query: `?secret=`.
    package var query: [[UInt8]] = []
    /// Keys of signatures.
    package var signature: [[UInt8]] = []

    package init() {}
}
