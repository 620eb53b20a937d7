internal import SMSBridgeKafka

/// How the dead-letter and the redrive topic of a group are created, and the problems of existing ones.
///
/// Dead letters are events: they are kept as durably as the topics that the events came from, never less. So replication
/// and `min.insync.replicas` are those of the event topics, not what the brokers that happen to run would allow.
struct GroupTopicPlan: Sendable, Equatable {
    /// Copies of each partition.
    var replication: Int32
    /// nil for the cluster's default.
    var minInSyncReplicas: Int?
    /// Bytes.
    var maxMessageBytes: Int
    /// Milliseconds; -1 for ever.
    var retention: Int64

    static let partitions: Int32 = 6
    /// Dead letters wait for people, who are away longer than a topic usually keeps its records: 30 days.
    private static let leastRetention: Int64 = 30 * 86_400_000
    /// An event of the largest body that a bridge takes (1 MiB, in the record as JSON and raw), and what befell it.
    private static let leastMessageBytes = 4 << 20
    /// What the headers of a dead letter may add to a record.
    private static let headerBytes = 16 << 10

    /// - Parameters:
    ///   - topics: The event topics that exist; at least one.
    ///   - configurations: Their configurations, as far as this user may see them.
    init(topics: [ClusterMetadata.Topic], configurations: [String: [String: String?]]) {
        let copies = topics.flatMap(\.partitions).map(\.replicas.count).max() ?? 1
        replication = Int32(clamping: max(1, copies))
        func numbers(_ name: String) -> [Int64] {
            configurations.values.compactMap { $0[name].flatMap { $0 }.flatMap { Int64($0) } }
        }
        if let needed = numbers("min.insync.replicas").max() {
            minInSyncReplicas = Int(min(needed, Int64(replication)))
        } else {
            minInSyncReplicas = copies >= 3 ? 2 : nil
        }
        let largest = numbers("max.message.bytes").max().map { Int(clamping: $0) + Self.headerBytes } ?? 0
        maxMessageBytes = max(Self.leastMessageBytes, largest)
        let times = numbers("retention.ms")
        retention = times.contains { $0 < 0 } ? -1 : max(Self.leastRetention, times.max() ?? 0)
    }

    /// The configuration of a new topic.
    var configuration: [String: String] {
        var configuration = ["retention.ms": String(retention), "max.message.bytes": String(maxMessageBytes)]
        if let minInSyncReplicas { configuration["min.insync.replicas"] = String(minInSyncReplicas) }
        return configuration
    }

    /// What may lose dead letters of an existing topic, or keep them from being written; a sentence each.
    func problems(of topic: ClusterMetadata.Topic, configuration: [String: String?]) -> [String] {
        var problems: [String] = []
        let copies = topic.partitions.map(\.replicas.count).min() ?? 0
        if copies < replication {
            problems.append("replication is \(copies), that of the event topics is \(replication)")
        }
        func number(_ name: String) -> Int64? { configuration[name].flatMap { $0 }.flatMap { Int64($0) } }
        if let needed = minInSyncReplicas, let own = number("min.insync.replicas"), own < needed {
            problems.append("min.insync.replicas is \(own), that of the event topics is \(needed)")
        }
        let largest = maxMessageBytes - Self.headerBytes
        if let own = number("max.message.bytes"), own < Int64(min(largest, Self.leastMessageBytes)) {
            problems.append(
                "max.message.bytes is \(own): larger dead letters are rejected (\(maxMessageBytes) is enough)")
        }
        if let own = number("retention.ms"), own >= 0, own < 7 * 86_400_000 {
            problems.append("retention.ms is \(own): dead letters are deleted after \(own / 3_600_000) hours")
        }
        if let policy = configuration["cleanup.policy"].flatMap({ $0 }), policy.contains("compact") {
            problems.append("cleanup.policy is \(policy): only the newest dead letter of each number is kept")
        }
        return problems
    }
}
