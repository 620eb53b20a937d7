// What a consumer counts, in a factory of swift-metrics: the same names, labels and values as in its Prometheus text.
import CoreMetrics
import SMSPortalConsumer
import SMSPortalEvents
import SMSPortalTesting
import Synchronization

/// A factory that remembers what each instrument was told.
final class Remembered: MetricsFactory {
    private let kept = Mutex<[String: [Double]]>([:])
    private let gone = Mutex<Int>(0)

    func values(_ kind: String, _ label: String, _ dimensions: [(String, String)]) -> [Double] {
        kept.withLock { $0[Self.name(kind, label, dimensions)] ?? [] }
    }
    var destroyed: Int { gone.withLock { $0 } }

    private static func name(_ kind: String, _ label: String, _ dimensions: [(String, String)]) -> String {
        "\(kind) \(label) \(dimensions.map { "\($0.0)=\($0.1)" }.sorted().joined(separator: " "))"
    }

    private func instrument(_ kind: String, _ label: String, _ dimensions: [(String, String)]) -> Instrument {
        let name = Self.name(kind, label, dimensions)
        return Instrument { value in self.kept.withLock { $0[name, default: []].append(value) } }
    }

    func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        instrument("counter", label, dimensions)
    }
    func makeFloatingPointCounter(label: String, dimensions: [(String, String)]) -> any FloatingPointCounterHandler {
        instrument("floating", label, dimensions)
    }
    func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        instrument("meter", label, dimensions)
    }
    func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        instrument("recorder", label, dimensions)
    }
    func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        instrument("timer", label, dimensions)
    }
    func destroyCounter(_ handler: any CounterHandler) { gone.withLock { $0 += 1 } }
    func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) { gone.withLock { $0 += 1 } }
    func destroyMeter(_ handler: any MeterHandler) { gone.withLock { $0 += 1 } }
    func destroyRecorder(_ handler: any RecorderHandler) { gone.withLock { $0 += 1 } }
    func destroyTimer(_ handler: any TimerHandler) { gone.withLock { $0 += 1 } }
}

final class Instrument: CounterHandler, FloatingPointCounterHandler, MeterHandler, RecorderHandler, TimerHandler {
    private let tell: @Sendable (Double) -> Void
    init(_ tell: @escaping @Sendable (Double) -> Void) { self.tell = tell }
    func increment(by amount: Int64) { tell(Double(amount)) }
    func increment(by amount: Double) { tell(amount) }
    func decrement(by amount: Double) { tell(-amount) }
    func set(_ value: Int64) { tell(Double(value)) }
    func set(_ value: Double) { tell(value) }
    func record(_ value: Int64) { tell(Double(value)) }
    func record(_ value: Double) { tell(value) }
    func recordNanoseconds(_ duration: Int64) { tell(Double(duration)) }
    func preferDisplayUnit(_ unit: TimeUnit) {}
    func reset() {}
}

let factory = Remembered()
let bridge = try await TestBridge()
var configuration = bridge.configuration(group: "traits")
configuration.metrics = EventMetrics(factory: factory)
try await bridge.publish(.reply(.sample(text: "yes")), .reply(.sample(text: "no", msisdn: "27830123456")))
try await bridge.run(
    EventConsumer(configuration: configuration).onReply { _, _ in try await Task.sleep(for: .milliseconds(20)) })

func expect(_ isRight: Bool, _ what: String) {
    guard isRight else { fatalError("not counted as expected: \(what)") }
}
let group = ("group", "traits")
let reply = ("type", "reply")
let handled = factory.values("counter", "smsportal_consumer_events_total", [group, reply, ("outcome", "handled")])
expect(handled == [1, 1], "handled \(handled)")
let times = factory.values("timer", "smsportal_consumer_handler_seconds", [group, reply])
expect(times.count == 2 && times.allSatisfy { $0 >= 20e6 && $0 < 60e9 }, "nanoseconds \(times)")
expect(factory.values("timer", "smsportal_consumer_age_seconds", [group, reply]).count == 2, "ages")
expect(!factory.values("meter", "smsportal_consumer_buffered_events", [group]).isEmpty, "a gauge")
let text = configuration.metrics.prometheusText()
expect(
    text.contains("smsportal_consumer_events_total{group=\"traits\",type=\"reply\",outcome=\"handled\"} 2\n"),
    "the text beside it")
print("counted")
