internal import CSMSBridgeRDKafka

/// What is asked about a consumer group from outside.
extension Client {
    /// How many members a group has now. Blocks up to `timeout` milliseconds.
    ///
    /// - Returns: 0 for a group that does not exist.
    package func memberCount(of group: String, timeout: Int32) throws(KafkaError) -> Int {
        var list: UnsafePointer<rd_kafka_group_list>?
        let error = rd_kafka_list_groups(handle, group, &list, timeout)
        guard error == RD_KAFKA_RESP_ERR_NO_ERROR, let list else { throw KafkaError(error) }
        defer { rd_kafka_group_list_destroy(list) }
        guard list.pointee.group_cnt > 0, let first = list.pointee.groups else { return 0 }
        guard first.pointee.err == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(first.pointee.err) }
        return Int(first.pointee.member_cnt)
    }
}
