internal import SMSBridgeKafka
internal import SMSBridgeThreads
internal import Synchronization

/// Asks, with a producer's own client, which cluster it is connected to, and where the partitions' logs end. Such questions
/// block, so they are put on a thread of its own.
final class ClusterCheck: Sendable {
    struct Question: Sendable {
        /// Partitions with the first offset that is not acknowledged.
        var ends: [(partition: ReportTrust.Partition, topic: String, end: Int64)]
    }

    private let client: Client
    private let topic: String
    private let question = Mutex<Question?>(nil)
    private let isStopping = Atomic<Bool>(false)
    private let bell: Doorbell
    private let thread = Mutex<NamedThread?>(nil)

    /// Milliseconds that a question may take.
    private static let timeout: Int32 = 2_000
    /// Attempts to learn the ends of the logs before the cluster's id alone counts: where a user may not list offsets,
    /// events must not wait for it.
    private static let endAttempts = 3

    /// - Parameters:
    ///   - topic: a topic of ours: the answer about all topics of a large cluster is large.
    ///   - tell: called on the check's thread; nil when the cluster did not answer.
    init(
        _ client: Client, topic: String, tell: @escaping @Sendable (ReportTrust.Confirmation?) -> Void
    ) throws(ThreadError) {
        self.client = client
        self.topic = topic
        bell = try Doorbell()
        let started = try NamedThread("kafka-cluster") { [self] in
            var failures = 0
            while !isStopping.load(ordering: .acquiring) {
                guard let question = question.withLock({ $0.take() }) else {
                    bell.wait(milliseconds: 60_000)
                    continue
                }
                tell(answer(to: question, failures: &failures))
            }
        }
        thread.withLock { $0 = started }
    }

    func ask(_ question: Question) {
        self.question.withLock { $0 = question }
        bell.ring()
    }

    private func answer(to question: Question, failures: inout Int) -> ReportTrust.Confirmation? {
        let connections = client.connections
        guard (try? client.metadata(topic: topic, timeout: Self.timeout)) != nil else { return nil }
        var confirmation = ReportTrust.Confirmation(connections: connections, clusterID: client.clusterID)
        guard !question.ends.isEmpty else { return confirmation }
        let partitions = question.ends.map { TopicPartition($0.topic, $0.partition.partition) }
        guard let answers = try? client.endOffsets(of: partitions, timeout: Self.timeout) else {
            failures += 1
            return failures >= Self.endAttempts ? confirmation : nil
        }
        failures = 0
        var ends: [TopicPartition: Int64] = [:]
        for answer in answers where answer.error == nil {
            ends[TopicPartition(answer.topic, answer.partition)] = answer.offset
        }
        for known in question.ends {
            guard let end = ends[TopicPartition(known.topic, known.partition.partition)] else { continue }
            if end < known.end { confirmation.resets.append(known.partition) }
        }
        return confirmation
    }

    /// Ends the thread; blocks up to the time of one question. The client may be destroyed afterwards.
    func stop() {
        isStopping.store(true, ordering: .releasing)
        bell.ring()
        thread.withLock { $0 }?.join()
    }
}
