internal import SMSBridgeAddresses
internal import SMSBridgeHTTPServer

/// What a rejected request shows of each proof that is asked for: for the log, and to tell the vendor's callbacks from
/// scans. It neither authenticates a request nor changes an answer.
struct ShownProofs {
    enum State: String {
        case missing, wrong, repeated, valid
        /// A signature of a request that is not there as a whole.
        case unverified
    }

    private var states: [(kind: ProofKind, state: State)] = []
    /// Whether one of its secrets is right, or, where no secret is asked for, its address.
    private(set) var isGenuine = false
    /// Whether it comes from where callbacks come from: `auth.addresses`, or what the vendor publishes.
    private(set) var isFromVendor = false

    /// More candidates than these are not compared, so that a rejected request costs little.
    private static let maxCandidates = 8

    /// `header:missing,address:valid`; `none` where nothing is asked for.
    var text: String {
        states.isEmpty ? "none" : states.map { "\($0.kind):\($0.state.rawValue)" }.joined(separator: ",")
    }

    /// - Parameters:
    ///   - signature: what its signature comes to; nil when only its header can be looked for.
    init(
        _ head: LooseHead, _ bytes: RawSpan, from peer: PeerAddress, _ authenticator: Authenticator,
        signature: State? = nil
    ) {
        if let secrets = authenticator.header {
            let values = head.values(of: authenticator.headerName, in: bytes)
            let isRight = values.prefix(Self.maxCandidates).contains {
                secrets.owner(of: bytes.extracting($0.offset..<$0.end)) != nil
            }
            add(.header, isRight, values.isEmpty ? .missing : values.count > 1 ? .repeated : isRight ? .valid : .wrong)
        }
        if let secrets = authenticator.path {
            var segment: [UInt8] = []
            var isRight = false
            for cut in head.segments.prefix(Self.maxCandidates) where !isRight {
                segment.removeAll(keepingCapacity: true)
                _ = PercentEncoding.decode(cut, in: bytes, into: &segment)
                isRight = secrets.owner(of: segment.span.bytes) != nil
            }
            // The route shows what a path without the secret has.
            add(.path, isRight, isRight ? .valid : .missing)
        }
        if let secrets = authenticator.query {
            var query = QuerySecret()
            query.scan(bytes.extracting(head.query.offset..<head.query.end))
            let value = query.value
            let isRight = query.hasProof && secrets.owner(of: value.span.bytes) != nil
            add(
                .query, isRight,
                !query.hasProof ? .missing : query.isRepeated ? .repeated : isRight ? .valid : .wrong)
        }
        if let check = authenticator.signature {
            let isThere = !head.values(of: check.header, in: bytes).isEmpty
            let state = isThere ? signature ?? .unverified : .missing
            add(.signature, state == .valid, state)
        }
        let lines = head.values(of: AddressCheck.header, in: bytes)
        isFromVendor = authenticator.origins?.admits(peer, lines, bytes) ?? false
        if let addresses = authenticator.addresses {
            let isRight = addresses.admits(peer, lines, bytes)
            if states.isEmpty { isGenuine = isRight }
            states.append((.address, isRight ? .valid : .wrong))
        }
    }

    private mutating func add(_ kind: ProofKind, _ isRight: Bool, _ state: State) {
        if isRight { isGenuine = true }
        states.append((kind, state))
    }
}
