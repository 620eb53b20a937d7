internal import CSMSBridgeRDKafka

/// An error of Kafka or of librdkafka.
///
/// The description is librdkafka's own text; it names brokers, topics and properties, never a record's content.
package struct KafkaError: Error, Sendable, Hashable, CustomStringConvertible {
    /// Which error it is: Kafka's protocol errors are positive, librdkafka's own are negative.
    package struct Code: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
        package let rawValue: Int32

        package init(rawValue: Int32) {
            self.rawValue = rawValue
        }

        init(_ error: rd_kafka_resp_err_t) {
            rawValue = error.rawValue
        }

        var error: rd_kafka_resp_err_t {
            rd_kafka_resp_err_t(rawValue)
        }

        /// The error's name as Kafka and librdkafka spell it, such as `MSG_SIZE_TOO_LARGE` or `_TIMED_OUT`.
        ///
        /// From a closed set, so it may label a metric.
        package var description: String {
            guard let name = rd_kafka_err2name(error) else { return "ERR_\(rawValue)" }
            return String(cString: name)
        }

        /// Whether the record itself is rejected, so that a retry does not help. Kafka says so of a whole batch: one
        /// record of several may be meant. Not a rejected timestamp, which passes when the clock is right.
        package var rejectsRecord: Bool {
            switch self {
            case .messageTooLarge, .invalidMessage, .invalidMessageSize, .invalidRecord: true
            default: false
            }
        }

        /// Whether a partition has no leader that is known here, which passes.
        package var isOfLeadership: Bool {
            [
                RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
                RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION,
            ].contains(error)
        }

        /// Whether a request failed because the cluster did not answer, or its coordinator moves: the same request may
        /// succeed.
        package var isTransient: Bool {
            [
                RD_KAFKA_RESP_ERR__TIMED_OUT, RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE, RD_KAFKA_RESP_ERR__TRANSPORT,
                RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, RD_KAFKA_RESP_ERR__WAIT_COORD, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
                RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
                RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
            ].contains(error)
        }

        /// Whether a commit was rejected because the member's generation has ended, or is ending. The member may still
        /// have its partitions, and may commit them in the next generation.
        package var isOfRebalance: Bool {
            [RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS].contains(error)
        }

        package static let unknown = Code(RD_KAFKA_RESP_ERR_UNKNOWN)
        package static let queueFull = Code(RD_KAFKA_RESP_ERR__QUEUE_FULL)
        package static let timedOut = Code(RD_KAFKA_RESP_ERR__TIMED_OUT)
        package static let messageTimedOut = Code(RD_KAFKA_RESP_ERR__MSG_TIMED_OUT)
        package static let fatal = Code(RD_KAFKA_RESP_ERR__FATAL)
        package static let transport = Code(RD_KAFKA_RESP_ERR__TRANSPORT)
        package static let resolve = Code(RD_KAFKA_RESP_ERR__RESOLVE)
        package static let authentication = Code(RD_KAFKA_RESP_ERR__AUTHENTICATION)
        package static let ssl = Code(RD_KAFKA_RESP_ERR__SSL)
        package static let invalidRequiredAcks = Code(RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS)
        package static let allBrokersDown = Code(RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        package static let invalidArgument = Code(RD_KAFKA_RESP_ERR__INVALID_ARG)
        package static let purgedInQueue = Code(RD_KAFKA_RESP_ERR__PURGE_QUEUE)
        package static let purgedInFlight = Code(RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
        package static let destroyed = Code(RD_KAFKA_RESP_ERR__DESTROY)
        package static let partitionEnd = Code(RD_KAFKA_RESP_ERR__PARTITION_EOF)
        package static let offsetReset = Code(RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
        package static let noOffset = Code(RD_KAFKA_RESP_ERR__NO_OFFSET)
        package static let unknownTopic = Code(RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC)
        package static let unknownTopicOrPartition = Code(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        package static let inconsistentGroupProtocol = Code(RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL)
        package static let topicExists = Code(RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
        package static let rebalanceInProgress = Code(RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS)
        package static let unknownMember = Code(RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID)
        package static let topicNotAuthorized = Code(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        package static let groupNotAuthorized = Code(RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED)
        package static let clusterNotAuthorized = Code(RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED)
        package static let messageTooLarge = Code(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
        package static let invalidMessage = Code(RD_KAFKA_RESP_ERR_INVALID_MSG)
        package static let invalidMessageSize = Code(RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE)
        package static let invalidTimestamp = Code(RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP)
        package static let invalidRecord = Code(RD_KAFKA_RESP_ERR_INVALID_RECORD)
        package static let invalidReplicationFactor = Code(RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR)
        package static let invalidConfiguration = Code(RD_KAFKA_RESP_ERR_INVALID_CONFIG)
        package static let notEnoughReplicas = Code(RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS)
        package static let leaderNotAvailable = Code(RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE)
        package static let requestTimedOut = Code(RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT)
        package static let outOfOrderSequence = Code(RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER)
    }

    package let code: Code
    package let message: String
    /// The client is unusable: it must be destroyed and recreated.
    package let isFatal: Bool

    package init(_ code: Code, _ message: String? = nil, isFatal: Bool = false) {
        self.code = code
        self.message = message ?? String(cString: rd_kafka_err2str(code.error))
        self.isFatal = isFatal
    }

    init(_ error: rd_kafka_resp_err_t, _ message: String? = nil, isFatal: Bool = false) {
        self.init(Code(error), message, isFatal: isFatal)
    }

    /// Takes over an error object of librdkafka and frees it. Returns nil for success.
    static func consume(_ object: OpaquePointer?) -> KafkaError? {
        guard let object else { return nil }
        defer { rd_kafka_error_destroy(object) }
        return KafkaError(
            rd_kafka_error_code(object), String(cString: rd_kafka_error_string(object)),
            isFatal: rd_kafka_error_is_fatal(object) != 0)
    }

    package var description: String {
        "\(message) (\(code)\(isFatal ? ", fatal" : ""))"
    }
}
