#if canImport(Glibc)
package import Glibc
#elseif canImport(Musl)
package import Musl
#else
package import Darwin
#endif

/// The system's reason why a file or folder could not be used.
///
/// A denied permission names the user that this process runs as, and the owner and mode of the file: in a container both are
/// numbers that its user has not chosen.
///
/// - Parameters:
///   - path: The file or folder. Where it does not exist, the nearest folder above it is described.
///   - code: The `errno` of the failure.
package func accessFailure(_ path: String, _ code: Int32) -> String {
    let reason = String(cString: strerror(code))
    guard code == EACCES || code == EPERM else { return reason }
    let process = "running as uid \(geteuid()), gid \(getegid())"
    var nearest = path
    var status = stat()
    while stat(nearest, &status) != 0 {
        // A folder that may not be searched hides what is in it.
        guard let cut = nearest.lastIndex(of: "/"), nearest.count > 1 else { return "\(reason) (\(process))" }
        nearest = cut == nearest.startIndex ? "/" : String(nearest[..<cut])
    }
    let subject = nearest == path ? "owner" : "owner of \(nearest)"
    let mode = String(status.st_mode & 0o7777, radix: 8)
    return "\(reason) (\(process); \(subject) is uid \(status.st_uid), gid \(status.st_gid), mode \(mode))"
}

/// What a path that exists is instead of a regular file; nil for a regular file, and where nothing can be looked at.
package func notRegular(_ path: String) -> String? {
    var status = stat()
    return stat(path, &status) == 0 ? notRegular(status) : nil
}

/// What a file is instead of a regular file; nil for a regular file.
package func notRegular(_ status: stat) -> String? {
    switch status.st_mode & S_IFMT {
    case S_IFREG: nil
    case S_IFDIR: "it is a directory, not a file"
    case S_IFIFO: "it is a FIFO, not a file"
    case S_IFSOCK: "it is a socket, not a file"
    default: "it is a device, not a file"
    }
}
