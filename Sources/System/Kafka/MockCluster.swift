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
    /// The ports of the brokers that are down.
    private var reservedPorts: [Int32: ReservedPort] = [:]

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
        reservedPorts = [:]
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
    ///
    /// Its port stays reserved: the system could give it to any connection that is opened in between, and librdkafka ends
    /// the process when the port is taken at `setUp`.
    package func setDown(_ broker: Int32) throws(KafkaError) {
        try command { rd_kafka_mock_broker_set_down(cluster, broker) }
        guard reservedPorts[broker] == nil else { return }
        let addresses = bootstrapServers.split(separator: ",")
        let port = addresses[Int(broker) - 1].split(separator: ":").last.flatMap { UInt16($0) }
        reservedPorts[broker] = port.flatMap(ReservedPort.init)
    }

    package func setUp(_ broker: Int32) throws(KafkaError) {
        try command { rd_kafka_mock_broker_set_up(cluster, broker) }
        reservedPorts[broker] = nil
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

/// A socket of the loopback address that is bound and does not listen: connections are refused, and only a server that
/// reuses the address, as librdkafka's mock brokers do, can listen on the port.
private final class ReservedPort {
    private let descriptor: Int32

    init?(_ port: UInt16) {
        #if canImport(Glibc)
        let type = Int32(SOCK_STREAM.rawValue)
        #else
        let type = SOCK_STREAM
        #endif
        descriptor = socket(AF_INET, type, 0)
        guard descriptor >= 0 else { return nil }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        var isOn: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &isOn, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if result != 0 { return nil }
    }

    deinit {
        if descriptor >= 0 { _ = close(descriptor) }
    }
}
