internal import CSMSBridgeRDKafka
internal import Synchronization

/// Ends the blocked `poll` of a consumer's thread; from any thread and at any time, after the consumer's end as well.
package final class ConsumerWaker: Sendable {
    /// librdkafka's queue as a number, for pointers do not cross threads; nil once the consumer is closed.
    private let queue: Mutex<UInt?>

    init(_ queue: OpaquePointer) {
        self.queue = Mutex(UInt(bitPattern: queue))
    }

    package func wake() {
        queue.withLock { queue in
            if let queue { rd_kafka_queue_yield(OpaquePointer(bitPattern: queue)) }
        }
    }

    func close() {
        queue.withLock { queue in
            if let bits = queue, let pointer = OpaquePointer(bitPattern: bits) { rd_kafka_queue_destroy(pointer) }
            queue = nil
        }
    }
}
