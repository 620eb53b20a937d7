import Foundation
import Synchronization
import Testing

/// `smsbridge serve` in a process of its own, spoken to while it runs.
final class ServedBridge: Sendable {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    private let process: Process
    private let log: Log
    let port: UInt16
    let adminPort: UInt16

    private final class Log: Sendable {
        let bytes = Mutex(Data())
    }

    /// Starts it and waits until it serves.
    ///
    /// - Parameters:
    ///   - limit: what `ulimit` is given, such as `-n 64`.
    ///   - environment: all that is in it.
    ///   - adminPort: of one that is not waited for, as it will not serve.
    ///   - host: of both ports.
    ///   - mounts: a shell's commands in a mount namespace of its own: see `MountNamespace`.
    init(
        _ arguments: [String], limit: String? = nil, environment: [String: String] = ["SMSBRIDGE_AUTH_NONE": "true"],
        notServingBut adminPort: UInt16? = nil, httpPort: UInt16 = 0, host: String = "127.0.0.1",
        mounts: String? = nil
    ) throws {
        process = Process()
        let program = URL(fileURLWithPath: ProcessInfo.processInfo.arguments[0]).resolvingSymlinksInPath()
            .deletingLastPathComponent().appendingPathComponent("smsbridge").path
        let ports = ["--http-port", "\(httpPort)", "--admin-port", "\(adminPort ?? 0)"]
        let all = ["serve", "--http-host", host, "--admin-host", host] + ports + arguments
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        let limiting = limit.map { "ulimit \($0) && " } ?? ""
        let start = limiting + "exec \"$0\" \"$@\""
        process.arguments =
            if let mounts {
                ["-c", "exec \(MountNamespace.command) sh -c '\(mounts) && \(start)' \"$0\" \"$@\"", program] + all
            } else {
                ["-c", start, program] + all
            }
        process.environment = environment
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        let errors = Pipe()
        process.standardError = errors
        let log = Log()
        self.log = log
        try process.run()
        Thread.detachNewThread {
            // `availableData` traps when a signal interrupts it.
            var block = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = read(errors.fileHandleForReading.fileDescriptor, &block, block.count)
                if count < 0, errno == EINTR { continue }
                if count <= 0 { return }
                log.bytes.withLock { $0 += block[..<count] }
            }
        }
        if let adminPort {
            (port, self.adminPort) = (0, adminPort)
            return
        }
        var found: (UInt16, UInt16)?
        for _ in 0..<6_000 where found == nil {
            found = Self.ports(in: log.bytes.withLock { $0 })
            if found == nil {
                guard process.isRunning else { break }
                usleep(10_000)
            }
        }
        guard let found else {
            process.terminate()
            throw Failure(description: "does not serve: \(String(decoding: log.bytes.withLock { $0 }, as: UTF8.self))")
        }
        (port, self.adminPort) = found
    }

    deinit {
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    }

    private static func ports(in log: Data) -> (UInt16, UInt16)? {
        for line in log.split(separator: UInt8(ascii: "\n")) {
            guard let fields = try? JSONSerialization.jsonObject(with: line) as? [String: Any],
                let address = fields["address"] as? String, let admin = fields["admin"] as? String,
                let port = address.split(separator: ":").last.flatMap({ UInt16($0) }),
                let adminPort = admin.split(separator: ":").last.flatMap({ UInt16($0) })
            else { continue }
            return (port, adminPort)
        }
        return nil
    }

    var identifier: Int32 { process.processIdentifier }

    /// What it has logged so far.
    var logged: String { String(decoding: log.bytes.withLock { $0 }, as: UTF8.self) }

    /// Waits for something; a minute at most.
    func wait(until isSo: () throws -> Bool) rethrows -> Bool {
        for _ in 0..<1_200 {
            if try isSo() { return true }
            usleep(50_000)
        }
        return false
    }

    func terminate() { kill(process.processIdentifier, SIGTERM) }

    /// - Returns: nil when it has not ended after so many seconds; it is killed then.
    func exitCode(within seconds: Int) -> Int32? {
        for _ in 0..<(seconds * 100) where process.isRunning { usleep(10_000) }
        guard process.isRunning else { return process.terminationStatus }
        kill(process.processIdentifier, SIGKILL)
        return nil
    }

    /// A port that nobody listens on just now.
    static func freePort() -> UInt16 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = bind(descriptor, $0, size)
                _ = getsockname(descriptor, $0, &size)
            }
        }
        return UInt16(bigEndian: address.sin_port)
    }

    /// What the private port says.
    func admin(_ path: String) throws -> String {
        let client = try Client(adminPort)
        client.send("GET \(path) HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        return client.rest()
    }

    func connect() throws -> Client { try Client(port) }

    /// A callback; its connection stays open unless the bridge says otherwise.
    static let callback = """
        POST /webhooks/reply HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}
        """

    final class Client {
        private let descriptor: Int32

        init(_ port: UInt16) throws {
            descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var limit = timeval(tv_sec: 60, tv_usec: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            address.sin_port = port.bigEndian
            let descriptor = descriptor
            let code = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            guard code == 0 else {
                close(descriptor)
                throw Failure(description: "connect: \(errno)")
            }
        }

        deinit { close(descriptor) }

        func send(_ text: String) {
            let bytes = Array(text.utf8)
            _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        }

        private func receive() -> String {
            var block = [UInt8](repeating: 0, count: 65_536)
            let count = recv(descriptor, &block, block.count, 0)
            return String(decoding: block[..<max(0, count)], as: UTF8.self)
        }

        /// One answer whose head and body come together, or nothing at all when the connection ended.
        func answer() -> String { receive() }

        /// All until the end.
        func rest() -> String {
            var all = ""
            while true {
                let part = receive()
                if part.isEmpty { return all }
                all += part
            }
        }
    }
}

/// Mounts of a test's own, where the system grants them.
enum MountNamespace {
    static let command = "unshare --mount --map-root-user"

    static let isGranted: Bool = {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", "\(command) sh -c 'mount -t tmpfs none /mnt' 2>/dev/null"]
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }()
}

extension ServedBridge {
    /// One that is opening its spool until it ends: the spool's log is a pipe, and opening that blocks until the other end is
    /// opened, as a disk that does not answer.
    static func openingItsSpool(in folder: TemporaryFolder) throws -> ServedBridge {
        #expect(mkfifo(folder.path + "/spool.db-wal", 0o600) == 0)
        let bridge = try ServedBridge(
            [
                "--kafka-bootstrap-servers", "127.0.0.1:1", "--spool-path", folder.path, "--spool-any-file-system",
                "--shutdown-delay", "0s", "--shutdown-deadline", "2s",
            ], notServingBut: freePort())
        #expect(bridge.wait { (try? bridge.admin("/readyz"))?.contains("the spool is being opened") == true })
        return bridge
    }
}

/// A folder that goes with the test.
final class TemporaryFolder {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent(uniqueName("smsbridge")).path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}
