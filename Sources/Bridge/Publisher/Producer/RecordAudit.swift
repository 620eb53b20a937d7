package import SMSBridgeKafka
package import SMSBridgeThreads
internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// Reads acknowledged records back, at the offset that the broker has reported, and compares their event ids: the only proof
/// that does not rest on the broker's word. It takes the right to read the topics, and no group.
///
/// A thread of its own has a consumer; samples that it cannot keep up with are dropped, those that events wait for are not.
package final class RecordAudit: Sendable {
    package struct Sample: Sendable {
        package var topic: String
        package var partition: Int32
        package var offset: Int64
        /// The value of the header `ce_id`.
        package var eventID: [UInt8]
        /// The topic's index, for the one that asks.
        package var index: Int
        /// Whether reports wait for the answer.
        package var isAwaited: Bool

        package init(
            topic: String, partition: Int32, offset: Int64, eventID: [UInt8], index: Int = 0, isAwaited: Bool = true
        ) {
            self.topic = topic
            self.partition = partition
            self.offset = offset
            self.eventID = eventID
            self.index = index
            self.isAwaited = isAwaited
        }
    }

    package enum Finding: Sendable, Equatable {
        case matches
        /// Another record is there, or none.
        case differs
        /// The record could not be read, with the reason; this is no finding about it.
        case unreadable(String)
    }

    private let queue = Mutex<[Sample]>([])
    private let bell: Doorbell
    private let isStopping = Atomic<Bool>(false)
    private let thread = Mutex<NamedThread?>(nil)

    /// Milliseconds that one record may take, and a poll.
    private static let timeout: Int64 = 3_000
    private static let pollTimeout: Int32 = 100
    /// Samples that wait, beyond which those that nothing waits for are dropped.
    private static let bound = 64

    /// - Parameter tell: called on the audit's thread.
    package init(
        _ client: ClientConfiguration, tell: @escaping @Sendable (Sample, Finding) -> Void
    ) throws(ThreadError) {
        bell = try Doorbell()
        let started = try NamedThread("kafka-audit") { [self] in
            var consumer: Consumer?
            while !isStopping.load(ordering: .acquiring) {
                guard let sample = queue.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) else {
                    bell.wait(milliseconds: 60_000)
                    continue
                }
                do throws(KafkaError) {
                    let reader: Consumer
                    if let consumer { reader = consumer } else { reader = try Self.makeConsumer(client) }
                    consumer = reader
                    tell(sample, try read(sample, reader))
                } catch {
                    tell(sample, .unreadable(error.description))
                }
            }
            _ = consumer?.close(timeout: 1_000)
        }
        thread.withLock { $0 = started }
    }

    private static func makeConsumer(_ client: ClientConfiguration) throws(KafkaError) -> Consumer {
        var client = client
        // One record is wanted, not what follows it.
        client.properties["queued.min.messages"] = "1"
        client.properties["fetch.message.max.bytes"] = "4096"
        client.properties["fetch.wait.max.ms"] = "50"
        // Nothing is committed, so the name needs no right.
        var configuration = ConsumerConfiguration(client: client, group: "smsbridge-audit")
        configuration.offsetReset = .error
        return try Consumer(configuration)
    }

    /// Queues samples for comparison. Never blocks.
    package func check(_ samples: [Sample]) {
        queue.withLock { queue in
            for sample in samples where sample.isAwaited || queue.count < Self.bound { queue.append(sample) }
        }
        bell.ring()
    }

    private func read(_ sample: Sample, _ consumer: Consumer) throws(KafkaError) -> Finding {
        try consumer.assign([TopicPartition(sample.topic, sample.partition, offset: sample.offset)])
        defer { try? consumer.assign([]) }
        let began = ContinuousClock.now
        var reason = "no answer"
        while began.duration(to: .now) < .milliseconds(Self.timeout), !isStopping.load(ordering: .acquiring) {
            switch consumer.poll(timeout: Self.pollTimeout) {
            case .message(let message):
                guard message.partition == sample.partition, message.isOfTopic(sample.topic),
                    message.offset >= sample.offset
                else { continue }
                // The next record that is there comes in place of one that is not.
                guard message.offset == sample.offset else { return .differs }
                return Self.eventID(of: message) == sample.eventID ? .matches : .differs
            case .partitionError(_, let error):
                // An offset that the log does not have.
                if error.code == .offsetReset { return .differs }
                reason = error.description
            case .error(let error): reason = error.description
            default: continue
            }
        }
        return .unreadable(reason)
    }

    private static func eventID(of message: borrowing Message) -> [UInt8]? {
        message.withRawHeaders { headers in
            for header in headers where header.name.elementsEqual("ce_id".utf8) { return header.value.map(Array.init) }
            return nil
        }
    }

    /// Ends the thread; blocks up to the time of one poll, and a second.
    package func stop() {
        isStopping.store(true, ordering: .releasing)
        bell.ring()
        thread.withLock { $0 }?.join()
    }
}
