internal import CUV

/// What a descriptor is watched for, or is ready for.
package struct Readiness: OptionSet, Sendable {
    package let rawValue: Int32
    package init(rawValue: Int32) { self.rawValue = rawValue }

    /// Reading will not block: bytes, a connection, the end of the stream or an error waits.
    package static let readable = Readiness(rawValue: 1)
    /// Writing will not block.
    package static let writable = Readiness(rawValue: 2)
    /// Urgent data, or both directions of the connection have ended. Asked for alone it tells of a lost connection
    /// without telling of bytes.
    package static let hungUp = Readiness(rawValue: 8)
    /// The descriptor is in error, which the next read or write tells (bytes may still wait before it). The watch has
    /// stopped; `DescriptorWatch.watch(for:)` starts it again. Told of together with what was asked for, never asked.
    package static let failed = Readiness(rawValue: 1 << 16)
}

/// Watches one descriptor, level-triggered. The descriptor stays the owner's: cancel first, then close it.
package final class DescriptorWatch: LoopHandle {
    private var onReady: ((Readiness) -> Void)?
    /// What is watched for now.
    package private(set) var interest: Readiness = []

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
        if interest.isEmpty {
            uv_poll_stop(poll)
            return
        }
        let code = uv_poll_start(poll, interest.rawValue) { handle, status, events in
            guard let watch = DescriptorWatch.of(handle) else { return }
            if status < 0 {
                let asked = watch.interest
                watch.interest = []
                watch.onReady?(asked.union(.failed))
            } else {
                watch.onReady?(Readiness(rawValue: events))
            }
        }
        if code < 0 {
            self.interest = []
            throw EventLoopError(code: code, operation: "watch a descriptor")
        }
    }
}
