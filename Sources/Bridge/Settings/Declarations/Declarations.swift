internal import SMSPortalEvents

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
            "Listen address. `0.0.0.0` is every IPv4 address, `::` every address. A name is resolved once, at start, and all its addresses are used; those that the machine lacks are skipped with a warning."
        ),
        .single("http.port", \.http.port, .port, also: ["port"], "Port of the public side."),
        .single(
            "http.basePath", \.http.basePath, .basePath, also: ["http.prefix", "http.root", "http.path"],
            "Path prefix of all public routes: with `/bridge`, callbacks go to `/bridge/webhooks`. Any number of segments, in any case."
        ),
        .single(
            "http.maxBodyBytes", \.http.maxBodyBytes, .bytes(1 << 10...1 << 20), also: ["http.maxBodySize"],
            "Maximum request body size. Larger: 413."),
        .single(
            "http.maxHeaderBytes", \.http.maxHeaderBytes, .bytes(1 << 10...1 << 20), also: ["http.maxHeaderSize"],
            "Maximum size of all header lines. Larger: 431."),
        .single(
            "http.maxHeaders", \.http.maxHeaders, .integer(8...1_000), also: ["http.maxHeaderCount"],
            "Maximum number of header lines. More: 431."),
        .single(
            "http.maxTargetBytes", \.http.maxTargetBytes, .bytes(256...1 << 20),
            also: ["http.maxUriBytes", "http.maxUrlBytes"],
            "Maximum request target (path and query). Longer: 414. GET callbacks carry their data here."
        ),
        .single(
            "http.headTimeout", \.http.headTimeout, timeout,
            "Timeout for the request header, from accept or the first byte after the previous answer."
        ),
        .single(
            "http.bodyTimeout", \.http.bodyTimeout, timeout, also: ["http.readTimeout", "http.requestTimeout"],
            "How long a client may take for the body of a request."),
        .single(
            "http.writeTimeout", \.http.writeTimeout, timeout,
            "Timeout for reading an answer; then the connection is closed."),
        .single(
            "http.idleTimeout", \.http.idleTimeout, .duration(.seconds(1)...(.seconds(86_400))),
            also: ["http.keepAlive", "http.keepAliveTimeout"],
            "Idle timeout between two requests. Must be longer than the proxy in front keeps connections ([connect.md](connect.md#keep-alive)), else callers get 502. At `http.maxConnections` the longest idle connection is closed."
        ),
        .single(
            "http.maxConnections", \.http.maxConnections, .integer(1...1_000_000),
            "Maximum number of open connections. One more closes the longest idle one; if none is idle, it is answered 503 and closed, with TLS or the PROXY protocol without an answer."
        ),
        .single(
            "http.maxBufferedRequestBytes", \.http.maxBufferedRequestBytes, .bytes(64 << 10...16 << 30),
            also: ["http.maxUnfinishedBytes"],
            "Maximum memory for incomplete requests together. Beyond it: 503. Not below `http.maxBodyBytes`."
        ),
        .single(
            "http.backlog", \.http.backlog, .integer(1...65_535),
            "Connections that the system queues until they are accepted, also limited by `net.core.somaxconn`."
        ),
        .list(
            "http.trustedProxies", \.http.trustedProxies, of: .addressRange, count: 0...1_000, orText: true,
            also: ["http.proxies", "http.trustedProxy", "auth.trustedProxies"],
            "Addresses and ranges of trusted balancers and proxies. `X-Forwarded-For` and PROXY headers are honoured only from these. An IPv6 range holds no IPv4 address; in YAML an address that begins with a colon needs quotes."
        ),
        .single(
            "http.trustAllProxies", \.http.trustAllProxies, .flag, also: ["http.trustAll", "http.trustAnyProxy"],
            "Allows `http.trustedProxies` to hold every address (`0.0.0.0/0`, `::/0`). Every caller may then claim any address, and `auth.addresses` proves nothing: only where nothing but proxies can reach the port."
        ),
        .single(
            "http.proxyProtocol", \.http.proxyProtocol, .flag, also: ["http.proxy", "http.acceptProxyProtocol"],
            "Requires a PROXY protocol header (version 1 or 2) on every connection, from an address in `http.trustedProxies`. Other connections are closed. For balancers that forward TCP. See `docs/secure.md`."
        ),
        .path(
            "http.tls.certificate", \.http.tls.certificate, .optionalFilePath,
            also: [
                "http.tls.cert", "http.tls.certFile", "http.tls.certificateFile", "tls.certificate", "http.certificate",
            ],
            "File with the server's certificate followed by its chain, PEM. The public port then speaks TLS (1.2 and 1.3) only. Reloaded when it changes. See `docs/secure.md`."
        ),
        .path(
            "http.tls.key", \.http.tls.key, .optionalFilePath,
            also: ["http.tls.keyFile", "http.tls.privateKey", "tls.key"],
            "File with the certificate's private key, PEM, without a password. May be the same file. Reloaded when it changes."
        ),
        .path(
            "http.tls.clientCa", \.http.tls.clientCa, .optionalFilePath,
            also: [
                "http.tls.clientCA", "http.tls.ca", "http.tls.caFile", "http.tls.clientCaFile",
                "http.tls.clientAuthorities",
            ],
            "File with authorities that sign client certificates, PEM. Clients must present such a certificate; SMSPortal presents none. Reloaded when it changes."
        ),
        .single(
            "http.tls.clientCertificate", \.http.tls.clientCertificate, .word("word"),
            also: ["http.tls.clientAuth", "http.tls.verifyClient"],
            "Whether clients without a certificate are rejected. `optional` accepts them for a change; `smsbridge_tls_client_certificates_total` counts those with one."
        ),
        .single(
            "http.tls.handshakeTimeout", \.http.tls.handshakeTimeout, timeout,
            "Timeout for the TLS handshake, from accept."),
        .single(
            "http.tls.maxHandshakes", \.http.tls.maxHandshakes, .integer(8...100_000),
            "Maximum number of TLS handshakes in progress. One more closes the one that has waited longest for its client."
        ),
    ]

    private static let admin: [Declaration] = [
        .single(
            "admin.host", \.admin.host, .address, also: ["admin.address", "metrics.host"],
            "Listen address. The private port has no authentication: in a container use `0.0.0.0` and publish the port to the cluster only."
        ),
        .single("admin.port", \.admin.port, .port, also: ["metrics.port"], "Port of the private side."),
        .single(
            "admin.runbookUrl", \.admin.runbookUrl, .optionalURL, also: ["admin.runbook", "admin.runbookURL"],
            "URL of a page with `docs/runbook.md`, to which the alert names on the status page link. Empty: `/runbook` on the private port."
        ),
    ]

    private static let kafka: [Declaration] = [
        .list(
            "kafka.bootstrapServers", \.kafka.bootstrapServers, of: .broker, count: 1...100, orText: true,
            also: [
                "kafka.brokers", "kafka.bootstrap.servers", "kafka.servers", "bootstrap.servers", "brokers",
                "kafka.hosts", "kafka.bootstrap",
            ],
            "Initial brokers of the cluster. Required by every command that connects to Kafka."
        ),
        .kafkaProperties(
            "kafka.properties",
            "librdkafka properties, named as in its `CONFIGURATION.md`: `security.protocol`, `sasl.mechanism`, `sasl.username`, `ssl.ca.location`, … In the environment each has its own name, with underscores for dots. Some are rejected: see below."
        ),
        .kafkaPropertyFiles(
            "kafka.propertyFiles",
            "librdkafka properties whose values are in files (the whole file without one line break at its end). Secret ones also have environment names, such as `SMSBRIDGE_KAFKA_PROPERTIES_SASL_PASSWORD_FILE`."
        ),
    ]

    private static let topics: [Declaration] = [
        .single(
            "topics.prefix", \.topics.prefix, .topicPrefix,
            also: ["kafka.prefix", "topic.prefix", "kafka.topicPrefix"],
            "Topic name prefix: `smsportal` makes `smsportal.reply`."),
        .single(
            "topics.create", \.topics.create, .flag, also: ["topics.autoCreate", "kafka.createTopics"],
            "Creates missing topics at start, with the three settings below. If false, they are logged, and their events wait in the spool; without a spool `serve` does not start."
        ),
        .single(
            "topics.partitions", \.topics.partitions, .integer(1...10_000),
            "Partitions of a topic that is created."),
        .single(
            "topics.replication", \.topics.replication, .integer(1...100), also: ["topics.replicationFactor"],
            "Replicas of a created topic. With fewer brokers, as many as there are, with a warning."
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
    static let eventTypes = EventType.recognised.map(\.rawValue)

    private static let auth: [Declaration] = [
        .single(
            "auth.mode", \.auth.mode, .word("mode"), also: ["auth.enforce", "auth.dryRun"],
            "Whether missing or wrong proofs are rejected. `enforce` answers 401. `log` accepts every request and counts what `enforce` would reject: [secure.md](secure.md#introduce-authentication-authmode-log)."
        ),
        .single(
            "auth.header.name", \.auth.header.name, .headerName,
            "Name of the header with the secret, in any case. Not one that SMSPortal does not let its customers set."
        ),
        .secrets(
            "auth.header.secrets", \.auth.header.secrets, file: \.auth.header.secretsFile, check: headerSecret,
            expected: "at most 2 secrets of printable ASCII characters", also: ["auth.header.secret", "auth.secrets"],
            "Accepted values of that header; two during a change. The whole value is compared, including `Bearer ` if callers send it."
        ),
        .secretsFile(
            "auth.header.secretsFile", \.auth.header.secretsFile, secrets: \.auth.header.secrets, check: headerSecret,
            "File with the secrets, one a line; empty lines are skipped. Reloaded when it changes."),
        .secretsOfAccounts(
            "auth.header.accounts", \.auth.header.accounts, secrets: \.auth.header.accountSecrets, check: headerSecret,
            "Files of secrets by account, instead of the two above. The account is part of `ce_source`."
        ),
        .secrets(
            "auth.path.secrets", \.auth.path.secrets, file: \.auth.path.secretsFile, check: pathSecret,
            expected: "at most 2 secrets of letters, digits, -, ., _ and ~; none named like an event type",
            also: ["auth.path.secret"],
            "Secrets as a segment of the path: `/webhooks/<secret>/<event type>`."),
        .secretsFile(
            "auth.path.secretsFile", \.auth.path.secretsFile, secrets: \.auth.path.secrets, check: pathSecret,
            "File with the secrets, one a line; empty lines are skipped. Reloaded when it changes."),
        .secretsOfAccounts(
            "auth.path.accounts", \.auth.path.accounts, secrets: \.auth.path.accountSecrets, check: pathSecret,
            "Files of secrets by account, instead of the two above. The account is part of `ce_source`."
        ),
        .secrets(
            "auth.query.secrets", \.auth.query.secrets, file: \.auth.query.secretsFile, check: urlSecret,
            expected: "at most 2 secrets of letters, digits, -, ., _ and ~", also: ["auth.query.secret"],
            "Secrets in the query: `?secret=<secret>`."),
        .secretsFile(
            "auth.query.secretsFile", \.auth.query.secretsFile, secrets: \.auth.query.secrets, check: urlSecret,
            "File with the secrets, one a line; empty lines are skipped. Reloaded when it changes."),
        .secretsOfAccounts(
            "auth.query.accounts", \.auth.query.accounts, secrets: \.auth.query.accountSecrets, check: urlSecret,
            "Files of secrets by account, instead of the two above. The account is part of `ce_source`."
        ),
        .secrets(
            "auth.signature.secrets", \.auth.signature.secrets, file: \.auth.signature.secretsFile, check: headerSecret,
            expected: "at most 2 secrets of printable ASCII characters",
            also: ["auth.signature.secret", "auth.signature.key", "auth.hmac.secret", "auth.hmac.secrets"],
            "Secret of the account's webhook signatures, from the Control Panel. A new one invalidates the old one at once: give both during a change."
        ),
        .secretsFile(
            "auth.signature.secretsFile", \.auth.signature.secretsFile, secrets: \.auth.signature.secrets,
            check: headerSecret,
            "File with the secrets, one a line; empty lines are skipped. Reloaded when it changes."),
        .secretsOfAccounts(
            "auth.signature.accounts", \.auth.signature.accounts, secrets: \.auth.signature.accountSecrets,
            check: headerSecret,
            "Files of secrets by account, instead of the two above. The account is part of `ce_source`."
        ),
        .single(
            "auth.signature.header", \.auth.signature.header, .headerNameOrNone,
            also: ["auth.signature.name", "auth.signature.headerName"],
            "Name of the signature's header. Required with a secret. SMSPortal does not publish it: [how to find it](secure.md#the-vendors-signature)."
        ),
        .single(
            "auth.signature.timestampHeader", \.auth.signature.timestampHeader, .headerNameOrNone,
            also: ["auth.signature.timestamp"],
            "Name of the header with the signature's time, if it is not in the signature's own header."),
        .single(
            "auth.signature.value", \.auth.signature.value, .signatureValue,
            also: ["auth.signature.format", "auth.signature.prefix"],
            "Format of the signature's header: `{signature}`, `{timestamp}`, and `{any}` for parts to ignore, as in `sha256={signature}` or `t={timestamp},v1={signature}`."
        ),
        .single(
            "auth.signature.signed", \.auth.signature.signed, .signedText, also: ["auth.signature.payload"],
            "Format of the signed text. `{method}` is `GET` or `POST`, `{timestamp}` is unchanged, `{body}` is empty for GET."
        ),
        .single(
            "auth.signature.url", \.auth.signature.url, .signedURL,
            "Format of `{url}` in it. `{base}` is `auth.signature.baseUrl`; `{path}` the received path; `{tail}` what follows `/webhooks` in it, for proxies that change the part before; `{query}` the query with its question mark, or nothing. Without `{query}` callbacks with parameters there are rejected: they are not signed."
        ),
        .single(
            "auth.signature.baseUrl", \.auth.signature.baseUrl, .baseURL,
            also: ["auth.signature.base", "http.publicUrl", "http.baseUrl", "auth.signature.baseURL"],
            "URL of this service in the Control Panel, up to the start of `{path}`: `https://sms.example.com`."
        ),
        .single(
            "auth.signature.encoding", \.auth.signature.encoding, .word("encoding"),
            "Encoding of the signature: 64 hexadecimal digits, or Base64 of either alphabet, padded or not; `auto` accepts both."
        ),
        .single(
            "auth.signature.timestampUnit", \.auth.signature.timestampUnit, .word("unit"),
            also: ["auth.signature.unit"],
            "Unit of the time: seconds or milliseconds since 1970; `auto` decides by its size."),
        .single(
            "auth.signature.keyEncoding", \.auth.signature.keyEncoding, .word("encoding"),
            "Encoding of the secret: the key as text, in hexadecimal digits or in Base64."),
        .single(
            "auth.signature.window", \.auth.signature.window, .duration(.seconds(1)...(.seconds(86_400))),
            also: ["auth.signature.tolerance", "auth.signature.skew"],
            "Maximum difference between the signature's time and this machine's, before and after."
        ),
        .list(
            "auth.addresses", \.auth.addresses, of: .callerAddress, count: 0...1_000, orText: true,
            also: ["auth.allow", "auth.allowlist", "auth.ips", "auth.cidrs", "http.allow", "auth.sourceAddresses"],
            "Allowed source addresses: addresses, ranges, and `smsportal` for those that SMSPortal publishes (102.205.164.49 and 102.205.166.49, since 20 October 2025). Behind proxies also set `http.trustedProxies`. Required in addition to the secrets; alone it accepts every customer of SMSPortal."
        ),
        .single(
            "auth.none", \.auth.none, .flag, also: ["auth.disabled", "auth.anonymous", "auth.enabled"],
            "Accepts every caller. Without it `serve` does not start when neither a secret nor `auth.addresses` is configured."
        ),
    ]

    private static func fields(of type: String) -> Declaration {
        .map(
            "events.\(type).fields", \.events[fieldsOf: type], name: .parameter, value: .parameter, ignoringCase: true,
            "Other names of the parameters of `\(type)`: the caller's key (in any case) → the field of the record."
        )
    }

    private static let events: [Declaration] =
        [
            .single(
                "events.account", \.events.account, .account, also: ["events.source"],
                "SMSPortal account in the records: `ce_source` is `/smsportal/<account>`."),
            .list(
                "events.optOut.phrases", \.events.optOut.phrases, of: .phrase, count: 0...100,
                "Opt-out phrases. A reply that is one of these as a whole, in any case and punctuation, is marked `optOut`. The default is the vendor's list."
            ),
        ] + eventTypes.map(fields(of:))

    private static let publish: [Declaration] = [
        .single(
            "publish.linger", \.publish.linger, .duration(.zero...(.seconds(1))), also: ["kafka.linger"],
            "Time to gather a batch for Kafka. Below `publish.hedge`."),
        .single(
            "publish.hedge", \.publish.hedge, .duration(.milliseconds(2)...(.seconds(9))),
            "Ack timeout after which an event is hedged to the spool. Below `publish.deadline`."),
        .single(
            "publish.deadline", \.publish.deadline, .duration(.milliseconds(10)...(.milliseconds(9_900))),
            also: ["publish.timeout"],
            "Time to answer, from the last byte of the request. SMSPortal gives up after 10 s and delays slow endpoints before."
        ),
        .single(
            "publish.maxInFlight", \.publish.maxInFlight, .integer(1...10_000_000),
            "Maximum number of events waiting for Kafka's acknowledgement. Beyond it events are spooled, or answered 503."
        ),
        .single(
            "publish.maxInFlightBytes", \.publish.maxInFlightBytes, .bytes(64 << 10...16 << 30),
            "Maximum size of events waiting for Kafka's acknowledgement. Not below `http.maxBodyBytes`."),
        .single(
            "publish.batchBytes", \.publish.batchBytes, .bytes(16 << 10...900_000),
            also: ["publish.batchSize", "kafka.batchBytes", "kafka.batchSize"],
            "Maximum batch size for Kafka; a larger event is a batch by itself. Below the topics' `max.message.bytes`, which limits batches: a larger one is rejected as a whole."
        ),
    ]

    private static let spool: [Declaration] = [
        .path(
            "spool.path", \.spool.path, .filePath, also: ["spool.directory", "spool.dir"],
            "Directory of the spool. The default is `$STATE_DIRECTORY` where systemd sets it, else `/var/lib/smsbridge`."
        ),
        .single(
            "spool.none", \.spool.none, .flag, also: ["spool.disabled", "spool.enabled"],
            "Runs without a spool: while Kafka is down, callers get 503."),
        .single(
            "spool.maxBytes", \.spool.maxBytes, .bytes(16 << 20...1 << 50), also: ["spool.maxSize"],
            "Maximum size of the records in the spool; one topic may use half. Beyond it, events that Kafka does not acknowledge are answered 503."
        ),
        .single(
            "spool.anyFileSystem", \.spool.anyFileSystem, .flag, also: ["spool.allowTmpfs"],
            "Allows a directory on tmpfs or a network file system, which can lose events in a crash."
        ),
    ]

    private static let others: [Declaration] = [
        .single(
            "durability.strict", \.durability.strict, .flag,
            "Answers 503 while a topic could lose acknowledged events: replication below 3, `min.insync.replicas` below 2, unclean leader election, or a configuration that the cluster does not show. `/readyz` names it, and the spool publishes nothing to such topics; without a spool `serve` does not start. Until Kafka first answers, events wait in the spool. If false, a warning is logged."
        ),
        .single(
            "durability.interval", \.durability.interval, .duration(.seconds(1)...(.seconds(86_400))),
            "Interval of the topics' durability check, for log, `smsbridge_topic_durability` and `durability.strict`."
        ),
        .single(
            "durability.audit", \.durability.audit, .flag,
            "Reads acknowledged records back and compares their event ids: the first of each partition after a new connection before it counts, then one a second. A mismatch is an alert and recreates the producer. Needs the ACL operation Read on the topics."
        ),
        .single(
            "durability.development", \.durability.development, .flag, also: ["development", "durability.dev"],
            "Development mode, for clusters without replication: topics that could lose acknowledged events are one line of information instead of warnings, findings and alerts, and `smsbridge check` does not fail for them. Not with `durability.strict`."
        ),
        .single(
            "shutdown.delay", \.shutdown.delay, .duration(.zero...(.seconds(600))),
            "Drain delay after SIGTERM: `/readyz` and `/healthz` answer 503, connections are still accepted. Below `shutdown.deadline`."
        ),
        .single(
            "shutdown.grace", \.shutdown.grace, .duration(.zero...(.seconds(600))),
            "Grace period after `shutdown.delay`: no new connections are accepted, idle ones stay open, and requests on them are answered with `Connection: close`."
        ),
        .single(
            "shutdown.deadline", \.shutdown.deadline, .duration(.seconds(1)...(.seconds(3_600))),
            also: ["shutdown.timeout"],
            "Maximum time from SIGTERM to exit. Below the time after which the supervisor kills (Kubernetes: 30 s)."
        ),
        .single(
            "log.level", \.log.level, .word("level"), also: ["logging.level", "loglevel"],
            "The least level that is written."),
        .single(
            "log.format", \.log.format, .word("format"), also: ["logging.format"],
            "`text` is logfmt, `json` one JSON object per line, `auto` text on a terminal and JSON otherwise."),
        .single(
            "log.accessSample", \.log.accessSample, .integer(0...1_000_000),
            also: ["log.access", "log.accessLog", "http.accessLog", "log.requests"],
            "Access log sample: one of this many requests is logged with status, route and duration; 0 logs none. Rejected requests are logged in any case."
        ),
    ]
}
