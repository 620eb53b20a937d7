import SMSBridgeKafka
import Synchronization
import Testing

#if canImport(Glibc)
import Glibc
#endif

/// The real cluster of the environment, if there is one.
let realBootstrapServers: String? = {
    guard let value = getenv("KAFKA_BOOTSTRAP_SERVERS") else { return nil }
    return String(cString: value)
}()

/// A name that no other test and no other run uses.
func uniqueName(_ stem: String) -> String {
    "\(stem)-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
}

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

/// Milliseconds of the monotonic clock.
func monotonicMilliseconds() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
}

/// A record as read back, owned.
struct StoredRecord {
    var partition: Int32
    var offset: Int64
    var timestamp: Int64?
    var isCreateTime: Bool
    var key: [UInt8]?
    var value: [UInt8]?
    var headers: [(name: String, value: [UInt8]?)]
}

/// Reads a topic from its first records to its end.
func readAll(_ topic: String, bootstrapServers: String, partitions: Int32 = 1) throws -> [StoredRecord] {
    var configuration = ConsumerConfiguration(
        client: ClientConfiguration(bootstrapServers: bootstrapServers), group: uniqueName("reader"))
    configuration.reportsPartitionEnd = true
    let consumer = try Consumer(configuration)
    defer { consumer.close() }
    try consumer.assign((0..<partitions).map { TopicPartition(topic, $0, offset: TopicPartition.beginning) })
    var records: [StoredRecord] = []
    var open = Set(0..<partitions)
    let deadline = monotonicMilliseconds() + 30_000
    while !open.isEmpty, monotonicMilliseconds() < deadline {
        switch consumer.poll(timeout: 1_000) {
        case .message(let message):
            records.append(
                StoredRecord(
                    partition: message.partition, offset: message.offset, timestamp: message.timestamp,
                    isCreateTime: message.isCreateTime, key: message.key, value: message.value,
                    headers: message.headers))
        case .partitionEnd(let partition): open.remove(partition.partition)
        default: continue
        }
    }
    #expect(open.isEmpty, "the end of \(topic) was not reached in time")
    return records
}

extension Producer {
    /// Produces from arrays.
    func produce(
        to topic: Topic, key: [UInt8]?, value: [UInt8]?, timestamp: Int64 = 1_700_000_000_000,
        headers: [(name: String, value: [UInt8]?)] = [], partition: Int32? = nil, opaque: UInt64
    ) -> KafkaError.Code? {
        var list = RecordHeaders(capacity: headers.count)
        for header in headers { list.add(header.name, header.value) }
        func withBytes<R>(_ bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer?) -> R) -> R {
            guard let bytes else { return body(nil) }
            return bytes.withUnsafeBytes { body($0) }
        }
        return withBytes(key) { key in
            withBytes(value) { value in
                produce(
                    to: topic, key: key, value: value, timestamp: timestamp, headers: &list, partition: partition,
                    opaque: opaque)
            }
        }
    }

    /// Waits on the wake-up descriptor, as an event loop does, until so many reports are in.
    func reports(_ count: Int, within milliseconds: Int64 = 30_000) -> (
        reports: [DeliveryReport], events: [ProducerEvent]
    ) {
        var reports: [DeliveryReport] = []
        var events: [ProducerEvent] = []
        let deadline = monotonicMilliseconds() + milliseconds
        while reports.count < count, monotonicMilliseconds() < deadline {
            var descriptor = pollfd(fd: wakeDescriptor, events: Int16(POLLIN), revents: 0)
            _ = Glibc.poll(&descriptor, 1, 1_000)
            while !poll(reports: { reports.append($0) }, events: { events.append($0) }) {}
        }
        return (reports, events)
    }
}

/// Writes `0`, `1`, … as keys and values.
func fill(_ topic: String, _ count: Int, bootstrapServers: String) throws {
    let producer = try Producer(ProducerConfiguration(client: ClientConfiguration(bootstrapServers: bootstrapServers)))
    defer { producer.close().destroy() }
    let handle = try producer.topic(topic)
    for index in 0..<count {
        let text = bytes("\(index)")
        #expect(producer.produce(to: handle, key: text, value: text, opaque: UInt64(index)) == nil)
    }
    #expect(producer.reports(count).reports.allSatisfy { $0.error == nil })
}

/// Reads so many records as the only member of a group, and commits what it has read.
func readAsGroup(_ group: String, _ topic: String, _ limit: Int, bootstrapServers: String) throws -> [String] {
    let consumer = try Consumer(
        ConsumerConfiguration(client: ClientConfiguration(bootstrapServers: bootstrapServers), group: group))
    defer { consumer.close() }
    var assigned: [TopicPartition] = []
    try consumer.subscribe(to: [topic])
    var values: [String] = []
    var next: [Int32: Int64] = [:]
    let deadline = monotonicMilliseconds() + 60_000
    while values.count < limit, monotonicMilliseconds() < deadline {
        switch consumer.poll(timeout: 500) {
        case .message(let message):
            values.append(String(decoding: message.value ?? [], as: UTF8.self))
            next[message.partition] = message.offset + 1
        case .rebalance(let rebalance):
            switch rebalance {
            case .assigned(let partitions):
                assigned += partitions
                try consumer.assign(incrementally: partitions)
            case .revoked(let partitions), .lost(let partitions):
                try consumer.unassign(incrementally: partitions)
            }
        default: continue
        }
    }
    #expect(values.count == limit)
    #expect(assigned.count == 2)
    try consumer.commit(next.map { TopicPartition(topic, $0.key, offset: $0.value) })
    let committed = try consumer.committed(next.keys.map { TopicPartition(topic, $0) }, timeout: 10_000)
    #expect(committed.compactMap(\.offset).reduce(0, +) == next.values.reduce(0, +))
    return values
}
