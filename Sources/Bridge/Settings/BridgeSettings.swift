/// Everything that can be set, with its defaults. How it is given and its bounds: `docs/configuration.md`.
package struct BridgeSettings: Sendable, Equatable {
    /// The public port, on which callbacks arrive.
    package struct HTTP: Sendable, Equatable {
        /// TLS on it: on with a certificate.
        package struct TLS: Sendable, Equatable {
            /// Whether a client may do without a certificate where `clientCa` asks for one.
            package enum ClientCertificate: String, Sendable, CaseIterable { case required, optional }

            /// Path of the certificate and its chain; empty: no TLS.
            package var certificate = ""
            /// Path of the private key.
            package var key = ""
            /// Path of the authorities of clients' certificates; empty: clients need none.
            package var clientCa = ""
            package var clientCertificate = ClientCertificate.required
            /// From the accept to the end of the handshake.
            package var handshakeTimeout = Duration.seconds(10)
            /// The most handshakes in progress.
            package var maxHandshakes = 1_000
        }

        /// Address to listen on.
        package var host = "0.0.0.0"
        /// Port; 0 lets the system choose.
        package var port: UInt16 = 8080
        /// The path prefix of all public routes: empty, or `/name` without a slash at the end.
        package var basePath = ""
        /// The largest body, in bytes.
        package var maxBodyBytes = 256 << 10
        /// All headers of a request together, in bytes.
        package var maxHeaderBytes = 16 << 10
        /// The most headers of a request.
        package var maxHeaders = 100
        /// The longest request target, in bytes.
        package var maxTargetBytes = 64 << 10
        /// From the first byte that may come to the end of the head.
        package var headTimeout = Duration.seconds(10)
        /// From the end of the head to the end of the body.
        package var bodyTimeout = Duration.seconds(10)
        /// Until the client has taken an answer.
        package var writeTimeout = Duration.seconds(10)
        /// Between an answer and the next request.
        package var idleTimeout = Duration.seconds(3_900)
        /// The most open connections.
        package var maxConnections = 10_000
        /// All requests that are not whole yet together, in bytes.
        package var maxBufferedRequestBytes = 64 << 20
        /// Connections that the system may keep waiting to be accepted.
        package var backlog = 1_024
        /// Ranges of addresses whose word on where a client comes from is believed.
        package var trustedProxies: [String] = []
        /// Whether those ranges may hold every address.
        package var trustAllProxies = false
        /// Whether every connection begins with a PROXY header.
        package var proxyProtocol = false
        package var tls = TLS()
    }

    /// The private port: health and metrics.
    package struct Admin: Sendable, Equatable {
        /// Address to listen on.
        package var host = "127.0.0.1"
        /// Port; 0 lets the system choose.
        package var port: UInt16 = 9464
        /// The address of the runbook; empty for the one that the private port serves.
        package var runbookUrl = ""
    }

    /// The cluster.
    package struct Kafka: Sendable, Equatable {
        /// `host:port` of some brokers; the others are found through them.
        package var bootstrapServers: [String] = []
        /// Properties for librdkafka, those read from files included.
        package var properties = KafkaProperties()
        /// The files from which properties were read, by name of the property.
        package var propertyFiles: [String: String] = [:]
    }

    /// The topics that the bridge writes to.
    package struct Topics: Sendable, Equatable {
        /// What their names begin with.
        package var prefix = "smsportal"
        /// Whether missing ones are created.
        package var create = true
        /// Partitions of a topic that is created.
        package var partitions = 6
        /// Replicas of a topic that is created.
        package var replication = 3
        /// How long records stay in a topic that is created.
        package var retention = Duration.seconds(14 * 86_400)
    }

    /// Who may call. Every kind that is configured is required.
    package struct Auth: Sendable, Equatable {
        /// Whether those who do not belong are kept out, or only counted.
        package enum Mode: String, Sendable, CaseIterable { case enforce, log }

        /// Secrets of one kind, each of which is valid.
        package struct Secrets: SecretHolder {
            /// The secrets, from whichever source.
            package var secrets: [Secret] = []
            /// The file they were read from, if any.
            package var secretsFile: String?
            /// Where there are several accounts: the file of each, by its name.
            package var accounts: [String: String] = [:]
            /// What those files hold, by the account's name.
            package var accountSecrets: [String: [Secret]] = [:]
        }

        /// A header that carries a secret.
        package struct Header: SecretHolder {
            /// The header's name, in any case.
            package var name = "X-Webhook-Secret"
            /// The secrets, from whichever source.
            package var secrets: [Secret] = []
            /// The file they were read from, if any.
            package var secretsFile: String?
            /// Where there are several accounts: the file of each, by its name.
            package var accounts: [String: String] = [:]
            /// What those files hold, by the account's name.
            package var accountSecrets: [String: [Secret]] = [:]
        }

        /// How the vendor signs, as far as it is known.
        package struct Signature: SecretHolder {
            package enum Encoding: String, Sendable, CaseIterable { case auto, hex, base64 }
            package enum TimestampUnit: String, Sendable, CaseIterable { case auto, s, ms }
            package enum KeyEncoding: String, Sendable, CaseIterable { case text, hex, base64 }

            /// The secrets, from whichever source.
            package var secrets: [Secret] = []
            /// The file they were read from, if any.
            package var secretsFile: String?
            /// Where there are several accounts: the file of each, by its name.
            package var accounts: [String: String] = [:]
            /// What those files hold, by the account's name.
            package var accountSecrets: [String: [Secret]] = [:]
            /// The header that carries the signature; empty for none.
            package var header = ""
            /// The header that carries the time; empty where the signature's header does.
            package var timestampHeader = ""
            /// The format of the signature's header.
            package var value = "{signature}"
            /// What is signed.
            package var signed = "v1:{timestamp}|{method}|{url}|{body}"
            /// What `{url}` is.
            package var url = "{base}{path}{query}"
            /// What `{base}` is: the address under which the vendor knows this service.
            package var baseUrl = ""
            /// How the signature is written.
            package var encoding = Encoding.auto
            /// What the time counts.
            package var timestampUnit = TimestampUnit.auto
            /// What the secret's text is.
            package var keyEncoding = KeyEncoding.text
            /// How far a signature's time may be from now.
            package var window = Duration.seconds(300)
        }

        package var mode = Mode.enforce
        /// A secret in a header.
        package var header = Header()
        /// A secret as a segment of the path: `/webhooks/<secret>/<type>`.
        package var path = Secrets()
        /// A secret in the query: `?secret=`.
        package var query = Secrets()
        /// The vendor's signature.
        package var signature = Signature()
        /// The networks from which callers may come; empty: from anywhere.
        package var addresses: [String] = []
        /// Anybody may call.
        package var none = false

        /// The kinds of secret that callers can be asked for: the key of each in the settings, and how `check` names it.
        /// Rules, reloads and `check` follow from this list.
        package var kinds: [(key: String, name: String, holder: any SecretHolder)] {
            [
                ("auth.header", "a secret in the header", header), ("auth.path", "one in the path", path),
                ("auth.query", "one in the query", query), ("auth.signature", "a signature", signature),
            ]
        }

        /// Whether any proof is configured.
        package var isConfigured: Bool { kinds.contains { $0.holder.isConfigured } || !addresses.isEmpty }

        /// The accounts that have secrets of their own, in order; empty where there is one account only.
        package var accountNames: [String] {
            Set(kinds.flatMap { $0.holder.accounts.keys }).sorted()
        }
    }

    /// How callbacks are read.
    package struct Events: Sendable, Equatable {
        /// Phrases by which a subscriber opts out.
        package struct OptOut: Sendable, Equatable {
            /// Whole messages, compared without case and punctuation.
            package var phrases = ["Stop", "Unsubscribe", "Remove", "Opt-Out", "Quit", "Delete", "Spam"]
        }

        /// The account in `ce_source`.
        package var account = "default"
        package var optOut = OptOut()
        /// Names that callers give to parameters, by the event type's name (`delivery-status`): their key → our field.
        /// Types without a mapping are left out.
        package var fields: [String: [String: String]] = [:]

        /// The names of one type.
        package subscript(fieldsOf type: String) -> [String: String] {
            get { fields[type] ?? [:] }
            set { fields[type] = newValue.isEmpty ? nil : newValue }
        }
    }

    /// How events go to Kafka.
    package struct Publish: Sendable, Equatable {
        /// How long a batch is gathered.
        package var linger = Duration.milliseconds(1)
        /// How long Kafka may be late before an event goes to the spool.
        package var hedge = Duration.milliseconds(100)
        /// When a caller gets an answer at the latest.
        package var deadline = Duration.milliseconds(900)
        /// The most events that wait for Kafka.
        package var maxInFlight = 100_000
        /// The events that wait for Kafka together, in bytes.
        package var maxInFlightBytes = 64 << 20
        /// Records that share a batch, in bytes.
        package var batchBytes = 512 << 10
    }

    /// The durable local queue.
    package struct Spool: Sendable, Equatable {
        /// Its directory.
        package var path = "/var/lib/smsbridge"
        /// Goes without one.
        package var none = false
        /// The most that it takes on the disk, in bytes.
        package var maxBytes = 10 << 30
        /// Takes file systems of memory and of the network.
        package var anyFileSystem = false
    }

    /// What durability is asked of the topics.
    package struct Durability: Sendable, Equatable {
        /// Refuses to serve when a topic can lose an acknowledged event.
        package var strict = false
        /// How often the topics are judged again.
        package var interval = Duration.seconds(300)
        /// Reads acknowledged records back.
        package var audit = false
        /// Weak topics are information, not a fault.
        package var development = false
    }

    /// How the process ends.
    package struct Shutdown: Sendable, Equatable {
        /// How long it serves on, not ready, so that balancers see it.
        package var delay = Duration.seconds(5)
        /// How long idle connections stay open after it has stopped accepting new ones.
        package var grace = Duration.seconds(2)
        /// When it is over at the latest.
        package var deadline = Duration.seconds(25)
    }

    /// The log on standard error.
    package struct Log: Sendable, Equatable {
        /// The least level that is written.
        package enum Level: String, Sendable, CaseIterable { case trace, debug, info, warning, error }
        /// How lines look.
        package enum Format: String, Sendable, CaseIterable { case auto, text, json }

        package var level = Level.info
        package var format = Format.auto
        /// One of this many requests is logged; 0 for none.
        package var accessSample = 0
    }

    package var http = HTTP()
    package var admin = Admin()
    package var kafka = Kafka()
    package var topics = Topics()
    package var auth = Auth()
    package var events = Events()
    package var publish = Publish()
    package var spool = Spool()
    package var durability = Durability()
    package var shutdown = Shutdown()
    package var log = Log()

    /// Everything at its default.
    package init() {}
}

/// Secrets of one kind: those of the one account, or those of several.
package protocol SecretHolder: Sendable, Equatable {
    /// The secrets, from whichever source.
    var secrets: [Secret] { get }
    /// The file they were read from, if any.
    var secretsFile: String? { get }
    /// Where there are several accounts: the file of each, by its name.
    var accounts: [String: String] { get }
    /// What those files hold, by the account's name.
    var accountSecrets: [String: [Secret]] { get }
}

extension SecretHolder {
    /// Whether the secrets are the same, whatever file they come from.
    package func hasSameSecrets(as other: any SecretHolder) -> Bool {
        secrets == other.secrets && accountSecrets == other.accountSecrets
    }

    /// Whether this kind of proof is asked for.
    package var isConfigured: Bool { !secrets.isEmpty || !accountSecrets.isEmpty }
    /// The secrets of all accounts.
    package var all: [Secret] { secrets + accountSecrets.values.joined() }

    /// The secrets of each account, in the order of their names; of the one account where no names are given.
    package func secrets(of accounts: [String]) -> [[Secret]] {
        accounts.isEmpty ? [secrets] : accounts.map { accountSecrets[$0] ?? [] }
    }
}
