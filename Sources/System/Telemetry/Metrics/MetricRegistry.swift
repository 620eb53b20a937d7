internal import Synchronization

/// What a registry keeps: it can write its samples.
protocol Instrument: AnyObject, Sendable {
    /// It has been taken out of its registry.
    func removed()
    func write(
        _ name: String, labels: [(name: String, value: String)], dividedBy divisor: UInt64,
        to text: inout PrometheusText)

    func reading(dividedBy divisor: UInt64) -> MetricSnapshot.Reading
}

extension Counter: Instrument {
    func write(
        _ name: String, labels: [(name: String, value: String)], dividedBy divisor: UInt64,
        to text: inout PrometheusText
    ) {
        text.sample(name, labels: labels, value, dividedBy: divisor)
    }

    func reading(dividedBy divisor: UInt64) -> MetricSnapshot.Reading { .value(Double(value) / Double(divisor)) }
}

extension Gauge: Instrument {
    func write(
        _ name: String, labels: [(name: String, value: String)], dividedBy _: UInt64, to text: inout PrometheusText
    ) {
        text.sample(name, labels: labels, value)
    }

    func reading(dividedBy _: UInt64) -> MetricSnapshot.Reading { .value(value) }
}

extension Histogram: Instrument {
    func write(
        _ name: String, labels: [(name: String, value: String)], dividedBy _: UInt64, to text: inout PrometheusText
    ) {
        text.histogram(name, labels: labels, self)
    }

    func reading(dividedBy _: UInt64) -> MetricSnapshot.Reading { .buckets(bounds: bounds, counts: snapshot().counts) }
}

/// The instruments of a process, and their text for Prometheus.
///
/// Instruments are created once, at start, and kept by their users; the registry is touched again only when the text is
/// asked for. A name that is not conventional, or that is registered twice with another type, help text, label names or
/// buckets, is a programmer's error and traps at once, so that any test that builds the process finds it. The same
/// name with the same labels is the same instrument.
package final class MetricRegistry: Sendable {
    private struct Child: Sendable {
        let labels: [(name: String, value: String)]
        let instrument: any Instrument

        var values: [String] { labels.map(\.value) }
    }

    private struct Family: Sendable {
        let type: String
        let help: String
        let labelNames: [String]
        let bounds: [Double]
        let divisor: UInt64
        var children: [Child]
    }

    private struct State {
        var families: [String: Family] = [:]
        var sampleNames: Set<String> = []
        var hooks: [@Sendable () -> Void] = []
    }

    private let state = Mutex(State())
    private let mirror: (any MetricMirror)?

    /// - Parameter mirror: another metrics system that receives every change of the instruments.
    package init(mirror: (any MetricMirror)? = nil) { self.mirror = mirror }

    /// A counter. Its name ends in `_total`, after the unit if it has one.
    ///
    /// - Parameter divisor: what the rendered value is divided by: 1,000,000,000 makes seconds of nanoseconds.
    package func counter(
        _ name: String, help: String, labels: [(String, String)] = [], divisor: UInt64 = 1
    ) -> Counter {
        precondition(name.hasSuffix("_total"), "the name of a counter ends in _total: \(name)")
        return register(name, type: "counter", help: help, labels: labels, divisor: divisor) {
            Counter(mirror: mirror?.counter(name, labels: labels))
        }
    }

    /// A gauge.
    package func gauge(_ name: String, help: String, labels: [(String, String)] = []) -> Gauge {
        precondition(!name.hasSuffix("_total"), "only the name of a counter ends in _total: \(name)")
        return register(name, type: "gauge", help: help, labels: labels) {
            Gauge(mirror: mirror?.gauge(name, labels: labels))
        }
    }

    /// A histogram; one of times is named `…_seconds`.
    package func histogram(
        _ name: String, help: String, labels: [(String, String)] = [], buckets: [Double] = Histogram.latencyBounds
    ) -> Histogram {
        precondition(!labels.contains { $0.0 == "le" }, "the label le is the histogram's own: \(name)")
        precondition(
            !["_total", "_bucket", "_sum", "_count"].contains { name.hasSuffix($0) },
            "a histogram's name does not end like one of its samples: \(name)")
        return register(name, type: "histogram", help: help, labels: labels, bounds: buckets) {
            Histogram(bounds: buckets, mirror: mirror?.histogram(name, labels: labels))
        }
    }

    /// Removes an instrument whose subject is gone; remaining references may still count.
    package func remove(_ name: String, labels: [(String, String)]) {
        let values = labels.map(\.1)
        let gone: Child? = state.withLock { state in
            guard let index = state.families[name]?.children.firstIndex(where: { $0.values == values }) else {
                return nil
            }
            return state.families[name]?.children.remove(at: index)
        }
        gone?.instrument.removed()
    }

    /// Removes every instrument that has this value of a label, as ``remove(_:labels:)`` does one.
    package func removeAll(labelled label: String, _ value: String) {
        let gone: [Child] = state.withLock { state in
            var gone: [Child] = []
            for name in state.families.keys {
                let children = state.families[name]?.children ?? []
                func isMeant(_ child: Child) -> Bool { child.labels.contains { $0.name == label && $0.value == value } }
                gone += children.filter(isMeant)
                state.families[name]?.children = children.filter { !isMeant($0) }
            }
            return gone
        }
        for child in gone { child.instrument.removed() }
    }

    /// Adds work to be done before every rendering: figures that are read rather than counted.
    ///
    /// It runs on the thread that renders, so it must not block, and must not render.
    package func collect(_ hook: @escaping @Sendable () -> Void) {
        state.withLock { $0.hooks.append(hook) }
    }

    /// All instruments as Prometheus text, format 0.0.4: `text/plain; version=0.0.4; charset=utf-8`.
    ///
    /// Families are in order of name, and their samples in order of label values, so equal values give equal bytes.
    package func render() -> [UInt8] {
        let hooks = state.withLock { $0.hooks }
        for hook in hooks { hook() }
        let families = state.withLock { $0.families }
        var text = PrometheusText()
        for (name, family) in families.sorted(by: { $0.key < $1.key }) {
            text.header(name: name, type: family.type, help: family.help)
            for child in family.children {
                child.instrument.write(name, labels: child.labels, dividedBy: family.divisor, to: &text)
            }
        }
        return text.bytes
    }

    /// The values of all instruments, for who reads them in this process.
    ///
    /// - Parameter collecting: whether collected gauges are read again, as `render` does.
    package func snapshot(collecting: Bool) -> MetricSnapshot {
        let hooks = collecting ? state.withLock { $0.hooks } : []
        for hook in hooks { hook() }
        let families = state.withLock { $0.families }
        return MetricSnapshot(
            families: families.mapValues { family in
                family.children.map { child in
                    MetricSnapshot.Sample(
                        labels: child.labels, reading: child.instrument.reading(dividedBy: family.divisor))
                }
            })
    }

    private func register<Kind: Instrument>(
        _ name: String, type: String, help: String, labels: [(String, String)], bounds: [Double] = [],
        divisor: UInt64 = 1, make: () -> Kind
    ) -> Kind {
        precondition(PrometheusText.isMetricName(name), "not a metric's name: \(name)")
        precondition(!help.isEmpty, "a metric has a help text: \(name)")
        precondition(divisor > 0, "the divisor of \(name) is above zero")
        let names = labels.map(\.0)
        precondition(names.allSatisfy(PrometheusText.isLabelName), "not a label's name in \(names): \(name)")
        precondition(Set(names).count == names.count, "a label twice in \(names): \(name)")
        return state.withLock { state in
            var family: Family
            if let known = state.families[name] {
                precondition(known.type == type, "\(name) is registered as \(known.type) and as \(type)")
                precondition(known.help == help, "\(name) is registered with two help texts")
                precondition(known.labelNames == names, "\(name) is registered with \(known.labelNames) and \(names)")
                precondition(known.bounds == bounds, "\(name) is registered with two sets of buckets")
                precondition(known.divisor == divisor, "\(name) is registered with two divisors")
                family = known
            } else {
                let samples = type == "histogram" ? ["", "_bucket", "_sum", "_count"].map { name + $0 } : [name]
                for sample in samples {
                    precondition(state.sampleNames.insert(sample).inserted, "two metrics have samples named \(sample)")
                }
                family = Family(
                    type: type, help: help, labelNames: names, bounds: bounds, divisor: divisor, children: [])
            }
            let values = labels.map(\.1)
            if let known = family.children.first(where: { $0.values == values }) {
                guard let instrument = known.instrument as? Kind else { preconditionFailure("\(name) is no \(type)") }
                return instrument
            }
            let instrument = make()
            let place = family.children.firstIndex { values.lexicographicallyPrecedes($0.values) }
            family.children.insert(
                Child(labels: labels.map { (name: $0.0, value: $0.1) }, instrument: instrument),
                at: place ?? family.children.endIndex)
            state.families[name] = family
            return instrument
        }
    }
}
