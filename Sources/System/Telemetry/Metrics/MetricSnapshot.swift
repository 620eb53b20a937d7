/// What the instruments of a registry stood at.
package struct MetricSnapshot: Sendable {
    package enum Reading: Sendable {
        case value(Double)
        /// Observations per bucket, not cumulative; the last one is what exceeded every bound.
        case buckets(bounds: [Double], counts: [UInt64])
    }

    package struct Sample: Sendable {
        package let labels: [(name: String, value: String)]
        package let reading: Reading

        /// Of a counter or a gauge; 0 of a histogram.
        package var value: Double { if case .value(let value) = reading { value } else { 0 } }

        package subscript(label: String) -> String { labels.first { $0.name == label }?.value ?? "" }
    }

    let families: [String: [Sample]]

    /// The samples of a metric, in order of their labels; none when there is no such metric.
    package subscript(name: String) -> [Sample] { families[name] ?? [] }

    /// The value of a metric, of the sample with that label if one is given; nil when there is none.
    package func value(_ name: String, _ label: String = "", _ value: String = "") -> Double? {
        self[name].first { label.isEmpty || $0[label] == value }?.value
    }

    /// A histogram's bounds and observations per bucket.
    package func buckets(_ name: String) -> (bounds: [Double], counts: [UInt64])? {
        guard case .buckets(let bounds, let counts)? = self[name].first?.reading else { return nil }
        return (bounds, counts)
    }
}
