internal import SMSBridgeFiles

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// A file could not be read; `reason` is the system's text, never the file's.
package struct FileFailure: Error, Equatable {
    package var reason: String
}

/// Reads a small file or a pipe (`--config <(…)`) whole.
///
/// A pipe or a device that gives nothing for ten seconds is an error, as is more than 1 MiB.
@Sendable package func readWholeFile(_ path: String) -> Result<[UInt8], FileFailure> {
    readFile(path, allowsStreams: true)
}

/// Reads a small regular file whole. Anything else at the path (a directory, a FIFO, a device) is an error, and is never waited for.
@Sendable package func readRegularFile(_ path: String) -> Result<[UInt8], FileFailure> {
    readFile(path, allowsStreams: false)
}

private func readFile(_ path: String, allowsStreams: Bool) -> Result<[UInt8], FileFailure> {
    let limit = 1 << 20
    // To open a FIFO would otherwise wait for its other end.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
        let code = errno
        // A socket cannot be opened, and the system's words for that are about devices.
        let reason = code == ENXIO ? notRegular(path) : nil
        return .failure(FileFailure(reason: reason ?? accessFailure(path, code)))
    }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
        return .failure(FileFailure(reason: String(cString: strerror(errno))))
    }
    let wrongKind = notRegular(status)
    if let wrongKind, !allowsStreams || status.st_mode & S_IFMT == S_IFDIR {
        return .failure(FileFailure(reason: wrongKind))
    }
    var bytes: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 16_384)
    while true {
        let got = read(descriptor, &block, block.count)
        if got < 0, errno == EINTR { continue }
        if got < 0, errno == EAGAIN {
            var readable = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            if poll(&readable, 1, 10_000) != 0 { continue }
            return .failure(FileFailure(reason: "\(wrongKind ?? "it"), and gave nothing for 10 s"))
        }
        if got < 0 { return .failure(FileFailure(reason: String(cString: strerror(errno)))) }
        if got == 0 { return .success(bytes) }
        bytes.append(contentsOf: block[..<got])
        if bytes.count > limit { return .failure(FileFailure(reason: "it has more than 1 MiB")) }
    }
}

/// Whether something other than a file is there, such as a pipe, which gives what it has but once.
func isStream(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT != S_IFREG
}

/// The process's working directory; nil where it was deleted.
func workingDirectory() -> String? {
    guard let text = getcwd(nil, 0) else { return nil }
    defer { free(text) }
    return String(cString: text)
}
