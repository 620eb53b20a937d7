/// Everything that can be set, with its defaults. How it is given and its bounds: `docs/configuration.md`.
package struct BridgeSettings: Sendable, Equatable {
    /// The public port, on which callbacks arrive.
    package struct HTTP: Sendable, Equatable {
        /// Address to listen on.
        package var host = "0.0.0.0"
        /// Port; 0 lets the system choose.
        package var port: UInt16 = 8080
        /// Stands in front of every path: nothing, or `/name` without a slash at the end.
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
        package var idleTimeout = Duration.seconds(75)
        /// The most open connections.
        package var maxConnections = 10_000
        /// All requests that are not answered yet together, in bytes.
        package var maxUnfinishedBytes = 64 << 20
        /// Connections that the system may keep waiting to be accepted.
        package var backlog = 1_024
        /// Ranges of addresses whose word on where a client comes from is believed.
        package var trustedProxies: [String] = []
    }

    /// The private port: health and metrics.
    package struct Admin: Sendable, Equatable {
        /// Address to listen on.
        package var host = "127.0.0.1"
        /// Port; 0 lets the system choose.
        package var port: UInt16 = 9464
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

    /// Who may call. Every kind that has secrets is required.
    package struct Auth: Sendable, Equatable {
        /// Secrets of one kind, each of which is valid.
        package struct Secrets: Sendable, Equatable {
            /// The secrets, from whichever source.
            package var secrets: [Secret] = []
            /// The file they were read from, if any.
            package var secretsFile: String?
        }

        /// A header that carries a secret.
        package struct Header: Sendable, Equatable {
            /// The header's name, in any case.
            package var name = "X-Webhook-Secret"
            /// The secrets, from whichever source.
            package var secrets: [Secret] = []
            /// The file they were read from, if any.
            package var secretsFile: String?
        }

        /// A secret in a header.
        package var header = Header()
        /// A secret as a segment of the path: `/webhooks/<secret>/<type>`.
        package var path = Secrets()
        /// A secret in the query: `?secret=`.
        package var query = Secrets()
        /// Anybody may call.
        package var none = false

        /// Whether any secret is configured.
        package var isConfigured: Bool { !(header.secrets.isEmpty && path.secrets.isEmpty && query.secrets.isEmpty) }
    }

    /// How callbacks are read.
    package struct Events: Sendable, Equatable {
        /// Phrases by which a subscriber opts out.
        package struct OptOut: Sendable, Equatable {
            /// Whole messages, compared without case and punctuation.
            package var phrases = ["Stop", "Unsubscribe", "Remove", "Opt-Out", "Quit", "Delete", "Spam"]
        }

        /// The names that a caller gives to the parameters of one event type.
        package struct Naming: Sendable, Equatable {
            /// The caller's key → our field.
            package var fields: [String: String] = [:]
        }

        /// The account in `ce_source`.
        package var account = "default"
        package var optOut = OptOut()
        package var deliveryStatus = Naming()
        package var reply = Naming()
        package var shortCode = Naming()
        package var urlPreview = Naming()
        package var urlClick = Naming()

        /// The mappings that are not empty, by the type's name on the wire (`delivery-status`).
        package var fields: [String: [String: String]] {
            [
                "delivery-status": deliveryStatus.fields, "reply": reply.fields, "short-code": shortCode.fields,
                "url-preview": urlPreview.fields, "url-click": urlClick.fields,
            ].filter { !$0.value.isEmpty }
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
    }

    /// How the process ends.
    package struct Shutdown: Sendable, Equatable {
        /// How long it serves on, not ready, so that balancers see it.
        package var delay = Duration.seconds(5)
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
