import HTTPServer
import Ingress
import Kafka
import Operations
import Publisher
import SMSPortalEvents
import Settings
import Spool

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

    /// Properties that name a file which cannot be read: librdkafka says only that OpenSSL could not.
    private func unreadableFiles(_ sources: [String: SettingPlace]) -> [String] {
        let names = [
            "ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.crl.location",
            "ssl.keystore.location",
        ]
        return kafka.properties.exposed.compactMap { name, path in
            guard names.contains(name), !(name == "ssl.ca.location" && path == "probe"), access(path, R_OK) != 0 else {
                return nil
            }
            let place = sources["kafka.properties.\(name)"].map { " (\($0))" } ?? ""
            return "kafka.properties.\(name)\(place): cannot read \(path): \(String(cString: strerror(errno)))"
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
        configuration.maxUnfinishedBytes = http.maxUnfinishedBytes
        return configuration
    }

    var operations: OperationsConfiguration {
        var configuration = OperationsConfiguration()
        configuration.host = admin.host
        configuration.port = admin.port
        configuration.title = Version.text
        return configuration
    }

    var ingress: IngressConfiguration {
        var configuration = IngressConfiguration()
        configuration.basePath = http.basePath
        configuration.authentication.headerName = auth.header.name
        configuration.authentication.headerSecrets = auth.header.secrets.map { Array($0.exposed.utf8) }
        configuration.authentication.pathSecrets = auth.path.secrets.map { Array($0.exposed.utf8) }
        configuration.authentication.querySecrets = auth.query.secrets.map { Array($0.exposed.utf8) }
        return configuration
    }

    var decoder: DecoderConfiguration {
        DecoderConfiguration(
            accounts: [events.account],
            fields: Dictionary(
                uniqueKeysWithValues: events.fields.compactMap { name, fields in
                    EventType(rawValue: name).map { ($0, fields) }
                }),
            optOutPhrases: events.optOut.phrases)
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
