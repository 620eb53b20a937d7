internal import SMSBridgeKafka

extension TestBridge {
    /// The broker goes away: its connections are closed and new ones refused. Events published in that time wait for
    /// ``startBroker()``, 10 s at most.
    public func stopBroker() throws(TestBridgeError) {
        try kafka.withCluster { (cluster) throws(KafkaError) in try cluster.setDown(1) }
    }

    /// The broker comes back, with everything that it had.
    public func startBroker() throws(TestBridgeError) {
        try kafka.withCluster { (cluster) throws(KafkaError) in try cluster.setUp(1) }
    }

    /// From now on, the broker takes so long for each answer; zero for as quick as it can. Whole milliseconds, at most
    /// a minute.
    public func setLatency(_ latency: Duration) throws(TestBridgeError) {
        let milliseconds = Int32(min(max(.zero, latency), .seconds(60)) / .milliseconds(1))
        try kafka.withCluster { (cluster) throws(KafkaError) in try cluster.setRoundTripTime(milliseconds, of: 1) }
    }

    /// The next commits of offsets are refused. What was handled is handled again after a restart, unless a later
    /// commit succeeds: a consumer commits again at the next interval.
    ///
    /// - Parameter count: How many, at most 1,000.
    public func failNextCommits(_ count: Int = 1) throws(TestBridgeError) {
        try fail(.offsetCommit, with: .groupNotAuthorized, count)
    }

    /// The next writes are refused: those of dead letters, and those of ``publish(_:)`` as well. A consumer writes a
    /// dead letter again about two seconds after it was refused.
    ///
    /// - Parameter count: How many requests, at most 1,000.
    public func failNextWrites(_ count: Int = 1) throws(TestBridgeError) {
        try fail(.produce, with: .topicNotAuthorized, count)
    }

    private func fail(
        _ request: MockCluster.Request, with code: KafkaError.Code, _ count: Int
    ) throws(TestBridgeError) {
        let errors = Array(repeating: code, count: min(max(0, count), 1_000))
        try kafka.withCluster { (cluster) throws(KafkaError) in cluster.failNext(request, with: errors) }
    }
}
