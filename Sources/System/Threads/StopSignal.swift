internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// Tells a thread that waits between two pieces of work to end.
package final class StopSignal: Sendable {
    private let readEnd: Int32
    private let writeEnd: Int32
    private let isSet = Atomic<Bool>(false)

    /// - Throws: `ThreadError` when the process has no descriptors left.
    package init() throws(ThreadError) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw ThreadError(errno: errno) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        readEnd = ends[0]
        writeEnd = ends[1]
    }

    deinit {
        close(readEnd)
        close(writeEnd)
    }

    /// Wakes whoever waits, now and ever after.
    package func set() {
        guard isSet.compareExchange(expected: false, desired: true, ordering: .releasing).exchanged else { return }
        var byte: UInt8 = 1
        _ = write(writeEnd, &byte, 1)
    }

    /// Waits up to `milliseconds`.
    ///
    /// - Returns: whether the signal is set.
    package func wait(milliseconds: Int32) -> Bool {
        var descriptor = pollfd(fd: readEnd, events: Int16(POLLIN), revents: 0)
        _ = poll(&descriptor, 1, milliseconds)
        return isSet.load(ordering: .acquiring)
    }
}
