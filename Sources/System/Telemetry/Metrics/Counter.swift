internal import Synchronization

/// A number that only grows. An increment is one relaxed atomic addition: no lock, nothing allocated.
package final class Counter: Sendable {
    private let count = Atomic<UInt64>(0)

    private let mirror: MirroredInstrument<UInt64>?

    init(mirror: MirroredInstrument<UInt64>? = nil) { self.mirror = mirror }

    /// Adds to the count (it wraps after 2^64, which Prometheus takes for a restart).
    package func increment(by amount: UInt64 = 1) {
        count.wrappingAdd(amount, ordering: .relaxed)
        mirror?.tell(amount)
    }

    /// Takes over a total that is counted elsewhere (a plain counter on a loop, a kernel counter).
    ///
    /// A total smaller than the present one is ignored: a counter does not fall. One thread at a time may call this.
    package func raise(to total: UInt64) {
        let known = count.load(ordering: .relaxed)
        guard total > known else { return }
        count.store(total, ordering: .relaxed)
        mirror?.tell(total - known)
    }

    /// What has been counted so far.
    package var value: UInt64 { count.load(ordering: .relaxed) }

    func removed() { mirror?.end() }
}
