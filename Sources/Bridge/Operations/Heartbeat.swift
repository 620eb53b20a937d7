package import SMSBridgeEventLoop
internal import SMSBridgeThreads
internal import Synchronization

/// The time of a loop's last iteration. The loop writes it, a monitor reads it; both use the clock of `EventLoop.now`.
package final class Heartbeat: Sendable {
    private let beatAt: Atomic<UInt64>

    /// - Parameter now: monotonic nanoseconds; counts as the first beat.
    package init(now: UInt64) { beatAt = Atomic(now) }

    /// Notes a turn. One relaxed store.
    package func beat(_ now: UInt64) { beatAt.store(now, ordering: .relaxed) }

    /// When the last turn was.
    package var last: UInt64 { beatAt.load(ordering: .relaxed) }

    /// Lets a loop beat at the end of every turn, and turn at least once per interval.
    ///
    /// - Parameter interval: Well below the liveness bound.
    /// - Throws: when the loop has no room for a timer.
    package func follow(_ loop: EventLoop, interval: Duration = .milliseconds(500)) throws(EventLoopError) {
        let span = interval.nanoseconds
        beat(loop.now)
        loop.afterTurn { [unowned loop] in self.beat(loop.now) }
        _ = try loop.timer(after: span, repeating: max(span, 1_000_000)) {}
    }
}
