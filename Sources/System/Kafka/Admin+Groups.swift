internal import CSMSBridgeRDKafka

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// Whether a consumer group has members.
package enum GroupUse: Sendable, Hashable {
    case noGroup
    /// It has committed offsets, perhaps, and no members.
    case empty
    /// It has so many members.
    case members(Int)
    /// It has members, of a protocol that this librdkafka cannot describe (KIP-848).
    case membersOfUnknownCount
}

extension Admin {
    /// Whether a group has members, of whatever protocol. Blocks up to `timeout` milliseconds a request.
    ///
    /// Kafka answers the classic DescribeGroups for a group of the new protocol as if there were none (KIP-848). Newer releases
    /// of librdkafka ask again in the new way; with older ones the list of groups tells at least its state.
    package func use(of group: String, timeout: Int32) throws(KafkaError) -> GroupUse {
        let (state, members) = try describe(group, timeout: timeout)
        if members > 0 { return .members(members) }
        if state == RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY { return .empty }
        switch try listedState(of: group, timeout: timeout) {
        case nil: return .noGroup
        case RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY, RD_KAFKA_CONSUMER_GROUP_STATE_DEAD: return .empty
        // Stable, rebalancing, or a state that only the new protocol has.
        default: return .membersOfUnknownCount
        }
    }

    private func describe(
        _ group: String, timeout: Int32
    ) throws(KafkaError) -> (state: rd_kafka_consumer_group_state_t, members: Int) {
        let event = try group.withMutableCString { name throws(KafkaError) in
            var names: [UnsafePointer<CChar>?] = [UnsafePointer(name)]
            return try run(RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, timeout: timeout) { options in
                rd_kafka_DescribeConsumerGroups(client.handle, &names, names.count, options, queue)
            }
        }
        defer { rd_kafka_event_destroy(event) }
        var count = 0
        let found = rd_kafka_DescribeConsumerGroups_result_groups(
            rd_kafka_event_DescribeConsumerGroups_result(event), &count)
        guard count > 0, let description = found?[0] else { return (RD_KAFKA_CONSUMER_GROUP_STATE_UNKNOWN, 0) }
        if let error = rd_kafka_ConsumerGroupDescription_error(description) {
            let code = KafkaError.Code(rd_kafka_error_code(error))
            // The answer for a group that does not exist, and for one of the new protocol.
            guard code != .groupNotAuthorized else { throw KafkaError(code) }
            return (RD_KAFKA_CONSUMER_GROUP_STATE_UNKNOWN, 0)
        }
        return (
            rd_kafka_ConsumerGroupDescription_state(description),
            rd_kafka_ConsumerGroupDescription_member_count(description)
        )
    }

    /// nil for a group that is not in the list.
    private func listedState(
        of group: String, timeout: Int32
    ) throws(KafkaError) -> rd_kafka_consumer_group_state_t? {
        let event = try run(RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS, timeout: timeout) { options in
            rd_kafka_ListConsumerGroups(client.handle, options, queue)
        }
        defer { rd_kafka_event_destroy(event) }
        var count = 0
        let found = rd_kafka_ListConsumerGroups_result_valid(
            rd_kafka_event_ListConsumerGroups_result(event), &count)
        for index in 0..<count {
            guard let one = found?[index], let name = rd_kafka_ConsumerGroupListing_group_id(one) else { continue }
            if String(cString: name) == group { return rd_kafka_ConsumerGroupListing_state(one) }
        }
        return nil
    }
}

extension String {
    /// The text as a C string for the time of a call.
    fileprivate func withMutableCString<R>(
        _ body: (UnsafeMutablePointer<CChar>) throws(KafkaError) -> R
    ) throws(KafkaError) -> R {
        let copy = strdup(self)
        defer { free(copy) }
        guard let copy else { throw KafkaError(.unknown) }
        return try body(copy)
    }
}
