internal import CSMSBridgeRDKafka
internal import SMSBridgeThreads
internal import Synchronization

/// How a consumer reads.
package struct ConsumerConfiguration: Sendable {
    package var client: ClientConfiguration
    /// The consumer group. A consumer that assigns partitions by hand and commits nothing still needs a name.
    package var group: String
    /// Where a partition begins that has no committed offset, or one that is out of range.
    package var offsetReset: OffsetReset = .earliest
    /// Whether the end of each partition is reported.
    package var reportsPartitionEnd: Bool = false

    package init(client: ClientConfiguration, group: String) {
        self.client = client
        self.group = group
    }
}

/// What happens to a partition without a committed offset, or with one that is out of range.
package enum OffsetReset: String, Sendable {
    case earliest, latest
    /// `poll` brings an error with the code `.offsetReset` for it, and the partition stands until it is sought.
    case error
}

/// What a poll of a consumer brings.
package enum ConsumerEvent: ~Copyable {
    case message(Message)
    /// The group gives or takes partitions. It waits, and the consumer stays a member, until the owner has answered
    /// with `assign(incrementally:)` or `unassign(incrementally:)`; polling continues.
    case rebalance(Rebalance)
    /// The outcome of a `commitLater`.
    case committed([TopicPartition], KafkaError?)
    /// A partition cannot be read; the code says why.
    case partitionError(TopicPartition, KafkaError)
    /// The last record of the partition has been delivered; more may come.
    case partitionEnd(TopicPartition)
    /// librdkafka goes on by itself, unless it is fatal.
    case error(KafkaError)
    /// A line of librdkafka's log; the level is syslog's.
    case log(level: Int32, facility: String, text: String)
}

/// A change of what this member of a group reads.
package enum Rebalance: Sendable {
    /// These partitions come to this member.
    case assigned([TopicPartition])
    /// These are about to go to others: commit now what is done.
    case revoked([TopicPartition])
    /// These are gone already, and others may be reading them: commit nothing.
    case lost([TopicPartition])
}

/// A consumer: a member of a group, or a reader of partitions assigned by hand.
///
/// One thread of its own polls it and blocks there; that poll is also what tells the group that the member is alive
/// (`max.poll.interval.ms`). Rebalances are cooperative, and answered by the owner. The calls on `client` and `waker`
/// may come from any thread.
package final class Consumer {
    package let client: Client
    package let group: String
    /// Ends a blocked `poll`.
    package let waker: ConsumerWaker
    private let callbacks: Callbacks
    /// When commits are safe. May be asked from any thread.
    package let membership = GroupMembership()
    private var isClosed = false
    /// Runs blocking calls on the client, so that the owner's thread goes on polling.
    private var calls: SerialThread?
    /// What the owner has not answered yet.
    private var unanswered: Rebalance?

    /// What librdkafka's callbacks reach through their opaque pointer. It lives as long as the consumer; librdkafka
    /// calls back inside `poll` and `close` only, on the owner's thread (log lines too, through `log.queue`).
    private final class Callbacks {
        var rebalances: [Rebalance] = []
        var isClosing = false
        var hasBeenAssigned = false
        var commits: [(offsets: [TopicPartition], error: KafkaError?)] = []
        var errors: [KafkaError] = []
        var logs: [(level: Int32, facility: String, text: String)] = []

        static func of(_ opaque: UnsafeMutableRawPointer) -> Callbacks {
            Unmanaged<Callbacks>.fromOpaque(opaque).takeUnretainedValue()
        }
    }

    package init(_ configuration: ConsumerConfiguration) throws(KafkaError) {
        let conf = try ClientConf(configuration.client, events: 0)
        try conf.set("group.id", configuration.group)
        try conf.set("enable.auto.commit", "false")
        try conf.set("enable.auto.offset.store", "false")
        try conf.set("auto.offset.reset", configuration.offsetReset.rawValue)
        try conf.set("enable.partition.eof", configuration.reportsPartitionEnd ? "true" : "false")
        try conf.set("partition.assignment.strategy", "cooperative-sticky")
        let callbacks = Callbacks()
        conf.withPointer { pointer in
            rd_kafka_conf_set_opaque(pointer, Unmanaged.passUnretained(callbacks).toOpaque())
            rd_kafka_conf_set_rebalance_cb(pointer) { handle, error, partitions, opaque in
                guard let handle, let partitions, let opaque else { return }
                let callbacks = Callbacks.of(opaque)
                if callbacks.isClosing {
                    // There are no more answers, and `close` waits until the rest has been given up.
                    _ = KafkaError.consume(rd_kafka_incremental_unassign(handle, partitions))
                    return
                }
                let elements = TopicPartitionList.elements(of: partitions)
                if error == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
                    callbacks.hasBeenAssigned = true
                    callbacks.rebalances.append(.assigned(elements))
                } else {
                    let lost = rd_kafka_assignment_lost(handle) != 0
                    callbacks.rebalances.append(lost ? .lost(elements) : .revoked(elements))
                }
                // Ends the poll that called this, so that the owner hears of it before the next record.
                rd_kafka_yield(handle)
            }
            rd_kafka_conf_set_offset_commit_cb(pointer) { _, error, partitions, opaque in
                guard let partitions, let opaque, error != RD_KAFKA_RESP_ERR__NO_OFFSET else { return }
                let elements = TopicPartitionList.elements(of: partitions)
                let failure =
                    error == RD_KAFKA_RESP_ERR_NO_ERROR
                    ? elements.lazy.compactMap(\.error).first.map { KafkaError($0) } : KafkaError(error)
                Callbacks.of(opaque).commits.append((elements, failure))
            }
            rd_kafka_conf_set_error_cb(pointer) { _, error, reason, opaque in
                guard let opaque else { return }
                Callbacks.of(opaque).errors.append(
                    KafkaError(rd_kafka_resp_err_t(error), reason.map { String(cString: $0) }))
            }
            rd_kafka_conf_set_log_cb(pointer) { handle, level, facility, text in
                guard let handle, let opaque = rd_kafka_opaque(handle), let facility, let text else { return }
                Callbacks.of(opaque).logs.append((level, String(cString: facility), String(cString: text)))
            }
        }
        self.callbacks = callbacks
        group = configuration.group
        client = try conf.makeClient(RD_KAFKA_CONSUMER, watch: membership.watch)
        _ = rd_kafka_poll_set_consumer(client.handle)
        _ = rd_kafka_set_log_queue(client.handle, nil)
        waker = ConsumerWaker(rd_kafka_queue_get_consumer(client.handle))
    }

    deinit {
        assert(isClosed, "a consumer is closed by its owner before it goes")
    }

    /// Joins the group for these topics. A name that begins with `^` is a regular expression.
    package func subscribe(to topics: [String]) throws(KafkaError) {
        let list = TopicPartitionList(topics.map { TopicPartition($0, crdkafka_partition_unassigned) })
        try check(list.withPointer { rd_kafka_subscribe(client.handle, $0) })
    }

    /// Reads these partitions from their offsets, outside of any group.
    package func assign(_ partitions: [TopicPartition]) throws(KafkaError) {
        let list = TopicPartitionList(partitions)
        try check(list.withPointer { rd_kafka_assign(client.handle, $0) })
    }

    /// Takes partitions that the group gives: the answer to `.assigned`. They are read from their offsets, and from
    /// where the group left off where these are nil.
    package func assign(incrementally partitions: [TopicPartition]) throws(KafkaError) {
        unanswered = nil
        // A rebalance that took partitions is followed by another one.
        defer { membership.mayJoin() }
        let list = TopicPartitionList(
            partitions.map { TopicPartition($0.topic, $0.partition, offset: $0.offset ?? TopicPartition.stored) })
        if let error = KafkaError.consume(list.withPointer { rd_kafka_incremental_assign(client.handle, $0) }) {
            throw error
        }
    }

    /// Gives partitions up: the answer to `.revoked` and `.lost`.
    package func unassign(incrementally partitions: [TopicPartition]) throws(KafkaError) {
        unanswered = nil
        defer { membership.mayJoin() }
        let list = TopicPartitionList(partitions)
        if let error = KafkaError.consume(list.withPointer { rd_kafka_incremental_unassign(client.handle, $0) }) {
            throw error
        }
    }

    /// Whether what this member was assigned has gone to others without its consent, so that it must not commit.
    package var isAssignmentLost: Bool { rd_kafka_assignment_lost(client.handle) != 0 }

    /// Whether this member is rejoining its group, so that a commit would be rejected. It ends with a rebalance that
    /// brings or takes partitions, or none.
    package var isJoining: Bool { membership.isJoining }

    /// Whether this member has joined its group, and is not joining it again.
    package var isJoined: Bool { membership.hasJoined && !membership.isJoining }

    /// Reads assigned partitions from other offsets. Blocks up to `timeout` milliseconds.
    package func seek(_ partitions: [TopicPartition], timeout: Int32) throws(KafkaError) {
        let list = TopicPartitionList(partitions)
        if let error = KafkaError.consume(
            list.withPointer { rd_kafka_seek_partitions(client.handle, $0, timeout) })
        {
            throw error
        }
        _ = try TopicPartition.withoutErrors(list.elements)
    }

    /// The first and the next offset of an assigned partition according to the last fetch, without a request; nil
    /// before the first fetch.
    package func fetchedWatermarks(topic: String, partition: Int32) -> Range<Int64>? {
        var low: Int64 = 0
        var high: Int64 = 0
        let error = rd_kafka_get_watermark_offsets(client.handle, topic, partition, &low, &high)
        guard error == RD_KAFKA_RESP_ERR_NO_ERROR, high >= 0 else { return nil }
        return min(max(low, 0), high)..<high
    }

    /// What this consumer reads now.
    package var assignment: [TopicPartition] {
        var list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?
        guard rd_kafka_assignment(client.handle, &list) == RD_KAFKA_RESP_ERR_NO_ERROR, let list else { return [] }
        return TopicPartitionList(owning: list).elements
    }

    /// Blocks until something comes, `wake()` is called or the time is over.
    ///
    /// - Parameter timeout: milliseconds; -1 for ever.
    /// - Returns: nil when nothing came.
    package func poll(timeout: Int32) -> ConsumerEvent? {
        if let event = gathered() { return event }
        guard let pointer = rd_kafka_consumer_poll(client.handle, timeout) else { return gathered() }
        if pointer.pointee.err == RD_KAFKA_RESP_ERR_NO_ERROR { return .message(Message(pointer)) }
        return event(of: pointer)
    }

    /// What a message that is no record says; the message is freed.
    func event(of pointer: UnsafeMutablePointer<rd_kafka_message_t>) -> ConsumerEvent {
        let error = pointer.pointee.err
        defer { rd_kafka_message_destroy(pointer) }
        let topic = pointer.pointee.rkt.map { String(cString: rd_kafka_topic_name($0)) } ?? ""
        if error == RD_KAFKA_RESP_ERR__PARTITION_EOF {
            return .partitionEnd(TopicPartition(topic, pointer.pointee.partition, offset: pointer.pointee.offset))
        }
        let text = rd_kafka_message_errstr(pointer).map { String(cString: $0) }
        if !topic.isEmpty {
            return .partitionError(
                TopicPartition(topic, pointer.pointee.partition), KafkaError(error, text))
        }
        return .error(KafkaError(error, text, isFatal: error == RD_KAFKA_RESP_ERR__FATAL))
    }

    /// What callbacks have left behind.
    func gathered() -> ConsumerEvent? {
        if !callbacks.rebalances.isEmpty {
            let rebalance = callbacks.rebalances.removeFirst()
            unanswered = rebalance
            return .rebalance(rebalance)
        }
        if !callbacks.commits.isEmpty {
            let commit = callbacks.commits.removeFirst()
            return .committed(commit.offsets, commit.error)
        }
        if !callbacks.errors.isEmpty { return .error(callbacks.errors.removeFirst()) }
        if !callbacks.logs.isEmpty {
            let line = callbacks.logs.removeFirst()
            return .log(level: line.level, facility: line.facility, text: line.text)
        }
        return nil
    }

    /// Commits the offsets of the next records to read, and waits for the broker. May be called from any thread.
    ///
    /// - Parameter timeout: How long to wait, in milliseconds. A commit that was given up may still arrive.
    /// - Throws: `KafkaError`, with the code `.timedOut` when the broker did not answer in time.
    package func commit(_ offsets: [TopicPartition], timeout: Int32 = 10_000) throws(KafkaError) {
        try client.commit(offsets, timeout: timeout)
    }

    /// Runs a blocking call on a thread of its own, after those that were given before. `close` waits for it before it
    /// ends the client, and never on the caller's time.
    ///
    /// - Returns: false when the consumer is closed or the system has no thread left; the call is then dropped.
    @discardableResult
    package func runInBackground(_ call: @escaping @Sendable (Client) -> Void) -> Bool {
        guard !isClosed else { return false }
        if calls == nil { calls = try? SerialThread("kafka-calls") }
        return calls?.run { [client] in call(client) } ?? false
    }

    /// Commits the offsets of the next records to read; the result is not waited for.
    package func commitLater(_ offsets: [TopicPartition]) throws(KafkaError) {
        let list = TopicPartitionList(offsets)
        try check(list.withPointer { rd_kafka_commit(client.handle, $0, 1) })
    }

    /// What the group has committed for these partitions; the offset is nil where it has not.
    ///
    /// - Throws: also when Kafka does not tell it of one of them (a right that was taken away): that it is not known
    ///   must not be taken for that there is none.
    package func committed(_ partitions: [TopicPartition], timeout: Int32) throws(KafkaError) -> [TopicPartition] {
        try client.committed(partitions, timeout: timeout)
    }

    /// Stops fetching these partitions, keeping them assigned.
    package func pause(_ partitions: [TopicPartition]) throws(KafkaError) {
        let list = TopicPartitionList(partitions)
        try check(list.withPointer { rd_kafka_pause_partitions(client.handle, $0) })
    }

    package func resume(_ partitions: [TopicPartition]) throws(KafkaError) {
        let list = TopicPartitionList(partitions)
        try check(list.withPointer { rd_kafka_resume_partitions(client.handle, $0) })
    }

    /// Leaves the group and ends the client. What was assigned is given up without a commit.
    ///
    /// librdkafka waits for the coordinator and for its own threads here, without a bound. What has not ended in time
    /// goes on ending on another thread.
    ///
    /// - Parameter timeout: How long this may block, in milliseconds.
    /// - Returns: Whether everything has ended.
    @discardableResult
    package func close(timeout: Int32 = 10_000) -> Bool {
        guard !isClosed else { return true }
        isClosed = true
        // librdkafka would wait for an answer without end.
        for rebalance in [unanswered].compactMap({ $0 }) + callbacks.rebalances {
            switch rebalance {
            case .assigned(let partitions): try? assign(incrementally: partitions)
            case .revoked(let partitions), .lost(let partitions): try? unassign(incrementally: partitions)
            }
        }
        callbacks.isClosing = true
        calls?.close()
        let end = End(client: client, waker: waker, callbacks: callbacks, membership: membership, calls: calls)
        guard let hasEnded = try? StopSignal(),
            (try? NamedThread(
                "kafka-end",
                {
                    end.run()
                    hasEnded.set()
                })) != nil
        else {
            end.run()
            return true
        }
        return hasEnded.wait(milliseconds: timeout)
    }

    /// The end of a consumer, on a thread that may block.
    ///
    /// `@unchecked Sendable`: the owner does not touch the callbacks any more once it has handed them over.
    private struct End: @unchecked Sendable {
        let client: Client
        let waker: ConsumerWaker
        let callbacks: Callbacks
        let membership: GroupMembership
        let calls: SerialThread?

        func run() {
            calls?.join()
            waker.close()
            _ = rd_kafka_consumer_close(client.handle)
            guard membership.hasJoined, !callbacks.hasBeenAssigned, rd_kafka_version() < Consumer.survivesEarlyEnd
            else {
                client.destroy()
                return withExtendedLifetime((callbacks, membership)) {}
            }
            _ = Unmanaged.passRetained(callbacks)
            client.abandon(keeping: membership)
        }
    }

    /// Before version 2.3, librdkafka aborts the process when a member of a group ends that has joined and not been
    /// assigned anything yet (librdkafka#4312).
    fileprivate static let survivesEarlyEnd: Int32 = 0x0203_0000

    private func check(_ error: rd_kafka_resp_err_t) throws(KafkaError) {
        guard error == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(error) }
    }
}
