import CSMSBridgeCurl
import Synchronization

/// Plays SMSPortal: sends callbacks and treats the answers as the vendor does.
///
/// Any 2xx is "received"; everything else is not, 3xx (never followed) included. A callback that was not received is
/// sent again with exponential back-off, up to ``SimulatorConfiguration/attempts`` in all, then given up. For legacy
/// forwarding the answer has to contain `True`: any answer without it is a permanent failure, never sent again, while
/// no answer at all is an ordinary failed attempt.
///
/// A simulator runs once. ``run(progress:outcome:)`` blocks: give it a thread of its own, never one of Swift's
/// cooperative pool. ``stop()`` may be called from any thread.
package final class Simulator: Sendable {
    private let configuration: SimulatorConfiguration
    private let endpoint: Endpoint
    private let control = Mutex(Control())

    /// What another thread may touch.
    private struct Control {
        var hasRun = false
        var stopped = false
        /// The multi handle's address while there is one to wake up, else 0. An integer, so that nothing but
        /// `curl_multi_wakeup`, the one call that another thread may make, is made of it.
        var multi: UInt = 0
    }

    /// Makes a simulator.
    ///
    /// - Throws: ``SimulatorError`` with every value that is out of bounds, or when libcurl cannot be started.
    package init(_ configuration: SimulatorConfiguration) throws(SimulatorError) {
        guard Self.globalCode == CURLE_OK else {
            throw SimulatorError(code: .curl, problems: [String(cString: curl_easy_strerror(Self.globalCode))])
        }
        let problems = configuration.problems()
        guard problems.isEmpty else { throw SimulatorError(code: .configuration, problems: problems) }
        endpoint = try Endpoint.parse(configuration.url).get()
        self.configuration = configuration
    }

    /// Once per process; a static is initialised once.
    private static let globalCode = shim_curl_global_init()

    /// Sends callbacks until the count is reached or the duration is over and every one of them has its end, or until
    /// ``stop()``. Blocks.
    ///
    /// - Parameters:
    ///   - progress: called on this thread every ``SimulatorConfiguration/progressInterval`` and once at the end.
    ///   - outcome: called on this thread when a callback has its end, with the status of the last answer (0 when there
    ///     was none). Duplicates are not reported.
    /// - Returns: the figures; those of an empty run when the simulator has run before.
    package func run(
        progress: (@Sendable (SimulatorProgress) -> Void)? = nil,
        outcome: (@Sendable (SimulatedCallback, SimulatorOutcome, Int) -> Void)? = nil
    ) -> SimulatorReport {
        let mayRun = control.withLock { control in
            defer { control.hasRun = true }
            return !control.hasRun
        }
        guard mayRun else { return SimulatorReport() }
        let run: SimulatorRun
        do {
            run = try SimulatorRun(configuration, endpoint, progress: progress, outcome: outcome)
        } catch {
            var report = SimulatorReport()
            report.failure = error
            return report
        }
        let address = run.address
        control.withLock { $0.multi = address }
        run.loop { control.withLock { $0.stopped } }
        // No wake-up may come once the handle is about to go.
        control.withLock { $0.multi = 0 }
        return run.end()
    }

    /// Makes ``run(progress:outcome:)`` return: nothing new is sent, requests in flight get
    /// ``SimulatorConfiguration/stopGrace`` to be answered, and what then has no end counts as abandoned.
    package func stop() {
        control.withLock { control in
            control.stopped = true
            if let multi = UnsafeMutableRawPointer(bitPattern: control.multi) { _ = curl_multi_wakeup(multi) }
        }
    }
}
