internal import CSMSBridgeRDKafka
internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// A client handle of librdkafka.
///
/// `@unchecked Sendable`: librdkafka guards the handle with its own locks and every call on it may come from any
/// thread, but for `destroy()`, which its owner calls once, when it is no longer in use. It waits for
/// librdkafka's threads and may take seconds, so it is never called on an event loop, nor from a `deinit`.
package final class Client: @unchecked Sendable {
    let handle: OpaquePointer
    private let counter: ConnectionCounter?

    init(_ handle: OpaquePointer, counter: ConnectionCounter? = nil) {
        self.handle = handle
        self.counter = counter
    }

    /// How many connections it has opened; 0 for a client that does not count them.
    package var connections: UInt64 { counter?.value ?? 0 }

    /// The end offsets of partitions, by one question to each of their leaders. Blocks up to `timeout` milliseconds.
    ///
    /// - Returns: the partitions with their end offset, or with the error that each has met.
    package func endOffsets(of partitions: [TopicPartition], timeout: Int32) throws(KafkaError) -> [TopicPartition] {
        guard !partitions.isEmpty else { return [] }
        // -1 in place of a time asks for the end (ListOffsets of the Kafka protocol).
        let list = TopicPartitionList(partitions.map { TopicPartition($0.topic, $0.partition, offset: -1) })
        let error = list.withPointer { rd_kafka_offsets_for_times(handle, $0, timeout) }
        guard error == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(error) }
        return list.elements
    }

    /// A client for nothing but questions: it says nothing by itself and needs no polling.
    package static func silent(_ configuration: ClientConfiguration) throws(KafkaError) -> Client {
        let conf = try ClientConf(configuration, events: 0)
        try conf.set("log_level", "0")
        return try conf.makeClient(RD_KAFKA_PRODUCER)
    }

    /// The client's name in librdkafka's logs.
    package var name: String {
        String(cString: rd_kafka_name(handle))
    }

    /// Sets the user name and password with which it logs in from the next connection on (SASL PLAIN and SCRAM);
    /// connections that are there stay. Without both, or of another mechanism, nothing is set.
    ///
    /// - Throws: `KafkaError` when librdkafka refuses them.
    package func useCredentials(of configuration: ClientConfiguration) throws(KafkaError) {
        guard let user = configuration.properties["sasl.username"],
            let password = configuration.properties["sasl.password"]
        else { return }
        guard let error = rd_kafka_sasl_set_credentials(handle, user, password) else { return }
        defer { rd_kafka_error_destroy(error) }
        throw KafkaError(rd_kafka_error_code(error), "librdkafka does not take a new user name and password")
    }

    /// Ends the client; blocks until librdkafka's threads are gone. What is still queued in a producer is dropped.
    package func destroy() {
        rd_kafka_destroy(handle)
    }

    /// Leaves a client that cannot be ended as it is, until the process ends, with what it still calls.
    func abandon(keeping watcher: any Sendable & AnyObject) {
        abandonedClients.withLock { $0.append((self, watcher)) }
    }

    /// Asks the cluster for its brokers and topics. Blocks up to `timeout` milliseconds.
    ///
    /// - Parameters:
    ///   - topic: only this topic; nil for all that the client may see.
    ///   - timeout: milliseconds.
    /// - Returns: the cluster's metadata. A topic that is asked for by name and is missing comes with its error.
    /// - Throws: `KafkaError` when no broker answers in time.
    package func metadata(topic: String? = nil, timeout: Int32) throws(KafkaError) -> ClusterMetadata {
        var topicHandle: OpaquePointer?
        if let topic {
            topicHandle = rd_kafka_topic_new(handle, topic, nil)
            guard topicHandle != nil else { throw KafkaError(rd_kafka_last_error()) }
        }
        defer { if let topicHandle { rd_kafka_topic_destroy(topicHandle) } }
        var metadata: UnsafePointer<rd_kafka_metadata>?
        let error = rd_kafka_metadata(handle, topic == nil ? 1 : 0, topicHandle, &metadata, timeout)
        guard error == RD_KAFKA_RESP_ERR_NO_ERROR, let metadata else { throw KafkaError(error) }
        defer { rd_kafka_metadata_destroy(metadata) }
        return ClusterMetadata(metadata.pointee)
    }

    /// The first and the next offset of a partition. Blocks up to `timeout` milliseconds.
    package func watermarks(topic: String, partition: Int32, timeout: Int32) throws(KafkaError) -> Range<Int64> {
        var low: Int64 = 0
        var high: Int64 = 0
        let error = rd_kafka_query_watermark_offsets(handle, topic, partition, &low, &high, timeout)
        guard error == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(error) }
        return low..<max(low, high)
    }

    /// For each partition the first offset whose timestamp is `times[…].offset` (milliseconds) or later; nil where
    /// there is none. Blocks up to `timeout` milliseconds.
    package func offsets(
        forTimes times: [TopicPartition], timeout: Int32
    ) throws(KafkaError) -> [TopicPartition] {
        let list = TopicPartitionList(times)
        let error = list.withPointer { rd_kafka_offsets_for_times(handle, $0, timeout) }
        guard error == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(error) }
        return list.elements
    }
}

private let abandonedClients = Mutex<[(Client, any Sendable & AnyObject)]>([])

/// The brokers and topics of a cluster.
package struct ClusterMetadata: Sendable {
    package struct Broker: Sendable {
        package let id: Int32
        package let host: String
        package let port: Int32

        package init(id: Int32, host: String, port: Int32) {
            self.id = id
            self.host = host
            self.port = port
        }
    }

    package struct Partition: Sendable {
        package let id: Int32
        /// The leader's broker id; -1 where there is none.
        package let leader: Int32
        package let replicas: [Int32]
        package let inSyncReplicas: [Int32]

        package init(id: Int32, leader: Int32, replicas: [Int32], inSyncReplicas: [Int32]) {
            self.id = id
            self.leader = leader
            self.replicas = replicas
            self.inSyncReplicas = inSyncReplicas
        }
    }

    package struct Topic: Sendable {
        package let name: String
        package let error: KafkaError.Code?
        package let partitions: [Partition]

        package init(name: String, error: KafkaError.Code?, partitions: [Partition]) {
            self.name = name
            self.error = error
            self.partitions = partitions
        }
    }

    package let brokers: [Broker]
    package let topics: [Topic]

    package init(brokers: [Broker], topics: [Topic]) {
        self.brokers = brokers
        self.topics = topics
    }

    init(_ metadata: rd_kafka_metadata) {
        brokers = UnsafeBufferPointer(start: metadata.brokers, count: Int(metadata.broker_cnt)).map {
            Broker(id: $0.id, host: String(cString: $0.host), port: $0.port)
        }
        topics = UnsafeBufferPointer(start: metadata.topics, count: Int(metadata.topic_cnt)).map { topic in
            Topic(
                name: String(cString: topic.topic),
                error: topic.err == RD_KAFKA_RESP_ERR_NO_ERROR ? nil : KafkaError.Code(topic.err),
                partitions: UnsafeBufferPointer(start: topic.partitions, count: Int(topic.partition_cnt)).map {
                    Partition(
                        id: $0.id, leader: $0.leader,
                        replicas: Array(UnsafeBufferPointer(start: $0.replicas, count: Int($0.replica_cnt))),
                        inSyncReplicas: Array(UnsafeBufferPointer(start: $0.isrs, count: Int($0.isr_cnt))))
                })
        }
    }
}

/// A partition of a topic, with an offset where one is meant.
package struct TopicPartition: Sendable, Hashable, CustomStringConvertible {
    package var topic: String
    package var partition: Int32
    /// An offset, a time in milliseconds where a call asks for one, or nil for none.
    package var offset: Int64?
    package var error: KafkaError.Code?
    /// What a commit keeps beside the offset, 4,096 bytes at most; nil for nothing.
    package var metadata: String?

    package init(_ topic: String, _ partition: Int32, offset: Int64? = nil, metadata: String? = nil) {
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.metadata = metadata
    }

    package var description: String {
        "\(topic)[\(partition)]" + (offset.map { "@\($0)" } ?? "")
    }

    /// The partitions of an answer, each of which may have failed by itself while the call succeeded.
    ///
    /// - Throws: the first of these errors.
    package static func withoutErrors(_ answer: [TopicPartition]) throws(KafkaError) -> [TopicPartition] {
        for place in answer {
            if let code = place.error {
                let text = KafkaError(code).message
                throw KafkaError(code, "\(place.topic)[\(place.partition)]: \(text)")
            }
        }
        return answer
    }

    /// In place of an offset: from the partition's first record.
    package static let beginning = Int64(RD_KAFKA_OFFSET_BEGINNING)
    /// Instead of an offset: only records written from now on.
    package static let end = Int64(RD_KAFKA_OFFSET_END)
    /// In place of an offset: where the group left off.
    package static let stored = Int64(RD_KAFKA_OFFSET_STORED)
}

/// librdkafka's list of partitions, freed with this value.
struct TopicPartitionList: ~Copyable {
    private let pointer: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>

    init(_ elements: [TopicPartition]) {
        pointer = rd_kafka_topic_partition_list_new(Int32(elements.count))
        for element in elements {
            let added = rd_kafka_topic_partition_list_add(pointer, element.topic, element.partition)
            added?.pointee.offset = element.offset ?? Int64(RD_KAFKA_OFFSET_INVALID)
            if let metadata = element.metadata {
                // librdkafka frees it with the list.
                added?.pointee.metadata = UnsafeMutableRawPointer(strdup(metadata))
                added?.pointee.metadata_size = metadata.utf8.count
            }
        }
    }

    /// Takes a list over.
    init(owning pointer: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>) {
        self.pointer = pointer
    }

    deinit {
        rd_kafka_topic_partition_list_destroy(pointer)
    }

    func withPointer<R>(_ body: (UnsafeMutablePointer<rd_kafka_topic_partition_list_t>) -> R) -> R {
        body(pointer)
    }

    var elements: [TopicPartition] { Self.elements(of: pointer) }

    static func elements(of list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>) -> [TopicPartition] {
        UnsafeBufferPointer(start: list.pointee.elems, count: Int(list.pointee.cnt)).map {
            var element = TopicPartition(String(cString: $0.topic), $0.partition)
            if $0.offset >= 0 { element.offset = $0.offset }
            if let metadata = $0.metadata, $0.metadata_size > 0 {
                let bytes = UnsafeRawBufferPointer(start: metadata, count: $0.metadata_size)
                element.metadata = String(decoding: bytes, as: UTF8.self)
            }
            if $0.err != RD_KAFKA_RESP_ERR_NO_ERROR { element.error = KafkaError.Code($0.err) }
            return element
        }
    }
}
