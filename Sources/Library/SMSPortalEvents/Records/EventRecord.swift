/// An event as a Kafka record: what a producer sends and what a consumer gets.
public struct EventRecord: Sendable, Hashable {
    /// A header of a record.
    public struct Header: Sendable, Hashable {
        /// Such as `ce_id`.
        public var name: String
        /// Nil for a header without value, which Kafka allows.
        public var value: [UInt8]?

        /// - Parameters:
        ///   - name: The name.
        ///   - value: The value.
        public init(name: String, value: [UInt8]?) {
            self.name = name
            self.value = value
        }

        /// The value, where it is UTF-8.
        public var text: String? { value.flatMap { String(validating: $0, as: UTF8.self) } }
    }

    /// The topic, without its prefix.
    public var topic: EventTopic
    /// The number of the subscriber in digits; nil where there is none.
    public var key: [UInt8]?
    /// The event as JSON.
    public var value: [UInt8]
    /// CloudEvents' attributes (Kafka binding, binary mode), and W3C Trace Context.
    public var headers: [Header]
    /// The time of reception (CreateTime).
    public var timestamp: EventTime

    /// - Parameters:
    ///   - topic: The topic.
    ///   - key: The key.
    ///   - value: The value.
    ///   - headers: The headers.
    ///   - timestamp: The time of reception.
    public init(topic: EventTopic, key: [UInt8]?, value: [UInt8], headers: [Header], timestamp: EventTime) {
        self.topic = topic
        self.key = key
        self.value = value
        self.headers = headers
        self.timestamp = timestamp
    }

    /// The first header of a name as text; nil when there is none, or when it is not UTF-8.
    ///
    /// - Parameter name: Such as `ce_id`.
    public func header(_ name: String) -> String? {
        headers.first { $0.name == name }?.text
    }
}

extension RecordBuffer {
    /// A copy of the record.
    package var record: EventRecord {
        var headers: [EventRecord.Header] = []
        forEachHeader { headers.append(EventRecord.Header(name: "\($0)", value: [UInt8]($1))) }
        return EventRecord(
            topic: topic, key: withKey { $0.map { [UInt8]($0) } }, value: withValue { [UInt8]($0) }, headers: headers,
            timestamp: EventTime(millisecondsSinceEpoch: timestamp))
    }
}
