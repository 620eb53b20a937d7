internal import Synchronization

/// A number that goes up and down.
package final class Gauge: Sendable {
    private let bits = Atomic<UInt64>(0)

    private let mirror: MirroredInstrument<GaugeChange>?

    init(mirror: MirroredInstrument<GaugeChange>? = nil) { self.mirror = mirror }

    /// Replaces the value.
    package func set(_ value: Double) {
        bits.store(value.bitPattern, ordering: .relaxed)
        mirror?.tell(.set(value))
    }

    /// Adds to the value; a negative amount takes away.
    package func add(_ amount: Double) {
        defer { mirror?.tell(.add(amount)) }
        var seen = bits.load(ordering: .relaxed)
        while true {
            let wanted = (Double(bitPattern: seen) + amount).bitPattern
            let (exchanged, original) = bits.weakCompareExchange(
                expected: seen, desired: wanted, ordering: .relaxed)
            if exchanged { return }
            seen = original
        }
    }

    /// The value now.
    package var value: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }

    func removed() { mirror?.end() }
}
