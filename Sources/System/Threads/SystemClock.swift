internal import CSMSBridgeSystem

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// The wall clock beside one that cannot be set.
package enum SystemClock {
    /// Nanoseconds by which the wall clock is ahead of the time since boot. It changes when the clock is set, and
    /// slowly when the clock is adjusted; not while the machine sleeps.
    package static var wallOffset: Int64 {
        var wall = timespec()
        var boot = timespec()
        clock_gettime(CLOCK_REALTIME, &wall)
        #if os(Linux)
        clock_gettime(CLOCK_BOOTTIME, &boot)
        #else
        clock_gettime(CLOCK_MONOTONIC, &boot)
        #endif
        return Int64(wall.tv_sec - boot.tv_sec) * 1_000_000_000 + Int64(wall.tv_nsec - boot.tv_nsec)
    }

    /// Whether the kernel reports the clock as synchronised; nil where that is unknown.
    package static var isSynchronized: Bool? {
        switch csystem_clock_is_synchronized() {
        case 1: true
        case 0: false
        default: nil
        }
    }
}
