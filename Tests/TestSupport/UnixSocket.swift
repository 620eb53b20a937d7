#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// A socket of the Unix domain that is bound to a path; the caller closes it.
///
/// - Parameter type: `SOCK_STREAM` or `SOCK_DGRAM`, as a number.
/// - Returns: nil when it cannot be bound.
package func unixSocket(boundTo path: String, type: Int32) -> Int32? {
    let descriptor = socket(AF_UNIX, type, 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    guard descriptor >= 0 else { return nil }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let bound = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
    }
    if bound == 0 { return descriptor }
    close(descriptor)
    return nil
}
