/// Counts durations in buckets whose width grows with the value, so that any number of them fits in a fixed 16 kB.
///
/// Values below 128 µs are kept exactly, larger ones within 1/64 (1.6 %) upwards; the maximum is exact.
package struct LatencyHistogram: Sendable {
    private static let exact: UInt64 = 128
    private static let octave = 64
    private var buckets = [UInt64](repeating: 0, count: 128 + 64 * 30)
    /// How many durations were counted.
    package private(set) var count: UInt64 = 0
    /// The longest of them in microseconds; 0 when there is none.
    package private(set) var max: UInt64 = 0

    /// An empty histogram.
    package init() {}

    /// Counts one duration, in microseconds.
    package mutating func record(_ microseconds: UInt64) {
        buckets[Swift.min(Self.index(of: microseconds), buckets.count - 1)] += 1
        count += 1
        max = Swift.max(max, microseconds)
    }

    /// The duration in microseconds that the given share (0 to 1) of all counted ones does not exceed; 0 when empty.
    package func value(atShare share: Double) -> UInt64 {
        guard count > 0 else { return 0 }
        let rank = Swift.max(1, UInt64((Double(count) * Swift.min(1, Swift.max(0, share))).rounded(.up)))
        var seen: UInt64 = 0
        for (index, bucket) in buckets.enumerated() where bucket > 0 {
            seen += bucket
            if seen >= rank { return Swift.min(Self.upperBound(of: index), max) }
        }
        return max
    }

    /// 64 buckets for each power of two from 128 on.
    private static func index(of value: UInt64) -> Int {
        if value < exact { return Int(value) }
        let shift = 63 - value.leadingZeroBitCount - 6
        return Int(exact) + (shift - 1) * octave + Int(value >> UInt64(shift)) - octave
    }

    private static func upperBound(of index: Int) -> UInt64 {
        if index < Int(exact) { return UInt64(index) }
        let shift = (index - Int(exact)) / octave + 1
        let mantissa = UInt64((index - Int(exact)) % octave + octave)
        return ((mantissa + 1) << UInt64(shift)) - 1
    }
}
