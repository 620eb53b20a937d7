internal import CSMSBridgeRDKafka

/// What is asked about a consumer group from outside.
extension Client {
    /// What the group of this client has committed for these partitions; the offset is nil where it has not. Blocks up to
    /// `timeout` milliseconds.
    ///
    /// - Throws: also when Kafka does not tell it of one of them (a right that was taken away): that it is not known must
    ///   not be taken for that there is none.
    package func committed(_ partitions: [TopicPartition], timeout: Int32) throws(KafkaError) -> [TopicPartition] {
        let list = TopicPartitionList(partitions)
        let error = list.withPointer { rd_kafka_committed(handle, $0, timeout) }
        guard error == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(error) }
        return try TopicPartition.withoutErrors(list.elements)
    }

    /// Commits offsets for the group of this client, with their metadata. Blocks up to `timeout` milliseconds.
    ///
    /// `rd_kafka_commit` would wait without a bound: for a coordinator that does not answer, and for one that is not found.
    ///
    /// - Throws: `KafkaError`, with the code `.timedOut` when the broker did not answer in time: the commit may still
    ///   arrive.
    package func commit(_ offsets: [TopicPartition], timeout: Int32) throws(KafkaError) {
        guard let queue = rd_kafka_queue_new(handle) else { throw KafkaError(.unknown) }
        defer { rd_kafka_queue_destroy(queue) }
        let list = TopicPartitionList(offsets)
        let error = list.withPointer { rd_kafka_commit_queue(handle, $0, queue, nil, nil) }
        guard error == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(error) }
        guard let event = rd_kafka_queue_poll(queue, timeout) else {
            throw KafkaError(.timedOut, "no answer to a commit of offsets within \(timeout) ms")
        }
        defer { rd_kafka_event_destroy(event) }
        let outcome = rd_kafka_event_error(event)
        guard outcome == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(outcome) }
        if let committed = rd_kafka_event_topic_partition_list(event) {
            _ = try TopicPartition.withoutErrors(TopicPartitionList.elements(of: committed))
        }
    }

    /// The cluster id of the newest metadata response; nil before the first one. Does not block.
    ///
    /// librdkafka replaces it when a broker reports another one, so it changes when the address leads to another cluster.
    package var clusterID: String? {
        guard let text = rd_kafka_clusterid(handle, 0) else { return nil }
        defer { rd_kafka_mem_free(handle, text) }
        return String(cString: text)
    }
}
