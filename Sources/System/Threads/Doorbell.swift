#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// Wakes one thread that waits for work. Rings before and during the wait count alike, and any number counts as one.
package final class Doorbell: Sendable {
    private let readEnd: Int32
    private let writeEnd: Int32

    /// - Throws: `ThreadError` when the process has no descriptors left.
    package init() throws(ThreadError) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw ThreadError(errno: errno) }
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        readEnd = ends[0]
        writeEnd = ends[1]
    }

    deinit {
        close(readEnd)
        close(writeEnd)
    }

    /// Any thread may ring; it never blocks.
    package func ring() {
        var byte: UInt8 = 1
        _ = write(writeEnd, &byte, 1)
    }

    /// Waits for a ring, at most so many milliseconds.
    package func wait(milliseconds: Int32) {
        var descriptor = pollfd(fd: readEnd, events: Int16(POLLIN), revents: 0)
        guard poll(&descriptor, 1, milliseconds) > 0 else { return }
        withUnsafeTemporaryAllocation(byteCount: 64, alignment: 1) { buffer in
            while read(readEnd, buffer.baseAddress, buffer.count) == buffer.count {}
        }
    }
}
