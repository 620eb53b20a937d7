import SMSBridgeKafka
import SMSBridgeThreads
import Synchronization
import Testing

#if canImport(Glibc)
import Glibc
#endif

/// Groups, rebalances and commits on the in-process mock cluster.
@Suite(.serialized) struct ConsumerMockTests {
    @Test func aGroupReadsAndCommits() throws {
        let cluster = try MockCluster()
        defer { cluster.close() }
        try cluster.createTopic("t", partitions: 2)
        try fill("t", 100, bootstrapServers: cluster.bootstrapServers)
        let values = try readAsGroup("g", "t", 100, bootstrapServers: cluster.bootstrapServers)
        #expect(Set(values) == Set((0..<100).map(String.init)))
    }

    @Test func wakeEndsABlockedPoll() throws {
        let cluster = try MockCluster()
        defer { cluster.close() }
        try cluster.createTopic("t", partitions: 1)
        let configuration = ConsumerConfiguration(
            client: ClientConfiguration(bootstrapServers: cluster.bootstrapServers), group: "g")
        let shared = Shared()
        let thread = try NamedThread("consumer") {
            guard let consumer = try? Consumer(configuration) else { return }
            try? consumer.assign([TopicPartition("t", 0, offset: TopicPartition.end)])
            shared.waker.withLock { $0 = consumer.waker }
            while !shared.ended.load(ordering: .acquiring) { _ = consumer.poll(timeout: -1) }
            consumer.close()
        }
        while shared.waker.withLock({ $0 == nil }) { usleep(1_000) }
        usleep(100_000)
        shared.ended.store(true, ordering: .releasing)
        shared.waker.withLock { $0?.wake() }
        thread.join()
        // The consumer is gone, and a late call must not touch it.
        shared.waker.withLock { $0?.wake() }
    }

    private final class Shared: Sendable {
        let waker = Mutex<ConsumerWaker?>(nil)
        let ended = Atomic(false)
    }

    /// A broker that is suspended keeps its connections and answers nothing: librdkafka's own waits for it have no bound.
    @Test func noCallWaitsLongerForASilentBrokerThanItMay() throws {
        let cluster = try MockCluster()
        defer { cluster.close() }
        try cluster.createTopic("t", partitions: 1)
        try fill("t", 10, bootstrapServers: cluster.bootstrapServers)
        let consumer = try Consumer(
            ConsumerConfiguration(
                client: ClientConfiguration(bootstrapServers: cluster.bootstrapServers), group: "g"))
        try consumer.assign([TopicPartition("t", 0, offset: TopicPartition.beginning)])
        var isRead = false
        while !isRead { if case .message = consumer.poll(timeout: 1_000) { isRead = true } }
        try consumer.commit([TopicPartition("t", 0, offset: 1, metadata: "kept")], timeout: 20_000)
        let committed = try consumer.committed([TopicPartition("t", 0)], timeout: 20_000)
        #expect(committed.first?.offset == 1 && committed.first?.metadata == "kept")
        #expect(consumer.client.clusterID != nil)
        let isAsked = Mutex(false)
        try cluster.setRoundTripTime(30_000, of: 1)
        let began = monotonicMilliseconds()
        #expect(throws: KafkaError(.timedOut, "no answer to a commit of offsets within 300 ms")) {
            try consumer.commit([TopicPartition("t", 0, offset: 2)], timeout: 300)
        }
        consumer.runInBackground { client in
            isAsked.withLock { $0 = true }
            _ = try? client.watermarks(topic: "t", partition: 0, timeout: 5_000)
        }
        while isAsked.withLock({ !$0 }) { usleep(1_000) }
        consumer.close(timeout: 300)
        #expect(monotonicMilliseconds() - began < 3_000)
    }

    @Test func unknownTopicsAndDeadClustersAreErrorsNotTraps() throws {
        let consumer = try Consumer(
            ConsumerConfiguration(
                client: ClientConfiguration(
                    bootstrapServers: "127.0.0.1:1", properties: ["reconnect.backoff.max.ms": "100"]), group: "g"))
        defer { consumer.close() }
        try consumer.subscribe(to: ["nowhere"])
        var errors: [KafkaError.Code] = []
        let deadline = monotonicMilliseconds() + 20_000
        while errors.isEmpty, monotonicMilliseconds() < deadline {
            if case .error(let error) = consumer.poll(timeout: 500) { errors.append(error.code) }
        }
        #expect(!errors.isEmpty)
        #expect(throws: KafkaError.self) {
            try consumer.client.watermarks(topic: "nowhere", partition: 0, timeout: 300)
        }
        #expect(throws: KafkaError.self) { try consumer.client.metadata(timeout: 300) }
    }
}
