internal import CSMSBridgeRDKafka

/// What any client of a cluster needs.
package struct ClientConfiguration: Sendable {
    /// `host:port`, comma-separated.
    package var bootstrapServers: String
    /// How the client calls itself in the brokers' logs and quotas, unless the properties say it with `client.id`.
    package var clientID: String
    /// Further librdkafka properties, as its CONFIGURATION.md names them. They are applied first, so that what a client
    /// of this module sets for its own guarantees always stands.
    package var properties: [String: String]

    package init(bootstrapServers: String, clientID: String = "smsbridge", properties: [String: String] = [:]) {
        self.bootstrapServers = bootstrapServers
        self.clientID = clientID
        self.properties = properties
    }

    /// What librdkafka thinks of the properties: one entry for each that it does not know or does not take, with the
    /// name and the problem. Values are left out, because they may be secret.
    package func propertyProblems() -> [(name: String, problem: String)] {
        guard let conf = rd_kafka_conf_new() else { return [] }
        defer { rd_kafka_conf_destroy(conf) }
        return properties.sorted { $0.key < $1.key }.compactMap { name, value in
            var text = [CChar](repeating: 0, count: 512)
            switch rd_kafka_conf_set(conf, name, value, &text, text.count) {
            case RD_KAFKA_CONF_OK: return nil
            case RD_KAFKA_CONF_UNKNOWN: return (name, "librdkafka \(LibRDKafka.version) has no such property")
            default: return (name, "librdkafka \(LibRDKafka.version) does not take this value")
            }
        }
    }
}

/// The librdkafka in this process.
package enum LibRDKafka {
    /// Its version at run time, such as `2.0.2`: a shared library, so not what was compiled against.
    package static var version: String {
        String(cString: rd_kafka_version_str())
    }

    /// Properties that have no value until they are given one: librdkafka's own list of what is set leaves them out.
    private static let unsetNames = [
        "client.rack", "debug", "group.instance.id", "sasl.kerberos.keytab", "sasl.oauthbearer.client.id",
        "sasl.oauthbearer.client.secret", "sasl.oauthbearer.config", "sasl.oauthbearer.extensions",
        "sasl.oauthbearer.scope", "sasl.oauthbearer.token.endpoint.url", "sasl.password", "sasl.username",
        "ssl.ca.location", "ssl.ca.pem", "ssl.certificate.location", "ssl.certificate.pem", "ssl.cipher.suites",
        "ssl.crl.location", "ssl.curves.list", "ssl.engine.id", "ssl.engine.location", "ssl.key.location",
        "ssl.key.password", "ssl.key.pem", "ssl.keystore.location", "ssl.keystore.password", "ssl.providers",
        "ssl.sigalgs.list",
    ]

    /// The properties that it knows.
    package static var propertyNames: [String] {
        guard let conf = rd_kafka_conf_new() else { return [] }
        defer { rd_kafka_conf_destroy(conf) }
        var count = 0
        guard let pairs = rd_kafka_conf_dump(conf, &count) else { return unsetNames }
        defer { rd_kafka_conf_dump_free(pairs, count) }
        let names = stride(from: 0, to: count, by: 2).compactMap { pairs[$0].map { String(cString: $0) } }
        // A release may lack some of them, and says so when one is set.
        let known = unsetNames.filter { rd_kafka_conf_set(conf, $0, "", nil, 0) != RD_KAFKA_CONF_UNKNOWN }
        return Set(names).union(known).sorted()
    }

    /// The version as 0xMMmmrrxx, to compare.
    package static var versionNumber: Int32 {
        rd_kafka_version()
    }
}

/// A configuration object of librdkafka on its way into a client.
struct ClientConf: ~Copyable {
    private let pointer: OpaquePointer

    init(_ configuration: ClientConfiguration, events: Int32) throws(KafkaError) {
        pointer = rd_kafka_conf_new()
        try set("client.id", configuration.clientID)
        for (name, value) in configuration.properties.sorted(by: { $0.key < $1.key }) {
            try set(name, value)
        }
        try set("bootstrap.servers", configuration.bootstrapServers)
        try set("log.queue", "true")
        rd_kafka_conf_set_events(pointer, events)
    }

    deinit {
        rd_kafka_conf_destroy(pointer)
    }

    func set(_ name: String, _ value: String) throws(KafkaError) {
        var text = [CChar](repeating: 0, count: 512)
        let result = rd_kafka_conf_set(pointer, name, value, &text, text.count)
        guard result != RD_KAFKA_CONF_OK else { return }
        if result == RD_KAFKA_CONF_UNKNOWN {
            throw KafkaError(.invalidArgument, "kafka.properties: librdkafka does not know the property '\(name)'")
        }
        // librdkafka's text repeats the value, which may be a password.
        throw KafkaError(.invalidArgument, "kafka.properties: librdkafka refuses the value of '\(name)'")
    }

    /// The configuration itself, for the calls that this type does not wrap.
    func withPointer(_ body: (OpaquePointer) -> Void) {
        body(pointer)
    }

    /// Makes the client, which takes the configuration over.
    ///
    /// - Parameter watch: adds interceptors, which no copy of a configuration takes along.
    consuming func makeClient(
        _ type: rd_kafka_type_t, countsConnections: Bool = false, watch: (OpaquePointer) -> Void = { _ in }
    ) throws(KafkaError) -> Client {
        var text = [CChar](repeating: 0, count: 512)
        // A client owns its configuration; a failed rd_kafka_new leaves it to us. So it gets a copy, and this one is
        // freed as always.
        let copy = rd_kafka_conf_dup(pointer)
        if let copy { watch(copy) }
        let counter = countsConnections ? ConnectionCounter() : nil
        if let copy { counter?.install(in: copy) }
        guard let handle = rd_kafka_new(type, copy, &text, text.count) else {
            let error = KafkaError(rd_kafka_last_error(), string(text))
            rd_kafka_conf_destroy(copy)
            throw error
        }
        return Client(handle, counter: counter)
    }
}

/// A C string in an array, without what follows its end.
func string(_ text: [CChar]) -> String {
    text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
}
