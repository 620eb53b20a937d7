internal import SMSBridgeKafka
internal import SMSBridgeThreads
internal import SMSPortalEvents
internal import Synchronization

/// The mock cluster of a test, and the producer that plays the bridge.
final class MockKafka: Sendable {
    let bootstrapServers: String
    /// The mock cluster serves its calls on a thread of its own, each within a millisecond or two.
    private let cluster: Mutex<MockCluster>
    private let producer: ProducerThread
    private let madeTopics: Mutex<Set<String>>

    /// The configuration of every client of the cluster, without needless waits: neither for records, nor after a
    /// broker was away.
    static let clientProperties = [
        "reconnect.backoff.ms": "10", "reconnect.backoff.max.ms": "50", "socket.nagle.disable": "true",
    ]

    /// Blocks for some milliseconds.
    init(topics: [String], partitions: Int32) throws(KafkaError) {
        let cluster = try MockCluster()
        do throws(KafkaError) {
            for topic in topics { try cluster.createTopic(topic, partitions: partitions) }
            bootstrapServers = cluster.bootstrapServers
            var configuration = ProducerConfiguration(
                client: ClientConfiguration(
                    bootstrapServers: bootstrapServers, clientID: "test-bridge", properties: Self.clientProperties))
            configuration.messageTimeoutMilliseconds = 10_000
            configuration.lingerMilliseconds = 0
            configuration.maxMessageBytes = 100 << 20
            producer = try ProducerThread(configuration, name: "test-bridge")
        } catch {
            cluster.close()
            throw error
        }
        self.cluster = Mutex(cluster)
        madeTopics = Mutex(Set(topics))
    }

    /// Ends the cluster and all that is in it; blocks.
    func close() {
        producer.close()
        cluster.withLock { $0.close() }
    }

    func withCluster(
        _ body: @Sendable (MockCluster) throws(KafkaError) -> Void
    ) throws(TestBridgeError) {
        do {
            try cluster.withLock { (cluster) throws(KafkaError) in try body(cluster) }
        } catch {
            throw TestBridgeError(.cluster, "the mock cluster refuses: \(error)")
        }
    }

    /// Makes a topic, unless it is there.
    func makeTopic(_ name: String, partitions: Int32) {
        guard madeTopics.withLock({ $0.insert(name).inserted }) else { return }
        // Invalid names are reported by the consumer, which checks its topics first.
        try? withCluster { (cluster) throws(KafkaError) in try cluster.createTopic(name, partitions: partitions) }
    }

    /// A record to be written.
    struct Record: Sendable {
        var topic: String
        var key: [UInt8]?
        var value: [UInt8]?
        var headers: [EventRecord.Header] = []
        /// Milliseconds since 1970.
        var timestamp: Int64
    }

    /// Writes records in their order, and waits until the cluster has them.
    func write(_ records: [Record]) async throws(TestBridgeError) {
        guard !records.isEmpty else { return }
        let failure: KafkaError? = await withCheckedContinuation { continuation in
            let reports = Reports(records.count) { continuation.resume(returning: $0) }
            for record in records {
                do throws(KafkaError) {
                    try producer.send(
                        topic: record.topic, key: record.key, value: record.value, timestamp: record.timestamp,
                        headers: record.headers.map { ($0.name, $0.value) }
                    ) { report in reports.add(report.error.map { KafkaError($0) }) }
                } catch {
                    reports.add(error)
                }
            }
        }
        if let failure { throw TestBridgeError(.cluster, "the mock cluster did not take the records: \(failure)") }
    }
}

/// Counts the reports of several records, and tells when the last is in.
private final class Reports: Sendable {
    private struct State {
        var missing: Int
        var failure: KafkaError?
    }

    private let state: Mutex<State>
    private let atEnd: @Sendable (KafkaError?) -> Void

    /// - Parameter atEnd: gets the first failure.
    init(_ count: Int, atEnd: @escaping @Sendable (KafkaError?) -> Void) {
        state = Mutex(State(missing: count))
        self.atEnd = atEnd
    }

    func add(_ failure: KafkaError?) {
        let (isLast, first) = state.withLock { state in
            state.missing -= 1
            state.failure = state.failure ?? failure
            return (state.missing == 0, state.failure)
        }
        if isLast { atEnd(first) }
    }
}
