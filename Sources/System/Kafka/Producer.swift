internal import CSMSBridgeRDKafka

/// How a producer sends.
package struct ProducerConfiguration: Sendable {
    package var client: ClientConfiguration
    /// How long a record may wait for others to share its request, in milliseconds. 1 is right for an answer that waits
    /// for the report: a third of the latency of 5 under load, and less CPU.
    package var lingerMilliseconds: Int = 1
    /// After this time without an acknowledgement a record fails, in milliseconds; 0 for never.
    package var messageTimeoutMilliseconds: Int = 900
    /// At most so many records wait inside librdkafka.
    package var maxQueuedMessages: Int = 100_000
    /// At most so many KiB of records wait inside librdkafka.
    package var maxQueuedKibibytes: Int = 128 * 1024
    /// The largest record that is let through to the broker, in bytes.
    package var maxMessageBytes: Int = 1_000_000
    /// At most so many bytes of records share a batch; a larger record makes one by itself. The broker's limit
    /// (`max.message.bytes`) is on the batch.
    package var batchBytes: Int = 512 << 10
    /// Sends each record as a batch of its own, without idempotence: a rejection then concerns that record alone, where
    /// an idempotent producer waits for everything in flight and asks for a new epoch. Such a producer does not send
    /// again by itself: an error ends in the report.
    package var isIndividual = false
    /// Asks for an acknowledgement that no broker gives (`acks=2`): each record is refused, but only after the broker
    /// has checked whether it might be written. Such a producer is not idempotent and delivers nothing.
    package var onlyAsks = false

    package init(client: ClientConfiguration) {
        self.client = client
    }
}

/// The outcome of one record.
package struct DeliveryReport: Sendable {
    /// What was given with the record.
    package let opaque: UInt64
    /// nil when the broker acknowledged it and said at which offset.
    package let error: KafkaError.Code?
    package let partition: Int32
    /// Below 0 when it was not written, or the broker did not say.
    package let offset: Int64
}

/// What a poll of a producer brings besides reports.
package enum ProducerEvent: Sendable {
    /// A broker went away, a name did not resolve…: librdkafka goes on by itself, unless it is fatal.
    case error(KafkaError)
    /// A line of librdkafka's log; the level is syslog's.
    case log(level: Int32, facility: String, text: String)
    /// The statistics document (JSON), when `statistics.interval.ms` is set.
    case statistics(String)
}

/// A producer with acks=all, idempotent unless its configuration says otherwise.
///
/// Records with the same key go to the same partition as with the Java client (murmur2). It belongs to one thread,
/// which polls it: an event loop woken by `wakeDescriptor`, or a thread of its own that blocks in `poll(timeout:)`.
///
/// Its end has two steps, for librdkafka's takes time: `close()` on the owning thread, then `destroy()` of the client
/// that it returns, on any thread that may block.
package final class Producer {
    /// A topic that this producer writes to. It ends with the producer.
    package struct Topic {
        fileprivate let pointer: OpaquePointer
    }

    private let client: Client
    private let queue: OpaquePointer
    private let wake: WakeDescriptor
    private var topics: [OpaquePointer] = []
    private var isClosed = false
    private let messages: UnsafeMutablePointer<UnsafePointer<rd_kafka_message_t>?>
    private static let batch = 1024

    /// Makes the client of a producer and starts librdkafka's threads: on any thread, before the owner takes it over.
    ///
    /// - Throws: `KafkaError` when a property is wrong, a certificate cannot be read, or no thread can be started.
    package static func makeClient(_ configuration: ProducerConfiguration) throws(KafkaError) -> Client {
        let conf = try ClientConf(
            configuration.client,
            events: RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_STATS | RD_KAFKA_EVENT_LOG)
        let isPlain = configuration.onlyAsks || configuration.isIndividual
        try conf.set("enable.idempotence", isPlain ? "false" : "true")
        try conf.set("acks", configuration.onlyAsks ? "2" : "all")
        try conf.set("partitioner", "murmur2_random")
        try conf.set("linger.ms", String(configuration.lingerMilliseconds))
        try conf.set("message.timeout.ms", String(configuration.messageTimeoutMilliseconds))
        try conf.set("queue.buffering.max.messages", String(configuration.maxQueuedMessages))
        try conf.set("queue.buffering.max.kbytes", String(configuration.maxQueuedKibibytes))
        try conf.set("message.max.bytes", String(configuration.maxMessageBytes))
        try conf.set("batch.size", String(configuration.batchBytes))
        if configuration.isIndividual {
            try conf.set("batch.num.messages", "1")
            try conf.set("message.send.max.retries", "0")
        }
        return try conf.makeClient(RD_KAFKA_PRODUCER, countsConnections: true)
    }

    package convenience init(_ configuration: ProducerConfiguration) throws(KafkaError) {
        try self.init(Self.makeClient(configuration))
    }

    /// Takes over a client that `makeClient` has made; if that fails the client is left to the caller.
    ///
    /// - Parameter isWokenByDescriptor: whether `wakeDescriptor` is used; a thread that blocks in `poll` has no need.
    package init(_ client: Client, isWokenByDescriptor: Bool = true) throws(KafkaError) {
        wake = try WakeDescriptor()
        self.client = client
        queue = rd_kafka_queue_get_main(client.handle)
        messages = .allocate(capacity: Self.batch)
        _ = rd_kafka_set_log_queue(client.handle, nil)
        if isWokenByDescriptor { wake.enable(on: queue) }
    }

    deinit {
        assert(isClosed, "a producer is closed by its owner before it goes")
        messages.deallocate()
    }

    /// Readable when there is something to poll.
    package var wakeDescriptor: Int32 { wake.readEnd }

    /// The client, for calls that any thread may make.
    package var sharedClient: Client { client }

    /// How many records have no report yet, and reports not yet polled.
    package var queued: Int { Int(rd_kafka_outq_len(client.handle)) }

    /// Names a topic to write to. Does not ask the broker.
    package func topic(_ name: String) throws(KafkaError) -> Topic {
        guard let pointer = rd_kafka_topic_new(client.handle, name, nil) else {
            throw KafkaError(rd_kafka_last_error(), "topic '\(name)'")
        }
        topics.append(pointer)
        return Topic(pointer: pointer)
    }

    /// Hands a record to librdkafka. Never blocks.
    ///
    /// - Parameters:
    ///   - key: nil for none: the record goes to a random partition.
    ///   - value: nil for a tombstone.
    ///   - timestamp: milliseconds since 1970.
    ///   - partition: nil for the key's own.
    ///   - headers: taken over when the record is taken, and then empty.
    ///   - copies: whether librdkafka copies the value. Else the value stays where it is, unchanged, until its report
    ///     is in, or the client is destroyed.
    ///   - opaque: comes back in the report.
    /// - Returns: nil when the record was taken: a report will follow. Else why not, and no report follows.
    package func produce(
        to topic: Topic, key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?, timestamp: Int64,
        headers: inout RecordHeaders, partition: Int32? = nil, copies: Bool = true, opaque: UInt64
    ) -> KafkaError.Code? {
        let error = headers.pass { headers in
            crdkafka_produce(
                client.handle, topic.pointer, partition ?? crdkafka_partition_unassigned,
                copies ? crdkafka_copy : 0,
                key?.baseAddress ?? RecordHeaders.empty(key), key?.count ?? 0,
                value?.baseAddress ?? RecordHeaders.empty(value), value?.count ?? 0, timestamp, headers,
                UnsafeMutableRawPointer(bitPattern: UInt(opaque)))
        }
        return error == RD_KAFKA_RESP_ERR_NO_ERROR ? nil : KafkaError.Code(error)
    }

    /// Serves what has gathered, until the queue is empty or `limit` events are done.
    ///
    /// - Parameters:
    ///   - timeout: how long to wait for the first event, in milliseconds; 0 on an event loop.
    ///   - limit: events; one event carries many reports.
    /// - Returns: false when the queue may hold more: poll again soon, for the descriptor will not say so.
    @discardableResult
    package func poll(
        timeout: Int32 = 0, limit: Int = 64, reports: (DeliveryReport) -> Void, events: (ProducerEvent) -> Void
    ) -> Bool {
        if timeout == 0 { wake.drain() }
        var wait = timeout
        for _ in 0..<limit {
            guard let event = rd_kafka_queue_poll(queue, wait) else { return true }
            wait = 0
            defer { rd_kafka_event_destroy(event) }
            switch rd_kafka_event_type(event) {
            case RD_KAFKA_EVENT_DR:
                while true {
                    let count = rd_kafka_event_message_array(event, messages, Self.batch)
                    if count == 0 { break }
                    for index in 0..<count {
                        guard let message = messages[index] else { continue }
                        var error: KafkaError.Code?
                        if message.pointee.err != RD_KAFKA_RESP_ERR_NO_ERROR {
                            error = KafkaError.Code(message.pointee.err)
                        } else if message.pointee.offset < 0 {
                            // Not a proof. librdkafka 2.0.2 says "delivered" without an offset for records that a new
                            // leader has refused, when a later batch of the same producer was taken; it says so as
                            // well of a repeat that the broker had already. Sent again, at worst it is there twice.
                            error = .noOffset
                        }
                        reports(
                            DeliveryReport(
                                opaque: UInt64(UInt(bitPattern: message.pointee._private)), error: error,
                                partition: message.pointee.partition, offset: message.pointee.offset))
                    }
                }
            case RD_KAFKA_EVENT_ERROR: events(.error(error(of: event)))
            case RD_KAFKA_EVENT_STATS: events(.statistics(String(cString: rd_kafka_event_stats(event))))
            case RD_KAFKA_EVENT_LOG:
                var facility: UnsafePointer<CChar>?
                var text: UnsafePointer<CChar>?
                var level: Int32 = 0
                if rd_kafka_event_log(event, &facility, &text, &level) == 0, let facility, let text {
                    events(.log(level: level, facility: String(cString: facility), text: String(cString: text)))
                }
            default: break
            }
        }
        return false
    }

    /// A fatal error hides behind a code that only says so: the cause is asked for.
    private func error(of event: OpaquePointer) -> KafkaError {
        if rd_kafka_event_error_is_fatal(event) != 0 {
            return fatalError ?? KafkaError(rd_kafka_event_error(event), isFatal: true)
        }
        let text = rd_kafka_event_error_string(event).map { String(cString: $0) }
        return KafkaError(rd_kafka_event_error(event), text)
    }

    /// The fatal error that has ended this producer's use, if any.
    package var fatalError: KafkaError? {
        var text = [CChar](repeating: 0, count: 512)
        let code = rd_kafka_fatal_error(client.handle, &text, text.count)
        guard code != RD_KAFKA_RESP_ERR_NO_ERROR else { return nil }
        return KafkaError(code, string(text), isFatal: true)
    }

    /// Ends a blocked `poll` of the owner's thread. May be called from any thread, until `close`.
    func wakeThread() {
        rd_kafka_queue_yield(queue)
    }

    /// Gives up every record that has no report yet; the reports follow, each with an error. Never blocks.
    package func purge() {
        _ = rd_kafka_purge(
            client.handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING)
    }

    /// Ends the owner's use of the producer. What is still queued gets no report.
    ///
    /// - Returns: the client, to be destroyed by a thread that may block.
    package func close() -> Client {
        guard !isClosed else { return client }
        isClosed = true
        wake.disable(on: queue)
        for topic in topics { rd_kafka_topic_destroy(topic) }
        topics = []
        rd_kafka_queue_destroy(queue)
        return client
    }

    /// Makes the producer fail fatally, as a test.
    package func injectFatalError(_ code: KafkaError.Code, _ reason: String) {
        _ = rd_kafka_test_fatal_error(client.handle, code.error, reason)
    }
}
