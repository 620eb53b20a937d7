internal import CSMSBridgeUV

/// Fires once, or again and again, on the loop's thread. libuv counts milliseconds: times are rounded up to them, and
/// its clock may be one behind, so a timer can fire a millisecond early by `EventLoop.now`.
package final class LoopTimer: LoopHandle {
    private var fire: (() -> Void)?

    init(loop: UnsafeMutablePointer<uv_loop_t>, fire: @escaping () -> Void) throws(EventLoopError) {
        try super.init(uv_timer_t.self, "make a timer") { uv_timer_init(loop, $0) }
        self.fire = fire
    }

    override func release() { fire = nil }

    /// Restarts the timer, whether or not it was running.
    ///
    /// - Parameters:
    ///   - delay: nanoseconds from now.
    ///   - interval: nanoseconds between later firings; 0 fires once.
    package func rearm(after delay: UInt64, repeating interval: UInt64 = 0) {
        guard let timer = pointer(as: uv_timer_t.self) else { return }
        uv_update_time(timer.pointee.loop)
        uv_timer_start(
            timer, { LoopTimer.of($0)?.fire?() }, Self.milliseconds(delay), Self.milliseconds(interval))
    }

    /// Stops the timer; `rearm` starts it again.
    package func pause() {
        if let timer = pointer(as: uv_timer_t.self) { uv_timer_stop(timer) }
    }

    private static func milliseconds(_ nanoseconds: UInt64) -> UInt64 {
        nanoseconds / 1_000_000 + (nanoseconds % 1_000_000 == 0 ? 0 : 1)
    }
}
