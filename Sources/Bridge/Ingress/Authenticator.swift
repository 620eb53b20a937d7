internal import SMSBridgeAddresses

/// The proofs that callers must show, ready to be compared. Stateless: it is replaced in one step when secrets
/// change.
package final class Authenticator: Sendable {
    let header: SecretSet?
    let headerName: [UInt8]
    let path: SecretSet?
    let query: SecretSet?
    let signature: SignatureCheck?
    let addresses: AddressCheck?
    /// Where callbacks come from, whether or not callers are asked for it: for diagnosis only.
    let origins: AddressCheck?
    let isEnforced: Bool
    let fallbackAccount: Int

    package init(_ configuration: IngressConfiguration) {
        let authentication = configuration.authentication
        let accounts = authentication.accounts
        header = SecretSet(accounts.map(\.header))
        headerName = Array(authentication.headerName.lowercased().utf8)
        path = SecretSet(accounts.map(\.path))
        query = SecretSet(accounts.map(\.query))
        signature = SignatureCheck(
            authentication.signature, secrets: accounts.map(\.signature),
            baseSegments: configuration.basePath.split(separator: "/").count)
        addresses = AddressCheck(allowed: authentication.addresses, trusted: authentication.trustedProxies)
        origins =
            addresses
            ?? AddressCheck(
                allowed: VendorAddresses.texts.compactMap { try? AddressRange($0) },
                trusted: authentication.trustedProxies)
        isEnforced = authentication.isEnforced
        fallbackAccount = authentication.fallbackAccount
    }

    /// Whether there is anything that a caller could lack.
    var asksAnything: Bool {
        header != nil || path != nil || query != nil || signature != nil || addresses != nil
    }
}
