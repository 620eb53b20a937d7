import SMSBridgeKafka
import SMSPortalConsumer
import SMSPortalEvents
import Synchronization
import Testing

#if canImport(Glibc)
import Glibc
#endif

/// The real cluster of the environment, if there is one.
let realBootstrapServers: String? = getenv("KAFKA_BOOTSTRAP_SERVERS").map { String(cString: $0) }

/// A name that no other test and no other run uses.
func uniqueName(_ stem: String) -> String {
    "\(stem)-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
}

/// Today's, for a topic drops what is older than it keeps.
private let firstMoment = Int64(time(nil)) * 1_000

/// A delivery status about the nth message to a number.
func status(_ number: Int, _ message: Int, status: String = "DELIVRD") -> Event {
    let query = "Id=\(number)\(1000 + message)&Status=\(status)&PhoneNumber=2782\(1_000_000 + number)"
    let event = try? Event(
        callback: Callback(method: .get, route: .deliveryStatus, query: Array(query.utf8)),
        receivedAt: EventTime(millisecondsSinceEpoch: firstMoment + Int64(message)))
    return event!
}

/// Writes events to their topics, and waits until Kafka has them.
func publish(_ events: [Event], prefix: String = "smsportal", to bootstrapServers: String) async throws {
    var configuration = ProducerConfiguration(client: ClientConfiguration(bootstrapServers: bootstrapServers))
    configuration.messageTimeoutMilliseconds = 30_000
    let producer = try ProducerThread(configuration)
    defer { producer.close() }
    let failures = Mutex(0)
    for event in events {
        let record = event.record()
        try producer.send(
            topic: record.topic.name(prefix: prefix), key: record.key, value: record.value,
            timestamp: record.timestamp.millisecondsSinceEpoch, headers: record.headers.map { ($0.name, $0.value) }
        ) { report in
            if report.error != nil { failures.withLock { $0 += 1 } }
        }
    }
    producer.close()
    #expect(failures.withLock { $0 } == 0)
}

/// Waits for something, for ten minutes at most: other tests may keep all processors busy.
func eventually(_ condition: @Sendable () -> Bool) async -> Bool {
    let end = ContinuousClock.now + .seconds(600)
    while ContinuousClock.now < end {
        if condition() { return true }
        try? await Task.sleep(for: .milliseconds(10))
    }
    return condition()
}
