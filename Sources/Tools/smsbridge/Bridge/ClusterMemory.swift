import SMSBridgeThreads

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Remembers, in the spool's folder, which cluster took the events of the last run, so that a restart does not hide that the
/// brokers' address leads to another one. What the spool holds goes there all the same.
struct ClusterMemory: Sendable {
    private let path: String

    init(folder: String) { path = folder + "/kafka-cluster" }

    /// Stores the id on a thread of its own: a disk that hangs must not hold up anything.
    ///
    /// - Parameter tell: called there with the id that was remembered, if it was another.
    func remember(_ id: String, tell: @escaping @Sendable (String) -> Void) {
        _ = try? NamedThread("cluster-memory") { [self] in
            let before = read()
            guard before != id else { return }
            write(id)
            if let before { tell(before) }
        }
    }

    private func read() -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = bytes.withUnsafeMutableBytes { readBytes(descriptor, $0) }
        let text = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
        let id = text.prefix { !$0.isNewline }
        return id.isEmpty ? nil : String(id)
    }

    /// The new content is complete before it gets the name.
    private func write(_ id: String) {
        let new = path + ".new"
        let descriptor = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { return }
        let bytes = Array("\(id)\n".utf8)
        let count = bytes.withUnsafeBytes { writeBytes(descriptor, $0) }
        close(descriptor)
        if count == bytes.count { rename(new, path) } else { unlink(new) }
    }
}

/// Outside of the type, whose methods hide the system's.
private func readBytes(_ descriptor: Int32, _ bytes: UnsafeMutableRawBufferPointer) -> Int {
    read(descriptor, bytes.baseAddress, bytes.count)
}

private func writeBytes(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
    write(descriptor, bytes.baseAddress, bytes.count)
}
