import SMSBridgeAddresses
import SMSBridgeFiles
import SMSBridgeHTTPServer
import SMSBridgeIngress
import SMSBridgeKafka
import SMSBridgeOperations
import SMSBridgePublisher
import SMSBridgeSettings
import SMSBridgeSpool
import SMSPortalEvents

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// From what people set to what the modules take.
extension BridgeSettings {
    /// What the modules find wrong with the settings though each of them alone is well-formed; each names its key.
    func problems(_ sources: [String: SettingPlace]) -> [String] {
        let known = LibRDKafka.propertyNames
        let properties = kafkaClient.propertyProblems().map { name, problem in
            let near = known.contains(name) ? nil : nearestName(to: name, among: known)
            let place = sources["kafka.properties.\(name)"].map { " (\($0))" } ?? ""
            return "kafka.properties.\(name)\(place): \(problem)" + (near.map { "; did you mean \($0)?" } ?? "")
        }
        return properties + unreadableFiles(sources)
            + decoder.problems().map { problem in
                // The decoder says `fields.reply.x`, the setting is `events.reply.fields.x`.
                let words = problem.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
                guard words.count == 3, words[0] == "fields" else { return "events.\(problem)" }
                return "events.\(words[1]).fields.\(words[2])"
            }
    }

    /// Properties that name a file which cannot be read.
    private func unreadableFiles(_ sources: [String: SettingPlace]) -> [String] {
        KafkaFiles(kafkaClient).unreadable.map { name, path, reason in
            let place = sources["kafka.properties.\(name)"].map { " (\($0))" } ?? ""
            return "kafka.properties.\(name)\(place): cannot read \(path): \(reason)"
        }
    }

    var kafkaClient: ClientConfiguration {
        ClientConfiguration(
            bootstrapServers: kafka.bootstrapServers.joined(separator: ","),
            properties: Self.standardKafkaProperties.merging(
                kafka.properties.exposed.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 }))
    }

    /// Defaults of ours that a property may override.
    private static let standardKafkaProperties = [
        // A broker that is back is to be found within a second; librdkafka's own bound is 10 s.
        "reconnect.backoff.max.ms": "1000",
        // Ends the wait for a broker that hangs; librdkafka's own is 60 s.
        "socket.timeout.ms": "10000",
        "socket.nagle.disable": "true",
        "socket.keepalive.enable": "true",
    ]

    var httpServer: HTTPServerConfiguration {
        var configuration = HTTPServerConfiguration()
        configuration.host = http.host
        configuration.port = http.port
        configuration.backlog = Int32(http.backlog)
        configuration.limits.maxBodyBytes = http.maxBodyBytes
        configuration.limits.maxHeaderBytes = http.maxHeaderBytes
        configuration.limits.maxHeaders = http.maxHeaders
        configuration.limits.maxTargetBytes = http.maxTargetBytes
        configuration.headTimeout = http.headTimeout
        configuration.bodyTimeout = http.bodyTimeout
        configuration.writeTimeout = http.writeTimeout
        configuration.idleTimeout = http.idleTimeout
        configuration.maxConnections = http.maxConnections
        configuration.maxUnfinishedBytes = http.maxBufferedRequestBytes
        configuration.handshakeTimeout = http.tls.handshakeTimeout
        configuration.maxHandshakes = http.tls.maxHandshakes
        if http.proxyProtocol { configuration.proxyProtocolSources = trustedProxies }
        return configuration
    }

    /// The settings have checked that each is a range.
    var trustedProxies: [AddressRange] { http.trustedProxies.compactMap { try? AddressRange($0) } }

    var operations: OperationsConfiguration {
        var configuration = OperationsConfiguration()
        configuration.host = admin.host
        configuration.port = admin.port
        configuration.instance.title = Version.text
        configuration.instance.host = Self.hostName
        let accounts = auth.accountNames
        configuration.instance.accounts = accounts.isEmpty ? ["default"] : accounts
        configuration.instance.brokers = kafka.bootstrapServers
        configuration.instance.runbookURL = admin.runbookUrl
        return configuration
    }

    /// As the kernel has it; no name server is asked.
    private static var hostName: String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "" }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    var ingress: IngressConfiguration {
        var configuration = IngressConfiguration()
        configuration.basePath = http.basePath
        configuration.accessSample = log.accessSample
        configuration.authentication = authentication
        return configuration
    }

    private var authentication: AuthenticationConfiguration {
        func bytes(_ secrets: [Secret]) -> [[UInt8]] { secrets.map { Array($0.exposed.utf8) } }
        var authentication = AuthenticationConfiguration()
        let names = auth.accountNames
        authentication.headerName = auth.header.name
        authentication.accounts = (0..<max(1, names.count)).map { index in
            var account = AccountSecrets()
            account.header = bytes(auth.header.secrets(of: names)[index])
            account.path = bytes(auth.path.secrets(of: names)[index])
            account.query = bytes(auth.query.secrets(of: names)[index])
            account.signature = auth.signature.secrets(of: names)[index].compactMap { auth.signature.key($0) }
            return account
        }
        if auth.signature.isConfigured { authentication.signature = auth.signature.scheme }
        // The settings have been checked: what is no range here is the word for the vendor's.
        authentication.addresses = auth.addresses
            .flatMap { $0 == "smsportal" ? VendorAddresses.texts : [$0] }.compactMap { try? AddressRange($0) }
        authentication.trustedProxies = http.trustedProxies.compactMap { try? AddressRange($0) }
        authentication.isEnforced = auth.mode == .enforce
        authentication.fallbackAccount = accounts.firstIndex(of: events.account) ?? 0
        return authentication
    }

    /// The names of the accounts in the decoder's order: those that have secrets of their own, and the one under which a
    /// callback goes whose account is not known.
    private var accounts: [String] {
        let names = auth.accountNames
        return names.contains(events.account) ? names : names + [events.account]
    }

    var decoder: DecoderConfiguration {
        DecoderConfiguration(
            accounts: accounts,
            fields: Dictionary(
                uniqueKeysWithValues: events.fields.compactMap { name, fields in
                    EventType(rawValue: name).map { ($0, fields) }
                }),
            optOutPhrases: events.optOut.phrases,
            maxContentBytes: max(http.maxBodyBytes, 1 << 10))
    }

    var publisher: PublisherConfiguration {
        var configuration = PublisherConfiguration(kafka: kafkaClient)
        configuration.topicPrefix = topics.prefix
        configuration.linger = publish.linger
        configuration.hedge = publish.hedge
        configuration.deadline = publish.deadline
        configuration.maxSpoolBytes = Int64(spool.maxBytes)
        if !spool.none {
            var store = SpoolConfiguration(path: spool.path, lanes: EventTopic.allCases.map(\.suffix))
            store.allowsAnyFileSystem = spool.anyFileSystem
            configuration.spool = store
        }
        configuration.maxInFlight = publish.maxInFlight
        configuration.maxInFlightBytes = publish.maxInFlightBytes
        configuration.maxRecordBytes = maxRecordBytes
        configuration.batchBytes = publish.batchBytes
        configuration.audits = durability.audit
        return configuration
    }

    var topicPlan: TopicPlan {
        TopicPlan(
            prefix: topics.prefix, partitions: topics.partitions, replication: topics.replication,
            retention: topics.retention, maxRecordBytes: maxRecordBytes, batchBytes: publish.batchBytes,
            access: KafkaAccess(kafkaClient))
    }

    private var maxRecordBytes: Int {
        CallbackDecoder.maximumRecordBytes(maxBody: http.maxBodyBytes, maxTarget: http.maxTargetBytes)
    }
}

extension BridgeSettings.Auth.Signature {
    fileprivate var scheme: SignatureScheme {
        var scheme = SignatureScheme(
            headerName: header, timestampHeaderName: timestampHeader.isEmpty ? nil : timestampHeader)
        scheme.value = value
        scheme.signed = signed
        scheme.url = url
        scheme.base = baseUrl
        scheme.encoding =
            switch encoding {
            case .auto: .auto
            case .hex: .hex
            case .base64: .base64
            }
        scheme.unit =
            switch timestampUnit {
            case .auto: .auto
            case .s: .seconds
            case .ms: .milliseconds
            }
        scheme.window = window
        return scheme
    }
}
