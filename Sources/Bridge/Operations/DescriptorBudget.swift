#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// How the descriptors that the process may open are shared out.
///
/// Connections take them unasked, anyone's do. What librdkafka needs to find its brokers again, and the spool its file,
/// must be left however many clients come.
package struct DescriptorBudget: Sendable {
    /// Connections of the public port; never more than were asked for.
    package let publicConnections: Int
    /// Connections above the limit that are being rejected with 503 at a time.
    package let surplusConnections: Int
    /// Connections of the private port.
    package let privateConnections: Int

    /// - Parameters:
    ///   - limit: descriptors that the process may have open.
    ///   - wanted: connections that the public port is to serve.
    package init(limit: Int, wanted: Int) {
        let room = limit >= 256 ? limit - Self.reserve : max(4, min(limit / 2, limit - 96))
        publicConnections = min(wanted, room)
        let rest = max(0, limit - publicConnections)
        surplusConnections = min(64, max(1, rest / 16))
        privateConnections = min(256, max(2, rest / 8))
    }

    /// What is kept from the public port. With a cluster of one broker the process has about 45 descriptors open before
    /// anyone connects, and every further broker takes six.
    private static let reserve = 128

    /// Lets the process open as many descriptors as it may allow itself (RLIMIT_NOFILE, the soft limit to the hard
    /// one).
    package static func raiseLimit() {
        var limits = rlimit()
        guard getrlimit(descriptors, &limits) == 0, limits.rlim_cur < limits.rlim_max else { return }
        limits.rlim_cur = limits.rlim_max
        #if canImport(Darwin)
        // More than this is refused, though the hard limit is said to be endless (setrlimit(2)).
        limits.rlim_cur = min(limits.rlim_cur, rlim_t(OPEN_MAX))
        #endif
        _ = setrlimit(descriptors, &limits)
    }

    /// How many descriptors the process may open; `Int.max` when nothing limits it.
    package static var limit: Int {
        var limits = rlimit()
        guard getrlimit(descriptors, &limits) == 0 else { return 1024 }
        return Int(clamping: limits.rlim_cur)
    }

    #if canImport(Glibc)
    private static var descriptors: __rlimit_resource_t { __rlimit_resource_t(RLIMIT_NOFILE.rawValue) }
    #else
    private static var descriptors: Int32 { RLIMIT_NOFILE }
    #endif
}
