package import SMSBridgeKafka

/// Who the bridge is to a cluster, and what its administrator does so that it may do its work.
package struct KafkaAccess: Sendable {
    let servers: String
    /// As Kafka's ACLs name the user; in angle brackets what only the cluster knows.
    package let principal: String
    private let mechanism: String
    private let isEncrypted: Bool
    private let hasCertificate: Bool

    package init(_ client: ClientConfiguration) {
        servers = client.bootstrapServers
        let properties = client.properties
        mechanism = (properties["sasl.mechanism"] ?? properties["sasl.mechanisms"] ?? "GSSAPI").uppercased()
        let security = (properties["security.protocol"] ?? "plaintext").lowercased()
        isEncrypted = security.hasSuffix("ssl")
        hasCertificate = ["ssl.certificate.location", "ssl.certificate.pem", "ssl.keystore.location"].contains {
            properties[$0] != nil
        }
        principal =
            if security.hasPrefix("sasl") {
                switch mechanism {
                case "GSSAPI": "User:\(properties["sasl.kerberos.principal"] ?? "<the Kerberos principal>")"
                case "OAUTHBEARER": "User:<the token's subject>"
                default: "User:\(properties["sasl.username"] ?? "<sasl.username>")"
                }
            } else if security == "ssl", hasCertificate {
                "User:<the certificate's subject, such as CN=smsbridge>"
            } else {
                "User:ANONYMOUS"
            }
    }

    /// The command with which an administrator allows operations on topics.
    ///
    /// - Parameter prefix: what the names of all topics of the bridge begin with; given where all of them are meant.
    package func grant(_ operations: [String], on topics: [String], prefix: String? = nil) -> String {
        let resource =
            prefix.map { "--topic \(Self.word($0 + ".")) --resource-pattern-type prefixed" }
            ?? topics.map { "--topic \(Self.word($0))" }.joined(separator: " ")
        return command(operations, resource)
    }

    /// The command with which an administrator allows operations on the cluster.
    package func grantOnCluster(_ operations: [String]) -> String { command(operations, "--cluster") }

    /// The command with which an administrator allows operations on a consumer group.
    package func grantOnGroup(_ group: String, _ operations: [String]) -> String {
        command(operations, "--group \(Self.word(group))")
    }

    private func command(_ operations: [String], _ resource: String) -> String {
        "kafka-acls.sh --bootstrap-server \(servers) --command-config admin.properties --add --allow-principal "
            + Self.word(principal) + operations.map { " --operation \($0)" }.joined() + " \(resource)"
    }

    /// What an administrator runs against a weakness of `TopicDurability`.
    func fix(_ weakness: String, of topics: [String]) -> String {
        let admin = "--bootstrap-server \(servers) --command-config admin.properties"
        if weakness.hasPrefix("replication") {
            return "list three brokers for each partition in FILE, and run kafka-reassign-partitions.sh \(admin) "
                + "--reassignment-json-file FILE --execute; on a cluster of fewer than three brokers set durability.development: true"
        }
        let setting =
            weakness.hasPrefix("min.insync.replicas")
            ? "min.insync.replicas=2" : "unclean.leader.election.enable=false"
        let command = "kafka-configs.sh \(admin) --alter --entity-type topics --add-config \(setting) --entity-name"
        guard topics.count > 1 else { return "\(command) \(Self.word(topics.first ?? ""))" }
        return "for topic in \(topics.map(Self.word).joined(separator: " ")); do \(command) $topic; done"
    }

    /// A word of a shell.
    private static func word(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy {
            (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0)
                || "-._:@%+=/,".utf8.contains($0)
        }
        return isPlain ? text : "'\(text.replacing("'", with: "'\\''"))'"
    }

    // MARK: The way to the cluster

    /// Whether logins with SCRAM fail with this librdkafka: before 2.6.1 it sends a nonce that brokers with the fix of
    /// CVE-2024-56128 refuse (librdkafka, pull request 4895).
    package var scramTrouble: String? {
        guard mechanism.hasPrefix("SCRAM"), LibRDKafka.versionNumber < 0x0206_01ff else { return nil }
        return
            "librdkafka \(LibRDKafka.version) cannot log in with \(mechanism) to Kafka 4, nor to any broker with the fix of "
            + "CVE-2024-56128, which then calls a right password wrong: use librdkafka 2.6.1 or later, or PLAIN over TLS"
    }

    /// Why a cluster could not be reached, and which setting to look at.
    package func explain(_ reason: String) -> String {
        func says(_ text: String) -> Bool { reason.contains(text) }
        let advice: String? =
            if says("certificate verify failed") || says("could not be verified") {
                "kafka.properties.ssl.ca.location must name the authority that signed the brokers' certificates, and these "
                    + "must be in date and for the names in kafka.bootstrapServers: "
                    + "openssl s_client -connect \(firstServer) shows them"
            } else if says("SASL authentication error") || says("Authentication failed") {
                scramTrouble
                    ?? "the cluster does not take what kafka.properties.sasl.username and sasl.password say for \(mechanism)"
            } else if says("SASL mechanism") || says("UNSUPPORTED_SASL_MECHANISM") {
                "kafka.properties.sasl.mechanism is \(mechanism), which this listener does not offer"
            } else if says("key values mismatch") {
                "the key of kafka.properties.ssl.key.location does not belong to the certificate of ssl.certificate.location"
            } else if says("ssl.key.location failed") {
                "the key cannot be read: it must be PEM, and have its passphrase in kafka.properties.ssl.key.password (or its "
                    + "file) if it has one"
            } else if says("ssl.certificate.location failed") || says("ssl.ca.location failed") {
                "the file must hold a certificate in PEM"
            } else if says("certificate required") || (says("alert") && says("SSL") && !hasCertificate) {
                "the cluster asks for a client certificate: kafka.properties.ssl.certificate.location and ssl.key.location"
            } else if says("alert"), says("SSL"), says("certificate") || says("unknown ca") {
                "the cluster does not take the client certificate of kafka.properties.ssl.certificate.location: "
                    + "it must be in date, and signed by an authority that the cluster knows"
            } else if says("SSL handshake failed") || says("SSL_HANDSHAKE") {
                "is this a listener with TLS? kafka.properties.security.protocol says so"
            } else if says("transport failure (_TRANSPORT)") || says("(_TIMED_OUT)") {
                "no broker of \(servers) has answered in time: what listens there may be no Kafka, or a firewall swallows the "
                    + "way to it; see kafka.bootstrapServers"
            } else if says("Connection refused") {
                "nothing listens there: see kafka.bootstrapServers"
            } else if says("Failed to resolve") {
                "the name is not known on this machine: see kafka.bootstrapServers"
            } else if says("Disconnected"), !isEncrypted {
                "does this listener want TLS? Then kafka.properties.security.protocol is ssl or sasl_ssl"
            } else {
                nil
            }
        return reason + (advice.map { "; \($0)" } ?? "")
    }

    private var firstServer: String { String(servers.prefix { $0 != "," }) }
}
