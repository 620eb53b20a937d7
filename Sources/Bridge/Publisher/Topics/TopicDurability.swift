package import SMSBridgeTelemetry
internal import SMSPortalEvents

/// How durable a topic's acknowledgement is, as far as the cluster tells: nil is what it does not tell.
package struct TopicDurability: Sendable, Equatable {
    /// Copies of the partition that has the fewest.
    package var replication: Int?
    package var minInSyncReplicas: Int?
    /// Whether a replica that lacks acknowledged events may become the leader.
    package var allowsUncleanElection: Bool?

    package init(replication: Int? = nil, minInSyncReplicas: Int? = nil, allowsUncleanElection: Bool? = nil) {
        self.replication = replication
        self.minInSyncReplicas = minInSyncReplicas
        self.allowsUncleanElection = allowsUncleanElection
    }

    /// Copies that lose no acknowledged event with one broker, while another is away.
    static let neededReplication = 3
    static let neededInSyncReplicas = 2

    /// What lets acknowledged events be lost, a sentence each.
    package var weaknesses: [String] {
        var sentences: [String] = []
        if let replication, replication < Self.neededReplication {
            sentences.append(
                "replication is \(replication); an acknowledgement is as durable as its copies (3 is usual)")
        }
        if let minInSyncReplicas, minInSyncReplicas < Self.neededInSyncReplicas {
            sentences.append(
                "min.insync.replicas is \(minInSyncReplicas); Kafka acknowledges what only one broker has")
        }
        if allowsUncleanElection == true {
            sentences.append("unclean.leader.election.enable is true; acknowledged events can be lost")
        }
        return sentences
    }

    /// Whether an acknowledged event is safe; nil when the cluster does not tell enough.
    package var isKept: Bool? {
        if !weaknesses.isEmpty { return false }
        return replication == nil || minInSyncReplicas == nil || allowsUncleanElection == nil ? nil : true
    }
}

/// The last known properties of each topic, for Prometheus; -1 is unknown.
package struct TopicDurabilityMetrics: Sendable {
    private let kept: [Gauge]
    private let replication: [Gauge]
    private let minInSyncReplicas: [Gauge]
    private let uncleanElection: [Gauge]

    /// - Parameter isDevelopment: whether weak topics are no fault.
    package init(_ registry: MetricRegistry, isDevelopment: Bool = false) {
        registry.gauge("smsbridge_development_mode", help: "Whether durability.development is true: 1 or 0.")
            .set(isDevelopment ? 1 : 0)
        func perTopic(_ name: String, _ help: String) -> [Gauge] {
            EventTopic.allCases.map { topic in
                let gauge = registry.gauge(
                    name, help: help + " -1: the cluster does not tell, or was not asked yet.",
                    labels: [("topic", topic.suffix)])
                gauge.set(-1)
                return gauge
            }
        }
        kept = perTopic(
            "smsbridge_topic_durability",
            "Whether a topic keeps what Kafka acknowledges (replication 3, min.insync.replicas 2, no unclean election): 1 or 0."
        )
        replication = perTopic(
            "smsbridge_topic_replication", "Copies of the partition of a topic that has the fewest.")
        minInSyncReplicas = perTopic(
            "smsbridge_topic_min_insync_replicas", "The min.insync.replicas in force of a topic.")
        uncleanElection = perTopic(
            "smsbridge_topic_unclean_election",
            "Whether a topic allows unclean leader election: 1 or 0.")
    }

    /// - Parameter judged: by the topic's name; what is not in it is not known.
    package func update(_ judged: [String: TopicDurability], prefix: String) {
        for topic in EventTopic.allCases {
            let found = judged[topic.name(prefix: prefix)] ?? TopicDurability()
            func value(_ flag: Bool?) -> Double { flag.map { $0 ? 1 : 0 } ?? -1 }
            kept[topic.rawValue].set(value(found.isKept))
            replication[topic.rawValue].set(Double(found.replication ?? -1))
            minInSyncReplicas[topic.rawValue].set(Double(found.minInSyncReplicas ?? -1))
            uncleanElection[topic.rawValue].set(value(found.allowsUncleanElection))
        }
    }
}
