internal import CSMSBridgeUV

/// What a descriptor is watched for, or is ready for.
///
/// Not an `OptionSet`: that protocol's generic algebra is not inlined across modules, and this is asked a few times for
/// each request.
@frozen
package struct Readiness: Sendable, Hashable {
    /// libuv's flags.
    package let rawValue: Int32

    @inlinable
    package init(rawValue: Int32) { self.rawValue = rawValue }

    /// Nothing.
    @inlinable
    package static var none: Readiness { Readiness(rawValue: 0) }
    /// Reading will not block: bytes, a connection, the end of the stream or an error waits.
    @inlinable
    package static var readable: Readiness { Readiness(rawValue: 1) }
    /// Writing will not block.
    @inlinable
    package static var writable: Readiness { Readiness(rawValue: 2) }
    /// Urgent data, or both directions of the connection have ended. Asked for alone it tells of a lost connection
    /// without telling of bytes.
    @inlinable
    package static var hungUp: Readiness { Readiness(rawValue: 8) }
    /// The descriptor is in error, which the next read or write tells (bytes may still wait before it). The watch has
    /// stopped; `DescriptorWatch.watch(for:)` starts it again. Reported together with the requested events, never
    /// requested.
    @inlinable
    package static var failed: Readiness { Readiness(rawValue: 1 << 16) }

    /// Whether all of `other` is in it.
    @inlinable
    package func contains(_ other: Readiness) -> Bool { rawValue & other.rawValue == other.rawValue }

    /// Both together.
    @inlinable
    package func union(_ other: Readiness) -> Readiness { Readiness(rawValue: rawValue | other.rawValue) }
}

/// Watches one descriptor, level-triggered. The descriptor stays the owner's: cancel first, then close it.
package final class DescriptorWatch: LoopHandle {
    private var onReady: ((Readiness) -> Void)?
    /// What is watched for now.
    private var interest = Readiness.none

    init(
        loop: UnsafeMutablePointer<uv_loop_t>, descriptor: Int32, interest: Readiness,
        onReady: @escaping (Readiness) -> Void
    ) throws(EventLoopError) {
        try super.init(uv_poll_t.self, "watch descriptor \(descriptor)") { uv_poll_init(loop, $0, descriptor) }
        self.onReady = onReady
        do throws(EventLoopError) {
            try watch(for: interest)
        } catch {
            cancel()
            throw error
        }
    }

    override func release() { onReady = nil }

    /// Changes what is watched for; the same as before costs nothing, a change costs two system calls.
    ///
    /// - Throws: when the system refuses; nothing is watched for then.
    package func watch(for interest: Readiness) throws(EventLoopError) {
        guard interest != self.interest, let poll = pointer(as: uv_poll_t.self) else { return }
        self.interest = interest
        if interest == .none {
            uv_poll_stop(poll)
            return
        }
        let code = uv_poll_start(poll, interest.rawValue) { handle, status, events in
            guard let watch = DescriptorWatch.of(handle) else { return }
            if status < 0 {
                let asked = watch.interest
                watch.interest = .none
                watch.onReady?(asked.union(.failed))
            } else {
                watch.onReady?(Readiness(rawValue: events))
            }
        }
        if code < 0 {
            self.interest = .none
            throw EventLoopError(code: code, operation: "watch a descriptor")
        }
    }
}
