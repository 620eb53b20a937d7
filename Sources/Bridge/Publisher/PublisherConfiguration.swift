package import SMSBridgeKafka
package import SMSBridgeSpool
internal import SMSBridgeThreads
package import SMSPortalEvents

/// How events are published.
package struct PublisherConfiguration: Sendable {
    package var kafka: ClientConfiguration
    /// The topic name prefix, before the dot.
    package var topicPrefix: String = "smsportal"
    /// How long librdkafka waits for more records to share a request. Default 1 ms.
    package var linger: Duration = .milliseconds(1)
    /// An event that Kafka has not acknowledged after this time goes to the spool, with all that follow in its topic.
    /// Default 100 ms.
    package var hedge: Duration = .milliseconds(100)
    /// The durable local queue; nil goes without one.
    package var spool: SpoolConfiguration?
    /// At most so many bytes of records are kept in the spool, and half of it of one topic. Default 10 GiB.
    package var maxSpoolBytes: Int64 = 10 << 30
    /// An event that nothing has made durable after this time is answered 503, counted from the request's last byte.
    /// Default 900 ms: below the caller's patience by far, for it punishes slow endpoints.
    package var deadline: Duration = .milliseconds(900)
    /// At most so many events wait for their acknowledgement; further ones are refused at once. Default 100,000.
    package var maxInFlight: Int = 100_000
    /// At most so many bytes of records wait for their acknowledgement. Default 64 MiB.
    package var maxInFlightBytes: Int = 64 << 20
    /// Whether acknowledged records are read back: the first of each partition after a new connection before it counts,
    /// and a sample of the others. Needs the right to read the topics. Default false.
    package var audits = false
    /// The largest record that a callback within the limits of the HTTP server can make, in bytes.
    package var maxRecordBytes: Int = 1_000_000
    /// At most so many bytes of records share a batch. Default 512 KiB: below Kafka's own limit of a batch, 1,048,588.
    package var batchBytes: Int = 512 << 10

    package init(kafka: ClientConfiguration) {
        self.kafka = kafka
    }

    package func topicName(_ topic: EventTopic) -> String { topic.name(prefix: topicPrefix) }

    /// The topics' names, in the order of `EventTopic`.
    var topicNames: [String] { EventTopic.allCases.map(topicName) }

    var limits: PublisherCore.Limits {
        PublisherCore.Limits(
            maxInFlight: maxInFlight, maxInFlightBytes: maxInFlightBytes, maxSpoolBytes: maxSpoolBytes,
            hedge: hedge.nanoseconds, deadline: deadline.nanoseconds)
    }

    var producer: ProducerConfiguration {
        var producer = ProducerConfiguration(client: kafka)
        producer.lingerMilliseconds = Int(linger.milliseconds)
        // With a spool, events that are late stay in librdkafka and go first: expiring them would let later ones
        // overtake. Without one an event is answered at the deadline, and trying on would only make more duplicates.
        producer.messageTimeoutMilliseconds = spool == nil ? Int(deadline.milliseconds) : 0
        // This publisher's own bounds come first; these only say how much room librdkafka may need for them.
        producer.maxQueuedMessages = 2 * maxInFlight + 1
        producer.maxQueuedKibibytes = min(2_000_000_000, 2 * maxInFlightBytes / 1024 + maxInFlight + 1024)
        producer.maxMessageBytes = max(1_000_000, maxRecordBytes + 4_096)
        producer.batchBytes = batchBytes
        return producer
    }
}

extension PublisherConfiguration {
    /// For records that are tried by themselves after they were rejected in company.
    var individualProducer: ProducerConfiguration {
        var producer = self.producer
        producer.isIndividual = true
        producer.lingerMilliseconds = 0
        return producer
    }
}

extension Duration {
    /// Whole milliseconds, rounded down.
    var milliseconds: Int64 { components.seconds * 1_000 + components.attoseconds / 1_000_000_000_000_000 }
}
