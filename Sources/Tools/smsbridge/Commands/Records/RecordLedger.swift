import SMSBridgeKafka
import SMSBridgeReplaying
import SMSBridgeTelemetry
import SMSBridgeThreads

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The unprocessed records of a topic: those that no earlier command has processed.
///
/// Kafka cannot take one record out of a topic. So the processed offsets are stored in a compacted topic of its own,
/// the marks: for each partition one record, of which the newest counts. Committed offsets would be forgotten after a
/// week (`offsets.retention.minutes`), with letters of a month still there to be sent twice, and hold a thousand gaps.
/// One command at a time.
final class RecordLedger {
    private let client: ClientConfiguration
    private let topic: String
    private let marks: String
    private var hasMarks = false
    private var sender: RecordSender?
    private var done: [Int32: DoneOffsets] = [:]
    private var changed: Set<Int32> = []

    /// - Parameter marks: The topic that stores the processed offsets. Created when there are any.
    init(_ client: ClientConfiguration, topic: String, marks: String) {
        self.client = client
        self.topic = topic
        self.marks = marks
    }

    func close() { sender?.close() }

    /// What could not be read because a transaction is open.
    private(set) var blocked: [BlockedRange] = []

    /// What a command that has read its records ends with, after saying why it is not complete.
    func exitCode(_ command: String, _ interrupted: StopSignal) -> Int32 {
        if interrupted.wait(milliseconds: 0) { return ExitCode.incomplete }
        for range in blocked { Output.error("\(command): \(range): run it again when the transaction has ended\n") }
        return blocked.isEmpty ? ExitCode.success : ExitCode.openTransaction
    }

    /// Visits the records that are open, in order of partition and offset within each; with `all`, the others too.
    ///
    /// - Parameter body: false ends it.
    func forEach(
        all: Bool = false, until interrupted: StopSignal,
        _ body: (ArchiveRecord, _ isOpen: Bool) throws(ReplayFailure) -> Bool
    ) throws(ReplayFailure) {
        let reader = try reader(of: topic)
        defer { reader.close() }
        try load(reader, until: interrupted)
        try read(reader, until: interrupted) { record throws(ReplayFailure) in
            let isOpen = isOpen(record, reader.plan)
            guard isOpen || all else { return true }
            return try body(record, isOpen)
        }
    }

    private func reader(of topic: String) throws(ReplayFailure) -> RangeReader {
        do throws(ReplayError) { return try RangeReader(client, topics: [topic], window: ReplayWindow()) } catch {
            throw ReplayFailure(message: error.message)
        }
    }

    private func read(
        _ reader: RangeReader, until interrupted: StopSignal, _ body: (ArchiveRecord) throws(ReplayFailure) -> Bool
    ) throws(ReplayFailure) {
        var told = false
        while !reader.hasEnded, !interrupted.wait(milliseconds: 0) {
            let record: ArchiveRecord?
            do throws(ReplayError) {
                let message = try reader.next(timeout: 100) { error in
                    // No group is used.
                    guard error.code != .groupNotAuthorized else { return }
                    if !told { Output.error("smsbridge: Kafka: \(error.message)\n") }
                    told = true
                }
                if let message { record = ArchiveRecord(message) } else { record = nil }
            } catch {
                throw ReplayFailure(message: error.message)
            }
            guard let record else { continue }
            guard try body(record) else { return }
        }
        blocked += reader.blocked
    }

    private func isOpen(_ record: ArchiveRecord, _ plan: ReplayPlan) -> Bool {
        guard let partition = record.partition, let offset = record.offset, let offsets = done[partition],
            offsets.contains(offset)
        else { return true }
        guard record.timestamp > offsets.newest else { return false }
        // The topic was deleted and made again: the marks are of the one that was.
        done[partition] = DoneOffsets(low: offset)
        return true
    }

    // MARK: Processed offsets

    /// When it is interrupted, so is what follows.
    private func load(_ reader: RangeReader, until interrupted: StopSignal) throws(ReplayFailure) {
        guard done.isEmpty else { return }
        let known = try readMarks(reader, until: interrupted)
        for partition in reader.plan.partitions {
            var offsets = known[partition.partition] ?? DoneOffsets()
            // Beyond the end: of a topic that was deleted and made again.
            if offsets.low > partition.offsets.upperBound { offsets = DoneOffsets() }
            offsets.begin(at: partition.offsets.lowerBound)
            done[partition.partition] = offsets
        }
    }

    private func readMarks(
        _ reader: RangeReader, until interrupted: StopSignal
    ) throws(ReplayFailure) -> [Int32: DoneOffsets] {
        do throws(KafkaError) {
            let found = try reader.consumer.client.metadata(topic: marks, timeout: 10_000).topics.first?.error
            if found == .unknownTopicOrPartition || found == .unknownTopic { return [:] }
            if let found { throw KafkaError(found) }
        } catch {
            throw ReplayFailure(message: "processed offsets in the topic \(marks): \(error.message)")
        }
        hasMarks = true
        var known: [Int32: DoneOffsets] = [:]
        let marksReader = try self.reader(of: marks)
        defer { marksReader.close() }
        try read(marksReader, until: interrupted) { record throws(ReplayFailure) in
            guard let key = record.key, let partition = Int32(String(decoding: key, as: UTF8.self)),
                let offsets = record.value.map({ DoneOffsets(text: String(decoding: $0, as: UTF8.self)) })
                    ?? DoneOffsets()
            else { throw ReplayFailure(message: "the topic \(marks) has records that this command has not written") }
            known[partition] = offsets
            return true
        }
        // The newest of them may be the one that counts.
        if let range = blocked.first { throw ReplayFailure(message: "\(range)", exitCode: ExitCode.openTransaction) }
        return known
    }

    /// Notes that a record is about to be dealt with; `keep()` makes it last, once it has been. Asked for before
    /// anything is sent, for what cannot be kept would be sent again.
    ///
    /// - Throws: `ReplayFailure` when it cannot be kept: this record is not to be dealt with.
    func finish(_ record: ArchiveRecord) throws(ReplayFailure) {
        guard let partition = record.partition, let offset = record.offset else { return }
        try prepare()
        guard done[partition, default: DoneOffsets()].insert(offset, time: record.timestamp) else {
            throw ReplayFailure(
                message:
                    "\(topic)[\(partition)]: \(DoneOffsets.mostStretches) unprocessed ranges lie between processed ones, and no more can be stored; process older ones first"
            )
        }
        changed.insert(partition)
    }

    /// Writes down what was finished; blocks until Kafka has it.
    func keep() throws(ReplayFailure) {
        guard let sender, !changed.isEmpty else { return }
        do throws(ReplayFailure) {
            for partition in changed.sorted() {
                try sender.send(
                    topic: marks, key: Array("\(partition)".utf8), value: done[partition].map { Array($0.text.utf8) },
                    timestamp: wallClockMilliseconds(), headers: [])
            }
            try sender.flush()
        } catch {
            throw ReplayFailure(message: "failed to store processed offsets in the topic \(marks): \(error.message)")
        }
        changed.removeAll()
    }

    /// Makes the topic of the marks where it is not there, and refuses one that would forget.
    private func prepare() throws(ReplayFailure) {
        guard sender == nil else { return }
        do {
            let admin = try Admin(client)
            defer { admin.close() }
            if !hasMarks { try make(admin) }
            // Who may not ask cannot tell.
            let described = try? admin.configuration(of: .topic(marks), timeout: 10_000)
            if let policy = described?["cleanup.policy"] ?? nil, policy != "compact" {
                throw KafkaError(
                    .invalidArgument, "its cleanup.policy is \(policy), so that it forgets: it has to be compact")
            }
        } catch let error as KafkaError {
            throw ReplayFailure(message: "processed offsets are stored in the topic \(marks): \(error.message)")
        } catch {
            throw ReplayFailure(message: "\(error)")
        }
        var attempt = 0
        while sender == nil {
            do throws(ReplayFailure) { sender = try RecordSender(client, topics: [marks]) } catch {
                attempt += 1
                // A topic that was just created may not be known to all brokers yet.
                guard !hasMarks, attempt < 50 else { throw error }
                usleep(100_000)
            }
        }
        hasMarks = true
    }

    private func make(_ admin: Admin) throws(KafkaError) {
        // As durable as the topic that it describes.
        let copies = try admin.describe(topic: topic, timeout: 10_000).topics.first?.partitions.first?.replicas.count
        let outcomes = try admin.create(
            [
                NewTopic(
                    name: marks, partitions: 1, replication: Int32(copies ?? -1),
                    configuration: ["cleanup.policy": "compact", "max.message.bytes": "1048588"])
            ], timeout: 20_000)
        guard let error = outcomes[marks] ?? nil else { return }
        throw KafkaError(
            error.code,
            error.code == .topicExists
                ? "it has just been created: try again"
                : "it cannot be made: \(error.message). Make it, with one partition and cleanup.policy=compact")
    }
}
