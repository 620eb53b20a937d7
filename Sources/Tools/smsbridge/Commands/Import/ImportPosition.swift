import SMSBridgeKafka
import SMSBridgeSettings

/// How far an import with a name has come, kept in Kafka as a committed offset of the group `smsbridge-import-NAME`, which has no
/// members: the number of rows that are done, on the first partition of the topic of delivery statuses.
final class ImportPosition {
    private let consumer: Consumer
    private let topic: String
    private let group: String
    private let selection: String
    /// Rows that are done.
    private(set) var rows = 0
    /// Events that all runs have published.
    private(set) var published = 0
    private var isLate = false

    /// The group that keeps the position of an import.
    static func group(_ name: String) -> String { "smsbridge-import-\(name)" }

    /// - Parameter selection: what is imported, as text; a name that was used for something else is rejected.
    init(_ settings: BridgeSettings, name: String, selection: String) throws(ReplayFailure) {
        group = Self.group(name)
        topic = "\(settings.topics.prefix).delivery-status"
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in selection.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        self.selection = String(hash, radix: 16)
        do throws(KafkaError) {
            consumer = try Consumer(ConsumerConfiguration(client: settings.kafkaClient, group: group))
        } catch {
            throw ReplayFailure(message: "\(error)")
        }
        do throws(KafkaError) {
            let known = try consumer.committed([TopicPartition(topic, 0)], timeout: 10_000).first
            guard let known, let offset = known.offset else { return }
            let words = (known.metadata ?? "").split(separator: " ")
            guard words.count == 3, words[0] == "1", words[1] == self.selection, let count = Int(words[2]) else {
                consumer.close(timeout: 2_000)
                throw KafkaError(
                    .invalidArgument,
                    "another import has this name, of other files or options: choose another name, or delete the consumer group "
                        + group)
            }
            rows = Int(offset)
            published = count
        } catch {
            consumer.close(timeout: 2_000)
            throw ReplayFailure(
                message: error.code == .invalidArgument
                    ? error.message : "the import's position in the group \(group): \(error.message)")
        }
    }

    /// Commits the position. While Kafka does not answer it is tried again later, unless it is the last time.
    func commit(rows: Int, published: Int, isLast: Bool, timeout: Int32) throws(ReplayFailure) {
        do throws(KafkaError) {
            try consumer.commit(
                [TopicPartition(topic, 0, offset: Int64(rows), metadata: "1 \(selection) \(published)")],
                timeout: timeout)
            isLate = false
        } catch {
            let message = "the import's position in the group \(group) could not be committed: \(error.message)"
            guard error.isTransient, !isLast else {
                throw ReplayFailure(
                    message: "\(message); what was published since the last commit is published again",
                    exitCode: error.isTransient ? ExitCode.incomplete : ExitCode.failure)
            }
            if !isLate { Output.error("smsbridge import: \(message); tried again\n") }
            isLate = true
        }
    }

    func close() { consumer.close(timeout: 2_000) }
}

extension KafkaError {
    fileprivate var isTransient: Bool { code.isTransient }
}
