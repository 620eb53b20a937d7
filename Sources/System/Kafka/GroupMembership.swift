internal import CSMSBridgeRDKafka
internal import SMSBridgeTelemetry
internal import Synchronization

/// Whether a member of a group is rejoining it, or is about to, derived from the requests that librdkafka sends.
///
/// Between a JoinGroup request and the answer to the SyncGroup request that follows, the member's generation is about
/// to end, and librdkafka does not say so: a cooperative rebalance is reported when it is over. A commit in that time
/// waits behind the JoinGroup on the coordinator's connection, arrives with the old generation and is rejected; before
/// version 2.8 librdkafka then even gives up all that the member had (librdkafka#4059). So commits wait for the end of
/// it.
///
/// librdkafka's main thread decides to join, and only a request that is sent is seen here. What makes it decide is an
/// answer to a heartbeat, or the owner's answer to a rebalance: a commit waits until nothing has come of it either.
package final class GroupMembership: Sendable {
    private let joining = Atomic<Bool>(false)
    private let joined = Atomic<Bool>(false)
    /// Whether a heartbeat has been sent and not answered.
    private let heartbeat = Atomic<Bool>(false)
    /// When something came that may make the member join again, by the monotonic clock.
    private let lastCause = Atomic<UInt64>(0)

    /// How long it takes at most until a JoinGroup request is sent after its cause, in nanoseconds. Generous: threads of a
    /// busy machine wait for a processor.
    static let settleTime: UInt64 = 200_000_000

    package var isJoining: Bool { joining.load(ordering: .acquiring) }
    /// Whether it has ever asked to join.
    var hasJoined: Bool { joined.load(ordering: .acquiring) }

    /// Whether a request that is sent now is sure to be ahead of the next JoinGroup request.
    package var isSettled: Bool {
        guard !isJoining, !heartbeat.load(ordering: .acquiring) else { return false }
        return monotonicNow() >= lastCause.load(ordering: .acquiring) + Self.settleTime
    }

    // Kafka's numbers of the requests.
    private static let joinGroup: Int16 = 11
    private static let heartbeatRequest: Int16 = 12
    private static let syncGroup: Int16 = 14

    /// Makes the client of this configuration report its requests here, which must live as long as that client. The
    /// calls come from librdkafka's own threads.
    func watch(_ conf: OpaquePointer) {
        _ = rd_kafka_conf_interceptor_add_on_new(
            conf, "membership",
            { client, _, opaque, _, _ in
                let error = rd_kafka_interceptor_add_on_request_sent(
                    client, "membership",
                    { _, _, _, _, key, _, _, _, opaque in
                        GroupMembership.of(opaque).sent(key)
                        return RD_KAFKA_RESP_ERR_NO_ERROR
                    }, opaque)
                guard error == RD_KAFKA_RESP_ERR_NO_ERROR else { return error }
                return rd_kafka_interceptor_add_on_response_received(
                    client, "membership",
                    { _, _, _, _, key, _, _, _, _, _, opaque in
                        GroupMembership.of(opaque).received(key)
                        return RD_KAFKA_RESP_ERR_NO_ERROR
                    }, opaque)
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    private func sent(_ key: Int16) {
        switch key {
        case Self.joinGroup:
            joined.store(true, ordering: .releasing)
            joining.store(true, ordering: .releasing)
        case Self.heartbeatRequest: heartbeat.store(true, ordering: .releasing)
        default: break
        }
    }

    private func received(_ key: Int16) {
        switch key {
        case Self.syncGroup:
            mayJoin()
            heartbeat.store(false, ordering: .releasing)
            joining.store(false, ordering: .releasing)
        case Self.heartbeatRequest:
            mayJoin()
            heartbeat.store(false, ordering: .releasing)
        default: break
        }
    }

    /// Something has come, or has been answered, that may make the member join again.
    func mayJoin() {
        lastCause.store(monotonicNow(), ordering: .releasing)
    }

    private static func of(_ opaque: UnsafeMutableRawPointer?) -> GroupMembership {
        Unmanaged<GroupMembership>.fromOpaque(opaque!).takeUnretainedValue()
    }
}
