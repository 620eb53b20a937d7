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

    /// Reads `KAFKA_BOOTSTRAP_SERVERS` (`localhost:9092`), `TOPIC_PREFIX` (`smsportal`), `GROUP`, and from
    /// `KAFKA_PROPERTIES_FILE` further properties of librdkafka, a line `name=value` each.
    package static func configuration(group: String) -> EventConsumer.Configuration {
        var configuration = EventConsumer.Configuration(
            bootstrapServers: environment("KAFKA_BOOTSTRAP_SERVERS", default: "localhost:9092"),
            group: environment("GROUP", default: group))
        configuration.topicPrefix = environment("TOPIC_PREFIX", default: "smsportal")
        let file = environment("KAFKA_PROPERTIES_FILE", default: "/dev/null")
        for line in (try? String(contentsOfFile: file, encoding: .utf8))?.split(separator: "\n") ?? [] {
            let parts = line.split(separator: "=", maxSplits: 1).map(String.init)
            if parts.count == 2, !line.hasPrefix("#") { configuration.kafkaProperties[parts[0]] = parts[1] }
        }
        return configuration
    }

    /// Runs a consumer until SIGTERM or SIGINT, and lets what has begun finish. An error ends the process with its text and
    /// exit code 1.
    package static func run(_ consumer: EventConsumer) async {
        let sources = [SIGTERM, SIGINT].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number)
            source.setEventHandler { consumer.shutdown() }
            source.resume()
            return source
        }
        defer { for source in sources { source.cancel() } }
        do { try await consumer.run() } catch {
            let line = Array("\(error)\n".utf8)
            _ = write(2, line, line.count)
            exit(1)
        }
    }
}
