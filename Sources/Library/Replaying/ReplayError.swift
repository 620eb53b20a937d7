package import SMSBridgeKafka

/// Why a replay cannot begin, or cannot go on.
package struct ReplayError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable {
        /// The window is invalid.
        case window
        /// None of the topics exists.
        case noTopic
        /// The name belongs to a replay of something else.
        case nameTaken
        /// Kafka has forgotten the position of a part of the partitions.
        case positionExpired
        /// Records were deleted before they were read.
        case deleted
        /// Kafka does not answer, or rejects a request.
        case kafka
    }

    package let code: Code
    package let message: String
    /// Kafka's error, where there is one.
    package let cause: KafkaError.Code?

    package init(_ code: Code, _ message: String, cause: KafkaError.Code? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    package var description: String { message }
}
