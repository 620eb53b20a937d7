internal import CSMSBridgeRDKafka

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// A record as a consumer got it, in librdkafka's memory, which the owner frees by hand: for code that keeps millions of them
/// in flat memory. ``Message`` frees itself.
///
/// A message keeps the whole fetch response alive that it came in.
package struct PolledMessage {
    private let pointer: UnsafeMutablePointer<rd_kafka_message_t>
    /// nil for a record without a key, which differs from an empty one.
    package let key: UnsafeRawBufferPointer?
    /// nil for a tombstone, which differs from an empty value.
    package let value: UnsafeRawBufferPointer?
    package let partition: Int32
    package let offset: Int64

    @inline(__always)
    init(_ pointer: UnsafeMutablePointer<rd_kafka_message_t>) {
        self.pointer = pointer
        key = pointer.pointee.key.map { UnsafeRawBufferPointer(start: $0, count: pointer.pointee.key_len) }
        value = pointer.pointee.payload.map { UnsafeRawBufferPointer(start: $0, count: pointer.pointee.len) }
        partition = pointer.pointee.partition
        offset = pointer.pointee.offset
    }

    /// Frees the record, on any thread.
    package func destroy() { rd_kafka_message_destroy(pointer) }

    /// The message as an address, to be kept where nothing but numbers are.
    package var address: UnsafeMutableRawPointer { UnsafeMutableRawPointer(pointer) }

    /// - Parameter address: What ``address`` gave.
    package init(address: UnsafeMutableRawPointer) {
        self.init(address.assumingMemoryBound(to: rd_kafka_message_t.self))
    }

    /// Tells topics of one client apart, as long as the topic is assigned.
    @inline(__always)
    package var topicIdentity: UnsafeRawPointer? { pointer.pointee.rkt.map { UnsafeRawPointer($0) } }

    /// Whether the record is of this topic.
    package func isOfTopic(_ name: String) -> Bool {
        guard let topic = pointer.pointee.rkt, let bytes = rd_kafka_topic_name(topic) else { return name.isEmpty }
        return name.withCString { strcmp(bytes, $0) == 0 }
    }

    /// The bytes of key and value.
    @inline(__always)
    package var size: Int { pointer.pointee.len + pointer.pointee.key_len }

    /// Milliseconds since 1970; nil where the record has none.
    package var timestamp: Int64? { timestampAndKind.0 }

    /// The time, and whether it is the producer's (CreateTime) and not the broker's.
    package var timestampAndKind: (Int64?, isCreateTime: Bool) {
        var type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
        let timestamp = rd_kafka_message_timestamp(pointer, &type)
        return (type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? nil : timestamp, type == RD_KAFKA_TIMESTAMP_CREATE_TIME)
    }

    /// The headers in their order, names as bytes; valid during the call. librdkafka parses them at the first call, which
    /// takes longer than all the rest of a record.
    package func withRawHeaders<R>(_ body: (UnsafeBufferPointer<Message.RawHeader>) -> R) -> R {
        Message.withRawHeaders(of: pointer, body)
    }
}

extension Consumer {
    /// Takes what has come, as far as there is room, and waits for the first.
    ///
    /// - Parameters:
    ///   - messages: Gets the records; the caller frees them.
    ///   - timeout: How long to wait for the first record, in milliseconds.
    ///   - count: How many records have come.
    /// - Returns: What has come behind them and is no record.
    package func poll(
        into messages: UnsafeMutableBufferPointer<PolledMessage>, timeout: Int32, count: inout Int
    ) -> ConsumerEvent? {
        count = 0
        if let event = gathered() { return event }
        var taken = 0
        defer { count = taken }
        while taken < messages.count {
            guard let pointer = rd_kafka_consumer_poll(client.handle, taken == 0 ? timeout : 0) else {
                // A callback may have ended the poll.
                return gathered()
            }
            guard pointer.pointee.err == RD_KAFKA_RESP_ERR_NO_ERROR else { return event(of: pointer) }
            (messages.baseAddress! + taken).initialize(to: PolledMessage(pointer))
            taken &+= 1
        }
        return nil
    }
}
