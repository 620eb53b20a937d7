import SMSBridgeKafka
import SMSBridgeTelemetry
import SMSPortalEvents
import Synchronization
import Testing

@testable import SMSPortalConsumer

/// What a consumer holds and how long: kept contexts, handlers that outlive the run, keys that hold too much. Against
/// librdkafka's mock cluster.
struct EventConsumerMemoryTests {
    private func withCluster(_ body: (String) async throws -> Void) async throws {
        let cluster = try MockCluster()
        defer { cluster.close() }
        for topic in EventTopic.allCases { try cluster.createTopic(topic.name(), partitions: 2) }
        for topic in ["g-dlt", "g-redrive"] { try cluster.createTopic(topic, partitions: 2) }
        try await body(cluster.bootstrapServers)
    }

    private func configuration(_ bootstrapServers: String) -> EventConsumer.Configuration {
        var configuration = EventConsumer.Configuration(bootstrapServers: bootstrapServers, group: "g")
        configuration.log = .none
        configuration.commitInterval = .milliseconds(100)
        return configuration
    }

    private func type(in headers: [EventRecord.Header]) -> String? {
        headers.first { $0.name == "ce_type" }?.value.map { String(decoding: $0, as: UTF8.self) }
    }

    private func id(in headers: [EventRecord.Header]) -> String? {
        headers.first { $0.name == "ce_id" }?.value.map { String(decoding: $0, as: UTF8.self) }
    }

    @Test func keptEventsAndContextsStayReadable() async throws {
        try await withCluster { servers in
            let events = (0..<2_000).map { status($0 % 100, $0 / 100) }
            try await publish(events, to: servers)
            let kept = Mutex<[(event: DeliveryStatus?, context: EventContext?)]>([])
            let count = Atomic(0)
            let consumer = EventConsumer(configuration: configuration(servers))
                .onDeliveryStatus { status, context in
                    // Of some the event is kept, of some the context, of some both, of most neither; headers are read before or never.
                    let number = count.wrappingAdd(1, ordering: .relaxed).oldValue
                    if number % 5 == 0 { #expect(!context.headers.isEmpty) }
                    switch number % 7 {
                    case 0: kept.withLock { $0.append((status, nil)) }
                    case 1: kept.withLock { $0.append((nil, context)) }
                    case 2: kept.withLock { $0.append((status, context)) }
                    default: break
                    }
                }
            let run = Task { try await consumer.run() }
            #expect(await eventually { count.load(ordering: .relaxed) >= events.count })
            consumer.shutdown()
            try await run.value
            let byID = Dictionary(uniqueKeysWithValues: events.map { ($0.id, $0) })
            let all = kept.withLock { $0 }
            #expect(all.count >= events.count * 3 / 7)
            for (event, context) in all {
                if let event {
                    #expect(byID[event.id] == .deliveryStatus(event))
                }
                if let context {
                    #expect(byID[context.eventID]?.msisdn == context.key && id(in: context.headers) == context.eventID)
                    #expect(context.topic == EventTopic.deliveryStatus.name() && context.replayName == nil)
                    #expect(context.receivedAt == byID[context.eventID]?.receivedAt)
                }
                if let event, let context { #expect(event.id == context.eventID) }
            }
        }
    }

    /// Its record is read from librdkafka's memory, whose client is gone by then.
    @Test func aHandlerThatOutlivesTheRunReadsItsRecord() async throws {
        try await withCluster { servers in
            let events = (0..<20).map { status($0, 0) }
            try await publish(events, to: servers)
            let isOpen = Atomic(false)
            let begun = Atomic(0)
            let read = Mutex<[String]>([])
            var configuration = configuration(servers)
            configuration.shutdownTimeout = .milliseconds(200)
            let consumer = EventConsumer(configuration: configuration)
                .onDeliveryStatus { _, context in
                    begun.wrappingAdd(1, ordering: .relaxed)
                    // Ignores its cancellation.
                    while !isOpen.load(ordering: .relaxed) {
                        try? await Task.sleep(for: .milliseconds(5)); await Task.yield()
                    }
                    read.withLock { $0.append(id(in: context.headers) ?? "none") }
                }
            let run = Task { try await consumer.run() }
            #expect(await eventually { begun.load(ordering: .relaxed) == 20 })
            consumer.shutdown()
            try await run.value
            isOpen.store(true, ordering: .relaxed)
            #expect(await eventually { read.withLock { $0.count } == 20 })
            #expect(Set(read.withLock { $0 }) == Set(events.map(\.id)))
        }
    }

    @Test func aNumberWithMoreThanIsHeldKeepsNoOtherWaiting() async throws {
        try await withCluster { servers in
            let mine = (0..<600).map { status(0, $0) }
            let others = (0..<200).map { status(1 + $0 % 20, $0 / 20) }
            try await publish(mine + others, to: servers)
            var configuration = configuration(servers)
            configuration.maxBufferedEvents = 100
            let number = mine[0].msisdn
            let isOpen = Atomic(false)
            let seen = Mutex<[Int64]>([])
            let rest = Atomic(0)
            let consumer = EventConsumer(configuration: configuration)
                .onDeliveryStatus { status, _ in
                    guard status.msisdn == number else {
                        rest.wrappingAdd(1, ordering: .relaxed)
                        return
                    }
                    while !isOpen.load(ordering: .relaxed) { try await Task.sleep(for: .milliseconds(5)) }
                    seen.withLock { $0.append(status.receivedAt.millisecondsSinceEpoch) }
                }
            let run = Task { try await consumer.run() }
            #expect(await eventually { rest.load(ordering: .relaxed) == 200 })
            #expect(seen.withLock { $0.isEmpty })
            #expect(
                configuration.metrics.prometheusText().split(separator: "\n").contains {
                    $0.hasPrefix("smsportal_consumer_released_events_total") && !$0.hasSuffix(" 0")
                })
            isOpen.store(true, ordering: .relaxed)
            #expect(await eventually { seen.withLock { $0.count } >= 600 })
            consumer.shutdown()
            try await run.value
            #expect(seen.withLock { $0 } == mine.map(\.receivedAt.millisecondsSinceEpoch))
        }
    }

    /// They are in different topics and partitions.
    @Test func aRedrivenAndALiveEventOfANumberAreHandledOneAfterTheOther() async throws {
        try await withCluster { servers in
            try await publish((0..<20).map { status(1, $0) }, to: servers)
            let producer = try ProducerThread(
                ProducerConfiguration(client: ClientConfiguration(bootstrapServers: servers)))
            for message in 100..<120 {
                let record = status(1, message).record()
                _ = try await producer.send(
                    topic: "g-redrive", key: record.key, value: record.value,
                    timestamp: record.timestamp.millisecondsSinceEpoch,
                    headers: record.headers.map { ($0.name, $0.value) } + [
                        ("kafka_dlt-original-topic", Array(EventTopic.deliveryStatus.name().utf8))
                    ])
            }
            producer.close()
            let running = Atomic(0)
            let most = Mutex(0)
            let live = Atomic(0)
            let redriven = Atomic(0)
            let consumer = EventConsumer(configuration: configuration(servers))
                .onDeliveryStatus { _, context in
                    let now = running.wrappingAdd(1, ordering: .relaxed).newValue
                    most.withLock { $0 = max($0, now) }
                    try await Task.sleep(for: .milliseconds(20))
                    running.wrappingSubtract(1, ordering: .relaxed)
                    if context.isRedriven {
                        redriven.wrappingAdd(1, ordering: .relaxed)
                    } else {
                        live.wrappingAdd(1, ordering: .relaxed)
                    }
                }
            let run = Task { try await consumer.run() }
            #expect(await eventually { live.load(ordering: .relaxed) == 20 && redriven.load(ordering: .relaxed) == 20 })
            consumer.shutdown()
            try await run.value
            #expect(most.withLock { $0 } == 1)
        }
    }
}
