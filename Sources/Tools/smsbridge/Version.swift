import SMSBridgeKafka

/// What `--version` says.
enum Version {
    static let number = "0.1.0"

    /// That of the shared library in this process, not the one that was compiled against.
    static var librdkafka: String { LibRDKafka.version }

    static var text: String { "smsbridge \(number) (librdkafka \(librdkafka))" }

    static var labels: [(String, String)] { [("version", number), ("librdkafka", librdkafka)] }
}
