#if SwiftMetrics
public import CoreMetrics
internal import SMSBridgeTelemetry

extension EventMetrics {
    /// With the package trait `SwiftMetrics`: instruments that count in a factory of swift-metrics, too.
    ///
    /// Each has the same name and labels there as in ``prometheusText()``: counters are counters, gauges are meters, and
    /// histograms of seconds are timers. Values arrive as they are counted; nothing polls.
    ///
    /// - Parameter factory: Its handlers are called on the threads that count, and must not block. What an application
    ///   has bootstrapped is `MetricsSystem.factory`.
    public convenience init(factory: any MetricsFactory) {
        self.init(mirror: FactoryMirror(factory: factory))
    }
}

private struct FactoryMirror: MetricMirror {
    let factory: any MetricsFactory

    func counter(_ name: String, labels: [(String, String)]) -> MirroredInstrument<UInt64> {
        let counter = CoreMetrics.Counter(label: name, dimensions: labels, factory: factory)
        return MirroredInstrument {
            counter.increment(by: Int64(clamping: $0))
        } end: {
            counter.destroy()
        }
    }

    func gauge(_ name: String, labels: [(String, String)]) -> MirroredInstrument<GaugeChange> {
        let meter = CoreMetrics.Meter(label: name, dimensions: labels, factory: factory)
        return MirroredInstrument { change in
            switch change {
            case .set(let value): meter.set(value)
            case .add(let amount): meter.increment(by: amount)
            }
        } end: {
            meter.destroy()
        }
    }

    func histogram(_ name: String, labels: [(String, String)]) -> MirroredInstrument<Double> {
        if name.hasSuffix("_seconds") {
            let timer = CoreMetrics.Timer(
                label: name, dimensions: labels, preferredDisplayUnit: .seconds, factory: factory)
            return MirroredInstrument { seconds in
                timer.recordNanoseconds(Int64(exactly: (seconds * 1e9).rounded()) ?? .max)
            } end: {
                timer.destroy()
            }
        }
        let recorder = CoreMetrics.Recorder(label: name, dimensions: labels, aggregate: true, factory: factory)
        return MirroredInstrument {
            recorder.record($0)
        } end: {
            recorder.destroy()
        }
    }
}
#endif
