import FoundationEssentials
import Synchronization
import Testing

@testable import SMSBridgeTelemetry

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

@Suite struct MetricTests {
    @Test func theTextIsExact() throws {
        let registry = MetricRegistry()
        let replies = registry.counter("bridge_events_total", help: "Events.", labels: [("type", "reply")])
        let clicks = registry.counter("bridge_events_total", help: "Events.", labels: [("type", "click")])
        registry.gauge("bridge_connections", help: "Open connections.").set(2.5)
        let latency = registry.histogram(
            "bridge_answer_seconds", help: "From the last byte to the answer.", buckets: [0.001, 0.01, 1])
        replies.increment()
        replies.increment(by: 41)
        clicks.increment()
        latency.observe(nanoseconds: 1_000_000)
        latency.observe(nanoseconds: 1_000_001)
        latency.observe(0.5)
        latency.observe(7)
        let text = String(decoding: registry.render(), as: UTF8.self)
        #expect(
            text == """
                # HELP bridge_answer_seconds From the last byte to the answer.
                # TYPE bridge_answer_seconds histogram
                bridge_answer_seconds_bucket{le="0.001"} 1
                bridge_answer_seconds_bucket{le="0.01"} 2
                bridge_answer_seconds_bucket{le="1"} 3
                bridge_answer_seconds_bucket{le="+Inf"} 4
                bridge_answer_seconds_sum 7.502000001
                bridge_answer_seconds_count 4
                # HELP bridge_connections Open connections.
                # TYPE bridge_connections gauge
                bridge_connections 2.5
                # HELP bridge_events_total Events.
                # TYPE bridge_events_total counter
                bridge_events_total{type="click"} 1
                bridge_events_total{type="reply"} 42

                """)
        try promtool(registry.render())
    }

    @Test func labelsAndHelpAreEscaped() throws {
        let registry = MetricRegistry()
        let value = "a\\b\"c\nd é😀 {},="
        registry.gauge("odd_label", help: "One \\ two\nthree \"four\".", labels: [("x", value), ("y", "")]).set(-3)
        let bytes = registry.render()
        #expect(
            String(decoding: bytes, as: UTF8.self) == #"""
                # HELP odd_label One \\ two\nthree "four".
                # TYPE odd_label gauge
                odd_label{x="a\\b\"c\nd é😀 {},=",y=""} -3

                """#)
        #expect(try ExpositionParser.parse(bytes).value("odd_label", ["x": value, "y": ""]) == -3)
        try promtool(bytes)
    }

    @Test(arguments: [
        (0.0, "0"), (-0.0, "0"), (1, "1"), (-12, "-12"), (0.1, "0.1"), (1e300, "1e+300"), (1e-9, "1e-09"),
        (.infinity, "+Inf"), (-.infinity, "-Inf"), (.nan, "NaN"), (123_456_789_012, "123456789012"),
    ])
    func numbersAreWrittenAsGoReadsThem(value: Double, text: String) {
        #expect(PrometheusText.number(value) == text)
    }

    @Test func aCounterKeepsEveryIncrementOfEveryThread() async {
        let registry = MetricRegistry()
        let counter = registry.counter("many_total", help: "Many.")
        let gauge = registry.gauge("many", help: "Many.")
        let histogram = registry.histogram("many_seconds", help: "Many.", buckets: [1, 2])
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<8 {
                group.addTask {
                    for _ in 0..<20_000 {
                        counter.increment()
                        gauge.add(task.isMultiple(of: 2) ? 1 : -1)
                        histogram.observe(1.5)
                        histogram.observe(nanoseconds: 500_000_000)
                    }
                }
            }
        }
        #expect(counter.value == 160_000)
        #expect(gauge.value == 0)
        #expect(histogram.count == 320_000)
        #expect(histogram.sum == 160_000 * 2)
        #expect(histogram.snapshot().counts == [160_000, 160_000, 0])
    }

    @Test func theBoundsOfAHistogramAreInclusiveInBothUnits() {
        for bound in Histogram.latencyBounds + [0.0003, 0.0007, 1.1, 4.35] {
            let histogram = Histogram(bounds: [bound])
            let nanoseconds = UInt64((bound * 1e9).rounded())
            histogram.observe(nanoseconds: nanoseconds)
            histogram.observe(bound)
            #expect(histogram.snapshot().counts == [2, 0], "\(bound)")
            histogram.observe(nanoseconds: nanoseconds + 1)
            histogram.observe(bound.nextUp)
            histogram.observe(.infinity)
            histogram.observe(.nan)
            #expect(histogram.snapshot().counts == [2, 3], "\(bound)")
        }
    }

    @Test func theSameNameAndLabelsAreTheSameInstrument() {
        let registry = MetricRegistry()
        registry.counter("a_total", help: "A.", labels: [("x", "1")]).increment()
        registry.counter("a_total", help: "A.", labels: [("x", "1")]).increment()
        registry.counter("a_total", help: "A.", labels: [("x", "2")]).increment()
        #expect(registry.counter("a_total", help: "A.", labels: [("x", "1")]).value == 2)
    }

    @Test func aCounterTakesOverATotalAndDoesNotFall() {
        let counter = Counter()
        counter.raise(to: 5)
        counter.raise(to: 3)
        #expect(counter.value == 5)
    }

    @Test func hooksRunBeforeEveryRendering() throws {
        let registry = MetricRegistry()
        let gauge = registry.gauge("renderings", help: "How often this was asked for.")
        registry.collect { gauge.add(1) }
        #expect(try ExpositionParser.parse(registry.render()).value("renderings") == 1)
        #expect(try ExpositionParser.parse(registry.render()).value("renderings") == 2)
    }

    @Test func theProcessTellsOfItself() throws {
        let registry = MetricRegistry()
        registry.addProcessMetrics()
        registry.addBuildInfo([("version", "1.2.3"), ("librdkafka", "2.0.2")])
        let before = try ExpositionParser.parse(registry.render())
        let resident = try #require(before.value("process_resident_memory_bytes"))
        #expect(resident > 1_000_000 && resident < 1e11)
        let start = try #require(before.value("process_start_time_seconds"))
        #expect(abs(start - Date().timeIntervalSince1970) < 86_400)
        #expect(before.value("smsbridge_build_info", ["version": "1.2.3", "librdkafka": "2.0.2"]) == 1)
        #expect(try #require(before.value("process_max_fds")) >= 64)
        var spun = 0
        // By the process's own clock: on a busy machine time goes by without any work being done.
        let until = processSeconds() + 0.2
        while processSeconds() < until { spun &+= 1 }
        // Other tests open and close descriptors meanwhile: enough of them make the difference.
        let opened = (0..<200).map { _ in open("/dev/null", O_RDONLY) }
        defer { opened.forEach { close($0) } }
        let after = try ExpositionParser.parse(registry.render())
        let name = "process_cpu_seconds_total"
        #expect(try #require(after.value(name)) - #require(before.value(name)) > 0.05)
        #expect(try #require(after.value("process_open_fds")) - #require(before.value("process_open_fds")) > 100)
        #expect(after.order == after.order.sorted())
        try promtool(registry.render())
    }

    private func processSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    @Test func theStatFileIsReadPastACommandNameWithParentheses() {
        var figures = ProcessFigures()
        let fields = (4...52).map { String($0 * 10) }.joined(separator: " ")
        figures.take(stat: Array("12 (a) b) (c)) S \(fields)\n".utf8))
        #expect(figures.threads == 200)
        #expect(figures.virtualBytes == 230)
        #expect(figures.residentBytes == 240 * Double(sysconf(Int32(_SC_PAGESIZE))))
        var empty = ProcessFigures()
        empty.take(stat: Array("12 (a".utf8))
        empty.take(stat: Array("12 (a) S 1".utf8))
        #expect(empty.threads == nil && empty.residentBytes == nil)
    }

    @Test func mistakesOfTheProgrammerStopAtOnce() async {
        await #expect(processExitsWith: .failure) {
            let registry = MetricRegistry()
            _ = registry.counter("a_total", help: "A.")
            _ = registry.counter("a_total", help: "B.")
        }
        await #expect(processExitsWith: .failure) {
            let registry = MetricRegistry()
            _ = registry.counter("a_total", help: "A.", labels: [("x", "1")])
            _ = registry.counter("a_total", help: "A.", labels: [("y", "1")])
        }
        await #expect(processExitsWith: .failure) {
            let registry = MetricRegistry()
            _ = registry.gauge("a", help: "A.")
            _ = registry.histogram("a", help: "A.")
        }
        await #expect(processExitsWith: .failure) {
            let registry = MetricRegistry()
            _ = registry.gauge("a_count", help: "A.")
            _ = registry.histogram("a", help: "A.")
        }
        await #expect(processExitsWith: .failure) { _ = MetricRegistry().counter("requests", help: "A.") }
        await #expect(processExitsWith: .failure) { _ = MetricRegistry().gauge("9a", help: "A.") }
        await #expect(processExitsWith: .failure) { _ = MetricRegistry().gauge("a", help: "") }
        await #expect(processExitsWith: .failure) {
            _ = MetricRegistry().gauge("a", help: "A.", labels: [("a-b", "1")])
        }
        await #expect(processExitsWith: .failure) {
            _ = MetricRegistry().histogram("a", help: "A.", buckets: [1, 1])
        }
    }

    /// `promtool check metrics`, where it is installed.
    private func promtool(_ bytes: [UInt8]) throws {
        _ = try ExpositionParser.parse(bytes)
        guard access("/usr/bin/promtool", X_OK) == 0 else { return }
        let path = TemporaryPath.unique("metrics")
        try #require(writeFile(path, bytes))
        defer { unlink(path) }
        let status = system("/usr/bin/promtool check metrics < \(path) > \(path).out 2>&1")
        defer { unlink(path + ".out") }
        let said = readSmallFile(path + ".out").map { String(decoding: $0, as: UTF8.self) } ?? ""
        #expect(status == 0 && said.isEmpty, "\(said)")
    }
}

enum TemporaryPath {
    private static let number = Atomic<Int>(0)

    static func unique(_ name: String) -> String {
        "/tmp/smsbridge-\(name)-\(getpid())-\(number.wrappingAdd(1, ordering: .relaxed).newValue)"
    }
}

func writeFile(_ path: String, _ bytes: [UInt8]) -> Bool {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    return write(descriptor, bytes, bytes.count) == bytes.count
}

/// What another system of metrics was told, in order.
private final class Reflection: MetricMirror {
    private let kept = Mutex<[String]>([])
    var told: [String] { kept.withLock { $0 } }

    private func instrument<Value>(
        _ kind: String, _ name: String, _ labels: [(String, String)], as: Value.Type
    ) -> MirroredInstrument<Value> {
        let name = "\(kind) \(name)\(labels.map { " \($0.0)=\($0.1)" }.joined())"
        return MirroredInstrument { value in
            self.kept.withLock { $0.append("\(name) \(value)") }
        } end: {
            self.kept.withLock { $0.append("\(name) ends") }
        }
    }

    func counter(_ name: String, labels: [(String, String)]) -> MirroredInstrument<UInt64> {
        instrument("counter", name, labels, as: UInt64.self)
    }
    func gauge(_ name: String, labels: [(String, String)]) -> MirroredInstrument<GaugeChange> {
        instrument("gauge", name, labels, as: GaugeChange.self)
    }
    func histogram(_ name: String, labels: [(String, String)]) -> MirroredInstrument<Double> {
        instrument("histogram", name, labels, as: Double.self)
    }
}

@Suite struct MetricMirrorTests {
    @Test func aMirrorIsToldWhatTheInstrumentsAreTold() {
        let mirror = Reflection()
        let registry = MetricRegistry(mirror: mirror)
        let counter = registry.counter("events_total", help: "Events.", labels: [("type", "reply")])
        counter.increment(by: 2)
        counter.raise(to: 7)
        counter.raise(to: 7)
        let gauge = registry.gauge("lag", help: "Lag.", labels: [("partition", "3")])
        gauge.set(4)
        gauge.add(-1.5)
        let histogram = registry.histogram("age_seconds", help: "Age.")
        histogram.observe(nanoseconds: 1_500_000)
        histogram.observe(0.25)
        histogram.observe(.nan)
        registry.remove("lag", labels: [("partition", "3")])
        registry.remove("lag", labels: [("partition", "3")])
        #expect(
            mirror.told == [
                "counter events_total type=reply 2", "counter events_total type=reply 5",
                "gauge lag partition=3 set(4.0)", "gauge lag partition=3 add(-1.5)",
                "histogram age_seconds 0.0015", "histogram age_seconds 0.25", "gauge lag partition=3 ends",
            ])
        #expect(counter.value == 7)
        #expect(gauge.value == 2.5)
        #expect(histogram.count == 2)
    }
}
