internal import Synchronization

/// Counts observations in buckets whose upper bounds are fixed at creation.
///
/// An observation is a short search and two relaxed atomic additions: no lock, nothing allocated. The count that is
/// rendered is the sum of the buckets, so `_count` and the `+Inf` bucket never differ under concurrency.
package final class Histogram: Sendable {
    /// The most bounds that a histogram may have (`+Inf` is beside them).
    package static let maximumBounds = 31

    /// Bounds for latencies in seconds, from 100 µs to 10 s, closest where promises are judged (1 ms to 1 s).
    package static let latencyBounds: [Double] = [
        0.0001, 0.00025, 0.0005, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.9,
        1, 2.5, 5, 10,
    ]

    /// Upper bounds, inclusive, ascending.
    package let bounds: [Double]
    private let nanosecondBounds: [UInt64]
    private let cells = InlineArray<32, Atomic<UInt64>> { _ in Atomic<UInt64>(0) }
    // Nanoseconds are summed as an integer (one addition); other values as a Double (compare and exchange).
    private let nanosecondSum = Atomic<UInt64>(0)
    private let valueSum = Atomic<UInt64>(0)
    private let mirror: MirroredInstrument<Double>?

    init(bounds: [Double], mirror: MirroredInstrument<Double>? = nil) {
        self.mirror = mirror
        precondition(!bounds.isEmpty && bounds.count <= Self.maximumBounds, "a histogram has 1 to 31 bounds")
        precondition(bounds.allSatisfy(\.isFinite), "histogram bounds are finite: +Inf is implied")
        precondition(zip(bounds, bounds.dropFirst()).allSatisfy { $0 < $1 }, "histogram bounds ascend")
        self.bounds = bounds
        // Rounded up: whole nanoseconds `n` satisfy `n <= bound * 1e9` exactly when `n <= floor(bound * 1e9)`, but the
        // product may fall just short of the whole number that was meant (0.0003 * 1e9 = 299999.99999999994).
        nanosecondBounds = bounds.map { bound in
            let product = (bound * 1e9).rounded()
            return product <= 0 ? 0 : product >= 0x1p63 ? UInt64.max : UInt64(product)
        }
    }

    /// Counts one value, in the unit that the metric's name says. A value that is not a number is left out.
    package func observe(_ value: Double) {
        if value.isNaN { return }
        defer { mirror?.tell(value) }
        var index = 0
        while index < bounds.count, value > bounds[index] { index += 1 }
        cells[index].wrappingAdd(1, ordering: .relaxed)
        var seen = valueSum.load(ordering: .relaxed)
        while true {
            let wanted = (Double(bitPattern: seen) + value).bitPattern
            let (exchanged, original) = valueSum.weakCompareExchange(
                expected: seen, desired: wanted, ordering: .relaxed)
            if exchanged { return }
            seen = original
        }
    }

    /// Counts one span of time, in nanoseconds, in a metric whose unit is seconds.
    package func observe(nanoseconds: UInt64) {
        var index = 0
        while index < nanosecondBounds.count, nanoseconds > nanosecondBounds[index] { index += 1 }
        cells[index].wrappingAdd(1, ordering: .relaxed)
        nanosecondSum.wrappingAdd(nanoseconds, ordering: .relaxed)
        if let mirror { mirror.tell(Double(nanoseconds) / 1e9) }
    }

    /// Counts so many spans of time of this length, in nanoseconds.
    package func observe(nanoseconds: UInt64, count: UInt64) {
        guard count > 0 else { return }
        var index = 0
        while index < nanosecondBounds.count, nanoseconds > nanosecondBounds[index] { index += 1 }
        cells[index].wrappingAdd(count, ordering: .relaxed)
        nanosecondSum.wrappingAdd(nanoseconds &* count, ordering: .relaxed)
        if let mirror { for _ in 0..<count { mirror.tell(Double(nanoseconds) / 1e9) } }
    }

    /// Counts spans of time that the caller has sorted into the buckets.
    ///
    /// - Parameters:
    ///   - counts: per bound, and what exceeds all of them.
    ///   - nanoseconds: the sum of all of them.
    package func observe(counts: UnsafeBufferPointer<UInt64>, nanoseconds: UInt64) {
        for index in 0..<min(counts.count, bounds.count + 1) where counts[index] > 0 {
            cells[index].wrappingAdd(counts[index], ordering: .relaxed)
            // The other system gets each bucket's bound, for the values themselves are not known.
            if let mirror {
                let value = index < bounds.count ? bounds[index] : bounds[bounds.count - 1]
                for _ in 0..<counts[index] { mirror.tell(value) }
            }
        }
        nanosecondSum.wrappingAdd(nanoseconds, ordering: .relaxed)
    }

    /// The number of observations so far.
    package var count: UInt64 { snapshot().counts.reduce(0, &+) }

    /// The sum of the observations so far.
    package var sum: Double {
        Double(bitPattern: valueSum.load(ordering: .relaxed)) + Double(nanosecondSum.load(ordering: .relaxed)) / 1e9
    }

    func removed() { mirror?.end() }

    /// The observations per bucket (not cumulative); the last one is what exceeded every bound.
    func snapshot() -> (counts: [UInt64], sum: Double) {
        ((0...bounds.count).map { cells[$0].load(ordering: .relaxed) }, sum)
    }
}
