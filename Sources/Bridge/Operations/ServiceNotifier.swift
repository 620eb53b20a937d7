#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// Tells a service manager how the process is: datagrams on the socket that `$NOTIFY_SOCKET` names, as sd_notify(3)
/// describes them. systemd's `Type=notify` waits for `READY=1`; with `WatchdogSec=` it ends a process that goes silent.
///
/// Nothing here waits: what the manager's queue has no room for is said again with the next ``tick()``. Owned by one
/// thread, the public loop's, so that a loop which hangs is a silent one.
package final class ServiceNotifier {
    /// Why notifications are unavailable although `NOTIFY_SOCKET` is set.
    package struct Problem: Error, Sendable, CustomStringConvertible {
        package let description: String
    }

    /// How often the manager wants a sign of life, halved as sd_watchdog_enabled(3) recommends; nil when it does not.
    package let watchdogInterval: Duration?

    private let address: sockaddr_un
    private let addressLength: socklen_t
    /// What is still to be said, by the word before the `=`: of a state only the last counts.
    private var waiting: [(name: String, value: String)] = []
    private var status = ""

    /// - Parameter variable: looks up an environment variable.
    /// - Returns: nil where there is no manager that listens.
    /// - Throws: when its address cannot be used.
    package init?(environment variable: (String) -> String?) throws(Problem) {
        guard let path = variable("NOTIFY_SOCKET"), !path.isEmpty else { return nil }
        guard path.hasPrefix("/") || path.hasPrefix("@") else {
            throw Problem(description: "NOTIFY_SOCKET: '\(path)' is neither a path nor an abstract name (@…)")
        }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var name = Array(path.utf8)
        let isAbstract = name[0] == UInt8(ascii: "@")
        if isAbstract { name[0] = 0 }
        let room = MemoryLayout.size(ofValue: address.sun_path)
        // A path ends with a zero, an abstract name with its length.
        guard name.count + (isAbstract ? 0 : 1) <= room else {
            throw Problem(description: "NOTIFY_SOCKET: the name is longer than \(room) bytes")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        self.address = address
        addressLength = socklen_t(MemoryLayout<sockaddr_un>.offset(of: \.sun_path)! + name.count + (isAbstract ? 0 : 1))
        watchdogInterval = Self.watchdogInterval(variable)
    }

    private static func watchdogInterval(_ variable: (String) -> String?) -> Duration? {
        guard let microseconds = variable("WATCHDOG_USEC").flatMap({ Int64($0) }), microseconds > 1 else { return nil }
        // Meant for the process that the manager has started, not for one that has inherited its environment.
        if let process = variable("WATCHDOG_PID"), process != String(getpid()) { return nil }
        return .microseconds(microseconds / 2)
    }

    /// The service serves.
    package func ready() { say("READY", "1") }

    /// The service is about to end.
    package func stopping() { say("STOPPING", "1") }

    /// The status line of `systemctl status`; sent only when it changes.
    package func show(_ text: String) {
        let line = String(text.map { $0.isNewline ? " " : $0 })
        guard line != status else { return }
        status = line
        say("STATUS", line)
    }

    /// A sign of life, where one is wanted, and what the manager had no room for.
    package func tick() {
        if watchdogInterval != nil { say("WATCHDOG", "1") } else { flush() }
    }

    private func say(_ name: String, _ value: String) {
        waiting.removeAll { $0.name == name }
        waiting.append((name: name, value: value))
        flush()
    }

    private func flush() {
        guard !waiting.isEmpty else { return }
        let message = Array(waiting.map { "\($0.name)=\($0.value)" }.joined(separator: "\n").utf8)
        if send(message) { waiting.removeAll() }
    }

    /// - Returns: Whether no retry is needed: sent, or it can never be sent.
    private func send(_ message: [UInt8]) -> Bool {
        #if canImport(Glibc)
        let kind = Int32(SOCK_DGRAM.rawValue)
        #else
        let kind = SOCK_DGRAM
        #endif
        let descriptor = socket(AF_UNIX, kind, 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        var address = address
        while true {
            let sent = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    sendto(descriptor, message, message.count, Int32(MSG_DONTWAIT), $0, addressLength)
                }
            }
            if sent >= 0 { return true }
            if errno == EINTR { continue }
            return errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS
        }
    }
}
