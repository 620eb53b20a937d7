import SMSBridgeTelemetry
import SMSBridgeThreads

/// Notices that the machine's clock was set. An event carries the time of its reception, and a topic rejects or deletes
/// what carries a wrong one.
///
/// Confined to the thread that calls `look`.
final class ClockWatch {
    private let logger: Logger
    private let steps: Counter
    private let synchronized: Gauge
    private var offset: Int64
    private var lastStep: (at: ContinuousClock.Instant, seconds: Double)?

    /// What is more than that within a second is a step, in nanoseconds; adjtime and NTP slew by 0.5 ms a second at
    /// most.
    private static let threshold: Int64 = 500_000_000
    /// How long a step is an alert.
    private static let memory = Duration.seconds(600)

    init(_ registry: MetricRegistry, logger: Logger) {
        self.logger = logger
        offset = SystemClock.wallOffset
        steps = registry.counter(
            "smsbridge_clock_steps_total",
            help: "Steps of the wall clock by more than 0.5 s.")
        synchronized = registry.gauge(
            "smsbridge_clock_synchronized",
            help: "1 when the kernel reports the clock as synchronised (adjtimex), 0 when not, -1 when unknown.")
    }

    /// Compares the clocks. Called once a second.
    ///
    /// - Returns: The problem, for an alert; nil for none.
    func look() -> String? {
        synchronized.set(SystemClock.isSynchronized.map { $0 ? 1 : 0 } ?? -1)
        let now = SystemClock.wallOffset
        let step = now - offset
        offset = now
        if abs(step) > Self.threshold {
            let seconds = Double(step) / 1e9
            lastStep = (.now, seconds)
            steps.increment()
            logger.warning("clock stepped", ["seconds": Self.text(seconds)])
        }
        guard let lastStep, lastStep.at.duration(to: .now) < Self.memory else { return nil }
        return "the clock was stepped by \(Self.text(lastStep.seconds)) s within the last ten minutes"
    }

    private static func text(_ seconds: Double) -> String {
        let tenths = Int64((seconds * 10).rounded())
        return "\(tenths / 10).\(abs(tenths % 10))"
    }
}
