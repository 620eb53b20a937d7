internal import CSMSBridgeUV

/// Calls on the loop's thread when the process gets a signal. While it is watched, the signal's own effect is off.
package final class SignalWatch: LoopHandle {
    private var fire: (() -> Void)?

    init(
        loop: UnsafeMutablePointer<uv_loop_t>, signal: Int32, fire: @escaping () -> Void
    ) throws(EventLoopError) {
        try super.init(uv_signal_t.self, "watch signal \(signal)") { uv_signal_init(loop, $0) }
        self.fire = fire
        guard let handle = pointer(as: uv_signal_t.self) else { return }
        let code = uv_signal_start(handle, { handle, _ in SignalWatch.of(handle)?.fire?() }, signal)
        if code < 0 {
            cancel()
            throw EventLoopError(code: code, operation: "watch signal \(signal)")
        }
    }

    override func release() { fire = nil }
}
