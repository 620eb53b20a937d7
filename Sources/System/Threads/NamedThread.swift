internal import CSMSBridgeSystem
internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// A number that differs between threads that live at the same time, most likely also in its lowest bits.
package var currentThreadHash: UInt {
    #if canImport(Darwin)
    let identity = UInt(bitPattern: pthread_self())
    #else
    let identity = UInt(pthread_self())
    #endif
    // An address of a page or so: what differs is spread over all bits first.
    return UInt(truncatingIfNeeded: (UInt64(identity) &* 0x9E37_79B9_7F4A_7C15) >> 32)
}

/// A thread of the operating system with a name, for work that blocks or owns a loop.
///
/// Swift's cooperative pool must never be blocked, so blocking C calls have a thread of their own. It need not be
/// joined: a detached thread frees its resources at its end.
package final class NamedThread: Sendable {
    /// A `pthread_t`, which is an integer on one system and a pointer on another.
    private let identity: UInt
    private let isJoined = Atomic<Bool>(false)

    /// Starts a thread. Signals that the process gets from outside are blocked in it, so that they reach the thread
    /// that watches them.
    ///
    /// - Parameters:
    ///   - name: as debuggers and `top -H` show it; Linux keeps 15 bytes.
    ///   - body: what the thread does; the thread ends with it.
    /// - Throws: `ThreadError` when the system has no room for another thread.
    package init(_ name: String, _ body: @escaping @Sendable () -> Void) throws(ThreadError) {
        let start = Unmanaged.passRetained(
            Start(name: String(decoding: name.utf8.prefix(15), as: UTF8.self), body: body))

        // A new thread inherits the mask. Synchronous faults are not blocked: they must still end the process and be
        // reported.
        var blocked = sigset_t()
        var before = sigset_t()
        sigfillset(&blocked)
        for fault in [SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS] { sigdelset(&blocked, fault) }
        pthread_sigmask(SIG_SETMASK, &blocked, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }

        #if canImport(Darwin)
        var thread: pthread_t?
        let error = pthread_create(&thread, nil, { Start.run($0) }, start.toOpaque())
        let identity = UInt(bitPattern: thread)
        #else
        var thread = pthread_t()
        let error = pthread_create(&thread, nil, { Start.run($0) }, start.toOpaque())
        let identity = UInt(thread)
        #endif
        guard error == 0 else {
            start.release()
            throw ThreadError(errno: error)
        }
        self.identity = identity
    }

    deinit {
        if let thread, !isJoined.load(ordering: .acquiring) { pthread_detach(thread) }
    }

    /// Waits until the thread has ended. A second call, or one from the thread itself, returns at once.
    package func join() {
        guard let thread, pthread_equal(thread, pthread_self()) == 0 else { return }
        if isJoined.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing).exchanged {
            pthread_join(thread, nil)
        }
    }

    #if canImport(Darwin)
    private var thread: pthread_t? { pthread_t(bitPattern: identity) }
    #else
    private var thread: pthread_t? { pthread_t(identity) }
    #endif
}

/// What a new thread begins with.
private final class Start: Sendable {
    let name: String
    let body: @Sendable () -> Void

    init(name: String, body: @escaping @Sendable () -> Void) {
        self.name = name
        self.body = body
    }

    static func run(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        guard let argument else { return nil }
        let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
        csystem_set_thread_name(start.name)
        start.body()
        return nil
    }
}

/// The system has no room for another thread.
package struct ThreadError: Error, Sendable, CustomStringConvertible {
    /// The system's error number.
    package let errno: Int32

    package var description: String { "cannot start a thread: \(String(cString: strerror(errno)))" }
}
