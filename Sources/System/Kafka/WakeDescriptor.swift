internal import CSMSBridgeRDKafka

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// A descriptor that becomes readable when a librdkafka queue is no longer empty.
///
/// librdkafka writes eight bytes when the queue goes from empty to not empty, and only then: the woken thread drains
/// the descriptor first and polls the queue until it is empty, or schedules itself again.
struct WakeDescriptor: ~Copyable {
    let readEnd: Int32
    private let writeEnd: Int32

    init() throws(KafkaError) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else {
            throw KafkaError(.unknown, "cannot make a pipe: \(String(cString: strerror(errno)))")
        }
        for end in ends {
            _ = fcntl(end, F_SETFL, fcntl(end, F_GETFL) | O_NONBLOCK)
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
        }
        readEnd = ends[0]
        writeEnd = ends[1]
    }

    deinit {
        close(readEnd)
        close(writeEnd)
    }

    func enable(on queue: OpaquePointer) {
        var payload: UInt64 = 1
        rd_kafka_queue_io_event_enable(queue, writeEnd, &payload, MemoryLayout.size(ofValue: payload))
    }

    func disable(on queue: OpaquePointer) {
        rd_kafka_queue_io_event_enable(queue, -1, nil, 0)
    }

    func drain() {
        withUnsafeTemporaryAllocation(byteCount: 512, alignment: 8) { buffer in
            while read(readEnd, buffer.baseAddress, buffer.count) == buffer.count {}
        }
    }
}
