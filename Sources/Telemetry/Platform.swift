#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// Lets a write to a closed pipe or socket fail with EPIPE instead of ending the process. Call it first in `main`.
package func ignoreSIGPIPE() {
    signal(SIGPIPE, SIG_IGN)
}

/// Opens /dev/null in place of standard input, output or error where the process was started without.
///
/// Else the first socket that is opened gets the number of standard error, and log lines are sent to a broker. Call it
/// before anything else opens a descriptor.
package func openStandardDescriptors() {
    for descriptor: Int32 in 0...2 where fcntl(descriptor, F_GETFD) == -1 && errno == EBADF {
        let opened = open("/dev/null", descriptor == 0 ? O_RDONLY : O_WRONLY)
        if opened >= 0, opened != descriptor {
            _ = dup2(opened, descriptor)
            close(opened)
        }
    }
}

/// A file of a few kilobytes (of /proc), whole; nil where there is none.
func readSmallFile(_ path: String, limit: Int = 65_536) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: limit)
    var filled = 0
    while filled < limit {
        let got = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress! + filled, limit - filled) }
        if got < 0, errno == EINTR { continue }
        if got < 0 { return nil }
        if got == 0 { break }
        filled += got
    }
    return Array(bytes[..<filled])
}

/// Starts a detached thread whose signals are blocked. False when the system has no room for one.
func startThread(named name: String, _ body: @escaping @Sendable () -> Void) -> Bool {
    final class Start: Sendable {
        let name: String
        let body: @Sendable () -> Void
        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }
    let start = Unmanaged.passRetained(Start(name: name, body: body))
    // The new thread inherits the mask of this one: signals are for the threads that wait for them.
    var all = sigset_t()
    var before = sigset_t()
    sigfillset(&all)
    // Faults of its own are not blocked: they must still stop the process and be told.
    for fault in [SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS] { sigdelset(&all, fault) }
    pthread_sigmask(SIG_SETMASK, &all, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    #if canImport(Darwin)
    var thread: pthread_t?
    let failure = pthread_create(
        &thread, nil,
        { argument in
            let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
            pthread_setname_np(start.name)
            start.body()
            return nil
        }, start.toOpaque())
    if failure == 0, let thread { pthread_detach(thread) }
    #else
    var thread = pthread_t()
    let failure = pthread_create(
        &thread, nil,
        { argument in
            guard let argument else { return nil }
            let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
            // What pthread_setname_np does, which Swift does not see.
            let comm = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
            if comm >= 0 {
                let name = Array(start.name.utf8.prefix(15))
                _ = write(comm, name, name.count)
                close(comm)
            }
            start.body()
            return nil
        }, start.toOpaque())
    if failure == 0 { pthread_detach(thread) }
    #endif
    if failure != 0 { start.release() }
    return failure == 0
}

/// Monotonic nanoseconds.
func monotonicNow() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
}
