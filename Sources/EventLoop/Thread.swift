internal import CUV
import Synchronization

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// A thread started by `runThread`. Nobody has to join it: then its end frees what it used.
package final class NamedThread: Sendable {
    /// A `pthread_t`, which is an integer on one system and a pointer on another.
    private let identity: UInt
    private let joined = Atomic<Bool>(false)

    fileprivate init(identity: UInt) {
        self.identity = identity
    }

    /// Waits until the thread has ended. A second call, or one from the thread itself, returns at once.
    package func join() {
        guard let thread = thread, pthread_equal(thread, pthread_self()) == 0 else { return }
        if joined.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing).exchanged {
            pthread_join(thread, nil)
        }
    }

    deinit {
        if let thread, !joined.load(ordering: .acquiring) { pthread_detach(thread) }
    }

    #if canImport(Glibc)
    private var thread: pthread_t? { pthread_t(identity) }
    #else
    private var thread: pthread_t? { pthread_t(bitPattern: identity) }
    #endif
}

/// Runs a closure on a POSIX thread of its own. Signals that a process gets from outside are blocked in it, so that
/// they reach the thread that watches them.
///
/// - Parameters:
///   - name: as debuggers and `top` show it; Linux keeps 15 bytes.
///   - body: what the thread does; the thread ends with it.
/// - Returns: the thread, to be joined or let go of.
/// - Throws: when the system has no more threads.
@discardableResult
package func runThread(
    named name: String, _ body: @escaping @Sendable () -> Void
) throws(EventLoopError) -> NamedThread {
    let start = Unmanaged.passRetained(Start(name: String(decoding: name.utf8.prefix(15), as: UTF8.self), body: body))

    // A new thread inherits the mask. Faults of its own are not blocked: they must still stop and be told.
    var blocked = sigset_t()
    var before = sigset_t()
    sigfillset(&blocked)
    for fault in [SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS] { sigdelset(&blocked, fault) }
    pthread_sigmask(SIG_SETMASK, &blocked, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }

    #if canImport(Glibc)
    var thread = pthread_t()
    let code = pthread_create(&thread, nil, { Start.run($0) }, start.toOpaque())
    let identity = UInt(thread)
    #else
    var thread: pthread_t?
    let code = pthread_create(&thread, nil, { Start.run($0) }, start.toOpaque())
    let identity = UInt(bitPattern: thread)
    #endif
    if code != 0 {
        start.release()
        throw EventLoopError(code: -code, operation: "start thread \(name)")
    }
    return NamedThread(identity: identity)
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
        _ = cuv_name_this_thread(start.name)
        start.body()
        return nil
    }
}
