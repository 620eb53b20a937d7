import SMSBridgeTelemetry
import Synchronization
import Testing

@testable import SMSBridgePublisher

@Suite struct PublisherLogTests {
    @Test func whatSomebodyAskedForIsNotHeldBack() {
        let lines = Lines()
        let log = PublisherLog(
            logger: Logger(sink: LogSink { lines.add($0) }), metrics: PublisherMetrics(MetricRegistry()))
        for index in 0..<5 { log.line(level: 7, facility: "PROTOCOL", text: "step-\(index)") }
        for index in 0..<5 { log.line(level: 3, facility: "FAIL", text: "failure-\(index)") }
        let all = lines.all
        #expect((0..<5).allSatisfy { index in all.contains { $0.contains("step-\(index)") } }, "\(all)")
        // Warnings repeat themselves, and the log does not.
        #expect(all.count { $0.contains("failure-") } == 1)
    }

    @Test func theLineThatATopicIsDirectAgainSaysHowManyEventsWereDrainedAndHowLongItTook() {
        let lines = Lines()
        let log = PublisherLog(
            logger: Logger(sink: LogSink { lines.add($0) }), metrics: PublisherMetrics(MetricRegistry()))
        log.queueChanged(0, .spooling(.ackTimeout))
        log.queueChanged(0, .direct(.init(events: 2, nanoseconds: 300_000_000)))
        // The end of an outage is logged, however recently the last one ended.
        log.queueChanged(0, .spooling(.ackTimeout))
        log.queueChanged(0, .direct(.init(events: 5_000, nanoseconds: 61_500_400_000)))
        let direct = lines.all.filter { $0.contains("topic switched to direct") }
        #expect(direct.count == 2 && direct.first?.contains(" drained=2 durationSeconds=0.3") == true, "\(direct)")
        #expect(direct.last?.contains(" drained=5000 durationSeconds=61.5") == true, "\(direct)")
        #expect(!lines.all.contains { $0.contains("repeated=0") })
    }

    private final class Lines: Sendable {
        private let kept = Mutex<[String]>([])
        var all: [String] { kept.withLock { $0 } }
        func add(_ line: String) { kept.withLock { $0.append(line) } }
    }
}
