package import Kafka
package import SMSPortalEvents

/// How events are published.
package struct PublisherConfiguration: Sendable {
    package var kafka: ClientConfiguration
    /// What stands before the dot in the topics' names.
    package var topicPrefix: String = "smsportal"
    /// How long librdkafka waits for more records to share a request. Default 1 ms.
    package var linger: Duration = .milliseconds(1)
    /// An event that Kafka has not acknowledged after this time is answered 503, counted from the request's last byte.
    /// Default 900 ms: below the caller's patience by far, for it punishes slow endpoints.
    package var deadline: Duration = .milliseconds(900)
    /// At most so many events wait for their acknowledgement; further ones are refused at once. Default 100,000.
    package var maxInFlight: Int = 100_000
    /// At most so many bytes of records wait for their acknowledgement. Default 64 MiB.
    package var maxInFlightBytes: Int = 64 << 20
    /// The largest record that a callback within the limits of the HTTP server can make, in bytes.
    package var maxRecordBytes: Int = 1_000_000

    package init(kafka: ClientConfiguration) {
        self.kafka = kafka
    }

    package func topicName(_ topic: EventTopic) -> String { topic.name(prefix: topicPrefix) }

    var producer: ProducerConfiguration {
        var producer = ProducerConfiguration(client: kafka)
        producer.lingerMilliseconds = Int(linger.milliseconds)
        // An event is answered at the deadline; trying on behind the caller's back would only make more duplicates.
        producer.messageTimeoutMilliseconds = Int(deadline.milliseconds)
        // This publisher's own bounds come first; these only say how much room librdkafka may need for them.
        producer.maxQueuedMessages = maxInFlight + 1
        producer.maxQueuedKibibytes = min(2_000_000_000, maxInFlightBytes / 1024 + maxInFlight / 2 + 1024)
        producer.maxMessageBytes = max(1_000_000, maxRecordBytes + 4_096)
        return producer
    }
}

extension Duration {
    /// Whole milliseconds, rounded down.
    var milliseconds: Int64 { components.seconds * 1_000 + components.attoseconds / 1_000_000_000_000_000 }
}
