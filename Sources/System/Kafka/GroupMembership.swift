internal import CSMSBridgeRDKafka
internal import Synchronization

/// Whether a member of a group is rejoining it, derived from the requests that librdkafka sends.
///
/// Between a JoinGroup request and the answer to the SyncGroup request that follows, the member's generation is about
/// to end, and librdkafka does not say so: a cooperative rebalance is reported when it is over. A commit in that time
/// waits behind the JoinGroup on the coordinator's connection, arrives with the old generation and is refused; before
/// version 2.8 librdkafka then even gives up all that the member had (librdkafka#4059). So commits wait for the end of
/// it.
final class GroupMembership: Sendable {
    private let joining = Atomic<Bool>(false)
    private let joined = Atomic<Bool>(false)

    var isJoining: Bool { joining.load(ordering: .acquiring) }
    /// Whether it has ever asked to join.
    var hasJoined: Bool { joined.load(ordering: .acquiring) }

    // Kafka's numbers of the requests.
    private static let joinGroup: Int16 = 11
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
                        if key == GroupMembership.joinGroup { GroupMembership.of(opaque).set(true) }
                        return RD_KAFKA_RESP_ERR_NO_ERROR
                    }, opaque)
                guard error == RD_KAFKA_RESP_ERR_NO_ERROR else { return error }
                return rd_kafka_interceptor_add_on_response_received(
                    client, "membership",
                    { _, _, _, _, key, _, _, _, _, _, opaque in
                        if key == GroupMembership.syncGroup { GroupMembership.of(opaque).set(false) }
                        return RD_KAFKA_RESP_ERR_NO_ERROR
                    }, opaque)
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    private func set(_ isJoining: Bool) {
        if isJoining { joined.store(true, ordering: .releasing) }
        joining.store(isJoining, ordering: .releasing)
    }

    private static func of(_ opaque: UnsafeMutableRawPointer?) -> GroupMembership {
        Unmanaged<GroupMembership>.fromOpaque(opaque!).takeUnretainedValue()
    }
}
