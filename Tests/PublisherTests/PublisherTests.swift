import SMSBridgeEventLoop
import SMSBridgeKafka
import SMSBridgePublisher
import SMSBridgeTelemetry
import SMSPortalEvents
import Testing

/// A publisher on a real loop, and a mock cluster or a real one. `Rig.run` drives the loop on the test's own thread.
final class Rig {
    /// Nil on a real cluster.
    let cluster: MockCluster!
    let loop: EventLoop
    let registry = MetricRegistry()
    private(set) var publisher: Publisher!
    private(set) var outcomes: [UInt64: PublishOutcome] = [:]
    private(set) var answeredTwice: [UInt64] = []
    private let decoder = try! CallbackDecoder()
    private let record = RecordBuffer()
    private var next: UInt64 = 1

    convenience init(brokers: Int32 = 1, _ adjust: (inout PublisherConfiguration) -> Void = { _ in }) throws {
        let cluster = try MockCluster(brokers: brokers)
        var configuration = PublisherConfiguration(
            kafka: ClientConfiguration(bootstrapServers: cluster.bootstrapServers))
        configuration.deadline = .seconds(20)
        adjust(&configuration)
        for topic in EventTopic.allCases {
            try cluster.createTopic(configuration.topicName(topic), partitions: 3, replication: brokers)
        }
        try self.init(configuration, cluster)
    }

    /// - Parameter cluster: the mock cluster, if it is one; its topics are there.
    init(_ configuration: PublisherConfiguration, _ cluster: MockCluster? = nil) throws {
        self.cluster = cluster
        loop = try EventLoop()
        publisher = try Publisher(
            loop: loop, configuration: configuration, client: Publisher.makeClient(configuration),
            metrics: PublisherMetrics(registry), logger: Logger(sink: .discarding)
        ) { [unowned self] token, outcome in
            if outcomes.updateValue(outcome, forKey: token) != nil { answeredTwice.append(token) }
        }
    }

    /// Publishes a delivery status with a reference of its own; returns its token.
    @discardableResult
    func publish(msisdn: String = "27123456789", padding: Int = 0) -> UInt64 {
        let token = next
        next += 1
        let text = String(repeating: "x", count: padding)
        let body = Array(
            #"{"Status":"DELIVRD","EventId":1,"Msisdn":"\#(msisdn)","Received":1530013907,"UserReference":"ref-\#(token)","pad":"\#(text)"}"#
                .utf8)
        let none: [UInt8] = []
        decoder.decode(
            method: .post, route: .deliveryStatus, contentType: none.span.bytes, query: none.span.bytes,
            body: body.span.bytes, traceparent: none.span.bytes, tracestate: none.span.bytes, account: 0,
            receivedAt: 1_700_000_000_000 + Int64(token), into: record)
        publisher.publish(record, token: token)
        return token
    }

    /// Runs the loop until a condition holds, at most for so many seconds.
    func run(atMost seconds: UInt64 = 30, until condition: @escaping () -> Bool) throws {
        let deadline = try loop.timer(after: seconds * 1_000_000_000) { [loop] in loop.stop() }
        let check = try loop.timer(after: 1_000_000, repeating: 1_000_000) { [loop] in if condition() { loop.stop() } }
        if !condition() { loop.run() }
        deadline.cancel()
        check.cancel()
    }

    /// What a scrape shows now.
    func metrics() -> [UInt8] {
        publisher.updateGauges()
        return registry.render()
    }

    func close() {
        publisher.close().destroy()
        publisher = nil
        loop.destroy()
        cluster?.close()
    }
}

/// What the publisher promises, with the faults of the mock cluster.
@Suite(.serialized) struct PublisherTests {
    private func withRig(
        brokers: Int32 = 1, _ adjust: (inout PublisherConfiguration) -> Void = { _ in }, _ body: (Rig) throws -> Void
    ) throws {
        let rig = try Rig(brokers: brokers, adjust)
        defer { rig.close() }
        try body(rig)
        #expect(rig.answeredTwice.isEmpty)
    }

    @Test func everyEventIsAnsweredOnceAndIsInKafka() throws {
        try withRig { rig in
            let tokens = (0..<1_000).map { rig.publish(msisdn: "2712345\($0)") }
            try rig.run { rig.outcomes.count == tokens.count }
            #expect(rig.outcomes.values.allSatisfy { $0 == .durable })
            #expect(rig.publisher.eventsInFlight == 0)
            let client = try Client.silent(ClientConfiguration(bootstrapServers: rig.cluster.bootstrapServers))
            defer { client.destroy() }
            let stored = try (0..<Int32(3)).map {
                try client.watermarks(topic: "smsportal.delivery-status", partition: $0, timeout: 10_000).count
            }
            #expect(stored.reduce(0, +) == 1_000)
        }
    }

    @Test func withoutKafkaEventsAreRefusedAtTheDeadlineAndServiceGoesOn() throws {
        try withRig({ $0.deadline = .milliseconds(300) }) { rig in
            try rig.cluster.setDown(1)
            for _ in 0..<50 { rig.publish() }
            #expect(rig.outcomes.isEmpty, "nothing is refused before its time")
            try rig.run { rig.outcomes.count == 50 }
            // librdkafka's own timeout and ours are the same: whichever comes first, the event is refused.
            #expect(rig.outcomes.values.allSatisfy { $0 == .unavailable(.deadline) || $0 == .unavailable(.failed) })
            try rig.run { rig.publisher.eventsInFlight == 0 }
            #expect(rig.publisher.eventsInFlight == 0, "every late report is in")
            try rig.cluster.setUp(1)
            var last = rig.publish()
            // The connection comes back in its own time; until then events go on being refused.
            try rig.run(atMost: 60) {
                if rig.outcomes[last] == .durable { return true }
                if rig.outcomes[last] != nil { last = rig.publish() }
                return false
            }
            #expect(rig.outcomes[last] == .durable)
        }
    }

    @Test func aSlowBrokerIsAnsweredForAtTheDeadlineAndItsLateReportIsCounted() throws {
        try withRig({ $0.deadline = .milliseconds(500) }) { rig in
            let first = rig.publish()
            try rig.run { rig.outcomes[first] != nil }
            try rig.cluster.setRoundTripTime(2_000, of: 1)
            let token = rig.publish()
            try rig.run { rig.outcomes[token] != nil }
            #expect(rig.outcomes[token] != .durable)
            try rig.run { rig.publisher.eventsInFlight == 0 }
            // Answered by us at the deadline, its report coming late, or by librdkafka's own timeout a moment earlier.
            let lines = String(decoding: rig.metrics(), as: UTF8.self).split(separator: "\n")
            let late = lines.filter { $0.hasPrefix("smsbridge_late_reports_total") && $0.hasSuffix(" 1") }.count
            #expect(late == (rig.outcomes[token] == .unavailable(.deadline) ? 1 : 0))
        }
    }

    @Test func boundsInNumberAndBytesRefuseAtOnce() throws {
        try withRig({
            // A lane may have half of it.
            $0.maxInFlight = 20
            $0.maxInFlightBytes = 100_000
        }) { rig in
            try rig.cluster.setDown(1)
            let tokens = (0..<30).map { _ in rig.publish() }
            #expect(rig.outcomes.count == 20, "what is over the bound is refused without waiting")
            #expect(rig.outcomes.values.allSatisfy { $0 == .unavailable(.inFlightLimit) })
            #expect(rig.publisher.eventsInFlight == 10)
            try rig.cluster.setUp(1)
            try rig.run { rig.outcomes.count == tokens.count }
            #expect(rig.outcomes.values.filter { $0 == .durable }.count == 10)
            let large = (0..<10).map { _ in rig.publish(padding: 20_000) }
            #expect(large.contains { rig.outcomes[$0] == .unavailable(.inFlightLimit) }, "40 kB each: not ten of them")
            try rig.run { large.allSatisfy { rig.outcomes[$0] != nil } }
        }
    }

    @Test func aFatalErrorReplacesTheProducerInPlace() throws {
        try withRig { rig in
            for round in 1...3 {
                let before = (0..<20).map { _ in rig.publish() }
                rig.publisher.injectFatalError()
                try rig.run { before.allSatisfy { rig.outcomes[$0] != nil } }
                #expect(before.allSatisfy { rig.outcomes[$0] != nil }, "round \(round): purged events are answered")
                var last = rig.publish()
                try rig.run(atMost: 60) {
                    if rig.outcomes[last] == .durable { return true }
                    if rig.outcomes[last] != nil { last = rig.publish() }
                    return false
                }
                #expect(rig.outcomes[last] == .durable, "round \(round): service goes on without a restart")
            }
            let text = String(decoding: rig.metrics(), as: UTF8.self)
            #expect(text.contains("smsbridge_producer_recreations_total 3"))
        }
    }

    @Test func errorsThatPassAreNotTheCallers() throws {
        try withRig { rig in
            rig.cluster.failNext(.produce, with: [.notEnoughReplicas, .requestTimedOut, .leaderNotAvailable])
            let token = rig.publish()
            try rig.run { rig.outcomes[token] != nil }
            #expect(rig.outcomes[token] == .durable)
        }
    }

    @Test func stoppedItTakesNothingMoreAndFinishesWhatItHas() throws {
        try withRig { rig in
            let token = rig.publish()
            rig.publisher.stop()
            let refused = rig.publish()
            #expect(rig.outcomes[refused] == .unavailable(.stopping))
            try rig.run { rig.outcomes[token] != nil }
            #expect(rig.outcomes[token] == .durable)
        }
    }

    @Test func closedWithEventsInFlightEveryCallerIsAnswered() throws {
        try withRig { rig in
            try rig.cluster.setDown(1)
            let tokens = (0..<10).map { _ in rig.publish() }
            let client = rig.publisher.close()
            #expect(tokens.allSatisfy { rig.outcomes[$0] == .unavailable(.stopping) })
            client.destroy()
        }
    }
}
