/// What every commit of a group keeps beside the offset: facts about the group that no offset tells.
///
/// The cluster id shows that offsets were copied from, or committed to, another cluster. The time of the first join and the
/// topic's number of partitions at that time fix what `.latest` means: a partition that was there begins at that time, and
/// one that was added later begins at its beginning. The topics that the group has handlers for tell a handler that is new from
/// a topic that is new.
struct PositionMark: Sendable, Equatable {
    /// The id of the cluster that the offset belongs to; nil where it is not known.
    var cluster: String?
    /// When the group joined for the first time, in milliseconds since 1970; nil for a group that begins at the beginning.
    var joinedAt: Int64?
    /// How many partitions the topic had then.
    var partitions: Int32?
    /// The event topics that the group reads, by their whole names.
    var topics: Set<String> = []
    /// Whether a handler for the topic is new in the group. Not kept.
    var isNewHandler = false

    private static let prefix = "smsportal-consumer"

    init(cluster: String? = nil, joinedAt: Int64? = nil, partitions: Int32? = nil, topics: Set<String> = []) {
        self.cluster = cluster
        self.joinedAt = joinedAt
        self.partitions = partitions
        self.topics = topics
    }

    /// - Parameter text: The metadata of a committed offset.
    /// - Returns: nil for the metadata of another program, or none.
    init?(_ text: String?) {
        guard let parts = text?.split(separator: " "), parts.first == Self.prefix[...] else { return nil }
        for part in parts.dropFirst() {
            let pair = part.split(separator: "=", maxSplits: 1)
            guard pair.count == 2 else { continue }
            switch pair[0] {
            case "cluster": cluster = String(pair[1])
            case "joined": joinedAt = Int64(pair[1])
            case "partitions": partitions = Int32(pair[1])
            case "topics": topics = Set(pair[1].split(separator: ",").map(String.init))
            default: break
            }
        }
    }

    /// The metadata of a committed offset.
    var text: String {
        var text = Self.prefix
        if let cluster { text += " cluster=\(cluster)" }
        if let joinedAt { text += " joined=\(joinedAt)" }
        if let partitions { text += " partitions=\(partitions)" }
        // Kafka's offset.metadata.max.bytes is 4,096; without the list a new handler begins like a new group.
        let list = topics.sorted().joined(separator: ",")
        if !list.isEmpty, list.utf8.count <= 2_048 { text += " topics=\(list)" }
        return text
    }
}
