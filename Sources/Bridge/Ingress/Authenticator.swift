internal import SMSBridgeAddresses
internal import SMSBridgeHTTPServer

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

extension Ingress {
    /// What the proofs in a head come to.
    struct Proof {
        var isRight = true
        /// The account of the proofs; nil as long as no proof identifies one.
        var account: Int?
        /// A signature is there, to be computed when the request is whole.
        var hasClaim = false
    }

    /// Every proof that is configured is asked for; none is left out because another has failed already.
    func prove(
        _ head: borrowing RequestHead, _ bytes: RawSpan, _ peer: PeerAddress, _ authenticator: Authenticator
    ) -> Proof {
        var proof = Proof()
        if let addresses = authenticator.addresses, !addresses.admits(peer, head, bytes) { fail(.address, &proof) }
        if authenticator.path != nil { add(router.account, .path, to: &proof) }
        if let secrets = authenticator.header {
            let value = head.onlyHeader(authenticator.headerName, in: bytes)
            add(value.flatMap { secrets.owner(of: bytes.extracting($0.offset..<$0.end)) }, .header, to: &proof)
        }
        if let secrets = authenticator.query {
            scanQuery(head, bytes)
            let isGiven = querySecret.hasProof && !querySecret.isRepeated
            let value = querySecret.value
            add(isGiven ? secrets.owner(of: value.span.bytes) : nil, .query, to: &proof)
        }
        if let signature = authenticator.signature {
            proof.hasClaim = hasClaim(signature, head, bytes)
            if !proof.hasClaim { fail(.signature, &proof) }
        }
        return proof
    }

    /// - Parameter owner: whose the proof is; nil when it is missing or wrong.
    private func add(_ owner: Int?, _ kind: ProofKind, to proof: inout Proof) {
        guard let owner else { return fail(kind, &proof) }
        if let account = proof.account, account != owner { return fail(.account, &proof) }
        proof.account = owner
    }

    private func fail(_ kind: ProofKind, _ proof: inout Proof) {
        metrics.failed(kind)
        proof.isRight = false
    }

    private func hasClaim(_ signature: SignatureCheck, _ head: borrowing RequestHead, _ bytes: RawSpan) -> Bool {
        guard signature.claim(head, bytes, now: Self.millisecondsSinceEpoch()) != nil else { return false }
        guard !signature.coversQuery, let query = head.query, !query.isEmpty else { return true }
        // Of a query that is not signed only our own secret may be there: the rest could be anybody's.
        scanQuery(head, bytes)
        return querySecret.wasFound && querySecret.remainder.isEmpty
    }
}
