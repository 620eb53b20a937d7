#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// Lets a write to a closed pipe or socket fail with EPIPE, and one beyond the limit of a file's size (`ulimit -f`) with EFBIG,
/// instead of ending the process. Call it first in `main`.
package func ignoreWriteSignals() { ignoreSignals([SIGPIPE, SIGXFSZ]) }

/// Ignores signals whose own effect is to end the process.
package func ignoreSignals(_ signals: [Int32]) {
    for number in signals { signal(number, SIG_IGN) }
}

/// Lets this thread receive signals that its parent may have blocked: a mask is inherited, and a process that was
/// started from another thread pool would block signals for ever. Call it first in `main`.
package func unblockSignals(_ signals: [Int32]) {
    var set = sigset_t()
    sigemptyset(&set)
    for signal in signals { sigaddset(&set, signal) }
    pthread_sigmask(SIG_UNBLOCK, &set, nil)
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

/// Monotonic nanoseconds.
package func monotonicNow() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
}

/// Milliseconds since 1970.
package func wallClockMilliseconds() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) &* 1_000 &+ Int64(time.tv_nsec) / 1_000_000
}

/// Milliseconds since 1970, as of the last tick of the system's clock: a few milliseconds late, and cheaper.
package func coarseWallClockMilliseconds() -> Int64 {
    var time = timespec()
    #if os(Linux)
    clock_gettime(CLOCK_REALTIME_COARSE, &time)
    #else
    clock_gettime(CLOCK_REALTIME, &time)
    #endif
    return Int64(time.tv_sec) &* 1_000 &+ Int64(time.tv_nsec) / 1_000_000
}
