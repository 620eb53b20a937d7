internal import CSMSBridgeUV

/// Something that libuv watches for the loop: the common life of timers, descriptors, signals and wake-ups.
///
/// libuv owns a handle's memory until the handle's close callback has run. So the memory and one reference to this
/// object live until then, independent of other references; `cancel()` starts the closing, once.
package class LoopHandle {
    private var handle: UnsafeMutablePointer<uv_handle_t>?

    /// Takes uninitialised memory for a handle of type `Handle`, lets libuv initialise it, and keeps it.
    ///
    /// - Throws: when `initialise` returns an error; nothing is kept then.
    init<Handle>(
        _ type: Handle.Type, _ operation: @autoclosure () -> String,
        initialise: (UnsafeMutablePointer<Handle>) -> Int32
    ) throws(EventLoopError) {
        let memory = UnsafeMutablePointer<Handle>.allocate(capacity: 1)
        let code = initialise(memory)
        if code < 0 {
            memory.deallocate()
            throw EventLoopError(code: code, operation: operation())
        }
        let handle = UnsafeMutableRawPointer(memory).assumingMemoryBound(to: uv_handle_t.self)
        self.handle = handle
        handle.pointee.data = Unmanaged.passRetained(self).toOpaque()
    }

    /// The handle as libuv's own type; nil once it is closing.
    final func pointer<Handle>(as type: Handle.Type) -> UnsafeMutablePointer<Handle>? {
        guard let handle else { return nil }
        return UnsafeMutableRawPointer(handle).assumingMemoryBound(to: type)
    }

    /// Whether `cancel()` was called.
    package final var isCancelled: Bool { handle == nil }

    /// Ends the watching at once: nothing fires any more. Harmless when repeated. On the loop's thread only.
    package final func cancel() {
        guard let handle else { return }
        self.handle = nil
        release()
        uv_close(handle) { handle in
            guard let handle, let data = handle.pointee.data else { return }
            Unmanaged<LoopHandle>.fromOpaque(data).release()
            // The memory was allocated as a larger type; a deallocation without a size fits every one.
            UnsafeMutableRawPointer(handle).deallocate()
        }
    }

    /// Keeps `run()` from waiting for this handle.
    final func unreference() {
        if let handle { uv_unref(handle) }
    }

    /// Releases the owner's closure, so that a closure that holds its own watch is no cycle.
    func release() {}

    /// The object that a callback of libuv's is for. Each subclass asks it for its own handles only, so the type is
    /// known without a look.
    static func of<Handle>(_ handle: UnsafeMutablePointer<Handle>?) -> Self? {
        guard let handle else { return nil }
        let generic = UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self)
        guard let data = generic.pointee.data else { return nil }
        return Unmanaged<Self>.fromOpaque(data).takeUnretainedValue()
    }
}
