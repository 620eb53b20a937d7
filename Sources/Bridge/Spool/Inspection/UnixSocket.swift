internal import CSMSBridgeSystem

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// A stream socket with a name in the file system.
enum UnixSocket {
    /// The kind as `socket` takes it, which is an enumeration on one system and an integer on another.
    private static var stream: Int32 {
        #if canImport(Glibc)
        Int32(SOCK_STREAM.rawValue)
        #else
        SOCK_STREAM
        #endif
    }

    /// Listens for the owner only, in the place of a file that a crash has left.
    ///
    /// - Precondition: The caller holds the folder's lock, so that no other process listens there.
    static func listener(in folder: String, name: String) throws(SpoolError) -> Int32 {
        let path = folder + "/" + name
        unlink(path)
        let descriptor = try open()
        let code = try call(binds: true, descriptor, folder: folder, name: name)
        // No connection is possible between the two: before `listen` it is refused.
        guard code == 0, chmod(path, 0o600) == 0, beginListening(descriptor) == 0 else {
            let error = failure("cannot listen on \(path)")
            close(descriptor)
            unlink(path)
            throw error
        }
        return descriptor
    }

    static func connection(to folder: String, name: String) throws(SpoolError) -> Int32 {
        let descriptor = try open()
        guard try call(binds: false, descriptor, folder: folder, name: name) == 0 else {
            let error = failure("a bridge holds \(folder), but \(folder)/\(name) cannot be reached")
            close(descriptor)
            throw error
        }
        return descriptor
    }

    /// Bounds how long one read or write may take.
    static func setTimeout(_ descriptor: Int32, seconds: Int) {
        var limit = timeval(tv_sec: seconds, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
    }

    /// - Returns: false when the other side has gone or does not read.
    static func send(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                #if canImport(Glibc)
                Glibc.send(descriptor, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
                #else
                Darwin.send(descriptor, $0.baseAddress! + sent, $0.count - sent, 0)
                #endif
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }

    private static func open() throws(SpoolError) -> Int32 {
        let descriptor = socket(AF_UNIX, stream, 0)
        guard descriptor >= 0 else { throw failure("cannot make a socket") }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        return descriptor
    }

    #if canImport(Glibc)
    private static func beginListening(_ descriptor: Int32) -> Int32 { Glibc.listen(descriptor, 8) }
    #else
    private static func beginListening(_ descriptor: Int32) -> Int32 { Darwin.listen(descriptor, 8) }
    #endif

    private static func failure(_ what: String) -> SpoolError {
        SpoolError(.io, "\(what): \(String(cString: strerror(errno)))")
    }

    /// Calls `bind` or `connect`. An address has room for some hundred bytes only; on Linux a longer path goes by way
    /// of the folder's descriptor.
    private static func call(
        binds: Bool, _ descriptor: Int32, folder: String,
        name: String
    ) throws(SpoolError) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let room = MemoryLayout.size(ofValue: address.sun_path) - 1
        var path = folder + "/" + name
        var folderDescriptor: Int32 = -1
        defer { if folderDescriptor >= 0 { close(folderDescriptor) } }
        #if os(Linux)
        if path.utf8.count > room {
            folderDescriptor = Glibc.open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            path = "/proc/self/fd/\(folderDescriptor)/\(name)"
        }
        #endif
        guard path.utf8.count <= room else {
            throw SpoolError(
                .directory, "spool.path: \(path) is too long for a socket: at most \(room) bytes with the socket's name"
            )
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                let size = socklen_t(MemoryLayout<sockaddr_un>.size)
                return binds ? bind(descriptor, $0, size) : connect(descriptor, $0, size)
            }
        }
    }
}
