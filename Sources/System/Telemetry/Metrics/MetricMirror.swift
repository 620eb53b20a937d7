/// Another metrics system that receives every change of a registry's instruments at once.
///
/// Asked once for each instrument that is made. What it gives back is called on the threads that count, so it must not
/// block; an instrument without a mirror pays one comparison.
package protocol MetricMirror: Sendable {
    /// A counter; receives increments.
    func counter(_ name: String, labels: [(String, String)]) -> MirroredInstrument<UInt64>
    /// A gauge; receives changes.
    func gauge(_ name: String, labels: [(String, String)]) -> MirroredInstrument<GaugeChange>
    /// A histogram; receives each observation in the unit of its name: `…_seconds` are seconds.
    func histogram(_ name: String, labels: [(String, String)]) -> MirroredInstrument<Double>
}

/// How a gauge changes.
package enum GaugeChange: Sendable, Equatable {
    case set(Double)
    case add(Double)
}

/// The same instrument in the other system.
package struct MirroredInstrument<Value: Sendable>: Sendable {
    /// Receives a change of the instrument.
    let tell: @Sendable (Value) -> Void
    /// The instrument has been taken out of its registry.
    let end: @Sendable () -> Void

    package init(tell: @escaping @Sendable (Value) -> Void, end: @escaping @Sendable () -> Void) {
        self.tell = tell
        self.end = end
    }
}
