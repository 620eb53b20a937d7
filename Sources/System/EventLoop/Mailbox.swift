internal import CSMSBridgeUV
import Synchronization

/// Brings messages of other threads to the loop, in the order posted, a batch at a wake-up.
///
/// Any thread may post. The loop wakes once for however many messages came while it was busy.
package final class Mailbox<Message: Sendable>: Sendable {
    private struct State {
        var messages: [Message] = []
        var bell: Bell?
    }

    private let state: Mutex<State>

    init(bell: Bell) {
        state = Mutex(State(bell: bell))
    }

    /// Hands a message to the loop.
    ///
    /// - Returns: false when the mailbox or its loop is closed; the message is dropped then.
    @discardableResult
    package func post(_ message: Message) -> Bool {
        state.withLock { state in
            guard let bell = state.bell else { return false }
            state.messages.append(message)
            if state.messages.count == 1 { bell.ring() }
            return true
        }
    }

    /// Closes the mailbox: what was posted and not yet delivered is dropped. Any thread may call it.
    package func close() {
        state.withLock { state in
            // The handle itself is closed by its loop, which learns of it by one last ring.
            state.bell?.ring()
            state.bell = nil
            state.messages = []
        }
    }

    /// Takes the queued messages, leaving `spare`'s memory for the next ones.
    ///
    /// - Returns: false when the mailbox is closed.
    func collect(_ spare: inout [Message]) -> Bool {
        state.withLock { state in
            swap(&state.messages, &spare)
            return state.bell != nil
        }
    }

    /// The loop takes the bell away; nothing rings it afterwards.
    func detach() {
        state.withLock { $0.bell = nil }
    }
}

/// The pointer with which another thread wakes the loop.
///
/// `@unchecked Sendable`, guarded by the mailbox's `Mutex`: `uv_async_send` is the one call of libuv's that any thread
/// may make, but not on a handle that is closing. It is called under that lock only, and the loop takes the bell out
/// of the mailbox, under the same lock, before it closes the handle.
struct Bell: @unchecked Sendable {
    private let async: UnsafeMutablePointer<uv_async_t>

    init(_ async: UnsafeMutablePointer<uv_async_t>) {
        self.async = async
    }

    func ring() {
        uv_async_send(async)
    }
}

/// The loop's end of a mailbox.
final class WakeUp: LoopHandle {
    /// Called when rung.
    var onRing: (() -> Void)?
    /// Called once, before the handle closes.
    var onClose: (() -> Void)?

    init(loop: UnsafeMutablePointer<uv_loop_t>) throws(EventLoopError) {
        try super.init(uv_async_t.self, "make a wake-up") { handle in
            uv_async_init(loop, handle) { WakeUp.of($0)?.onRing?() }
        }
    }

    /// What other threads ring.
    var bell: Bell? { pointer(as: uv_async_t.self).map(Bell.init) }

    override func release() {
        onClose?()
        onClose = nil
        onRing = nil
    }
}
