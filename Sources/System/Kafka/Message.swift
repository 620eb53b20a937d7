internal import CSMSBridgeRDKafka

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// A record as a consumer got it. Its memory belongs to librdkafka and goes with this value.
package struct Message: ~Copyable {
    private let pointer: UnsafeMutablePointer<rd_kafka_message_t>

    init(_ pointer: UnsafeMutablePointer<rd_kafka_message_t>) {
        self.pointer = pointer
    }

    deinit {
        rd_kafka_message_destroy(pointer)
    }

    package var topic: String {
        guard let topic = pointer.pointee.rkt else { return "" }
        return String(cString: rd_kafka_topic_name(topic))
    }

    /// Whether the record is of this topic, without making a string.
    package func isOfTopic(_ name: String) -> Bool {
        guard let topic = pointer.pointee.rkt, let bytes = rd_kafka_topic_name(topic) else { return name.isEmpty }
        // To hand the string over as it is would copy it first.
        return name.withCString { strcmp(bytes, $0) == 0 }
    }

    /// The bytes of key and value.
    package var size: Int { pointer.pointee.len + pointer.pointee.key_len }

    package var partition: Int32 { pointer.pointee.partition }
    package var offset: Int64 { pointer.pointee.offset }

    /// Milliseconds since 1970; nil where the record has none.
    package var timestamp: Int64? { timestampAndKind.0 }

    /// Whether the timestamp is the producer's (CreateTime) and not the broker's.
    package var isCreateTime: Bool { timestampAndKind.isCreateTime }

    package var timestampAndKind: (Int64?, isCreateTime: Bool) {
        var type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
        let timestamp = rd_kafka_message_timestamp(pointer, &type)
        return (type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? nil : timestamp, type == RD_KAFKA_TIMESTAMP_CREATE_TIME)
    }

    /// The key's bytes, valid during the call; nil for a record without a key, which differs from an empty one.
    package func withKey<R>(_ body: (UnsafeRawBufferPointer?) -> R) -> R {
        body(pointer.pointee.key.map { UnsafeRawBufferPointer(start: $0, count: pointer.pointee.key_len) })
    }

    /// The value's bytes, valid during the call; nil for a tombstone, which differs from an empty value.
    package func withValue<R>(_ body: (UnsafeRawBufferPointer?) -> R) -> R {
        body(pointer.pointee.payload.map { UnsafeRawBufferPointer(start: $0, count: pointer.pointee.len) })
    }

    package var key: [UInt8]? { withKey { $0.map(Array.init) } }
    package var value: [UInt8]? { withValue { $0.map(Array.init) } }

    /// Visits the headers in their order; a nil value is Kafka's null.
    package func forEachHeader(_ body: (String, UnsafeRawBufferPointer?) -> Void) {
        withRawHeaders {
            for header in $0 { body(String(decoding: header.name, as: UTF8.self), header.value) }
        }
    }

    /// A header where librdkafka keeps it; a nil value is Kafka's null.
    package typealias RawHeader = (name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer?)

    /// The headers in their order, names as bytes; valid during the call.
    package func withRawHeaders<R>(_ body: (UnsafeBufferPointer<RawHeader>) -> R) -> R {
        Self.withRawHeaders(of: pointer, body)
    }

    static func withRawHeaders<R>(
        of pointer: UnsafeMutablePointer<rd_kafka_message_t>, _ body: (UnsafeBufferPointer<RawHeader>) -> R
    ) -> R {
        var headers: OpaquePointer?
        guard rd_kafka_message_headers(pointer, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR, let headers else {
            return body(UnsafeBufferPointer(start: nil, count: 0))
        }
        return withUnsafeTemporaryAllocation(of: RawHeader.self, capacity: rd_kafka_header_cnt(headers)) { room in
            var name: UnsafePointer<CChar>?
            var value: UnsafeRawPointer?
            var size = 0
            var count = 0
            while count < room.count,
                rd_kafka_header_get_all(headers, count, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR, let name
            {
                room.initializeElement(
                    at: count,
                    to: (
                        UnsafeRawBufferPointer(start: name, count: strlen(name)),
                        value.map { UnsafeRawBufferPointer(start: $0, count: size) }
                    ))
                count += 1
            }
            return body(UnsafeBufferPointer(rebasing: room[..<count]))
        }
    }

    package var headers: [(name: String, value: [UInt8]?)] {
        var all: [(name: String, value: [UInt8]?)] = []
        forEachHeader { all.append(($0, $1.map(Array.init))) }
        return all
    }
}
