import SMSPortalConsumer
import SMSPortalTesting
import Synchronization
import Testing

struct MiddlewareTests {
    private final class Seen: Sendable {
        private let state = Mutex<[String]>([])
        var all: [String] { state.withLock { $0 } }
        func add(_ one: String) { state.withLock { $0.append(one) } }
    }

    private struct Busy: Error {}

    @Test func theFirstIsTheOutermostAndSeesEveryAttemptAndItsError() async throws {
        let bridge = try await TestBridge()
        let seen = Seen()
        let consumer = EventConsumer(configuration: bridge.configuration(group: "middleware"))
            .use { event, context, next in
                seen.add("outer \(event.type) \(context.attempt)")
                do { try await next() } catch {
                    seen.add("outer saw \(error)")
                    throw error
                }
                seen.add("outer done")
            }
            .onReply { _, context in
                seen.add("handler")
                if context.attempt == 1 { throw Busy() }
            }
            .use { _, _, next in
                seen.add("inner")
                try await next()
                seen.add("inner done")
            }
        try await bridge.publish(.reply(.sample(text: "Yes")))
        try await bridge.run(consumer)
        #expect(
            seen.all == [
                "outer reply 1", "inner", "handler", "outer saw Busy()",
                "outer reply 2", "inner", "handler", "inner done", "outer done",
            ])
        #expect(try await bridge.deadLetters(of: "middleware").isEmpty)
    }

    @Test func oneThatDoesNotCallNextHasHandledTheEventAndAnErrorIsAFailure() async throws {
        let bridge = try await TestBridge()
        let seen = Seen()
        var configuration = bridge.configuration(group: "middleware")
        configuration.failure.maxAttempts = 1
        let consumer = EventConsumer(configuration: configuration)
            .use { event, _, next in
                if case .reply(let reply) = event, reply.text == "fail" { throw Busy() }
                if case .reply(let reply) = event, reply.text == "drop" { return }
                try await next()
            }
            .onReply { reply, _ in seen.add(reply.text) }
            .onOptOut { optOut, _ in seen.add(optOut.text) }
        try await bridge.publish(
            ["Yes", "drop", "fail", "Stop"].map { .reply(.sample(text: $0)) })
        try await bridge.run(consumer)
        #expect(seen.all == ["Yes", "Stop"])
        #expect(try await bridge.deadLetters(of: "middleware").map(\.errorKind) == ["Busy"])
    }

    @Test func theLoggingMiddlewareLogsAttemptsWithoutContent() async throws {
        let bridge = try await TestBridge()
        let lines = Seen()
        var configuration = bridge.configuration(group: "middleware")
        configuration.log = .lines(level: .debug) { lines.add($0) }
        let consumer = EventConsumer(configuration: configuration)
            .use(.logging)
            .onReply { _, context in if context.attempt == 1 { throw Busy() } }
        try await bridge.publish(.reply(.sample(text: "a secret", msisdn: "27821234567")))
        try await bridge.run(consumer)
        #expect(lines.all.contains { $0.contains("handler failed") && $0.contains("error=Busy") }, "\(lines.all)")
        #expect(lines.all.contains { $0.contains("handler finished") && $0.contains("durationMs=") })
        #expect(!lines.all.contains { $0.contains("secret") || $0.contains("27821234567") })
    }
}
