/// Decides which delivery reports are proof: those whose record was handed over, and acknowledged, by a cluster whose id is
/// confirmed to be unchanged.
///
/// A producer's id and sequence numbers mean something to the cluster that issued them, and to no other. Where an address
/// leads to another cluster, that one may have given the same id to another instance; it then takes a resent batch for a
/// duplicate, and acknowledges what it never wrote. librdkafka sends again by itself after a reconnect, before anybody can
/// know. So each new connection makes the reports that follow wait until the cluster was asked who it is, by a question
/// that was put after they came: a broker answers in order, and librdkafka asks for metadata first on every connection, so
/// the id of the cluster that sent a report is known when the answer is in.
///
/// A partition's offsets only grow. A report at an offset that was acknowledged before, or an end of the log below one, means
/// that the log was reset, as a wiped cluster with a pinned id does.
///
/// A pure state machine: the caller tells it the number of connections opened so far and carries out what it returns.
struct ReportTrust {
    /// A successful report.
    struct Report: Equatable {
        var opaque: UInt64
        var topic: Int
        var partition: Int32
        var offset: Int64
    }

    enum Verdict: Equatable {
        /// It is proof.
        case trusted
        /// It waits for a confirmation, which is to be asked for if that is not done yet.
        case held
        /// The log has an offset again that was acknowledged before.
        case logReset
    }

    /// An answer of the cluster.
    struct Confirmation: Sendable, Equatable {
        /// Connections opened before the question was put.
        var connections: UInt64
        var clusterID: String?
        /// Partitions whose log ends before what was acknowledged, as (topic, partition).
        var resets: [Partition] = []
    }

    struct Partition: Sendable, Hashable {
        var topic: Int
        var partition: Int32
    }

    enum Outcome: Equatable {
        /// These are proof.
        case trusted([Report])
        /// These are not, and the producer must not be used any more.
        case clusterChanged(from: String?, to: String?, [Report])
        case logReset([Partition], [Report])
    }

    private(set) var held: [Report] = []
    /// How many of the held reports the question under way covers; nil while none is.
    private(set) var asked: Int?
    private var confirmedConnections: UInt64?
    /// The cluster that this producer's id is of.
    private(set) var clusterID: String?
    private var isIdentityKnown = false
    /// librdkafka has met two ids since the last confirmation, even if it is back at the first.
    private var hasMetAnother = false
    /// The highest offset acknowledged in each partition, by topic.
    private var acknowledged: [[Int64]] = []

    /// Reports that were held since the start.
    private(set) var heldCount = 0

    init() {}

    /// For the next producer: the cluster is asked again, and its logs are known as far as they were not reset.
    init(after previous: ReportTrust, keepsOffsets: Bool) {
        if keepsOffsets { acknowledged = previous.acknowledged }
        heldCount = previous.heldCount
    }

    mutating func receive(_ report: Report, connections: UInt64) -> Verdict {
        if let before = offset(report.topic, report.partition), report.offset <= before { return .logReset }
        guard confirmedConnections == connections, !hasMetAnother else {
            held.append(report)
            heldCount += 1
            return .held
        }
        acknowledge(report)
        return .trusted
    }

    /// Whether a question is to be put now; it covers the reports held so far.
    mutating func ask() -> Bool {
        guard asked == nil, !held.isEmpty || confirmedConnections == nil else { return false }
        asked = held.count
        return true
    }

    /// What is known of the partitions' logs: the first offset that is not acknowledged.
    var acknowledgedEnds: [(partition: Partition, end: Int64)] {
        acknowledged.indices.flatMap { topic in
            acknowledged[topic].indices.compactMap { partition in
                let offset = acknowledged[topic][partition]
                return offset < 0 ? nil : (Partition(topic: topic, partition: Int32(partition)), offset + 1)
            }
        }
    }

    /// The question was not answered; it is to be put again.
    mutating func notConfirmed() { asked = nil }

    mutating func confirm(_ confirmation: Confirmation, connections: UInt64) -> Outcome {
        let covered = asked ?? 0
        asked = nil
        let previous = clusterID
        if isIdentityKnown, hasMetAnother || confirmation.clusterID != previous {
            clusterID = confirmation.clusterID
            return .clusterChanged(from: previous, to: confirmation.clusterID, takeHeld(held.count))
        }
        hasMetAnother = false
        isIdentityKnown = true
        clusterID = confirmation.clusterID
        guard confirmation.resets.isEmpty else { return .logReset(confirmation.resets, takeHeld(held.count)) }
        confirmedConnections = confirmation.connections
        // Without a new connection since, what came later came over the connections that are confirmed now.
        let reports = takeHeld(connections == confirmation.connections ? held.count : covered)
        for report in reports { acknowledge(report) }
        return .trusted(reports)
    }

    /// librdkafka has met another cluster id than before.
    mutating func metAnotherCluster() { hasMetAnother = isIdentityKnown }

    /// Everything that is held, and not trusted: the producer ends.
    mutating func takeAll() -> [Report] { takeHeld(held.count) }

    private mutating func takeHeld(_ count: Int) -> [Report] {
        let taken = Array(held.prefix(count))
        held.removeFirst(min(count, held.count))
        return taken
    }

    private func offset(_ topic: Int, _ partition: Int32) -> Int64? {
        guard topic < acknowledged.count, Int(partition) < acknowledged[topic].count, partition >= 0 else { return nil }
        let offset = acknowledged[topic][Int(partition)]
        return offset < 0 ? nil : offset
    }

    private mutating func acknowledge(_ report: Report) {
        guard report.partition >= 0 else { return }
        while acknowledged.count <= report.topic { acknowledged.append([]) }
        while acknowledged[report.topic].count <= Int(report.partition) { acknowledged[report.topic].append(-1) }
        acknowledged[report.topic][Int(report.partition)] = report.offset
    }
}
