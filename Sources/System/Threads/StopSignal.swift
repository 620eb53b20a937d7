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

    /// Wakes all waiting threads, now and later.
    package func set() {
        guard isSet.compareExchange(expected: false, desired: true, ordering: .releasing).exchanged else { return }
        var byte: UInt8 = 1
        _ = write(writeEnd, &byte, 1)
    }

    /// Ends the current or the next wait early without setting the signal. For a signal on which one thread waits.
    package func wake() {
        var byte: UInt8 = 0
        _ = write(writeEnd, &byte, 1)
    }

    /// Waits up to `milliseconds`, or until `wake()`.
    ///
    /// - Returns: whether the signal is set.
    package func wait(milliseconds: Int32) -> Bool {
        if isSet.load(ordering: .acquiring) { return true }
        var descriptor = pollfd(fd: readEnd, events: Int16(POLLIN), revents: 0)
        _ = poll(&descriptor, 1, milliseconds)
        if isSet.load(ordering: .acquiring) { return true }
        // A byte of `wake()`. One of `set()` may be taken as well: from then on nothing is waited for.
        var bytes: (UInt64, UInt64) = (0, 0)
        if descriptor.revents != 0 { _ = read(readEnd, &bytes, MemoryLayout.size(ofValue: bytes)) }
        return isSet.load(ordering: .acquiring)
    }
}
