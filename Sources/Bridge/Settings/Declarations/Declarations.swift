extension Declaration {
    /// Every setting, in the order of the reference.
    package static let all: [Declaration] =
        http + admin + kafka + topics + auth + events + publish + spool + others

    /// The sections in the order of the reference, with what they are about.
    package static let sections: [(name: String, title: String)] = [
        ("http", "The public port, on which callbacks arrive"),
        ("admin", "The private port: health and metrics"),
        ("kafka", "The cluster"),
        ("topics", "The topics that the bridge writes to"),
        ("auth", "Who may call"),
        ("events", "How callbacks are read"),
        ("publish", "How events go to Kafka"),
        ("spool", "The durable local queue"),
        ("durability", "What is asked of the topics"),
        ("shutdown", "How the process ends"),
        ("log", "The log on standard error"),
    ]

    private static let timeout = ValueType.duration(.milliseconds(100)...(.seconds(600)))

    private static let http: [Declaration] = [
        .single(
            "http.host", \.http.host, .address, also: ["http.address", "http.listen", "http.bind"],
            "Address to listen on. `0.0.0.0` is every IPv4 address, `::` every address. A name is looked up once, at start, and all its addresses are used."
        ),
        .single("http.port", \.http.port, .port, also: ["port"], "Port of the public side."),
        .single(
            "http.basePath", \.http.basePath, .basePath, also: ["http.prefix", "http.root", "http.path"],
            "Path prefix of all public routes: with `/bridge`, callbacks go to `/bridge/webhooks`. Any number of segments, in any case."
        ),
        .single(
            "http.maxBodyBytes", \.http.maxBodyBytes, .bytes(1 << 10...1 << 20), also: ["http.maxBodySize"],
            "The largest body of a request. A larger one is answered 413."),
        .single(
            "http.maxHeaderBytes", \.http.maxHeaderBytes, .bytes(1 << 10...1 << 20), also: ["http.maxHeaderSize"],
            "All header lines of a request together. More are answered 431."),
        .single(
            "http.maxHeaders", \.http.maxHeaders, .integer(8...1_000), also: ["http.maxHeaderCount"],
            "The most header lines of a request. More are answered 431."),
        .single(
            "http.maxTargetBytes", \.http.maxTargetBytes, .bytes(256...1 << 20),
            also: ["http.maxUriBytes", "http.maxUrlBytes"],
            "The longest request target (path and query). A longer one is answered 414. Callbacks by GET carry their data here."
        ),
        .single(
            "http.headTimeout", \.http.headTimeout, timeout,
            "How long a client may take for the head of a request, from the connection's begin or from the first byte after the answer before."
        ),
        .single(
            "http.bodyTimeout", \.http.bodyTimeout, timeout, also: ["http.readTimeout", "http.requestTimeout"],
            "How long a client may take for the body of a request."),
        .single(
            "http.writeTimeout", \.http.writeTimeout, timeout,
            "How long a client may take to read an answer; then the connection is closed."),
        .single(
            "http.idleTimeout", \.http.idleTimeout, .duration(.seconds(1)...(.seconds(86_400))),
            also: ["http.keepAlive", "http.keepAliveTimeout"],
            "How long a connection may be idle between two requests. Longer than the proxy in front keeps its connections ([connect.md](connect.md#keep-alive)), else it sends a request into a connection that is just being closed, and answers 502. Idle connections are bounded by number: at `http.maxConnections` the one that has been idle for longest is closed."
        ),
        .single(
            "http.maxConnections", \.http.maxConnections, .integer(1...1_000_000),
            "The most open connections. For one more the one that has been idle for longest is closed; when none is idle, the new one is answered 503 and closed, with TLS or the PROXY protocol without an answer."
        ),
        .single(
            "http.maxUnfinishedBytes", \.http.maxUnfinishedBytes, .bytes(64 << 10...16 << 30),
            "All requests that are not whole yet together; beyond it they are answered 503. Not below `http.maxBodyBytes`."
        ),
        .single(
            "http.backlog", \.http.backlog, .integer(1...65_535),
            "Connections that the system may hold until they are accepted. The system has a bound of its own (`net.core.somaxconn`)."
        ),
        .list(
            "http.trustedProxies", \.http.trustedProxies, of: .addressRange, count: 0...1_000, orText: true,
            also: ["http.proxies", "http.trustedProxy", "auth.trustedProxies"],
            "Addresses and ranges of the balancers and proxies in front: what they say of where a client comes from is believed, nobody else's word is. An IPv6 range holds no IPv4 address; in YAML an address that begins with a colon stands in quotes."
        ),
        .single(
            "http.trustAllProxies", \.http.trustAllProxies, .flag, also: ["http.trustAll", "http.trustAnyProxy"],
            "Allows `http.trustedProxies` to hold every address (`0.0.0.0/0`, `::/0`): then every caller may claim any address, and `auth.addresses` proves nothing. Only where nothing but proxies can reach the port."
        ),
        .single(
            "http.proxyProtocol", \.http.proxyProtocol, .flag, also: ["http.proxy", "http.acceptProxyProtocol"],
            "Every connection begins with a header of the PROXY protocol (version 1 or 2), from an address in `http.trustedProxies`, which must be given; others are closed. For balancers that pass TCP through. See `docs/secure.md`."
        ),
        .single(
            "http.tls.certificate", \.http.tls.certificate, .optionalFilePath,
            also: [
                "http.tls.cert", "http.tls.certFile", "http.tls.certificateFile", "tls.certificate", "http.certificate",
            ],
            "File with the server's certificate and, behind it, those up to the root, in PEM. With it the public port speaks TLS (1.2 and 1.3), and nothing else. Read again when it changes. See `docs/secure.md`."
        ),
        .single(
            "http.tls.key", \.http.tls.key, .optionalFilePath,
            also: ["http.tls.keyFile", "http.tls.privateKey", "tls.key"],
            "File with the private key of that certificate, in PEM, without a password. It may be the same file. Read again when it changes."
        ),
        .single(
            "http.tls.clientCa", \.http.tls.clientCa, .optionalFilePath,
            also: [
                "http.tls.clientCA", "http.tls.ca", "http.tls.caFile", "http.tls.clientCaFile",
                "http.tls.clientAuthorities",
            ],
            "File with the certificates of authorities, in PEM: a client must show a certificate that one of them has signed. For gateways of your own in front; SMSPortal shows none. Read again when it changes."
        ),
        .single(
            "http.tls.clientCertificate", \.http.tls.clientCertificate, .word("word"),
            also: ["http.tls.clientAuth", "http.tls.verifyClient"],
            "Whether a client without a certificate is turned away. `optional` is for the time of a change: what is shown must be right, and `smsbridge_tls_client_certificates_total` counts who shows one."
        ),
        .single(
            "http.tls.handshakeTimeout", \.http.tls.handshakeTimeout, timeout,
            "How long a client may take for the TLS handshake, from the connection's begin."),
        .single(
            "http.tls.maxHandshakes", \.http.tls.maxHandshakes, .integer(8...100_000),
            "The most TLS handshakes in progress. For one more the one is ended whose client has been waited for longest."
        ),
    ]

    private static let admin: [Declaration] = [
        .single(
            "admin.host", \.admin.host, .address, also: ["admin.address", "metrics.host"],
            "Address to listen on. Health and metrics say nothing secret, but are nobody's business: in a container give `0.0.0.0` and publish the port to the cluster only."
        ),
        .single("admin.port", \.admin.port, .port, also: ["metrics.port"], "Port of the private side."),
    ]

    private static let kafka: [Declaration] = [
        .list(
            "kafka.bootstrapServers", \.kafka.bootstrapServers, of: .broker, count: 1...100, orText: true,
            also: [
                "kafka.brokers", "kafka.bootstrap.servers", "kafka.servers", "bootstrap.servers", "brokers",
                "kafka.hosts", "kafka.bootstrap",
            ],
            "Some brokers of the cluster; the others are found through them. Required by every command that talks to Kafka."
        ),
        .kafkaProperties(
            "kafka.properties",
            "Properties of librdkafka, as its `CONFIGURATION.md` names them: `security.protocol`, `sasl.mechanism`, `sasl.username`, `ssl.ca.location`, … In the environment each has its own name, in which an underscore stands for a dot. Those that would break a promise of the bridge are refused: see below."
        ),
        .kafkaPropertyFiles(
            "kafka.propertyFiles",
            "Properties of librdkafka whose values are in files (each whole file is one value, without one line break at its end). For the secret ones the environment has a name of its own each, such as `SMSBRIDGE_KAFKA_PROPERTIES_SASL_PASSWORD_FILE`."
        ),
    ]

    private static let topics: [Declaration] = [
        .single(
            "topics.prefix", \.topics.prefix, .topicPrefix,
            also: ["kafka.prefix", "topic.prefix", "kafka.topicPrefix"],
            "What the names of all topics begin with: `smsportal` makes `smsportal.reply`."),
        .single(
            "topics.create", \.topics.create, .flag, also: ["topics.autoCreate", "kafka.createTopics"],
            "Creates missing topics at start, with the three settings below. If false, missing topics are named in the log, and their events wait in the spool; without a spool `serve` does not start."
        ),
        .single(
            "topics.partitions", \.topics.partitions, .integer(1...10_000),
            "Partitions of a topic that is created."),
        .single(
            "topics.replication", \.topics.replication, .integer(1...100), also: ["topics.replicationFactor"],
            "Replicas of a topic that is created. If the cluster has fewer brokers, as many as it has, with a warning."
        ),
        .single(
            "topics.retention", \.topics.retention, .duration(.seconds(60)...(.seconds(36_500 * 86_400))),
            also: ["topics.retention.ms"],
            "How long records stay in a topic that is created."),
    ]

    /// What SMSPortal can send in a header and nothing on the way changes.
    private static let headerSecret: @Sendable (String) -> String? = { text in
        if text.isEmpty { return "it is empty" }
        if text.utf8.count > 1_024 { return "it has more than 1024 characters" }
        if text.hasPrefix(" ") || text.hasSuffix(" ") { return "it begins or ends with a space" }
        return text.utf8.allSatisfy { (0x20...0x7E).contains($0) }
            ? nil : "it has characters other than printable ASCII"
    }

    private static let urlSecret: @Sendable (String) -> String? = { text in
        if text.isEmpty { return "it is empty" }
        if text.utf8.count > 1_024 { return "it has more than 1024 characters" }
        return text.utf8.allSatisfy(isUnreserved)
            ? nil : "it has characters other than letters, digits, -, ., _ and ~, which mean themselves in a URL"
    }

    private static let pathSecret: @Sendable (String) -> String? = { text in
        if let wrong = urlSecret(text) { return wrong }
        if text == "." || text == ".." { return "it is a step of a path (. or ..)" }
        return eventTypes.contains(text.lowercased()) ? "it is named like an event type" : nil
    }

    /// The names of event types in paths.
    static let eventTypes = ["delivery-status", "reply", "short-code", "url-preview", "url-click"]

    private static let auth: [Declaration] = [
        .single(
            "auth.mode", \.auth.mode, .word("mode"), also: ["auth.enforce", "auth.dryRun"],
            "`enforce` answers 401 to whoever does not belong. `log` lets everybody in and counts by kind what `enforce` would have refused (`smsbridge_authentication_failures_total`): for the time of a change, see [who gets in](secure.md)."
        ),
        .single(
            "auth.header.name", \.auth.header.name, .headerName,
            "The header in which callers send a secret, in any case. Not one that SMSPortal does not let its customers set."
        ),
        .secrets(
            "auth.header.secrets", \.auth.header.secrets, file: \.auth.header.secretsFile, check: headerSecret,
            expected: "at most 2 secrets of printable ASCII characters", also: ["auth.header.secret", "auth.secrets"],
            "Values of that header, any of which is valid: two while one replaces the other. Compared as a whole, `Bearer ` included if callers send it."
        ),
        .secretsFile(
            "auth.header.secretsFile", \.auth.header.secretsFile, secrets: \.auth.header.secrets, check: headerSecret,
            "The same from a file, one a line; empty lines are skipped. It is read again when it changes."),
        .secretsOfAccounts(
            "auth.header.accounts", \.auth.header.accounts, secrets: \.auth.header.accountSecrets, check: headerSecret,
            "Instead of the two above, for several accounts of SMSPortal: such a file for each, by the name that it has in `ce_source`."
        ),
        .secrets(
            "auth.path.secrets", \.auth.path.secrets, file: \.auth.path.secretsFile, check: pathSecret,
            expected: "at most 2 secrets of letters, digits, -, ., _ and ~; none named like an event type",
            also: ["auth.path.secret"],
            "Secrets as a segment of the path: `/webhooks/<secret>/<event type>`."),
        .secretsFile(
            "auth.path.secretsFile", \.auth.path.secretsFile, secrets: \.auth.path.secrets, check: pathSecret,
            "The same from a file, one a line; empty lines are skipped. It is read again when it changes."),
        .secretsOfAccounts(
            "auth.path.accounts", \.auth.path.accounts, secrets: \.auth.path.accountSecrets, check: pathSecret,
            "Instead of the two above, for several accounts of SMSPortal: such a file for each, by the name that it has in `ce_source`."
        ),
        .secrets(
            "auth.query.secrets", \.auth.query.secrets, file: \.auth.query.secretsFile, check: urlSecret,
            expected: "at most 2 secrets of letters, digits, -, ., _ and ~", also: ["auth.query.secret"],
            "Secrets in the query: `?secret=<secret>`."),
        .secretsFile(
            "auth.query.secretsFile", \.auth.query.secretsFile, secrets: \.auth.query.secrets, check: urlSecret,
            "The same from a file, one a line; empty lines are skipped. It is read again when it changes."),
        .secretsOfAccounts(
            "auth.query.accounts", \.auth.query.accounts, secrets: \.auth.query.accountSecrets, check: urlSecret,
            "Instead of the two above, for several accounts of SMSPortal: such a file for each, by the name that it has in `ce_source`."
        ),
        .secrets(
            "auth.signature.secrets", \.auth.signature.secrets, file: \.auth.signature.secretsFile, check: headerSecret,
            expected: "at most 2 secrets of printable ASCII characters",
            also: ["auth.signature.secret", "auth.signature.key", "auth.hmac.secret", "auth.hmac.secrets"],
            "The secret of the account's webhook signatures, as the Control Panel shows it. SMSPortal ends the old one at once when it makes a new one: give both for the time of the change."
        ),
        .secretsFile(
            "auth.signature.secretsFile", \.auth.signature.secretsFile, secrets: \.auth.signature.secrets,
            check: headerSecret,
            "The same from a file, one a line; empty lines are skipped. It is read again when it changes."),
        .secretsOfAccounts(
            "auth.signature.accounts", \.auth.signature.accounts, secrets: \.auth.signature.accountSecrets,
            check: headerSecret,
            "Instead of the two above, for several accounts of SMSPortal: such a file for each, by the name that it has in `ce_source`."
        ),
        .single(
            "auth.signature.header", \.auth.signature.header, .headerNameOrNone,
            also: ["auth.signature.name", "auth.signature.headerName"],
            "The header that carries the signature; required with a secret for it. SMSPortal does not publish its name: [how to find it](secure.md#the-vendors-signature)."
        ),
        .single(
            "auth.signature.timestampHeader", \.auth.signature.timestampHeader, .headerNameOrNone,
            also: ["auth.signature.timestamp"],
            "The header that carries the time of the signature, where it is not in the signature's own header."),
        .single(
            "auth.signature.value", \.auth.signature.value, .signatureValue,
            also: ["auth.signature.format", "auth.signature.prefix"],
            "What stands in the signature's header: `{signature}`, `{timestamp}`, and `{any}` for what does not matter, as in `sha256={signature}` or `t={timestamp},v1={signature}`."
        ),
        .single(
            "auth.signature.signed", \.auth.signature.signed, .signedText, also: ["auth.signature.payload"],
            "What is signed. `{method}` is `GET` or `POST`, `{timestamp}` stands as it came, `{body}` is empty for GET."
        ),
        .single(
            "auth.signature.url", \.auth.signature.url, .signedURL,
            "What `{url}` is in it: `{base}` is `auth.signature.baseUrl`; `{path}` the path as it comes; `{tail}` what follows `/webhooks` in it, for proxies that change what is before; `{query}` the query with its question mark, or nothing. Without `{query}` a callback that carries parameters there is refused: they would not be signed."
        ),
        .single(
            "auth.signature.baseUrl", \.auth.signature.baseUrl, .baseURL,
            also: ["auth.signature.base", "http.publicUrl", "http.baseUrl", "auth.signature.baseURL"],
            "The address that the Control Panel has for this service, up to what `{path}` begins with: `https://sms.example.com`."
        ),
        .single(
            "auth.signature.encoding", \.auth.signature.encoding, .word("encoding"),
            "How the signature is written: 64 hexadecimal digits, or Base64 of either alphabet, padded or not; `auto` takes both, which no text is at once."
        ),
        .single(
            "auth.signature.timestampUnit", \.auth.signature.timestampUnit, .word("unit"),
            also: ["auth.signature.unit"],
            "Whether the time counts seconds or milliseconds since 1970; `auto` tells by its size."),
        .single(
            "auth.signature.keyEncoding", \.auth.signature.keyEncoding, .word("encoding"),
            "Whether the secret is the key as it is written, or the key in hexadecimal digits or Base64."),
        .single(
            "auth.signature.window", \.auth.signature.window, .duration(.seconds(1)...(.seconds(86_400))),
            also: ["auth.signature.tolerance", "auth.signature.skew"],
            "How far the time of a signature may be from this machine's, before and after; older and later ones are refused."
        ),
        .list(
            "auth.addresses", \.auth.addresses, of: .callerAddress, count: 0...1_000, orText: true,
            also: ["auth.allow", "auth.allowlist", "auth.ips", "auth.cidrs", "http.allow", "auth.sourceAddresses"],
            "From where callers may come: addresses, ranges, and the word `smsportal` for the addresses that SMSPortal publishes (102.205.164.49 and 102.205.166.49, since 20 October 2025). Behind proxies give `http.trustedProxies` too. Asked for beside the secrets: alone it lets in every customer of SMSPortal."
        ),
        .single(
            "auth.none", \.auth.none, .flag, also: ["auth.disabled", "auth.anonymous", "auth.enabled"],
            "Lets anybody in. Without it `serve` refuses to start when neither a secret nor `auth.addresses` is configured."
        ),
    ]

    private static func fields(of type: String, _ target: Target<[String: String]>) -> Declaration {
        .map(
            "events.\(type).fields", target, name: .parameter, value: .parameter, ignoringCase: true,
            "For callers who name the parameters of `\(type)` otherwise: the caller's key (in any case) → the field of the record."
        )
    }

    private static let events: [Declaration] = [
        .single(
            "events.account", \.events.account, .account, also: ["events.source"],
            "Names the SMSPortal account in the records: `ce_source` is `/smsportal/<account>`."),
        .list(
            "events.optOut.phrases", \.events.optOut.phrases, of: .phrase, count: 0...100,
            "A reply that is one of these as a whole, whatever its case and punctuation, is marked `optOut`. The default is the vendor's list of examples."
        ),
        fields(of: "delivery-status", \.events.deliveryStatus.fields),
        fields(of: "reply", \.events.reply.fields),
        fields(of: "short-code", \.events.shortCode.fields),
        fields(of: "url-preview", \.events.urlPreview.fields),
        fields(of: "url-click", \.events.urlClick.fields),
    ]

    private static let publish: [Declaration] = [
        .single(
            "publish.linger", \.publish.linger, .duration(.zero...(.seconds(1))), also: ["kafka.linger"],
            "How long a batch for Kafka is gathered. Below `publish.hedge`."),
        .single(
            "publish.hedge", \.publish.hedge, .duration(.milliseconds(2)...(.seconds(9))),
            "How long Kafka may take before an event goes to the spool. Below `publish.deadline`."),
        .single(
            "publish.deadline", \.publish.deadline, .duration(.milliseconds(10)...(.milliseconds(9_900))),
            also: ["publish.timeout"],
            "When a caller has an answer at the latest, counted from its last byte. SMSPortal gives up after 10 s and punishes slow endpoints long before."
        ),
        .single(
            "publish.maxInFlight", \.publish.maxInFlight, .integer(1...10_000_000),
            "The most events that wait for Kafka's acknowledgement. Beyond it events are spooled, or answered 503."),
        .single(
            "publish.maxInFlightBytes", \.publish.maxInFlightBytes, .bytes(64 << 10...16 << 30),
            "The events that wait for Kafka's acknowledgement together. Not below `http.maxBodyBytes`."),
        .single(
            "publish.batchBytes", \.publish.batchBytes, .bytes(16 << 10...900_000),
            also: ["publish.batchSize", "kafka.batchBytes", "kafka.batchSize"],
            "The most that is gathered in one batch for Kafka; an event that is larger makes one by itself. Below the topics' `max.message.bytes`, which is a limit on batches: a batch beyond it is refused with all that is in it."
        ),
    ]

    private static let spool: [Declaration] = [
        .single(
            "spool.path", \.spool.path, .filePath, also: ["spool.directory", "spool.dir"],
            "Directory of the spool. The default is `$STATE_DIRECTORY` where systemd sets it, else `/var/lib/smsbridge`."
        ),
        .single(
            "spool.none", \.spool.none, .flag, also: ["spool.disabled", "spool.enabled"],
            "Goes without a spool: while Kafka is away, callers get 503."),
        .single(
            "spool.maxBytes", \.spool.maxBytes, .bytes(16 << 20...1 << 50), also: ["spool.maxSize"],
            "The most that the records in the spool may take; one topic may take half of it. At the bound, events that Kafka does not take are answered 503."
        ),
        .single(
            "spool.anyFileSystem", \.spool.anyFileSystem, .flag, also: ["spool.allowTmpfs"],
            "Takes a directory on tmpfs or on a network file system, too, which keep nothing over a crash or cannot be relied on to."
        ),
    ]

    private static let others: [Declaration] = [
        .single(
            "durability.strict", \.durability.strict, .flag,
            "Refuses to serve when a topic could lose an acknowledged event: replication below 3, `min.insync.replicas` below 2, unclean leader election, or a configuration that the cluster does not show. Events are answered 503, `/readyz` says why, and nothing that the spool holds is handed to such topics, until they are mended; without a spool it does not even start. Before Kafka has first answered, events wait in the spool. If false, it is only said."
        ),
        .single(
            "durability.interval", \.durability.interval, .duration(.seconds(1)...(.seconds(86_400))),
            "How often the topics are judged again while it serves, for the log, for `smsbridge_topic_durability` and for `durability.strict`."
        ),
        .single(
            "durability.audit", \.durability.audit, .flag,
            "Reads acknowledged records back and compares their event ids: the first of each partition after a new connection before it counts, then one a second. A mismatch is an alert, and recreates the producer. Needs the ACL operation Read on the topics."
        ),
        .single(
            "shutdown.delay", \.shutdown.delay, .duration(.zero...(.seconds(600))),
            "After SIGTERM: how long it serves on while `/readyz` and `/healthz` already say no, so that balancers turn away. Below `shutdown.deadline`."
        ),
        .single(
            "shutdown.grace", \.shutdown.grace, .duration(.zero...(.seconds(600))),
            "After `shutdown.delay` no new connections are accepted; this long, idle connections stay open, and a request that arrives on one is answered with `Connection: close`."
        ),
        .single(
            "shutdown.deadline", \.shutdown.deadline, .duration(.seconds(1)...(.seconds(3_600))),
            also: ["shutdown.timeout"],
            "After SIGTERM: when the process has ended at the latest. Below what the supervisor waits before it kills (Kubernetes: 30 s)."
        ),
        .single(
            "log.level", \.log.level, .word("level"), also: ["logging.level", "loglevel"],
            "The least level that is written."),
        .single(
            "log.format", \.log.format, .word("format"), also: ["logging.format"],
            "`text` is one line for a person, `json` one object a line, `auto` text on a terminal and JSON otherwise."),
        .single(
            "log.accessSample", \.log.accessSample, .integer(0...1_000_000),
            also: ["log.access", "log.accessLog", "http.accessLog", "log.requests"],
            "Access log: one of this many requests is logged with its status, route and duration; 0 logs none. Rejected requests are counted in the log either way."
        ),
    ]
}
