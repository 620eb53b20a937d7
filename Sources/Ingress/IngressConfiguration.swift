/// Who may deliver callbacks, and where.
package struct IngressConfiguration: Sendable {
    /// What stands before `/webhooks`, such as `/sms`; empty or beginning with a slash and not ending with one.
    package var basePath: String = ""
    package var authentication = AuthenticationConfiguration()

    package init() {}
}

/// The kinds of proof that a caller must bring. Every kind that has secrets is required; none means that anyone may
/// deliver, which the settings allow only when it is said aloud.
package struct AuthenticationConfiguration: Sendable {
    /// The header that carries a secret.
    package var headerName: String = "X-Webhook-Secret"
    /// Secrets that the header may carry; more than one while they are being rotated.
    package var headerSecrets: [[UInt8]] = []
    /// Secrets that may stand as a segment of the path: `/webhooks/<secret>/<type>`.
    package var pathSecrets: [[UInt8]] = []
    /// Secrets that may stand in the query: `?secret=`.
    package var querySecrets: [[UInt8]] = []

    package init() {}
}
