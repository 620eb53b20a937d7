internal import CSMSBridgeRDKafka

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// librdkafka's mock cluster: brokers inside this process, for demonstrations and for faults that a real cluster does
/// not produce on demand.
///
/// It keeps everything in memory, and knows neither offsets by timestamp nor the creation of topics by request: topics
/// come with `createTopic` or with their first use.
package final class MockCluster {
    /// A request of Kafka's protocol, for injected errors.
    package enum Request: Int16, Sendable {
        case produce = 0
        case fetch = 1
        case metadata = 3
        case offsetCommit = 8
        case findCoordinator = 10
        case initProducerID = 22
    }

    private let client: Client
    private let cluster: OpaquePointer
    private var isClosed = false
    private var lastCommand = ContinuousClock.now

    package init(brokers: Int32 = 1) throws(KafkaError) {
        // The cluster's own client has no server; its log (a warning about that) is discarded.
        let conf = try ClientConf(
            ClientConfiguration(bootstrapServers: "", clientID: "mock", properties: ["log_level": "0"]), events: 0)
        client = try conf.makeClient(RD_KAFKA_PRODUCER)
        guard let cluster = rd_kafka_mock_cluster_new(client.handle, brokers) else {
            throw KafkaError(.unknown, "cannot make a mock cluster")
        }
        self.cluster = cluster
    }

    deinit {
        assert(isClosed, "a mock cluster is closed by its owner before it goes")
    }

    /// Ends the cluster, and with it all its data; blocks.
    package func close() {
        guard !isClosed else { return }
        isClosed = true
        rd_kafka_mock_cluster_destroy(cluster)
        client.destroy()
    }

    /// `host:port`, comma-separated; other processes of this machine may use it too.
    package var bootstrapServers: String {
        String(cString: rd_kafka_mock_cluster_bootstraps(cluster))
    }

    package func createTopic(_ name: String, partitions: Int32, replication: Int32 = 1) throws(KafkaError) {
        try command { rd_kafka_mock_topic_create(cluster, name, partitions, replication) }
    }

    /// The next requests of this kind fail with these errors, one each.
    package func failNext(_ request: Request, with errors: [KafkaError.Code]) {
        let errors = errors.map(\.error)
        errors.withUnsafeBufferPointer {
            rd_kafka_mock_push_request_errors_array(cluster, request.rawValue, $0.count, $0.baseAddress)
        }
    }

    package func clearFailures(of request: Request) {
        rd_kafka_mock_clear_request_errors(cluster, request.rawValue)
    }

    /// Whatever is asked of this topic fails so; nil heals it.
    package func setError(_ error: KafkaError.Code?, ofTopic topic: String) {
        try? command {
            rd_kafka_mock_topic_set_error(cluster, topic, error?.error ?? RD_KAFKA_RESP_ERR_NO_ERROR)
            return RD_KAFKA_RESP_ERR_NO_ERROR
        }
    }

    /// Closes a broker's connections and refuses new ones.
    package func setDown(_ broker: Int32) throws(KafkaError) {
        try command { rd_kafka_mock_broker_set_down(cluster, broker) }
    }

    package func setUp(_ broker: Int32) throws(KafkaError) {
        try command { rd_kafka_mock_broker_set_up(cluster, broker) }
    }

    /// How long a broker takes for each answer, in milliseconds.
    package func setRoundTripTime(_ milliseconds: Int32, of broker: Int32) throws(KafkaError) {
        try command { rd_kafka_mock_broker_set_rtt(cluster, broker, milliseconds) }
    }

    /// Moves a partition's leadership.
    package func setLeader(_ broker: Int32, ofTopic topic: String, partition: Int32) throws(KafkaError) {
        try command { rd_kafka_mock_partition_set_leader(cluster, topic, partition, broker) }
    }

    /// Commands keep a distance of a millisecond: the cluster's thread clears its wake-up after it has looked for
    /// commands (so still in 2.0.2), and one that comes in between waits for a second, unless a client sends a request.
    private func command(_ body: () -> rd_kafka_resp_err_t) throws(KafkaError) {
        let rest = lastCommand + .milliseconds(1) - .now
        if rest > .zero { usleep(UInt32(rest / .microseconds(1)) + 1) }
        let error = body()
        lastCommand = .now
        guard error == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(error) }
    }
}
