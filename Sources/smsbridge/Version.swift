import Kafka

/// What `--version` says.
enum Version {
    static let number = "0.1.0"

    /// With librdkafka's version, which is that of the shared library in this process.
    static var text: String { "smsbridge \(number) (librdkafka \(LibRDKafka.version))" }
}
