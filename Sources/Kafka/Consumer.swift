internal import CRDKafka
internal import Synchronization

/// How a consumer reads.
package struct ConsumerConfiguration: Sendable {
    package var client: ClientConfiguration
    /// The consumer group. A consumer that assigns partitions by hand and commits nothing still needs a name.
    package var group: String
    /// Where a group without a committed offset, or with one that is out of range, begins.
    package var startsAtEarliest: Bool = true
    /// Whether the end of each partition is told.
    package var reportsPartitionEnd: Bool = false

    package init(client: ClientConfiguration, group: String) {
        self.client = client
        self.group = group
    }
}

/// What a poll of a consumer brings.
package enum ConsumerEvent: ~Copyable {
    case message(Message)
    /// The last record of the partition has been delivered; more may come.
    case partitionEnd(TopicPartition)
    /// librdkafka goes on by itself, unless it is fatal.
    case error(KafkaError)
    /// A line of librdkafka's log; the level is syslog's.
    case log(level: Int32, facility: String, text: String)
}

/// A change of what this member of a group reads, told from inside `poll`.
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
/// (`max.poll.interval.ms`). Rebalances are cooperative and handled inside the poll. `wake()` may come from any thread,
/// as may the calls on `client`.
package final class Consumer {
    package let client: Client
    private let queue: OpaquePointer
    private let callbacks: Callbacks
    private var isClosed = false

    /// What librdkafka's callbacks reach through their opaque pointer. It lives as long as the consumer; librdkafka calls
    /// back inside `poll` and `close` only, on the owner's thread (log lines too, through `log.queue`).
    private final class Callbacks {
        var onRebalance: ((Rebalance) -> Void)?
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
        try conf.set("auto.offset.reset", configuration.startsAtEarliest ? "earliest" : "latest")
        try conf.set("enable.partition.eof", configuration.reportsPartitionEnd ? "true" : "false")
        try conf.set("partition.assignment.strategy", "cooperative-sticky")
        let callbacks = Callbacks()
        conf.withPointer { pointer in
            rd_kafka_conf_set_opaque(pointer, Unmanaged.passUnretained(callbacks).toOpaque())
            rd_kafka_conf_set_rebalance_cb(pointer) { handle, error, partitions, opaque in
                guard let handle, let partitions, let opaque else { return }
                let callbacks = Callbacks.of(opaque)
                let elements = TopicPartitionList.elements(of: partitions)
                if error == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
                    callbacks.onRebalance?(.assigned(elements))
                    _ = KafkaError.consume(rd_kafka_incremental_assign(handle, partitions))
                } else {
                    let lost = rd_kafka_assignment_lost(handle) != 0
                    callbacks.onRebalance?(lost ? .lost(elements) : .revoked(elements))
                    _ = KafkaError.consume(rd_kafka_incremental_unassign(handle, partitions))
                }
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
        client = try conf.makeClient(RD_KAFKA_CONSUMER)
        _ = rd_kafka_poll_set_consumer(client.handle)
        _ = rd_kafka_set_log_queue(client.handle, nil)
        queue = rd_kafka_queue_get_consumer(client.handle)
    }

    deinit {
        assert(isClosed, "a consumer is closed by its owner before it goes")
    }

    /// Called inside `poll` and `close`, before a change of the assignment takes effect.
    package var onRebalance: ((Rebalance) -> Void)? {
        get { callbacks.onRebalance }
        set { callbacks.onRebalance = newValue }
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
        let error = pointer.pointee.err
        if error == RD_KAFKA_RESP_ERR_NO_ERROR { return .message(Message(pointer)) }
        defer { rd_kafka_message_destroy(pointer) }
        let topic = pointer.pointee.rkt.map { String(cString: rd_kafka_topic_name($0)) } ?? ""
        if error == RD_KAFKA_RESP_ERR__PARTITION_EOF {
            return .partitionEnd(TopicPartition(topic, pointer.pointee.partition, offset: pointer.pointee.offset))
        }
        let text = rd_kafka_message_errstr(pointer).map { String(cString: $0) }
        return .error(KafkaError(error, text, isFatal: error == RD_KAFKA_RESP_ERR__FATAL))
    }

    /// What callbacks have left behind.
    private func gathered() -> ConsumerEvent? {
        if !callbacks.errors.isEmpty { return .error(callbacks.errors.removeFirst()) }
        if !callbacks.logs.isEmpty {
            let line = callbacks.logs.removeFirst()
            return .log(level: line.level, facility: line.facility, text: line.text)
        }
        return nil
    }

    /// Ends a blocked `poll` of the owner's thread. May be called from any thread, until `close`.
    package func wake() {
        rd_kafka_queue_yield(queue)
    }

    /// Commits the offsets of the next records to read, and waits for the broker.
    package func commit(_ offsets: [TopicPartition]) throws(KafkaError) {
        let list = TopicPartitionList(offsets)
        try check(list.withPointer { rd_kafka_commit(client.handle, $0, 0) })
    }

    /// Commits the offsets of the next records to read; the result is not waited for.
    package func commitLater(_ offsets: [TopicPartition]) throws(KafkaError) {
        let list = TopicPartitionList(offsets)
        try check(list.withPointer { rd_kafka_commit(client.handle, $0, 1) })
    }

    /// What the group has committed for these partitions; the offset is nil where it has not.
    package func committed(_ partitions: [TopicPartition], timeout: Int32) throws(KafkaError) -> [TopicPartition] {
        let list = TopicPartitionList(partitions)
        try check(list.withPointer { rd_kafka_committed(client.handle, $0, timeout) })
        return list.elements
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

    /// Leaves the group and ends the client; blocks, and calls `onRebalance` for what is given up.
    package func close() {
        guard !isClosed else { return }
        isClosed = true
        rd_kafka_queue_destroy(queue)
        _ = rd_kafka_consumer_close(client.handle)
        client.destroy()
    }

    private func check(_ error: rd_kafka_resp_err_t) throws(KafkaError) {
        guard error == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(error) }
    }
}
