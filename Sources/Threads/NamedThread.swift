internal import CThreads

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// A thread of the operating system with a name, for work that blocks or owns a loop.
///
/// Swift's cooperative pool must never be blocked, so whatever waits in C code has a thread of its own.
package struct NamedThread: Sendable {
    private let id: UInt

    /// Starts a thread.
    ///
    /// - Parameters:
    ///   - name: shown by `top -H` and debuggers; Linux shows its first 15 bytes.
    ///   - body: what it does; the thread ends with it.
    /// - Throws: `ThreadError` when the system has no room for another thread.
    package init(_ name: String, _ body: @escaping @Sendable () -> Void) throws(ThreadError) {
        let start = Unmanaged.passRetained(Start(name: name, body: body))
        #if canImport(Darwin)
        var thread: pthread_t?
        let error = pthread_create(&thread, nil, { NamedThread.run($0) }, start.toOpaque())
        let id = UInt(bitPattern: thread)
        #else
        var thread = pthread_t()
        let error = pthread_create(&thread, nil, { NamedThread.run($0) }, start.toOpaque())
        let id = UInt(thread)
        #endif
        guard error == 0 else {
            start.release()
            throw ThreadError(errno: error)
        }
        self.id = id
    }

    /// Waits for the thread's end. Called once, by whoever started it; never on an event loop.
    package func join() {
        #if canImport(Darwin)
        if let thread = pthread_t(bitPattern: id) { pthread_join(thread, nil) }
        #else
        pthread_join(pthread_t(id), nil)
        #endif
    }

    /// Lets the thread end by itself: nobody will join it.
    package func detach() {
        #if canImport(Darwin)
        if let thread = pthread_t(bitPattern: id) { pthread_detach(thread) }
        #else
        pthread_detach(pthread_t(id))
        #endif
    }

    private final class Start: Sendable {
        let name: String
        let body: @Sendable () -> Void

        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    private static func run(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        guard let argument else { return nil }
        let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
        cthreads_set_name(String(start.name.prefix(15)))
        start.body()
        return nil
    }
}

/// The system has no room for another thread.
package struct ThreadError: Error, Sendable, CustomStringConvertible {
    package let errno: Int32

    package var description: String { "cannot start a thread: \(String(cString: strerror(errno)))" }
}
