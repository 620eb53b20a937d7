import Foundation
import SMSPortalConsumer
import SMSPortalTesting
import Synchronization
import Testing

/// What a readiness check and a status page get from a consumer.
struct HealthTests {
    /// Holds handlers until it is opened.
    private final class Gate: Sendable {
        private let isOpen = Mutex(false)
        func open() { isOpen.withLock { $0 = true } }
        func pass() async throws {
            while !isOpen.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(5)) }
        }
    }

    @Test func aConsumerIsReadyFromItsFirstAssignmentToItsShutdown() async throws {
        let bridge = try await TestBridge(partitions: 2)
        let gate = Gate()
        let consumer = EventConsumer(configuration: bridge.configuration(group: "health"))
            .onReply { _, _ in try await gate.pass() }
        #expect(consumer.health.state == .notStarted && !consumer.health.isReady)
        #expect(consumer.health.httpStatus == 503 && consumer.health.reasons == ["the consumer is not-started"])
        try await bridge.publish((0..<5).map { .reply(.sample(msisdn: "2782123456\($0)")) })
        try await bridge.run(consumer) {
            try await bridge.until("ready, with a lag") {
                let health = consumer.health
                return health.isReady && health.lag == 5 && health.runningHandlers == 5 && health.bufferedEvents == 5
            }
            let health = consumer.health
            #expect(health.isJoined && health.isKafkaReachable && health.waitingPartitions == 0)
            // The redrive topic is read, too.
            #expect(Set(health.partitions.map(\.topic)) == ["smsportal.reply", "health-redrive"])
            #expect(health.partitions.count == 3)
            #expect(health.pausedPartitions == 0 && health.blockedHandlers.isEmpty && health.httpStatus == 200)
            gate.open()
            try await bridge.until("no lag") { consumer.health.lag == 0 }
        }
        #expect(consumer.health.state == .ended && !consumer.health.isReady && consumer.health.partitions.isEmpty)
    }

    @Test func aHandlerThatDoesNotEndIsListedAndPausesAreShown() async throws {
        let bridge = try await TestBridge(partitions: 1)
        let gate = Gate()
        var configuration = bridge.configuration(group: "health")
        configuration.blockedHandlerTime = .milliseconds(100)
        configuration.maxBufferedEvents = 2
        // With a second handler the number would release its events, so that others can be read.
        configuration.concurrency = 1
        let consumer = EventConsumer(configuration: configuration).onReply { _, _ in try await gate.pass() }
        try await bridge.publish((0..<10).map { .reply(.sample(text: "\($0)")) })
        try await bridge.run(consumer) {
            try await bridge.until("a blocked handler") { !consumer.health.blockedHandlers.isEmpty }
            let blocked = consumer.health.blockedHandlers
            #expect(blocked.map(\.topic) == ["smsportal.reply"] && blocked.map(\.offset) == [0])
            try await bridge.until("a pause") { consumer.health.pausedPartitions > 0 }
            #expect(consumer.health.isReady, "another member would not be faster")
            gate.open()
            try await bridge.until("neither") {
                consumer.health.blockedHandlers.isEmpty && consumer.health.pausedPartitions == 0
            }
        }
    }

    @Test func whileKafkaIsAwayAConsumerIsNotReady() async throws {
        let bridge = try await TestBridge()
        let consumer = EventConsumer(configuration: bridge.configuration(group: "health")).onReply { _, _ in }
        try await bridge.publish(.reply(.sample()))
        try await bridge.run(consumer) {
            try await bridge.until("ready") { consumer.health.isReady }
            try bridge.stopBroker()
            try await bridge.until("not ready") { !consumer.health.isReady }
            #expect(consumer.health.reasons == ["Kafka does not answer"])
            try await bridge.until("a reason") { consumer.health.lastError != nil }
            try bridge.startBroker()
            try await bridge.until("ready again") { consumer.health.isReady }
        }
    }

    @Test func theSummaryIsJSONWithoutContent() async throws {
        let bridge = try await TestBridge(partitions: 1)
        let gate = Gate()
        var configuration = bridge.configuration(group: "health")
        configuration.blockedHandlerTime = .milliseconds(1)
        configuration.failure.maxAttempts = 1
        let consumer = EventConsumer(configuration: configuration)
            .onReply { reply, _ in
                if reply.text == "fail \"quoted\"" { throw Secret(text: reply.text) }
                try await gate.pass()
            }
        try await bridge.publish(
            .reply(.sample(text: "fail \"quoted\"", msisdn: "27830000001")), .reply(.sample(msisdn: "27821234567")))
        try await bridge.run(consumer) {
            let deadLettered = "event dead-lettered: Secret"
            try await bridge.until("everything to show") {
                let health = consumer.health
                return health.isReady && !health.blockedHandlers.isEmpty && health.lastError?.message == deadLettered
            }
            let json = consumer.health.json
            let object = try #require(try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any])
            #expect(object["ready"] as? Bool == true && object["state"] as? String == "running")
            #expect(object["group"] as? String == "health" && object["assignedPartitions"] as? Int == 2)
            #expect((object["blockedHandlers"] as? [[String: Any]])?.first?["topic"] as? String == "smsportal.reply")
            #expect((object["partitions"] as? [[String: Any]])?.count == 2)
            let last = try #require(object["lastError"] as? [String: Any])
            #expect(last["message"] as? String == deadLettered && last["time"] is String)
            #expect(!json.contains("quoted") && !json.contains("2782") && !json.contains("\n"))
            gate.open()
        }
        let ended = consumer.health.json
        #expect(ended.hasPrefix(#"{"ready":false,"state":"ended","reasons":["the consumer is ended"]"#))
    }

    private struct Secret: Error { let text: String }
}
