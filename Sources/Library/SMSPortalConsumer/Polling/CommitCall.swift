internal import SMSBridgeKafka
internal import SMSBridgeTelemetry

/// One commit of a group. Blocks, so it runs on the consumer's thread for blocking calls.
///
/// Kafka forgets what a group has committed for a topic when the topic is deleted. So the committed offsets are asked for
/// first: where one has vanished the topic was deleted and created again, and an offset of the old topic must neither be
/// committed to the new one nor read on from.
///
/// That question takes its time, and the group may begin a rebalance in that time: a commit that crosses one is rejected. So
/// the owner decides immediately before the commit whether it may be sent.
struct CommitCall: Sendable {
    /// The offsets to commit, with their metadata.
    let offsets: [TopicPartition]
    /// Partitions for which this member has committed before.
    let committedBefore: [TopicPartition]
    /// When to give up, by the monotonic clock in nanoseconds.
    let deadline: UInt64
    /// Whether the commit may be sent now.
    let mayCommit: @Sendable () -> Bool

    struct Outcome: Sendable {
        /// What was committed.
        var committed: [TopicPartition] = []
        /// Partitions whose committed offset has vanished.
        var vanished: [TopicPartition] = []
        /// Whether nothing was sent, because a rebalance has begun or may begin.
        var isPostponed = false
        var error: KafkaError?

        /// Whether the same commit is worth another try, with the generation that is valid then.
        var isWorthRepeating: Bool { isPostponed || error?.code.isOfRebalance == true }
    }

    func run(_ client: Client) -> Outcome {
        var outcome = Outcome()
        do throws(KafkaError) {
            if !committedBefore.isEmpty {
                outcome.vanished = try client.committed(committedBefore, timeout: try timeLeft())
                    .filter { $0.offset == nil }.map { TopicPartition($0.topic, $0.partition) }
            }
            let gone = Set(outcome.vanished)
            let rest = offsets.filter { !gone.contains(TopicPartition($0.topic, $0.partition)) }
            guard !rest.isEmpty else { return outcome }
            guard mayCommit() else {
                outcome.isPostponed = true
                return outcome
            }
            try client.commit(rest, timeout: try timeLeft())
            outcome.committed = rest
        } catch {
            outcome.error = error
        }
        return outcome
    }

    private func timeLeft() throws(KafkaError) -> Int32 {
        let now = monotonicNow()
        guard now < deadline else { throw KafkaError(.timedOut, "no time left for a commit of offsets") }
        return Int32(clamping: (deadline - now + 999_999) / 1_000_000)
    }
}
