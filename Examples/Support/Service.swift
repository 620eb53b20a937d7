internal import Dispatch
package import SMSPortalConsumer

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

/// What the environment says, and how a service ends: the part that all examples share.
package enum Service {
    /// The value of an environment variable; the default where it is missing or empty.
    package static func environment(_ name: String, default standard: String) -> String {
        let value = ProcessInfo.processInfo.environment[name] ?? ""
        return value.isEmpty ? standard : value
    }

    /// Reads `KAFKA_BOOTSTRAP_SERVERS` (`localhost:9092`), `TOPIC_PREFIX` (`smsportal`) and `GROUP`.
    package static func configuration(group: String) -> EventConsumer.Configuration {
        var configuration = EventConsumer.Configuration(
            bootstrapServers: environment("KAFKA_BOOTSTRAP_SERVERS", default: "localhost:9092"),
            group: environment("GROUP", default: group))
        configuration.topicPrefix = environment("TOPIC_PREFIX", default: "smsportal")
        return configuration
    }

    /// Runs a consumer until SIGTERM or SIGINT, and lets what has begun finish.
    package static func run(_ consumer: EventConsumer) async throws {
        let sources = [SIGTERM, SIGINT].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number)
            source.setEventHandler { consumer.shutdown() }
            source.resume()
            return source
        }
        defer { for source in sources { source.cancel() } }
        try await consumer.run()
    }
}
