internal import SMSBridgeAddresses

extension SettingsLoader {
    /// What several settings must agree in. Nothing is said about settings that are wrong in themselves.
    mutating func checkRules(isComplete: Bool) {
        let settings = draft.settings
        below("publish.linger", settings.publish.linger, "publish.hedge", settings.publish.hedge)
        below("publish.hedge", settings.publish.hedge, "publish.deadline", settings.publish.deadline)
        below("shutdown.delay", settings.shutdown.delay, "shutdown.deadline", settings.shutdown.deadline)
        notBelow(
            "http.maxBufferedRequestBytes", settings.http.maxBufferedRequestBytes, "http.maxBodyBytes",
            settings.http.maxBodyBytes)
        notBelow(
            "publish.maxInFlightBytes", settings.publish.maxInFlightBytes, "http.maxBodyBytes",
            settings.http.maxBodyBytes)
        if settings.http.port == settings.admin.port, settings.http.port != 0, areRight("http.port", "admin.port") {
            let key = later("http.port", "admin.port")
            draft.wrong(key, place(key), "http.port and admin.port are both \(settings.http.port)")
        }
        checkTransport(settings.http)
        checkBasePath(settings)
        if settings.spool.none, ![.standard, Self.stateDirectory].contains(place("spool.path")) {
            draft.warnings.append("spool.path has no effect: spool.none is true (\(place("spool.none")))")
        }
        if settings.durability.strict, settings.durability.development,
            areRight("durability.strict", "durability.development")
        {
            draft.wrong(
                "durability.development", place("durability.development"),
                "is true, yet durability.strict is, too (\(place("durability.strict"))): remove one of them")
        }
        checkSecretTwins(settings)
        checkSignature(settings.auth.signature)
        guard isComplete else { return }
        if needs.contains(.kafka), settings.kafka.bootstrapServers.isEmpty, areRight("kafka.bootstrapServers") {
            missing("kafka.bootstrapServers", "is required")
        }
        checkAuthentication(settings)
    }

    /// The longest route must fit a request target, or it could never be called. The number of segments has no bound.
    private mutating func checkBasePath(_ settings: BridgeSettings) {
        let key = later("http.basePath", "http.maxTargetBytes")
        guard areRight("http.basePath", "http.maxTargetBytes") else { return }
        let secret = settings.auth.path.all.map { $0.exposed.utf8.count + 1 }.max() ?? 0
        let longest = settings.http.basePath.utf8.count + "/webhooks/delivery-status".utf8.count + secret
        guard longest > settings.http.maxTargetBytes else { return }
        draft.wrong(
            key, place(key),
            "http.maxTargetBytes is \(showBytes(settings.http.maxTargetBytes)) (\(place("http.maxTargetBytes"))), and with http.basePath"
                + " the longest path of a callback has \(longest) bytes")
    }

    private mutating func checkTransport(_ http: BridgeSettings.HTTP) {
        let tls = "http.tls"
        if areRight("\(tls).certificate", "\(tls).key"), http.tls.certificate.isEmpty != http.tls.key.isEmpty {
            let (given, missing) = http.tls.key.isEmpty ? ("certificate", "key") : ("key", "certificate")
            draft.wrong(
                "\(tls).\(missing)", place("\(tls).\(missing)"),
                "is required with \(tls).\(given) (\(place("\(tls).\(given)")))")
        } else if areRight("\(tls).certificate", "\(tls).clientCa"), http.tls.certificate.isEmpty,
            !http.tls.clientCa.isEmpty
        {
            draft.wrong(
                "\(tls).clientCa", place("\(tls).clientCa"),
                "needs \(tls).certificate and \(tls).key: without TLS no client shows a certificate")
        }
        if areRight("\(tls).clientCertificate", "\(tls).clientCa"), http.tls.clientCa.isEmpty,
            http.tls.clientCertificate == .optional
        {
            draft.wrong(
                "\(tls).clientCertificate", place("\(tls).clientCertificate"),
                "needs \(tls).clientCa: without it no client is asked for a certificate")
        }
        checkTrust(http)
        if areRight("http.proxyProtocol", "http.trustedProxies"), http.proxyProtocol, http.trustedProxies.isEmpty {
            draft.wrong(
                "http.proxyProtocol", place("http.proxyProtocol"),
                "needs http.trustedProxies, the balancers' addresses: else anybody could claim any address")
        }
    }

    /// Who trusts every address trusts every caller.
    private mutating func checkTrust(_ http: BridgeSettings.HTTP) {
        let key = "http.trustedProxies"
        guard areRight(key, "http.trustAllProxies") else { return }
        let ranges = http.trustedProxies.compactMap { try? AddressRange($0) }
        let families = [ranges.coverEveryIPv4Address ? "IPv4" : nil, ranges.coverEveryIPv6Address ? "IPv6" : nil]
            .compactMap { $0 }
        guard !families.isEmpty else {
            if http.trustAllProxies {
                draft.warnings.append(
                    "http.trustAllProxies has no effect (\(place("http.trustAllProxies"))): \(key) does not hold every address"
                )
            }
            return
        }
        let text =
            "holds every \(families.joined(separator: " and every ")) address, so every caller may claim any address in X-Forwarded-For"
        if http.trustAllProxies {
            draft.warnings.append("\(key) \(text) (http.trustAllProxies: \(place("http.trustAllProxies")))")
        } else {
            draft.wrong(
                key, place(key),
                "\(text): give the proxies' own addresses, or http.trustAllProxies: true where only proxies can reach the port"
            )
        }
    }

    func areRight(_ keys: String...) -> Bool { draft.failed.isDisjoint(with: keys) }

    func place(_ key: String) -> SettingPlace { draft.sources[key] ?? .standard }

    /// The one of two settings that is given: the error is shown there.
    private func later(_ first: String, _ second: String) -> String {
        draft.sources[second] == nil && draft.sources[first] != nil ? first : second
    }

    private mutating func below(_ low: String, _ lowValue: Duration, _ high: String, _ highValue: Duration) {
        guard areRight(low, high), lowValue >= highValue else { return }
        let key = later(low, high)
        let relation =
            key == high
            ? "is \(showDuration(highValue)), expected more than \(low), which is \(showDuration(lowValue)) (\(place(low)))"
            : "is \(showDuration(lowValue)), expected less than \(high), which is \(showDuration(highValue)) (\(place(high)))"
        draft.wrong(key, place(key), relation)
    }

    private mutating func notBelow(_ high: String, _ highValue: Int, _ low: String, _ lowValue: Int) {
        guard areRight(low, high), highValue < lowValue else { return }
        let key = later(low, high)
        let relation =
            key == high
            ? "is \(showBytes(highValue)), expected no less than \(low), which is \(showBytes(lowValue)) (\(place(low)))"
            : "is \(showBytes(lowValue)), expected no more than \(high), which is \(showBytes(highValue)) (\(place(high)))"
        draft.wrong(key, place(key), relation)
    }

    private mutating func missing(_ key: String, _ message: String) {
        guard let declaration = Declaration.named(key) else { return }
        draft.wrong(
            key, .standard,
            "\(message): give \(key) in the file, \(declaration.environmentName) or \(declaration.flag); "
                + "expected \(declaration.expected)")
    }
}
