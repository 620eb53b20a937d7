internal import CSMSBridgeRDKafka

/// The headers of a record on its way to Kafka.
package struct RecordHeaders: ~Copyable {
    private var pointer: OpaquePointer?

    package init(capacity: Int) {
        pointer = rd_kafka_headers_new(capacity)
    }

    deinit {
        if let pointer { rd_kafka_headers_destroy(pointer) }
    }

    /// Adds a header; a nil value is Kafka's null. Both are copied.
    package func add(_ name: StaticString, _ value: UnsafeRawBufferPointer?) {
        name.withUTF8Buffer { name in
            name.withMemoryRebound(to: CChar.self) { name in
                _ = rd_kafka_header_add(
                    pointer, name.baseAddress, name.count, value?.baseAddress ?? RecordHeaders.empty(value),
                    value?.count ?? -1)
            }
        }
    }

    /// Adds a header; a nil value is Kafka's null. Both are copied.
    package func add(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer?) {
        _ = rd_kafka_header_add(
            pointer, name.baseAddress?.assumingMemoryBound(to: CChar.self), name.count,
            value?.baseAddress ?? RecordHeaders.empty(value), value?.count ?? -1)
    }

    /// Adds a header; a nil value is Kafka's null.
    package func add(_ name: String, _ value: [UInt8]?) {
        var name = name
        name.withUTF8 { name in
            name.withMemoryRebound(to: CChar.self) { name in
                guard let value else {
                    _ = rd_kafka_header_add(pointer, name.baseAddress, name.count, nil, -1)
                    return
                }
                value.withUnsafeBytes {
                    _ = rd_kafka_header_add(
                        pointer, name.baseAddress, name.count, $0.baseAddress ?? RecordHeaders.empty($0), $0.count)
                }
            }
        }
    }

    /// An empty buffer may have no address, and librdkafka takes NULL for null: any address will do.
    static func empty(_ value: UnsafeRawBufferPointer?) -> UnsafeRawPointer? {
        value == nil ? nil : UnsafeRawPointer(bitPattern: 1)
    }

    /// Hands the headers to a call that takes them over when it succeeds.
    mutating func pass(_ body: (OpaquePointer?) -> rd_kafka_resp_err_t) -> rd_kafka_resp_err_t {
        let error = body(pointer)
        if error == RD_KAFKA_RESP_ERR_NO_ERROR { pointer = nil }
        return error
    }
}
