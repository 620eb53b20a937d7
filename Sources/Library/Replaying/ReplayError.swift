/// Why a replay cannot begin, or cannot go on.
package struct ReplayError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable {
        /// The window makes no sense.
        case window
        /// None of the topics exists, or none may be seen.
        case noTopic
        /// The name belongs to a replay of something else.
        case nameTaken
        /// Records were deleted before they were read.
        case deleted
        /// Kafka does not answer, or refuses.
        case kafka
    }

    package let code: Code
    package let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}
