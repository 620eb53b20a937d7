import SMSBridgeKafka
import SMSBridgeReplaying
import SMSBridgeSettings
import SMSBridgeTelemetry
import SMSPortalEvents

/// Finds records that their target would reject or delete, before they are sent: a topic deletes by the time of a record, and
/// past events are old.
final class TargetCheck {
    private let topics: [String: TargetTopic]
    /// Whether records keep their time.
    private let keepsTime: Bool

    /// - Parameters:
    ///   - names: the topics that are written.
    ///   - acceptsLoss: finds nothing.
    /// - Throws: `ReplayFailure` when a topic is compacted, or Kafka does not answer.
    init(
        _ names: [String], _ client: ClientConfiguration, timestamp: ReplayTimestamp, acceptsLoss: Bool, command: String
    ) throws(ReplayFailure) {
        keepsTime = timestamp == .original
        guard !acceptsLoss else {
            topics = [:]
            return
        }
        let found = try TargetTopic.describe(names, client)
        topics = Dictionary(found.map { ($0.name, $0) }, uniquingKeysWith: { $1 })
        for topic in found {
            if let compaction = topic.compaction {
                throw ReplayFailure(message: "\(compaction); write to another topic, or give --accept-loss")
            }
            if !topic.isKnown, keepsTime {
                Output.error(
                    "\(command): the configuration of \(topic.name) cannot be read (DescribeConfigs): whether it keeps records of "
                        + "that age is not known\n")
            }
        }
    }

    /// Why a record would be lost; nil when it would not be, as far as the configuration tells.
    func problem(of timestamp: Int64, in topic: String, now: Int64 = wallClockMilliseconds()) -> String? {
        guard keepsTime, let target = topics[topic] else { return nil }
        return target.problem(of: timestamp, now: now)
    }

    /// What to do about a problem.
    static func advice(_ topic: String) -> String {
        "give --timestamp now (the header replay-timestamp keeps the original), raise the limit (kafka-configs --alter --topic "
            + "\(topic) --add-config retention.ms=-1), or give --accept-loss"
    }

    /// Looks for old records in what is about to be read, by Kafka's time index.
    ///
    /// - Throws: `ReplayFailure` when there are some.
    func check(_ reader: RangeReader, target: String, zone: CommandTimeZone) throws(ReplayFailure) {
        let now = wallClockMilliseconds()
        guard keepsTime, let topic = topics[target], let oldest = topic.oldest(now: now) else { return }
        let old: [ReplayPlan.Partition]
        do throws(ReplayError) { old = try reader.partitions(withRecordsBefore: oldest) } catch {
            throw ReplayFailure(message: error.message)
        }
        guard let first = old.first, let problem = topic.problem(of: oldest - 1, now: now) else { return }
        throw ReplayFailure(
            message:
                "\(problem), and \(old.count) partitions (\(first.description)\(old.count > 1 ? ", …" : "")) have records to send from "
                + "before \(zone.text(of: oldest)): \(Self.advice(target)). Nothing was sent")
    }
}
