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

    private final class Lines: Sendable {
        private let kept = Mutex<[String]>([])
        var all: [String] { kept.withLock { $0 } }
        func add(_ line: String) { kept.withLock { $0.append(line) } }
    }
}
