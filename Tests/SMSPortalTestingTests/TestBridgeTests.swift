import SMSPortalConsumer
import SMSPortalEvents
import SMSPortalTesting
import Synchronization
import Testing

/// What a downstream team does with a test bridge.
struct TestBridgeTests {
    /// What handlers have seen, in order.
    private final class Seen: Sendable {
        private let state = Mutex<[String]>([])
        var all: [String] { state.withLock { $0 } }
        func add(_ one: String) { state.withLock { $0.append(one) } }
    }

    private struct DeskIsClosed: Error, CustomStringConvertible {
        var description: String { "the desk is closed" }
    }

    @Test func everyTypeReachesItsHandler() async throws {
        let bridge = try await TestBridge()
        let seen = Seen()
        var configuration = bridge.configuration(group: "all")
        configuration.includesTestEvents = true
        let consumer = EventConsumer(configuration: configuration)
            .onDeliveryStatus { status, _ in seen.add("status \(status.state)") }
            .onReply { reply, _ in seen.add("reply \(reply.text)") }
            .onShortCode { message, _ in seen.add("short code \(message.shortCode ?? "")") }
            .onOptOut { optOut, _ in seen.add("opt-out \(optOut.text)") }
            .onURLPreview { _, _ in seen.add("preview") }
            .onURLClick { _, _ in seen.add("click") }
            .onUnrecognised { callback, _ in seen.add("unrecognised \(callback.reason)") }
        try await bridge.publish(
            .deliveryStatus(.sample(state: .failed)), .reply(.sample(text: "Yes")), .reply(.sample(text: "Stop")),
            .shortCode(.sample()), .urlPreview(.sample()), .urlClick(.sample()), .unrecognised(.sample()),
            .reply(.sample(text: "test", msisdn: "27000000001")))
        try await bridge.run(consumer)
        #expect(
            Set(seen.all) == [
                "status failed", "reply Yes", "opt-out Stop", "short code 40001", "preview", "click",
                "unrecognised invalid-json", "reply test",
            ])
        #expect(seen.all.count == 8)
    }

    @Test func eventsOfANumberComeInTheOrderOfPublishing() async throws {
        let bridge = try await TestBridge()
        let seen = Seen()
        let consumer = EventConsumer(configuration: bridge.configuration(group: "order"))
            .onReply { reply, _ in seen.add(reply.text) }
        let texts = (0..<50).map { "\($0)" }
        try await bridge.run(consumer) {
            try await bridge.publish(texts.map { .reply(.sample(text: $0)) })
            try await bridge.untilHandled(by: consumer)
            #expect(seen.all == texts)
            try await bridge.publish(.reply(.sample(text: "last")))
        }
        #expect(seen.all == texts + ["last"])
    }

    @Test func whatFailsIsADeadLetterThatCanBeRead() async throws {
        let bridge = try await TestBridge()
        let consumer = EventConsumer(configuration: bridge.configuration(group: "desk"))
            .onReply { _, _ in throw DeskIsClosed() }
        let reply = Reply.sample(text: "Yes please")
        try await bridge.publish(.reply(reply))
        try await bridge.publish(value: "not JSON", to: .reply, key: "27830000001")
        try await bridge.publish(value: nil, to: .reply, key: "27830000002")
        try await bridge.run(consumer)
        let letters = try await bridge.deadLetters(of: "desk")
        let letter = try #require(letters.first { $0.event != nil })
        #expect(letter.event == .reply(reply))
        #expect(letter.errorKind == "DeskIsClosed" && letter.errorMessage == "the desk is closed")
        #expect(letter.attempts == 5 && letter.topic == "smsportal.reply" && letter.key == "27821234567")
        let undecodable = letters.filter { $0.event == nil }
        #expect(undecodable.map(\.key) == ["27830000001"], "a tombstone is skipped")
        #expect(undecodable.map { $0.value.map { String(decoding: $0, as: UTF8.self) } } == ["not JSON"])
        let metrics = consumer.configuration.metrics.prometheusText()
        #expect(metrics.contains("smsportal_consumer_tombstones_total{group=\"desk\"} 1"))
        #expect(try await bridge.deadLetters(of: "nobody").isEmpty)
    }

    @Test func aSecondConsumerGoesOnWhereTheFirstLeftOff() async throws {
        let bridge = try await TestBridge()
        let seen = Seen()
        for text in ["first", "second"] {
            try await bridge.publish(.reply(.sample(text: text)))
            let consumer = EventConsumer(configuration: bridge.configuration(group: "g"))
                .onReply { reply, _ in seen.add(reply.text) }
            try await bridge.run(consumer)
        }
        #expect(seen.all == ["first", "second"])
        // Another group gets everything.
        let other = EventConsumer(configuration: bridge.configuration(group: "h"))
            .onReply { reply, _ in seen.add(reply.text) }
        try await bridge.run(other)
        #expect(seen.all == ["first", "second", "first", "second"])
    }

    @Test func repeatsHaveOneID() async throws {
        let bridge = try await TestBridge()
        let seen = Seen()
        let consumer = EventConsumer(configuration: bridge.configuration(group: "g"))
            .onReply { _, context in seen.add(context.eventID) }
        let reply = Event.reply(.sample())
        try await bridge.publish(reply, reply)
        try await bridge.run(consumer)
        #expect(seen.all == [reply.id, reply.id])
    }

    @Test func aStoreOfProcessedEventsHandlesRepeatsOnce() async throws {
        let bridge = try await TestBridge()
        let seen = Seen()
        var configuration = bridge.configuration(group: "g")
        configuration.processedEvents = InMemoryProcessedEvents()
        let consumer = EventConsumer(configuration: configuration)
            .onReply { _, context in seen.add(context.eventID) }
        let reply = Event.reply(.sample())
        try await bridge.publish(reply, reply)
        try await bridge.run(consumer)
        #expect(seen.all == [reply.id])
    }

    @Test func aSequenceIsFedAsWell() async throws {
        let bridge = try await TestBridge()
        try await bridge.publish((0..<5).map { .reply(.sample(text: "\($0)")) })
        let consumer = EventConsumer(configuration: bridge.configuration(group: "g"))
        var texts: [String] = []
        for try await delivery in consumer.events(.reply) {
            if case .reply(let reply) = delivery.event { texts.append(reply.text) }
            delivery.acknowledge()
            if texts.count == 5 { break }
        }
        #expect(texts == ["0", "1", "2", "3", "4"])
    }

    // MARK: Faults

    @Test func aBrokerGoesAwayAndComesBack() async throws {
        let bridge = try await TestBridge()
        let seen = Seen()
        let consumer = EventConsumer(configuration: bridge.configuration(group: "g"))
            .onReply { reply, _ in seen.add(reply.text) }
        try await bridge.run(consumer) {
            try await bridge.publish(.reply(.sample(text: "before")))
            try await bridge.untilHandled(by: consumer)
            try bridge.stopBroker()
            async let published: Void = bridge.publish(.reply(.sample(text: "after")))
            try bridge.startBroker()
            try await published
        }
        #expect(seen.all == ["before", "after"])
    }

    @Test func aSlowBrokerIsSlowOnly() async throws {
        let bridge = try await TestBridge()
        try bridge.setLatency(.milliseconds(20))
        let seen = Seen()
        let consumer = EventConsumer(configuration: bridge.configuration(group: "g"))
            .onReply { reply, _ in seen.add(reply.text) }
        let clock = ContinuousClock()
        let took = try await clock.measure { try await bridge.publish(.reply(.sample(text: "slow"))) }
        #expect(took >= .milliseconds(20))
        try bridge.setLatency(.zero)
        try await bridge.run(consumer)
        #expect(seen.all == ["slow"])
    }

    @Test func aRefusedCommitIsMadeUpFor() async throws {
        let bridge = try await TestBridge()
        try bridge.failNextCommits(2)
        let consumer = EventConsumer(configuration: bridge.configuration(group: "g")).onReply { _, _ in }
        try await bridge.publish(.reply(.sample()))
        try await bridge.run(consumer)
        #expect(bridge.logLines.contains { $0.contains("offsets could not be committed") })
    }

    @Test func aRefusedDeadLetterIsWrittenLater() async throws {
        let bridge = try await TestBridge()
        let consumer = EventConsumer(configuration: bridge.configuration(group: "g"))
            .onReply { _, _ in throw DeskIsClosed() }
        try await bridge.publish(.reply(.sample()))
        try bridge.failNextWrites()
        try await bridge.run(consumer)
        #expect(try await bridge.deadLetters(of: "g").count == 1)
        #expect(bridge.logLines.contains { $0.contains("a dead letter could not be written") })
    }

    @Test func aRefusedPublicationIsAnError() async throws {
        let bridge = try await TestBridge()
        try bridge.failNextWrites()
        await #expect(throws: TestBridgeError.self) { try await bridge.publish(.reply(.sample())) }
    }

    // MARK: What goes wrong in a test

    @Test func aTimeoutSaysWhatWasAwaited() async throws {
        let bridge = try await TestBridge(partitions: 1)
        let consumer = EventConsumer(configuration: bridge.configuration(group: "desk"))
            .onReply { reply, _ in if reply.text == "hang" { try await Task.sleep(for: .seconds(600)) } }
        try await bridge.publish(.reply(.sample(text: "ok")), .reply(.sample(text: "hang")))
        let error = await #expect(throws: TestBridgeError.self) {
            try await bridge.run(consumer, timeout: .milliseconds(300))
        }
        #expect(error?.code == .timedOut)
        #expect(error?.message.contains("'desk' has not handled smsportal.reply[0] from offset") == true)
        let other = await #expect(throws: TestBridgeError.self) {
            try await bridge.until("the second attempt", timeout: .milliseconds(5)) { false }
        }
        #expect(other?.message.contains("the second attempt") == true)
        try await bridge.until("nothing") { true }
    }

    @Test func theConsumersOwnErrorComesFirst() async throws {
        let bridge = try await TestBridge()
        var configuration = bridge.configuration(group: "g")
        configuration.failure = FailurePolicy(maxAttempts: 1, finally: .stop)
        let consumer = EventConsumer(configuration: configuration).onReply { _, _ in throw DeskIsClosed() }
        try await bridge.publish(.reply(.sample()))
        let error = await #expect(throws: EventConsumerError.self) { try await bridge.run(consumer) }
        #expect(error?.code == .handler)
    }

    @Test func aWrongConfigurationIsToldAtOnce() async throws {
        let bridge = try await TestBridge()
        var configuration = bridge.configuration(group: "g")
        configuration.concurrency = 0
        let consumer = EventConsumer(configuration: configuration).onReply { _, _ in }
        try await bridge.publish(.reply(.sample()))
        let error = await #expect(throws: EventConsumerError.self) { try await bridge.run(consumer) }
        #expect(error?.code == .configuration)
    }

    @Test func aCancelledTestEnds() async throws {
        let bridge = try await TestBridge()
        let began = Seen()
        let consumer = EventConsumer(configuration: bridge.configuration(group: "g"))
            .onReply { _, _ in
                began.add("")
                try await Task.sleep(for: .seconds(600))
            }
        try await bridge.publish(.reply(.sample()))
        let run = Task { try await bridge.run(consumer, timeout: .seconds(600)) }
        try await bridge.until("the handler") { !began.all.isEmpty }
        run.cancel()
        await #expect(throws: CancellationError.self) { try await run.value }
    }

    @Test func impossibleRequestsAreErrors() async throws {
        await #expect(throws: TestBridgeError.self) { _ = try await TestBridge(partitions: 0) }
        let bridge = try await TestBridge()
        try await bridge.publish([])
        try bridge.setLatency(.seconds(-1))
        try bridge.failNextCommits(-1)
    }
}
