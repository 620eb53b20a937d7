internal import SMSBridgeKafka
internal import SMSPortalConsumer
public import SMSPortalEvents

extension TestBridge {
    /// An event that a group could not handle, as it is in the dead-letter topic.
    public struct DeadLetter: Sendable {
        /// The event; nil when the record is none.
        public let event: Event?
        /// The type of the handler's error, such as `DeskIsClosed`.
        public let errorKind: String
        /// The error's own description.
        public let errorMessage: String
        /// How often the event was handled.
        public let attempts: Int
        /// Where the record came from: the topic's whole name.
        public let topic: String
        /// The record's key: the subscriber's number in digits. nil where there is none.
        public let key: String?
        /// The record's value; nil for a tombstone.
        public let value: [UInt8]?
        /// All headers, in their order.
        public let headers: [EventRecord.Header]
    }

    /// The dead letters of a group, in the order in which they were written.
    ///
    /// - Parameter group: The consumer group.
    /// - Throws: ``TestBridgeError`` when the cluster does not answer within 10 s.
    public func deadLetters(of group: String) async throws(TestBridgeError) -> [DeadLetter] {
        let topic = configuration(group: group).deadLetterTopic
        let client = ClientConfiguration(
            bootstrapServers: bootstrapServers, clientID: "test-bridge", properties: MockKafka.clientProperties)
        return try await onThread("test-bridge-dlt") { () throws(TestBridgeError) in
            do throws(KafkaError) {
                return try Self.read(topic, client)
            } catch {
                throw TestBridgeError(.cluster, "the dead letters of '\(group)' cannot be read: \(error)")
            }
        }
    }

    private static func read(_ topic: String, _ client: ClientConfiguration) throws(KafkaError) -> [DeadLetter] {
        let consumer = try Consumer(ConsumerConfiguration(client: client, group: "test-bridge"))
        defer { consumer.close() }
        let offsets = try consumer.client.watermarks(topic: topic, partition: 0, timeout: 10_000)
        guard !offsets.isEmpty else { return [] }
        try consumer.assign([TopicPartition(topic, 0, offset: offsets.lowerBound)])
        var letters: [DeadLetter] = []
        let clock = ContinuousClock()
        let deadline = clock.now + .seconds(60)
        while letters.count < offsets.count, clock.now < deadline {
            guard let event = consumer.poll(timeout: 100) else { continue }
            if case .message(let message) = consume event { letters.append(DeadLetter(message)) }
        }
        if letters.count >= offsets.count { return letters }
        throw KafkaError(.timedOut)
    }
}

extension TestBridge.DeadLetter {
    fileprivate init(_ message: borrowing Message) {
        let headers = message.headers.map { EventRecord.Header(name: $0.name, value: $0.value) }
        func text(_ name: StaticString) -> String { headers.first { $0.name == "\(name)" }?.text ?? "" }
        value = message.value
        key = message.key.map { String(decoding: $0, as: UTF8.self) }
        event = try? Event(value: value, headers: headers)
        errorKind = text(DeadLetterHeaders.errorKind)
        errorMessage = text(DeadLetterHeaders.errorMessage)
        attempts =
            headers.first { $0.name == "\(DeadLetterHeaders.attempts)" }?.value?.reduce(0) { $0 << 8 | Int($1) } ?? 0
        topic = text(DeadLetterHeaders.originalTopic)
        self.headers = headers
    }
}
