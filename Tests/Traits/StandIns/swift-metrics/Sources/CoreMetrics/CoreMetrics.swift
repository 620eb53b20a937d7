// The part of swift-metrics' interface (2.7) that the trait and its test use, for machines that cannot fetch the package.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

public protocol CounterHandler: AnyObject, Sendable {
    func increment(by: Int64)
    func reset()
}

public protocol FloatingPointCounterHandler: AnyObject, Sendable {
    func increment(by: Double)
    func reset()
}

public protocol MeterHandler: AnyObject, Sendable {
    func set(_ value: Int64)
    func set(_ value: Double)
    func increment(by: Double)
    func decrement(by: Double)
}

public protocol RecorderHandler: AnyObject, Sendable {
    func record(_ value: Int64)
    func record(_ value: Double)
}

public protocol TimerHandler: AnyObject, Sendable {
    func recordNanoseconds(_ duration: Int64)
    func preferDisplayUnit(_ unit: TimeUnit)
}

/// As `CoreMetrics.TimeUnit`.
public struct TimeUnit: Equatable, Sendable {
    public let scaleFromNanoseconds: UInt64
    public static let nanoseconds = TimeUnit(scaleFromNanoseconds: 1)
    public static let seconds = TimeUnit(scaleFromNanoseconds: 1_000_000_000)
}

/// As `CoreMetrics.MetricsFactory`.
public protocol MetricsFactory: Sendable {
    func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler
    func makeFloatingPointCounter(label: String, dimensions: [(String, String)]) -> any FloatingPointCounterHandler
    func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler
    func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler
    func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler
    func destroyCounter(_ handler: any CounterHandler)
    func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler)
    func destroyMeter(_ handler: any MeterHandler)
    func destroyRecorder(_ handler: any RecorderHandler)
    func destroyTimer(_ handler: any TimerHandler)
}

public final class Counter: Sendable {
    private let handler: any CounterHandler
    private let factory: any MetricsFactory

    public init(label: String, dimensions: [(String, String)] = [], factory: any MetricsFactory) {
        handler = factory.makeCounter(label: label, dimensions: dimensions)
        self.factory = factory
    }

    public func increment<Value: BinaryInteger>(by amount: Value) { handler.increment(by: Int64(amount)) }
    public func destroy() { factory.destroyCounter(handler) }
}

public final class Meter: Sendable {
    private let handler: any MeterHandler
    private let factory: any MetricsFactory

    public init(label: String, dimensions: [(String, String)] = [], factory: any MetricsFactory) {
        handler = factory.makeMeter(label: label, dimensions: dimensions)
        self.factory = factory
    }

    public func set<Value: BinaryFloatingPoint>(_ value: Value) { handler.set(Double(value)) }
    public func increment<Value: BinaryFloatingPoint>(by amount: Value) { handler.increment(by: Double(amount)) }
    public func destroy() { factory.destroyMeter(handler) }
}

public final class Recorder: Sendable {
    private let handler: any RecorderHandler
    private let factory: any MetricsFactory

    public init(
        label: String, dimensions: [(String, String)] = [], aggregate: Bool = true, factory: any MetricsFactory
    ) {
        handler = factory.makeRecorder(label: label, dimensions: dimensions, aggregate: aggregate)
        self.factory = factory
    }

    public func record<Value: BinaryFloatingPoint>(_ value: Value) { handler.record(Double(value)) }
    public func destroy() { factory.destroyRecorder(handler) }
}

public final class Timer: Sendable {
    private let handler: any TimerHandler
    private let factory: any MetricsFactory

    public init(
        label: String, dimensions: [(String, String)] = [], preferredDisplayUnit unit: TimeUnit,
        factory: any MetricsFactory
    ) {
        handler = factory.makeTimer(label: label, dimensions: dimensions)
        handler.preferDisplayUnit(unit)
        self.factory = factory
    }

    public func recordNanoseconds(_ duration: Int64) { handler.recordNanoseconds(duration) }
    public func destroy() { factory.destroyTimer(handler) }
}
